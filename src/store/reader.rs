//! What queries need, inside a write transaction or outside of one.

use rusqlite::{Connection, Transaction};

use super::layout::Layout;
use super::plan::Plan;
use super::{Store, StoreError};
use crate::domain::Schema;

/// The store, for reading.
pub(super) struct Reader<'a> {
    pub connection: &'a Connection,
    pub schema: &'a Schema,
    pub layout: &'a Layout,
    pub plan: &'a Plan,
}

impl Store {
    /// Everything that is read until the snapshot is dropped is of one moment, and of this schema.
    pub(super) fn snapshot(&self) -> Result<Transaction<'_>, StoreError> {
        let snapshot = self.connection.unchecked_transaction()?;
        if self.layout.is_current(&snapshot)? { Ok(snapshot) } else { Err(StoreError::SchemaChanged) }
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { connection: &self.connection, schema: &self.schema, layout: &self.layout, plan: &self.plan }
    }
}
