//! Image files made ready for the tower, on all threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use super::{Item, PredictError, Predictor, Prepared};
use crate::conversation::ImageRole;
use crate::domain::ContentHash;
use crate::imaging::{self, ImageError, Limits, Picture};
use crate::model::processor::Grid;
use crate::model::qwen_vl::{ImageEmbedding, PlacedPixels};

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
    Fresh(PlacedPixels),
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
    /// Makes a batch ready: reads, decodes and resizes its images, each file once, and brings them to the device; those that
    /// the tower has seen are only hashed. Prompts become tokens.
    pub fn prepare(&self, items: &[Item]) -> Vec<Result<Prepared, PredictError>> {
        let start = Instant::now();
        let origins: Vec<Vec<Origin>> = items.iter().map(origins).collect();
        let mut distinct: Vec<&Origin> = origins.iter().flatten().collect();
        distinct.sort();
        distinct.dedup();
        let made: BTreeMap<&Origin, Result<Arc<Image>, PredictError>> =
            distinct.into_par_iter().map(|origin| (origin, self.image(origin).map(Arc::new))).collect();
        self.note(start, |spent| &mut spent.images);
        let ready = start.elapsed();
        let prepared = items.par_iter().zip(&origins).map(|(item, origins)| {
            let images = origins.iter().map(|origin| match made.get(origin) {
                Some(Ok(image)) => Ok(image.clone()),
                // An error cannot be copied: whoever else shows this image finds it again.
                _ => self.image(origin).map(Arc::new),
            });
            self.tokenise(&item.conversation, images.collect::<Result<_, PredictError>>()?)
        });
        let prepared = prepared.collect();
        self.note(start + ready, |spent| &mut spent.tokens);
        prepared
    }

    fn image(&self, origin: &Origin) -> Result<Image, PredictError> {
        let limits = Limits::default();
        match origin {
            Origin::File(path) => {
                let bytes = imaging::read(path)?;
                self.make(imaging::hash_bytes(&bytes), path, || imaging::decode_bytes(&bytes, path, limits))
            }
            Origin::Difference(query, reference) => {
                let (first, second) = (imaging::read(query)?, imaging::read(reference)?);
                let both = [imaging::hash_bytes(&first).to_string(), imaging::hash_bytes(&second).to_string()].join(" difference ");
                self.make(imaging::hash_bytes(both.as_bytes()), query, || {
                    let (query, reference) =
                        (imaging::decode_bytes(&first, query, limits)?, imaging::decode_bytes(&second, reference, limits)?);
                    Ok(Picture::ImageRgb8(imaging::shown_difference(&query, &reference)))
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
            let pixels = self.processor.images.patches(&picture()?).map_err(shown)?;
            Seen::Fresh(self.model.place(pixels)?)
        };
        Ok(Image { hash, seen })
    }
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
