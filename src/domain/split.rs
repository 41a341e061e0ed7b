//! Train, validation and test: decided by a sample's group alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stable_hash;

/// The three splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Trained on.
    Train,
    /// Measured while training.
    Validation,
    /// Measured at the end.
    Test,
}

impl Split {
    /// Every split.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// How groups are divided.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitPlan {
    /// Moves the borders between groups.
    pub seed: u64,
    /// The share of groups for validation, 0 to 1.
    pub validation: f64,
    /// The share of groups for test, 0 to 1.
    pub test: f64,
    /// Groups whose split is fixed.
    pub pinned: BTreeMap<String, Split>,
}

impl SplitPlan {
    /// The split of a group. It depends on the group's name, the seed and the shares, on no other group.
    pub fn split_of(&self, group: &str) -> Split {
        if let Some(split) = self.pinned.get(group) {
            return *split;
        }
        // 53 bits, so that the share is exact in an f64.
        let share = (stable_hash(self.seed, &["split", group]) >> 11) as f64 / (1_u64 << 53) as f64;
        if share < self.test {
            Split::Test
        } else if share < self.test + self.validation {
            Split::Validation
        } else {
            Split::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_pins_hold() {
        let plan = SplitPlan { seed: 1, validation: 0.1, test: 0.2, pinned: [("board-7".to_owned(), Split::Test)].into() };
        let count = |split| (0..10_000).filter(|n| plan.split_of(&format!("group {n}")) == split).count();
        assert!((900..1100).contains(&count(Split::Validation)), "{}", count(Split::Validation));
        assert!((1850..2150).contains(&count(Split::Test)), "{}", count(Split::Test));
        assert_eq!(plan.split_of("board-7"), Split::Test);
    }
}
