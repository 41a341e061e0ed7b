//! DINOv2 and SigLIP's vision transformer: pre-norm layers over patches, which differ in what stands around them.

use candle_core::{DType, Device, Tensor};
use candle_nn::ops;

use super::vit_config::{Family, VitConfig};
use crate::imaging::Picture;
use crate::model::ModelError;
use crate::model::checkpoint::Source;
use crate::model::processor::resize_bicubic;

/// `x · weightᵀ + bias`
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Layer {
    norms: [Norm; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    first: Linear,
    second: Linear,
    /// What each half's output is multiplied by (DINOv2).
    scales: Option<[Tensor; 2]>,
}

/// SigLIP's summing up: one learned question to all patches.
#[derive(Debug)]
struct Head {
    probe: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    first: Linear,
    second: Linear,
}

/// The network with its parameters on a device.
#[derive(Debug)]
pub(super) struct Vit {
    config: VitConfig,
    patches: Linear,
    /// `[1, tokens, hidden]` for the picture's size.
    positions: Tensor,
    /// The token before the patches (DINOv2).
    class: Option<Tensor>,
    layers: Vec<Layer>,
    norm: Norm,
    head: Option<Head>,
    device: Device,
    dtype: DType,
}

/// Where parameters come from.
struct Parts<'a> {
    source: &'a dyn Source,
    prefix: String,
    device: &'a Device,
    dtype: DType,
}

impl Parts<'_> {
    fn at(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.source.tensor(&format!("{}{name}", self.prefix), shape)?;
        Ok(tensor.to_dtype(self.dtype)?.to_device(self.device)?)
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear, ModelError> {
        let here = self.at(name);
        let bias = if bias { Some(here.tensor("bias", &[outputs])?) } else { None };
        Ok(Linear { weight: here.tensor("weight", &[outputs, inputs])?, bias })
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm, ModelError> {
        let here = self.at(name);
        Ok(Norm { weight: here.tensor("weight", &[width])?, bias: here.tensor("bias", &[width])? })
    }
}

impl Linear {
    /// `[batch, tokens, inputs]` to `[batch, tokens, outputs]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let (batch, tokens, inputs) = x.dims3()?;
        let y = x.reshape((batch * tokens, inputs))?.matmul(&self.weight.t()?)?.reshape((batch, tokens, ()))?;
        match &self.bias {
            Some(bias) => Ok(y.broadcast_add(bias)?),
            None => Ok(y),
        }
    }
}

impl Vit {
    pub(super) fn new(config: VitConfig, prefix: &str, source: &dyn Source, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let parts = Parts { source, prefix: prefix.to_owned(), device, dtype };
        let (hidden, patch, learned) = (config.hidden, config.patch, config.learned);
        let dino = config.family == Family::DinoV2;
        let embeddings = parts.at("embeddings");
        let projection = embeddings.at(if dino { "patch_embeddings.projection" } else { "patch_embedding" });
        let weight = projection.tensor("weight", &[hidden, 3, patch, patch])?.reshape((hidden, 3 * patch * patch))?;
        let patches = Linear { weight, bias: Some(projection.tensor("bias", &[hidden])?) };
        let (positions, class) = if dino {
            let all = embeddings.tensor("position_embeddings", &[1, 1 + learned * learned, hidden])?;
            let grid = all.narrow(1, 1, learned * learned)?;
            let grid = stretched(&grid, learned, config.across())?;
            (Tensor::cat(&[all.narrow(1, 0, 1)?, grid], 1)?, Some(embeddings.tensor("cls_token", &[1, 1, hidden])?))
        } else {
            (embeddings.tensor("position_embedding.weight", &[learned * learned, hidden])?.unsqueeze(0)?, None)
        };
        let layers = (0..config.layers).map(|layer| Layer::new(&config, &parts, layer)).collect::<Result<_, _>>()?;
        let norm = parts.norm(if dino { "layernorm" } else { "post_layernorm" }, hidden)?;
        let head = if dino { None } else { Some(Head::new(&config, &parts.at("head"))?) };
        Ok(Self { patches, positions, class, layers, norm, head, config, device: device.clone(), dtype })
    }

    /// `[3, side, side]`, normalised; the whole picture, whatever its shape.
    pub(super) fn pixels(&self, picture: &Picture) -> Vec<f32> {
        let side = self.config.side;
        let resized = match picture {
            Picture::ImageRgb8(rgb) => resize_bicubic(rgb, side as u32, side as u32),
            other => resize_bicubic(&other.to_rgb8(), side as u32, side as u32),
        };
        let channel = |channel: usize| {
            let (mean, std) = (self.config.mean[channel], self.config.std[channel]);
            resized.as_raw().iter().skip(channel).step_by(3).map(move |byte| (f32::from(*byte) / 255.0 - mean) / std)
        };
        (0..3).flat_map(channel).collect()
    }

    /// One row for each picture: of DINOv2 the class token and the mean of the patches, of SigLIP what its head says.
    pub(super) fn forward(&self, pictures: &[&[f32]]) -> Result<Tensor, ModelError> {
        let (batch, side, patch, across) = (pictures.len(), self.config.side, self.config.patch, self.config.across());
        let pixels = Tensor::from_vec(pictures.concat(), (batch, 3, side, side), &self.device)?.to_dtype(self.dtype)?;
        // What does not make up a patch is left out, as a convolution leaves it out.
        let used = pixels.narrow(2, 0, across * patch)?.narrow(3, 0, across * patch)?.contiguous()?;
        let cut = used.reshape(&[batch, 3, across, patch, across, patch][..])?.permute([0, 2, 4, 1, 3, 5])?;
        let mut x = self.patches.forward(&cut.reshape((batch, across * across, 3 * patch * patch))?)?;
        if let Some(class) = &self.class {
            x = Tensor::cat(&[&class.repeat((batch, 1, 1))?, &x], 1)?;
        }
        x = x.broadcast_add(&self.positions)?;
        for layer in &self.layers {
            x = layer.forward(&x, &self.config)?;
        }
        x = self.normed(&x, &self.norm)?;
        match &self.head {
            Some(head) => head.forward(&x, &self.config),
            None => Ok(Tensor::cat(&[x.narrow(1, 0, 1)?.squeeze(1)?, x.narrow(1, 1, across * across)?.mean(1)?], 1)?),
        }
    }

    fn normed(&self, x: &Tensor, norm: &Norm) -> Result<Tensor, ModelError> {
        Ok(ops::layer_norm(&x.contiguous()?, &norm.weight, &norm.bias, self.config.eps as f32)?)
    }
}

impl Layer {
    fn new(config: &VitConfig, parts: &Parts<'_>, layer: usize) -> Result<Self, ModelError> {
        let (hidden, inner, bias) = (config.hidden, config.inner, config.qkv_bias);
        let dino = config.family == Family::DinoV2;
        let here = parts.at(&format!("encoder.{}.{layer}", if dino { "layer" } else { "layers" }));
        let [attention, query, key, value, output] = if dino {
            ["attention", "attention.query", "attention.key", "attention.value", "output.dense"]
        } else {
            ["self_attn", "q_proj", "k_proj", "v_proj", "out_proj"]
        };
        let attention = here.at(attention);
        let norms = if dino { ["norm1", "norm2"] } else { ["layer_norm1", "layer_norm2"] };
        let scale = |name: &str| here.at(name).tensor("lambda1", &[hidden]);
        Ok(Self {
            norms: [here.norm(norms[0], hidden)?, here.norm(norms[1], hidden)?],
            query: attention.linear(query, hidden, hidden, bias)?,
            key: attention.linear(key, hidden, hidden, bias)?,
            value: attention.linear(value, hidden, hidden, bias)?,
            output: attention.linear(output, hidden, hidden, true)?,
            first: here.linear("mlp.fc1", hidden, inner, true)?,
            second: here.linear("mlp.fc2", inner, hidden, true)?,
            scales: if dino { Some([scale("layer_scale1")?, scale("layer_scale2")?]) } else { None },
        })
    }

    fn forward(&self, x: &Tensor, config: &VitConfig) -> Result<Tensor, ModelError> {
        let normed = |x: &Tensor, norm: &Norm| ops::layer_norm(&x.contiguous()?, &norm.weight, &norm.bias, config.eps as f32);
        let scaled = |y: Tensor, half: usize| match &self.scales {
            Some(scales) => y.broadcast_mul(&scales[half]),
            None => Ok(y),
        };
        let seen = normed(x, &self.norms[0])?;
        let seen = attend(&self.query.forward(&seen)?, &self.key.forward(&seen)?, &self.value.forward(&seen)?, config.heads)?;
        let x = (x + scaled(self.output.forward(&seen)?, 0)?)?;
        let made = activated(&self.first.forward(&normed(&x, &self.norms[1])?)?, config)?;
        Ok((&x + scaled(self.second.forward(&made)?, 1)?)?)
    }
}

impl Head {
    fn new(config: &VitConfig, parts: &Parts<'_>) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden, config.inner);
        let attention = parts.at("attention");
        let (weight, bias) = (attention.tensor("in_proj_weight", &[3 * hidden, hidden])?, attention.tensor("in_proj_bias", &[3 * hidden])?);
        let third = |nth: usize| -> Result<Linear, ModelError> {
            Ok(Linear { weight: weight.narrow(0, nth * hidden, hidden)?, bias: Some(bias.narrow(0, nth * hidden, hidden)?) })
        };
        Ok(Self {
            probe: parts.tensor("probe", &[1, 1, hidden])?,
            query: third(0)?,
            key: third(1)?,
            value: third(2)?,
            output: attention.linear("out_proj", hidden, hidden, true)?,
            norm: parts.norm("layernorm", hidden)?,
            first: parts.linear("mlp.fc1", hidden, inner, true)?,
            second: parts.linear("mlp.fc2", inner, hidden, true)?,
        })
    }

    /// `[batch, tokens, hidden]` to `[batch, hidden]`.
    fn forward(&self, x: &Tensor, config: &VitConfig) -> Result<Tensor, ModelError> {
        let probe = self.probe.repeat((x.dim(0)?, 1, 1))?;
        let seen = attend(&self.query.forward(&probe)?, &self.key.forward(x)?, &self.value.forward(x)?, config.heads)?;
        let x = self.output.forward(&seen)?;
        let normed = ops::layer_norm(&x.contiguous()?, &self.norm.weight, &self.norm.bias, config.eps as f32)?;
        let made = self.second.forward(&activated(&self.first.forward(&normed)?, config)?)?;
        Ok((x + made)?.squeeze(1)?)
    }
}

fn activated(x: &Tensor, config: &VitConfig) -> candle_core::Result<Tensor> {
    if config.tanh { x.gelu() } else { x.gelu_erf() }
}

/// Attention of `[batch, tokens, hidden]` to `[batch, keys, hidden]`.
fn attend(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<Tensor, ModelError> {
    let apart = |x: &Tensor| {
        let (batch, tokens, hidden) = x.dims3()?;
        x.reshape((batch, tokens, heads, hidden / heads))?.transpose(1, 2)?.contiguous()
    };
    let (query, key, value) = (apart(query)?, apart(key)?, apart(value)?);
    let (batch, _, tokens, width) = query.dims4()?;
    let scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?;
    let seen = ops::softmax_last_dim(&scores)?.matmul(&value)?;
    Ok(seen.transpose(1, 2)?.reshape((batch, tokens, heads * width))?)
}

/// Learned positions `[1, from², hidden]` brought to `[1, to², hidden]` by cubic convolution (a = -0.75, edges repeated), as
/// the reference does.
fn stretched(grid: &Tensor, from: usize, to: usize) -> Result<Tensor, ModelError> {
    if from == to {
        return Ok(grid.clone());
    }
    // `[to, from]`: how much of each learned row (or column) is in each row of the picture.
    let mut weights = vec![0.0_f32; to * from];
    for (at, row) in weights.chunks_exact_mut(from).enumerate() {
        let middle = (at as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        for tap in -1..=2 {
            let source = middle.floor() as i64 + tap;
            row[source.clamp(0, from as i64 - 1) as usize] += cubic(middle - source as f64) as f32;
        }
    }
    let (device, dtype, hidden) = (grid.device(), grid.dtype(), grid.dim(2)?);
    let weights = Tensor::from_vec(weights, (to, from), device)?;
    let grid = grid.to_dtype(DType::F32)?.reshape((from, from * hidden))?;
    let rows = weights.matmul(&grid)?.reshape((to, from, hidden))?.transpose(0, 1)?.contiguous()?.reshape((from, to * hidden))?;
    let all = weights.matmul(&rows)?.reshape((to, to, hidden))?.transpose(0, 1)?.contiguous()?;
    Ok(all.reshape((1, to * to, hidden))?.to_dtype(dtype)?)
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}
