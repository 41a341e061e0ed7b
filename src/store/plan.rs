//! What the project plans to make of its samples: `kind=` and `split=` in filters depend on it, nothing stored does.

use std::collections::BTreeMap;

use rusqlite::functions::FunctionFlags;

use super::{Store, StoreError};
use crate::conversation::SamplingPlan;
use crate::domain::{Kind, SampleId, Split, SplitPlan};

/// The part of the project's sampling plan by which samples can be searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which samples become one-shot.
    pub sampling: SamplingPlan,
    /// The seed of the plan's draws.
    pub seed: u64,
    /// How groups are divided.
    pub splits: SplitPlan,
}

impl Default for Plan {
    /// Everything is zero-shot and trained on.
    fn default() -> Self {
        Self {
            sampling: SamplingPlan::All(Kind::ZeroShot),
            seed: 0,
            splits: SplitPlan { seed: 0, validation: 0.0, test: 0.0, pinned: BTreeMap::new() },
        }
    }
}

impl Plan {
    /// The condition on a row `c` that it becomes a conversation of this kind.
    pub(super) fn has_kind(&self, kind: Kind) -> String {
        match (self.sampling, kind) {
            (SamplingPlan::Both, _) => "1".to_owned(),
            (SamplingPlan::All(all), kind) => i64::from(all == kind).to_string(),
            (SamplingPlan::First(count), Kind::OneShot) => format!("c.seq < {count}"),
            (SamplingPlan::First(count), Kind::ZeroShot) => format!("c.seq >= {count}"),
            (SamplingPlan::Fraction(_), kind) => {
                format!("is_one_shot(c.seq, (SELECT id FROM samples WHERE seq = c.seq)) = {}", i64::from(kind == Kind::OneShot))
            }
        }
    }
}

impl Store {
    /// Says what the project plans; until then everything is zero-shot and trained on.
    pub fn set_plan(&mut self, plan: Plan) -> Result<(), StoreError> {
        let (splits, sampling, seed) = (plan.splits.clone(), plan.sampling, plan.seed);
        self.plan = plan;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
        // Whether a sample, by its place and its id, becomes one-shot.
        self.connection.create_scalar_function("is_one_shot", 2, flags, move |context| {
            let (ordinal, id) = (context.get::<i64>(0)?.unsigned_abs(), context.get::<String>(1)?);
            Ok(SampleId::new(id).is_ok_and(|id| sampling.kinds(seed, ordinal, &id).contains(&Kind::OneShot)))
        })?;
        // The index in `Split::ALL` of the split of a group.
        self.connection.create_scalar_function("split_of", 1, flags, move |context| {
            let split = splits.split_of(context.get_raw(0).as_str()?);
            Ok(Split::ALL.iter().position(|known| *known == split).map(|index| index as i64))
        })?;
        Ok(())
    }
}
