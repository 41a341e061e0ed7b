//! Images on their way into the set: read once, compared with what was approved, made readable for everybody.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::{ContentHash, RelativePath};
use crate::imaging::{ImageError, Limits, Portable, decode_bytes, encode_png, hash_bytes, locate, portable};

/// An image that was read.
pub(super) struct Loaded {
    /// What the set gets: the file's own bytes, or those of a PNG made of it.
    pub(super) bytes: Arc<Vec<u8>>,
    /// Their hash.
    pub(super) hash: ContentHash,
    /// Their usual file name extension.
    pub(super) extension: &'static str,
    /// The hash of the source's bytes.
    pub(super) source_hash: ContentHash,
    /// The source, while its bytes are the set's too.
    pub(super) file: Option<File>,
    /// Where the source lies.
    pub(super) path: PathBuf,
    /// Why it was written anew, where it was.
    pub(super) recoded: Option<&'static str>,
}

/// An image that has its name in the set.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// The file's name in the set.
    pub(super) name: String,
    /// What it holds.
    pub(super) hash: ContentHash,
    /// Its bytes, where the format embeds them.
    pub(super) bytes: Option<Arc<Vec<u8>>>,
}

/// Why an image cannot be written.
pub(super) enum Trouble {
    /// It cannot be read.
    Image(ImageError),
    /// It is another one than was approved.
    Changed(PathBuf),
}

/// Reads an image below a folder. `approved` is the hash that an approval was given for.
pub(super) fn load(folder: &Path, image: &RelativePath, approved: Option<ContentHash>) -> Result<Loaded, Trouble> {
    let path = locate(folder, image).map_err(Trouble::Image)?;
    let limits = Limits::default();
    let io = |source| Trouble::Image(ImageError::Io { path: path.clone(), source });
    let mut file = File::open(&path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > limits.bytes {
        return Err(io(std::io::Error::other(format!("expected at most {} bytes, got {length}", limits.bytes))));
    }
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.by_ref().take(limits.bytes).read_to_end(&mut bytes).map_err(io)?;
    let source_hash = hash_bytes(&bytes);
    if approved.is_some_and(|approved| approved != source_hash) {
        return Err(Trouble::Changed(path));
    }
    let decoded = |bytes: &[u8]| {
        let picture = decode_bytes(bytes, &path, limits)?;
        encode_png(&picture).map_err(|source| ImageError::Decode { path: path.clone(), source })
    };
    Ok(match portable(&bytes, &path, limits).map_err(Trouble::Image)? {
        Portable::AsIs(extension) => {
            let file = file.rewind().ok().map(|()| file);
            Loaded { bytes: Arc::new(bytes), hash: source_hash, extension, source_hash, file, path, recoded: None }
        }
        Portable::Recode(why) => {
            let bytes = decoded(&bytes).map_err(Trouble::Image)?;
            let hash = hash_bytes(&bytes);
            Loaded { bytes: Arc::new(bytes), hash, extension: "png", source_hash, file: None, path, recoded: Some(why) }
        }
    })
}
