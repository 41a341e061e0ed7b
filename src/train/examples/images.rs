//! A project's image files, decoded once and kept in memory as far as there is room.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use super::ExamplesError;
use crate::domain::{ContentHash, ImageRef};
use crate::imaging::{self, ByteCache, ImageError, Limits};
use crate::train::TrainError;

/// Finds the file of an image of the project.
pub type Locate = Box<dyn Fn(&ImageRef) -> Result<PathBuf, ImageError> + Send + Sync>;

/// Decoded images by name.
pub(super) struct Images {
    locate: Locate,
    kept: Mutex<ByteCache<ImageRef, Arc<RgbImage>>>,
}

impl Images {
    /// Keeps at most `memory` bytes of pixels.
    pub(super) fn new(locate: Locate, memory: usize) -> Self {
        Self { locate, kept: Mutex::new(ByteCache::new(memory)) }
    }

    /// The pixels of an image. Where a hash is given, the file must still have it.
    pub(super) fn get(&self, image: &ImageRef, approved: Option<ContentHash>) -> Result<Arc<RgbImage>, TrainError> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept().get(image) {
            return Ok(found);
        }
        let path = (self.locate)(image)?;
        let bytes = imaging::read(&path)?;
        if approved.is_some_and(|hash| hash != imaging::hash_bytes(&bytes)) {
            return Err(ExamplesError::Changed(path).into());
        }
        let pixels = Arc::new(imaging::decode_bytes(&bytes, &path, Limits::default())?.into_rgb8());
        kept().insert(image.clone(), pixels.clone(), pixels.len());
        Ok(pixels)
    }

    /// Width and height of an image, from its file's beginning.
    pub(super) fn size(&self, image: &ImageRef) -> Result<(u32, u32), TrainError> {
        Ok(imaging::dimensions(&(self.locate)(image)?)?)
    }
}
