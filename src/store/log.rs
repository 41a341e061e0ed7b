//! The append-only log: writing an operation, reading a sample's part of it, showing it.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::effective::Entry;
use super::record::read_edit;
use super::{Store, StoreError};
use crate::domain::{LabelProblem, ReviewerName, Schema};

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name under which decisions are kept.
    pub reviewer: ReviewerName,
    /// The Unix account's number.
    pub uid: u32,
    /// The Unix account's name.
    pub user: String,
    /// The machine.
    pub host: String,
}

/// The id of an operation: a UUID version 7, in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(Uuid);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// A decision made sample by sample.
    Decide,
    /// A decision on many samples at once: it leaves alone what others have claimed.
    Batch,
    /// Takes an operation back.
    Undo,
    /// Takes an undo back.
    Redo,
    /// Samples came in, or what came with them changed.
    Import,
}

impl OperationKind {
    const ALL: [Self; 5] = [Self::Decide, Self::Batch, Self::Undo, Self::Redo, Self::Import];

    /// `decide`, `batch`, `undo`, `redo` or `import`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Batch => "batch",
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Import => "import",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| StoreError::damaged("the kind of an operation")(text))
    }
}

/// An operation of the log, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOperation {
    /// Its place in the log, from 1.
    pub number: i64,
    /// Its id.
    pub id: OperationId,
    /// The operation before it.
    pub parent: Option<OperationId>,
    /// Whose it is, and from where.
    pub who: Who,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// What it is.
    pub kind: OperationKind,
    /// How many samples it touched.
    pub samples: u64,
    /// The operation that it takes back.
    pub undoes: Option<OperationId>,
    /// Where it came from: what was imported, or which command or screen decided.
    pub source: String,
}

/// An operation about to be written.
pub(super) struct NewOperation<'a> {
    pub who: &'a Who,
    pub time_ms: i64,
    pub kind: OperationKind,
    pub samples: usize,
    pub undoes: Option<i64>,
    pub source: &'a str,
}

/// Appends the operation; its number and id.
pub(super) fn append(connection: &Connection, new: &NewOperation<'_>) -> Result<(i64, OperationId), StoreError> {
    let mut last = connection.prepare_cached("SELECT seq, id FROM operations ORDER BY seq DESC LIMIT 1")?;
    let last: Option<(i64, Uuid)> = last.query_row([], |row| Ok((row.get(0)?, uuid(row, 1)?))).optional()?;
    let (seq, id) = (last.map_or(1, |(seq, _)| seq + 1), Uuid::now_v7());
    connection.prepare_cached("INSERT INTO operations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?.execute(params![
        seq,
        id.as_bytes(),
        last.as_ref().map(|(_, parent)| parent.as_bytes()),
        new.who.reviewer.as_str(),
        new.who.uid,
        new.who.user,
        new.who.host,
        new.time_ms,
        new.kind.name(),
        new.samples as i64,
        new.undoes,
        new.source,
    ])?;
    Ok((seq, OperationId(id)))
}

/// Appends one sample of an operation. `base` is the revision it was decided on.
pub(super) fn append_sample(connection: &Connection, op: i64, sample: i64, base: i64, edit: Option<&str>) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("INSERT INTO operation_samples (op, sample, base, edit) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![op, sample, base, edit])?;
    Ok(())
}

/// A sample's part of the log, oldest first, and what the schema no longer allows in it.
pub(super) fn entries(connection: &Connection, schema: &Schema, sample: i64) -> Result<(Vec<Entry>, Vec<LabelProblem>), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT o.seq, o.undoes, o.reviewer, o.time_ms, s.edit FROM operation_samples s JOIN operations o ON o.seq = s.op \
         WHERE s.sample = ?1 ORDER BY s.op, s.rowid",
    )?;
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let mut rows = statement.query([sample])?;
    while let Some(row) = rows.next()? {
        let edit = match row.get_ref(4)?.as_str_or_null().map_err(rusqlite::Error::from)? {
            Some(text) => {
                let (edit, refused) = read_edit(schema, text)?;
                problems.extend(refused);
                edit
            }
            None => None,
        };
        entries.push(Entry { op: row.get(0)?, undoes: row.get(1)?, reviewer: reviewer_at(row, 2)?, time_ms: row.get(3)?, edit });
    }
    Ok((entries, problems))
}

/// The id of the operation with this number.
pub(super) fn operation_id(connection: &Connection, seq: i64) -> Result<OperationId, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM operations WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| Ok(OperationId(uuid(row, 0)?)))?)
}

/// A reviewer's name in a column.
pub(super) fn reviewer_at(row: &Row<'_>, column: usize) -> Result<ReviewerName, StoreError> {
    ReviewerName::new(row.get::<_, String>(column)?).map_err(StoreError::damaged("a reviewer's name"))
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

impl Store {
    /// At most `limit` operations, newest first, from before the operation with number `before` (from the newest when
    /// `None`). The last one's number asks for the next page.
    pub fn log(&self, before: Option<i64>, limit: usize) -> Result<Vec<LoggedOperation>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT o.seq, o.id, o.parent, o.reviewer, o.uid, o.user, o.host, o.time_ms, o.kind, o.samples, u.id, o.source \
             FROM operations o LEFT JOIN operations u ON u.seq = o.undoes WHERE o.seq < ?1 ORDER BY o.seq DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![before.unwrap_or(i64::MAX), limit as i64])?;
        let mut operations = Vec::new();
        let optional =
            |row: &Row<'_>, column| row.get::<_, Option<[u8; 16]>>(column).map(|id| id.map(|id| OperationId(Uuid::from_bytes(id))));
        while let Some(row) = rows.next()? {
            operations.push(LoggedOperation {
                number: row.get(0)?,
                id: OperationId(uuid(row, 1)?),
                parent: optional(row, 2)?,
                who: Who { reviewer: reviewer_at(row, 3)?, uid: row.get(4)?, user: row.get(5)?, host: row.get(6)? },
                time_ms: row.get(7)?,
                kind: OperationKind::parse(row.get_ref(8)?.as_str().map_err(rusqlite::Error::from)?)?,
                samples: row.get::<_, i64>(9)?.unsigned_abs(),
                undoes: optional(row, 10)?,
                source: row.get(11)?,
            });
        }
        Ok(operations)
    }
}
