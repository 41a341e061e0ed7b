//! The project's memory: an append-only log of operations in SQLite, and tables derived from it.
//!
//! Contract: imports `domain` and `conversation`. A decision is durable when a call returns. What is true stands in
//! `samples`, `operations` and `predictions`; everything else is derived from these in the same transaction, on one path
//! (`derive.rs`), and [`Store::rebuild`] makes it anew. Nothing is ever taken out of the log: undo and redo are
//! operations. Several processes, of several accounts of one group, may have one project open; each call waits for its
//! turn and sees whole transactions of the others.

mod about;
mod claim;
mod code;
mod connect;
mod decide;
mod derive;
mod effective;
mod error;
mod history;
mod import;
mod layout;
mod likeness;
mod log;
mod migrate;
mod network;
mod order;
mod page;
mod plan;
mod predicate;
mod prediction;
mod predictor;
mod query;
mod reader;
mod rebuild;
mod record;
mod refusal;
mod sample;
mod stats;
mod temperature;
#[cfg(test)]
pub(crate) mod testing;
mod undo;
mod writing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

pub use about::About;
pub use claim::{CLAIM_MS, Claim};
pub use decide::{Decision, DecisionKind, Outcome, Revision};
pub use error::StoreError;
pub use import::{ImportSession, Imported, NewImage, NewSample};
pub use likeness::{Alike, Encoder, NewLikeness, Picture};
pub use log::{LoggedOperation, OperationId, OperationKind, Who};
pub use order::Order;
pub use page::{Page, Row, RowField};
pub use plan::Plan;
pub use prediction::SourceSummary;
pub use predictor::{Answered, ForeignWish, Holder, KnownCheckpoint, LEASE_MS, Lease};
pub use query::Cursor;
pub use rebuild::Rebuilt;
pub use record::PredictedFields;
pub use refusal::{Reason, Refusal};
pub use sample::{ApprovalProblem, Approved, SampleView};
pub use stats::{FieldStats, ReviewerStats, Stats};
pub use undo::StepBack;

use crate::domain::Schema;
use connect::{Access, connect, store_path};
use layout::Layout;

/// One connection to a project's store. It can be sent to another thread, and each thread may have its own.
pub struct Store {
    connection: Connection,
    schema: Arc<Schema>,
    layout: Layout,
    plan: Plan,
    clock: Clock,
    read_only: bool,
}

/// Milliseconds since 1970.
type Clock = Box<dyn Fn() -> i64 + Send>;

impl Store {
    /// Makes the store of a new project in `dir`, which must be there and have none yet.
    pub fn create(dir: &Path, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        Self::start(connect(dir, Access::Create)?, dir, schema)
    }

    /// Opens a project's store. An older one is copied and brought up to date; where the schema has changed since, the
    /// tables that follow from it are made anew.
    pub fn open(dir: &Path, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        Self::start(connect(dir, Access::Write)?, dir, schema)
    }

    /// Opens a project's store that is only looked at, also where nothing may be written.
    pub fn open_read_only(dir: &Path, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        let connection = connect(dir, Access::Read)?;
        tracing::debug!(path = %store_path(dir).display(), "store opened to read");
        let store = Self::around(connection, schema, true)?;
        let outdated = migrate::version(&store.connection, &store_path(dir), migrate::STEPS)? < migrate::STEPS.len() as i64;
        if outdated || !store.layout.is_current(&store.connection)? {
            return Err(StoreError::ReadOnly("bring it up to date with this mekiki and its mekiki.toml"));
        }
        Ok(store)
    }

    fn start(mut connection: Connection, dir: &Path, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        if let Some(backup) = migrate::migrate(&mut connection, &store_path(dir), migrate::STEPS)? {
            tracing::info!(backup = %backup.display(), version = migrate::STEPS.len(), "store migrated");
        }
        tracing::debug!(path = %store_path(dir).display(), "store opened");
        let mut store = Self::around(connection, schema, false)?;
        if !store.layout.is_current(&store.connection)? {
            tracing::info!("derived tables are made for the schema of today");
            store.lay_out()?;
        }
        Ok(store)
    }

    fn around(connection: Connection, schema: &Arc<Schema>, read_only: bool) -> Result<Self, StoreError> {
        let (layout, clock) = (Layout::new(schema), Box::new(now_ms));
        let mut store = Self { connection, schema: Arc::clone(schema), layout, plan: Plan::default(), clock, read_only };
        store.set_plan(Plan::default())?;
        Ok(store)
    }

    /// Makes the tables that follow from the schema.
    fn lay_out(&mut self) -> Result<(), StoreError> {
        let writing = self.lock()?;
        writing.layout.create(&writing)?;
        writing.rederive()?;
        writing.commit()
    }

    /// Whether it is only looked at.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The schema by which values are read and written.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Takes times from elsewhere than the system's clock: milliseconds since 1970.
    pub fn set_clock(&mut self, clock: impl Fn() -> i64 + Send + 'static) {
        self.clock = Box::new(clock);
    }

    /// The folders in which images lie, by number; an empty path is the project's own.
    pub fn folders(&self) -> Result<Vec<(i64, PathBuf)>, StoreError> {
        let mut statement = self.connection.prepare("SELECT id, path FROM folders ORDER BY id")?;
        let folders = statement.query_map([], |row| Ok((row.get(0)?, PathBuf::from(row.get::<_, String>(1)?))))?;
        Ok(folders.collect::<Result<_, _>>()?)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.connection.path()).field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
