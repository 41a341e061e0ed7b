//! What the tower needs to know of a grid of patches: where they stand, and which look at each other.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::positions::frequencies;
use super::{Tower, VisionConfig};
use crate::model::ModelError;
use crate::model::processor::Grid;

/// Windows of one size, standing one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windows {
    /// The first one's first patch.
    pub(super) start: usize,
    pub(super) count: usize,
    /// Patches of each.
    pub(super) patches: usize,
}

/// How a grid's learned positions follow from the table's: four corners per patch.
#[derive(Debug)]
pub(super) struct Learned {
    /// `[patches · 4]`
    pub(super) index: Tensor,
    /// The same beside the device.
    pub(super) rows: Vec<u32>,
    /// `[patches · 4, 1]`, f32
    pub(super) weights: Tensor,
}

/// Tables of one grid.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) patches: usize,
    /// `[patches, width of a head / 2]`, f32
    cos: Tensor,
    sin: Tensor,
    pub(super) learned: Option<Learned>,
    /// All windows, where the tower has windows.
    pub(super) windows: Vec<Windows>,
    order: Option<Order>,
}

/// Another order of the merge blocks (the patches that become one token), so that windows of one size are neighbours.
#[derive(Debug)]
struct Order {
    /// Patches of a block.
    unit: usize,
    /// Which block of the image comes at each place.
    there: Tensor,
    /// At which place each block of the image is.
    back: Tensor,
}

impl Layout {
    pub(super) fn new(config: &VisionConfig, grid: Grid, device: &Device) -> Result<Self, ModelError> {
        let merge = config.merge;
        let unit = merge * merge;
        let (blocks_down, blocks_across) = (grid.height / merge, grid.width / merge);
        let mut blocks: Vec<(usize, usize)> = (0..blocks_down).flat_map(|y| (0..blocks_across).map(move |x| (y, x))).collect();
        let mut windows = Vec::new();
        let mut order = None;
        if let Tower::Qwen25 { window, .. } = config.tower {
            let side = window / merge / config.patch;
            let by_size = windows_by_size(blocks_down, blocks_across, side);
            blocks.clear();
            for (size, members) in by_size {
                windows.push(Windows { start: blocks.len() * unit, count: members.len() / size, patches: size * unit });
                blocks.extend(members);
            }
            let there: Vec<u32> = blocks.iter().map(|(y, x)| (y * blocks_across + x) as u32).collect();
            let mut back = vec![0_u32; there.len()];
            for (place, block) in there.iter().enumerate() {
                back[*block as usize] = place as u32;
            }
            order = Some(Order { unit, there: Tensor::new(there, device)?, back: Tensor::new(back, device)? });
        }
        let places: Vec<(usize, usize)> =
            blocks.iter().flat_map(|(y, x)| (0..unit).map(move |inner| (y * merge + inner / merge, x * merge + inner % merge))).collect();
        let half = config.hidden / config.heads / 2;
        let frequencies = frequencies(config.rope_theta, half);
        let (mut cos, mut sin) = (Vec::with_capacity(places.len() * half), Vec::with_capacity(places.len() * half));
        for (row, column) in &places {
            for at in [row, column] {
                for frequency in &frequencies {
                    let (s, c) = (*at as f32 * frequency).sin_cos();
                    cos.push(c);
                    sin.push(s);
                }
            }
        }
        let learned = match config.tower {
            Tower::Qwen3 { side, .. } => Some(learned(side, grid, &places, device)?),
            Tower::Qwen2 | Tower::Qwen25 { .. } => None,
        };
        Ok(Self {
            patches: grid.patches(),
            cos: Tensor::from_vec(cos, (places.len(), half), device)?,
            sin: Tensor::from_vec(sin, (places.len(), half), device)?,
            learned,
            windows,
            order,
        })
    }

    /// Cosines and sines in f32.
    #[cfg(feature = "cuda")]
    pub(super) fn exact_angles(&self) -> (&Tensor, &Tensor) {
        (&self.cos, &self.sin)
    }

    /// Cosines and sines in the network's type.
    pub(super) fn angles(&self, dtype: DType) -> Result<(Tensor, Tensor), ModelError> {
        Ok((self.cos.to_dtype(dtype)?, self.sin.to_dtype(dtype)?))
    }

    /// `[images · patches, width]` from the images' order to the tower's.
    pub(super) fn arrange(&self, x: &Tensor, images: usize) -> Result<Tensor, ModelError> {
        match &self.order {
            None => Ok(x.clone()),
            Some(order) => pick(x, images, self.patches / order.unit, &order.there),
        }
    }

    /// `[images · tokens, width]` from the tower's order to the images'.
    pub(super) fn restore(&self, x: &Tensor, images: usize) -> Result<Tensor, ModelError> {
        match &self.order {
            None => Ok(x.clone()),
            Some(order) => pick(x, images, self.patches / order.unit, &order.back),
        }
    }
}

/// Reorders `blocks` equal blocks of rows in each of several images.
fn pick(x: &Tensor, images: usize, blocks: usize, index: &Tensor) -> Result<Tensor, ModelError> {
    let (rows, width) = x.dims2()?;
    let block = rows / images / blocks;
    Ok(x.reshape((images, blocks, block * width))?.index_select(index, 1)?.reshape((rows, width))?)
}

/// The blocks of each window (in rows of `side` blocks, smaller at the edges), windows of one size together.
fn windows_by_size(down: usize, across: usize, side: usize) -> BTreeMap<usize, Vec<(usize, usize)>> {
    let mut by_size: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for top in (0..down).step_by(side) {
        for left in (0..across).step_by(side) {
            let (bottom, right) = ((top + side).min(down), (left + side).min(across));
            let members = (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x)));
            by_size.entry((bottom - top) * (right - left)).or_default().extend(members);
        }
    }
    by_size
}

/// Bilinear, corners aligned, in f32 as the reference computes it.
fn learned(side: usize, grid: Grid, places: &[(usize, usize)], device: &Device) -> Result<Learned, ModelError> {
    let axis = |at: usize, size: usize| {
        let source = at as f32 * (side - 1) as f32 / (size - 1).max(1) as f32;
        let low = source.floor();
        let share = (source - low).abs();
        [
            ((low as usize).min(side - 1), (1.0 - share).max(0.0)),
            ((low as usize + 1).min(side - 1), (1.0 - (source - low - 1.0).abs()).max(0.0)),
        ]
    };
    let (mut index, mut weights) = (Vec::with_capacity(places.len() * 4), Vec::with_capacity(places.len() * 4));
    for (row, column) in places {
        for (y, y_weight) in axis(*row, grid.height) {
            for (x, x_weight) in axis(*column, grid.width) {
                index.push((y * side + x) as u32);
                weights.push(y_weight * x_weight);
            }
        }
    }
    let count = index.len();
    Ok(Learned { index: Tensor::new(index.as_slice(), device)?, rows: index, weights: Tensor::from_vec(weights, (count, 1), device)? })
}

#[cfg(test)]
mod tests {
    use super::windows_by_size;

    #[test]
    fn windows_at_the_edges_are_smaller() {
        let sizes: Vec<(usize, usize)> = windows_by_size(5, 6, 4).into_iter().map(|(size, members)| (size, members.len())).collect();
        assert_eq!(sizes, [(2, 2), (4, 4), (8, 8), (16, 16)]);
        let whole = windows_by_size(4, 8, 4);
        assert_eq!(whole[&16].len(), 32);
        assert_eq!(whole[&16][4], (1, 0));
        assert_eq!(whole[&16][16], (0, 4));
    }
}
