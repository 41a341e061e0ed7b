//! What a run says while it goes, and when it ends.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a run reports as it goes; a line of the log each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Steps have been made.
    Step(StepReport),
    /// Held-out examples have been looked at.
    Evaluation(EvaluationReport),
    /// A checkpoint has been written.
    Checkpoint {
        /// Steps made.
        step: u64,
        /// Where.
        path: PathBuf,
    },
    /// What the run is about to take.
    Planned {
        /// The most memory at once, in bytes, as [`crate::train::memory`] foretells it.
        memory: u64,
        /// What there is of it; `None` where the device does not tell.
        room: Option<u64>,
        /// Whether blocks are computed again for their gradients.
        recompute: bool,
    },
    /// Memory did not suffice; blocks are computed again for their gradients from here on.
    Again,
    /// Memory did not suffice; fewer conversations are computed at once from here on.
    Smaller {
        /// Conversations at once.
        micro_batch: usize,
    },
    /// The run goes on from a checkpoint.
    Resumed {
        /// Steps that it had made.
        step: u64,
    },
}

/// The steps since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Steps made.
    pub step: u64,
    /// How far the run is, 0..=1.
    pub progress: f64,
    /// Cross-entropy of the answers' tokens, the mean of these steps.
    pub answer_loss: f64,
    /// The dense loss, before its weight; `None` where none was computed.
    pub dense_loss: Option<f64>,
    /// The last step's learning rate.
    pub learning_rate: f64,
    /// Length of the last step's gradient, before clipping.
    pub gradient: f64,
    /// Conversations a second.
    pub samples_per_second: f64,
    /// Seconds since the run began, those before a resumption counted.
    pub seconds: f64,
    /// Bytes of the device's memory that are taken; `None` where the device does not tell.
    pub memory: Option<u64>,
    /// The most that was taken so far; of a run on the processor, the most that the program had in memory.
    pub peak_memory: Option<u64>,
}

/// What an evaluation found: answers that are right at every token, each token said after the right ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// Steps made.
    pub step: u64,
    /// The share of right answers, where there were zero-shot conversations.
    pub zero_shot: Option<f64>,
    /// The same of one-shot conversations.
    pub one_shot: Option<f64>,
    /// Cross-entropy of the answers' tokens.
    pub loss: f64,
    /// Whether it is the best so far, which is kept.
    pub best: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Steps made.
    pub steps: u64,
    /// Conversations learnt from.
    pub samples: u64,
    /// Seconds.
    pub seconds: f64,
    /// Whether the plan was carried out; otherwise the run was stopped and can be resumed.
    pub finished: bool,
    /// The step whose weights are kept: the best evaluation's, else the last one.
    pub kept: u64,
    /// The best evaluation's share of right answers (by teacher forcing).
    pub best: Option<f64>,
    /// The most memory that was taken, see [`StepReport::peak_memory`].
    pub peak_memory: Option<u64>,
    /// What of it tensors took, without what the driver and the allocator hold besides; `None` where the device does not tell.
    pub peak_tensors: Option<u64>,
}
