//! The one path from samples, log and predictions to the rows of `current`.
//!
//! Decisions, imports, predictions and a rebuild all go through [`Deriver::refresh`], so that they cannot differ.

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::StoreError;
use super::code::{code, intern, ppm};
use super::effective::{Effective, Entry, effective};
use super::layout::{Layout, Numbers, Part};
use super::likeness;
use super::log::entries;
use super::record::{PredictedFields, read_label, read_prediction};
use super::temperature::{corrected, of_source};
use crate::domain::{FieldPrediction, Schema, Temperatures};

/// Makes rows of `current`, within the transaction of the connection.
pub(super) struct Deriver<'a> {
    connection: &'a Connection,
    schema: &'a Schema,
    layout: &'a Layout,
    /// The prediction source in use.
    active: Option<i64>,
    /// Its temperatures.
    temperatures: Temperatures,
}

/// The prediction source in use; `None` before the first prediction.
pub(super) fn active_source(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE key = 'active_source'")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

impl<'a> Deriver<'a> {
    pub(super) fn new(connection: &'a Connection, schema: &'a Schema, layout: &'a Layout) -> Result<Self, StoreError> {
        let active = active_source(connection)?;
        let temperatures = active.map(|active| of_source(connection, active)).transpose()?.unwrap_or_default();
        Ok(Self { connection, schema, layout, active, temperatures })
    }

    /// Brings a sample's row up to date; says whether it had to change.
    pub(super) fn refresh(&self, seq: i64) -> Result<bool, StoreError> {
        let (entries, _) = entries(self.connection, self.schema, seq)?;
        let new = self.derive(seq, &entries, &self.predicted(seq)?)?;
        let old = self.layout.stored(self.connection, seq)?;
        match old {
            Some(old) if old == new => return Ok(false),
            Some(old) => self.update(seq, &old, &new)?,
            None => self.insert(seq, &new)?,
        }
        Ok(true)
    }

    /// Makes the row of a sample that has just come in, of which neither log nor models know.
    pub(super) fn add(&self, seq: i64) -> Result<(), StoreError> {
        self.insert(seq, &self.derive(seq, &[], &PredictedFields::new())?)
    }

    fn insert(&self, seq: i64, row: &Numbers) -> Result<(), StoreError> {
        let values = std::iter::once(Some(seq)).chain(row.iter().copied());
        self.connection.prepare_cached(&self.layout.insert)?.execute(params_from_iter(values))?;
        Ok(())
    }

    /// Names only the columns that change, since SQLite touches the indexes of every column that is named.
    fn update(&self, seq: i64, old: &Numbers, new: &Numbers) -> Result<(), StoreError> {
        let changed = || old.iter().zip(new).zip(&self.layout.columns).filter(|((old, new), _)| old != new);
        let set: Vec<String> = changed().map(|(_, column)| format!("{column} = ?")).collect();
        let values = changed().map(|((_, new), _)| *new).chain([Some(seq)]);
        let sql = format!("UPDATE current SET {} WHERE seq = ?", set.join(", "));
        self.connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        Ok(())
    }

    fn derive(&self, seq: i64, entries: &[Entry], predicted: &PredictedFields) -> Result<Numbers, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT image_type, label FROM samples WHERE seq = ?1")?;
        let (image_type, label): (String, String) = statement.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let now = effective(self.schema, read_label(self.schema, &label)?.0, entries);
        let reviewer = now.by.as_ref().map(|(reviewer, _)| intern(self.connection, reviewer.as_str())).transpose()?;
        let alike = likeness::known(self.connection, seq)?;
        let mut row = vec![
            Some(now.state as i64),
            Some(entries.last().map_or(0, |entry| entry.op)),
            reviewer,
            now.by.as_ref().map(|(_, time_ms)| *time_ms),
            Some(i64::from(!now.label.is_empty() && self.schema.missing(&now.label).next().is_none())),
            Some(i64::from(now.flagged)),
            Some(i64::from(!now.comment.is_empty())),
            predicted.values().map(FieldPrediction::confidence).reduce(f32::min).map(ppm),
            disagreement(&now, predicted),
            self.schema.image_types().iter().position(|known| *known == image_type).map(|index| index as i64),
            alike.as_ref().map(|alike| i64::from(alike.cluster)),
            alike.as_ref().map(|alike| ppm(alike.outlier)),
            Some(i64::from(alike.is_some_and(|alike| alike.duplicate_of.is_some()))),
        ];
        row.resize(self.layout.columns.len(), None);
        for (index, field) in self.schema.fields().iter().enumerate() {
            let said = predicted.get(&field.id);
            let number = |value| code(self.connection, field, value);
            let label = now.label.get(&field.id).map(number).transpose()?;
            let predicted = said.map(|said| number(&said.value)).transpose()?;
            row[self.layout.place(Part::Label, index)] = label;
            row[self.layout.place(Part::Predicted, index)] = predicted;
            row[self.layout.place(Part::Effective, index)] = label.or(predicted);
            row[self.layout.place(Part::Confidence, index)] = said.map(|said| ppm(said.confidence()));
        }
        Ok(row)
    }

    fn predicted(&self, seq: i64) -> Result<PredictedFields, StoreError> {
        let Some(active) = self.active else { return Ok(PredictedFields::new()) };
        let mut statement = self.connection.prepare_cached("SELECT fields FROM predictions WHERE seq = ?1 AND source = ?2")?;
        let text: Option<String> = statement.query_row([seq, active], |row| row.get(0)).optional()?;
        text.map_or_else(|| Ok(PredictedFields::new()), |text| Ok(corrected(read_prediction(self.schema, &text)?, &self.temperatures)))
    }
}

/// The probability, in millionths, that the prediction puts against the label, in the field where it is largest;
/// `None` where label and prediction agree.
fn disagreement(now: &Effective, predicted: &PredictedFields) -> Option<i64> {
    let against = |(field, said): (_, &FieldPrediction)| {
        let value = now.label.get(field).filter(|value| **value != said.value)?;
        Some(1_000_000 - ppm(said.probability(value)))
    };
    predicted.iter().filter_map(against).max()
}
