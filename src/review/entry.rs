//! A sample as the store knows it, and what can be decided on it.

use std::collections::BTreeSet;

use crate::domain::{
    self, FieldId, ImageHashes, Label, Prediction, Proposal, ReviewerName, SampleId, Schema, Shown, Value, ValueOrigin, propose,
};

/// The state of a sample that a decision was made on. A later one means that somebody has been there since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub i64);

/// A field's value, and where it came from.
pub type Answer = (FieldId, Value, ValueOrigin);

/// One sample as the store knows it: a row of the queue and all that its form needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The sample.
    pub id: SampleId,
    /// What a decision on it is based on.
    pub revision: Revision,
    /// Undecided, approved or rejected.
    pub state: domain::State,
    /// Who decided last.
    pub by: Option<ReviewerName>,
    /// Marked for a second look.
    pub flagged: bool,
    /// The remark; often empty.
    pub comment: String,
    /// Its image type.
    pub image_type: String,
    /// Whether it names a reference of its own.
    pub own_reference: bool,
    /// What is said of it so far.
    pub label: Label,
    /// The fields that a reviewer has set.
    pub decided: BTreeSet<FieldId>,
    /// What the model in use says of it.
    pub prediction: Option<Prediction>,
    /// Who else is looking at it.
    pub claimed_by: Option<ReviewerName>,
    /// How far it lies from its like, 0 to 1.
    pub outlier: Option<f32>,
    /// The group of samples that look like it.
    pub cluster: Option<u32>,
    /// The first sample that it equals or nearly equals.
    pub duplicate_of: Option<SampleId>,
}

impl Entry {
    /// What its form proposes.
    pub fn proposal(&self, schema: &Schema) -> Proposal {
        propose(schema, &self.label, &|field| self.decided.contains(field), self.prediction.as_ref())
    }

    /// The entry as the store has it after a change of ours.
    #[must_use]
    pub fn after(&self, schema: &Schema, change: &Change, revision: Revision, by: &ReviewerName) -> Self {
        let mut entry = Self { revision, ..self.clone() };
        let decided_by = Some(by.clone());
        match change {
            Change::Set { field, value, .. } => {
                if entry.label.set(schema, field, value.clone()).is_ok() {
                    entry.decided.insert(field.clone());
                }
                (entry.state, entry.by) = (domain::State::Undecided, decided_by);
            }
            Change::Approve { label, .. } => {
                let values = label.iter().filter_map(|(id, value, _)| Some((schema.field(id)?, value.clone())));
                entry.label = Label::from_values(values);
                entry.decided = label.iter().map(|(id, ..)| id.clone()).collect();
                (entry.state, entry.by) = (domain::State::Approved, decided_by);
            }
            Change::Reject => (entry.state, entry.by) = (domain::State::Rejected, decided_by),
            Change::Reopen => (entry.state, entry.by) = (domain::State::Undecided, decided_by),
            Change::Flag(on) => entry.flagged = *on,
            Change::Comment(text) => entry.comment.clone_from(text),
        }
        entry
    }
}

/// What a reviewer does to a sample: [`domain::Edit`] before the saver has made sure of the images' hashes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A field gets a value; the sample stays open.
    Set {
        /// The field.
        field: FieldId,
        /// Its value.
        value: Value,
        /// Where the value came from.
        origin: ValueOrigin,
    },
    /// The sample is approved with this label, complete and within the rules.
    Approve {
        /// Every field's value.
        label: Vec<Answer>,
        /// What the shown images held; the saver hashes the files where it is not known.
        images: Option<ImageHashes>,
        /// How they were shown.
        shown: Shown,
    },
    /// The sample is kept out of the training set.
    Reject,
    /// A decision is taken back.
    Reopen,
    /// The mark for a second look.
    Flag(bool),
    /// The remark.
    Comment(String),
}

/// A change of one sample, and the revision that the reviewer saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The sample.
    pub sample: SampleId,
    /// What was seen.
    pub base: Revision,
    /// What becomes of it.
    pub change: Change,
}
