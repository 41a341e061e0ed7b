//! The forward passes on an NVIDIA GPU, made of matrix products and few kernels between them.
//!
//! Sums and norms wait for each other: what a part of a layer adds is kept apart until the next norm needs the sum.
//! Attention is one kernel where the program was built with `flash-attn`; elsewhere, and for branches that do not see
//! each other, scores are computed whole.

use candle_core::Tensor;

use super::cache::Cache;
use super::cuda::{Heads, Kernels};
use super::ops::{Linear, Mode, Norm};
use super::positions::Positions;
use super::text::{Layer, Text};
use super::vision::{Block, Group, Mlp, Vision};
use super::{Activation, Run};
use crate::model::ModelError;

/// Heads from this width on are worth a kernel of their own.
const WIDE_HEAD: usize = 64;

/// Whether attention over heads of this width is one kernel, which keeps no scores.
pub(super) fn in_one_kernel(width: usize) -> bool {
    cfg!(feature = "flash-attn") && width >= WIDE_HEAD
}

impl Norm {
    fn after(&self, kernels: &Kernels, x: &Tensor, change: Option<&Change<'_>>) -> Result<(Tensor, Tensor), ModelError> {
        let change = change.map(|change| (&change.values, change.bias));
        Ok(kernels.add_norm(x, change, (&self.weight, self.bias.as_ref(), self.eps))?)
    }
}

/// What is still to be added.
struct Change<'a> {
    values: Tensor,
    bias: Option<&'a Tensor>,
}

impl<'a> Change<'a> {
    fn of(layer: &'a Linear, x: &Tensor) -> Result<Self, ModelError> {
        Ok(Self { values: layer.product(x)?, bias: layer.bias.as_ref() })
    }

    fn added_to(&self, kernels: &Kernels, x: &Tensor) -> Result<Tensor, ModelError> {
        let change = match self.bias {
            Some(bias) => kernels.bias_activate(&self.values, Some(bias), None)?,
            None => self.values.clone(),
        };
        Ok((x + change)?)
    }
}

/// What the tokens of a pass see.
enum Looks {
    /// Everything before them.
    #[cfg(feature = "flash-attn")]
    Before,
    /// Ranges of slots, see [`Kernels::softmax_of_ranges`].
    Ranges { ends: Tensor, ranges: Tensor },
}

impl Text {
    /// Whether all parts have sizes that the kernels serve.
    pub(super) fn fuses(&self) -> bool {
        let config = &self.config;
        Kernels::fits(config.hidden) && config.intermediate.is_multiple_of(8) && config.head_dim.is_multiple_of(8)
    }

    /// The layers and the last norm: `x` is `[rows · tokens, hidden]`, and so is what comes out.
    pub(super) fn forward_fused(
        &self,
        kernels: &Kernels,
        x: &Tensor,
        placed: &[Positions],
        cache: &Cache,
        runs: Option<&[Vec<Run>]>,
        deep: &[Tensor],
    ) -> Result<Tensor, ModelError> {
        let (device, rows) = (x.device(), placed.len());
        let tokens = x.dim(0)? / rows;
        let padded = |row: &Positions| row.each.iter().copied().chain(std::iter::repeat([0; 3])).take(tokens).collect::<Vec<_>>();
        let positions: Vec<u32> = placed.iter().flat_map(padded).flatten().collect();
        let (frequencies, axes) = self.angles.tables(device)?;
        let (cos, sin) = kernels.angles(&Tensor::new(positions, device)?, &frequencies, &axes)?;
        let looks = self.looks(x, cache, rows, tokens, runs)?;
        let (mut x, mut change) = (x.clone(), None);
        for (index, layer) in self.layers.iter().enumerate() {
            let (sum, normed) = layer.input_norm.after(kernels, &x, change.as_ref())?;
            let projected = |part: &Linear| part.forward(&normed, Mode::Infer);
            let (query, key, value) = (projected(&layer.query)?, projected(&layer.key)?, projected(&layer.value)?);
            let heads = Heads {
                projected: [&query, &key, &value],
                norms: layer.head_norms.as_ref().map(|(query, key)| [&query.weight, &key.weight]),
                eps: layer.head_norms.as_ref().map_or(0.0, |(query, _)| query.eps),
                cos: &cos,
                sin: &sin,
                cache: cache.layer(index),
                start: cache.len(),
                count: self.config.heads,
            };
            let seen = attend(kernels, &heads, &looks)?;
            let attended = Change::of(&layer.output, &seen)?;
            let (sum, normed) = layer.mlp_norm.after(kernels, &sum, Some(&attended))?;
            let mut added = layer.inner(kernels, &normed)?;
            if let Some(features) = deep.get(index) {
                added.values = (added.values + features)?;
            }
            (x, change) = (sum, Some(added));
        }
        Ok(self.norm.after(kernels, &x, change.as_ref())?.1)
    }

    #[cfg_attr(not(feature = "flash-attn"), expect(clippy::unused_self, reason = "the heads' width decides with flash-attn"))]
    fn looks(&self, x: &Tensor, cache: &Cache, rows: usize, tokens: usize, runs: Option<&[Vec<Run>]>) -> Result<Looks, ModelError> {
        #[cfg(feature = "flash-attn")]
        if runs.is_none() && in_one_kernel(self.config.head_dim) && (0..rows).all(|row| !cache.filled(row).contains(&false)) {
            return Ok(Looks::Before);
        }
        let past = cache.len();
        let (mut ends, mut ranges) = (Vec::with_capacity(rows * tokens), Vec::new());
        let push = |ranges: &mut Vec<[u32; 2]>, ends: &mut Vec<u32>, seen: &[std::ops::Range<usize>], own: std::ops::Range<usize>| {
            let from = ranges.len();
            for range in seen.iter().cloned().chain([own]) {
                match ranges[from..].last_mut() {
                    Some(last) if last[1] as usize == range.start => last[1] = range.end as u32,
                    _ => ranges.push([range.start as u32, range.end as u32]),
                }
            }
            ends.push(ranges.len() as u32);
        };
        for row in 0..rows {
            match runs {
                None => {
                    let seen = cache.seen(row);
                    (0..tokens).for_each(|at| push(&mut ranges, &mut ends, &seen, past..past + at + 1));
                }
                Some(runs) => {
                    let mut start = 0;
                    for run in &runs[row] {
                        (0..run.ids.len()).for_each(|at| push(&mut ranges, &mut ends, &run.sees, past + start..past + start + at + 1));
                        start += run.ids.len();
                    }
                    // Padding sees itself, so that its scores are numbers.
                    (start..tokens).for_each(|at| push(&mut ranges, &mut ends, &[], past + at..past + at + 1));
                }
            }
        }
        let ranges = ranges.into_iter().flatten().collect::<Vec<_>>();
        Ok(Looks::Ranges { ends: Tensor::new(ends, x.device())?, ranges: Tensor::new(ranges, x.device())? })
    }
}

/// `[rows · tokens, heads · width]`
fn attend(kernels: &Kernels, heads: &Heads<'_>, looks: &Looks) -> Result<Tensor, ModelError> {
    let (places, half) = heads.cos.dims2()?;
    let (width, rows) = (2 * half, heads.cache.0.dim(0)?);
    let (count, tokens) = (heads.count, places / rows);
    let keys = heads.start + tokens;
    let scale = (width as f32).sqrt().recip();
    let (key, value) = (heads.cache.0.narrow(2, 0, keys)?, heads.cache.1.narrow(2, 0, keys)?);
    match looks {
        #[cfg(feature = "flash-attn")]
        Looks::Before => {
            let query = kernels.text_heads(heads, false)?;
            let seen = candle_flash_attn::flash_attn(&query, &key.transpose(1, 2)?, &value.transpose(1, 2)?, scale, true)?;
            Ok(seen.reshape((places, count * width))?)
        }
        Looks::Ranges { ends, ranges } => {
            let query = kernels.text_heads(heads, true)?;
            let kv_heads = key.dim(1)?;
            // Query heads that share a key head become further tokens of it, so that keys are never repeated.
            let shape = (rows, kv_heads, count / kv_heads * tokens);
            let scores = query.reshape((shape.0, shape.1, shape.2, width))?.matmul(&key.transpose(2, 3)?)?;
            let shares = kernels.softmax_of_ranges(&scores.reshape((rows, count, tokens, keys))?, ends, ranges, scale)?;
            let seen = shares.reshape((shape.0, shape.1, shape.2, keys))?.matmul(&value)?;
            Ok(seen.reshape((rows, count, tokens, width))?.transpose(1, 2)?.reshape((places, count * width))?)
        }
    }
}

impl Layer {
    fn inner(&self, kernels: &Kernels, normed: &Tensor) -> Result<Change<'_>, ModelError> {
        let (gate, up) = (self.gate.forward(normed, Mode::Infer)?, self.up.forward(normed, Mode::Infer)?);
        Change::of(&self.down, &kernels.gated(&gate, &up, Activation::Silu)?)
    }
}

impl Vision {
    /// Whether all parts have sizes that the kernels serve.
    pub(super) fn fuses(&self) -> bool {
        let config = &self.config;
        Kernels::fits(config.hidden) && config.intermediate.is_multiple_of(8) && (config.hidden / config.heads).is_multiple_of(16)
    }

    /// The blocks, of `[patches, hidden]`, and what the inner mergers make.
    pub(super) fn forward_fused(&self, kernels: &Kernels, x: &Tensor, groups: &[Group]) -> Result<(Tensor, Vec<Tensor>), ModelError> {
        let (mut x, mut change) = (x.clone(), None);
        let mut levels = Vec::new();
        let seen = Seen::new(groups, &x)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let (sum, normed) = block.norms[0].after(kernels, &x, change.as_ref())?;
            let attended = Change::of(&block.output, &self.attend(kernels, block, &normed, groups, &seen)?)?;
            let (sum, normed) = block.norms[1].after(kernels, &sum, Some(&attended))?;
            let added = match &block.mlp {
                Mlp::Plain { first, second } => {
                    let inner = kernels.bias_activate(&first.product(&normed)?, first.bias.as_ref(), Some(self.config.activation))?;
                    Change::of(second, &inner)?
                }
                Mlp::Gated { gate, up, down } => {
                    let (gate, up) = (gate.forward(&normed, Mode::Infer)?, up.forward(&normed, Mode::Infer)?);
                    Change::of(down, &kernels.gated(&gate, &up, self.config.activation)?)?
                }
            };
            if let Some((_, merger)) = self.deepstack.iter().find(|(after, _)| *after == index) {
                (x, change) = (added.added_to(kernels, &sum)?, None);
                levels.push(merger.forward(&x, &self.config, Mode::Infer)?);
            } else {
                (x, change) = (sum, Some(added));
            }
        }
        let x = match change {
            Some(change) => change.added_to(kernels, &x)?,
            None => x,
        };
        Ok((x, levels))
    }

    /// `[patches, hidden]`
    fn attend(&self, kernels: &Kernels, block: &Block, normed: &Tensor, groups: &[Group], seen: &Seen) -> Result<Tensor, ModelError> {
        let (heads, rows) = (self.config.heads, normed.dim(0)?);
        let width = self.config.hidden / heads;
        let joined = block.qkv.product(normed)?;
        let turned = kernels.room(joined.dims(), joined.dtype())?;
        for group in groups {
            let (start, count) = (group.rows.start, group.rows.len());
            let angles = group.layout.exact_angles();
            let (from, to) = (joined.narrow(0, start, count)?, turned.narrow(0, start, count)?);
            kernels.tower_heads(&from, block.qkv.bias.as_ref(), angles, heads, &to)?;
        }
        #[cfg(feature = "flash-attn")]
        if in_one_kernel(width) {
            let part = |nth| turned.reshape((rows, 3, heads, width))?.narrow(1, nth, 1)?.squeeze(1);
            let (ends, longest) = if block.windowed { &seen.windows } else { &seen.images };
            let scale = (width as f32).sqrt().recip();
            let (query, key, value) = (part(0)?, part(1)?, part(2)?);
            let out = candle_flash_attn::flash_attn_varlen(&query, &key, &value, ends, ends, *longest, *longest, scale, false)?;
            return Ok(out.reshape((rows, heads * width))?);
        }
        let _ = (seen, rows);
        let mut parts = Vec::with_capacity(groups.len());
        for group in groups {
            let shape = (group.images, group.layout.patches, 3, heads, width);
            let apart = turned.narrow(0, group.rows.start, group.rows.len())?.reshape(shape)?.permute((2, 0, 3, 1, 4))?.contiguous()?;
            parts.push(block.look(&self.config, &apart.get(0)?, &apart.get(1)?, &apart.get(2)?, group, Mode::Infer)?);
        }
        Ok(if let [one] = parts.as_slice() { one.clone() } else { Tensor::cat(&parts, 0)? })
    }
}

/// Where images and windows end among the patches, for attention over all of them at once: first and last places, as
/// cumulated lengths, and the longest.
struct Seen {
    #[cfg(feature = "flash-attn")]
    images: (Tensor, usize),
    #[cfg(feature = "flash-attn")]
    windows: (Tensor, usize),
}

impl Seen {
    #[cfg(feature = "flash-attn")]
    fn new(groups: &[Group], x: &Tensor) -> Result<Self, ModelError> {
        let cumulated = |lengths: Vec<usize>| -> Result<(Tensor, usize), ModelError> {
            let mut ends = vec![0_u32];
            for length in &lengths {
                ends.push(ends[ends.len() - 1] + *length as u32);
            }
            Ok((Tensor::new(ends, x.device())?, lengths.into_iter().max().unwrap_or(0)))
        };
        let images = groups.iter().flat_map(|group| std::iter::repeat_n(group.layout.patches, group.images)).collect();
        let windows = groups.iter().flat_map(|group| {
            let each = group.layout.windows.iter().flat_map(|windows| std::iter::repeat_n(windows.patches, windows.count));
            let each: Vec<usize> = each.collect();
            std::iter::repeat_n(each, group.images).flatten()
        });
        Ok(Self { images: cumulated(images)?, windows: cumulated(windows.collect())? })
    }

    #[cfg(not(feature = "flash-attn"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with flash-attn")]
    fn new(_: &[Group], _: &Tensor) -> Result<Self, ModelError> {
        Ok(Self {})
    }
}
