//! The set that is there already: which files are ours and unchanged, which are the user's.

use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::manifest::{self, Manifest};
use super::{ExportError, Request, card};
use crate::domain::{ContentHash, RelativePath};
use crate::imaging::{ImageError, hash_file};

/// A training set that an earlier export wrote, checked against its manifest.
#[derive(Debug)]
pub(super) struct Existing {
    dir: PathBuf,
    manifest: Manifest,
    missing: usize,
    foreign: Foreign,
}

/// What stands in a set's folder without being listed.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Files and links, below the folder.
    pub(super) files: Vec<PathBuf>,
    /// Folders, outer ones first.
    folders: Vec<PathBuf>,
}

impl Existing {
    /// Looks at the folder: `None` where it is absent or empty. Anything but an unchanged set of this project and
    /// format is refused.
    pub(super) fn open(dir: &Path, request: &Request<'_>) -> Result<Option<Self>, ExportError> {
        match fs::read_dir(dir) {
            Ok(mut entries) => {
                if entries.next().is_none() {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExportError::io(dir)(error)),
        }
        let mut manifest = Manifest::read(dir)?.ok_or_else(|| ExportError::NotOurs(dir.to_owned()))?;
        let (expected, got) = ((request.project, request.format.name()), (manifest.project.as_str(), manifest.format.as_str()));
        if expected != got {
            let name = |(project, format): (&str, &str)| format!("project {project:?} in format {format}");
            return Err(ExportError::Other { path: dir.to_owned(), expected: name(expected), got: name(got) });
        }
        let stands: Vec<Stands> =
            manifest.files.par_iter().map(|(file, hash)| look(&dir.join(file.as_str()), *hash)).collect::<Result<_, _>>()?;
        let mut changed = Vec::new();
        let mut listed = stands.into_iter();
        let mut missing = 0;
        manifest.files.retain(|file, _| match listed.next().unwrap_or(Stands::Missing) {
            Stands::Unchanged => true,
            Stands::Missing => {
                missing += 1;
                false
            }
            Stands::Changed => {
                // The card invites notes: an edited one is the user's from then on.
                if file.as_str() != card::FILE {
                    changed.push(file.to_string());
                }
                false
            }
        });
        if !changed.is_empty() {
            return Err(ExportError::Changed { path: dir.to_owned(), files: changed });
        }
        let foreign = foreign(dir, &manifest)?;
        Ok(Some(Self { dir: dir.to_owned(), manifest, missing, foreign }))
    }

    /// The set's file of that name, where it is ours and holds just this.
    pub(super) fn file(&self, name: &str, hash: ContentHash) -> Option<PathBuf> {
        (self.manifest.files.get(name) == Some(&hash)).then(|| self.dir.join(name))
    }

    /// The set's file of that name, where it is ours.
    pub(super) fn listed(&self, name: &str) -> Option<PathBuf> {
        self.manifest.files.contains_key(name).then(|| self.dir.join(name))
    }

    /// Whether the data card was changed by hand, so that it stays.
    pub(super) fn keeps_card(&self) -> bool {
        self.foreign.files.iter().any(|file| file == Path::new(card::FILE))
    }

    /// Whether a new set would be the same, file by file.
    pub(super) fn is(&self, manifest: &Manifest) -> bool {
        self.missing == 0 && self.manifest == *manifest
    }

    /// What a person should know of the old set.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.missing > 0 {
            warnings.push(format!("{} files of the old set were missing", self.missing));
        }
        if self.keeps_card() {
            warnings.push(format!("{} was changed by hand and is kept; remove it to get a new one", card::FILE));
        }
        let others = self.foreign.files.len() - usize::from(self.keeps_card());
        if others > 0 {
            warnings.push(format!("{others} files that no export wrote are kept"));
        }
        warnings
    }

    /// Puts the files that are not ours into the new set too: by hard link, so that they stay one and the same file.
    pub(super) fn carry_foreign(&self, staging: &Path) -> Result<(), ExportError> {
        for folder in &self.foreign.folders {
            let (from, to) = (self.dir.join(folder), staging.join(folder));
            fs::create_dir_all(&to).map_err(ExportError::io(&to))?;
            fs::metadata(&from).and_then(|m| fs::set_permissions(&to, m.permissions())).map_err(ExportError::io(&to))?;
        }
        for file in &self.foreign.files {
            let (from, to) = (self.dir.join(file), staging.join(file));
            link_or_copy(&from, &to).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => ExportError::Foreign(from),
                _ => ExportError::io(&to)(error),
            })?;
        }
        Ok(())
    }
}

/// The same file under a second name; a copy where the file system has no hard links.
pub(super) fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if from.is_symlink() => symlink(fs::read_link(from)?, to),
        Err(_) => fs::copy(from, to).map(drop),
        Ok(()) => Ok(()),
    }
}

enum Stands {
    Unchanged,
    Changed,
    Missing,
}

fn look(path: &Path, hash: ContentHash) -> Result<Stands, ExportError> {
    match path.symlink_metadata() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Stands::Missing),
        Err(error) => Err(ExportError::io(path)(error)),
        // A link or a pipe under the name of a file of ours is not read.
        Ok(metadata) => match metadata.is_file().then(|| hash_file(path)).transpose() {
            Ok(Some(now)) if now == hash => Ok(Stands::Unchanged),
            Err(ImageError::Io { path, source }) => Err(ExportError::io(&path)(source)),
            _ => Ok(Stands::Changed),
        },
    }
}

/// What stands in a folder without being listed.
pub(super) fn foreign(dir: &Path, manifest: &Manifest) -> Result<Foreign, ExportError> {
    let mut found = Foreign::default();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let here = dir.join(&below);
        for entry in fs::read_dir(&here).map_err(ExportError::io(&here))? {
            let entry = entry.map_err(ExportError::io(&here))?;
            let name = below.join(entry.file_name());
            if entry.file_type().map_err(ExportError::io(&here))?.is_dir() {
                found.folders.push(name.clone());
                open.push(name);
            } else if name != Path::new(manifest::FILE) && !is_listed(&name, manifest) {
                found.files.push(name);
            }
        }
    }
    // A folder that holds only files of ours is not the user's.
    let ours = |folder: &PathBuf| {
        let inside = format!("{}/", folder.display());
        manifest
            .files
            .range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded))
            .next()
            .is_some_and(|(file, _)| file.as_str().starts_with(&inside))
    };
    found.folders.retain(|folder| !ours(folder) || found.files.iter().any(|file| file.starts_with(folder)));
    Ok(found)
}

fn is_listed(name: &Path, manifest: &Manifest) -> bool {
    name.to_str().and_then(|name| RelativePath::new(name).ok()).is_some_and(|name| manifest.files.contains_key(&name))
}
