//! What can go wrong.

use crate::conversation::ComposeError;
use crate::imaging::ImageError;
use crate::model::ModelError;

/// Why nothing can be trained, or no further.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The checkpoint or a computation.
    #[error(transparent)]
    Model(#[from] ModelError),
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
