//! Image files made ready for the tower, on all threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use rayon::prelude::*;

use super::{Item, PredictError, Predictor};
use crate::conversation::{Conversation, ImageRole};
use crate::domain::ContentHash;
use crate::imaging::{self, ImageError, Limits, Picture};
use crate::model::processor::{Grid, PixelPatches};
use crate::model::qwen_vl::ImageEmbedding;

/// The largest image file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 30;

/// A conversation and its images, ready for the tower.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) conversation: Conversation,
    pub(super) images: Vec<Arc<Image>>,
}

/// An image as far as it is known.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) hash: ContentHash,
    pub(super) seen: Seen,
}

#[derive(Debug)]
pub(super) enum Seen {
    /// The tower has seen it.
    Known(ImageEmbedding),
    /// Its pixels.
    Fresh(PixelPatches),
}

impl Image {
    pub(super) fn grid(&self) -> Grid {
        match &self.seen {
            Seen::Known(embedding) => embedding.grid,
            Seen::Fresh(pixels) => pixels.grid,
        }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    File(PathBuf),
    /// Computed of query and reference.
    Difference(PathBuf, PathBuf),
}

impl Predictor {
    /// Reads, decodes and resizes the images of a batch, each file once; those that the tower has seen are only hashed.
    pub fn prepare(&self, items: &[Item]) -> Vec<Result<Prepared, PredictError>> {
        let origins: Vec<Vec<Origin>> = items.iter().map(origins).collect();
        let mut distinct: Vec<&Origin> = origins.iter().flatten().collect();
        distinct.sort();
        distinct.dedup();
        let made: BTreeMap<&Origin, Result<Arc<Image>, PredictError>> =
            distinct.into_par_iter().map(|origin| (origin, self.image(origin).map(Arc::new))).collect();
        let prepared = items.iter().zip(&origins).map(|(item, origins)| {
            let images = origins.iter().map(|origin| match made.get(origin) {
                Some(Ok(image)) => Ok(image.clone()),
                // An error cannot be copied: whoever else shows this image finds it again.
                _ => self.image(origin).map(Arc::new),
            });
            Ok(Prepared { conversation: item.conversation.clone(), images: images.collect::<Result<_, PredictError>>()? })
        });
        prepared.collect()
    }

    fn image(&self, origin: &Origin) -> Result<Image, PredictError> {
        let limits = Limits::default();
        match origin {
            Origin::File(path) => {
                let bytes = read(path)?;
                self.make(imaging::hash_bytes(&bytes), path, || imaging::decode_bytes(&bytes, path, limits))
            }
            Origin::Difference(query, reference) => {
                let (first, second) = (read(query)?, read(reference)?);
                let both = [imaging::hash_bytes(&first).to_string(), imaging::hash_bytes(&second).to_string()].join(" difference ");
                self.make(imaging::hash_bytes(both.as_bytes()), query, || {
                    let (query, reference) =
                        (imaging::decode_bytes(&first, query, limits)?, imaging::decode_bytes(&second, reference, limits)?);
                    Ok(Picture::ImageRgb8(imaging::difference(&query, &reference, 1.0)))
                })
            }
        }
    }

    fn make(&self, hash: ContentHash, path: &Path, picture: impl FnOnce() -> Result<Picture, ImageError>) -> Result<Image, PredictError> {
        let known = self.embeddings.lock().unwrap_or_else(PoisonError::into_inner).get(&hash);
        let seen = if let Some(embedding) = known {
            Seen::Known(embedding)
        } else {
            let shown = |source| PredictError::Shown { path: path.to_owned(), source };
            Seen::Fresh(self.processor.images.patches(&picture()?).map_err(shown)?)
        };
        Ok(Image { hash, seen })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
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

fn origins(item: &Item) -> Vec<Origin> {
    let roles: Vec<ImageRole> = item.conversation.images().map(|image| image.role).collect();
    let reference = roles.iter().zip(&item.images).find(|(role, _)| **role == ImageRole::Reference).map(|(_, path)| path);
    let origin = |(role, path): (&ImageRole, &PathBuf)| match (role, reference) {
        (ImageRole::Difference, Some(reference)) => Origin::Difference(path.clone(), reference.clone()),
        _ => Origin::File(path.clone()),
    };
    roles.iter().zip(&item.images).map(origin).collect()
}
