//! Derived tables made anew from samples, log and predictions.

use super::history::{replay, store, stored};
use super::writing::Writing;
use super::{Store, StoreError};

/// What a rebuild found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// How many samples' derived rows were not what the log makes of them.
    pub samples: u64,
    /// Whether what reviewers can undo and redo was not what the log makes of it.
    pub history: bool,
}

impl Store {
    /// Makes every derived table anew and says whether any of it was wrong, which it never should be.
    pub fn rebuild(&mut self) -> Result<Rebuilt, StoreError> {
        let writing = self.begin()?;
        let samples = writing.rederive()?;
        let stacks = replay(&writing)?;
        let history = stacks != stored(&writing)?;
        if history {
            store(&writing, &stacks)?;
        }
        writing.execute("INSERT INTO sample_ids (sample_ids) VALUES ('delete-all')", [])?;
        writing.search_from(0)?;
        writing.commit()?;
        Ok(Rebuilt { samples, history })
    }
}

impl Writing<'_> {
    /// Makes the ids of the samples from `first` on searchable.
    pub(super) fn search_from(&self, first: i64) -> Result<(), StoreError> {
        self.execute("INSERT INTO sample_ids (rowid, id) SELECT seq, id FROM samples WHERE seq >= ?1", [first])?;
        Ok(())
    }
}
