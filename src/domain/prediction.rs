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
}

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
