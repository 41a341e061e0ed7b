//! Good and defective products: what the formats of visual inspection say, in the schema's words.

use super::intake::{Draft, Fault};
use super::{Format, ImportError};
use crate::domain::{BoundingBox, Field, FieldKind, Label, Schema, Value, fold_text};

/// The value of `judgement` and of `defect_mode` for a good product.
pub(super) const PASSED: &str = "passed";
const DEFECTIVE: &str = "defective";

/// The fields, by the ids that these formats rely on, as far as the schema has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inspection<'s> {
    schema: &'s Schema,
    judgement: Option<&'s Field>,
    defect_mode: Option<&'s Field>,
    pub position: Option<&'s Field>,
    /// The schema's first box field, whatever its id.
    pub area: Option<&'s Field>,
}

impl<'s> Inspection<'s> {
    /// Fails when the schema lacks one of the needed fields, or when judgement and defect mode do not take the words.
    pub(super) fn of(schema: &'s Schema, format: Format, needed: &[&'static str]) -> Result<Self, ImportError> {
        let problem = |field, expected: &str, got: String| {
            Err(ImportError::Schema { format: format.name(), field, expected: expected.to_owned(), got })
        };
        if let Some(missing) = needed.iter().find(|id| schema.field_named(id).is_none()) {
            return problem(missing, "a field of that id", "none".to_owned());
        }
        for (id, words) in [("judgement", &[PASSED, DEFECTIVE][..]), ("defect_mode", &[PASSED])] {
            if let Some(field) = schema.field_named(id)
                && let Some(word) = words.iter().find(|word| field.parse(word).is_err())
            {
                return problem(id, &format!("one that takes {word:?}"), field.expectation());
            }
        }
        let area = schema.fields().iter().find(|field| matches!(field.kind, FieldKind::Box { .. }));
        let named = |id| schema.field_named(id);
        Ok(Self { schema, judgement: named("judgement"), defect_mode: named("defect_mode"), position: named("position"), area })
    }

    /// Says which defect mode a product has, and with it the judgement; a good one has no position and no box.
    pub(super) fn judge(&self, label: &mut Label, column: &str, mode: &str) -> Result<(), Fault> {
        let mut set = |field: &Field, text: &str| {
            let value = field.parse(text).map_err(|error| Fault::value(column, error))?;
            label.set(self.schema, &field.id, value).map_err(Fault::from)
        };
        let passed = fold_text(mode) == PASSED;
        if let Some(field) = self.defect_mode {
            set(field, mode)?;
        }
        if let Some(field) = self.judgement {
            set(field, if passed { PASSED } else { DEFECTIVE })?;
        }
        let nowhere = [(self.position, Value::Address(None)), (self.area, Value::Box(None))];
        for (field, none) in nowhere.into_iter().filter_map(|(field, none)| Some((field?, none))) {
            if passed && field.allows(&none) {
                label.set(self.schema, &field.id, none)?;
            }
        }
        Ok(())
    }

    /// Says where the defect is, unless the product is good.
    pub(super) fn locate(&self, label: &mut Label, area: BoundingBox) -> Result<(), Fault> {
        match self.area {
            Some(field) if label.get(&field.id).is_none() => Ok(label.set(self.schema, &field.id, Value::Box(Some(area)))?),
            _ => Ok(()),
        }
    }

    /// The same in pixels `[x1, y1, x2, y2]`.
    pub(super) fn locate_pixels<'a>(&self, draft: &mut Draft<'a>, column: &'a str, sides: [f64; 4]) {
        if let Some(field) = self.area
            && draft.label.get(&field.id).is_none()
        {
            draft.boxed(field, column, sides);
        }
    }
}
