//! Zip archives: a file that lists samples, and exactly the images that it names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zip::ZipArchive;

use super::intake::Fault;
use super::{ImportError, MOST_ARCHIVE_BYTES, MOST_IMAGE_BYTES};
use crate::domain::RelativePath;

/// The largest file that lists samples, unpacked, in bytes.
const MOST_MANIFEST_BYTES: u64 = 16 << 30;

/// An opened archive; shared by the threads that parse.
pub(super) struct Archive {
    entries: Mutex<Entries>,
    /// The folder of the file that lists the samples: empty, or ending in `/`.
    prefix: String,
    /// The folder for its images below that of all unpacked ones.
    stem: String,
    unpacked: AtomicU64,
}

struct Entries {
    zip: ZipArchive<BufReader<File>>,
    /// Where entries that were unpacked before lie.
    known: HashMap<usize, String>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let io = |source| ImportError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(path, &error))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| RelativePath::new(*stem).is_ok());
        Ok(Self {
            entries: Mutex::new(Entries { zip, known: HashMap::new() }),
            prefix: String::new(),
            stem: stem.unwrap_or("archive").to_owned(),
            unpacked: AtomicU64::new(0),
        })
    }

    /// The names of all entries that are good relative paths.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = self.lock();
        let text = |name| std::str::from_utf8(name).ok().filter(|name| RelativePath::new(*name).is_ok());
        entries.zip.file_names_raw().filter_map(text).map(str::to_owned).collect()
    }

    /// Unpacks the file that lists the samples into a nameless temporary file beside the archive's other ones, since
    /// some formats are read from their end; images are named from its folder on.
    pub(super) fn manifest(&mut self, path: &Path, name: &str, temporary: &Path) -> Result<(File, u64), ImportError> {
        let io = |source| ImportError::Io { path: path.to_owned(), source };
        self.prefix = name.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        let mut entries = self.lock();
        let index = entries.zip.index_for_name_raw(name.as_bytes()).unwrap_or(usize::MAX);
        let mut entry = entries.zip.by_index(index).map_err(|error| broken(path, &error))?;
        let mut file = tempfile::tempfile_in(temporary).map_err(io)?;
        let bytes = std::io::copy(&mut entry.by_ref().take(MOST_MANIFEST_BYTES + 1), &mut file).map_err(|error| broken(path, &error))?;
        if bytes > MOST_MANIFEST_BYTES {
            return Err(ImportError::TooLarge { file: format!("{}/{name}", path.display()), most: MOST_MANIFEST_BYTES, got: bytes });
        }
        file.flush().and_then(|()| file.rewind()).map_err(io)?;
        Ok((file, bytes))
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.lock().zip.index_for_name_raw(format!("{}{name}", self.prefix).as_bytes()).is_some()
    }

    /// Hands an entry to `write` with the path it is to have, unless that was done before; that path is returned.
    pub(super) fn unpack(&self, column: &str, name: &str, write: impl Fn(&str, &[u8]) -> Result<(), Fault>) -> Result<String, Fault> {
        let path = RelativePath::new(format!("{}{name}", self.prefix)).map_err(|error| Fault::new(column, error.expected, name))?;
        let fault = |expected: &str| Fault::new(column, expected, name);
        let mut entries = self.lock();
        let index = entries.zip.index_for_name_raw(path.as_str().as_bytes());
        let index = index.ok_or_else(|| fault("an image that the archive holds"))?;
        if let Some(known) = entries.known.get(&index) {
            return Ok(known.clone());
        }
        let mut entry = entries.zip.by_index(index).map_err(|error| Fault::new(column, "an entry that can be unpacked", error))?;
        if !entry.is_file() || entry.is_symlink() {
            return Err(fault("a plain file in the archive, no folder and no symbolic link"));
        }
        let mut bytes = Vec::new();
        entry
            .by_ref()
            .take(MOST_IMAGE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Fault::new(column, "an entry that can be unpacked", format!("{name}: {error}")))?;
        drop(entry);
        let size = bytes.len() as u64;
        if size > MOST_IMAGE_BYTES {
            return Err(fault(&format!("an image of at most {MOST_IMAGE_BYTES} bytes")));
        }
        if self.unpacked.fetch_add(size, Ordering::Relaxed) + size > MOST_ARCHIVE_BYTES {
            return Err(fault(&format!("an archive of at most {MOST_ARCHIVE_BYTES} bytes, unpacked")));
        }
        let target = format!("{}/{path}", self.stem);
        write(&target, &bytes)?;
        entries.known.insert(index, target.clone());
        Ok(target)
    }

    /// A thread that panicked while it held the lock left nothing half done that matters here.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(path: &Path, error: &dyn ToString) -> ImportError {
    ImportError::Broken { file: path.display().to_string(), expected: "a zip archive", got: error.to_string() }
}
