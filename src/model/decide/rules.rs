//! The rules between fields, made quick to ask: can the rest of an answer still be completed?

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::{Condition, Field, Rule, Schema, Value};

/// The truth of each condition on a field, for one class of its values.
type Signature = Vec<bool>;

/// Rules over the fields of an answer, by place. Values that no condition tells apart are one class.
#[derive(Debug)]
pub(in crate::model) struct Rules {
    /// By field: the conditions that look at it.
    conditions: Vec<Vec<Condition>>,
    /// By field: the classes that its values fall into; empty where no rule looks at it.
    classes: Vec<Vec<Signature>>,
    /// Each rule as (field, condition) pairs.
    clauses: Vec<Clauses>,
    known: Mutex<HashMap<Vec<Option<u16>>, bool>>,
}

#[derive(Debug, Clone)]
struct Clauses {
    when: Vec<(usize, usize)>,
    then: Vec<(usize, usize)>,
}

/// The most assignments tried for one question; beyond it the answer is taken to be completable.
const MOST_TRIED: u32 = 200_000;
/// The most answers remembered.
const MOST_KNOWN: usize = 100_000;

impl Rules {
    pub(in crate::model) fn new(schema: &Schema, fields: &[Field]) -> Self {
        let mut conditions: Vec<Vec<Condition>> = vec![Vec::new(); fields.len()];
        let mut place = |condition: &Condition| {
            let field = fields.iter().position(|field| field.id == condition.field)?;
            conditions[field].push(condition.clone());
            Some((field, conditions[field].len() - 1))
        };
        let mut clauses = |rule: &Rule| {
            // A field that the answer does not have has no value: a rule that asks for it is never in force, and
            // one that demands something of it is not broken by its absence.
            let when = rule.when.iter().map(&mut place).collect::<Option<Vec<_>>>()?;
            let then = rule.then.iter().filter_map(&mut place).collect();
            Some(Clauses { when, then })
        };
        let all: Vec<Clauses> = schema.rules().iter().filter_map(&mut clauses).collect();
        let classes = fields.iter().zip(&conditions).map(|(field, conditions)| classes(field, conditions)).collect();
        Self { conditions, classes, clauses: all, known: Mutex::default() }
    }

    /// The class of a field's value; `None` where no rule looks at the field.
    pub(in crate::model) fn class(&self, field: usize, value: &Value) -> Option<u16> {
        if self.classes[field].is_empty() {
            return None;
        }
        let signature = signature(&self.conditions[field], value);
        self.classes[field].iter().position(|known| *known == signature).map(|index| index as u16)
    }

    /// Whether values for all other fields exist with which the answer keeps the rules. `None` is a field not decided.
    pub(in crate::model) fn completable(&self, decided: &[Option<u16>]) -> bool {
        if self.clauses.is_empty() {
            return true;
        }
        // What another thread left behind when it panicked is still true.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(decided) {
            return *known;
        }
        let mut tried = 0;
        let found = self.search(&mut decided.to_vec(), 0, &mut tried);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(decided.to_vec(), found);
        found
    }

    /// The class of the values of an open field that no rule names.
    pub(in crate::model) fn unnamed(&self, field: usize) -> Option<u16> {
        let signature: Signature = self.conditions[field].iter().map(|condition| !condition.one_of).collect();
        self.classes[field].iter().position(|known| *known == signature).map(|index| index as u16)
    }

    /// The values that some rule names for a field: where a rule restricts an open field, the value is among these.
    pub(in crate::model) fn named(&self, field: usize) -> impl Iterator<Item = &Value> {
        self.conditions[field].iter().flat_map(|condition| &condition.values)
    }

    fn search(&self, decided: &mut Vec<Option<u16>>, from: usize, tried: &mut u32) -> bool {
        *tried += 1;
        if *tried > MOST_TRIED {
            return true;
        }
        if self.clauses.iter().any(|rule| self.broken(rule, decided)) {
            return false;
        }
        let Some(next) = (from..decided.len()).find(|field| decided[*field].is_none() && !self.classes[*field].is_empty()) else {
            return true;
        };
        for class in 0..self.classes[next].len() {
            decided[next] = Some(class as u16);
            if self.search(decided, next + 1, tried) {
                decided[next] = None;
                return true;
            }
        }
        decided[next] = None;
        false
    }

    fn broken(&self, rule: &Clauses, decided: &[Option<u16>]) -> bool {
        let truth = |(field, condition): &(usize, usize)| decided[*field].map(|class| self.classes[*field][usize::from(class)][*condition]);
        rule.when.iter().all(|clause| truth(clause) == Some(true)) && rule.then.iter().any(|clause| truth(clause) == Some(false))
    }
}

fn signature(conditions: &[Condition], value: &Value) -> Signature {
    conditions.iter().map(|condition| condition.allows(value)).collect()
}

/// The different signatures of a field's values. A field too wide to list also has values that nobody names.
fn classes(field: &Field, conditions: &[Condition]) -> Vec<Signature> {
    if conditions.is_empty() {
        return Vec::new();
    }
    let mut classes: Vec<Signature> = Vec::new();
    let mut add = |signature: Signature| {
        if !classes.contains(&signature) {
            classes.push(signature);
        }
    };
    if let Some(values) = field.values() {
        for value in &values {
            add(signature(conditions, value));
        }
    } else {
        for value in conditions.iter().flat_map(|condition| &condition.values) {
            add(signature(conditions, value));
        }
        add(conditions.iter().map(|condition| !condition.one_of).collect());
    }
    classes
}
