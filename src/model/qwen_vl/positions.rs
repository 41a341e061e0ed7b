//! Where tokens stand: time, height and width for the text model's rotation (M-RoPE), row and column for the tower's.

use super::{ImageEmbedding, Rotation};
use crate::model::ModelError;
use crate::model::processor::Grid;

/// Positions of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Per token: time, height and width.
    pub each: Vec<[u32; 3]>,
    /// Where the sequence goes on.
    pub next: u32,
}

/// The positions of tokens that begin at `start`: text counts on, an image's tokens stand at one time on a grid, and the
/// text after it goes on behind the grid's longer side.
///
/// `grids` are the images' grids in patches; `merge` patches along each side make one token.
pub fn positions(ids: &[u32], image_token: u32, grids: &[Grid], merge: usize, start: u32) -> Result<Positions, ModelError> {
    let mut each = Vec::with_capacity(ids.len());
    let mut next = start;
    let mut grids = grids.iter();
    while let Some(id) = ids.get(each.len()) {
        if *id != image_token {
            each.push([next; 3]);
            next += 1;
            continue;
        }
        let grid = grids.next().ok_or_else(|| ModelError::Prompt("more image placeholders than images".to_owned()))?;
        let (height, width) = (grid.height / merge, grid.width / merge);
        let there = ids[each.len()..].iter().take_while(|id| **id == image_token).count();
        if there < height * width {
            let message = format!("an image of {} tokens at {there} placeholders", height * width);
            return Err(ModelError::Prompt(message));
        }
        each.extend((0..height).flat_map(|row| (0..width).map(move |column| [next, next + row as u32, next + column as u32])));
        next += height.max(width) as u32;
    }
    match grids.count() {
        0 => Ok(Positions { each, next }),
        left => Err(ModelError::Prompt(format!("{left} images without placeholders"))),
    }
}

/// Grids of embedded images.
pub(super) fn grids(images: &[ImageEmbedding]) -> Vec<Grid> {
    images.iter().map(|image| image.grid).collect()
}

/// `1 / base^(2i / width)` for each `i` below `width / 2`.
pub(super) fn frequencies(base: f64, width: usize) -> Vec<f32> {
    (0..width / 2).map(|i| (1.0 / base.powf(2.0 * i as f64 / width as f64)) as f32).collect()
}

/// The text model's angles.
#[derive(Debug)]
pub(super) struct TextAngles {
    frequencies: Vec<f32>,
    /// Which of time, height and width turns a frequency.
    axes: Vec<u8>,
}

impl TextAngles {
    pub(super) fn new(rotation: &Rotation, head_dim: usize) -> Self {
        let frequencies = frequencies(rotation.theta, head_dim);
        let [time, height, width] = rotation.sections;
        let axis = |i: usize| match (rotation.interleaved, i % 3) {
            (true, 1) => u8::from(i < 3 * height),
            (true, 2) => 2 * u8::from(i < 3 * width),
            (true, _) => 0,
            (false, _) => u8::from(i >= time) + u8::from(i >= time + height),
        };
        let axes = (0..frequencies.len()).map(axis).collect();
        Self { frequencies, axes }
    }

    /// The frequencies, and which of time, height and width turns each.
    #[cfg(feature = "cuda")]
    pub(super) fn tables(&self, device: &candle_core::Device) -> Result<(candle_core::Tensor, candle_core::Tensor), ModelError> {
        let axes: Vec<u32> = self.axes.iter().copied().map(u32::from).collect();
        Ok((candle_core::Tensor::new(self.frequencies.as_slice(), device)?, candle_core::Tensor::new(axes, device)?))
    }

    /// Cosines and sines of a token's angles are appended.
    pub(super) fn push(&self, position: [u32; 3], cos: &mut Vec<f32>, sin: &mut Vec<f32>) {
        for (frequency, axis) in self.frequencies.iter().zip(&self.axes) {
            let (s, c) = (position[usize::from(*axis)] as f32 * frequency).sin_cos();
            cos.push(c);
            sin.push(s);
        }
    }
}
