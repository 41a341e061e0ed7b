//! From files to encoded pictures, for workers: blocking, cancellable between steps, sharing what was made before.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::DynamicImage;

use super::encode::offset;
use super::{EncodeError, Encoded, Key, Target, encode};
use crate::domain::ContentHash;
use crate::imaging::{
    Adjust, ByteCache, Frame, ImageError, Limits, Overlay, Picture, ThumbnailCache, View, decode_bytes, difference, draw_overlays, flatten,
    hash_bytes, resample,
};

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
}

/// An image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// What it held when it was last looked at. Where that is known, what was made of it before is found without reading the file.
    pub content: Option<ContentHash>,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An image.
    Image(Source),
    /// Where two images differ.
    Difference {
        /// The image under inspection.
        query: Source,
        /// The good one.
        reference: Source,
        /// How many times differences are enlarged.
        amplify: f32,
    },
}

/// How it is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Zoom and pan.
    pub view: View,
    /// Brightness and contrast.
    pub adjust: Adjust,
    /// What is drawn on it.
    pub overlays: Vec<Overlay>,
}

/// A picture that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What is shown.
    pub content: Content,
    /// How.
    pub look: Look,
    /// The cells there is room for.
    pub room: (u16, u16),
    /// The terminal.
    pub target: Target,
    /// Whether a small copy from the disk cache will do, as on a contact sheet.
    pub thumbnail: bool,
}

/// A picture that is ready.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What the terminal gets.
    pub picture: Arc<Encoded>,
    /// The hash of the image that was read: it differs from the request's when the file has changed since.
    pub content: ContentHash,
    /// The hash of the reference in a difference view.
    pub reference: Option<ContentHash>,
    /// What part of the image is shown, in dots. For thumbnails sizes are those of the small copy; shares are the same.
    pub frame: Frame,
    /// Where the frame's top left lies in the picture's cells, in dots.
    offset: (u32, u32),
    dots_per_cell: (u32, u32),
}

impl Prepared {
    /// The place of the image, as a share of its width and height, at a cell of the picture (the middle of the top left one is
    /// 0.5, 0.5); `None` beside it.
    pub fn share_at(&self, cell: (f64, f64)) -> Option<(f64, f64)> {
        let (across, down) = self.dots_per_cell;
        self.frame.share_at((cell.0 * f64::from(across) - f64::from(self.offset.0), cell.1 * f64::from(down) - f64::from(self.offset.1)))
    }

    /// The cell of the picture, with fractions, at which a place of the image lies. It may lie outside.
    pub fn cell_of(&self, share: (f64, f64)) -> (f64, f64) {
        let (x, y) = self.frame.dot_at(share);
        let (across, down) = self.dots_per_cell;
        ((x + f64::from(self.offset.0)) / f64::from(across), (y + f64::from(self.offset.1)) / f64::from(down))
    }
}

/// What workers share: limits and caches.
#[derive(Debug)]
pub struct Workshop {
    limits: Limits,
    thumbnails: Option<ThumbnailCache>,
    pictures: Mutex<ByteCache<Origin, Arc<Picture>>>,
    ready: Mutex<ByteCache<Key, Prepared>>,
}

/// What a decoded picture was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Image(ContentHash),
    Difference(ContentHash, ContentHash, u32),
    Thumbnail(ContentHash, u32),
}

impl Workshop {
    /// A workshop that keeps at most so many bytes of decoded and of encoded pictures.
    pub fn new(limits: Limits, thumbnails: Option<ThumbnailCache>, decoded: usize, encoded: usize) -> Self {
        Self { limits, thumbnails, pictures: Mutex::new(ByteCache::new(decoded)), ready: Mutex::new(ByteCache::new(encoded)) }
    }

    /// The picture of a request, if it was made before from what the request says the files hold. It waits for nothing else, so that
    /// an interface may ask before it queues the work.
    pub fn ready(&self, request: &Request) -> Option<Prepared> {
        lock(&self.ready).get(&key(request, known(&request.content)?))
    }

    /// Drops everything made, for example when the font or the protocol has changed.
    pub fn clear(&self) {
        lock(&self.ready).clear();
    }

    fn image(&self, source: &Source) -> Result<(ContentHash, Arc<Picture>), PrepareError> {
        if let Some(content) = source.content
            && let Some(picture) = lock(&self.pictures).get(&Origin::Image(content))
        {
            return Ok((content, picture));
        }
        let bytes = read(&source.path, self.limits.bytes).map_err(|error| ImageError::Io { path: source.path.clone(), source: error })?;
        let content = hash_bytes(&bytes);
        if let Some(picture) = lock(&self.pictures).get(&Origin::Image(content)) {
            return Ok((content, picture));
        }
        let picture = Arc::new(decode_bytes(&bytes, &source.path, self.limits)?);
        self.keep(Origin::Image(content), &picture);
        Ok((content, picture))
    }

    fn keep(&self, origin: Origin, picture: &Arc<Picture>) {
        lock(&self.pictures).insert(origin, Arc::clone(picture), picture.as_bytes().len());
    }

    fn thumbnail(&self, source: &Source, side: u32, cancelled: &dyn Fn() -> bool) -> Result<(ContentHash, Arc<Picture>), PrepareError> {
        if let Some(content) = source.content {
            if let Some(picture) = lock(&self.pictures).get(&Origin::Thumbnail(content, side)) {
                return Ok((content, picture));
            }
            if let Some(picture) = self.thumbnails.as_ref().and_then(|cache| cache.load(content, side)) {
                let picture = Arc::new(picture);
                self.keep(Origin::Thumbnail(content, side), &picture);
                return Ok((content, picture));
            }
        }
        let (content, whole) = self.image(source)?;
        go_on(cancelled)?;
        let small = match &self.thumbnails {
            Some(cache) => Arc::new(cache.make(content, side, &whole)),
            None => whole,
        };
        self.keep(Origin::Thumbnail(content, side), &small);
        Ok((content, small))
    }
}

/// Makes the picture of a request: decode → compare → frame and resample → adjust → flatten → overlays → encode. `cancelled` is
/// asked between the steps.
pub fn prepare(workshop: &Workshop, request: &Request, cancelled: &dyn Fn() -> bool) -> Result<Prepared, PrepareError> {
    go_on(cancelled)?;
    if let Some(ready) = workshop.ready(request) {
        return Ok(ready);
    }
    let target = &request.target;
    let room = target.dots(request.room);
    let (content, reference, picture) = match &request.content {
        Content::Image(source) => {
            let whole = request.look.view.zoom == super::Zoom::Fit;
            let side = ThumbnailCache::side_for(room).filter(|_| request.thumbnail && whole);
            let (content, picture) = match side {
                Some(side) => workshop.thumbnail(source, side, cancelled)?,
                None => workshop.image(source)?,
            };
            (content, None, picture)
        }
        Content::Difference { query, reference, amplify } => {
            let (content, query) = workshop.image(query)?;
            go_on(cancelled)?;
            let (against, reference) = workshop.image(reference)?;
            let origin = Origin::Difference(content, against, amplify.to_bits());
            let made = lock(&workshop.pictures).get(&origin);
            let apart = if let Some(made) = made {
                made
            } else {
                go_on(cancelled)?;
                let made = Arc::new(DynamicImage::ImageRgb8(difference(&query, &reference, *amplify)));
                workshop.keep(origin, &made);
                made
            };
            (content, Some(against), apart)
        }
    };
    let key = key(request, (content, reference));
    let made = lock(&workshop.ready).get(&key);
    if let Some(ready) = made {
        return Ok(ready);
    }
    go_on(cancelled)?;
    let frame = Frame::new((picture.width(), picture.height()), room, target.dot_aspect(), request.look.view);
    let mut shown = resample(&picture, &frame);
    go_on(cancelled)?;
    request.look.adjust.apply(&mut shown);
    flatten(&mut shown, target.background);
    let (across, down) = target.dots_per_cell();
    draw_overlays(&mut shown, &frame, &request.look.overlays, 1 + down / 24, across >= 6);
    let encoded = encode(&shown, request.room, target, key)?;
    let offset = offset(frame.size, target.dots(encoded.cells()));
    let weight = encoded.weight();
    let ready = Prepared { picture: Arc::new(encoded), content, reference, frame, offset, dots_per_cell: (across, down) };
    lock(&workshop.ready).insert(key, ready.clone(), weight);
    Ok(ready)
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

fn go_on(cancelled: &dyn Fn() -> bool) -> Result<(), PrepareError> {
    if cancelled() { Err(PrepareError::Cancelled) } else { Ok(()) }
}

/// What the request says its files hold, if it says so for all of them.
fn known(content: &Content) -> Option<(ContentHash, Option<ContentHash>)> {
    match content {
        Content::Image(source) => Some((source.content?, None)),
        Content::Difference { query, reference, .. } => Some((query.content?, Some(reference.content?))),
    }
}

fn key(request: &Request, contents: (ContentHash, Option<ContentHash>)) -> Key {
    let amplify = match request.content {
        Content::Image(_) => None,
        Content::Difference { amplify, .. } => Some(amplify),
    };
    Key::of(&(contents, amplify, &request.look, request.room, request.target, request.thumbnail))
}

/// A worker that panicked leaves the caches whole: each change to them is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
