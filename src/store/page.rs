//! Pages of samples, as lists and contact sheets show them.

use super::code::{self, share};
use super::layout::Part;
use super::{Cursor, Revision, Store, StoreError};
use crate::domain::{Field, Filter, ReviewerName, SampleId, State, Value};

/// A sample in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: SampleId,
    /// Its place in import order, from 0.
    pub ordinal: u64,
    /// Its image type.
    pub image_type: String,
    /// Where it stands.
    pub state: State,
    /// The revision that a decision on what this row shows is made on.
    pub revision: Revision,
    /// Who decided last, and when, in milliseconds since 1970.
    pub decided: Option<(ReviewerName, i64)>,
    /// Marked for a second look.
    pub flagged: bool,
    /// Has a remark.
    pub commented: bool,
    /// The confidence in the whole answer, 0 to 1.
    pub confidence: Option<f32>,
    /// The probability that the prediction puts against the label, 0 to 1, where the two differ.
    pub disagreement: Option<f32>,
    /// The group of samples that look like it.
    pub cluster: Option<u32>,
    /// How far it lies from its like, 0 to 1.
    pub outlier: Option<f32>,
    /// Equals, or nearly equals, a sample before it.
    pub duplicate: bool,
    /// Label and prediction, field by field in the schema's order.
    pub fields: Vec<RowField>,
}

/// One field of a sample in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RowField {
    /// What the label says.
    pub label: Option<Value>,
    /// What the active model says.
    pub predicted: Option<Value>,
    /// How sure it is, 0 to 1.
    pub confidence: Option<f32>,
}

/// A page of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the filter's order.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

impl Store {
    /// At most `limit` samples that the filter lets through, in its order, from behind `after` (from the first when
    /// `None`). Ties stand in import order, and all of it is turned round when the largest come first; samples
    /// without what is sorted by come last either way.
    pub fn page(&self, filter: &Filter, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        let _snapshot = self.snapshot()?;
        let places = self.reader().places(filter, &[], after, limit)?;
        let rows = places.iter().map(|place| self.row(place.seq)).collect::<Result<_, _>>()?;
        Ok(Page { rows, next: places.into_iter().nth(limit.saturating_sub(1)) })
    }

    fn row(&self, seq: i64) -> Result<Row, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, image_type FROM samples WHERE seq = ?1")?;
        let (id, image_type) = statement.query_row([seq], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let numbers = self.layout.stored(&self.connection, seq)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let [state, revision, reviewer, decided_at, _, flagged, commented, confidence, disagreement, _, cluster, outlier, duplicate, ..] =
            numbers[..]
        else {
            return Err(StoreError::damaged("all columns of a current label")(numbers.len()));
        };
        let decided = match (reviewer, decided_at) {
            (Some(reviewer), Some(time_ms)) => Some((code::reviewer(&self.connection, reviewer)?, time_ms)),
            _ => None,
        };
        let field = |(index, field): (usize, &Field)| {
            let number = |part| numbers[self.layout.place(part, index)];
            let value = |part| number(part).map(|number| code::value(&self.connection, field, number)).transpose();
            Ok(RowField { label: value(Part::Label)?, predicted: value(Part::Predicted)?, confidence: number(Part::Confidence).map(share) })
        };
        Ok(Row {
            id: SampleId::new(id).map_err(StoreError::damaged("a sample's id"))?,
            ordinal: seq.unsigned_abs(),
            image_type,
            state: state.and_then(|state| State::ALL.get(state as usize).copied()).unwrap_or(State::Undecided),
            revision: Revision(revision.unwrap_or_default()),
            decided,
            flagged: flagged == Some(1),
            commented: commented == Some(1),
            confidence: confidence.map(share),
            disagreement: disagreement.map(share),
            cluster: cluster.map(|cluster| cluster as u32),
            outlier: outlier.map(share),
            duplicate: duplicate == Some(1),
            fields: self.schema.fields().iter().enumerate().map(field).collect::<Result<_, StoreError>>()?,
        })
    }
}
