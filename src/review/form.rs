//! The form: what is proposed for a sample, what the reviewer has said to it, and what the rules make of both.
//!
//! Pure: every step can be taken back exactly.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entry::{Answer, Entry};
use crate::domain::{Breach, Condition, Field, FieldId, Label, Proposal, ProposedField, Schema, Value, ValueOrigin, breaches};

/// What the reviewer has said to one field.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    /// Nothing: the proposal stands.
    Nothing,
    /// A value; by a rule where the reviewer has not named it.
    Given { value: Value, origin: ValueOrigin, by_rule: bool },
    /// The proposal does not hold any more.
    Cleared,
}

/// How a field stands, for drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing<'a> {
    /// It has a value.
    Value {
        /// The value.
        value: &'a Value,
        /// Where it comes from.
        origin: &'a ValueOrigin,
        /// Who said so.
        how: How,
    },
    /// Label and prediction differ, and nobody has chosen.
    Conflict {
        /// What the label says.
        label: &'a Value,
        /// What the model says.
        predicted: &'a Value,
    },
    /// It has no value.
    Open,
}

/// Who gave a field its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is proposed.
    Proposed,
    /// The reviewer chose it.
    Given,
    /// It follows from what the reviewer chose.
    ByRule,
}

/// Why an accept stops at a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Label and prediction differ.
    Conflict,
    /// It is required and has no value.
    Missing,
    /// A rule is broken, or the schema no longer allows the value.
    Breach(String),
}

/// One sample's form.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    entry: Arc<Entry>,
    schema: Arc<Schema>,
    proposal: Proposal,
    said: Vec<Said>,
    past: Vec<Vec<Said>>,
    future: Vec<Vec<Said>>,
}

impl Form {
    /// The form of a sample on which nothing has been said yet.
    pub fn new(schema: Arc<Schema>, entry: Arc<Entry>) -> Self {
        let proposal = entry.proposal(&schema);
        let said = vec![Said::Nothing; schema.fields().len()];
        Self { entry, schema, proposal, said, past: Vec::new(), future: Vec::new() }
    }

    /// The same form over what the store or the model says now: what the reviewer has said stays.
    #[must_use]
    pub fn over(&self, entry: Arc<Entry>) -> Self {
        Self { proposal: entry.proposal(&self.schema), entry, ..self.clone() }
    }

    /// The sample as it was when the form was made.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The fields.
    pub fn fields(&self) -> &[Field] {
        self.schema.fields()
    }

    /// How a field stands.
    pub fn standing(&self, field: usize) -> Standing<'_> {
        match (self.said.get(field), self.proposal.fields.get(field).map(|(_, proposed)| proposed)) {
            (Some(Said::Given { value, origin, by_rule }), _) => {
                Standing::Value { value, origin, how: if *by_rule { How::ByRule } else { How::Given } }
            }
            (Some(Said::Nothing), Some(ProposedField::Value(value, origin))) => Standing::Value { value, origin, how: How::Proposed },
            (Some(Said::Nothing), Some(ProposedField::Conflict { label, predicted, .. })) => Standing::Conflict { label, predicted },
            _ => Standing::Open,
        }
    }

    /// A field's value, where it has one.
    pub fn value(&self, field: usize) -> Option<&Value> {
        match self.standing(field) {
            Standing::Value { value, .. } => Some(value),
            Standing::Conflict { .. } | Standing::Open => None,
        }
    }

    /// What is proposed for a field, whatever was said: the label's value and the prediction's.
    pub fn proposed(&self, field: usize) -> Vec<(&Value, ValueOrigin)> {
        match self.proposal.fields.get(field).map(|(_, proposed)| proposed) {
            Some(ProposedField::Value(value, origin)) => vec![(value, origin.clone())],
            Some(ProposedField::Conflict { label, predicted, prediction }) => {
                vec![(label, ValueOrigin::Imported), (predicted, ValueOrigin::Prediction(*prediction))]
            }
            Some(ProposedField::Nothing) | None => Vec::new(),
        }
    }

    /// The values that stand.
    pub fn label(&self) -> Label {
        let values = self.fields().iter().enumerate().filter_map(|(index, field)| Some((field, self.value(index)?.clone())));
        Label::from_values(values)
    }

    /// The fields at which an accept stops, in the schema's order.
    pub fn doubts(&self) -> Vec<(usize, Doubt)> {
        let conflicts = (0..self.said.len()).filter(|field| matches!(self.standing(*field), Standing::Conflict { .. }));
        let mut doubts: Vec<(usize, Doubt)> = conflicts.map(|field| (field, Doubt::Conflict)).collect();
        for breach in breaches(&self.schema, &self.label()) {
            let Some(field) = self.place(breach.field()) else { continue };
            let doubt = match &breach {
                Breach::Missing(_) => Doubt::Missing,
                Breach::NotAllowed(_) | Breach::Rule { .. } => Doubt::Breach(breach.message(&self.schema)),
            };
            if doubt != Doubt::Missing || !doubts.contains(&(field, Doubt::Conflict)) {
                doubts.push((field, doubt));
            }
        }
        doubts.sort_by_key(|(field, _)| *field);
        doubts
    }

    /// The label that an accept carries, or why it stops, and where.
    pub fn approval(&self) -> Result<Vec<Answer>, (usize, Doubt)> {
        match self.doubts().into_iter().next() {
            Some(doubt) => Err(doubt),
            None => Ok(self.answers(|_| true)),
        }
    }

    /// What the reviewer has said, and what followed from it.
    pub fn changes(&self) -> Vec<Answer> {
        self.answers(|how| how != How::Proposed)
    }

    /// What the reviewer has chosen by hand.
    pub fn fixes(&self) -> Vec<Answer> {
        self.answers(|how| how == How::Given)
    }

    fn answers(&self, wanted: impl Fn(How) -> bool) -> Vec<Answer> {
        let answer = |(index, field): (usize, &Field)| match self.standing(index) {
            Standing::Value { value, origin, how } if wanted(how) => Some((field.id.clone(), value.clone(), origin.clone())),
            _ => None,
        };
        self.fields().iter().enumerate().filter_map(answer).collect()
    }

    /// Whether the reviewer has said anything.
    pub fn is_touched(&self) -> bool {
        self.said.iter().any(|said| *said != Said::Nothing)
    }

    /// Gives a field a value. `false`, and nothing happens, where the field does not allow it.
    pub fn give(&mut self, field: usize, value: Value, origin: ValueOrigin) -> bool {
        self.give_all(vec![(field, value, origin)])
    }

    /// Gives several fields their values in one step that can be taken back as one.
    pub fn give_all(&mut self, values: Vec<(usize, Value, ValueOrigin)>) -> bool {
        let good = |(field, value, _): &(usize, Value, ValueOrigin)| self.fields().get(*field).is_some_and(|field| field.allows(value));
        if values.is_empty() || !values.iter().all(good) {
            return false;
        }
        self.step();
        let firm: BTreeSet<usize> = values.iter().map(|(field, ..)| *field).collect();
        for (field, value, origin) in values {
            self.said[field] = Said::Given { value, origin, by_rule: false };
        }
        self.follow(firm);
        true
    }

    /// Leaves a field without a value.
    pub fn clear(&mut self, field: usize) -> bool {
        let known = field < self.said.len();
        if known {
            self.step();
            self.said[field] = Said::Cleared;
        }
        known
    }

    /// Takes the last step back; `false` when there is none.
    pub fn undo(&mut self) -> bool {
        let Some(before) = self.past.pop() else { return false };
        self.future.push(std::mem::replace(&mut self.said, before));
        true
    }

    /// Takes the last step again that was taken back.
    pub fn redo(&mut self) -> bool {
        let Some(after) = self.future.pop() else { return false };
        self.past.push(std::mem::replace(&mut self.said, after));
        true
    }

    fn step(&mut self) {
        self.past.push(self.said.clone());
        self.future.clear();
    }

    fn place(&self, id: &FieldId) -> Option<usize> {
        self.fields().iter().position(|field| field.id == *id)
    }

    /// Lets the rules act that speak of the `firm` fields. What is firm stays; what follows becomes firm, so that
    /// each field changes at most once.
    fn follow(&mut self, mut firm: BTreeSet<usize>) {
        while let Some((field, said)) = self.consequence(&firm) {
            self.said[field] = said;
            firm.insert(field);
        }
    }

    /// The next field that a rule changes, and how. Where what is firm stands against a rule, the rule's one free
    /// reason gives way before the rule can change anything else.
    fn consequence(&self, firm: &BTreeSet<usize>) -> Option<(usize, Said)> {
        let label = self.label();
        let is_firm = |condition: &Condition| self.place(&condition.field).is_none_or(|field| firm.contains(&field));
        let rules = || {
            let in_force = self.schema.rules().iter().filter(|rule| rule.in_force(&label));
            in_force.filter(|rule| rule.when.iter().chain(&rule.then).any(is_firm))
        };
        let gives_way = rules().filter(|rule| rule.broken(&label).any(is_firm)).find_map(|rule| {
            let mut free = rule.when.iter().filter(|reason| !is_firm(reason));
            let only = free.next().filter(|_| free.next().is_none())?;
            self.fit(only, &label, |value| !only.allows(value))
        });
        gives_way.or_else(|| {
            let demands = rules().flat_map(|rule| &rule.then).filter(|demand| !is_firm(demand) && demand.holds(&label) != Some(true));
            demands.into_iter().find_map(|demand| self.fit(demand, &label, |value| demand.allows(value)))
        })
    }

    /// What becomes of a field whose value must be another: the only one that is allowed, else the only one of those
    /// proposed, else none. A field without a value stays as it is where there is a choice.
    fn fit(&self, condition: &Condition, label: &Label, allowed: impl Fn(&Value) -> bool) -> Option<(usize, Said)> {
        let place = self.place(&condition.field)?;
        let given = |value: &Value, origin| Said::Given { value: value.clone(), origin, by_rule: true };
        let values = self.fields()[place].values().unwrap_or_default();
        let mut possible = values.iter().filter(|value| allowed(value));
        if let (Some(only), None) = (possible.next(), possible.next()) {
            return Some((place, given(only, ValueOrigin::Typed)));
        }
        let mut proposed = self.proposed(place).into_iter().filter(|(value, _)| allowed(value));
        match (proposed.next(), proposed.next()) {
            (Some((only, origin)), None) => Some((place, given(only, origin))),
            _ => label.get(&condition.field).map(|_| (place, Said::Cleared)),
        }
    }
}
