//! What can go wrong with a store, said so that a person knows what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::domain::{ReviewerName, SampleId};

/// Why the store did not do what was asked. Nothing was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is no project in the folder.
    #[error("{}: expected a mekiki project, found none; make one with `mekiki init`, or name its folder with -C", .0.display())]
    Missing(PathBuf),
    /// There is a project already.
    #[error("{}: expected no project there yet, found one; open it, or choose another folder", .0.display())]
    Exists(PathBuf),
    /// The file is a database, but none of mekiki's.
    #[error("{}: expected a mekiki store, found another file; move it away or choose another folder", .0.display())]
    Foreign(PathBuf),
    /// A newer mekiki wrote it.
    #[error("{}: expected a store of version {known} or older, found version {found}; open it with a newer mekiki", path.display())]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this mekiki knows.
        known: i64,
    },
    /// Several machines would write to it at once without knowing of each other.
    #[error(
        "{}: expected a local disk, found {file_system}, on which SQLite cannot keep several writers apart; \
         put the project on a local disk of the server (images may stay where they are)", path.display()
    )]
    Network {
        /// The project's folder.
        path: PathBuf,
        /// The kind of file system.
        file_system: String,
    },
    /// Another process held the project for longer than we wait.
    #[error("another process has been writing to this project for more than 30 seconds; wait until it is done, or end it, and try again")]
    Busy,
    /// The project cannot be written to.
    #[error("this project is open for reading only; to {0}, open it from an account that may write to its folder")]
    ReadOnly(&'static str),
    /// The project file was changed by somebody while this process had the project open.
    #[error("the fields in mekiki.toml have changed since this process opened the project; close it and open it again")]
    SchemaChanged,
    /// No such sample.
    #[error("expected the id of a sample, got {:?}, which this project does not have", .0.as_str())]
    UnknownSample(SampleId),
    /// The same sample twice in one import.
    #[error("expected each sample once in an import, got {:?} again; the first one is kept", .0.as_str())]
    RepeatedSample(SampleId),
    /// A folder of images that cannot be written down.
    #[error("{}: expected an absolute folder whose name is UTF-8; rename it, or give it from the root", .0.display())]
    Folder(PathBuf),
    /// No predictions of this source.
    #[error("expected a model that has predicted in this project, got {0}; see `mekiki stats` for those that have")]
    UnknownSource(String),
    /// The reviewer has nothing to take back.
    #[error("{0} has no decision left to undo")]
    NothingToUndo(ReviewerName),
    /// The reviewer has nothing to bring back.
    #[error("{0} has undone nothing that could be done again")]
    NothingToRedo(ReviewerName),
    /// Something in the store cannot be read.
    #[error("the store is damaged: expected {expected}, found {found}; restore .mekiki from a backup")]
    Damaged {
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// A file or folder could not be used.
    #[error("{}: could not {doing}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What for.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The disk is full.
    #[error("the disk is full; make room and try again (nothing was lost)")]
    DiskFull,
    /// SQLite says no in some other way.
    #[error("the store could not be used: {0}")]
    Sqlite(rusqlite::Error),
}

impl StoreError {
    /// For `map_err` on file operations.
    pub(super) fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, doing, source }
    }

    /// For `map_err` on stored texts that are checked when they are read.
    pub(super) fn damaged<E: ToString>(expected: &'static str) -> impl Fn(E) -> Self {
        move |found| Self::Damaged { expected, found: found.to_string() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly("change it"),
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { expected: "a whole database", found: error.to_string() },
            _ => Self::Sqlite(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_that_a_database_is_locked() {
        for code in [rusqlite::ffi::SQLITE_BUSY, rusqlite::ffi::SQLITE_LOCKED, rusqlite::ffi::SQLITE_BUSY_SNAPSHOT] {
            let said = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some("database is locked".to_owned()));
            let told = StoreError::from(said).to_string();
            assert!(told.contains("another process") && !told.contains("locked"), "{told}");
        }
    }
}
