//! One import under way: rows in, parsed in parallel, out in order.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

use rayon::prelude::*;

use super::images::Images;
use super::intake::{Fault, Intake};
use super::{BadRow, ImportError, Item, MOST_DOCUMENT_BYTES, NewSample, Options};
use crate::domain::stable_hash;

/// Rows that are parsed together, and the bytes after which fewer are.
const CHUNK_ROWS: usize = 4096;
const CHUNK_BYTES: u64 = 8 << 20;

/// Why a reader ends early.
pub(super) enum Halt {
    /// The sink wants no more.
    Asked,
    /// The source cannot be read on.
    Failed(ImportError),
}

impl From<ImportError> for Halt {
    fn from(error: ImportError) -> Self {
        Self::Failed(error)
    }
}

/// A source that was found and opened.
pub(super) struct Opened {
    /// The file or folder as messages name it.
    pub name: String,
    /// Where it is; of a file in an archive, the archive.
    pub path: PathBuf,
    /// The file that lists the samples; none for a folder that lists them by its layout.
    pub file: Option<File>,
    /// Its bytes.
    pub bytes: u64,
}

/// Where in the source a row stands.
pub(super) enum Place {
    /// In this line or row, from 1.
    Line(u64),
    /// In a part of a document, as a path: `images[3]`.
    Part(String),
    /// A file of its own.
    File(String),
}

/// A row as it was found.
pub(super) struct Raw<T> {
    pub place: Place,
    /// What the row takes of the source, in the unit of the progress.
    pub size: u64,
    pub content: Result<T, Fault>,
}

/// The import of one source.
pub(super) struct Run<'a> {
    pub opened: Opened,
    pub intake: Intake<'a>,
    sink: &'a mut dyn FnMut(Item) -> ControlFlow<()>,
    progress: &'a dyn Fn(u64, u64),
    done: u64,
    /// Hashes of the ids so far: 16 bytes a sample, so that a million fit well.
    seen: HashSet<(u64, u64)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        options: &'a Options<'a>,
        opened: Opened,
        images: Images,
        sink: &'a mut dyn FnMut(Item) -> ControlFlow<()>,
        progress: &'a dyn Fn(u64, u64),
    ) -> Result<Self, ImportError> {
        let intake = Intake::new(options, images)?;
        Ok(Self { opened, intake, sink, progress, done: 0, seen: HashSet::new() })
    }

    /// The opened file, once.
    pub(super) fn file(&mut self) -> Result<File, ImportError> {
        self.opened.file.take().ok_or_else(|| self.broken("a file", "a folder"))
    }

    /// The whole text of the opened file, which must fit into memory.
    pub(super) fn document(&mut self) -> Result<String, ImportError> {
        if self.opened.bytes > MOST_DOCUMENT_BYTES {
            return Err(ImportError::TooLarge { file: self.opened.name.clone(), most: MOST_DOCUMENT_BYTES, got: self.opened.bytes });
        }
        let mut text = String::new();
        // Limited once more, since a file may grow meanwhile.
        self.file()?.take(MOST_DOCUMENT_BYTES).read_to_string(&mut text).map_err(|error| self.broken("JSON in UTF-8", error))?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    #[expect(clippy::needless_pass_by_value, reason = "texts and errors are given alike")]
    pub(super) fn broken(&self, expected: &'static str, got: impl ToString) -> ImportError {
        ImportError::Broken { file: self.opened.name.clone(), expected, got: got.to_string() }
    }

    pub(super) fn io(&self, source: std::io::Error) -> ImportError {
        ImportError::Io { path: self.opened.path.clone(), source }
    }

    /// Parses rows in parallel and hands them on in order. A parse that gives nothing leaves its row out.
    pub(super) fn stream<T: Send>(
        &mut self,
        rows: impl IntoIterator<Item = Result<Raw<T>, ImportError>>,
        parse: impl Fn(&Intake<'a>, T) -> Result<NewSample, Fault> + Sync,
    ) -> Result<(), Halt> {
        let mut rows = rows.into_iter();
        let mut failed = None;
        while failed.is_none() {
            let (mut chunk, mut bytes) = (Vec::with_capacity(CHUNK_ROWS), 0);
            while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
                match rows.next() {
                    Some(Ok(raw)) => {
                        bytes += raw.size;
                        chunk.push(raw);
                    }
                    // What came before is handed on first.
                    Some(Err(error)) => {
                        failed = Some(error);
                        break;
                    }
                    None => break,
                }
            }
            if chunk.is_empty() {
                break;
            }
            let intake = &self.intake;
            let parsed: Vec<_> =
                chunk.into_par_iter().map(|raw| (raw.place, raw.content.and_then(|content| parse(intake, content)))).collect();
            parsed.into_iter().try_for_each(|(place, outcome)| self.hand_on(place, outcome))?;
            self.done += bytes;
            (self.progress)(self.done, self.opened.bytes);
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn hand_on(&mut self, place: Place, outcome: Result<NewSample, Fault>) -> Result<(), Halt> {
        let item = match outcome.and_then(|sample| self.unseen(sample)) {
            Ok(sample) => Item::Sample(sample),
            Err(fault) => {
                let bad = self.bad_row(place, fault);
                if self.intake.options.strict {
                    return Err(ImportError::BadRow(bad).into());
                }
                Item::Bad(bad)
            }
        };
        if (self.sink)(item).is_break() { Err(Halt::Asked) } else { Ok(()) }
    }

    fn unseen(&mut self, sample: NewSample) -> Result<NewSample, Fault> {
        let id = sample.id.as_str();
        if self.seen.insert((stable_hash(0, &[id]), stable_hash(1, &[id]))) {
            Ok(sample)
        } else {
            Err(Fault::new("id", "an id that no earlier row has", id))
        }
    }

    fn bad_row(&self, place: Place, fault: Fault) -> BadRow {
        let mut bad = fault.bad_row(&self.opened.name);
        match place {
            Place::Line(line) => bad.line = Some(line),
            Place::Part(part) => bad.field = Some(bad.field.map_or_else(|| part.clone(), |field| format!("{part}.{field}"))),
            Place::File(file) => bad.file = file,
        }
        bad
    }
}
