//! Image files: where they are, what they hold.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};

use image::error::{LimitError, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::domain::{ContentHash, RelativePath};

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file is missing or cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path leads out of its folder.
    #[error("{path}: leads out of {folder}; images must lie inside of it")]
    Outside {
        /// The path.
        path: PathBuf,
        /// The folder it must stay in.
        folder: PathBuf,
    },
    /// The bytes are no image that can be decoded, or one beyond the limits.
    #[error("{path}: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
}

/// The largest image that is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest side, in pixels.
    pub side: u32,
    /// The most bytes that decoding may allocate.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { side: 20_000, bytes: 512 << 20 }
    }
}

/// A decoded picture, turned as its EXIF orientation says.
pub type Picture = DynamicImage;

/// The file of a path below a folder. Fails when the file is missing, or when a symbolic link leads out of the folder.
pub fn locate(folder: &Path, path: &RelativePath) -> Result<PathBuf, ImageError> {
    let joined = folder.join(path.as_str());
    let resolve = |p: &Path| p.canonicalize().map_err(|source| ImageError::Io { path: p.to_owned(), source });
    let (real, root) = (resolve(&joined)?, resolve(folder)?);
    if real.starts_with(&root) { Ok(real) } else { Err(ImageError::Outside { path: joined, folder: folder.to_owned() }) }
}

/// The largest image file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 30;

/// An image file's bytes; fails when they are more than 1 GiB.
pub fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let io = |source| ImageError::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > LARGEST_FILE {
        return Err(io(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("expected at most {LARGEST_FILE} bytes, got {length}"),
        )));
    }
    std::fs::read(path).map_err(io)
}

/// The BLAKE3 hash of a file's bytes.
pub fn hash_file(path: &Path) -> Result<ContentHash, ImageError> {
    let io = |source| ImageError::Io { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(io)?).map_err(io)?;
    Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()))
}

/// The BLAKE3 hash of bytes.
pub fn hash_bytes(bytes: &[u8]) -> ContentHash {
    ContentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// Width and height from the file's header, before any orientation is applied.
pub fn dimensions(path: &Path) -> Result<(u32, u32), ImageError> {
    open(path)?.into_dimensions().map_err(|source| ImageError::Decode { path: path.to_owned(), source })
}

/// Width and height from the header of an image in memory; `name` is for messages.
pub fn dimensions_of_bytes(bytes: &[u8], name: &Path) -> Result<(u32, u32), ImageError> {
    reader(Cursor::new(bytes), name)?.into_dimensions().map_err(|source| ImageError::Decode { path: name.to_owned(), source })
}

/// Decodes an image file: its first frame, within the limits, turned as its EXIF orientation says.
pub fn decode(path: &Path, limits: Limits) -> Result<Picture, ImageError> {
    decode_reader(open(path)?, path, limits)
}

/// Decodes an image in memory; `name` is for messages.
pub fn decode_bytes(bytes: &[u8], name: &Path, limits: Limits) -> Result<Picture, ImageError> {
    decode_reader(reader(Cursor::new(bytes), name)?, name, limits)
}

fn open(path: &Path) -> Result<ImageReader<BufReader<File>>, ImageError> {
    let file = File::open(path).map_err(|source| ImageError::Io { path: path.to_owned(), source })?;
    reader(BufReader::new(file), path)
}

pub(super) fn reader<R: BufRead + Seek>(source: R, path: &Path) -> Result<ImageReader<R>, ImageError> {
    ImageReader::new(source).with_guessed_format().map_err(|source| ImageError::Io { path: path.to_owned(), source })
}

fn decode_reader<R: BufRead + Seek>(mut reader: ImageReader<R>, path: &Path, limits: Limits) -> Result<Picture, ImageError> {
    let failed = |source| ImageError::Decode { path: path.to_owned(), source };
    limit(&mut reader, limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    // The reader's limits bind what a decoder takes for itself, not the picture that it fills.
    if decoder.total_bytes() > limits.bytes {
        return Err(failed(image::ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory))));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

pub(super) fn limit<R: BufRead + Seek>(reader: &mut ImageReader<R>, limits: Limits) {
    let mut most = image::Limits::default();
    most.max_image_width = Some(limits.side);
    most.max_image_height = Some(limits.side);
    most.max_alloc = Some(limits.bytes);
    reader.limits(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_luma8(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn stays_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret.png"), png(1, 1)).unwrap();
        std::fs::write(inside.join("a.png"), png(1, 1)).unwrap();
        std::os::unix::fs::symlink("../secret.png", inside.join("link.png")).unwrap();
        assert!(locate(&inside, &RelativePath::new("a.png").unwrap()).is_ok());
        assert!(matches!(locate(&inside, &RelativePath::new("link.png").unwrap()), Err(ImageError::Outside { .. })));
        assert!(matches!(locate(&inside, &RelativePath::new("b.png").unwrap()), Err(ImageError::Io { .. })));
    }

    #[test]
    fn limits_hold_before_memory_is_taken() {
        let name = Path::new("x.png");
        let small = Limits { side: 100, bytes: 1 << 20 };
        assert_eq!(decode_bytes(&png(100, 3), name, small).unwrap().width(), 100);
        assert!(decode_bytes(&png(101, 3), name, small).is_err());
        let wide = Limits { side: 4000, bytes: 1 << 20 };
        assert!(matches!(decode_bytes(&png(3000, 3000), name, wide), Err(ImageError::Decode { source: image::ImageError::Limits(_), .. })));
        assert!(decode_bytes(b"no image", name, small).is_err());
        assert!(decode_bytes(&png(50, 50)[..60], name, small).is_err());
        assert_eq!(dimensions_of_bytes(&png(7, 9), name).unwrap(), (7, 9));
    }
}
