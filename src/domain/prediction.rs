//! What a model says of a sample, and how sure it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FieldId, Value};

/// The kind of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Instruction, reference and query; the answer.
    ZeroShot,
    /// An exemplar with its answer first, then the zero-shot turns.
    OneShot,
}

impl Kind {
    /// `zero-shot` or `one-shot`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZeroShot => "zero-shot",
            Self::OneShot => "one-shot",
        }
    }

    /// The kind that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ZeroShot, Self::OneShot].into_iter().find(|kind| kind.name() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which exemplar a one-shot prediction was given; the others are controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exemplar {
    /// The exemplar that the plan picks.
    Right,
    /// One whose answer names another address.
    Wrong,
    /// None at all.
    None,
}

impl Exemplar {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Right, Self::Wrong, Self::None];

    /// `right`, `wrong` or `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::None => "none",
        }
    }

    /// The one that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|exemplar| exemplar.name() == text)
    }
}

/// What made a prediction: two predictions of a sample differ in nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PredictionSource {
    /// The model's name.
    pub model: String,
    /// The adapter on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The instruction version that was asked with.
    pub instruction: String,
    /// The exemplar that was shown.
    pub exemplar: Exemplar,
    /// The kind of conversation.
    pub kind: Kind,
}

/// What a model says of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPrediction {
    /// The likeliest allowed value.
    pub value: Value,
    /// Probabilities of allowed values, each 0 to 1, likeliest first, normalised over all allowed values.
    pub probabilities: Vec<(Value, f32)>,
    /// The probability mass that lay outside the format, 0 to 1.
    pub outside: f32,
}

impl FieldPrediction {
    /// The probability of a value; 0 when the model did not consider it.
    pub fn probability(&self, value: &Value) -> f32 {
        self.probabilities.iter().find(|(listed, _)| listed == value).map_or(0.0, |(_, p)| *p)
    }

    /// The probability of the value that was chosen.
    pub fn confidence(&self) -> f32 {
        self.probability(&self.value)
    }

    /// The probability of all values that are not listed, 0 to 1. Less than one in a thousand is taken for rounding and
    /// is 0.
    pub fn unlisted(&self) -> f64 {
        let rest = 1.0 - self.probabilities.iter().map(|(_, p)| f64::from(*p)).sum::<f64>();
        if rest < ROUNDING { 0.0 } else { rest }
    }

    /// The same prediction at a temperature: each probability to the power of its inverse, then normalised again. Above
    /// 1 it is less sure of itself, below 1 more. What is not listed counts as one more value; no order changes. A
    /// temperature that is not positive and finite changes nothing.
    #[must_use]
    pub fn at_temperature(mut self, temperature: f32) -> Self {
        let power = 1.0 / f64::from(temperature);
        if temperature == 1.0 || !power.is_finite() || power <= 0.0 {
            return self;
        }
        let powers: Vec<f64> = self.probabilities.iter().map(|(_, p)| f64::from(*p).powf(power)).collect();
        let sum = powers.iter().sum::<f64>() + self.unlisted().powf(power);
        if sum > 0.0 {
            self.probabilities.iter_mut().zip(powers).for_each(|((_, p), raised)| *p = (raised / sum) as f32);
        }
        self
    }
}

/// How much listed probabilities may fall short of 1 by being rounded.
const ROUNDING: f64 = 1e-3;

/// Temperatures of fields, by which a source's probabilities become those that its answers deserve.
pub type Temperatures = BTreeMap<FieldId, f32>;

/// What a model says of one sample. It is no label and never becomes one by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Its number in the store, by which an edit names it.
    pub id: i64,
    /// What made it.
    pub source: PredictionSource,
    /// Field by field.
    pub fields: BTreeMap<FieldId, FieldPrediction>,
}

impl Prediction {
    /// The confidence in the whole answer: that of its least certain field.
    pub fn confidence(&self) -> Option<f32> {
        self.fields.values().map(FieldPrediction::confidence).reduce(f32::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(shares: &[f32]) -> FieldPrediction {
        let value = |n: usize| Value::Integer(n as i64);
        let probabilities = shares.iter().enumerate().map(|(n, p)| (value(n), *p)).collect();
        FieldPrediction { value: value(0), probabilities, outside: 0.0 }
    }

    fn shares(said: &FieldPrediction) -> Vec<f32> {
        said.probabilities.iter().map(|(_, p)| (p * 1e4).round() / 1e4).collect()
    }

    #[test]
    fn a_temperature_takes_roots_and_powers() {
        assert_eq!(shares(&said(&[0.8, 0.2]).at_temperature(2.0)), [0.6667, 0.3333]);
        assert_eq!(shares(&said(&[0.8, 0.2]).at_temperature(0.5)), [0.9412, 0.0588]);
        assert_eq!(shares(&said(&[1.0, 0.0]).at_temperature(9.0)), [1.0, 0.0]);
        assert_eq!(said(&[0.8, 0.2]).at_temperature(0.0), said(&[0.8, 0.2]));
    }

    #[test]
    fn what_is_not_listed_counts_as_one_value() {
        // A text with 0.8 for itself and 0.2 for all others.
        assert_eq!(shares(&said(&[0.8]).at_temperature(2.0)), [0.6667]);
        assert_eq!(shares(&said(&[0.9999]).at_temperature(4.0)), [1.0]);
    }
}
