//! What work reports back.

use super::{Changed, Ending, Entry, Exported, Group, RequestId, Revision, SaveId};
use super::{Job, Sources, Statistics, Ungrouped};
use crate::conversation::{Conversation, ImageRole};
use crate::domain::{ContentHash, Prediction, ReviewerName, SampleId};

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Somebody has decided since.
    Stale {
        /// Who.
        by: ReviewerName,
        /// When, in milliseconds since 1970.
        time_ms: i64,
    },
    /// Another reviewer is looking at it.
    Claimed {
        /// Who.
        by: ReviewerName,
    },
    /// An image is another than the one that was shown.
    ImageChanged(String),
    /// Anything else, in words.
    Other(String),
}

/// A sample that was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which one.
    pub sample: SampleId,
    /// Why.
    pub reason: Reason,
}

/// Samples by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of the query.
    pub total: u64,
    /// Undecided among them.
    pub undecided: u64,
    /// Approved among them.
    pub approved: u64,
    /// Rejected among them.
    pub rejected: u64,
    /// Flagged among them.
    pub flagged: u64,
}

/// A filter with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The filter as it was typed.
    pub text: String,
}

/// What an undo or a redo did.
#[derive(Debug, Clone, PartialEq)]
pub struct Reverted {
    /// The samples it touched, as they are now.
    pub entries: Vec<Entry>,
    /// How many there were, listed or not.
    pub samples: usize,
    /// Those that others have decided on since, which stay as they are.
    pub refused: Vec<Refusal>,
}

/// What work reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Rows of the queue.
    Page {
        /// The question.
        request: RequestId,
        /// The place of the first row.
        from: usize,
        /// How many rows the whole order has.
        total: usize,
        /// The rows.
        rows: Vec<Entry>,
    },
    /// Every row of the queue, or `None` when there are too many.
    All {
        /// The question.
        request: RequestId,
        /// The rows.
        rows: Option<Vec<Entry>>,
    },
    /// The groups of the queue.
    Groups {
        /// The question.
        request: RequestId,
        /// The groups, in order; none where the order is not divided.
        groups: Vec<Group>,
        /// Why it is not as was asked.
        problem: Option<Ungrouped>,
    },
    /// A place that was looked for.
    Found {
        /// The question.
        request: RequestId,
        /// The place, if there is one.
        index: Option<usize>,
    },
    /// One sample as it is now, if it is there.
    Sample {
        /// The question.
        request: RequestId,
        /// The sample.
        entry: Option<Box<Entry>>,
    },
    /// A picture can be drawn, or cannot.
    Picture {
        /// The look that it was made for.
        generation: RequestId,
        /// Whose picture.
        sample: SampleId,
        /// Which of its pictures.
        role: ImageRole,
        /// The hash of the file's bytes, or why there is no picture.
        outcome: Result<ContentHash, String>,
    },
    /// A prediction was made.
    Predicted {
        /// Of which sample.
        sample: SampleId,
        /// What the model says.
        prediction: Box<Prediction>,
    },
    /// Decisions are durable, but for those refused.
    Saved {
        /// The save.
        save: SaveId,
        /// The operation in the log, if anything was saved.
        operation: Option<String>,
        /// The samples that changed.
        applied: Vec<SampleId>,
        /// What they now stand at.
        revision: Revision,
        /// The others.
        refused: Vec<Refusal>,
    },
    /// A save failed as a whole; nothing of it was kept.
    SaveFailed {
        /// The save.
        save: SaveId,
        /// Why, and what to do.
        error: String,
    },
    /// An undo or a redo is done, or was not possible.
    Reverted {
        /// The question.
        request: RequestId,
        /// What it did.
        outcome: Result<Box<Reverted>, String>,
    },
    /// Samples by state.
    Counts {
        /// The question.
        request: RequestId,
        /// How many.
        counts: Counts,
    },
    /// Statistics.
    Stats {
        /// The question.
        request: RequestId,
        /// The figures.
        stats: Box<Statistics>,
    },
    /// The saved views.
    Views(Vec<View>),
    /// What can be predicted with.
    Sources(Sources),
    /// How many predictions flipped.
    Flips {
        /// The question.
        request: RequestId,
        /// How many.
        count: u64,
    },
    /// A conversation, or why there is none.
    Composed {
        /// The question.
        request: RequestId,
        /// The turns.
        outcome: Result<Box<Conversation>, String>,
    },
    /// How a job stands.
    Job(Job),
    /// A training set was written, or could not be.
    Exported(Result<Box<Exported>, String>),
    /// A training has begun: its name; or why it could not.
    TrainingBegun(Result<String, String>),
    /// A training has ended.
    TrainingEnded {
        /// What was trained.
        name: String,
        /// How.
        ending: Ending,
    },
    /// Nothing is predicted while this is trained, so that it has the memory; `None` when predicting goes on.
    Resting(Option<String>),
    /// What was trained has predicted: what it says otherwise.
    Changed(Box<Changed>),
    /// Another reviewer holds the sample now.
    ClaimLost {
        /// Which one.
        sample: SampleId,
        /// Who.
        by: ReviewerName,
    },
    /// Something went wrong that belongs to no question.
    Error(String),
}
