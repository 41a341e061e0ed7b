//! Sizes and resampling, bit for bit as the reference does them.

use image::RgbImage;
use rayon::prelude::*;

use crate::model::ModelError;

/// How much longer than wide an image may be.
const MOST_SLENDER: f64 = 200.0;
/// Fixed-point bits of a resampling weight.
const BITS: u32 = 32 - 8 - 2;

/// The size (width, height) to which an image is brought: both sides multiples of `factor`, the number of pixels within
/// `pixels` where that is possible, the shape nearly kept.
pub fn smart_resize(width: u32, height: u32, factor: u32, pixels: (u64, u64)) -> Result<(u32, u32), ModelError> {
    let wrong = |reason: String| ModelError::Image { width, height, reason };
    let (w, h, f) = (f64::from(width), f64::from(height), f64::from(factor));
    if width == 0 || height == 0 {
        return Err(wrong("no pixels".to_owned()));
    }
    if w.max(h) / w.min(h) > MOST_SLENDER {
        return Err(wrong(format!("one side is more than {MOST_SLENDER} times the other")));
    }
    let (least, most) = (pixels.0 as f64, pixels.1 as f64);
    // Half to even, as Python rounds.
    let (mut to_w, mut to_h) = ((w / f).round_ties_even() * f, (h / f).round_ties_even() * f);
    if to_w * to_h > most {
        let shrink = (w * h / most).sqrt();
        to_h = f.max((h / shrink / f).floor() * f);
        to_w = f.max((w / shrink / f).floor() * f);
    } else if to_w * to_h < least {
        let grow = (least / (w * h)).sqrt();
        to_h = (h * grow / f).ceil() * f;
        to_w = (w * grow / f).ceil() * f;
    }
    Ok((to_w as u32, to_h as u32))
}

/// For each output pixel: the first input pixel it looks at, and the weights of those from there on.
struct Taps {
    first: Vec<usize>,
    /// `width` weights per output pixel, fixed-point; those beyond the image are 0.
    weights: Vec<i32>,
    width: usize,
}

/// Cubic convolution with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn taps(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    // Shrinking widens the filter, so that every input pixel counts.
    let stretch = scale.max(1.0);
    let support = 2.0 * stretch;
    let width = support.ceil() as usize * 2 + 1;
    let mut taps = Taps { first: Vec::with_capacity(to), weights: vec![0; to * width], width };
    for (at, weights) in taps.weights.chunks_exact_mut(width).enumerate() {
        let center = (at as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let exact: Vec<f64> = (first..end).map(|x| cubic((x as f64 - center + 0.5) * (1.0 / stretch))).collect();
        let sum: f64 = exact.iter().sum();
        for (weight, exact) in weights.iter_mut().zip(&exact) {
            let share = if sum == 0.0 { *exact } else { exact / sum };
            let half = if share < 0.0 { -0.5 } else { 0.5 };
            *weight = (half + share * f64::from(1_u32 << BITS)) as i32;
        }
        taps.first.push(first);
    }
    taps
}

fn clip(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Resamples rows: `[height, from, 3]` to `[height, to, 3]`.
fn across(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let Taps { first, weights, width } = taps(from, to);
    let mut out = vec![0; pixels.len() / from * to];
    out.par_chunks_exact_mut(to * 3).zip(pixels.par_chunks_exact(from * 3)).for_each(|(out, row)| {
        for ((out, first), weights) in out.chunks_exact_mut(3).zip(&first).zip(weights.chunks_exact(width)) {
            let mut sums = [1_i32 << (BITS - 1); 3];
            for (pixel, weight) in row[first * 3..].chunks_exact(3).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = clip(sum);
            }
        }
    });
    out
}

/// Resamples columns: `[from, width, 3]` to `[to, width, 3]`.
fn down(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let taps = taps(from, to);
    let row = pixels.len() / from;
    let mut out = vec![0; row * to];
    out.par_chunks_exact_mut(row).enumerate().for_each(|(at, out)| {
        let mut sums = vec![1_i32 << (BITS - 1); row];
        let rows = pixels[taps.first[at] * row..].chunks_exact(row);
        for (pixels, weight) in rows.zip(&taps.weights[at * taps.width..(at + 1) * taps.width]) {
            for (sum, value) in sums.iter_mut().zip(pixels) {
                *sum += i32::from(*value) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = clip(sum);
        }
    });
    out
}

/// Whether the vertical pass comes first, as Pillow chooses from version 13 on (before, the horizontal one always did):
/// where the height loses more than twice as many pixels as the width.
fn rows_first((from_w, from_h): (usize, usize), (to_w, to_h): (usize, usize)) -> bool {
    to_h < from_h && from_h + 2 * to_w > to_h + 2 * from_w
}

/// Resamples with Pillow's bicubic filter on bytes, to the last bit: two passes in fixed point, clipped in between.
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_w, from_h) = (image.width() as usize, image.height() as usize);
    let (to_w, to_h) = (width as usize, height as usize);
    let pixels = image.as_raw();
    let out = match (from_w == to_w, from_h == to_h) {
        (true, true) => pixels.clone(),
        (true, false) => down(pixels, from_h, to_h),
        (false, true) => across(pixels, from_w, to_w),
        (false, false) if rows_first((from_w, from_h), (to_w, to_h)) => across(&down(pixels, from_h, to_h), from_w, to_w),
        (false, false) => down(&across(pixels, from_w, to_w), from_h, to_h),
    };
    // The length is width · height · 3 by construction.
    RgbImage::from_raw(width, height, out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_half_to_even() {
        let pixels = (4 * 28 * 28, 1280 * 28 * 28);
        assert_eq!(smart_resize(70, 42 * 4, 28, pixels).unwrap(), (56, 168));
        assert_eq!(smart_resize(98, 98, 28, pixels).unwrap(), (112, 112));
        assert_eq!(smart_resize(1, 1, 28, pixels).unwrap(), (56, 56));
        assert!(smart_resize(20_000, 99, 28, pixels).is_err());
        assert!(smart_resize(0, 99, 28, pixels).is_err());
        let (w, h) = smart_resize(20_000, 20_000, 28, pixels).unwrap();
        assert!(u64::from(w) * u64::from(h) <= pixels.1);
    }

    #[test]
    fn a_plain_image_stays_plain() {
        let image = RgbImage::from_pixel(37, 11, image::Rgb([255, 0, 7]));
        for (width, height) in [(1, 1), (37, 11), (12, 30), (100, 3)] {
            let out = resize_bicubic(&image, width, height);
            assert_eq!(out.dimensions(), (width, height));
            assert!(out.pixels().all(|pixel| pixel.0 == [255, 0, 7]));
        }
    }
}
