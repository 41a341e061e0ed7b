//! The other half of the loop: training sets that were written, adapters that were trained, what they say otherwise.

use crate::domain::PredictionSource;

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// The set's folder.
    pub path: String,
    /// Conversations in the set.
    pub conversations: u64,
    /// Conversations that were not in it before, or said something else.
    pub changed: u64,
    /// Conversations that were in it before and are not any more.
    pub withdrawn: u64,
    /// Approved samples that are not in the set.
    pub refused: u64,
    /// The first of them, and why.
    pub first_refused: Option<(String, String)>,
}

/// How a training ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Trained {
        /// Whether its predictions are made now.
        predicts: bool,
    },
    /// It was stopped after so many steps.
    Stopped(u64),
    /// It went wrong.
    Failed(String),
}

/// What a newly trained adapter, or model, says otherwise than what was in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What was trained.
    pub name: String,
    /// What it predicts as.
    pub source: PredictionSource,
    /// What was in use before.
    pub against: PredictionSource,
    /// How many predictions differ.
    pub count: u64,
}
