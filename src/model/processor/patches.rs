//! Pixels as the vision tower wants them.

use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;
use serde_json::Value;

use super::resize::{resize_bicubic, smart_resize};
use crate::imaging::Picture;
use crate::model::ModelError;
use crate::model::checkpoint::read_text;
use crate::model::qwen_vl::Config;

/// The most pixels that an image is ever resized to, whatever a file asks for.
const MOST_PIXELS: u64 = 1 << 26;
/// What the original checkpoints were normalised with, where a file does not say.
const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// An image's patches: rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grid {
    /// Rows of patches.
    pub height: usize,
    /// Columns of patches.
    pub width: usize,
}

impl Grid {
    /// Rows times columns.
    pub fn patches(self) -> usize {
        self.height * self.width
    }
}

/// An image ready for the tower.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelPatches {
    /// The grid.
    pub grid: Grid,
    /// `[patches, 3 · temporal · patch · patch]`, f32, normalised: patches of one merge block follow each other, and within
    /// a patch come channel, frame (the image repeated), row, column.
    pub values: Vec<f32>,
}

/// How a checkpoint wants its images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    patch: usize,
    temporal: usize,
    merge: usize,
    /// Fewest and most pixels after resizing.
    pixels: (u64, u64),
    resize: bool,
    /// What a byte of each channel becomes.
    table: Box<[[f32; 256]; 3]>,
}

impl ImageProcessor {
    /// Reads `preprocessor_config.json` (older) or `processor_config.json` (current); without either, the family's values.
    pub fn load(dir: &Path, config: &Config) -> Result<Self, ModelError> {
        let (older, current) = (dir.join("preprocessor_config.json"), dir.join("processor_config.json"));
        let path = if older.exists() { older } else { current };
        let mut value = Value::Object(serde_json::Map::new());
        if path.exists() {
            value = serde_json::from_str(&read_text(&path)?)
                .map_err(|error| ModelError::File { path: path.clone(), reason: format!("no JSON: {error}") })?;
        }
        let inner = value.get("image_processor").unwrap_or(&value);
        Self::of(inner, &path, config)
    }

    fn of(value: &Value, path: &Path, config: &Config) -> Result<Self, ModelError> {
        let wrong = |key: &str, expected: &str| {
            let got = value.get(key).map_or_else(|| "nothing".to_owned(), |got| crate::domain::printable(&got.to_string()).into_owned());
            ModelError::Config { path: path.to_owned(), key: key.to_owned(), expected: expected.to_owned(), got }
        };
        let flag = |key| value.get(key).and_then(Value::as_bool).unwrap_or(true);
        let vision = &config.vision;
        for (key, wanted) in [("patch_size", vision.patch), ("temporal_patch_size", vision.temporal_patch), ("merge_size", vision.merge)] {
            if value.get(key).is_some_and(|got| got.as_u64() != Some(wanted as u64)) {
                return Err(wrong(key, &format!("{wanted} as config.json says")));
            }
        }
        let per_channel = |key: &str, default: [f64; 3]| match value.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Number(n)) => n.as_f64().map(|n| [n; 3]).ok_or_else(|| wrong(key, "three numbers")),
            Some(Value::Array(items)) => {
                let numbers: Option<Vec<f64>> = items.iter().map(Value::as_f64).collect();
                numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(|| wrong(key, "three numbers"))
            }
            Some(_) => Err(wrong(key, "three numbers")),
        };
        let (mean, std) = (per_channel("image_mean", CLIP_MEAN)?, per_channel("image_std", CLIP_STD)?);
        if std.contains(&0.0) {
            return Err(wrong("image_std", "three numbers that are not 0"));
        }
        // The names changed twice; the most specific wins, as in the reference.
        let size = value.get("size");
        let limit = |own: &str, edge: &str, default: u64| {
            let in_size = |key: &str| size.and_then(|size| size.get(key)).filter(|found| !found.is_null());
            let found = value.get(own).filter(|found| !found.is_null()).or_else(|| in_size(edge)).or_else(|| in_size(own));
            let Some(found) = found else { return Ok(default) };
            found.as_u64().filter(|n| (1..=u64::from(u32::MAX)).contains(n)).ok_or_else(|| wrong(own, "a number of pixels"))
        };
        let pixels = (limit("min_pixels", "shortest_edge", 56 * 56)?, limit("max_pixels", "longest_edge", 28 * 28 * 1280)?);
        if pixels.0 > pixels.1 || pixels.0 > MOST_PIXELS {
            return Err(wrong("size", &format!("at least as many pixels at most as at least, and no more than {MOST_PIXELS}")));
        }
        let scale = if flag("do_rescale") { value.get("rescale_factor").and_then(Value::as_f64).unwrap_or(1.0 / 255.0) } else { 1.0 };
        let normalise = flag("do_normalize");
        let channel = |channel: usize| {
            let (mean, std) = (mean[channel] as f32, std[channel] as f32);
            std::array::from_fn(|byte| {
                let value = (byte as f64 * scale) as f32;
                if normalise { (value - mean) / std } else { value }
            })
        };
        Ok(Self {
            patch: vision.patch,
            temporal: vision.temporal_patch,
            merge: vision.merge,
            pixels: (pixels.0, pixels.1.min(MOST_PIXELS)),
            resize: flag("do_resize"),
            table: Box::new([channel(0), channel(1), channel(2)]),
        })
    }

    /// Asks for no more than `pixels` pixels per image, however many the checkpoint allows.
    pub fn limit_pixels(&mut self, pixels: u64) {
        self.pixels.1 = self.pixels.1.min(pixels.max(self.pixels.0));
    }

    /// The fewest and the most pixels that an image has after resizing.
    pub fn pixels(&self) -> (u64, u64) {
        self.pixels
    }

    /// The size (width, height) to which an image of this size is brought.
    pub fn size(&self, width: u32, height: u32) -> Result<(u32, u32), ModelError> {
        let factor = (self.patch * self.merge) as u32;
        if self.resize {
            return smart_resize(width, height, factor, self.pixels);
        }
        let fits = width > 0 && height > 0 && width.is_multiple_of(factor) && height.is_multiple_of(factor);
        if fits && u64::from(width) * u64::from(height) <= MOST_PIXELS {
            return Ok((width, height));
        }
        Err(ModelError::Image { width, height, reason: format!("this checkpoint wants sides that are multiples of {factor}") })
    }

    /// The grid that an image of this size has: known from a file's header, before decoding.
    pub fn grid(&self, width: u32, height: u32) -> Result<Grid, ModelError> {
        let (width, height) = self.size(width, height)?;
        Ok(Grid { height: height as usize / self.patch, width: width as usize / self.patch })
    }

    /// How many tokens an image of this grid takes in a conversation.
    pub fn tokens(&self, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    /// What a byte of each channel is multiplied with, and what is added then.
    pub fn normalisation(&self) -> ([f32; 3], [f32; 3]) {
        let scale = std::array::from_fn(|channel| (self.table[channel][255] - self.table[channel][0]) / 255.0);
        (scale, std::array::from_fn(|channel| self.table[channel][0]))
    }

    /// The picture in the size to which it is brought.
    pub fn resized(&self, image: &RgbImage) -> Result<RgbImage, ModelError> {
        let (width, height) = self.size(image.width(), image.height())?;
        Ok(resize_bicubic(image, width, height))
    }

    /// The patches of a decoded picture; what is not RGB becomes RGB, transparency is dropped.
    pub fn patches(&self, picture: &Picture) -> Result<PixelPatches, ModelError> {
        match picture {
            Picture::ImageRgb8(rgb) => self.patches_of_rgb(rgb),
            other => self.patches_of_rgb(&other.to_rgb8()),
        }
    }

    /// The patches of an RGB picture.
    pub fn patches_of_rgb(&self, image: &RgbImage) -> Result<PixelPatches, ModelError> {
        let (width, height) = self.size(image.width(), image.height())?;
        let resized = resize_bicubic(image, width, height);
        let grid = Grid { height: height as usize / self.patch, width: width as usize / self.patch };
        let (patch, merge) = (self.patch, self.merge);
        let frame = patch * patch;
        let mut values = vec![0.0; grid.patches() * 3 * self.temporal * frame];
        let pixels = resized.as_raw();
        let across = grid.width / merge;
        let unit = merge * merge;
        values.par_chunks_exact_mut(3 * self.temporal * frame).enumerate().for_each(|(nth, out)| {
            let (block, inner) = (nth / unit, nth % unit);
            let top = (block / across * merge + inner / merge) * patch;
            let left = (block % across * merge + inner % merge) * patch;
            for (channel, out) in out.chunks_exact_mut(self.temporal * frame).enumerate() {
                let (first, repeated) = out.split_at_mut(frame);
                for (row, out) in first.chunks_exact_mut(patch).enumerate() {
                    let start = ((top + row) * width as usize + left) * 3 + channel;
                    for (out, byte) in out.iter_mut().zip(pixels[start..].iter().step_by(3)) {
                        *out = self.table[channel][usize::from(*byte)];
                    }
                }
                for frame in repeated.chunks_exact_mut(frame) {
                    frame.copy_from_slice(first);
                }
            }
        });
        Ok(PixelPatches { grid, values })
    }
}
