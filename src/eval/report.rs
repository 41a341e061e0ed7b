//! All figures of one way of predicting.

use super::address::AddressErrors;
use super::bootstrap::Share;
use super::calibration::{Calibration, Sure, calibration, measure};
use super::confusion::{Confusion, Mistake, mistakes};
use super::judgement::{Judgement, good_value};
use super::{Pair, same};
use crate::domain::{BoundingBox, Field, FieldId, FieldPrediction, Schema, Temperatures, Value};

/// What one source's predictions are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Samples that were measured.
    pub samples: u64,
    /// Answers that schema and rules allow.
    pub valid: Share,
    /// Answers in which every field with a known truth is right.
    pub whole: Share,
    /// How sure it is of whole answers, at the temperatures of its fields; none without predictions.
    pub calibration: Option<Calibration>,
    /// Field by field, in the schema's order; fields of which no truth is known are left out.
    pub fields: Vec<FieldReport>,
    /// How products are judged, where the rules tell which value is good.
    pub judgement: Option<Judgement>,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldReport {
    /// Which one.
    pub field: FieldId,
    /// Predictions that are right.
    pub exact: Share,
    /// How sure it is, as the model said it.
    pub said: Option<Calibration>,
    /// The temperature at which its predictions are read, where one was fitted.
    pub temperature: Option<f32>,
    /// How sure it is at that temperature.
    pub corrected: Option<Calibration>,
    /// What is taken for what, of a choice.
    pub confusion: Option<Confusion>,
    /// What was said wrong, most frequent first.
    pub mistakes: Vec<Mistake>,
    /// Where an address goes wrong.
    pub address: Option<AddressErrors>,
    /// The mean overlap (intersection over union) of samples with a true and a predicted box.
    pub overlap: Option<f64>,
}

impl FieldReport {
    /// The calibration at which its predictions are read.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.corrected.as_ref().or(self.said.as_ref())
    }
}

/// Measures predictions as they were said; temperatures only change how sure they are.
pub fn report(schema: &Schema, pairs: &[Pair], temperatures: &Temperatures) -> Report {
    let fields = schema.fields().iter().map(|field| of_field(field, pairs, temperatures.get(&field.id).copied()));
    let fields: Vec<FieldReport> = fields.filter(|field| field.exact.of > 0).collect();
    let judged = good_value(schema).map(|good| Judgement::of(good, pairs));
    let whole = pairs.iter().filter_map(|pair| Some(Sure::of_answer(pair.clone().at(temperatures).confidence()?, pair.whole()?)));
    Report {
        samples: pairs.len() as u64,
        valid: Share::of(pairs.iter().map(|pair| pair.valid(schema))),
        whole: Share::of(pairs.iter().filter_map(Pair::whole)),
        calibration: measure(whole),
        judgement: judged.filter(|judgement| fields.iter().any(|field| field.field == judgement.good.field)),
        fields,
    }
}

fn of_field(field: &Field, pairs: &[Pair], temperature: Option<f32>) -> FieldReport {
    let known = || pairs.iter().filter_map(|pair| Some((pair.said.get(&field.id)?, pair.truth.get(&field.id)?)));
    let corrected = temperature.and_then(|temperature| {
        let at: Vec<(FieldPrediction, &Value)> = known().map(|(said, truth)| (said.clone().at_temperature(temperature), truth)).collect();
        calibration(at.iter().map(|(said, truth)| (said, *truth)))
    });
    FieldReport {
        field: field.id.clone(),
        exact: Share::of(pairs.iter().filter_map(|pair| pair.right(&field.id))),
        said: calibration(known()),
        temperature,
        corrected,
        confusion: Confusion::of_field(field, pairs),
        mistakes: mistakes(field, pairs),
        address: AddressErrors::of(field, pairs),
        overlap: overlap(known().filter_map(|(said, truth)| match (truth, &said.value) {
            (Value::Box(Some(truth)), Value::Box(Some(said))) => Some((*truth, *said)),
            _ => None,
        })),
    }
}

fn overlap(boxes: impl Iterator<Item = (BoundingBox, BoundingBox)>) -> Option<f64> {
    let (sum, count) = boxes.fold((0.0, 0_u64), |(sum, count), (truth, said)| (sum + truth.overlap(said), count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The share of samples of which two ways of predicting say different things, in a field or in any; each sample's two
/// predictions stand side by side.
pub fn changed<'a>(pairs: impl IntoIterator<Item = (&'a Pair, &'a Pair)>, field: Option<&FieldId>) -> Share {
    Share::of(pairs.into_iter().map(|(a, b)| {
        let differs = |field: &FieldId| match (a.said.get(field), b.said.get(field)) {
            (Some(a), Some(b)) => !same(&a.value, &b.value),
            (a, b) => a.is_some() != b.is_some(),
        };
        match field {
            Some(field) => differs(field),
            None => a.said.keys().chain(b.said.keys()).any(differs),
        }
    }))
}
