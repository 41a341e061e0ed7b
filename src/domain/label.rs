//! What is said of one sample: a value for each field, or for some of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

use super::{Field, FieldId, Schema, Value, ValueError};

/// Values by field. Each is allowed by the schema through which it came in; fields may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Label {
    values: BTreeMap<FieldId, Value>,
}

/// Why a text could not become part of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelProblem {
    /// The field as it was named.
    pub field: String,
    /// What the schema says against it.
    pub error: ValueError,
}

impl Label {
    /// The field's value, if there is one.
    pub fn get(&self, field: &FieldId) -> Option<&Value> {
        self.values.get(field)
    }

    /// The label with one field changed, when the schema knows the field and allows the value.
    pub fn set(&mut self, schema: &Schema, field: &FieldId, value: Value) -> Result<(), LabelProblem> {
        match schema.field(field) {
            Some(known) if known.allows(&value) => {
                self.values.insert(field.clone(), value);
                Ok(())
            }
            Some(known) => Err(LabelProblem {
                field: field.to_string(),
                error: ValueError { expected: known.expectation(), got: known.render(&value) },
            }),
            None => Err(unknown_field(schema, field.as_str())),
        }
    }

    /// A label of values that were read by their own fields. Later values of a field replace earlier ones; a value that
    /// its field does not allow is left out.
    pub fn from_values<'a>(values: impl IntoIterator<Item = (&'a Field, Value)>) -> Self {
        let allowed = values.into_iter().filter(|(field, value)| field.allows(value));
        Self { values: allowed.map(|(field, value)| (field.id.clone(), value)).collect() }
    }

    /// Takes a field's value away.
    pub fn clear(&mut self, field: &FieldId) -> Option<Value> {
        self.values.remove(field)
    }

    /// Whether no field has a value.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The fields that have a value, by id.
    pub fn iter(&self) -> Iter<'_, FieldId, Value> {
        self.values.iter()
    }

    /// Reads texts by field; what the schema does not take is reported and left out.
    pub fn from_texts<'a>(schema: &Schema, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<LabelProblem>) {
        let mut label = Self::default();
        let mut problems = Vec::new();
        for (id, text) in texts {
            match schema.field_named(id) {
                Some(field) => match field.parse(text) {
                    Ok(value) => {
                        label.values.insert(field.id.clone(), value);
                    }
                    Err(error) => problems.push(LabelProblem { field: id.to_owned(), error }),
                },
                None => problems.push(unknown_field(schema, id)),
            }
        }
        (label, problems)
    }

    /// The canonical text of each value, in the schema's order.
    pub fn texts<'a>(&'a self, schema: &'a Schema) -> impl Iterator<Item = (&'a FieldId, String)> + 'a {
        schema.fields().iter().filter_map(|field| Some((&field.id, field.render(self.values.get(&field.id)?))))
    }

    /// This label with the other's values laid over it.
    #[must_use]
    pub fn overlaid(mut self, other: &Self) -> Self {
        self.values.extend(other.values.iter().map(|(field, value)| (field.clone(), value.clone())));
        self
    }
}

impl<'a> IntoIterator for &'a Label {
    type Item = (&'a FieldId, &'a Value);
    type IntoIter = Iter<'a, FieldId, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn unknown_field(schema: &Schema, got: &str) -> LabelProblem {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.id.as_str()).collect();
    LabelProblem {
        field: got.to_owned(),
        error: ValueError { expected: format!("one of the fields {}", known.join(", ")), got: got.to_owned() },
    }
}
