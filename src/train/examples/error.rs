//! Why there is nothing to learn from.

use crate::domain::{FieldId, IdError};

/// Why a source of examples cannot be made, or one of its examples.
#[derive(Debug, thiserror::Error)]
pub enum ExamplesError {
    /// Boards are drawn with truths that the project's fields cannot say.
    #[error("generated boards: {field}: expected {expected}, got {got:?}; 'mekiki init DIR --template pins' makes a project for them")]
    Schema {
        /// The field.
        field: String,
        /// What the schema takes.
        expected: String,
        /// What a board's truth would be.
        got: String,
    },
    /// A required field that generated boards know nothing of.
    #[error("generated boards say nothing of the required field {0}; 'mekiki init DIR --template pins' makes a project for them")]
    Unsaid(FieldId),
    /// A name that an example cannot have.
    #[error("{0}")]
    Name(#[from] IdError),
    /// An image that no source has.
    #[error("{0}: no such image")]
    NoImage(String),
}
