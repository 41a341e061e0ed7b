//! Pictures as short vectors, so that one can be compared with a million others.
//!
//! A vector comes from the vision tower of a Qwen-VL checkpoint (the mean and the maximum over its tokens: what the picture
//! shows, and what of it stands out), or from a DINOv2 or SigLIP checkpoint. It is projected to at most [`MOST_WIDTH`]
//! numbers, and [`Quantiser`] makes bytes of them.

mod small;
mod vit;
mod vit_config;

use std::path::Path;
use std::sync::Mutex;

use candle_core::{D, DType, Device, Tensor};
use serde_json::Value;

pub use small::{MOST_WIDTH, Quantiser};

use super::ModelError;
use super::checkpoint::{Checkpoint, Source, read_text};
use super::processor::{ImageProcessor, PixelPatches};
use super::qwen_vl::VisionTower;
use crate::domain::printable;
use crate::imaging::Picture;
use vit::Vit;
use vit_config::VitConfig;

/// A picture made ready for an encoder.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// For a Qwen-VL tower.
    Patches(PixelPatches),
    /// `[3, side, side]`, normalised, for DINOv2 and SigLIP.
    Square(Vec<f32>),
}

#[derive(Debug)]
enum Network {
    Qwen { tower: Box<VisionTower>, images: ImageProcessor },
    Vit(Box<Vit>),
}

/// What makes vectors of pictures.
#[derive(Debug)]
pub struct Encoder {
    network: Network,
    /// `[network's width, width]`; none where the network's vectors are short enough.
    projection: Option<Tensor>,
    width: usize,
    identity: String,
}

/// The most pixels of a picture that a Qwen-VL tower looks at here: likeness needs less than reading does.
const MOST_PIXELS: u64 = 448 * 448;

impl Encoder {
    /// Loads what a checkpoint's folder holds: `config.json` says what it is.
    pub fn load(dir: &Path, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let text = read_text(&path)?;
        let config: Value =
            serde_json::from_str(&text).map_err(|error| ModelError::File { path: path.clone(), reason: format!("no JSON: {error}") })?;
        let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let checkpoint = Checkpoint::open(dir)?;
        let source = Hashing { checkpoint: &checkpoint, hasher: Mutex::new(blake3::Hasher::new()) };
        let (network, wide, how) = match kind {
            "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl" => {
                let config = checkpoint.config()?;
                let mut images = ImageProcessor::load(dir, &config)?;
                images.limit_pixels(MOST_PIXELS);
                let tower = Box::new(VisionTower::new(&config, &source, device, dtype)?);
                (Network::Qwen { tower, images }, 2 * config.vision.out_hidden, "mean+max")
            }
            "dinov2" | "siglip" | "siglip_vision_model" => {
                let config = VitConfig::parse(&config, &path, dir)?;
                let wide = config.output();
                let prefixes =
                    checkpoint.tensors().filter_map(|(name, _)| name.strip_suffix("embeddings.patch_embeddings.projection.weight"));
                let other = checkpoint.tensors().filter_map(|(name, _)| name.strip_suffix("embeddings.patch_embedding.weight"));
                let prefix = prefixes.chain(other).next().unwrap_or_default().to_owned();
                (Network::Vit(Box::new(Vit::new(config, &prefix, &source, device, dtype)?)), wide, "output")
            }
            _ => {
                let got = config.get("model_type").map_or_else(|| "nothing".to_owned(), |got| printable(&got.to_string()).into_owned());
                let expected = "qwen2_vl, qwen2_5_vl, qwen3_vl, dinov2, siglip or siglip_vision_model".to_owned();
                return Err(ModelError::Config { path, key: "model_type".to_owned(), expected, got });
            }
        };
        let hash = source.finish();
        let width = wide.min(MOST_WIDTH);
        let identity = format!("{kind} {how} {width} {hash}");
        let projection = (wide > width).then(|| small::projection(&identity, wide, width));
        let projection = projection.map(|rows| Tensor::from_vec(rows, (width, wide), &Device::Cpu)?.t()?.contiguous()).transpose()?;
        Ok(Self { network, projection, width, identity })
    }

    /// What tells its vectors from those of others: the kind of network, how its output is summed up, and a hash of the
    /// parameters. Equal parameters in another folder are the same encoder.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Numbers in a vector, at most [`MOST_WIDTH`].
    pub fn width(&self) -> usize {
        self.width
    }

    /// Resizes and normalises a picture: the whole of it, since a flaw at the edge counts.
    pub fn prepare(&self, picture: &Picture) -> Result<Pixels, ModelError> {
        match &self.network {
            Network::Qwen { images, .. } => Ok(Pixels::Patches(images.patches(picture)?)),
            Network::Vit(vit) => Ok(Pixels::Square(vit.pixels(picture))),
        }
    }

    /// The vectors of prepared pictures, in their order: of length 1 before they are projected.
    pub fn vectors(&self, pictures: &[Pixels]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut rows = match &self.network {
            Network::Qwen { tower, .. } => {
                let patches =
                    pictures.iter().filter_map(|pixels| if let Pixels::Patches(patches) = pixels { Some(patches.clone()) } else { None });
                let images = tower.embed_images(&patches.collect::<Vec<_>>())?;
                let summed = images.into_iter().map(|image| {
                    let tokens = image.main.to_dtype(DType::F32)?;
                    Ok(Tensor::cat(&[unit(&tokens.mean(0)?)?, unit(&tokens.max(0)?)?], 0)?)
                });
                Tensor::stack(&summed.collect::<Result<Vec<_>, ModelError>>()?, 0)?
            }
            Network::Vit(vit) => {
                let squares =
                    pictures.iter().filter_map(|pixels| if let Pixels::Square(values) = pixels { Some(values.as_slice()) } else { None });
                vit.forward(&squares.collect::<Vec<_>>())?.to_dtype(DType::F32)?
            }
        };
        rows = unit(&rows.to_device(&Device::Cpu)?)?;
        if let Some(projection) = &self.projection {
            rows = rows.matmul(projection)?;
        }
        let rows: Vec<Vec<f32>> = rows.to_vec2()?;
        if rows.len() != pictures.len() || rows.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ModelError::Prompt("expected a vector of finite numbers for each picture".to_owned()));
        }
        Ok(rows)
    }
}

/// Rows of length 1.
fn unit(rows: &Tensor) -> candle_core::Result<Tensor> {
    let length = (rows.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    rows.broadcast_div(&length)
}

/// A checkpoint that remembers what was read of it.
struct Hashing<'a> {
    checkpoint: &'a Checkpoint,
    hasher: Mutex<blake3::Hasher>,
}

impl Hashing<'_> {
    /// 16 hexadecimal digits of everything that was read.
    fn finish(&self) -> String {
        let hasher = self.hasher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hasher.finalize().to_hex().chars().take(16).collect()
    }
}

impl Source for Hashing<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.checkpoint.tensor(name, shape)?;
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let mut hasher = self.hasher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hasher.update(name.as_bytes());
        for some in values.chunks(1 << 14) {
            let bytes: Vec<u8> = some.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        Ok(tensor)
    }
}
