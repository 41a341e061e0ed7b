//! What can go wrong.

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
    /// An image cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
