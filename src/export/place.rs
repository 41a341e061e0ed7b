//! Where the set stands: locked, built beside itself, exchanged in one step, mended after a crash.
//!
//! The new set is built as `.NAME.mekiki-new` beside NAME. Where the system can exchange two names, that is one step.
//! Elsewhere the old set is first renamed to `.NAME.mekiki-old`; an export that finds such a leftover of a dead one
//! finishes what it began.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::ExportError;
use super::existing::{Existing, foreign};
use super::manifest::{self, Manifest};

/// The set's folder, held by this export until it is dropped.
pub(super) struct Place {
    out: PathBuf,
    staging: PathBuf,
    old: PathBuf,
    lock: PathBuf,
    /// Whether what stands at `staging` is our own unfinished work.
    building: Cell<bool>,
    /// Holds the lock.
    _file: File,
}

impl Place {
    /// Locks the place and clears away what a dead export left there.
    pub(super) fn take(out: &Path) -> Result<Self, ExportError> {
        let absolute = std::path::absolute(out).map_err(ExportError::io(out))?;
        // A link to a folder stays, and the folder that it leads to is exchanged.
        let out = if absolute.exists() { absolute.canonicalize().map_err(ExportError::io(&absolute))? } else { absolute };
        let (Some(name), Some(parent)) = (out.file_name(), out.parent()) else {
            return Err(ExportError::NotOurs(out));
        };
        fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
        let beside = |what: &str| parent.join(hidden(name, what));
        let lock = beside("lock");
        let file = acquire(&lock, &out)?;
        let place = Self { staging: beside("new"), old: beside("old"), out, lock, building: Cell::new(true), _file: file };
        place.mend()?;
        Ok(place)
    }

    /// The set's folder.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// Where the new set is built.
    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    /// Puts the finished new set in the old one's place, with the files that are not ours.
    pub(super) fn publish(&self, existing: Option<&Existing>) -> Result<(), ExportError> {
        if let Some(existing) = existing {
            existing.carry_foreign(&self.staging)?;
        }
        if let Ok(old) = fs::metadata(&self.out) {
            fs::set_permissions(&self.staging, old.permissions()).map_err(ExportError::io(&self.staging))?;
        }
        settle(&self.staging)?;
        if self.out.exists() {
            self.exchange()?;
        } else {
            fs::rename(&self.staging, &self.out).map_err(ExportError::io(&self.out))?;
        }
        self.building.set(false);
        let parent = self.out.parent().unwrap_or(&self.out);
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(ExportError::io(parent))?;
        self.sweep(&self.staging)?;
        self.sweep(&self.old)
    }

    fn exchange(&self) -> Result<(), ExportError> {
        match renameat_with(CWD, &self.staging, CWD, &self.out, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => self.exchange_in_two_steps(),
            Err(error) => Err(ExportError::io(&self.out)(error.into())),
        }
    }

    /// For file systems that cannot exchange names. What a crash between the steps leaves behind, `mend` finishes.
    fn exchange_in_two_steps(&self) -> Result<(), ExportError> {
        fs::rename(&self.out, &self.old).map_err(ExportError::io(&self.out))?;
        fs::rename(&self.staging, &self.out).map_err(|error| {
            let _ = fs::rename(&self.old, &self.out);
            ExportError::io(&self.out)(error)
        })
    }

    /// Finishes or undoes what a dead export began.
    fn mend(&self) -> Result<(), ExportError> {
        if !self.out.exists() && self.old.exists() {
            // It died between its two renames: what it had built was complete and on disk by then.
            let whole = self.staging.join(manifest::FILE).exists();
            let from = if whole { &self.staging } else { &self.old };
            fs::rename(from, &self.out).map_err(ExportError::io(&self.out))?;
        }
        self.sweep(&self.staging)?;
        self.sweep(&self.old)
    }

    /// Removes a folder of ours beside the set; files in it that are not ours and not in the set go back there.
    fn sweep(&self, dir: &Path) -> Result<(), ExportError> {
        if !dir.exists() {
            return Ok(());
        }
        // Without a manifest it was never finished, and holds nothing but what we put there.
        if let Ok(Some(manifest)) = Manifest::read(dir) {
            for lost in foreign(dir, &manifest)?.files {
                let home = self.out.join(&lost);
                if self.out.exists() && home.symlink_metadata().is_err() {
                    if let Some(parent) = home.parent() {
                        fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
                    }
                    fs::rename(dir.join(&lost), &home).map_err(ExportError::io(&home))?;
                }
            }
            // Last of all goes the list by which an interrupted sweep is taken up again.
            for entry in fs::read_dir(dir).map_err(ExportError::io(dir))? {
                let path = entry.map_err(ExportError::io(dir))?.path();
                if path.file_name() != Some(OsStr::new(manifest::FILE)) {
                    let is_dir = path.symlink_metadata().is_ok_and(|m| m.is_dir());
                    if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(ExportError::io(&path))?;
                }
            }
        }
        fs::remove_dir_all(dir).map_err(ExportError::io(dir))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What a failed export has built is of no use; the next one would clear it away too.
        if self.building.get() {
            let _ = fs::remove_dir_all(&self.staging);
        }
        let _ = fs::remove_file(&self.lock);
    }
}

fn hidden(name: &OsStr, what: &str) -> OsString {
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".mekiki-{what}"));
    hidden
}

/// Locks the file at `path`, which another export may remove at any moment.
fn acquire(path: &Path, out: &Path) -> Result<File, ExportError> {
    loop {
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(ExportError::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut text);
                let process = Some(text).filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
                return Err(ExportError::Locked { path: out.to_owned(), process });
            }
            Err(TryLockError::Error(error)) => return Err(ExportError::io(path)(error)),
        }
        let (held, named) = (file.metadata().map_err(ExportError::io(path))?, fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(ExportError::io(path))?;
            return Ok(file);
        }
    }
}

/// Brings everything below a folder to the disk.
fn settle(dir: &Path) -> Result<(), ExportError> {
    #[cfg(target_os = "linux")]
    let settled = File::open(dir).and_then(|dir| rustix::fs::syncfs(dir).map_err(io::Error::from));
    #[cfg(not(target_os = "linux"))]
    let settled: io::Result<()> = {
        rustix::fs::sync();
        Ok(())
    };
    settled.map_err(ExportError::io(dir))
}
