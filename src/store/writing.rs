//! A write transaction: begun at once, checked against the schema, rolled back unless committed.

use std::ops::{Deref, Range};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::derive::Deriver;
use super::layout::Layout;
use super::plan::Plan;
use super::reader::Reader;
use super::{Store, StoreError};
use crate::domain::Schema;

/// The store, locked for writing.
pub(super) struct Writing<'a> {
    transaction: Transaction<'a>,
    pub schema: &'a Schema,
    pub layout: &'a Layout,
    plan: &'a Plan,
    /// When the transaction began, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Deref for Writing<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.transaction
    }
}

impl Store {
    /// A transaction for everything but the derived tables' own beginnings.
    pub(super) fn begin(&mut self) -> Result<Writing<'_>, StoreError> {
        let writing = self.lock()?;
        if writing.layout.is_current(&writing)? { Ok(writing) } else { Err(StoreError::SchemaChanged) }
    }

    /// Waits for the lock. The clock is read behind it, so that times follow the log.
    pub(super) fn lock(&mut self) -> Result<Writing<'_>, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly("change it"));
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Writing { transaction, schema: &self.schema, layout: &self.layout, plan: &self.plan, now_ms: (self.clock)() })
    }
}

/// From so many rows on it may be quicker to sort the indexes anew than to touch each entry.
const MANY: usize = 20_000;

impl Writing<'_> {
    /// Queries within this transaction.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { connection: self, schema: self.schema, layout: self.layout, plan: self.plan }
    }

    /// Brings the derived rows of these samples up to date.
    pub(super) fn refresh(&self, samples: &[i64]) -> Result<(), StoreError> {
        self.derive(samples.len(), |deriver| samples.iter().try_for_each(|seq| deriver.refresh(*seq).map(|_| ())))
    }

    /// Makes the derived rows of samples that have just come in.
    pub(super) fn add(&self, mut samples: Range<i64>) -> Result<(), StoreError> {
        self.derive((samples.end - samples.start) as usize, |deriver| samples.try_for_each(|seq| deriver.add(seq)))
    }

    /// Lets work that changes so many rows of `current` be done.
    fn derive(&self, rows: usize, work: impl FnOnce(&Deriver<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let all = || self.query_row("SELECT count(*) FROM current", [], |row| row.get::<_, i64>(0));
        let anew = rows > MANY && rows as i64 > all()? / 4;
        if anew {
            self.layout.drop_indexes(self)?;
        }
        work(&Deriver::new(self, self.schema, self.layout)?)?;
        if anew {
            self.layout.create_indexes(self)?;
        }
        Ok(())
    }

    /// Brings the rows of all samples up to date; says how many were wrong.
    pub(super) fn rederive(&self) -> Result<u64, StoreError> {
        let mut wrong = self.execute("DELETE FROM current WHERE seq NOT IN (SELECT seq FROM samples)", [])? as u64;
        // Also when few rows are wrong: an index may be.
        self.layout.drop_indexes(self)?;
        let deriver = Deriver::new(self, self.schema, self.layout)?;
        // Ordinals have no gaps, since samples are never taken away.
        let samples: i64 = self.query_row("SELECT coalesce(max(seq) + 1, 0) FROM samples", [], |row| row.get(0))?;
        for seq in 0..samples {
            wrong += u64::from(deriver.refresh(seq)?);
        }
        self.layout.create_indexes(self)?;
        Ok(wrong)
    }

    /// Makes it durable.
    pub(super) fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit()?)
    }
}
