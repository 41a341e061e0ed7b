//! Labels, edits and predictions as the texts in which they are stored.
//!
//! Values stand in their canonical text, so that they survive a change of the schema as far as it still allows them;
//! what it no longer allows is left out and reported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::domain::{Edit, FieldId, FieldPrediction, ImageHashes, Label, LabelProblem, Schema, Shown, Value, ValueOrigin};

/// JSON, field id to canonical text.
pub(super) fn write_label(schema: &Schema, label: &Label) -> Result<String, StoreError> {
    write(&label.texts(schema).collect::<BTreeMap<_, _>>())
}

pub(super) fn read_label(schema: &Schema, text: &str) -> Result<(Label, Vec<LabelProblem>), StoreError> {
    let texts: BTreeMap<String, String> = read("an imported label", text)?;
    Ok(Label::from_texts(schema, texts.iter().map(|(id, text)| (id.as_str(), text.as_str()))))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredEdit {
    Set { field: String, value: String, origin: ValueOrigin },
    Approve { label: Vec<(String, String, ValueOrigin)>, images: ImageHashes, shown: Shown },
    Reject,
    Reopen,
    Flag(bool),
    Comment(String),
}

/// A value of a field that is not the schema's never gets here: decisions are checked first.
pub(super) fn write_edit(schema: &Schema, edit: &Edit) -> Result<String, StoreError> {
    let text = |field: &FieldId, value: &Value| schema.field(field).map(|field| field.render(value)).unwrap_or_default();
    write(&match edit {
        Edit::Set { field, value, origin } => {
            StoredEdit::Set { field: field.to_string(), value: text(field, value), origin: origin.clone() }
        }
        Edit::Approve { label, images, shown } => StoredEdit::Approve {
            label: label.iter().map(|(field, value, origin)| (field.to_string(), text(field, value), origin.clone())).collect(),
            images: images.clone(),
            shown: shown.clone(),
        },
        Edit::Reject => StoredEdit::Reject,
        Edit::Reopen => StoredEdit::Reopen,
        Edit::Flag(on) => StoredEdit::Flag(*on),
        Edit::Comment(text) => StoredEdit::Comment(text.clone()),
    })
}

/// The edit, as far as the schema still allows its values; a [`Edit::Set`] of which nothing is left is `None`.
pub(super) fn read_edit(schema: &Schema, text: &str) -> Result<(Option<Edit>, Vec<LabelProblem>), StoreError> {
    let mut problems = Vec::new();
    let mut checked = |id: &str, text: &str| -> Option<(FieldId, Value)> {
        let (label, refused) = Label::from_texts(schema, [(id, text)]);
        problems.extend(refused);
        label.iter().next().map(|(field, value)| (field.clone(), value.clone()))
    };
    let edit = match read("an edit", text)? {
        StoredEdit::Set { field, value, origin } => checked(&field, &value).map(|(field, value)| Edit::Set { field, value, origin }),
        StoredEdit::Approve { label, images, shown } => Some(Edit::Approve {
            label: label
                .iter()
                .filter_map(|(field, value, origin)| checked(field, value).map(|(field, value)| (field, value, origin.clone())))
                .collect(),
            images,
            shown,
        }),
        StoredEdit::Reject => Some(Edit::Reject),
        StoredEdit::Reopen => Some(Edit::Reopen),
        StoredEdit::Flag(on) => Some(Edit::Flag(on)),
        StoredEdit::Comment(text) => Some(Edit::Comment(text)),
    };
    Ok((edit, problems))
}

#[derive(Serialize, Deserialize)]
struct StoredField {
    value: String,
    /// Likeliest first.
    probabilities: Vec<(String, f32)>,
    outside: f32,
}

/// What a model said, by field.
pub type PredictedFields = BTreeMap<FieldId, FieldPrediction>;

pub(super) fn write_prediction(schema: &Schema, fields: &PredictedFields) -> Result<String, StoreError> {
    let stored = fields.iter().filter_map(|(id, said)| {
        let field = schema.field(id).filter(|field| field.allows(&said.value))?;
        let probabilities = said.probabilities.iter().map(|(value, share)| (field.render(value), *share)).collect();
        Some((id, StoredField { value: field.render(&said.value), probabilities, outside: said.outside }))
    });
    write(&stored.collect::<BTreeMap<_, _>>())
}

/// The prediction, as far as the schema still knows its fields and allows its values.
pub(super) fn read_prediction(schema: &Schema, text: &str) -> Result<PredictedFields, StoreError> {
    let stored: BTreeMap<String, StoredField> = read("a prediction", text)?;
    let fields = stored.into_iter().filter_map(|(id, stored)| {
        let field = schema.field_named(&id)?;
        let value = field.parse(&stored.value).ok()?;
        let probabilities = stored.probabilities.iter().filter_map(|(text, share)| Some((field.parse(text).ok()?, *share))).collect();
        Some((field.id.clone(), FieldPrediction { value, probabilities, outside: stored.outside }))
    });
    Ok(fields.collect())
}

/// Any of our own structures as JSON.
pub(super) fn write(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::damaged("a value that can be written as JSON"))
}

/// One of our own structures from JSON.
pub(super) fn read<'a, T: Deserialize<'a>>(expected: &'static str, text: &'a str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::damaged(expected)(format!("{error} in {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContentHash;
    use crate::store::testing::{every_kind, label, pins};

    #[test]
    fn edits_read_back() {
        let schema = every_kind();
        let label = label(&schema, &[("judgement", "defective"), ("position", "U3"), ("marks", "chip, burr"), ("area", "none")]);
        let approve = Edit::Approve {
            label: label.iter().map(|(field, value)| (field.clone(), value.clone(), ValueOrigin::Prediction(3))).collect(),
            images: ImageHashes { query: ContentHash::from_bytes([1; 32]), reference: None },
            shown: Shown::Sample { protocol: "kitty".into(), zoom: 200 },
        };
        for edit in [approve, Edit::Reject, Edit::Reopen, Edit::Flag(true), Edit::Comment("見て".into())] {
            let text = write_edit(&schema, &edit).unwrap();
            assert_eq!(read_edit(&schema, &text).unwrap(), (Some(edit), vec![]), "{text}");
        }
    }

    #[test]
    fn what_the_schema_no_longer_allows_is_left_out_and_reported() {
        let schema = pins();
        let (edit, problems) = read_edit(&schema, r#"{"set":{"field":"judgement","value":"maybe","origin":"typed"}}"#).unwrap();
        assert_eq!((edit, problems.len()), (None, 1));
        let text = r#"{"approve":{"label":[["judgement","passed","typed"],["colour","red","typed"]],"images":{"query":"HASH"},"shown":"not-shown"}}"#;
        let (edit, problems) = read_edit(&schema, &text.replace("HASH", &"ab".repeat(32))).unwrap();
        assert!(matches!(edit, Some(Edit::Approve { label, .. }) if label.len() == 1));
        assert_eq!(problems[0].field, "colour");
        assert!(matches!(read_edit(&schema, "{"), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn predictions_read_back_exactly() {
        let schema = pins();
        let field = schema.field_named("judgement").unwrap();
        let value = |text| field.parse(text).unwrap();
        let probabilities = vec![(value("defective"), 0.700_000_05), (value("passed"), 0.1 + 0.2)];
        let said = FieldPrediction { value: value("defective"), probabilities, outside: 1e-7 };
        let fields = PredictedFields::from([(field.id.clone(), said)]);
        assert_eq!(read_prediction(&schema, &write_prediction(&schema, &fields).unwrap()).unwrap(), fields);
    }
}
