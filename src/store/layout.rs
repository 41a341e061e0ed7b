//! The table `current`: one narrow row of whole numbers for each sample, its columns made from the schema.
//!
//! Everything in it is derived from samples, log and predictions; see derive.rs for what the columns hold.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use crate::domain::{FieldId, FieldKind, Schema, SortKey};

/// The columns that every schema has, behind `seq`; the fields' four columns each follow.
const FIXED: [&str; 13] = [
    "state",
    "revision",
    "reviewer",
    "decided_at",
    "labelled",
    "flagged",
    "commented",
    "confidence",
    "disagreement",
    "image_type",
    "cluster",
    "outlier",
    "duplicate",
];

/// Raised whenever derive.rs or code.rs come to mean something else, so that old tables are made anew.
const MEANING: u32 = 2;

/// Fields beyond these are found by scanning.
const MOST_INDEXED: usize = 16;

/// One of the four columns of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The label's value, or else the predicted one.
    Effective,
    /// The label's value.
    Label,
    /// The predicted value.
    Predicted,
    /// The confidence in the predicted value, in millionths.
    Confidence,
}

impl Part {
    const ALL: [(Self, char); 4] = [(Self::Effective, 'v'), (Self::Label, 'l'), (Self::Predicted, 'p'), (Self::Confidence, 'c')];
}

/// An index of `current`: entries with one value of `lead` (or all entries) in the order of `order`.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub name: String,
    pub lead: Option<String>,
    pub order: SortKey,
    /// Only the rows in which `lead` is 1.
    partial: bool,
}

/// A row of `current` behind `seq`.
pub(super) type Numbers = Vec<Option<i64>>;

/// Names and statements for `current`.
#[derive(Debug)]
pub(super) struct Layout {
    /// Tells the tables of one schema from those of another.
    pub fingerprint: String,
    /// All columns behind `seq`, in the table's order.
    pub columns: Vec<String>,
    /// All indexes.
    pub indexes: Vec<Index>,
    select: String,
    /// `INSERT` of one row, `seq` first.
    pub insert: String,
    fields: Vec<FieldId>,
}

/// The column that holds a sort key; `seq` for import order and `id` (of `samples`) for ids.
pub(super) fn sort_column(key: SortKey) -> &'static str {
    match key {
        SortKey::Import => "seq",
        SortKey::Id => "id",
        SortKey::Confidence => "confidence",
        SortKey::Disagreement => "disagreement",
        SortKey::Decided => "decided_at",
        SortKey::Outlier => "outlier",
    }
}

impl Layout {
    pub(super) fn new(schema: &Schema) -> Self {
        let fields = schema.fields();
        let parts = Part::ALL.iter().flat_map(|(_, letter)| (0..fields.len()).map(move |index| format!("{letter}_{index}")));
        let columns: Vec<String> = FIXED.iter().map(ToString::to_string).chain(parts).collect();
        let described = format!("{MEANING} {fields:?} {:?}", schema.image_types());
        let all = columns.join(", ");
        let marks = ", ?".repeat(columns.len());
        Self {
            fingerprint: blake3::hash(described.as_bytes()).to_hex().to_string(),
            indexes: indexes(schema),
            select: format!("SELECT {all} FROM current WHERE seq = ?1"),
            insert: format!("INSERT INTO current (seq, {all}) VALUES (?{marks})"),
            fields: fields.iter().map(|field| field.id.clone()).collect(),
            columns,
        }
    }

    /// The place of a field's column in a row, where `field` is its place in the schema.
    pub(super) fn place(&self, part: Part, field: usize) -> usize {
        let block = Part::ALL.iter().position(|(known, _)| *known == part).unwrap_or_default();
        FIXED.len() + block * self.fields.len() + field
    }

    /// The name of a field's column; `None` for a field of another schema.
    pub(super) fn column(&self, part: Part, field: &FieldId) -> Option<&str> {
        let field = self.fields.iter().position(|known| known == field)?;
        self.columns.get(self.place(part, field)).map(String::as_str)
    }

    /// Whether the tables in the store are of this schema.
    pub(super) fn is_current(&self, connection: &Connection) -> Result<bool, StoreError> {
        let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE key = 'layout'")?;
        let stored: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
        Ok(stored.as_deref() == Some(&self.fingerprint))
    }

    /// All columns of one row; `None` for a sample that has none yet.
    pub(super) fn stored(&self, connection: &Connection, seq: i64) -> Result<Option<Numbers>, StoreError> {
        let width = self.columns.len();
        let mut statement = connection.prepare_cached(&self.select)?;
        Ok(statement.query_row([seq], |row| (0..width).map(|place| row.get(place)).collect()).optional()?)
    }

    /// Replaces the table by an empty one without indexes.
    pub(super) fn create(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut sql = "DROP TABLE IF EXISTS current; CREATE TABLE current (seq INTEGER PRIMARY KEY".to_owned();
        for column in &self.columns {
            let _ = write!(sql, ", {column} INTEGER");
        }
        connection.execute_batch(&(sql + ")"))?;
        connection.execute("INSERT OR REPLACE INTO settings VALUES ('layout', ?1)", [&self.fingerprint])?;
        Ok(())
    }

    /// Before many rows change: sorting them once at the end takes a fraction of the time.
    pub(super) fn drop_indexes(&self, connection: &Connection) -> Result<(), StoreError> {
        Ok(connection.execute_batch(&self.indexes.iter().map(Index::drop).collect::<String>())?)
    }

    pub(super) fn create_indexes(&self, connection: &Connection) -> Result<(), StoreError> {
        self.indexes.iter().try_for_each(|index| Ok(connection.execute_batch(&index.create())?))
    }
}

impl Index {
    /// The column by whose values entries can be found.
    pub(super) fn first_column(&self) -> &str {
        self.lead.as_deref().unwrap_or_else(|| sort_column(self.order))
    }

    /// Whether one of these columns is in it.
    pub(super) fn is_on(&self, columns: &[&str]) -> bool {
        self.lead.as_deref().into_iter().chain([sort_column(self.order)]).any(|column| columns.contains(&column))
    }

    pub(super) fn drop(&self) -> String {
        format!("DROP INDEX IF EXISTS {};", self.name)
    }

    pub(super) fn create(&self) -> String {
        let order = Some(sort_column(self.order)).filter(|_| self.order != SortKey::Import);
        let columns: Vec<&str> = self.lead.as_deref().into_iter().chain(order).collect();
        let condition = match (&self.lead, self.partial) {
            (Some(lead), true) => format!(" WHERE {lead} = 1"),
            _ => String::new(),
        };
        format!("CREATE INDEX IF NOT EXISTS {} ON current ({}){condition};", self.name, columns.join(", "))
    }
}

/// SQLite adds `seq` to the end of each, so that equal keys come in import order.
fn indexes(schema: &Schema) -> Vec<Index> {
    let index = |lead: Option<&str>, order: SortKey, partial| Index {
        name: format!("current_by_{}_{}", lead.unwrap_or("all"), sort_column(order)),
        lead: lead.map(str::to_owned),
        order,
        partial,
    };
    let fixed = [
        index(Some("state"), SortKey::Import, false),
        index(Some("state"), SortKey::Confidence, false),
        index(Some("state"), SortKey::Decided, false),
        index(Some("reviewer"), SortKey::Decided, false),
        index(None, SortKey::Confidence, false),
        index(None, SortKey::Disagreement, false),
        index(None, SortKey::Decided, false),
        index(Some("flagged"), SortKey::Import, true),
        index(Some("commented"), SortKey::Import, true),
        index(Some("cluster"), SortKey::Outlier, false),
        index(None, SortKey::Outlier, false),
        index(Some("duplicate"), SortKey::Import, true),
    ];
    let searched = |kind: &FieldKind| !matches!(kind, FieldKind::Text { .. } | FieldKind::Box { .. });
    let fields = schema.fields().iter().enumerate().filter(|(_, field)| searched(&field.kind)).take(MOST_INDEXED);
    fixed.into_iter().chain(fields.map(|(place, _)| index(Some(&format!("v_{place}")), SortKey::Import, false))).collect()
}
