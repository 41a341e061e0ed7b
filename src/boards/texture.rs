//! Noise tables, made once per process. Looking noise up costs a tenth of computing it.

use std::sync::LazyLock;

use super::dice::Dice;

const SIDE: usize = 256;
const TEXELS: usize = SIDE * SIDE;

/// A square of noise that repeats seamlessly every [`SIDE`] texels; mean 0, variance 1.
pub(super) struct Texture(Box<[f32; TEXELS]>);

/// Fine, even grain: bead-blasted or anodised metal.
pub(super) static GRAIN: LazyLock<Texture> = LazyLock::new(|| Texture::new("grain", &[(1.0, 1, 1), (0.6, 3, 3)]));
/// Long horizontal streaks of several lengths: brushed metal.
pub(super) static BRUSHED: LazyLock<Texture> =
    LazyLock::new(|| Texture::new("brushed", &[(1.0, 61, 1), (0.7, 19, 1), (0.5, 121, 3), (0.25, 1, 1)]));
/// Soft clouds about thirty texels wide.
pub(super) static CLOUDS: LazyLock<Texture> = LazyLock::new(|| Texture::new("clouds", &[(1.0, 31, 31), (0.4, 11, 11)]));
/// What is left of sensor noise after a camera's own processing: grain about a pixel and a half wide.
pub(super) static SENSOR: LazyLock<Texture> = LazyLock::new(|| Texture::new("sensor", &[(0.6, 1, 1), (1.0, 2, 2)]));

impl Texture {
    /// Sums layers of (weight, width, height): white noise averaged over a box of that many texels, twice.
    #[expect(clippy::large_stack_arrays, reason = "a quarter of a megabyte, four times per process")]
    fn new(purpose: &str, layers: &[(f32, usize, usize)]) -> Self {
        let mut dice = Dice::new(0, purpose);
        let mut sum = Box::new([0.0; TEXELS]);
        for &(weight, width, height) in layers {
            let mut layer: Vec<f32> = (0..TEXELS).map(|_| dice.normal()).collect();
            for _ in 0..2 {
                layer = averaged(&layer, width, 1);
                layer = averaged(&layer, height, SIDE);
            }
            normalise(&mut layer);
            for (total, value) in sum.iter_mut().zip(layer) {
                *total += weight * value;
            }
        }
        normalise(&mut sum[..]);
        Self(sum)
    }

    /// Value at (u, v) texels, interpolated. Any coordinates above −65536 are fine.
    #[inline]
    pub(super) fn at(&self, u: f32, v: f32) -> f32 {
        let (u, v) = (u + 65536.0, v + 65536.0);
        let (column, row) = (u as i32, v as i32);
        let (fu, fv) = (u - column as f32, v - row as f32);
        // The wrapping also tells the compiler that no index can leave the table.
        let texel = |row: i32, column: i32| self.0[(row as usize % SIDE) * SIDE + column as usize % SIDE];
        let (top, bottom) = (texel(row, column), texel(row + 1, column));
        let upper = top + (texel(row, column + 1) - top) * fu;
        let lower = bottom + (texel(row + 1, column + 1) - bottom) * fu;
        upper + (lower - upper) * fv
    }

    /// Value at `u` texels along row `v`, interpolated; a third of the work of [`Texture::at`].
    #[inline]
    pub(super) fn along(&self, u: f32, v: usize) -> f32 {
        let u = u + 65536.0;
        let column = u as i32;
        let texel = |column: i32| self.0[(v % SIDE) * SIDE + column as usize % SIDE];
        let first = texel(column);
        first + (texel(column + 1) - first) * (u - column as f32)
    }

    /// Fills `out` with values along a straight line from `from`, `step` texels apart, interpolated. Fixed-point places
    /// make this twice as fast as [`Texture::at`] for each.
    #[inline]
    pub(super) fn line(&self, from: [f32; 2], step: [f32; 2], out: &mut [f32]) {
        const ONE: f32 = 65536.0;
        let [mut u, mut v] = from.map(|value| (value * ONE) as i32);
        let [du, dv] = step.map(|value| (value * ONE) as i32);
        let texel = |row: i32, column: i32| self.0[(row as usize % SIDE) * SIDE + column as usize % SIDE];
        for out in out {
            let (column, row) = (u >> 16, v >> 16);
            let (fu, fv) = ((u & 0xffff) as f32 * (1.0 / ONE), (v & 0xffff) as f32 * (1.0 / ONE));
            let (top, bottom) = (texel(row, column), texel(row + 1, column));
            let upper = top + (texel(row, column + 1) - top) * fu;
            let lower = bottom + (texel(row + 1, column + 1) - bottom) * fu;
            *out = upper + (lower - upper) * fv;
            (u, v) = (u.wrapping_add(du), v.wrapping_add(dv));
        }
    }

    /// Adds `weight` times consecutive texels of row `v`, starting at `u`, to `row`.
    pub(super) fn add_row(&self, u: usize, v: usize, weight: f32, row: &mut [f32]) {
        let line = &self.0[v % SIDE * SIDE..][..SIDE];
        let mut start = u % SIDE;
        let mut rest = row;
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut(rest.len().min(SIDE - start));
            for (value, texel) in now.iter_mut().zip(&line[start..]) {
                *value += weight * texel;
            }
            (rest, start) = (later, 0);
        }
    }
}

/// Running mean over `count` texels that lie `step` apart: 1 for along a row, [`SIDE`] for down a column.
fn averaged(texels: &[f32], count: usize, step: usize) -> Vec<f32> {
    let stride = if step == 1 { SIDE } else { 1 };
    let mut out = vec![0.0; texels.len()];
    for line in 0..SIDE {
        let at = |i: usize| line * stride + (i % SIDE) * step;
        let mut sum: f32 = (0..count).map(|i| texels[at(i)]).sum();
        for i in 0..SIDE {
            out[at(i + count / 2)] = sum / count as f32;
            sum += texels[at(i + count)] - texels[at(i)];
        }
    }
    out
}

fn normalise(texels: &mut [f32]) {
    let count = texels.len() as f32;
    let mean = texels.iter().sum::<f32>() / count;
    let variance = texels.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    let factor = 1.0 / variance.sqrt().max(1e-9);
    for value in texels {
        *value = (*value - mean) * factor;
    }
}
