//! One number per field that makes a model as sure as it deserves to be.

use super::calibration::LEAST;
use super::same;
use crate::domain::{FieldPrediction, Value};

/// Temperatures are sought between this and its inverse.
const MOST: f64 = 20.0;

/// Halvings of the interval in which it is sought: more than single precision can tell.
const HALVINGS: usize = 50;

/// A fitted temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// Above 1, the model was too sure of itself; below, not sure enough.
    pub temperature: f32,
    /// How many predictions it was fitted on.
    pub samples: u64,
}

/// A prediction as log-probabilities that the search raises to powers.
struct Seen {
    /// Of the values with any probability.
    logs: Vec<f64>,
    /// Of the true value.
    truth: f64,
    /// The mean of the logs under the prediction as it was said.
    said: f64,
}

/// The temperature of a field that makes the truth likeliest: the least mean of `-ln P(truth)`, which is convex in the
/// inverse of the temperature, so that its slope is halved towards zero. `None` without predictions.
///
/// The model's own probabilities count as one sample more: with few samples, all of them right, a temperature would
/// otherwise go to 0 and every confidence to 1. With n samples that were all right, confidences go to (n + p) / (n + 1).
pub fn fit<'a>(pairs: impl IntoIterator<Item = (&'a FieldPrediction, &'a Value)>) -> Option<Fitted> {
    let seen: Vec<Seen> = pairs.into_iter().map(|(said, truth)| Seen::of(said, truth)).collect();
    if seen.is_empty() {
        return None;
    }
    let own = 1.0 / seen.len() as f64;
    let slope = |power: f64| seen.iter().map(|seen| (1.0 + own) * seen.mean(power) - seen.truth - own * seen.said).sum::<f64>();
    let (mut low, mut high) = (-MOST.ln(), MOST.ln());
    let (at_low, at_high) = (slope(low.exp()), slope(high.exp()));
    // Predictions that admit no doubt have no slope anywhere, and nothing can be fitted.
    let power = if at_low.abs().max(at_high.abs()) < 1e-9 {
        1.0
    } else if at_low >= 0.0 {
        low.exp()
    } else if at_high <= 0.0 {
        high.exp()
    } else {
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if slope(middle.exp()) < 0.0 { low = middle } else { high = middle }
        }
        f64::midpoint(low, high).exp()
    };
    Some(Fitted { temperature: (1.0 / power) as f32, samples: seen.len() as u64 })
}

impl Seen {
    fn of(said: &FieldPrediction, truth: &Value) -> Self {
        let unlisted = said.unlisted();
        let shares = || said.probabilities.iter().map(|(_, p)| f64::from(*p)).chain([unlisted]).filter(|p| *p > 0.0);
        let listed = said.probabilities.iter().find(|(value, _)| same(truth, value)).map(|(_, p)| f64::from(*p));
        // A list that leaves out the truth and nothing else to speak of was cut: the truth is as likely as its end at most.
        let of_truth = listed.unwrap_or_else(|| if unlisted > 0.0 { unlisted } else { shares().fold(1.0, f64::min) });
        let mut logs: Vec<f64> = shares().map(f64::ln).collect();
        if of_truth <= 0.0 {
            // A truth that was thought impossible is taken for barely possible, or no temperature would do.
            logs.push(LEAST.ln());
        }
        let mean = shares().map(|p| p * p.ln()).sum::<f64>() / shares().sum::<f64>().max(LEAST);
        Self { logs, truth: of_truth.max(LEAST).ln(), said: mean }
    }

    /// The mean of the logs under the probabilities at a power.
    fn mean(&self, power: f64) -> f64 {
        let top = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut weights, mut sum) = (0.0, 0.0);
        for log in &self.logs {
            let weight = ((log - top) * power).exp();
            weights += weight;
            sum += weight * log;
        }
        sum / weights
    }
}
