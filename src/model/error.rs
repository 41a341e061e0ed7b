//! What can go wrong between a folder and a probability.

use std::path::PathBuf;

/// Why a model cannot be loaded or asked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file is missing or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of a configuration file is missing, of the wrong kind or out of range.
    #[error("{path}: {key}: expected {expected}, got {got}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, with the keys above it.
        key: String,
        /// What can stand there.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// The network needs a tensor that no file holds.
    #[error("{path}: no tensor {name}; expected one of shape {expected:?}")]
    MissingTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape that config.json asks for.
        expected: Vec<usize>,
    },
    /// A tensor is not of the shape that config.json asks for.
    #[error("{path}: {name}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape that config.json asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// An image cannot be shown to the model.
    #[error("an image of {width} x {height} pixels: {reason}")]
    Image {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// Why not.
        reason: String,
    },
    /// Tokens and images do not belong together.
    #[error("the prompt does not fit its images: {0}")]
    Prompt(String),
    /// The cache has no room for more tokens.
    #[error("the cache holds {capacity} tokens and {wanted} are wanted; make it larger or shorten the conversation")]
    CacheFull {
        /// How many tokens fit.
        capacity: usize,
        /// How many would be in it.
        wanted: usize,
    },
    /// A computation failed, out of memory among other reasons.
    #[error("the computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl ModelError {
    /// Whether less work at once may succeed: the device had no memory left.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Compute(error) => {
                let text = error.to_string().to_lowercase();
                // The driver's, in words and as a name, and that of cuBLAS, which wants room of its own.
                ["out of memory", "out_of_memory", "alloc_failed"].iter().any(|said| text.contains(said))
            }
            _ => false,
        }
    }
}
