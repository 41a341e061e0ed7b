//! Why no training set was written.

use std::io;
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::conversation::ComposeError;
use crate::domain::{SampleId, printable};
use crate::imaging::ImageError;

/// Why a training set was not written. The set that was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder holds something that no export wrote.
    #[error("{0}: expected an empty folder or a training set of ours, got a folder without manifest.json; name another folder")]
    NotOurs(PathBuf),
    /// The manifest cannot be read.
    #[error("{path}: expected the manifest of a training set, got {got}; restore it, or name another folder")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        got: String,
    },
    /// The folder holds a set of another project or format.
    #[error("{path}: expected a training set of {expected}, got one of {got}; name another folder, or move this one away")]
    Other {
        /// The folder.
        path: PathBuf,
        /// What this export writes.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// Files of the set were changed by hand.
    #[error("{path}: changed by hand since the last export: {}; restore them, or move them away", names(.files))]
    Changed {
        /// The folder.
        path: PathBuf,
        /// The files in it.
        files: Vec<String>,
    },
    /// A file that is not ours stands where the export writes one.
    #[error("{0}: not written by an export, and the export needs its name; move it away")]
    Foreign(PathBuf),
    /// Another export is at work.
    #[error("{path}: another export is writing this training set{}; wait for it", .process.as_ref().map(|id| format!(" (process {id})")).unwrap_or_default())]
    Locked {
        /// The set's folder.
        path: PathBuf,
        /// The process that is at work.
        process: Option<String>,
    },
    /// There is no more room.
    #[error("{path}: no space left ({source}); the old training set is as it was. Free some space, or export to another disk")]
    NoSpace {
        /// The file that could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Parquet could not be written.
    #[error("{path}: {message}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        message: String,
    },
    /// No conversation can be made of a sample, nor of others like it.
    #[error("{sample}: {source}")]
    Compose {
        /// The first such sample.
        sample: SampleId,
        /// What is missing.
        source: ComposeError,
    },
    /// An image of a pool cannot be used.
    #[error("pool image {image}: {source}; mend it, or take it away with 'mekiki pool remove {image}'")]
    Pool {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: ImageError,
    },
    /// A pool image is shown while training, and is also measured on.
    #[error(
        "pool image {image} shows {what}, which is in the {split} split; pool images must come from train: remove it with 'mekiki pool remove {image}'"
    )]
    Leak {
        /// The pool image.
        image: String,
        /// The group or sample it shares.
        what: String,
        /// The split of that.
        split: &'static str,
    },
    /// An image folder is not there.
    #[error("image folder {folder}{}: not there; mount it, or import from where the images are now", .path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default())]
    Folder {
        /// Its number.
        folder: i64,
        /// Its path, where it has one.
        path: Option<PathBuf>,
    },
    /// The samples could not be read.
    #[error("approved samples: {0}")]
    Samples(String),
    /// There is nothing to write.
    #[error("no approved sample can be written{}; {}", first(.refused), if .refused.is_empty() { "approve some first" } else { "mend the images, or approve the samples again" })]
    Nothing {
        /// Approved samples that were refused.
        refused: Vec<Refusal>,
    },
}

impl ExportError {
    /// The error of a file; a full disk has its own.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::NoSpace { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// The first few names, and how many more there are.
fn names(files: &[String]) -> String {
    let shown: Vec<_> = files.iter().take(5).map(|file| printable(file)).collect();
    let more = files.len().saturating_sub(shown.len());
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn first(refused: &[Refusal]) -> String {
    refused
        .first()
        .map(|refusal| format!(": {} refused, the first {}: {}", refused.len(), refusal.sample, refusal.reason))
        .unwrap_or_default()
}
