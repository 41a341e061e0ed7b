//! Where the images of a source are: beside it, in an archive, or embedded in its rows.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use super::archive::Archive;
use super::intake::Fault;
use super::{ImportError, Location, MOST_IMAGE_BYTES, Options};
use crate::domain::RelativePath;
use crate::imaging;

/// Folders whose place is remembered, so that an image costs one look at the file system.
const MOST_FOLDERS: usize = 4096;

/// A folder of images, seen from the project where it lies inside of it.
#[derive(Debug)]
struct Base {
    /// Absolute, without symbolic links.
    folder: PathBuf,
    /// From `folder` to where paths start: empty, or ending in `/`.
    prefix: String,
}

impl Base {
    /// Fails when the folder does not exist.
    fn new(folder: &Path, project: &Path) -> std::io::Result<Self> {
        let (folder, project) = (folder.canonicalize()?, project.canonicalize()?);
        let inside = folder.strip_prefix(&project).ok().and_then(Path::to_str);
        Ok(match inside {
            Some("") => Self { folder: project, prefix: String::new() },
            Some(path) if RelativePath::new(path).is_ok() => Self { prefix: format!("{path}/"), folder: project },
            _ => Self { folder, prefix: String::new() },
        })
    }

    fn location(&self, column: &str, name: &str) -> Result<Location, Fault> {
        let path = RelativePath::new(format!("{}{name}", self.prefix)).map_err(|error| Fault::new(column, error.expected, name))?;
        Ok(Location { folder: self.folder.clone(), path })
    }
}

/// An image that was found.
pub(super) struct Found {
    /// Its path as the source says it, without a leading `./`.
    pub name: String,
    pub location: Location,
}

impl Found {
    /// Width and height in pixels, from the header.
    pub(super) fn size(&self, column: &str) -> Result<(u32, u32), Fault> {
        imaging::dimensions(&self.location.folder.join(self.location.path.as_str()))
            .map_err(|error| Fault::new(column, "an image that can be read", error))
    }
}

/// Finds images; shared by the threads that parse.
pub(super) struct Images {
    base: Base,
    archive: Option<Archive>,
    project: PathBuf,
    unpack: PathBuf,
    /// Whether folders below the base lie inside of it, symbolic links included.
    folders: RwLock<HashMap<String, bool>>,
}

impl Images {
    /// Images below a folder, unless the options name another, or in an archive.
    pub(super) fn new(options: &Options<'_>, beside: &Path, archive: Option<Archive>) -> Result<Self, ImportError> {
        if !options.unpack.starts_with(options.project) {
            return Err(ImportError::Unpack { path: options.unpack.to_owned() });
        }
        let folder = options.images.unwrap_or(beside);
        Ok(Self {
            base: Base::new(folder, options.project).map_err(|source| ImportError::Io { path: folder.to_owned(), source })?,
            archive: archive.filter(|_| options.images.is_none()),
            project: options.project.to_owned(),
            unpack: options.unpack.to_owned(),
            folders: RwLock::default(),
        })
    }

    /// Whether a row could name an image so.
    pub(super) fn exists(&self, name: &str) -> bool {
        let name = name.strip_prefix("./").unwrap_or(name);
        match &self.archive {
            Some(archive) => archive.holds(name),
            None => self.base.location("", name).is_ok_and(|location| self.inside(&location).is_ok_and(|inside| inside)),
        }
    }

    /// The image of a path. One in an archive is unpacked.
    pub(super) fn find(&self, column: &str, name: &str) -> Result<Found, Fault> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let Some(archive) = &self.archive else {
            let location = self.base.location(column, name)?;
            return match self.inside(&location) {
                Ok(true) => Ok(Found { name: name.to_owned(), location }),
                Ok(false) => Err(Fault::new(column, "an image inside of its folder, also behind symbolic links", name)),
                Err(_) => Err(Fault::new(column, format!("an image file below {}", self.base.folder.display()), name)),
            };
        };
        let below = archive.unpack(column, name, |path, bytes| self.write(column, path, bytes))?;
        self.unpacked(column, &below).map(|location| Found { name: name.to_owned(), location })
    }

    /// An embedded image, kept under its content's hash. Without a name it is known by that hash.
    pub(super) fn store(&self, column: &str, bytes: &[u8], name: Option<&str>) -> Result<Found, Fault> {
        if bytes.len() as u64 > MOST_IMAGE_BYTES {
            return Err(Fault::new(column, format!("an image of at most {MOST_IMAGE_BYTES} bytes"), bytes.len()));
        }
        let format = image::guess_format(bytes).map_err(|error| Fault::new(column, "an image that can be read", error))?;
        let path = format!("{}.{}", imaging::hash_bytes(bytes), format.extensions_str().first().unwrap_or(&"image"));
        let location = self.unpacked(column, &path)?;
        self.write(column, &path, bytes)?;
        Ok(Found { name: name.filter(|name| !name.is_empty()).map_or(path, str::to_owned), location })
    }

    /// Whether a file is there, and lies inside of its folder. One look for a plain file in a known folder.
    fn inside(&self, location: &Location) -> Result<bool, imaging::ImageError> {
        let file = location.folder.join(location.path.as_str());
        let failed = |source| imaging::ImageError::Io { path: file.clone(), source };
        let found = fs::symlink_metadata(&file).map_err(failed)?;
        if found.is_symlink() {
            return match imaging::locate(&location.folder, &location.path) {
                Ok(real) if real.is_file() => Ok(true),
                Ok(_) => Err(failed(std::io::ErrorKind::IsADirectory.into())),
                Err(imaging::ImageError::Outside { .. }) => Ok(false),
                Err(error) => Err(error),
            };
        }
        if !found.is_file() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let Some((folder, _)) = location.path.as_str().rsplit_once('/') else { return Ok(true) };
        if let Some(known) = self.folders.read().ok().and_then(|folders| folders.get(folder).copied()) {
            return Ok(known);
        }
        let inside = location.folder.join(folder).canonicalize().map_err(failed)?.starts_with(&location.folder);
        if let Ok(mut folders) = self.folders.write() {
            if folders.len() >= MOST_FOLDERS {
                folders.clear();
            }
            folders.insert(folder.to_owned(), inside);
        }
        Ok(inside)
    }

    /// The place of a path below the folder of unpacked images.
    fn unpacked(&self, column: &str, path: &str) -> Result<Location, Fault> {
        let full = self.unpack.join(path);
        let below = full.strip_prefix(&self.project).ok().and_then(Path::to_str).unwrap_or(path);
        let folder = self.project.canonicalize().map_err(|error| Fault::new(column, "a project folder", error))?;
        Ok(Location { folder, path: RelativePath::new(below).map_err(|error| Fault::id(column, error))? })
    }

    /// Writes a file below the folder of unpacked images, whole or not at all. One that is there must hold the same.
    fn write(&self, column: &str, path: &str, bytes: &[u8]) -> Result<(), Fault> {
        let failed = |error: std::io::Error| Fault::new(column, "room in the project for an unpacked image", error);
        let target = self.unpack.join(path);
        let parent = target.parent().unwrap_or(&self.unpack);
        fs::create_dir_all(parent).map_err(failed)?;
        let (real, project) = (parent.canonicalize().map_err(failed)?, self.project.canonicalize().map_err(failed)?);
        if !real.starts_with(project) {
            return Err(Fault::new(column, "a folder for unpacked images inside of the project", parent.display()));
        }
        let holds_same = |target: &Path| {
            let same_size = fs::symlink_metadata(target).is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64);
            same_size && fs::read(target).is_ok_and(|there| there == bytes)
        };
        if !target.exists() {
            // Readable by the project's group, as the umask says; a temporary file's own mode is for its owner only.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
            let mut file = tempfile::Builder::new().prefix(".unpacking-").permissions(mode).tempfile_in(parent).map_err(failed)?;
            file.write_all(bytes).map_err(failed)?;
            if file.persist_noclobber(&target).is_ok() {
                return Ok(());
            }
        }
        if holds_same(&target) {
            Ok(())
        } else {
            Err(Fault::new(column, format!("the image that an earlier import unpacked to {}", target.display()), "another image"))
        }
    }
}
