//! From masses to distributions: normalising, mixing branches, following the two likeliest values.

use std::cmp::Ordering;

use super::Settings;
use crate::domain::{FieldPrediction, Value};

/// Probabilities of whatever has these log-masses, and the mass that none of them has. Where all masses are zero,
/// none is likelier than another.
pub(super) fn normalise(logs: &[f64]) -> (Vec<f64>, f64) {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return (vec![1.0 / logs.len() as f64; logs.len()], 1.0);
    }
    let masses: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
    let sum: f64 = masses.iter().sum();
    (masses.iter().map(|mass| mass / sum).collect(), (1.0 - sum * top.exp()).clamp(0.0, 1.0))
}

/// One branch's view of a field: its values with their probabilities, in the schema's order.
pub(super) type Marginal = Vec<(Value, f64)>;

/// The values of one place of joint outcomes, each with its probability.
pub(super) fn marginal<'a>(outcomes: impl Iterator<Item = (&'a Value, f64)>) -> Marginal {
    let mut values: Marginal = Vec::new();
    for (value, p) in outcomes {
        match values.iter_mut().find(|(known, _)| known == value) {
            Some((_, sum)) => *sum += p,
            None => values.push((value.clone(), p)),
        }
    }
    values
}

/// The likeliest value, the first among equals.
pub(super) fn likeliest(values: &Marginal) -> Option<&(Value, f64)> {
    values.iter().rev().max_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal))
}

/// The values that a branch is followed with, and the share of its weight that each gets: the likeliest, and where
/// that one is not sure enough, the second.
pub(super) fn followed(values: &Marginal, settings: &Settings) -> Vec<(Value, f64)> {
    let Some((best, p)) = likeliest(values) else { return Vec::new() };
    let second = values
        .iter()
        .rev()
        .filter(|(value, other)| value != best && *other > 0.0)
        .max_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(Ordering::Equal))
        .filter(|_| settings.branches > 1 && *p < f64::from(settings.expand_below));
    match second {
        Some((second, other)) => vec![(best.clone(), p / (p + other)), (second.clone(), other / (p + other))],
        None => vec![(best.clone(), 1.0)],
    }
}

/// What is shown of a field: the branches' marginals mixed by weight, and the value that the main branch, the first,
/// decided on.
pub(super) fn mixture(branches: &[(f64, Marginal)], outside: f64) -> Option<FieldPrediction> {
    let value = likeliest(&branches.first()?.1)?.0.clone();
    let whole: f64 = branches.iter().map(|(weight, _)| weight).sum();
    let weighted = branches.iter().flat_map(|(weight, values)| values.iter().map(move |(value, p)| (value, p * weight / whole)));
    let mut probabilities = marginal(weighted);
    probabilities.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
    let probabilities = probabilities.into_iter().map(|(value, p)| (value, p.min(1.0) as f32)).collect();
    Some(FieldPrediction { value, probabilities, outside: outside as f32 })
}
