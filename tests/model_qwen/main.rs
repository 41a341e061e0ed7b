//! The Qwen-VL family and its processor against what transformers computed (`tests/fixtures/model/make.py`), and against
//! files that nobody should have to trust.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod broken;
mod cache;
mod gradients;
mod parity;
mod processor;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use mekiki::conversation::{ImagePart, ImageRole, Part, Role, Turn};
use mekiki::domain::{ImageRef, RelativePath};
use mekiki::model::processor::{Grid, PixelPatches, Processor};
use mekiki::model::qwen_vl::{Model, Segment};
use serde_json::Value;

const FAMILIES: [&str; 3] = ["qwen2", "qwen2_5", "qwen3"];

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model").join(family)
}

/// The formula of `make.py`: slopes, edges and noise.
fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(std::array::from_fn(|channel| {
            let c = channel as u32;
            let mixed = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791).wrapping_add(seed);
            match (x / 16 + y / 16 + seed) % 3 {
                0 => (mixed.wrapping_mul(2_654_435_761) >> 24) as u8,
                1 => ((x * 3 + y * 5 * (c + 1) + seed * 40) & 255) as u8,
                _ => ((x / 9 + y / 7) % 2 * 255) as u8,
            }
        }))
    })
}

/// A conversation of the fixtures.
struct Talk {
    turns: Vec<Turn>,
    pictures: Vec<RgbImage>,
    reference: Value,
}

impl Talk {
    fn ids(&self) -> Vec<u32> {
        serde_json::from_value(self.reference["ids"].clone()).unwrap()
    }

    fn grids(&self) -> Vec<Grid> {
        let pairs: Vec<(usize, usize)> = serde_json::from_value(self.reference["grids"].clone()).unwrap();
        pairs.into_iter().map(|(height, width)| Grid { height, width }).collect()
    }
}

/// A family's model, processor, conversations and the logits that transformers computed.
struct Fixture {
    model: Model,
    processor: Processor,
    talks: Vec<(String, Talk)>,
    logits: HashMap<String, Tensor>,
    pixels: Value,
}

impl Fixture {
    fn load(family: &str) -> Self {
        let dir = folder(family);
        let model = Model::load(&dir, &Device::Cpu, DType::F32).unwrap();
        let processor = Processor::load(&dir, model.config()).unwrap();
        let reference: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("reference.json")).unwrap()).unwrap();
        let talks = reference["conversations"].as_object().unwrap().iter();
        let talks = talks.map(|(name, reference)| (name.clone(), talk(reference))).collect();
        let logits = candle_core::safetensors::load(dir.join("reference.safetensors"), &Device::Cpu).unwrap();
        Self { model, processor, talks, logits, pixels: reference["pixels"].clone() }
    }

    fn patches(&self, talk: &Talk) -> Vec<PixelPatches> {
        talk.pictures.iter().map(|picture| self.processor.images.patches_of_rgb(picture).unwrap()).collect()
    }

    /// The whole conversation as one segment.
    fn segment(&self, talk: &Talk) -> Segment {
        Segment { ids: talk.ids(), images: self.model.embed_images(&self.patches(talk)).unwrap() }
    }

    fn logits_of(&self, hidden: &Tensor) -> Vec<Vec<f32>> {
        let (rows, tokens, width) = hidden.dims3().unwrap();
        self.model.logits(&hidden.reshape((rows * tokens, width)).unwrap()).unwrap().to_vec2().unwrap()
    }
}

fn talk(reference: &Value) -> Talk {
    let mut pictures = Vec::new();
    let mut turns = Vec::new();
    for turn in reference["turns"].as_array().unwrap() {
        let role = if turn[0] == "user" { Role::User } else { Role::Assistant };
        let parts = turn[1].as_array().unwrap().iter().map(|part| match part {
            Value::String(text) => Part::Text(text.clone()),
            sizes => {
                let [width, height, seed]: [u32; 3] = serde_json::from_value(sizes.clone()).unwrap();
                pictures.push(picture(width, height, seed));
                let image = ImageRef { folder: 0, path: RelativePath::new("x.png").unwrap() };
                Part::Image(ImagePart { role: ImageRole::Query, image })
            }
        });
        turns.push(Turn { role, parts: parts.collect() });
    }
    Talk { turns, pictures, reference: reference.clone() }
}

/// The largest difference of two tables of one shape.
fn difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b).flat_map(|(a, b)| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b)
    });
    let differences: Vec<f32> = pairs.map(|(a, b)| (a - b).abs()).collect();
    assert!(differences.iter().all(|difference| difference.is_finite()));
    differences.into_iter().fold(0.0, f32::max)
}
