//! What is in a set, counted while it passes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::row::Row;
use crate::domain::{Field, FieldId, FieldKind, Kind, Schema, Split, SplitPlan, stable_hash};

/// Groups below which shares of splits are left to chance.
const FEW_GROUPS: usize = 10;

/// Counts of conversations.
pub(super) struct Tally<'a> {
    schema: &'a Schema,
    /// By split and kind.
    kinds: BTreeMap<(Split, Kind), u64>,
    /// By image type and split.
    image_types: BTreeMap<String, BTreeMap<Split, u64>>,
    /// By field, value and split, for fields with few values.
    values: BTreeMap<FieldId, BTreeMap<String, BTreeMap<Split, u64>>>,
    /// The groups of each split, by their hash.
    groups: BTreeMap<Split, HashSet<u64>>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, kinds: BTreeMap::new(), image_types: BTreeMap::new(), values: BTreeMap::new(), groups: BTreeMap::new() }
    }

    pub(super) fn count(&mut self, row: &Row) {
        let split = row.split;
        *self.kinds.entry((split, row.conversation.kind)).or_default() += 1;
        count_one(&mut self.image_types, &row.image_type, split);
        for field in self.schema.fields().iter().filter(|field| is_counted(field)) {
            if let Some(value) = row.approved.label().get(&field.id) {
                if !self.values.contains_key(&field.id) {
                    self.values.insert(field.id.clone(), BTreeMap::new());
                }
                if let Some(values) = self.values.get_mut(&field.id) {
                    count_one(values, &field.render(value), split);
                }
            }
        }
        self.groups.entry(split).or_default().insert(stable_hash(0, &[&row.approved.sample().group]));
    }

    pub(super) fn conversations(&self) -> u64 {
        self.kinds.values().sum()
    }

    pub(super) fn one_shot(&self) -> u64 {
        Split::ALL.iter().map(|split| self.of(*split, Kind::OneShot)).sum()
    }

    /// Conversations of a split and a kind.
    pub(super) fn of(&self, split: Split, kind: Kind) -> u64 {
        self.kinds.get(&(split, kind)).copied().unwrap_or_default()
    }

    /// Conversations by split, every split named.
    pub(super) fn splits(&self) -> BTreeMap<Split, u64> {
        Split::ALL.into_iter().map(|split| (split, self.of(split, Kind::OneShot) + self.of(split, Kind::ZeroShot))).collect()
    }

    /// Groups in a split.
    pub(super) fn groups(&self, split: Split) -> usize {
        self.groups.get(&split).map_or(0, HashSet::len)
    }

    /// Conversations by image type and split.
    pub(super) fn image_types(&self) -> &BTreeMap<String, BTreeMap<Split, u64>> {
        &self.image_types
    }

    /// Conversations by value and split of a field; `None` where its values are not counted.
    pub(super) fn values(&self, field: &FieldId) -> Option<&BTreeMap<String, BTreeMap<Split, u64>>> {
        self.values.get(field)
    }

    /// What a person should know of the splits.
    pub(super) fn warnings(&self, plan: &SplitPlan) -> Vec<String> {
        let mut warnings = Vec::new();
        let splits = self.splits();
        let groups: usize = Split::ALL.iter().map(|split| self.groups(*split)).sum();
        let shares = [(Split::Validation, plan.validation), (Split::Test, plan.test)];
        if groups < FEW_GROUPS && shares.iter().any(|(_, share)| *share > 0.0) {
            warnings.push(format!(
                "too few groups for splits: {groups} where {FEW_GROUPS} or more keep the shares; give samples finer groups, or pin groups in [splits.pinned]"
            ));
        }
        for (split, share) in shares {
            if share > 0.0 && splits.get(&split) == Some(&0) {
                warnings.push(format!("the {} split is empty, though its share is {share}", split.name()));
            }
        }
        for (field, values) in &self.values {
            let is_choice = self.schema.field(field).is_some_and(|field| matches!(field.kind, FieldKind::Choice { .. }));
            let unseen: BTreeSet<&str> =
                values.iter().filter(|(_, splits)| !splits.contains_key(&Split::Train)).map(|(value, _)| value.as_str()).collect();
            if is_choice && !unseen.is_empty() {
                let unseen: Vec<&str> = unseen.into_iter().collect();
                warnings.push(format!("{field}: {} in validation or test, never in train", unseen.join(", ")));
            }
        }
        warnings
    }
}

/// Whether a field's values are few enough to be counted.
fn is_counted(field: &Field) -> bool {
    !matches!(field.kind, FieldKind::Text { .. } | FieldKind::Box { .. })
}

fn count_one(counts: &mut BTreeMap<String, BTreeMap<Split, u64>>, value: &str, split: Split) {
    match counts.get_mut(value) {
        Some(splits) => *splits.entry(split).or_default() += 1,
        None => {
            counts.insert(value.to_owned(), BTreeMap::from([(split, 1)]));
        }
    }
}
