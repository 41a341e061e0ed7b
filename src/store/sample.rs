//! One sample with everything that is known of it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row};

use super::effective::{Effective, effective};
use super::likeness::{self, Alike};
use super::log::{entries, operation_id};
use super::record::read_label;
use super::{Claim, Revision, Store, StoreError};
use crate::domain::{
    ApprovedSample, Breach, FieldId, ImageRef, Label, LabelProblem, Prediction, Provenance, RelativePath, ReviewerName, Sample, SampleId,
    SampleOrigin, Schema, State, Value, approve,
};

/// A sample as the form shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleView {
    /// The sample, and the label that came with it.
    pub sample: Sample,
    /// The label as it is now.
    pub label: Label,
    /// The fields that a reviewer has set or approved.
    pub decided: BTreeSet<FieldId>,
    /// Where it stands.
    pub state: State,
    /// The revision that a decision on what this view shows is made on.
    pub revision: Revision,
    /// Who decided last, and when, in milliseconds since 1970.
    pub by: Option<(ReviewerName, i64)>,
    /// Marked for a second look.
    pub flagged: bool,
    /// The remark; empty without one.
    pub comment: String,
    /// What the active model says.
    pub prediction: Option<Prediction>,
    /// Who is looking at it.
    pub claim: Option<Claim>,
    /// How it compares with the other samples' pictures.
    pub alike: Option<Alike>,
    /// Values in its import or its log that the schema no longer allows; they are left out of the label.
    pub problems: Vec<LabelProblem>,
}

impl SampleView {
    /// The image type that the label states, else the one that the sample came with.
    pub fn image_type<'a>(&'a self, schema: &Schema, label: &'a Label) -> &'a str {
        match schema.image_type_field().and_then(|field| label.get(field)) {
            Some(Value::Choice(stated)) => stated,
            _ => &self.sample.image_type,
        }
    }
}

/// Approved samples in import order.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// Those that may go into a training set.
    pub samples: Vec<ApprovedSample>,
    /// Those whose approval no longer holds, since the schema or its rules have changed.
    pub problems: Vec<ApprovalProblem>,
    /// The ordinal behind which the next batch begins; `None` when this was the last.
    pub next: Option<u64>,
}

/// An approved sample that the schema and its rules no longer let through.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalProblem {
    /// Which one.
    pub sample: SampleId,
    /// What speaks against it.
    pub breaches: Vec<Breach>,
    /// The same in words.
    pub text: String,
}

/// A sample and what its log amounts to.
struct Known {
    sample: Sample,
    now: Effective,
    revision: Revision,
    problems: Vec<LabelProblem>,
}

impl Store {
    /// Whether the project has this sample.
    pub fn has(&self, id: &SampleId) -> Result<bool, StoreError> {
        match seq_of(&self.connection, id) {
            Ok(_) => Ok(true),
            Err(StoreError::UnknownSample(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything about one sample.
    pub fn sample(&self, id: &SampleId) -> Result<SampleView, StoreError> {
        let _snapshot = self.snapshot()?;
        self.sample_at(seq_of(&self.connection, id)?)
    }

    /// As [`Store::sample`], within the caller's snapshot.
    pub(super) fn sample_at(&self, seq: i64) -> Result<SampleView, StoreError> {
        let Known { sample, now, revision, problems } = self.known(seq)?;
        let Effective { label, decided, state, by, flagged, comment, .. } = now;
        let (prediction, claim) = (self.active_prediction(seq)?, self.claim_on(seq)?);
        let alike = likeness::known(&self.connection, seq)?;
        Ok(SampleView { sample, label, decided, state, revision, by, flagged, comment, prediction, claim, alike, problems })
    }

    /// At most `limit` approved samples from behind the ordinal `after`, in import order. Each goes through
    /// [`approve`] again: what the schema no longer allows is named and left out.
    pub fn approved(&self, after: Option<u64>, limit: usize) -> Result<Approved, StoreError> {
        let _snapshot = self.snapshot()?;
        let mut statement =
            self.connection.prepare_cached("SELECT seq FROM current WHERE state = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?;
        let after = after.map_or(-1, |ordinal| ordinal as i64);
        let places =
            statement.query_map((State::Approved as i64, after, limit as i64), |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let mut approved = Approved { samples: Vec::new(), problems: Vec::new(), next: None };
        for seq in &places {
            let Known { sample, now, .. } = self.known(*seq)?;
            let (Some(approval), Some((reviewer, time_ms))) = (now.approval, now.by) else {
                return Err(StoreError::damaged("an approval in the log of every approved sample (try `mekiki rebuild`)")(&sample.id));
            };
            let operation = operation_id(&self.connection, approval.op)?.to_string();
            let provenance = Provenance { operation, reviewer, time_ms, images: approval.images, origins: approval.origins };
            let id = sample.id.clone();
            match approve(&self.schema, sample, now.label, provenance) {
                Ok(sample) => approved.samples.push(sample),
                Err(breaches) => {
                    let text = breaches.iter().map(|breach| breach.message(&self.schema)).collect::<Vec<_>>().join("; ");
                    approved.problems.push(ApprovalProblem { sample: id, breaches, text });
                }
            }
        }
        approved.next = places.last().filter(|_| places.len() == limit).map(|seq| seq.unsigned_abs());
        Ok(approved)
    }

    fn known(&self, seq: i64) -> Result<Known, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, image_type, query_folder, query_path, reference_folder, reference_path, grp, origin, label FROM samples WHERE seq = ?1",
        )?;
        let mut rows = statement.query([seq])?;
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let (imported, mut problems) = read_label(&self.schema, &row.get::<_, String>(8)?)?;
        let sample = Sample {
            id: SampleId::new(row.get::<_, String>(0)?).map_err(StoreError::damaged("a sample's id"))?,
            ordinal: seq.unsigned_abs(),
            image_type: row.get(1)?,
            query: image_at(row, 2)?.ok_or_else(|| StoreError::damaged("a query image")("none"))?,
            reference: image_at(row, 4)?,
            group: row.get(6)?,
            origin: if row.get::<_, i64>(7)? == SampleOrigin::Generated as i64 { SampleOrigin::Generated } else { SampleOrigin::Imported },
            imported,
        };
        let (entries, refused) = entries(&self.connection, &self.schema, seq)?;
        problems.extend(refused);
        let now = effective(&self.schema, sample.imported.clone(), &entries);
        Ok(Known { sample, now, revision: Revision(entries.last().map_or(0, |entry| entry.op)), problems })
    }
}

/// The number of a sample.
pub(super) fn seq_of(connection: &Connection, id: &SampleId) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM samples WHERE id = ?1")?;
    let found = statement.query_row([id.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| StoreError::UnknownSample(id.clone()))
}

/// Folder and path in two columns.
pub(super) fn image_at(row: &Row<'_>, column: usize) -> Result<Option<ImageRef>, StoreError> {
    let (folder, path): (Option<i64>, Option<String>) = (row.get(column)?, row.get(column + 1)?);
    let Some((folder, path)) = folder.zip(path) else { return Ok(None) };
    let path = RelativePath::new(path).map_err(StoreError::damaged("an image's path"))?;
    Ok(Some(ImageRef { folder, path }))
}
