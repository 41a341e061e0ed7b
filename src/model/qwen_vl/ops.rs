//! The operations of the network, each in a fused form for inference and in a form that can be differentiated.
//!
//! candle's fused normalisations, softmax and rotation pass no gradient and say nothing about it; [`Mode`] is the one
//! place that chooses.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Activation as Nonlinear, Module as _, ops, rotary_emb};

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::frozen::{Dropout, Frozen};
use super::{Activation, cpu, differentiable};
use crate::model::ModelError;
use crate::model::checkpoint::Source;

/// Which form of the operations is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fused kernels, no gradients.
    Infer,
    /// Operations that can be differentiated.
    Train,
}

/// Factors `scale · b · a` that are added to a weight at run time.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[rank, inputs]`
    pub a: Tensor,
    /// `[outputs, rank]`
    pub b: Tensor,
    /// The factor in front.
    pub scale: f64,
    /// What of the inputs the factors do not see while training.
    pub dropout: Option<Dropout>,
}

/// A place in a source of parameters.
pub(super) struct Parts<'a> {
    source: &'a dyn Source,
    prefix: String,
    device: &'a Device,
    dtype: DType,
}

impl<'a> Parts<'a> {
    pub(super) fn new(source: &'a dyn Source, device: &'a Device, dtype: DType) -> Self {
        Self { source, prefix: String::new(), device, dtype }
    }

    /// The place below.
    pub(super) fn at(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// A parameter in the network's type on its device.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.source.tensor(&format!("{}{name}", self.prefix), shape)?;
        // The type first where it shrinks what travels to the device.
        Ok(tensor.to_dtype(self.dtype)?.to_device(self.device)?)
    }

    pub(super) fn linear(&self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear, ModelError> {
        let here = self.at(name);
        let moved = |factor: &Tensor| factor.to_dtype(self.dtype)?.to_device(self.device);
        let low_rank = match self.source.low_rank(&format!("{}weight", here.prefix))? {
            Some(LowRank { a, b, scale, dropout }) => Some(LowRank { a: moved(&a)?, b: moved(&b)?, scale, dropout }),
            None => None,
        };
        Ok(Linear {
            weight: here.tensor("weight", &[outputs, inputs])?,
            bias: if bias { Some(here.tensor("bias", &[outputs])?) } else { None },
            low_rank,
        })
    }

    pub(super) fn rms_norm(&self, name: &str, width: usize, eps: f64) -> Result<Norm, ModelError> {
        Ok(Norm { weight: self.at(name).tensor("weight", &[width])?, bias: None, eps: eps as f32 })
    }

    pub(super) fn layer_norm(&self, name: &str, width: usize, eps: f64) -> Result<Norm, ModelError> {
        let here = self.at(name);
        Ok(Norm { weight: here.tensor("weight", &[width])?, bias: Some(here.tensor("bias", &[width])?), eps: eps as f32 })
    }
}

/// `x · weightᵀ + bias`
#[derive(Debug)]
pub(super) struct Linear {
    weight: Tensor,
    pub(super) bias: Option<Tensor>,
    low_rank: Option<LowRank>,
}

impl Linear {
    pub(super) fn with_bias(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, low_rank: None }
    }

    /// `[outputs, inputs]`
    #[cfg(feature = "cuda")]
    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `[n, inputs]` to `[n, outputs]`.
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        self.forward_then(x, None, mode)
    }

    /// The same with an activation of the outputs.
    pub(super) fn forward_then(&self, x: &Tensor, activation: Option<Activation>, mode: Mode) -> Result<Tensor, ModelError> {
        if let Some(frozen) = self.frozen(x, mode) {
            // The bias is a part of the frozen layer's one operation.
            let y = frozen.forward(x, self.low_rank.as_ref())?;
            return if let Some(activation) = activation { activation.apply(&y, mode) } else { Ok(y) };
        }
        if mode == Mode::Train {
            return self.forward_differentiable(x, activation);
        }
        let y = self.product(x)?;
        if on_cpu(&y, mode) {
            match (&self.bias, activation) {
                (Some(bias), activation) => cpu::bias(&y, bias, activation)?,
                (None, Some(activation)) => cpu::activate(&y, activation)?,
                (None, None) => {}
            }
            return Ok(y);
        }
        #[cfg(feature = "cuda")]
        if mode == Mode::Infer
            && (self.bias.is_some() || activation.is_some())
            && y.dim(D::Minus1)?.is_multiple_of(8)
            && let Some(kernels) = Kernels::of(&y)
        {
            return Ok(kernels.bias_activate(&y, self.bias.as_ref(), activation)?);
        }
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        match activation {
            Some(activation) => activation.apply(&y, mode),
            None => Ok(y),
        }
    }

    fn forward_differentiable(&self, x: &Tensor, activation: Option<Activation>) -> Result<Tensor, ModelError> {
        let mut y = differentiable::linear(x, &self.weight, self.bias.as_ref())?;
        if let Some(LowRank { a, b, scale, .. }) = &self.low_rank {
            let inner = (differentiable::linear(x, a, None)? * *scale)?;
            y = (y + differentiable::linear(&inner, b, None)?)?;
        }
        match activation {
            Some(activation) => activation.apply(&y, Mode::Train),
            None => Ok(y),
        }
    }

    /// Some of the outputs, computed in f32; for a layer without a bias.
    pub(super) fn forward_some(&self, x: &Tensor, outputs: &Tensor) -> Result<Tensor, ModelError> {
        let exact = |tensor: &Tensor| tensor.to_dtype(DType::F32);
        let x = exact(x)?;
        let y = x.matmul(&exact(&self.weight.index_select(outputs, 0)?)?.t()?)?;
        let Some(LowRank { a, b, scale, .. }) = &self.low_rank else { return Ok(y) };
        Ok((y + (x.matmul(&exact(a)?.t()?)? * *scale)?.matmul(&exact(&b.index_select(outputs, 0)?)?.t()?)?)?)
    }

    /// The layer as one operation, where something is trained through it, but its weight is not.
    fn frozen(&self, x: &Tensor, mode: Mode) -> Option<Frozen> {
        let tracked = |tensor: &Tensor| tensor.track_op();
        let through = tracked(x) || self.low_rank.as_ref().is_some_and(|factors| tracked(&factors.a) || tracked(&factors.b));
        let whole = tracked(&self.weight) || self.bias.as_ref().is_some_and(tracked);
        (mode == Mode::Train && through && !whole).then(|| Frozen { weight: self.weight.clone(), bias: self.bias.clone() })
    }

    /// `[n, inputs]` to `[n, outputs]` without the bias.
    pub(super) fn product(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let mut y = x.matmul(&self.weight.t()?)?;
        if let Some(LowRank { a, b, scale, .. }) = &self.low_rank {
            y = (y + (x.matmul(&a.t()?)? * *scale)?.matmul(&b.t()?)?)?;
        }
        Ok(y)
    }
}

/// Whether the loops for the processor can be used: they write into `x`, which must be nobody else's.
fn on_cpu(x: &Tensor, mode: Mode) -> bool {
    mode == Mode::Infer && x.device().is_cpu() && x.dtype() == DType::F32 && x.is_contiguous()
}

/// `x + change`, where `change` is nobody else's.
pub(super) fn add(x: &Tensor, change: Tensor, mode: Mode) -> Result<Tensor, ModelError> {
    if on_cpu(&change, mode) && x.is_contiguous() {
        cpu::add(&change, x)?;
        return Ok(change);
    }
    Ok((x + change)?)
}

/// `activation(gate(x)) · up(x)`
pub(super) fn gated(gate: &Linear, up: &Linear, activation: Activation, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
    if (mode, activation) == (Mode::Train, Activation::Silu) {
        return Ok(differentiable::gated_silu(&gate.forward(x, mode)?, &up.forward(x, mode)?)?);
    }
    let (gate, up) = (gate.forward_then(x, Some(activation), mode)?, up.forward(x, mode)?);
    if on_cpu(&gate, mode) {
        cpu::multiply(&gate, &up)?;
        return Ok(gate);
    }
    Ok((gate * up)?)
}

/// RMS norm, or layer norm where there is a bias.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) eps: f32,
}

impl Norm {
    /// Normalises the last dimension of a contiguous tensor.
    pub(super) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        Ok(match (&self.bias, mode) {
            (None, Mode::Infer) => ops::rms_norm(x, &self.weight, self.eps)?,
            (bias, Mode::Train) => differentiable::norm(x, &self.weight, bias.as_ref(), self.eps)?,
            (Some(bias), Mode::Infer) => ops::layer_norm(x, &self.weight, bias, self.eps)?,
        })
    }
}

impl Activation {
    fn apply(self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        Ok(match self {
            Self::GeluTanh if mode == Mode::Train => differentiable::gelu_tanh(x)?,
            Self::Silu => x.silu()?,
            Self::QuickGelu => (x * ops::sigmoid(&(x * 1.702)?)?)?,
            Self::GeluTanh => Nonlinear::GeluPytorchTanh.forward(x)?,
            Self::Gelu => x.gelu_erf()?,
        })
    }
}

/// Turns the two halves of each head by its angles: `x` is `[batch, heads, tokens, width]`, `cos` and `sin` are
/// `[tokens, width / 2]`, or `[batch, tokens, width / 2]` where the rows differ.
pub(super) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
    if mode == Mode::Infer {
        return Ok(rotary_emb::rope(&x.contiguous()?, cos, sin)?);
    }
    let heads = cos.rank() - 2;
    let (cos, sin) = (cos.unsqueeze(heads)?, sin.unsqueeze(heads)?);
    let half = x.dim(D::Minus1)? / 2;
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let turned_second = (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?;
    Ok(Tensor::cat(&[turned_first, turned_second], D::Minus1)?)
}

fn softmax(x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
    if mode == Mode::Infer {
        return Ok(ops::softmax_last_dim(x)?);
    }
    let dtype = x.dtype();
    Ok(ops::softmax(&x.to_dtype(DType::F32)?, D::Minus1)?.to_dtype(dtype)?)
}

/// Attention: `query` is `[batch, heads, tokens, width]`, `key` and `value` `[batch, kv heads, keys, width]`, `mask` (added
/// to the scores) `[1 or batch, 1, tokens, keys]`. Returns `[batch, tokens, heads · width]`.
pub(super) fn attend(query: &Tensor, key: &Tensor, value: &Tensor, mask: Option<&Tensor>, mode: Mode) -> Result<Tensor, ModelError> {
    let (batch, heads, tokens, width) = query.dims4()?;
    let (kv_heads, keys) = (key.dim(1)?, key.dim(2)?);
    // Query heads that share a key head become further tokens of it, so that keys are never repeated.
    let shared = heads / kv_heads;
    let scale = 1.0 / (width as f64).sqrt();
    let mut query = query.reshape((batch, kv_heads, shared * tokens, width))?;
    let fused = on_cpu(&query, mode);
    if !fused {
        query = (query * scale)?;
    }
    let mut scores = query.matmul(&key.transpose(2, 3)?)?;
    if fused {
        cpu::softmax(&scores, scale as f32, mask)?;
    } else {
        if let Some(mask) = mask {
            scores = scores.reshape((batch, heads, tokens, keys))?.broadcast_add(mask)?;
            scores = scores.reshape((batch, kv_heads, shared * tokens, keys))?;
        }
        scores = softmax(&scores, mode)?;
    }
    let seen = scores.matmul(value)?;
    Ok(seen.reshape((batch, heads, tokens, width))?.transpose(1, 2)?.reshape((batch, tokens, heads * width))?)
}
