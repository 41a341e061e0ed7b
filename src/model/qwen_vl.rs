//! Qwen2-VL, Qwen2.5-VL and Qwen3-VL: one text model and one vision tower with switches.

mod again;
mod cache;
mod config;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod differentiable;
mod frozen;
#[cfg(feature = "cuda")]
mod fused;
mod gradient;
mod layout;
mod ops;
mod positions;
mod text;
mod vision;
mod whole;

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};

pub use cache::Cache;
pub use config::{Activation, Config, Family, Rotation, TextConfig, Tower, VisionConfig};
pub use differentiable::cross_entropy;
pub use frozen::Dropout;
pub use ops::{LowRank, Mode};
pub use positions::{Positions, positions};
pub use vision::{ImageEmbedding, PlacedPixels};
pub use whole::{Features, Pictures, Whole, WholeRow};

use super::ModelError;
use super::checkpoint::{Checkpoint, Source};
use super::processor::PixelPatches;
use ops::Parts;

/// A piece of a conversation, as the network takes it: an image is never split between two segments.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// Token ids, every image's placeholder repeated once per token of the image.
    pub ids: Vec<u32>,
    /// What the tower made of the images, in the order of their placeholders.
    pub images: Vec<ImageEmbedding>,
}

/// Tokens that follow each other behind a part of what a row of the cache holds: a branch of a tree of continuations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Token ids, of text only.
    pub ids: Vec<u32>,
    /// The slots of the row that the tokens see besides those before them in the run, in ascending order: those in use, and
    /// those that earlier runs of the row are about to fill.
    pub sees: Vec<Range<usize>>,
    /// The position (M-RoPE) at which the run goes on.
    pub position: u32,
}

/// A network with its parameters on a device.
#[derive(Debug)]
pub struct Model {
    config: Config,
    vision: vision::Vision,
    text: text::Text,
    device: Device,
    dtype: DType,
    mode: Mode,
    tower_mode: Mode,
    again: Option<again::Again>,
}

impl Model {
    /// Loads a Hugging Face folder for inference.
    pub fn load(dir: &Path, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let checkpoint = Checkpoint::open(dir)?;
        Self::new(&checkpoint.config()?, &checkpoint, device, dtype)
    }

    /// Builds a network of any parameters, for inference. Parameters that already lie on the device in the type are
    /// shared and not copied, so that a trainer's variables stay its own.
    pub fn new(config: &Config, source: &dyn Source, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let parts = Parts::new(source, device, dtype);
        Ok(Self {
            vision: vision::Vision::new(&config.vision, &parts.at("model.visual"))?,
            text: text::Text::new(config, &parts)?,
            config: config.clone(),
            device: device.clone(),
            dtype,
            mode: Mode::Infer,
            tower_mode: Mode::Infer,
            again: None,
        })
    }

    /// Chooses between the fused operations and the ones that can be differentiated.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.tower_mode = mode;
    }

    /// Leaves the vision tower at the fused operations: where none of its parameters is trained, nothing passes it back.
    pub fn freeze_tower(&mut self) {
        self.tower_mode = Mode::Infer;
    }

    /// Whole conversations ([`Self::read`], [`Self::features`]) are learnt from with less memory: of each block nothing is
    /// kept but its input, and the rest is computed again when gradients are wanted, to the same bits. (Sums of more than two
    /// gradients have another order: where the tower hands out features of inner blocks, or computes images of several sizes.)
    /// `variables` are all that are trained. Gradients then come from [`Self::backward`] alone.
    pub fn compute_again<'a>(&mut self, variables: impl Iterator<Item = &'a Var>) -> Result<(), ModelError> {
        self.again = Some(again::Again::new(variables, &self.device)?);
        Ok(())
    }

    /// The gradients of a loss that this network was asked for.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore, ModelError> {
        let mut gradients = loss.backward()?;
        if let Some(again) = &self.again {
            again.hand_over(&mut gradients)?;
        }
        Ok(gradients)
    }

    /// The network's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the network computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// In what the network computes.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// What the vision tower makes of images; images of one size are computed together.
    pub fn embed_images(&self, images: &[PixelPatches]) -> Result<Vec<ImageEmbedding>, ModelError> {
        self.vision.forward(images, self.dtype, &self.device, self.tower_mode)
    }

    /// Brings an image's pixels to where the tower computes, so that this can be done beside other work. What shows twice
    /// in them (the frames) travels once.
    pub fn place(&self, image: PixelPatches) -> Result<PlacedPixels, ModelError> {
        self.vision.place_pixels(image, self.dtype, &self.device)
    }

    /// What the tower makes of images that were placed; for inference.
    pub fn embed_placed(&self, images: &[PlacedPixels]) -> Result<Vec<ImageEmbedding>, ModelError> {
        self.vision.forward_placed(images)
    }

    /// Room for `rows` conversations of at most `capacity` tokens each.
    pub fn cache(&self, rows: usize, capacity: usize) -> Result<Cache, ModelError> {
        Cache::new(&self.config.text, rows, capacity, self.dtype, &self.device)
    }

    /// Continues every conversation of the cache by one segment; shorter segments are padded at their ends.
    ///
    /// Returns the normalised hidden states `[rows, longest segment, hidden]` in the network's type; what stands at
    /// padded places means nothing. For inference: the cache is written in place, which no gradient passes.
    pub fn forward(&self, cache: &mut Cache, segments: &[Segment]) -> Result<Tensor, ModelError> {
        self.text.forward(Some(cache), segments, None, self.config.vision.merge, self.mode)
    }

    /// Continues rows of the cache by several branches at once, which do not see one another: what a row has read is there
    /// once, however many ways it goes on. A row's runs fill the slots behind those in use one after the other; a row
    /// may have none. Returns `[rows, most tokens of a row, hidden]`, as [`Self::forward`] does.
    ///
    /// Afterwards such a row goes on by further runs only: [`Self::forward`] would see all branches.
    pub fn forward_runs(&self, cache: &mut Cache, runs: &[Vec<Run>]) -> Result<Tensor, ModelError> {
        for row in runs {
            let mut filled = cache.len();
            for run in row {
                if let Some(slot) = run.sees.iter().map(|seen| seen.end).find(|end| *end > filled) {
                    return Err(ModelError::Prompt(format!("a run sees slot {slot} of a row that holds {filled}")));
                }
                filled += run.ids.len();
            }
        }
        let ids = |runs: &Vec<Run>| runs.iter().flat_map(|run| run.ids.iter().copied()).collect();
        let segments: Vec<Segment> = runs.iter().map(|row| Segment { ids: ids(row), images: Vec::new() }).collect();
        self.text.forward(Some(cache), &segments, Some(runs), self.config.vision.merge, self.mode)
    }

    /// Reads whole conversations without a cache, as training does; shapes as in [`Self::forward`].
    pub fn forward_whole(&self, segments: &[Segment]) -> Result<Tensor, ModelError> {
        self.text.forward(None, segments, None, self.config.vision.merge, self.mode)
    }

    /// Logits `[n, vocab]` in f32 of hidden states `[n, hidden]`.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.text.logits(hidden, self.mode)
    }

    /// The logarithm of the sum of all exponentiated logits, `[n]` in f32, of hidden states `[n, hidden]`: what makes
    /// log-probabilities of logits.
    pub fn log_norms(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        self.text.log_norms(hidden, self.mode)
    }

    /// Logits `[n, tokens]` of some tokens only, multiplied and summed in f32 whatever the network's type is: in bf16,
    /// logits between 16 and 32 come in steps of 0.125, and candidates tie that are not equal.
    pub fn logits_of(&self, hidden: &Tensor, tokens: &[u32]) -> Result<Tensor, ModelError> {
        if let Some(id) = tokens.iter().find(|id| **id as usize >= self.config.text.vocab) {
            return Err(ModelError::Prompt(format!("token {id} of a vocabulary of {}", self.config.text.vocab)));
        }
        self.text.logits_of(hidden, &Tensor::new(tokens, &self.device)?)
    }

    /// The hidden states `[places, hidden]` at (row, token) places of what [`Self::forward`] returned.
    pub fn at(&self, hidden: &Tensor, places: &[(usize, usize)]) -> Result<Tensor, ModelError> {
        let (rows, tokens, width) = hidden.dims3()?;
        if let Some((row, token)) = places.iter().find(|(row, token)| *row >= rows || *token >= tokens) {
            return Err(ModelError::Prompt(format!("no token {token} in row {row} of {rows} rows of {tokens} tokens")));
        }
        let index: Vec<u32> = places.iter().map(|(row, token)| (row * tokens + token) as u32).collect();
        let index = Tensor::new(index, &self.device)?;
        Ok(hidden.reshape((rows * tokens, width))?.index_select(&index, 0)?)
    }
}

/// The vision tower alone.
#[derive(Debug)]
pub struct VisionTower {
    vision: vision::Vision,
    device: Device,
    dtype: DType,
}

impl VisionTower {
    /// Builds the tower of a network of any parameters, for inference.
    pub fn new(config: &Config, source: &dyn Source, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let vision = vision::Vision::new(&config.vision, &Parts::new(source, device, dtype).at("model.visual"))?;
        Ok(Self { vision, device: device.clone(), dtype })
    }

    /// As [`Model::embed_images`].
    pub fn embed_images(&self, images: &[PixelPatches]) -> Result<Vec<ImageEmbedding>, ModelError> {
        self.vision.forward(images, self.dtype, &self.device, Mode::Infer)
    }
}

/// Every parameter that a network of this shape has, with its shape: what a new checkpoint must hold.
pub fn parameters(config: &Config) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
    struct Recorder(RefCell<Vec<(String, Vec<usize>)>>);
    impl Source for Recorder {
        fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
            self.0.borrow_mut().push((name.to_owned(), shape.to_vec()));
            // One value seen everywhere: the shapes of a large network cost no memory.
            Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?)
        }
    }
    let recorder = Recorder(RefCell::new(Vec::new()));
    Model::new(config, &recorder, &Device::Cpu, DType::F32)?;
    Ok(recorder.0.into_inner())
}
