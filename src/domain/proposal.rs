//! What the form proposes before a reviewer has said anything.

use super::{FieldId, Label, Prediction, Schema, Value, ValueOrigin};

/// What is proposed for one field.
#[derive(Debug, Clone, PartialEq)]
pub enum ProposedField {
    /// One value, and where it comes from.
    Value(Value, ValueOrigin),
    /// Label and prediction differ: neither is preselected.
    Conflict {
        /// What the current label says.
        label: Value,
        /// What the model says.
        predicted: Value,
        /// The prediction's number.
        prediction: i64,
    },
    /// Nothing is known.
    Nothing,
}

/// What is proposed for each field, in the schema's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Field by field.
    pub fields: Vec<(FieldId, ProposedField)>,
}

/// Lays label and prediction side by side: the label where there is one, else the prediction, neither where they
/// differ. `decided` are the fields that a reviewer has already set; they stand against any prediction.
pub fn propose(schema: &Schema, label: &Label, decided: &dyn Fn(&FieldId) -> bool, prediction: Option<&Prediction>) -> Proposal {
    let fields = schema
        .fields()
        .iter()
        .map(|field| {
            let predicted = prediction.and_then(|prediction| Some((prediction.id, &prediction.fields.get(&field.id)?.value)));
            let proposed = match (label.get(&field.id), predicted) {
                (Some(value), _) if decided(&field.id) => ProposedField::Value(value.clone(), ValueOrigin::Typed),
                (Some(label), Some((prediction, predicted))) if label != predicted => {
                    ProposedField::Conflict { label: label.clone(), predicted: predicted.clone(), prediction }
                }
                (Some(value), _) => ProposedField::Value(value.clone(), ValueOrigin::Imported),
                (None, Some((prediction, predicted))) => ProposedField::Value(predicted.clone(), ValueOrigin::Prediction(prediction)),
                (None, None) => ProposedField::Nothing,
            };
            (field.id.clone(), proposed)
        })
        .collect();
    Proposal { fields }
}

impl Proposal {
    /// The fields where label and prediction differ.
    pub fn conflicts(&self) -> impl Iterator<Item = &FieldId> {
        self.fields.iter().filter(|(_, proposed)| matches!(proposed, ProposedField::Conflict { .. })).map(|(id, _)| id)
    }

    /// The proposal with every conflict settled for the label or for the prediction.
    #[must_use]
    pub fn settled(mut self, for_prediction: bool) -> Self {
        for (_, proposed) in &mut self.fields {
            if let ProposedField::Conflict { label, predicted, prediction } = proposed {
                *proposed = if for_prediction {
                    ProposedField::Value(predicted.clone(), ValueOrigin::Prediction(*prediction))
                } else {
                    ProposedField::Value(label.clone(), ValueOrigin::Imported)
                };
            }
        }
        self
    }

    /// The values that are proposed without a conflict.
    pub fn values(&self) -> impl Iterator<Item = (&FieldId, &Value, &ValueOrigin)> {
        self.fields.iter().filter_map(|(id, proposed)| match proposed {
            ProposedField::Value(value, origin) => Some((id, value, origin)),
            ProposedField::Conflict { .. } | ProposedField::Nothing => None,
        })
    }
}
