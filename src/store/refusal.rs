//! Why a sample was left alone, in words for a person.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::{Breach, ReviewerName, SampleId};

/// A sample that an operation left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which one.
    pub sample: SampleId,
    /// Why.
    pub reason: Reason,
}

/// Why a sample was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The project has no such sample.
    Unknown,
    /// It changed after the revision that the decision was made on.
    Stale {
        /// Who changed it last.
        by: ReviewerName,
        /// When, in milliseconds since 1970.
        time_ms: i64,
    },
    /// Another reviewer is looking at it.
    Claimed {
        /// Who.
        by: ReviewerName,
    },
    /// A value is not one that the schema allows.
    NotAllowed(String),
    /// The label is not complete, or breaks rules.
    Breaches {
        /// What speaks against it.
        breaches: Vec<Breach>,
        /// The same in words.
        text: String,
    },
    /// Another reviewer has decided since: undo and redo leave that alone.
    DecidedSince {
        /// Who.
        by: ReviewerName,
        /// When, in milliseconds since 1970.
        time_ms: i64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sample, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "this project has no such sample"),
            Self::Stale { by, time_ms } => write!(f, "{by} changed it at {}; look at it again", local(*time_ms)),
            Self::Claimed { by } => write!(f, "{by} is looking at it"),
            Self::NotAllowed(text) | Self::Breaches { text, .. } => write!(f, "{text}"),
            Self::DecidedSince { by, time_ms } => write!(f, "{by} has decided on it since, at {}", local(*time_ms)),
        }
    }
}

/// Date and time on this machine's clock.
fn local(time_ms: i64) -> String {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
