//! Why there is nothing to learn from.

use std::path::PathBuf;

use crate::domain::{FieldId, IdError};

/// Why a source of examples cannot be made, or one of its examples.
#[derive(Debug, thiserror::Error)]
pub enum ExamplesError {
    /// Boards and circuits are drawn with truths that the project's fields cannot say.
    #[error(
        "generated pictures: {field}: expected {expected}, got {got:?}; the templates of 'mekiki init' say boards (pins) and circuits (pcb)"
    )]
    Schema {
        /// The field.
        field: String,
        /// What the schema takes.
        expected: String,
        /// What a board's truth would be.
        got: String,
    },
    /// A required field that generated pictures know nothing of.
    #[error(
        "generated pictures say nothing of the required field {0}; the templates of 'mekiki init' say boards (pins) and circuits (pcb)"
    )]
    Unsaid(FieldId),
    /// A name that an example cannot have.
    #[error("{0}")]
    Name(#[from] IdError),
    /// An image is not the one that a reviewer approved.
    #[error("{0}: the image has changed since it was approved; look at it again with 'mekiki review' and approve it")]
    Changed(PathBuf),
    /// There is nothing approved.
    #[error("no approved samples to learn from in the training split; approve some with 'mekiki review' or 'mekiki approve'")]
    None,
    /// Sources that look for different things cannot be mixed.
    #[error("examples of two sources cannot be mixed: one has the classes {first}, the other {other}")]
    Classes {
        /// Those of the first source.
        first: String,
        /// Those of another.
        other: String,
    },
    /// An image that no source has.
    #[error("{0}: no such image")]
    NoImage(String),
}
