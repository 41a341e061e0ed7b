//! The project file as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Light;
use crate::domain::{Split, Symmetries};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProject {
    pub(super) project: RawHead,
    pub(super) fields: Vec<RawField>,
    #[serde(default)]
    pub(super) rules: Vec<RawRule>,
    pub(super) answers: RawAnswers,
    pub(super) instructions: RawInstructions,
    #[serde(default)]
    pub(super) pools: RawPools,
    #[serde(default)]
    pub(super) plan: RawPlan,
    #[serde(default)]
    pub(super) splits: RawSplits,
    #[serde(default)]
    pub(super) import: RawImport,
    #[serde(default)]
    pub(super) model: RawModel,
    #[serde(default)]
    pub(super) corners: BTreeMap<String, [[f64; 2]; 4]>,
    #[serde(default)]
    pub(super) train: RawTrain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHead {
    pub(super) name: String,
    pub(super) image_types: Vec<String>,
    pub(super) image_type_field: Option<String>,
    #[serde(default)]
    pub(super) difference: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) id: String,
    pub(super) title: Option<String>,
    pub(super) kind: RawKind,
    #[serde(default = "yes")]
    pub(super) required: bool,
    pub(super) options: Option<Vec<String>>,
    pub(super) none: Option<String>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) unit: Option<String>,
    pub(super) max_chars: Option<usize>,
    pub(super) rows: Option<Vec<String>>,
    pub(super) columns: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawKind {
    Choice,
    MultiChoice,
    Integer,
    Text,
    Address,
    Box,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) when: BTreeMap<String, RawCondition>,
    pub(super) then: BTreeMap<String, RawCondition>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value, a list of values, or { not = … }")]
pub(super) enum RawCondition {
    Is(RawValues),
    Not(RawNot),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNot {
    pub(super) not: RawValues,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value or a list of values")]
pub(super) enum RawValues {
    One(RawScalar),
    Many(Vec<RawScalar>),
}

impl RawValues {
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.text()],
            Self::Many(many) => many.iter().map(RawScalar::text).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a whole number")]
pub(super) enum RawScalar {
    Integer(i64),
    Text(String),
}

impl RawScalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAnswers {
    pub(super) query: String,
    pub(super) exemplar: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInstructions {
    pub(super) version: String,
    pub(super) language: String,
    pub(super) texts: Vec<RawInstructionText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInstructionText {
    pub(super) version: String,
    pub(super) language: String,
    pub(super) image_type: Option<String>,
    pub(super) query: String,
    #[serde(default)]
    pub(super) exemplar: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPools {
    #[serde(default)]
    pub(super) reference: Vec<RawPoolImage>,
    #[serde(default)]
    pub(super) exemplar: Vec<RawPoolImage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPoolImage {
    pub(super) image_type: String,
    pub(super) image: String,
    pub(super) address: Option<String>,
    pub(super) sample: Option<String>,
    pub(super) group: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlan {
    #[serde(default = "first_500")]
    pub(super) one_shot: RawOneShot,
    #[serde(default)]
    pub(super) seed: u64,
}

impl Default for RawPlan {
    fn default() -> Self {
        Self { one_shot: first_500(), seed: 0 }
    }
}

/// The original recipe: the first 500 samples become one-shot.
fn first_500() -> RawOneShot {
    RawOneShot::First(500)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of samples, { fraction = 0.5 }, \"all\", \"none\" or \"both\"")]
pub(super) enum RawOneShot {
    First(u64),
    Fraction(RawFraction),
    Word(RawPlanWord),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFraction {
    pub(super) fraction: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawPlanWord {
    All,
    None,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSplits {
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default = "tenth")]
    pub(super) validation: f64,
    #[serde(default = "tenth")]
    pub(super) test: f64,
    #[serde(default)]
    pub(super) pinned: BTreeMap<String, Split>,
}

fn tenth() -> f64 {
    0.1
}

impl Default for RawSplits {
    fn default() -> Self {
        Self { seed: 0, validation: tenth(), test: tenth(), pinned: BTreeMap::new() }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawImport {
    #[serde(default)]
    pub(super) columns: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) defaults: BTreeMap<String, RawScalar>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) name: Option<String>,
    pub(super) server: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrain {
    #[serde(default)]
    pub(super) symmetries: Symmetries,
    #[serde(default)]
    pub(super) light: Light,
}
