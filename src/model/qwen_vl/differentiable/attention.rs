//! Attention whose gradient is written by hand.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{ops, rotary_emb};

use super::across;
#[cfg(feature = "cuda")]
use crate::model::qwen_vl::cuda::Kernels;
use crate::model::qwen_vl::gradient::known;

/// Whether attention sees what comes before by a kernel of our own, which wants no mask.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only a GPU has one"))]
pub(in crate::model::qwen_vl) fn sees_without_mask(like: &Tensor) -> bool {
    #[cfg(feature = "cuda")]
    return Kernels::of(like).is_some();
    #[cfg(not(feature = "cuda"))]
    false
}

/// Shares of scores `[batch, kv heads, shared · tokens, tokens]`.
fn shares(scores: &Tensor, looks: &Looks, (lines, tokens): (usize, usize)) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let (Some(kernels), true) = (Kernels::of(scores), looks.causal && looks.mask.is_none()) {
        return kernels.softmax_of_lines(scores, Some(tokens));
    }
    let Some(mask) = &looks.mask else {
        if looks.causal {
            candle_core::bail!("attention to what comes before, without a mask that says so");
        }
        return ops::softmax_last_dim(scores);
    };
    let plain = (lines, tokens * tokens);
    ops::softmax_last_dim(&(scores.reshape(plain)? + mask.broadcast_as(plain)?)?.reshape(scores.shape())?)
}

/// What attention needs besides queries, keys and values.
#[derive(Debug, Clone)]
pub(in crate::model::qwen_vl) struct Looks {
    /// Angles of queries and keys, `[tokens, width / 2]` or `[batch, tokens, width / 2]`.
    pub(in crate::model::qwen_vl) cos: Tensor,
    pub(in crate::model::qwen_vl) sin: Tensor,
    /// Whether a token sees only itself and what comes before it.
    pub(in crate::model::qwen_vl) causal: bool,
    /// What says so, added to the scores: `[batch · heads, tokens · tokens]` or with one row for all; none where nothing is
    /// hidden, and where [`sees_without_mask`].
    pub(in crate::model::qwen_vl) mask: Option<Tensor>,
}

/// Attention that has been computed, with what its gradient needs.
struct Seen {
    /// Turned, `[batch, heads, tokens, width]`; the queries scaled.
    query: Tensor,
    key: Tensor,
    value: Tensor,
    /// `[batch, kv heads, shared · tokens, tokens]`
    shares: Tensor,
    /// `[batch, heads, tokens, width]`
    out: Tensor,
    looks: Looks,
}

/// `[batch, tokens, heads, width]` to `[batch, heads, tokens, width]`, or back.
fn swap(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.contiguous()
}

impl Seen {
    /// Arguments are `[batch, heads, tokens, width]`, contiguous.
    fn compute(query: &Tensor, key: &Tensor, value: Tensor, looks: &Looks) -> Result<Self> {
        let (batch, heads, tokens, width) = query.dims4()?;
        let kv_heads = key.dim(1)?;
        let shared = heads / kv_heads;
        let query = (rotary_emb::rope(query, &looks.cos, &looks.sin)? * (1.0 / (width as f64).sqrt()))?;
        let key = rotary_emb::rope(key, &looks.cos, &looks.sin)?;
        // Query heads that share a key head are further tokens of it.
        let scores = query.reshape((batch, kv_heads, shared * tokens, width))?.matmul(&key.t()?)?;
        let shares = shares(&scores, looks, (batch * heads, tokens))?;
        let out = shares.matmul(&value)?.reshape((batch, heads, tokens, width))?;
        Ok(Self { query, key, value, shares, out, looks: looks.clone() })
    }

    /// Gradients of query, key and value from that of `out`.
    fn backward(&self, gradient: &Tensor) -> Result<[Tensor; 3]> {
        let (batch, heads, tokens, width) = self.query.dims4()?;
        let kv_heads = self.key.dim(1)?;
        let joined = (batch, kv_heads, heads / kv_heads * tokens, width);
        let rows = gradient.elem_count() / width;
        // What a softmax takes off each score's gradient is the same for a row: out · gradient. As a further column it is
        // part of the product that makes the scores' gradients; seven more columns keep rows aligned.
        let ones = Tensor::ones((width, 1), gradient.dtype(), gradient.device())?;
        let taken = (&self.out * gradient)?.reshape((rows, width))?.matmul(&ones)?.neg()?;
        let fill = |rows: usize| Tensor::zeros((rows, 7), gradient.dtype(), gradient.device());
        let left = Tensor::cat(&[gradient.reshape((rows, width))?, taken, fill(rows)?], 1)?;
        let keys = batch * kv_heads * tokens;
        let one = Tensor::ones((keys, 1), gradient.dtype(), gradient.device())?;
        let right = Tensor::cat(&[self.value.reshape((keys, width))?, one, fill(keys)?], 1)?;
        let left = left.reshape((batch, kv_heads, joined.2, width + 8))?;
        let right = right.reshape((batch, kv_heads, tokens, width + 8))?;
        let scores = (left.matmul(&right.t()?)? * &self.shares)?;
        let value = self.shares.t()?.matmul(&gradient.reshape(joined)?)?;
        let query = (scores.matmul(&self.key)? * (1.0 / (width as f64).sqrt()))?.reshape((batch, heads, tokens, width))?;
        let key = scores.t()?.matmul(&self.query.reshape(joined)?)?;
        // Turning back.
        let sin = self.looks.sin.neg()?;
        Ok([rotary_emb::rope(&query, &self.looks.cos, &sin)?, rotary_emb::rope(&key, &self.looks.cos, &sin)?, value])
    }
}

/// Attention of `[batch, tokens, heads, width]`, queries and keys turned by their angles; returns
/// `[batch, tokens, heads · width]`.
pub(in crate::model::qwen_vl) fn attend(query: &Tensor, key: &Tensor, value: &Tensor, looks: &Looks) -> Result<Tensor> {
    let (batch, tokens, heads, width) = query.dims4()?;
    let seen = Seen::compute(&swap(&query.detach())?, &swap(&key.detach())?, swap(&value.detach())?, looks)?;
    let out = swap(&seen.out)?.reshape((batch, tokens, heads * width))?;
    known([query, key, value], out, move |gradient| {
        let gradients = seen.backward(&swap(&gradient.reshape((batch, tokens, heads, width))?)?)?;
        let [query, key, value] = &gradients;
        Ok([Some(swap(query)?), Some(swap(key)?), Some(swap(value)?)])
    })
}

/// The same where queries, keys and values stand beside each other, `[batch · tokens, 3 · heads · width]`; returns
/// `[batch · tokens, heads · width]`.
pub(in crate::model::qwen_vl) fn attend_joined(qkv: &Tensor, batch: usize, heads: usize, looks: &Looks) -> Result<Tensor> {
    let (rows, wide) = qkv.dims2()?;
    let (tokens, width) = (rows / batch, wide / 3 / heads);
    let apart = qkv.detach().reshape((batch, tokens, 3, heads, width))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
    let seen = Seen::compute(&apart.get(0)?, &apart.get(1)?, apart.get(2)?, looks)?;
    let out = swap(&seen.out)?.reshape((rows, heads * width))?;
    known([qkv], out, move |gradient| {
        let [query, key, value] = seen.backward(&swap(&gradient.reshape((batch, tokens, heads, width))?)?)?;
        let all = Tensor::stack(&[query, key, value], 0)?.permute((1, 3, 0, 2, 4))?.contiguous()?;
        Ok([Some(all.reshape((rows, wide))?)])
    })
}

/// Minus infinity where a token stands before another, `[1, tokens · tokens]`, or a row for each of `copies`.
pub(in crate::model::qwen_vl) fn causal(tokens: usize, copies: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let ahead = (0..tokens).flat_map(|row| (0..tokens).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 }));
    let mask = Tensor::from_iter(ahead, device)?.to_dtype(dtype)?.reshape((1, tokens * tokens))?;
    // Adding without broadcasting is several times as fast on an accelerator, and the copies serve every layer.
    if device.is_cpu() { Ok(mask) } else { across(&mask, copies) }
}
