//! How far a project has come, in one pass over the narrow table.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::code;
use super::layout::Part;
use super::{Store, StoreError};
use crate::domain::{FieldId, FieldKind, ReviewerName, State, Value};

/// Progress and agreement of a whole project.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// All samples.
    pub samples: u64,
    /// Those approved.
    pub approved: u64,
    /// Those neither approved nor rejected.
    pub undecided: u64,
    /// Those rejected.
    pub rejected: u64,
    /// Those marked for a second look.
    pub flagged: u64,
    /// Field by field, in the schema's order.
    pub fields: Vec<FieldStats>,
    /// Reviewer by reviewer, by name.
    pub reviewers: Vec<ReviewerStats>,
}

/// One field over all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldStats {
    /// Which one.
    pub field: FieldId,
    /// Samples whose label has a value.
    pub labelled: u64,
    /// Samples for which the active model has predicted a value.
    pub predicted: u64,
    /// Samples with both.
    pub compared: u64,
    /// Samples where both are the same.
    pub agreed: u64,
    /// How often each value stands in a label, most frequent first; empty for texts and boxes, which are all different.
    pub values: Vec<(Value, u64)>,
}

/// What one reviewer's decisions amount to: the samples on which theirs is the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewerStats {
    /// Who.
    pub reviewer: ReviewerName,
    /// Samples on which they decided last.
    pub decided: u64,
    /// Of these, the approved ones.
    pub approved: u64,
    /// Of these, the rejected ones.
    pub rejected: u64,
    /// Their last decision that stands, in milliseconds since 1970.
    pub last_ms: i64,
}

#[derive(Default)]
struct Tally {
    labelled: u64,
    predicted: u64,
    compared: u64,
    agreed: u64,
    values: BTreeMap<i64, u64>,
}

/// Decided, approved, rejected, and the time of the last decision.
type Work = (u64, u64, u64, i64);

impl Store {
    /// Counts everything; 0.5 s for a million samples.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let _snapshot = self.snapshot()?;
        let fields = self.schema.fields();
        let column = |part, place| self.layout.columns[self.layout.place(part, place)].as_str();
        let of_place = |place| [Part::Label, Part::Predicted].map(|part| column(part, place));
        let columns = ["state", "flagged", "reviewer", "decided_at"].into_iter().chain((0..fields.len()).flat_map(of_place));
        let sql = format!("SELECT {} FROM current NOT INDEXED", columns.collect::<Vec<_>>().join(", "));
        let counted: Vec<bool> = fields.iter().map(|field| !matches!(field.kind, FieldKind::Text { .. } | FieldKind::Box { .. })).collect();
        let mut states = [0_u64; State::ALL.len()];
        let mut flagged = 0;
        let mut tallies: Vec<Tally> = fields.iter().map(|_| Tally::default()).collect();
        let mut work: BTreeMap<i64, Work> = BTreeMap::new();
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (state, marked): (usize, u64) = (row.get::<_, i64>(0)? as usize, row.get::<_, i64>(1)?.unsigned_abs());
            if let Some(count) = states.get_mut(state) {
                *count += 1;
            }
            flagged += marked;
            if let Some(reviewer) = row.get(2)? {
                let (decided, approved, rejected, last_ms) = work.entry(reviewer).or_default();
                *decided += 1;
                *approved += u64::from(state == State::Approved as usize);
                *rejected += u64::from(state == State::Rejected as usize);
                *last_ms = (*last_ms).max(row.get(3)?);
            }
            for (place, tally) in tallies.iter_mut().enumerate() {
                tally.add(row, 4 + 2 * place, counted[place])?;
            }
        }
        let [undecided, approved, rejected] = states;
        let fields = fields.iter().zip(tallies).map(|(field, tally)| {
            let mut values = Vec::new();
            for (number, count) in tally.values {
                values.push((code::value(&self.connection, field, number)?, count));
            }
            values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let Tally { labelled, predicted, compared, agreed, .. } = tally;
            Ok(FieldStats { field: field.id.clone(), labelled, predicted, compared, agreed, values })
        });
        let mut reviewers = work
            .into_iter()
            .map(|(number, (decided, approved, rejected, last_ms))| {
                Ok(ReviewerStats { reviewer: code::reviewer(&self.connection, number)?, decided, approved, rejected, last_ms })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        reviewers.sort_by(|a, b| a.reviewer.cmp(&b.reviewer));
        Ok(Stats {
            samples: states.iter().sum(),
            approved,
            undecided,
            rejected,
            flagged,
            fields: fields.collect::<Result<_, StoreError>>()?,
            reviewers,
        })
    }
}

impl Tally {
    /// Label and prediction in two columns.
    fn add(&mut self, row: &Row<'_>, column: usize, counted: bool) -> Result<(), StoreError> {
        let (label, predicted): (Option<i64>, Option<i64>) = (row.get(column)?, row.get(column + 1)?);
        self.labelled += u64::from(label.is_some());
        self.predicted += u64::from(predicted.is_some());
        self.compared += u64::from(label.is_some() && predicted.is_some());
        self.agreed += u64::from(label.is_some() && label == predicted);
        if let Some(label) = label.filter(|_| counted) {
            *self.values.entry(label).or_default() += 1;
        }
        Ok(())
    }
}
