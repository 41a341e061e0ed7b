//! What can go wrong.

use std::path::PathBuf;

use super::ExamplesError;
use crate::conversation::ComposeError;
use crate::imaging::ImageError;
use crate::model::ModelError;
use crate::model::adapter::AdapterError;

/// Why nothing can be trained, or no further.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The checkpoint or a computation.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An adapter to go on from, or to be written.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Factors that cannot be laid beside a checkpoint's weights.
    #[error("LoRA: {0}")]
    Lora(String),
    /// No conversation can be made of a sample.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// What is to be learnt from.
    #[error(transparent)]
    Examples(#[from] ExamplesError),
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The loss is no number any more.
    #[error("the loss is no number after step {step}; lower the learning rate (--lr) or compute in f32 (--dtype f32). {kept}")]
    Diverged {
        /// The step after which it was noticed.
        step: u64,
        /// What can be gone on from.
        kept: String,
    },
    /// The device's memory does not suffice, whatever was tried.
    #[error("the device has no memory left for {micro_batch} conversations at once{}", .checkpoint.as_ref().map(|path| format!("; what was learnt before is in {}: go on from it with --resume", path.display())).unwrap_or_default())]
    OutOfMemory {
        /// Conversations that were computed at once.
        micro_batch: usize,
        /// What the run can be gone on from.
        checkpoint: Option<PathBuf>,
    },
    /// A checkpoint belongs to another run.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Why it does not fit.
        reason: String,
    },
    /// Something that should not happen.
    #[error("training broke off: {0}")]
    Broken(String),
}

impl TrainError {
    /// Whether less work at once may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Model(error) => error.is_out_of_memory(),
            Self::OutOfMemory { .. } => true,
            _ => false,
        }
    }
}

pub(super) fn broken(reason: &str) -> TrainError {
    TrainError::Broken(reason.to_owned())
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
