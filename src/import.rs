//! Samples from other people's files: one file per format.
//!
//! Contract: imports `domain`, `conversation` and `imaging`; knows no store and prints nothing. [`read`] streams a
//! source into a sink, in the source's order: every good row as a [`NewSample`], every bad one as a [`BadRow`] that
//! names file, line, field, what was expected and what was there. A bad row adds nothing; the rest goes on. Sources are
//! untrusted: sizes are limited before memory is taken, and no path leaves its folder, symbolic links included. Images
//! are read where they lie; only embedded and zipped ones are written, into a folder of the project.
//!
//! Adding a format: one file with a `read`, one line in `format.rs`.

mod archive;
mod cell;
mod coco;
mod columns;
mod csv;
mod folder;
mod format;
mod generic;
mod images;
mod inspection;
mod intake;
mod jsonl;
mod label_studio;
mod lines;
mod paligemma;
mod parquet;
mod rows;
mod run;
mod source;
mod truth;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::domain::{Label, RelativePath, SampleId, Schema, printable};

pub use columns::Columns;
pub use format::Format;
pub use rows::{BboxStrError, parse_bbox_str};
pub use truth::{QuerySize, Truth, TruthOptions, read_truth};

/// The longest line of a text source, or record of a CSV, in bytes.
pub const MOST_LINE_BYTES: usize = 1 << 20;

/// The largest JSON document (COCO, Label Studio) that is read, in bytes: it must fit into memory.
pub const MOST_DOCUMENT_BYTES: u64 = 1 << 30;

/// The largest image that is unpacked from an archive or from a Parquet column, in bytes.
pub const MOST_IMAGE_BYTES: u64 = 256 << 20;

/// The most bytes that one archive may unpack in one import.
pub const MOST_ARCHIVE_BYTES: u64 = 64 << 30;

/// How a source is read.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// What values are allowed.
    pub schema: &'a Schema,
    /// The project's folder, absolute.
    pub project: &'a Path,
    /// A folder inside the project into which embedded and zipped images are written; made when needed.
    pub unpack: &'a Path,
    /// The format, where detection is not wanted.
    pub format: Option<Format>,
    /// Which column of the source holds what.
    pub columns: &'a Columns,
    /// The image type of rows that do not name theirs; a schema with one image type needs none.
    pub image_type: Option<&'a str>,
    /// The folder below which image paths lie, where it is not the one of the source.
    pub images: Option<&'a Path>,
    /// Values of fields that a row says nothing about.
    pub defaults: &'a Label,
    /// Whether each image's header is read; otherwise an image must only exist.
    pub check_images: bool,
    /// Whether the first bad row ends the import with [`ImportError::BadRow`].
    pub strict: bool,
}

/// An image file that a row names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The folder that the path must not leave, absolute and without symbolic links: the project when the image lies
    /// inside of it, else the source's own.
    pub folder: PathBuf,
    /// The file's path below it.
    pub path: RelativePath,
}

/// A row that can become a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSample {
    /// The row's own id, else the query's path without its extension.
    pub id: SampleId,
    /// One of the schema's image types.
    pub image_type: String,
    /// The picture that is asked about.
    pub query: Location,
    /// The good product to compare with, where the row names its own.
    pub reference: Option<Location>,
    /// Related samples share a group; a row without one stands alone, by its id.
    pub group: String,
    /// What the row says, over the defaults; fields may be missing.
    pub label: Label,
}

/// A row that cannot become a sample, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The file, as a person would look for it; for a file in an archive `archive.zip/file`.
    pub file: String,
    /// The line, or the row of a Parquet file, from 1; none in formats without lines.
    pub line: Option<u64>,
    /// The field or column; none when the row as a whole cannot be read.
    pub field: Option<String>,
    /// What would have been right.
    pub expected: String,
    /// What was there, cut to 120 characters.
    pub got: String,
}

impl fmt::Display for BadRow {
    /// One line that is safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {}", printable(field))?;
        }
        write!(f, ": expected {}, got {}", printable(&self.expected), printable(&self.got))
    }
}

/// What [`read`] hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A good row.
    Sample(NewSample),
    /// A bad row.
    Bad(BadRow),
}

/// Why a source cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file or folder is missing or cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither name nor content show what the source is.
    #[error("{path}: expected one of the formats {}, got something else; name the format", Format::names())]
    UnknownFormat {
        /// The source.
        path: PathBuf,
    },
    /// A folder or archive holds no file that lists samples.
    #[error("{path}: expected {expected}, found none")]
    NoManifest {
        /// The folder or archive.
        path: PathBuf,
        /// What was looked for.
        expected: String,
    },
    /// A folder or archive holds several files that may list samples.
    #[error("{path}: expected one file that lists the samples, got {names}; name one of them, or the format")]
    SeveralManifests {
        /// The folder or archive.
        path: PathBuf,
        /// The files, with commas between.
        names: String,
    },
    /// The format speaks of a field that the schema lacks, or that takes other values.
    #[error("the format {format} needs a field {field} in the schema: expected {expected}, got {got}")]
    Schema {
        /// The format's name.
        format: &'static str,
        /// The field's id.
        field: &'static str,
        /// What the format needs.
        expected: String,
        /// What the schema has.
        got: String,
    },
    /// A column or image type that the options name is not known.
    #[error("{what} {name}: expected one of {known}")]
    Unknown {
        /// `column` or `image type`.
        what: &'static str,
        /// What was named.
        name: String,
        /// What is known, with commas between.
        known: String,
    },
    /// The file is damaged or no file of its format.
    #[error("{file}: expected {expected}, got {got}")]
    Broken {
        /// The file.
        file: String,
        /// What it should be.
        expected: &'static str,
        /// What its reader said.
        got: String,
    },
    /// The file is larger than what its format allows to read safely.
    #[error("{file}: expected at most {most} bytes, got {got}")]
    TooLarge {
        /// The file.
        file: String,
        /// The most bytes.
        most: u64,
        /// Its bytes.
        got: u64,
    },
    /// The folder for unpacked images does not lie in the project.
    #[error("{path}: expected a folder inside the project for unpacked images")]
    Unpack {
        /// The folder.
        path: PathBuf,
    },
    /// A bad row, when the options are strict.
    #[error("{0}")]
    BadRow(BadRow),
}

/// Reads a source: a file of one of the formats, a folder, or a zip archive with such a file and its images.
///
/// The sink gets every row in order and may end the import by breaking, which is no error. `progress` gets how much is
/// done and how much there is: bytes of the file that lists the samples, or images of a folder.
pub fn read(
    source: &Path,
    options: &Options<'_>,
    sink: &mut dyn FnMut(Item) -> ControlFlow<()>,
    progress: &dyn Fn(u64, u64),
) -> Result<(), ImportError> {
    let (format, opened, images) = source::open(source, options)?;
    let mut run = run::Run::new(options, opened, images, sink, progress)?;
    match format.read(&mut run) {
        Ok(()) | Err(run::Halt::Asked) => Ok(()),
        Err(run::Halt::Failed(error)) => Err(error),
    }
}
