//! Two ways of predicting the same samples.

use super::bootstrap::{Share, interval};
use super::mcnemar::{McNemar, mcnemar};
use super::report::changed;
use super::{Pair, same};
use crate::domain::{Field, FieldId, SampleId, Schema};

/// One field, or whole answers, of two ways of predicting.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// The field; none for whole answers.
    pub field: Option<FieldId>,
    /// What the first has right.
    pub first: Share,
    /// What the second has right.
    pub second: Share,
    /// Samples of which the two say different things, right or wrong.
    pub changed: Share,
    /// The share that the second has more right than the first, -1 to 1, and its 95 % interval by bootstrap over samples.
    pub gain: f64,
    /// The interval of the gain.
    pub gain_interval: (f64, f64),
    /// Whether that could be chance.
    pub mcnemar: McNemar,
}

/// A field of which the two say different things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// The sample.
    pub sample: SampleId,
    /// The field.
    pub field: FieldId,
    /// The truth; none where it is not known.
    pub truth: Option<String>,
    /// What the first says; none where it says nothing.
    pub from: Option<String>,
    /// What the second says.
    pub to: Option<String>,
    /// Whether the first is right, and whether the second is.
    pub right: Option<(bool, bool)>,
}

/// Two ways of predicting the same samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Samples that both have predicted.
    pub samples: u64,
    /// Whole answers.
    pub whole: Side,
    /// Field by field, in the schema's order; fields of which no truth is known are left out.
    pub fields: Vec<Side>,
    /// What the two say differently, sample by sample.
    pub flips: Vec<Flip>,
}

/// Compares two predictions of the same samples, each sample's pairs side by side with one truth.
pub fn compare(schema: &Schema, pairs: &[(Pair, Pair)]) -> Comparison {
    let fields = schema.fields().iter().map(|field| side(Some(&field.id), pairs)).filter(|side| side.first.of > 0);
    Comparison {
        samples: pairs.len() as u64,
        whole: side(None, pairs),
        fields: fields.collect(),
        flips: pairs.iter().flat_map(|(first, second)| schema.fields().iter().filter_map(|field| flip(field, first, second))).collect(),
    }
}

fn side(field: Option<&FieldId>, pairs: &[(Pair, Pair)]) -> Side {
    let right = |pair: &Pair| field.map_or_else(|| pair.whole(), |field| pair.right(field));
    let both: Vec<(bool, bool)> = pairs.iter().filter_map(|(first, second)| right(first).zip(right(second))).collect();
    let only = |of_first: bool| both.iter().filter(|(first, second)| *first == of_first && *second != of_first).count() as u64;
    let gains: Vec<f64> = both.iter().map(|(first, second)| f64::from(i8::from(*second) - i8::from(*first))).collect();
    Side {
        field: field.cloned(),
        first: Share::of(both.iter().map(|(first, _)| *first)),
        second: Share::of(both.iter().map(|(_, second)| *second)),
        changed: changed(pairs.iter().map(|(first, second)| (first, second)), field),
        gain: gains.iter().sum::<f64>() / (gains.len() as f64).max(1.0),
        gain_interval: interval(&gains).unwrap_or_default(),
        mcnemar: mcnemar(only(true), only(false)),
    }
}

fn flip(field: &Field, first: &Pair, second: &Pair) -> Option<Flip> {
    let said = |pair: &Pair| pair.said.get(&field.id).map(|said| said.value.clone());
    let (from, to) = (said(first), said(second));
    let agree = match (&from, &to) {
        (Some(from), Some(to)) => same(from, to),
        (from, to) => from.is_none() && to.is_none(),
    };
    (!agree).then(|| Flip {
        sample: first.id.clone(),
        field: field.id.clone(),
        truth: first.truth.get(&field.id).map(|truth| field.render(truth)),
        from: from.map(|from| field.render(&from)),
        to: to.map(|to| field.render(&to)),
        right: first.right(&field.id).zip(second.right(&field.id)),
    })
}
