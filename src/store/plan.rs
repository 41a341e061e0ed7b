//! What the project plans to make of its samples: `kind=` and `split=` in filters depend on it, nothing stored does.

use std::collections::BTreeMap;

use rusqlite::functions::FunctionFlags;

use super::{Store, StoreError};
use crate::domain::{Split, SplitPlan};

/// The part of the project's sampling plan by which samples can be searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The first so many samples in import order become one-shot.
    pub one_shot: u64,
    /// How groups are divided.
    pub splits: SplitPlan,
}

impl Default for Plan {
    /// Everything is zero-shot and trained on.
    fn default() -> Self {
        Self { one_shot: 0, splits: SplitPlan { seed: 0, validation: 0.0, test: 0.0, pinned: BTreeMap::new() } }
    }
}

impl Store {
    /// Says what the project plans; until then everything is zero-shot and trained on.
    pub fn set_plan(&mut self, plan: Plan) -> Result<(), StoreError> {
        let splits = plan.splits.clone();
        self.plan = plan;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
        // The index in `Split::ALL` of the split of a group.
        self.connection.create_scalar_function("split_of", 1, flags, move |context| {
            let split = splits.split_of(context.get_raw(0).as_str()?);
            Ok(Split::ALL.iter().position(|known| *known == split).map(|index| index as i64))
        })?;
        Ok(())
    }
}
