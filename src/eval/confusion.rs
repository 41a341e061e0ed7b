//! What is taken for what.

use std::collections::BTreeMap;

use super::{Pair, same};
use crate::domain::{Field, FieldKind, Value};

/// How often which true value was said to be which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// The values, in the schema's order.
    pub values: Vec<String>,
    /// Samples, a row for each true value, a column for each said one.
    pub counts: Vec<Vec<u64>>,
}

/// A true value, what was said instead, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is true.
    pub truth: String,
    /// What was said; none where nothing was.
    pub said: Option<String>,
    /// On so many samples.
    pub count: u64,
}

impl Confusion {
    /// Counts pairs of indices into the values.
    pub(super) fn of(values: Vec<String>, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; values.len()]; values.len()];
        for (truth, said) in pairs {
            if let Some(count) = counts.get_mut(truth).and_then(|row| row.get_mut(said)) {
                *count += 1;
            }
        }
        Self { values, counts }
    }

    /// The matrix of a choice field; `None` for the other kinds.
    pub(super) fn of_field(field: &Field, pairs: &[Pair]) -> Option<Self> {
        let FieldKind::Choice { options } = &field.kind else { return None };
        let place = |value: &Value| options.iter().position(|option| matches!(value, Value::Choice(chosen) if chosen == option));
        let counted = pairs.iter().filter_map(|pair| Some((place(pair.truth.get(&field.id)?)?, place(&pair.said.get(&field.id)?.value)?)));
        Some(Self::of(options.clone(), counted))
    }

    /// All samples in it.
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Those on the diagonal.
    pub fn right(&self) -> u64 {
        self.counts.iter().enumerate().map(|(index, row)| row[index]).sum()
    }
}

/// What was said wrong of a field, most frequent first.
pub(super) fn mistakes(field: &Field, pairs: &[Pair]) -> Vec<Mistake> {
    let mut counts: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for pair in pairs {
        let Some(truth) = pair.truth.get(&field.id) else { continue };
        let said = pair.said.get(&field.id).map(|said| &said.value);
        if !said.is_some_and(|said| same(truth, said)) {
            *counts.entry((field.render(truth), said.map(|said| field.render(said)))).or_default() += 1;
        }
    }
    let mut mistakes: Vec<Mistake> = counts.into_iter().map(|((truth, said), count)| Mistake { truth, said, count }).collect();
    mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
    mistakes
}
