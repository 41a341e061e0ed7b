//! The new set while it is built: files written once, hashed on the way, taken from the old set where they are the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::ExportError;
use super::existing::{Existing, link_or_copy};
use super::manifest::{self, Manifest};
use crate::domain::{ContentHash, RelativePath};
use crate::imaging::hash_bytes;

/// A file of the set and what it holds.
pub(super) type Listed = (String, ContentHash);

/// A folder that becomes the set.
pub(super) struct Staging<'a> {
    dir: PathBuf,
    old: Option<&'a Existing>,
    hard_links: bool,
    /// Whether the file system has not yet refused to clone a file.
    clones: AtomicBool,
    files: Mutex<BTreeMap<RelativePath, ContentHash>>,
}

impl<'a> Staging<'a> {
    pub(super) fn begin(dir: &Path, old: Option<&'a Existing>, hard_links: bool) -> Result<Self, ExportError> {
        fs::create_dir(dir).map_err(ExportError::io(dir))?;
        Ok(Self { dir: dir.to_owned(), old, hard_links, clones: AtomicBool::new(true), files: Mutex::default() })
    }

    /// Makes a folder in the set.
    pub(super) fn folder(&self, name: &str) -> Result<(), ExportError> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).map_err(ExportError::io(&path))
    }

    /// Adds files to the manifest's list.
    pub(super) fn list(&self, files: impl IntoIterator<Item = Listed>) {
        let named = files.into_iter().filter_map(|(name, hash)| RelativePath::new(name).ok().map(|name| (name, hash)));
        self.files.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
    }

    /// Every file that was listed.
    pub(super) fn files(&self) -> BTreeMap<RelativePath, ContentHash> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a small file, and lists it.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.dir.join(name);
        fs::write(&path, bytes).map_err(ExportError::io(&path))?;
        self.list([(name.to_owned(), hash_bytes(bytes))]);
        Ok(())
    }

    /// Writes the manifest: whole, or not at all.
    pub(super) fn write_manifest(&self, manifest: &Manifest) -> Result<(), ExportError> {
        let (part, path) = (self.dir.join("manifest.part"), self.dir.join(manifest::FILE));
        fs::write(&part, manifest.bytes()).and_then(|()| fs::rename(&part, &path)).map_err(ExportError::io(&path))
    }

    /// Puts an image's bytes into the set, and lists it: the old set's file where it is the same, else, where the
    /// bytes are those of `source`, a hard link (on request) or a clone of it, else a copy.
    pub(super) fn put(
        &self,
        name: &str,
        bytes: &[u8],
        hash: ContentHash,
        source: Option<&File>,
        link: Option<&Path>,
    ) -> Result<(), ExportError> {
        let path = self.dir.join(name);
        self.list([(name.to_owned(), hash)]);
        if let Some(old) = self.old.and_then(|old| old.file(name, hash))
            && link_or_copy(&old, &path).is_ok()
        {
            return Ok(());
        }
        if self.hard_links
            && let Some(link) = link
            && fs::hard_link(link, &path).is_ok()
        {
            return Ok(());
        }
        let mut file = File::create(&path).map_err(ExportError::io(&path))?;
        if source.is_some_and(|source| self.clone_file(&file, source, bytes.len())) {
            return Ok(());
        }
        file.write_all(bytes).map_err(ExportError::io(&path))
    }

    /// Shares the source's blocks, where the file system can; whether it did.
    #[cfg(target_os = "linux")]
    fn clone_file(&self, file: &File, source: &File, length: usize) -> bool {
        if !self.clones.load(Ordering::Relaxed) {
            return false;
        }
        let cloned = rustix::fs::ioctl_ficlone(file, source).is_ok();
        self.clones.store(cloned, Ordering::Relaxed);
        // A source that is being written to meanwhile is copied from memory, as it was hashed.
        let same = cloned && file.metadata().is_ok_and(|metadata| metadata.len() == length as u64);
        if cloned && !same {
            return file.set_len(0).is_err();
        }
        same
    }

    #[cfg(not(target_os = "linux"))]
    fn clone_file(&self, _: &File, _: &File, _: usize) -> bool {
        self.clones.store(false, Ordering::Relaxed);
        false
    }

    /// A file that is written piece by piece; its folder must be there.
    pub(super) fn create(&self, name: &str) -> Result<HashedFile, ExportError> {
        let path = self.dir.join(name);
        let file = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(ExportError::io(&path))?);
        Ok(HashedFile { name: name.to_owned(), path, file, hasher: blake3::Hasher::new() })
    }
}

/// A file that is hashed while it is written.
pub(super) struct HashedFile {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl HashedFile {
    /// Its path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of the bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.write_all(bytes).map_err(ExportError::io(&self.path))
    }

    /// Closes the file.
    pub(super) fn finish(mut self) -> Result<Listed, ExportError> {
        self.file.flush().map_err(ExportError::io(&self.path))?;
        Ok((self.name, ContentHash::from_bytes(*self.hasher.finalize().as_bytes())))
    }

    /// Takes the file away again.
    pub(super) fn remove(self) -> Result<(), ExportError> {
        fs::remove_file(&self.path).map_err(ExportError::io(&self.path))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
