//! The vision towers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use super::again::Again;
use super::differentiable::{Looks, add_to_each, attend_joined};
use super::layout::Layout;
use super::ops::{Linear, Mode, Norm, Parts, add, attend, gated, rope};
use super::whole::look_up;
use super::{Activation, Tower, VisionConfig};
use crate::model::ModelError;
use crate::model::processor::{Grid, PixelPatches};

/// Added to variances in the tower, whatever the config says, as the reference has it.
const EPS: f64 = 1e-6;
/// The most scores (images · heads · patches²) that are computed at once.
const MOST_SCORES: usize = 1 << 29;
/// The same where scores are not kept: what else is computed takes memory too.
#[cfg(feature = "cuda")]
const MOST_SCORES_UNKEPT: usize = 1 << 31;
/// How many grids' tables are kept.
const KEPT_LAYOUTS: usize = 64;

/// What the tower made of an image.
#[derive(Debug, Clone)]
pub struct ImageEmbedding {
    /// The grid in patches.
    pub grid: Grid,
    /// `[tokens, hidden]` in the network's type: what stands at the placeholders.
    pub main: Tensor,
    /// Per early layer of the text model `[tokens, hidden]`: what is added to its output (Qwen3-VL).
    pub deepstack: Vec<Tensor>,
}

impl ImageEmbedding {
    /// A copy with memory of its own and without gradients, for keeping: what [`super::Model::embed_images`] returns holds
    /// on to the memory of all images that were computed together.
    pub fn to_keep(&self) -> Result<Self, ModelError> {
        let copy = |tensor: &Tensor| tensor.detach().copy();
        let deepstack = self.deepstack.iter().map(copy).collect::<Result<_, _>>()?;
        Ok(Self { grid: self.grid, main: copy(&self.main)?, deepstack })
    }
}

/// An image's pixels where the tower computes.
#[derive(Debug, Clone)]
pub struct PlacedPixels {
    /// The grid in patches.
    pub grid: Grid,
    /// `[patches, 3 · patch · patch]` of one frame, in the network's type.
    values: Tensor,
}

#[derive(Debug)]
pub(super) enum Mlp {
    Plain { first: Linear, second: Linear },
    Gated { gate: Linear, up: Linear, down: Linear },
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) norms: [Norm; 2],
    pub(super) qkv: Linear,
    pub(super) output: Linear,
    pub(super) mlp: Mlp,
    pub(super) windowed: bool,
}

/// Makes one token of `merge²` patches.
#[derive(Debug)]
pub(super) struct Merger {
    norm: Norm,
    /// Whether the norm sees the patches of a token together.
    together: bool,
    first: Linear,
    second: Linear,
}

#[derive(Debug)]
pub(super) struct Vision {
    pub(super) config: Arc<VisionConfig>,
    patches: Linear,
    /// The same for patches of one frame, of which the others would be repetitions.
    one_frame: Linear,
    /// Learned positions `[side², hidden]` (Qwen3-VL).
    positions: Option<Tensor>,
    pub(super) blocks: Vec<Arc<Block>>,
    merger: Merger,
    /// (after which block, merger)
    pub(super) deepstack: Vec<(usize, Merger)>,
    layouts: Mutex<BTreeMap<Grid, Arc<Layout>>>,
}

/// Images of one grid, computed together.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) images: usize,
    /// Rows (patches of all its images).
    pub(super) rows: Range<usize>,
    pub(super) layout: Arc<Layout>,
}

impl Vision {
    pub(super) fn new(config: &VisionConfig, parts: &Parts<'_>) -> Result<Self, ModelError> {
        let (hidden, out) = (config.hidden, config.out_hidden);
        let (patch, frames) = (config.patch, config.temporal_patch);
        let embed = parts.at("patch_embed.proj");
        let weight = embed.tensor("weight", &[hidden, 3, frames, patch, patch])?.reshape((hidden, config.patch_values()))?;
        let bias = if let Tower::Qwen3 { .. } = config.tower { Some(embed.tensor("bias", &[hidden])?) } else { None };
        let frame = weight.reshape((hidden, 3, frames, patch * patch))?.sum(2)?.reshape((hidden, 3 * patch * patch))?;
        let blocks = (0..config.depth).map(|layer| Ok(Arc::new(Block::new(config, layer, &parts.at(&format!("blocks.{layer}")))?)));
        let blocks = blocks.collect::<Result<_, ModelError>>()?;
        let wide = hidden * config.merge * config.merge;
        let merger = |name: &str, together: bool| -> Result<Merger, ModelError> {
            let here = parts.at(name);
            let width = if together { wide } else { hidden };
            let (norm, first, second) = match config.tower {
                Tower::Qwen2 => (here.layer_norm("ln_q", width, EPS)?, "mlp.0", "mlp.2"),
                Tower::Qwen25 { .. } => (here.rms_norm("ln_q", width, EPS)?, "mlp.0", "mlp.2"),
                Tower::Qwen3 { .. } => (here.layer_norm("norm", width, EPS)?, "linear_fc1", "linear_fc2"),
            };
            Ok(Merger { norm, together, first: here.linear(first, wide, wide, true)?, second: here.linear(second, wide, out, true)? })
        };
        let (positions, deepstack) = match &config.tower {
            Tower::Qwen3 { side, deepstack } => {
                let mergers = deepstack.iter().enumerate();
                let mergers = mergers.map(|(nth, layer)| Ok((*layer, merger(&format!("deepstack_merger_list.{nth}"), true)?)));
                (Some(parts.at("pos_embed").tensor("weight", &[side * side, hidden])?), mergers.collect::<Result<_, ModelError>>()?)
            }
            Tower::Qwen2 | Tower::Qwen25 { .. } => (None, Vec::new()),
        };
        Ok(Self {
            config: Arc::new(config.clone()),
            one_frame: Linear::with_bias(frame, bias.clone()),
            patches: Linear::with_bias(weight, bias),
            positions,
            blocks,
            merger: merger("merger", false)?,
            deepstack,
            layouts: Mutex::default(),
        })
    }

    pub(super) fn forward(
        &self,
        images: &[PixelPatches],
        dtype: DType,
        device: &Device,
        mode: Mode,
    ) -> Result<Vec<ImageEmbedding>, ModelError> {
        images.iter().try_for_each(|image| self.check(image))?;
        let mut done: Vec<Option<ImageEmbedding>> = vec![None; images.len()];
        for batch in self.batches(images.iter().map(|image| image.grid), &self.patches) {
            let mut pixels = Vec::new();
            for index in batch.iter().flat_map(|(_, members)| members) {
                pixels.extend_from_slice(&images[*index].values);
            }
            let rows = pixels.len() / self.config.patch_values();
            let pixels = Tensor::from_vec(pixels, (rows, self.config.patch_values()), device)?.to_dtype(dtype)?;
            self.forward_batch(&self.patches.forward(&pixels, mode)?, &batch, &mut done, mode)?;
        }
        Ok(done.into_iter().flatten().collect())
    }

    /// Brings pixels to the device: the first frame, of which the others are repetitions.
    pub(super) fn place_pixels(&self, image: PixelPatches, dtype: DType, device: &Device) -> Result<PlacedPixels, ModelError> {
        self.check(&image)?;
        let grid = image.grid;
        let (frame, frames) = (self.config.patch * self.config.patch, self.config.temporal_patch);
        let mut values = image.values;
        let kept = values.len() / frames;
        for nth in 0..kept / frame {
            values.copy_within(nth * frames * frame..(nth * frames + 1) * frame, nth * frame);
        }
        values.truncate(kept);
        let shape = (grid.patches(), kept / grid.patches());
        // The type first where it shrinks what travels to the device.
        let values = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        Ok(PlacedPixels { grid, values })
    }

    /// What becomes of placed pixels, without gradients.
    pub(super) fn forward_placed(&self, images: &[PlacedPixels]) -> Result<Vec<ImageEmbedding>, ModelError> {
        let mut done: Vec<Option<ImageEmbedding>> = vec![None; images.len()];
        for batch in self.batches(images.iter().map(|image| image.grid), &self.one_frame) {
            let pixels: Vec<&Tensor> = batch.iter().flat_map(|(_, members)| members).map(|index| &images[*index].values).collect();
            let pixels = if let [one] = pixels.as_slice() { (*one).clone() } else { Tensor::cat(&pixels, 0)? };
            self.forward_batch(&self.one_frame.forward(&pixels, Mode::Infer)?, &batch, &mut done, Mode::Infer)?;
        }
        Ok(done.into_iter().flatten().collect())
    }

    /// Which images are computed together, by grid.
    fn batches(&self, grids: impl Iterator<Item = Grid>, like: &Linear) -> Vec<Vec<(Grid, Vec<usize>)>> {
        let mut by_grid: BTreeMap<Grid, Vec<usize>> = BTreeMap::new();
        for (index, grid) in grids.enumerate() {
            by_grid.entry(grid).or_default().push(index);
        }
        // As many images at once as the memory for their scores allows.
        let mut batches: Vec<Vec<(Grid, Vec<usize>)>> = Vec::new();
        let most = self.most_scores(like);
        let mut scores = most;
        for (grid, members) in by_grid {
            let each = self.config.heads * grid.patches() * grid.patches();
            for some in members.chunks((most / each).max(1)) {
                scores += each * some.len();
                match batches.last_mut() {
                    Some(batch) if scores <= most => batch.push((grid, some.to_vec())),
                    _ => {
                        scores = each * some.len();
                        batches.push(vec![(grid, some.to_vec())]);
                    }
                }
            }
        }
        batches
    }

    /// The most scores at once: attention in one kernel keeps none of them.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unused_self, reason = "only a GPU has attention in one kernel"))]
    fn most_scores(&self, like: &Linear) -> usize {
        #[cfg(feature = "cuda")]
        if super::cuda::Kernels::of(like.weight()).is_some()
            && self.fuses()
            && super::fused::in_one_kernel(self.config.hidden / self.config.heads)
        {
            return MOST_SCORES_UNKEPT;
        }
        let _ = like;
        MOST_SCORES
    }

    fn check(&self, image: &PixelPatches) -> Result<(), ModelError> {
        let Grid { height, width } = image.grid;
        let whole = height > 0 && width > 0 && height % self.config.merge == 0 && width % self.config.merge == 0;
        if !whole || image.values.len() != height * width * self.config.patch_values() {
            let message = format!("{} pixel values for a grid of {height} x {width} patches", image.values.len());
            return Err(ModelError::Prompt(message));
        }
        Ok(())
    }

    /// All layers, of embedded patches `[patches of all images, hidden]`.
    fn forward_batch(
        &self,
        x: &Tensor,
        batch: &[(Grid, Vec<usize>)],
        done: &mut [Option<ImageEmbedding>],
        mode: Mode,
    ) -> Result<(), ModelError> {
        let device = x.device();
        let mut groups = Vec::new();
        let mut rows = 0;
        for (grid, members) in batch {
            let end = rows + members.len() * grid.patches();
            groups.push(Group { images: members.len(), rows: rows..end, layout: self.layout(*grid, device)? });
            rows = end;
        }
        let (main, levels) = self.compute(x, &groups, mode, None)?;
        let mut start = 0;
        for (grid, members) in batch {
            let tokens = grid.patches() / (self.config.merge * self.config.merge);
            for index in members {
                let part = |all: &Tensor| all.narrow(0, start, tokens);
                let deepstack = levels.iter().map(part).collect::<Result<_, _>>()?;
                done[*index] = Some(ImageEmbedding { grid: *grid, main: part(&main)?, deepstack });
                start += tokens;
            }
        }
        Ok(())
    }

    /// What the tower makes of `images` images of one grid, given as patches of one frame `[images · patches, values]`: the
    /// features `[tokens, out]`, and those of the inner layers. With `again`, blocks keep nothing but their inputs.
    pub(super) fn features(
        &self,
        grid: Grid,
        images: usize,
        patches: &Tensor,
        mode: Mode,
        again: Option<&Again>,
    ) -> Result<(Tensor, Vec<Tensor>), ModelError> {
        let layout = self.layout(grid, patches.device())?;
        let at_once = (self.most_scores(&self.one_frame) / (self.config.heads * grid.patches() * grid.patches())).max(1);
        let (mut main, mut levels) = (Vec::new(), vec![Vec::new(); self.deepstack.len()]);
        for start in (0..images).step_by(at_once) {
            let some = at_once.min(images - start);
            let group = Group { images: some, rows: 0..some * grid.patches(), layout: layout.clone() };
            let part = if some == images { patches.clone() } else { patches.narrow(0, start * grid.patches(), some * grid.patches())? };
            let (made, inner) = self.compute(&self.one_frame.forward(&part, mode)?, &[group], mode, again)?;
            main.push(made);
            levels.iter_mut().zip(inner).for_each(|(level, made)| level.push(made));
        }
        let join = |parts: &[Tensor]| if let [one] = parts { Ok(one.clone()) } else { Tensor::cat(parts, 0) };
        Ok((join(&main)?, levels.iter().map(|parts| join(parts)).collect::<Result<_, _>>()?))
    }

    /// All layers, of embedded patches.
    fn compute(&self, x: &Tensor, groups: &[Group], mode: Mode, again: Option<&Again>) -> Result<(Tensor, Vec<Tensor>), ModelError> {
        let x = each(groups, x, |part, group| self.place(part, group, mode))?;
        let (x, levels) = self.layers(x, groups, mode, again)?;
        let main = self.merger.forward(&x, &self.config, mode)?;
        Ok((each_token(groups, self.config.merge, &main, |part, group| group.layout.restore(part, group.images))?, levels))
    }

    /// The blocks, and what the inner mergers make.
    fn layers(&self, mut x: Tensor, groups: &[Group], mode: Mode, again: Option<&Again>) -> Result<(Tensor, Vec<Tensor>), ModelError> {
        #[cfg(feature = "cuda")]
        if let (Some(kernels), true, Mode::Infer) = (super::cuda::Kernels::of(&x), self.fuses(), mode) {
            return self.forward_fused(&kernels, &x, groups);
        }
        let angles = groups.iter().map(|group| group.layout.angles(x.dtype())).collect::<Result<Vec<_>, ModelError>>()?;
        let shared = again.map(|again| (again, Arc::new((groups.to_vec(), angles.clone()))));
        let mut levels = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            x = match &shared {
                None => block.forward(&self.config, &x, groups, &angles, mode)?,
                Some((again, shared)) => {
                    let (block, config, shared) = (block.clone(), self.config.clone(), shared.clone());
                    again.compute(&x, move |x| block.forward(&config, x, &shared.0, &shared.1, mode))?
                }
            };
            if let Some((_, merger)) = self.deepstack.iter().find(|(after, _)| *after == index) {
                levels.push(merger.forward(&x, &self.config, mode)?);
            }
        }
        Ok((x, levels))
    }

    /// Puts patches in the order in which the layers want them, and adds what says where they are.
    fn place(&self, x: &Tensor, group: &Group, mode: Mode) -> Result<Tensor, ModelError> {
        let x = group.layout.arrange(x, group.images)?;
        let (Some(table), Some(learned)) = (&self.positions, &group.layout.learned) else { return Ok(x) };
        let (patches, width) = (group.layout.patches, self.config.hidden);
        let corners = match mode {
            Mode::Infer => table.index_select(&learned.index, 0)?,
            Mode::Train => look_up(table, &learned.rows)?,
        };
        let corners = corners.to_dtype(DType::F32)?.broadcast_mul(&learned.weights)?;
        let there = corners.reshape((patches, 4, width))?.sum(1)?.to_dtype(x.dtype())?;
        if mode == Mode::Train {
            return Ok(add_to_each(&x, &there, group.images)?);
        }
        Ok(x.reshape((group.images, patches, width))?.broadcast_add(&there)?.reshape((group.images * patches, width))?)
    }

    fn layout(&self, grid: Grid, device: &Device) -> Result<Arc<Layout>, ModelError> {
        let mut kept = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = kept.get(&grid) {
            return Ok(layout.clone());
        }
        let layout = Arc::new(Layout::new(&self.config, grid, device)?);
        if kept.len() >= KEPT_LAYOUTS {
            kept.clear();
        }
        kept.insert(grid, layout.clone());
        Ok(layout)
    }
}

/// Applies `f` to the rows of each group.
fn each(groups: &[Group], x: &Tensor, f: impl Fn(&Tensor, &Group) -> Result<Tensor, ModelError>) -> Result<Tensor, ModelError> {
    each_token(groups, 1, x, f)
}

/// The same where `merge²` patches have become one row.
fn each_token(
    groups: &[Group],
    merge: usize,
    x: &Tensor,
    f: impl Fn(&Tensor, &Group) -> Result<Tensor, ModelError>,
) -> Result<Tensor, ModelError> {
    if let [group] = groups {
        return f(x, group);
    }
    let unit = merge * merge;
    let parts = groups.iter().map(|group| f(&x.narrow(0, group.rows.start / unit, group.rows.len() / unit)?, group));
    Ok(Tensor::cat(&parts.collect::<Result<Vec<_>, _>>()?, 0)?)
}

impl Block {
    fn new(config: &VisionConfig, layer: usize, parts: &Parts<'_>) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden, config.intermediate);
        let norm = |name| match config.tower {
            Tower::Qwen25 { .. } => parts.rms_norm(name, hidden, EPS),
            Tower::Qwen2 | Tower::Qwen3 { .. } => parts.layer_norm(name, hidden, EPS),
        };
        let (attention, mlp) = (parts.at("attn"), parts.at("mlp"));
        let plain = |first, second| -> Result<Mlp, ModelError> {
            Ok(Mlp::Plain { first: mlp.linear(first, hidden, inner, true)?, second: mlp.linear(second, inner, hidden, true)? })
        };
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            qkv: attention.linear("qkv", hidden, 3 * hidden, true)?,
            output: attention.linear("proj", hidden, hidden, true)?,
            mlp: match config.tower {
                Tower::Qwen2 => plain("fc1", "fc2")?,
                Tower::Qwen3 { .. } => plain("linear_fc1", "linear_fc2")?,
                Tower::Qwen25 { .. } => Mlp::Gated {
                    gate: mlp.linear("gate_proj", hidden, inner, true)?,
                    up: mlp.linear("up_proj", hidden, inner, true)?,
                    down: mlp.linear("down_proj", inner, hidden, true)?,
                },
            },
            windowed: matches!(&config.tower, Tower::Qwen25 { full_layers, .. } if !full_layers.contains(&layer)),
        })
    }

    fn forward(
        &self,
        config: &VisionConfig,
        x: &Tensor,
        groups: &[Group],
        angles: &[(Tensor, Tensor)],
        mode: Mode,
    ) -> Result<Tensor, ModelError> {
        let qkv = self.qkv.forward(&self.norms[0].forward(x, mode)?, mode)?;
        let mut seen = Vec::with_capacity(groups.len());
        for (group, angles) in groups.iter().zip(angles) {
            let part = if groups.len() == 1 { qkv.clone() } else { qkv.narrow(0, group.rows.start, group.rows.len())? };
            seen.push(self.attend(config, &part, group, angles, mode)?);
        }
        let seen = if let [one] = seen.as_slice() { one.clone() } else { Tensor::cat(&seen, 0)? };
        let x = add(x, self.output.forward(&seen, mode)?, mode)?;
        let normed = self.norms[1].forward(&x, mode)?;
        let change = match &self.mlp {
            Mlp::Plain { first, second } => second.forward(&first.forward_then(&normed, Some(config.activation), mode)?, mode)?,
            Mlp::Gated { gate, up, down } => down.forward(&gated(gate, up, config.activation, &normed, mode)?, mode)?,
        };
        add(&x, change, mode)
    }

    /// `[images · patches, 3 · hidden]` to `[images · patches, hidden]`.
    fn attend(
        &self,
        config: &VisionConfig,
        qkv: &Tensor,
        group: &Group,
        (cos, sin): &(Tensor, Tensor),
        mode: Mode,
    ) -> Result<Tensor, ModelError> {
        let (images, patches, heads) = (group.images, group.layout.patches, config.heads);
        let width = config.hidden / heads;
        if mode == Mode::Train && !self.windowed {
            return Ok(attend_joined(qkv, images, heads, &Looks { cos: cos.clone(), sin: sin.clone(), causal: false, mask: None })?);
        }
        let apart = qkv.reshape((images, patches, 3, heads, width))?.permute((2, 0, 3, 1, 4))?.contiguous()?;
        // Queries and keys turn together.
        let turning = apart.narrow(0, 0, 2)?.reshape((2 * images, heads, patches, width))?;
        let turned = rope(&turning, cos, sin, mode)?;
        let (query, key) = (turned.narrow(0, 0, images)?, turned.narrow(0, images, images)?);
        self.look(config, &query, &key, &apart.get(2)?, group, mode)
    }

    /// Attention over images or windows, of `[images, heads, patches, width]` each; returns `[images · patches, hidden]`.
    pub(super) fn look(
        &self,
        config: &VisionConfig,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        group: &Group,
        mode: Mode,
    ) -> Result<Tensor, ModelError> {
        let (images, heads, patches, width) = query.dims4()?;
        let seen = if self.windowed {
            let windows = group.layout.windows.iter().map(|windows| {
                let cut = |x: &Tensor| -> Result<Tensor, ModelError> {
                    let some = x.narrow(2, windows.start, windows.count * windows.patches)?;
                    let some = some.reshape((images, heads, windows.count, windows.patches, width))?.transpose(1, 2)?;
                    Ok(some.reshape((images * windows.count, heads, windows.patches, width))?)
                };
                let seen = attend(&cut(query)?, &cut(key)?, &cut(value)?, None, mode)?;
                Ok(seen.reshape((images, windows.count * windows.patches, config.hidden))?)
            });
            Tensor::cat(&windows.collect::<Result<Vec<_>, ModelError>>()?, 1)?
        } else {
            attend(query, key, value, None, mode)?
        };
        Ok(seen.reshape((images * patches, config.hidden))?)
    }
}

impl Merger {
    /// `[patches, hidden]` to `[patches / merge², out]`.
    pub(super) fn forward(&self, x: &Tensor, config: &VisionConfig, mode: Mode) -> Result<Tensor, ModelError> {
        let unit = config.merge * config.merge;
        let shape = (x.dim(0)? / unit, unit * config.hidden);
        let x = if self.together { self.norm.forward(&x.reshape(shape)?, mode)? } else { self.norm.forward(x, mode)?.reshape(shape)? };
        self.second.forward(&self.first.forward_then(&x, Some(Activation::Gelu), mode)?, mode)
    }
}
