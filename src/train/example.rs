//! What is learnt from: one conversation with its pictures, and what is known of places in them.

use std::sync::Arc;

use image::RgbImage;

use super::TrainError;
use crate::conversation::Conversation;
use crate::domain::ContentHash;
use crate::imaging::{self, Picture};

/// A decoded picture.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The same hash means the same pixels: what stands in a batch several times is computed once.
    pub hash: ContentHash,
    /// sRGB, 8 bits per channel.
    pub image: RgbImage,
}

impl Shown {
    /// A picture, known by its size and pixels.
    pub(super) fn new(image: RgbImage) -> Arc<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.width().to_le_bytes());
        hasher.update(image.as_raw());
        Arc::new(Self { hash: ContentHash::from_bytes(*hasher.finalize().as_bytes()), image })
    }

    /// The computed difference of query and reference.
    pub(super) fn difference(query: &Self, reference: &Self) -> Arc<Self> {
        let picture = |shown: &Self| Picture::ImageRgb8(shown.image.clone());
        Self::new(imaging::shown_difference(&picture(query), &picture(reference)))
    }
}

/// Something at a known place of the query image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Which of [`Examples::classes`], from 0.
    pub class: usize,
    /// `[x1, y1, x2, y2]` in shares of the query's width and height, 0..=1.
    pub area: [f32; 4],
}

/// One conversation to learn from.
#[derive(Debug, Clone)]
pub struct Example {
    /// The turns; the last one is the answer.
    pub conversation: Conversation,
    /// The pictures of the conversation, in the order in which they are shown.
    pub images: Vec<Arc<Shown>>,
    /// What lies where on the query; `None` where that is not known, empty where nothing lies.
    pub regions: Option<Vec<Region>>,
}

/// What is known of an example before its pictures are decoded.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The turns; the last one is the answer.
    pub conversation: Conversation,
    /// Its pictures, in the order in which they are shown.
    pub images: Vec<OutlinedImage>,
}

/// A picture that is not decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlinedImage {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// What tells it from others, where other examples show the same pixels.
    pub picture: Option<String>,
}

/// An endless, addressable stream of examples.
pub trait Examples: Send + Sync {
    /// The names of what [`Region`]s can show, for the dense loss.
    fn classes(&self) -> &[String];

    /// Example number `nth`. The same number is the same example, on any thread, so that a run can be resumed.
    fn example(&self, nth: u64) -> Result<Example, TrainError>;

    /// How many examples there are before they come again in other light; `None` where there is no end of new ones.
    fn round(&self) -> Option<u64> {
        None
    }

    /// How long example number `nth` is, and the sizes of its pictures.
    fn outline(&self, nth: u64) -> Result<Outline, TrainError> {
        let Example { conversation, images, .. } = self.example(nth)?;
        let images = images.iter().map(|shown| OutlinedImage { size: shown.image.dimensions(), picture: Some(shown.hash.to_string()) });
        Ok(Outline { images: images.collect(), conversation })
    }

    /// The sources that this one mixes.
    fn parts(&self) -> Vec<&dyn Examples> {
        Vec::new()
    }
}
