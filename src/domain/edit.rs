//! What a reviewer does to a sample.

use serde::{Deserialize, Serialize};

use super::{ContentHash, FieldId, Value};

/// Where a value that a reviewer decided on came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueOrigin {
    /// Typed or chosen by the reviewer.
    Typed,
    /// The imported label, accepted.
    Imported,
    /// The prediction with this number, accepted.
    Prediction(i64),
}

/// How the picture was shown when the decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// Not at all: decided by a script or in a batch.
    #[default]
    NotShown,
    /// As a thumbnail of a contact sheet.
    Thumbnail,
    /// In the sample view: the terminal's protocol, and the zoom in percent of real pixels.
    Sample {
        /// `kitty`, `iterm2`, `sixel` or `half-blocks`.
        protocol: String,
        /// Percent of real pixels.
        zoom: u32,
    },
}

/// The content of the images that an approval was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHashes {
    /// The query image's bytes.
    pub query: ContentHash,
    /// The sample's own reference image's bytes, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ContentHash>,
}

/// One reviewer's act on one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A field gets a value; the sample stays open.
    Set {
        /// The field.
        field: FieldId,
        /// Its value, one that the schema allows.
        value: Value,
        /// Where the value came from.
        origin: ValueOrigin,
    },
    /// The sample is approved with this label.
    Approve {
        /// Every field's value, and where it came from.
        label: Vec<(FieldId, Value, ValueOrigin)>,
        /// What the images held at that moment.
        images: ImageHashes,
        /// How they were shown.
        shown: Shown,
    },
    /// The sample is kept out of the training set.
    Reject,
    /// A decision is taken back and the sample is open again.
    Reopen,
    /// The sample is marked for a second look, or the mark is taken away.
    Flag(bool),
    /// A remark; empty takes it away.
    Comment(String),
}

impl Edit {
    /// The edit's name in the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
            Self::Approve { .. } => "approve",
            Self::Reject => "reject",
            Self::Reopen => "reopen",
            Self::Flag(_) => "flag",
            Self::Comment(_) => "comment",
        }
    }
}

/// Where a sample stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nobody has approved or rejected it.
    Undecided,
    /// Approved: its label goes into the training set.
    Approved,
    /// Rejected: it stays out.
    Rejected,
}

impl State {
    /// Every state, in the order of their numbers in the store.
    pub const ALL: [Self; 3] = [Self::Undecided, Self::Approved, Self::Rejected];

    /// `undecided`, `approved` or `rejected`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The state that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }
}
