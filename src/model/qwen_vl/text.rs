//! The text model.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};

use super::again::Again;
use super::cache::Cache;
#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::differentiable::{self, Looks, causal};
use super::ops::{Linear, Mode, Norm, Parts, add, attend, gated, rope};
use super::positions::{Positions, TextAngles, grids, positions};
use super::whole::{Features, Spread, Whole, look_up};
use super::{Activation, Config, Run, Segment, TextConfig};
use crate::model::ModelError;

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) input_norm: Norm,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    /// Of queries and of keys, per head.
    pub(super) head_norms: Option<(Norm, Norm)>,
    pub(super) mlp_norm: Norm,
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

/// Embedding, layers, norm, head.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) config: Arc<TextConfig>,
    image_token: u32,
    embedding: Tensor,
    pub(super) layers: Vec<Arc<Layer>>,
    pub(super) norm: Norm,
    head: Linear,
    pub(super) angles: TextAngles,
}

/// What all layers share of one pass over `rows` segments of `tokens` tokens.
struct Pass<'a> {
    rows: usize,
    tokens: usize,
    /// `[rows, tokens, head_dim / 2]`
    cos: Tensor,
    sin: Tensor,
    /// `[1 or rows, 1, tokens, keys]`
    mask: Option<Tensor>,
    cache: Option<&'a Cache>,
    /// The same for attention that can be differentiated.
    looks: Option<Looks>,
    mode: Mode,
}

impl Pass<'_> {
    /// A pass over whole conversations.
    fn whole(config: &TextConfig, rows: usize, tokens: usize, (cos, sin): (Tensor, Tensor), mode: Mode) -> Result<Self, ModelError> {
        let (device, dtype) = (cos.device().clone(), cos.dtype());
        let (mask, looks) = match mode {
            Mode::Infer => (Some(causal(tokens, 1, dtype, &device)?.reshape((1, 1, tokens, tokens))?), None),
            Mode::Train => {
                let plain = differentiable::sees_without_mask(&cos);
                let mask = if plain { None } else { Some(causal(tokens, rows * config.heads, dtype, &device)?) };
                (None, Some(Looks { cos: cos.clone(), sin: sin.clone(), causal: true, mask }))
            }
        };
        Ok(Self { rows, tokens, cos, sin, mask, cache: None, looks, mode })
    }
}

impl Text {
    pub(super) fn new(config: &Config, parts: &Parts<'_>) -> Result<Self, ModelError> {
        let text = &config.text;
        let here = parts.at("model.language_model");
        let embedding = here.at("embed_tokens").tensor("weight", &[text.vocab, text.hidden])?;
        let layers = (0..text.layers).map(|layer| Ok(Arc::new(Layer::new(text, &here.at(&format!("layers.{layer}")))?)));
        let layers = layers.collect::<Result<_, ModelError>>()?;
        let norm = here.rms_norm("norm", text.hidden, text.rms_eps)?;
        let head = if config.tied {
            Linear::with_bias(embedding.clone(), None)
        } else {
            parts.linear("lm_head", text.hidden, text.vocab, false)?
        };
        Ok(Self {
            config: Arc::new(text.clone()),
            image_token: config.image_token,
            embedding,
            layers,
            norm,
            head,
            angles: TextAngles::new(&text.rotation, text.head_dim),
        })
    }

    /// Hidden states `[rows, tokens, hidden]`. Where there are `runs`, they say for each row how its segment's tokens hang
    /// together.
    pub(super) fn forward(
        &self,
        mut cache: Option<&mut Cache>,
        segments: &[Segment],
        runs: Option<&[Vec<Run>]>,
        merge: usize,
        mode: Mode,
    ) -> Result<Tensor, ModelError> {
        let rows = segments.len();
        let tokens = segments.iter().map(|segment| segment.ids.len()).max().unwrap_or(0);
        if tokens == 0 || cache.as_ref().is_some_and(|cache| cache.rows() != rows) {
            let held = cache.map_or(0, |cache| cache.rows());
            return Err(ModelError::Prompt(format!("{rows} segments of {tokens} tokens for {held} conversations")));
        }
        if let Some(cache) = &cache {
            cache.reserve(tokens)?;
        }
        let placed = match runs {
            None => self.place(cache.as_deref(), segments, merge)?,
            Some(runs) => self.place_runs(segments, runs)?,
        };
        let mut x = self.embed(segments, tokens)?;
        let deep = deepstack(segments, tokens, self.image_token, &x)?;
        #[cfg(feature = "cuda")]
        if let (Some(there), Some(kernels), true, Mode::Infer) = (cache.as_deref(), Kernels::of(&x), self.fuses(), mode) {
            let x = self.forward_fused(&kernels, &x, &placed, there, runs, &deep)?;
            if let Some(cache) = cache {
                cache.note(&placed, tokens);
            }
            return Ok(x.reshape((rows, tokens, self.config.hidden))?);
        }
        let (cos, sin) = self.turn(&placed, tokens, x.device(), x.dtype())?;
        let pass = match cache.as_deref() {
            None => Pass::whole(&self.config, rows, tokens, (cos, sin), mode)?,
            Some(cache) => {
                let mask = match runs {
                    Some(runs) => Some(mask_of_runs(cache, runs, tokens, x.device(), x.dtype())?),
                    None => mask(cache, segments, tokens, x.device(), x.dtype())?,
                };
                Pass { rows, tokens, cos, sin, mask, cache: Some(cache), looks: None, mode }
            }
        };
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&self.config, index, &x, &pass)?;
            if let Some(features) = deep.get(index) {
                x = (x + features)?;
            }
        }
        if let Some(cache) = &mut cache {
            cache.note(&placed, tokens);
        }
        Ok(self.norm.forward(&x, mode)?.reshape((rows, tokens, self.config.hidden))?)
    }

    /// Hidden states `[rows · tokens, hidden]` of whole conversations; with `again`, layers keep nothing but their inputs.
    pub(super) fn read(
        &self,
        whole: &Whole,
        features: &Features,
        spread: &Spread,
        mode: Mode,
        again: Option<&Again>,
    ) -> Result<Tensor, ModelError> {
        let mut x = spread.place(&look_up(&self.embedding, &whole.ids)?, &features.main)?;
        let (device, half) = (x.device(), self.config.head_dim / 2);
        let index = Tensor::new(whole.angles.as_slice(), device)?;
        let turn = |table: &[f32]| -> Result<Tensor, ModelError> {
            let table = Tensor::from_slice(table, (table.len() / half, half), device)?.to_dtype(x.dtype())?;
            Ok(table.index_select(&index, 0)?.reshape((whole.rows(), whole.tokens(), half))?)
        };
        let pass = Pass::whole(&self.config, whole.rows(), whole.tokens(), (turn(&whole.cos)?, turn(&whole.sin)?), mode)?;
        let pass = Arc::new(pass);
        for (index, layer) in self.layers.iter().enumerate() {
            x = match again {
                None => layer.forward(&self.config, index, &x, &pass)?,
                Some(again) => {
                    let (layer, config, pass) = (layer.clone(), self.config.clone(), pass.clone());
                    again.compute(&x, move |x| layer.forward(&config, index, x, &pass))?
                }
            };
            if let Some(level) = features.deepstack.get(index) {
                x = spread.add(&x, level)?;
            }
        }
        self.norm.forward(&x, mode)
    }

    pub(super) fn logits(&self, hidden: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        Ok(self.head.forward(hidden, mode)?.to_dtype(DType::F32)?)
    }

    pub(super) fn log_norms(&self, hidden: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        #[cfg(feature = "cuda")]
        if let (Some(kernels), true) = (Kernels::of(hidden), self.config.vocab.is_multiple_of(8)) {
            return Ok(kernels.log_sum_exp(&self.head.forward(hidden, mode)?)?);
        }
        Ok(self.logits(hidden, mode)?.log_sum_exp(D::Minus1)?)
    }

    pub(super) fn logits_of(&self, hidden: &Tensor, tokens: &Tensor) -> Result<Tensor, ModelError> {
        self.head.forward_some(hidden, tokens)
    }

    fn check(&self, segment: &Segment) -> Result<(), ModelError> {
        match segment.ids.iter().find(|id| **id as usize >= self.config.vocab) {
            Some(id) => Err(ModelError::Prompt(format!("token {id} of a vocabulary of {}", self.config.vocab))),
            None => Ok(()),
        }
    }

    /// Text only: each run counts on from its own position.
    fn place_runs(&self, segments: &[Segment], runs: &[Vec<Run>]) -> Result<Vec<Positions>, ModelError> {
        let rows = segments.iter().zip(runs).map(|(segment, runs)| {
            self.check(segment)?;
            let each: Vec<[u32; 3]> = runs.iter().flat_map(|run| (run.position..).take(run.ids.len()).map(|at| [at; 3])).collect();
            let next = each.iter().map(|[at, ..]| at + 1).max().unwrap_or(0);
            Ok(Positions { each, next })
        });
        rows.collect()
    }

    fn place(&self, cache: Option<&Cache>, segments: &[Segment], merge: usize) -> Result<Vec<Positions>, ModelError> {
        let rows = segments.iter().enumerate().map(|(row, segment)| {
            self.check(segment)?;
            let start = cache.map_or(0, |cache| cache.position(row));
            positions(&segment.ids, self.image_token, &grids(&segment.images), merge, start)
        });
        rows.collect()
    }

    /// `[rows · tokens, hidden]`: embeddings of tokens, and images at their placeholders.
    fn embed(&self, segments: &[Segment], tokens: usize) -> Result<Tensor, ModelError> {
        let device = self.embedding.device();
        let padded = segments.iter().flat_map(|segment| segment.ids.iter().copied().chain(std::iter::repeat(0)).take(tokens));
        let x = self.embedding.index_select(&Tensor::new(padded.collect::<Vec<u32>>(), device)?, 0)?;
        let images: Vec<&Tensor> = segments.iter().flat_map(|segment| segment.images.iter().map(|image| &image.main)).collect();
        if images.is_empty() {
            return Ok(x);
        }
        let rows = segments.len() * tokens;
        let index = placeholders(segments, tokens, self.image_token, |at, image| image.map_or(at, |nth| rows + nth));
        let both: Vec<&Tensor> = std::iter::once(&x).chain(images).collect();
        Ok(Tensor::cat(&both, 0)?.index_select(&Tensor::new(index, device)?, 0)?)
    }

    fn turn(&self, placed: &[Positions], tokens: usize, device: &Device, dtype: DType) -> Result<(Tensor, Tensor), ModelError> {
        let half = self.config.head_dim / 2;
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for row in placed {
            for position in row.each.iter().copied().chain(std::iter::repeat([0; 3])).take(tokens) {
                self.angles.push(position, &mut cos, &mut sin);
            }
        }
        let shape = (placed.len(), tokens, half);
        let tensor = |values| Tensor::from_vec(values, shape, device)?.to_dtype(dtype);
        Ok((tensor(cos)?, tensor(sin)?))
    }
}

impl Layer {
    fn new(config: &TextConfig, parts: &Parts<'_>) -> Result<Self, ModelError> {
        let (hidden, inner, head) = (config.hidden, config.intermediate, config.head_dim);
        let (attention, mlp) = (parts.at("self_attn"), parts.at("mlp"));
        let head_norms = if config.qk_norm {
            Some((attention.rms_norm("q_norm", head, config.rms_eps)?, attention.rms_norm("k_norm", head, config.rms_eps)?))
        } else {
            None
        };
        Ok(Self {
            input_norm: parts.rms_norm("input_layernorm", hidden, config.rms_eps)?,
            query: attention.linear("q_proj", hidden, config.heads * head, config.qkv_bias)?,
            key: attention.linear("k_proj", hidden, config.kv_heads * head, config.qkv_bias)?,
            value: attention.linear("v_proj", hidden, config.kv_heads * head, config.qkv_bias)?,
            output: attention.linear("o_proj", config.heads * head, hidden, config.output_bias)?,
            head_norms,
            mlp_norm: parts.rms_norm("post_attention_layernorm", hidden, config.rms_eps)?,
            gate: mlp.linear("gate_proj", hidden, inner, false)?,
            up: mlp.linear("up_proj", hidden, inner, false)?,
            down: mlp.linear("down_proj", inner, hidden, false)?,
        })
    }

    /// `[rows · tokens, hidden]` to the same.
    fn forward(&self, config: &TextConfig, index: usize, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        let normed = self.input_norm.forward(x, pass.mode)?;
        let heads = |projection: &Linear, heads: usize| -> Result<Tensor, ModelError> {
            Ok(projection.forward(&normed, pass.mode)?.reshape((pass.rows, pass.tokens, heads, config.head_dim))?)
        };
        let (mut query, mut key) = (heads(&self.query, config.heads)?, heads(&self.key, config.kv_heads)?);
        if let Some((query_norm, key_norm)) = &self.head_norms {
            query = query_norm.forward(&query, pass.mode)?;
            key = key_norm.forward(&key, pass.mode)?;
        }
        let value = heads(&self.value, config.kv_heads)?;
        let seen = if let Some(looks) = &pass.looks {
            differentiable::attend(&query, &key, &value, looks)?
        } else {
            let query = rope(&query.transpose(1, 2)?, &pass.cos, &pass.sin, pass.mode)?;
            let key = rope(&key.transpose(1, 2)?, &pass.cos, &pass.sin, pass.mode)?;
            let value = value.transpose(1, 2)?.contiguous()?;
            let (key, value) = match pass.cache {
                Some(cache) => cache.append(index, &key, &value)?,
                None => (key, value),
            };
            attend(&query, &key, &value, pass.mask.as_ref(), pass.mode)?
        };
        let seen = seen.reshape((pass.rows * pass.tokens, config.heads * config.head_dim))?;
        let x = add(x, self.output.forward(&seen, pass.mode)?, pass.mode)?;
        let normed = self.mlp_norm.forward(&x, pass.mode)?;
        let inner = gated(&self.gate, &self.up, Activation::Silu, &normed, pass.mode)?;
        add(&x, self.down.forward(&inner, pass.mode)?, pass.mode)
    }
}

/// For each place of the padded batch, what `at` makes of the place and of which image token (counted over all segments)
/// stands there.
fn placeholders(segments: &[Segment], tokens: usize, image_token: u32, at: impl Fn(usize, Option<usize>) -> usize) -> Vec<u32> {
    let mut index = Vec::with_capacity(segments.len() * tokens);
    let mut images = 0..;
    for segment in segments {
        for token in 0..tokens {
            let image = if segment.ids.get(token) == Some(&image_token) { images.next() } else { None };
            index.push(at(index.len(), image) as u32);
        }
    }
    index
}

/// Per early layer, what is added to its output, `[rows · tokens, hidden]`.
fn deepstack(segments: &[Segment], tokens: usize, image_token: u32, x: &Tensor) -> Result<Vec<Tensor>, ModelError> {
    let images = || segments.iter().flat_map(|segment| &segment.images);
    let levels = images().map(|image| image.deepstack.len()).max().unwrap_or(0);
    if levels == 0 {
        return Ok(Vec::new());
    }
    // Row 0 is what is added where no image is.
    let index = Tensor::new(placeholders(segments, tokens, image_token, |_, image| image.map_or(0, |nth| nth + 1)), x.device())?;
    let nothing = Tensor::zeros((1, x.dim(1)?), x.dtype(), x.device())?;
    let level = |level: usize| -> Result<Tensor, ModelError> {
        let features = images().filter_map(|image| image.deepstack.get(level));
        let all: Vec<&Tensor> = std::iter::once(&nothing).chain(features).collect();
        Ok(Tensor::cat(&all, 0)?.index_select(&index, 0)?)
    };
    (0..levels).map(level).collect()
}

/// What is added to the scores: minus infinity where a token must not look. `[1 or rows, 1, tokens, keys]`, none where every
/// token may look at everything.
fn mask(cache: &Cache, segments: &[Segment], tokens: usize, device: &Device, dtype: DType) -> Result<Option<Tensor>, ModelError> {
    let past = cache.len();
    // Padding behind a row's last token is seen by padding only; padding in the cache must be hidden.
    let holes = (0..segments.len()).any(|row| cache.filled(row).contains(&false));
    if tokens == 1 && !holes {
        return Ok(None);
    }
    let rows = if holes { segments.len() } else { 1 };
    let mut values = Vec::with_capacity(rows * tokens * (past + tokens));
    for row in 0..rows {
        let seen: Vec<f32> = cache.filled(row).iter().map(|filled| if *filled { 0.0 } else { f32::NEG_INFINITY }).collect();
        for token in 0..tokens {
            values.extend_from_slice(&seen);
            values.resize(values.len() + token + 1, 0.0);
            values.resize(values.len() + tokens - token - 1, f32::NEG_INFINITY);
        }
    }
    Ok(Some(Tensor::from_vec(values, (rows, 1, tokens, past + tokens), device)?.to_dtype(dtype)?))
}

/// The mask of rows whose tokens are the runs of a tree: a token sees what its run sees, and its run up to itself.
/// `[rows, 1, tokens, keys]`
fn mask_of_runs(cache: &Cache, runs: &[Vec<Run>], tokens: usize, device: &Device, dtype: DType) -> Result<Tensor, ModelError> {
    let past = cache.len();
    let keys = past + tokens;
    let mut values = vec![f32::NEG_INFINITY; runs.len() * tokens * keys];
    for (runs, values) in runs.iter().zip(values.chunks_exact_mut(tokens * keys)) {
        let mut start = 0;
        for run in runs {
            let end = start + run.ids.len();
            for at in start..end {
                let row = &mut values[at * keys..(at + 1) * keys];
                for seen in &run.sees {
                    row[seen.clone()].fill(0.0);
                }
                row[past + start..=past + at].fill(0.0);
            }
            start = end;
        }
        // Padding sees itself, so that its scores are numbers.
        for at in start..tokens {
            values[at * keys + past + at] = 0.0;
        }
    }
    Ok(Tensor::from_vec(values, (runs.len(), 1, tokens, keys), device)?.to_dtype(dtype)?)
}
