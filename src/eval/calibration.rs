//! Whether a model is right as often as it says it is.

use crate::domain::{FieldPrediction, Value};

use super::same;

/// Bins of confidence, of equal width.
pub const BINS: usize = 15;

/// The least probability that a logarithm is taken of: what a probability in single precision can be told from 0 by.
pub(super) const LEAST: f64 = 1e-6;

/// Predictions of about the same confidence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// How many.
    pub count: u64,
    /// Their mean confidence, 0 to 1; 0 of none.
    pub confidence: f64,
    /// The share of them that is right, 0 to 1; 0 of none.
    pub accuracy: f64,
}

/// How confidence and being right go together.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Predictions in it.
    pub samples: u64,
    /// Expected calibration error: how far confidence and accuracy lie apart, bin by bin, weighted by count; 0 to 1.
    pub ece: f64,
    /// From confidence 0 to 1 in steps of 1/15.
    pub bins: Vec<Bin>,
    /// The mean squared distance of probabilities and truth, summed over the values: 0 to 2.
    pub brier: f64,
    /// The mean negative logarithm of the true value's probability, in nats; at most 13.8, since less than a millionth is
    /// taken for a millionth.
    pub nll: f64,
}

/// One prediction as calibration sees it.
pub(super) struct Sure {
    /// The confidence in what was said.
    pub confidence: f64,
    /// Whether it is right.
    pub right: bool,
    /// The Brier score.
    pub brier: f64,
    /// The probability of the truth.
    pub truth: f64,
}

impl Sure {
    /// A field's prediction beside its truth. Where values are not listed one by one, their mass counts as one value, and
    /// the truth as that one when it is not listed.
    pub(super) fn of_field(said: &FieldPrediction, truth: &Value) -> Self {
        let (unlisted, mut listed) = (said.unlisted(), false);
        let (mut brier, mut of_truth) = (0.0, 0.0);
        for (value, p) in &said.probabilities {
            let (p, is) = (f64::from(*p), same(truth, value));
            // Of several boxes that all are the true one, the first is.
            let is = is && !listed;
            listed |= is;
            brier += (p - f64::from(u8::from(is))).powi(2);
            of_truth += if is { p } else { 0.0 };
        }
        if !listed {
            of_truth = unlisted;
        }
        brier += (unlisted - f64::from(u8::from(!listed))).powi(2);
        Self { confidence: f64::from(said.confidence()), right: same(truth, &said.value), brier, truth: of_truth }
    }

    /// A whole answer: right, or not.
    pub(super) fn of_answer(confidence: f32, right: bool) -> Self {
        let confidence = f64::from(confidence);
        let truth = if right { confidence } else { 1.0 - confidence };
        // Two values: what was said, and anything else.
        Self { confidence, right, brier: 2.0 * (1.0 - truth).powi(2), truth }
    }
}

/// The calibration of predictions of one field, each beside its truth; `None` of none.
pub fn calibration<'a>(pairs: impl IntoIterator<Item = (&'a FieldPrediction, &'a Value)>) -> Option<Calibration> {
    measure(pairs.into_iter().map(|(said, truth)| Sure::of_field(said, truth)))
}

/// The calibration of some predictions; `None` of none.
pub(super) fn measure(predictions: impl IntoIterator<Item = Sure>) -> Option<Calibration> {
    let (mut bins, mut samples, mut brier, mut nll) = (vec![Bin::default(); BINS], 0_u64, 0.0, 0.0);
    for said in predictions {
        let bin = &mut bins[((said.confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.count += 1;
        bin.confidence += said.confidence;
        bin.accuracy += f64::from(u8::from(said.right));
        samples += 1;
        brier += said.brier;
        nll -= said.truth.max(LEAST).ln();
    }
    if samples == 0 {
        return None;
    }
    let whole = samples as f64;
    // Sums so far: what they lie apart needs no division by the bin's count.
    let ece = bins.iter().map(|bin| (bin.accuracy - bin.confidence).abs()).sum::<f64>() / whole;
    for bin in bins.iter_mut().filter(|bin| bin.count > 0) {
        bin.confidence /= bin.count as f64;
        bin.accuracy /= bin.count as f64;
    }
    Some(Calibration { samples, ece, bins, brier: brier / whole, nll: nll / whole })
}
