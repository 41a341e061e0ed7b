//! Claims: leases by which reviewers who work at the same time keep out of each other's way.

use rusqlite::params;

use super::log::reviewer_at;
use super::predicate::{Lookup, Predicate, Sql};
use super::{SampleView, Store, StoreError};
use crate::domain::{Filter, ReviewerName, State};

/// How long a claim lasts unless it is renewed, in milliseconds.
pub const CLAIM_MS: i64 = 120_000;

/// A reviewer's hold on a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub reviewer: ReviewerName,
    /// When it ends, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl Store {
    /// Claims the first undecided sample of the filter that nobody holds, not even the same reviewer, so that each call
    /// hands out another one. Claims that have run out count for nothing. `session` is what [`Store::release`] and
    /// [`Store::renew`] will name. `None` when no sample is left.
    pub fn claim_next(&mut self, filter: &Filter, reviewer: &ReviewerName, session: &str) -> Result<Option<SampleView>, StoreError> {
        let writing = self.begin()?;
        let expires_ms = writing.now_ms + CLAIM_MS;
        writing.prepare_cached("DELETE FROM claims WHERE expires_ms <= ?1")?.execute([writing.now_ms])?;
        let undecided = Predicate {
            sql: Sql::plain(format!("c.state = {}", State::Undecided as i64)),
            lookup: Lookup::Column { name: "state".to_owned(), one: true },
        };
        let free = Predicate { sql: Sql::plain("NOT EXISTS (SELECT 1 FROM claims WHERE sample = c.seq)"), lookup: Lookup::Scan };
        let found = writing.reader().places(filter, &[undecided, free], None, 1)?;
        let Some(seq) = found.first().map(|place| place.seq) else { return Ok(None) };
        writing.prepare_cached("INSERT INTO claims VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            seq,
            reviewer.as_str(),
            session,
            expires_ms
        ])?;
        writing.commit()?;
        self.sample_at(seq).map(Some)
    }

    /// Makes the session's claims last again for [`CLAIM_MS`]; how many it still has. Those that ran out and were taken
    /// over are no longer among them.
    pub fn renew(&mut self, session: &str) -> Result<u64, StoreError> {
        let writing = self.begin()?;
        let renewed =
            writing.execute("UPDATE claims SET expires_ms = ?1 WHERE session = ?2", params![writing.now_ms + CLAIM_MS, session])?;
        writing.commit()?;
        Ok(renewed as u64)
    }

    /// Gives all claims of the session back.
    pub fn release(&mut self, session: &str) -> Result<(), StoreError> {
        let writing = self.begin()?;
        writing.execute("DELETE FROM claims WHERE session = ?1", [session])?;
        writing.commit()
    }

    /// The claim on a sample, if one lasts.
    pub(super) fn claim_on(&self, seq: i64) -> Result<Option<Claim>, StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT reviewer, expires_ms FROM claims WHERE sample = ?1 AND expires_ms > ?2")?;
        let mut rows = statement.query((seq, (self.clock)()))?;
        match rows.next()? {
            Some(row) => Ok(Some(Claim { reviewer: reviewer_at(row, 0)?, expires_ms: row.get(1)? })),
            None => Ok(None),
        }
    }
}
