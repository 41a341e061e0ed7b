//! Small pictures kept on disk between runs.
//!
//! One file per (content hash, side), below the user's cache folder: a mark, a BLAKE3 hash of the rest, the picture (PNG
//! where it has few colours or is transparent, else JPEG). Files are written aside and renamed, so that several processes
//! may share the folder; one that is damaged is made anew. The least recently used go when the folder is above its cap.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat};

use super::{Frame, Limits, Picture, View, decode_bytes, hash_bytes, resample};
use crate::domain::ContentHash;

/// Begins every file; a new way of making thumbnails has a new number, and the old ones fall to the cap.
const MARK: &[u8; 5] = b"mkth1";
const EXTENSION: &str = "mkth1";
/// The sides at which thumbnails are kept.
const SIDES: [u32; 3] = [128, 256, 512];
const JPEG_QUALITY: u8 = 90;
/// A file is marked as used when its time is older than this.
const FRESH: Duration = Duration::from_secs(6 * 3600);

/// Thumbnails on disk.
#[derive(Debug)]
pub struct ThumbnailCache {
    folder: PathBuf,
    cap: u64,
    /// Bytes in the folder; counted when the first file is written.
    bytes: Mutex<Option<u64>>,
}

impl ThumbnailCache {
    /// A cache in a folder, which is made when something is kept, of at most `cap` bytes.
    pub fn new(folder: PathBuf, cap: u64) -> Self {
        Self { folder, cap, bytes: Mutex::new(None) }
    }

    /// The cache folder for thumbnails of the user who runs this, if there is a home folder.
    pub fn user_folder() -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        etcetera::choose_base_strategy().ok().map(|base| base.cache_dir().join("mekiki").join("thumbnails"))
    }

    /// The side of the thumbnail that serves a room of that many dots; `None` when the room is larger than thumbnails are.
    pub fn side_for(room: (u32, u32)) -> Option<u32> {
        SIDES.into_iter().find(|side| *side >= room.0.max(room.1))
    }

    /// The kept thumbnail; `None` when there is none or it is damaged.
    pub fn load(&self, content: ContentHash, side: u32) -> Option<Picture> {
        let path = self.path(content, side);
        let file = fs::read(&path).ok()?;
        let picture = unpack(&file, side, &path);
        if picture.is_none() {
            let _ = fs::remove_file(&path);
        } else if let Ok(open) = File::options().append(true).open(&path) {
            let stale = open.metadata().and_then(|m| m.modified()).is_ok_and(|t| t.elapsed().is_ok_and(|age| age > FRESH));
            if stale {
                // A cache that cannot be touched still serves.
                let _ = open.set_modified(SystemTime::now());
            }
        }
        picture
    }

    /// Makes the thumbnail of a picture and keeps it. What cannot be written is made all the same.
    pub fn make(&self, content: ContentHash, side: u32, picture: &Picture) -> Picture {
        let frame = Frame::new((picture.width(), picture.height()), (side, side), 1.0, View::default());
        if frame.size.0 >= picture.width() {
            return picture.clone();
        }
        let small = shrink(picture, &frame);
        if let Some(bytes) = pack(&small) {
            let _ = self.keep(&self.path(content, side), &bytes);
        }
        small
    }

    fn path(&self, content: ContentHash, side: u32) -> PathBuf {
        let name = content.to_string();
        self.folder.join(&name[..2]).join(format!("{name}-{side}.{EXTENSION}"))
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").suffix(&format!(".{EXTENSION}")).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        let mut total = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sum = total.map_or_else(|| self.files().iter().map(|(_, size, _)| size).sum(), |old| old + bytes.len() as u64);
        *total = Some(if sum > self.cap { self.evict() } else { sum });
        Ok(())
    }

    /// Removes the files used longest ago until a tenth below the cap is free; returns what is left.
    fn evict(&self) -> u64 {
        let mut files = self.files();
        files.sort_by_key(|(used, ..)| *used);
        let mut left: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if left <= self.cap / 10 * 9 {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                left -= size;
            }
        }
        left
    }

    /// Time of use, size and path of every file of ours: the two-letter folders and our extensions, old versions too.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let names: HashSet<String> = (0..=255).map(|n| format!("{n:02x}")).collect();
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
        let shelves = entries(&self.folder).into_iter().filter(|e| e.file_name().to_str().is_some_and(|n| names.contains(n)));
        shelves
            .flat_map(|shelf| entries(&shelf.path()))
            .filter(|entry| entry.path().extension().and_then(|e| e.to_str()).is_some_and(|e| e.starts_with("mkth")))
            .filter_map(|entry| {
                let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
                Some((data.modified().ok()?, data.len(), entry.path()))
            })
            .collect()
    }
}

fn shrink(picture: &Picture, frame: &Frame) -> Picture {
    let small = DynamicImage::ImageRgba8(resample(picture, frame));
    match (picture.color().has_color(), picture.color().has_alpha()) {
        (_, true) => small,
        (true, false) => DynamicImage::ImageRgb8(small.into_rgb8()),
        (false, false) => DynamicImage::ImageLuma8(small.into_luma8()),
    }
}

fn pack(picture: &Picture) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if picture.color().has_alpha() || few_colours(picture) {
        picture.write_to(&mut io::Cursor::new(&mut body), ImageFormat::Png).ok()?;
    } else {
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut body, JPEG_QUALITY)).ok()?;
    }
    let hash = blake3::hash(&body);
    Some([MARK.as_slice(), hash.as_bytes(), &body].concat())
}

fn few_colours(picture: &Picture) -> bool {
    let mut seen = HashSet::new();
    let mut few = |pixel: [u8; 3]| {
        seen.insert(pixel);
        seen.len() <= 256
    };
    !picture.color().has_color() || picture.to_rgb8().pixels().all(|pixel| few(pixel.0))
}

fn unpack(file: &[u8], side: u32, path: &Path) -> Option<Picture> {
    let rest = file.strip_prefix(MARK.as_slice())?;
    let (hash, body) = rest.split_at_checked(32)?;
    let whole = <[u8; 32]>::try_from(hash).is_ok_and(|hash| ContentHash::from_bytes(hash) == hash_bytes(body));
    whole.then(|| decode_bytes(body, path, Limits { side, bytes: 16 << 20 }).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn photo(seed: u32) -> Picture {
        RgbImage::from_fn(600, 400, |x, y| Rgb([(x / 3) as u8, (y / 2) as u8, (x * y + seed) as u8])).into()
    }

    #[test]
    fn kept_read_back_and_remade_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ThumbnailCache::new(dir.path().join("thumbs"), 1 << 20);
        let content = hash_bytes(b"one");
        assert!(cache.load(content, 128).is_none());
        let made = cache.make(content, 128, &photo(1));
        assert_eq!((made.width(), made.height()), (128, 85));
        assert_eq!(cache.load(content, 128).map(|p| (p.width(), p.height())), Some((128, 85)));
        assert!(cache.load(content, 256).is_none());
        let path = cache.path(content, 128);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(cache.load(content, 128).is_none());
        assert!(!path.exists());
        // Drawings stay exact.
        let drawing = DynamicImage::ImageLuma8(GrayImage::from_fn(300, 300, |x, _| Luma([if x % 40 < 20 { 0 } else { 255 }])));
        let made = cache.make(content, 128, &drawing);
        assert_eq!(cache.load(content, 128).unwrap().as_bytes(), made.as_bytes());
        // What is small already is neither changed nor kept.
        let small = DynamicImage::new_rgb8(90, 20);
        assert_eq!(cache.make(hash_bytes(b"small"), 128, &small), small);
        assert!(cache.load(hash_bytes(b"small"), 128).is_none());
    }

    #[test]
    fn the_cap_holds_and_foreign_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ThumbnailCache::new(dir.path().to_owned(), 60_000);
        fs::create_dir(dir.path().join("00")).unwrap();
        fs::write(dir.path().join("00/mine.txt"), vec![0; 50_000]).unwrap();
        for n in 0..40 {
            cache.make(hash_bytes(&[n]), 128, &photo(u32::from(n)));
        }
        let left: u64 = cache.files().iter().map(|(_, size, _)| size).sum();
        assert!(left > 0 && left <= 60_000, "{left}");
        assert!(dir.path().join("00/mine.txt").exists());
        assert!(cache.load(hash_bytes(&[39]), 128).is_some());
        assert_eq!(ThumbnailCache::side_for((100, 200)), Some(256));
        assert_eq!(ThumbnailCache::side_for((100, 600)), None);
    }
}
