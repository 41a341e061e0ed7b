//! The truth of a sample beside what was said of it.

use std::collections::BTreeMap;

use crate::domain::{FieldId, FieldPrediction, Label, SampleId, Schema, Temperatures, Value, breaches};

/// Boxes that share at least this much of what they cover are the same.
const SAME_BOX: f64 = 0.5;

/// The truth of a sample, and one prediction of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The sample.
    pub id: SampleId,
    /// What is true; fields of which nothing is known are missing and not measured.
    pub truth: Label,
    /// What was said, field by field.
    pub said: BTreeMap<FieldId, FieldPrediction>,
}

/// Whether a predicted value is the true one: equal, or for boxes an overlap (intersection over union) of at least 0.5.
pub fn same(truth: &Value, said: &Value) -> bool {
    match (truth, said) {
        (Value::Box(Some(truth)), Value::Box(Some(said))) => truth.overlap(*said) >= SAME_BOX,
        _ => truth == said,
    }
}

impl Pair {
    /// Whether the field is predicted right, a field without a prediction being wrong; `None` where its truth is not known.
    pub fn right(&self, field: &FieldId) -> Option<bool> {
        let truth = self.truth.get(field)?;
        Some(self.said.get(field).is_some_and(|said| same(truth, &said.value)))
    }

    /// Whether every field whose truth is known is predicted right; `None` where nothing is known.
    pub fn whole(&self) -> Option<bool> {
        (!self.truth.is_empty()).then(|| self.truth.iter().all(|(field, _)| self.right(field) == Some(true)))
    }

    /// Whether the answer is one that schema and rules allow: every required field is there, every value allowed, no
    /// rule broken.
    pub fn valid(&self, schema: &Schema) -> bool {
        let mut label = Label::default();
        let allowed = self.said.iter().all(|(field, said)| label.set(schema, field, said.value.clone()).is_ok());
        allowed && breaches(schema, &label).is_empty()
    }

    /// The confidence in the whole answer: that of its least certain field; `None` without a field.
    pub fn confidence(&self) -> Option<f32> {
        self.said.values().map(FieldPrediction::confidence).reduce(f32::min)
    }

    /// The same pair with what was said at other temperatures.
    #[must_use]
    pub fn at(mut self, temperatures: &Temperatures) -> Self {
        let at = |field: &FieldId| temperatures.get(field).copied().unwrap_or(1.0);
        self.said = self.said.into_iter().map(|(field, said)| (field.clone(), said.at_temperature(at(&field)))).collect();
        self
    }
}
