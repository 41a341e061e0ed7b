//! Rules between fields: "when the judgement is passed, the defect mode is passed and the position is none".

use super::{FieldId, Label, Value};

/// A test of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The field that is looked at.
    pub field: FieldId,
    /// The values named.
    pub values: Vec<Value>,
    /// Whether the field must be one of them (`true`) or none of them (`false`).
    pub one_of: bool,
}

impl Condition {
    /// Whether the label meets the condition; `None` while the field has no value.
    pub fn holds(&self, label: &Label) -> Option<bool> {
        label.get(&self.field).map(|value| self.allows(value))
    }

    /// Whether a value of the field meets the condition.
    pub fn allows(&self, value: &Value) -> bool {
        self.values.contains(value) == self.one_of
    }
}

/// When all of `when` hold, all of `then` must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The conditions that bring the rule into force.
    pub when: Vec<Condition>,
    /// What must then hold.
    pub then: Vec<Condition>,
}

impl Rule {
    /// Whether every condition of `when` is known to hold.
    pub fn in_force(&self, label: &Label) -> bool {
        self.when.iter().all(|condition| condition.holds(label) == Some(true))
    }

    /// The conditions that the label breaks; a field without a value breaks none.
    pub fn broken<'a>(&'a self, label: &'a Label) -> impl Iterator<Item = &'a Condition> + 'a {
        let in_force = self.in_force(label);
        self.then.iter().filter(move |condition| in_force && condition.holds(label) == Some(false))
    }
}
