//! What can lie at a place: read from the rules between a project's fields.

use crate::domain::{FieldId, FieldKind, Label, Rule, Schema, Value};

/// The classes of the dense loss.
///
/// A rule such as "passed: no position" tells which value of which choice field means that nothing is there; that
/// field's other options are the classes. Where no rule tells, there is one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    field: Option<FieldId>,
    names: Vec<String>,
}

/// What a project without such a rule calls what it looks for.
const ONLY: &str = "defect";

impl Classes {
    /// The classes of a schema.
    pub fn of(schema: &Schema) -> Self {
        let candidates = schema.rules().iter().filter(|rule| says_nowhere(rule)).flat_map(|rule| &rule.then);
        let found = candidates
            .filter_map(|condition| {
                let field = schema.field(&condition.field)?;
                match (&field.kind, condition.values.as_slice(), condition.one_of) {
                    (FieldKind::Choice { options }, [Value::Choice(good)], true) => Some((field, options, good)),
                    _ => None,
                }
            })
            .max_by_key(|(_, options, _)| options.len());
        match found {
            Some((field, options, good)) => {
                Self { field: Some(field.id.clone()), names: options.iter().filter(|option| *option != good).cloned().collect() }
            }
            None => Self { field: None, names: vec![ONLY.to_owned()] },
        }
    }

    /// The classes' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The class that a label names; `None` where it names none, or nothing is said.
    pub fn of_label(&self, label: &Label) -> Option<usize> {
        let Some(field) = &self.field else { return Some(0) };
        match label.get(field) {
            Some(Value::Choice(option)) => self.named(option),
            _ => None,
        }
    }

    /// The class of this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}

/// Whether a rule forces some address or box to be none.
fn says_nowhere(rule: &Rule) -> bool {
    rule.then.iter().any(|condition| condition.one_of && matches!(condition.values.as_slice(), [Value::Address(None) | Value::Box(None)]))
}
