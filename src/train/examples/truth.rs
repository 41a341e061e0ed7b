//! The truth about a generated product in the words of a project's schema.

use super::ExamplesError;
use crate::domain::{Address, BoundingBox, FieldKind, Label, Schema, Value};

/// What is known of a generated product.
#[derive(Clone, Copy)]
pub(super) struct Truth<'a> {
    pub(super) image_type: &'a str,
    /// How many parts the product has by its drawing, where they are counted.
    pub(super) quantity: Option<i64>,
    /// The id of what is wrong; `None` with a good product.
    pub(super) mode: Option<&'a str>,
    /// Where that is.
    pub(super) address: Option<Address>,
    /// Where that is on the picture.
    pub(super) area: Option<BoundingBox>,
}

impl Truth<'_> {
    /// The label, field by field; fails where the schema has no words for it.
    pub(super) fn label(&self, schema: &Schema) -> Result<Label, ExamplesError> {
        let mut label = Label::default();
        let choice = |word: &str| (Value::Choice(word.to_owned()), word.to_owned());
        for field in schema.fields() {
            let (value, text) = match (field.id.as_str(), &field.kind, self.quantity) {
                ("image_type", _, _) => choice(self.image_type),
                ("quantity", _, Some(quantity)) => (Value::Integer(quantity), quantity.to_string()),
                ("judgement", _, _) => choice(if self.mode.is_some() { "defective" } else { "passed" }),
                ("defect_mode", _, _) => choice(self.mode.unwrap_or("passed")),
                (_, FieldKind::Address { .. }, _) => (Value::Address(self.address), "the position of the defect".to_owned()),
                (_, FieldKind::Box { .. }, _) => (Value::Box(self.area), "the box of the defect".to_owned()),
                _ if field.required => return Err(ExamplesError::Unsaid(field.id.clone())),
                _ => continue,
            };
            label.set(schema, &field.id, value).map_err(|problem| ExamplesError::Schema {
                field: problem.field,
                expected: problem.error.expected,
                got: text,
            })?;
        }
        Ok(label)
    }
}
