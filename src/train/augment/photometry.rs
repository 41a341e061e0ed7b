//! Light, focus, noise and compression: what differs between two photographs of one thing.

use std::io::Cursor;
use std::sync::LazyLock;

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::boards::Dice;

/// How much the light and the file of a picture vary. Each picture draws its own changes within these bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Photometry {
    /// Brightness: a factor from 1 − `gain` to 1 + `gain`, and a tenth of that for each channel by itself.
    pub gain: f32,
    /// The exponent of the tone curve: from 1 − `gamma` to 1 + `gamma`.
    pub gamma: f32,
    /// Spread about the middle grey: a factor from 1 − `contrast` to 1 + `contrast`.
    pub contrast: f32,
    /// The share of pictures that are slightly out of focus, 0..=1.
    pub blurred: f32,
    /// The largest standard deviation of noise, in steps of 8-bit channels.
    pub noise: f32,
    /// The share of pictures that went through a JPEG file of quality 60 to 95, 0..=1.
    pub jpeg: f32,
}

impl Photometry {
    /// Changes nothing.
    pub const NONE: Self = Self { gain: 0.0, gamma: 0.0, contrast: 0.0, blurred: 0.0, noise: 0.0, jpeg: 0.0 };
    /// For pictures whose light was varied when they were drawn.
    pub const LIGHT: Self = Self { gain: 0.06, gamma: 0.06, contrast: 0.06, blurred: 0.15, noise: 2.0, jpeg: 0.7 };
    /// For photographs.
    pub const MILD: Self = Self { gain: 0.12, gamma: 0.12, contrast: 0.12, blurred: 0.25, noise: 4.0, jpeg: 0.3 };

    /// Draws changes and makes them.
    pub(in crate::train) fn apply(&self, image: &mut RgbImage, dice: &mut Dice) {
        if *self == Self::NONE {
            return;
        }
        self.tone(image, dice);
        if dice.chance(self.blurred) {
            blur(image, dice.range(0.05, 0.22));
        }
        let deviation = dice.range(0.0, self.noise);
        let start = dice.bits() as usize;
        if deviation > 0.25 {
            noise(image, deviation, start);
        }
        if dice.chance(self.jpeg) {
            let (quality, halved) = (60 + dice.pick(36) as u8, dice.chance(0.7));
            compress(image, quality, if halved { SamplingFactor::F_2_2 } else { SamplingFactor::F_1_1 });
        }
    }

    fn tone(&self, image: &mut RgbImage, dice: &mut Dice) {
        let (gain, gamma, contrast) = (1.0 + dice.around(self.gain), 1.0 + dice.around(self.gamma), 1.0 + dice.around(self.contrast));
        let tables: [[u8; 256]; 3] = std::array::from_fn(|_| {
            let gain = gain * (1.0 + dice.around(self.gain * 0.1));
            std::array::from_fn(|byte| {
                let value = (byte as f32 / 255.0).powf(gamma) * gain;
                (((value - 0.5) * contrast + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8
            })
        });
        for pixel in image.as_mut().chunks_exact_mut(3) {
            for (value, table) in pixel.iter_mut().zip(&tables) {
                *value = table[usize::from(*value)];
            }
        }
    }
}

/// Mixes each pixel with its neighbours along rows and then along columns, each neighbour with this weight (0..0.33).
fn blur(image: &mut RgbImage, weight: f32) {
    let side = (weight * 256.0).round().clamp(0.0, 85.0) as u16;
    let middle = 256 - 2 * side;
    let row = image.width() as usize * 3;
    let mix = |before: u8, here: u8, after: u8| ((u16::from(before) + u16::from(after)) * side + u16::from(here) * middle + 128) >> 8;
    if row < 9 || image.height() < 3 {
        return;
    }
    let pixels: &mut [u8] = image.as_mut();
    let mut across = pixels.to_vec();
    for (out, line) in across.chunks_exact_mut(row).zip(pixels.chunks_exact(row)) {
        for ((out, around), here) in out[3..row - 3].iter_mut().zip(line.windows(7)).zip(&line[3..]) {
            *out = mix(around[0], *here, around[6]) as u8;
        }
    }
    for ((out, above), (here, below)) in pixels[row..]
        .chunks_exact_mut(row)
        .zip(across.chunks_exact(row))
        .zip(across[row..].chunks_exact(row).zip(across[2 * row..].chunks_exact(row)))
    {
        for ((out, above), (here, below)) in out.iter_mut().zip(above).zip(here.iter().zip(below)) {
            *out = mix(*above, *here, *below) as u8;
        }
    }
}

/// A length without small factors, so that rows of a picture meet other parts of the noise.
const NOISE: usize = 65_521;

/// Noise of standard deviation 32.
static GRAIN: LazyLock<Vec<i8>> = LazyLock::new(|| {
    let mut dice = Dice::new(0, "grain of augmented pictures");
    (0..NOISE).map(|_| (dice.normal() * 32.0).round() as i8).collect()
});

fn noise(image: &mut RgbImage, deviation: f32, start: usize) {
    let factor = (deviation * 8.0).round() as i16;
    let grain = &GRAIN[..];
    let (mut rest, mut at): (&mut [u8], usize) = (image.as_mut(), start % NOISE);
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut(rest.len().min(NOISE - at));
        for (value, grain) in now.iter_mut().zip(&grain[at..]) {
            *value = (i16::from(*value) + ((i16::from(*grain) * factor + 128) >> 8)).clamp(0, 255) as u8;
        }
        (rest, at) = (later, 0);
    }
}

/// Puts the picture through a JPEG file; one that JPEG cannot hold stays as it is.
fn compress(image: &mut RgbImage, quality: u8, sampling: SamplingFactor) {
    let (Ok(width), Ok(height)) = (u16::try_from(image.width()), u16::try_from(image.height())) else { return };
    let mut file = Vec::with_capacity(image.len() / 8);
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(sampling);
    if encoder.encode(image.as_raw(), width, height, ColorType::Rgb).is_err() {
        return;
    }
    if let Ok(decoded) = JpegDecoder::new(Cursor::new(&file)).and_then(DynamicImage::from_decoder) {
        *image = decoded.into_rgb8();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn picture() -> RgbImage {
        RgbImage::from_fn(
            64,
            48,
            |x, y| if (20..30).contains(&x) && (10..22).contains(&y) { Rgb([230, 40, 60]) } else { Rgb([90, 100, 120]) },
        )
    }

    fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
        a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.as_raw().len() as f64
    }

    #[test]
    fn what_is_shown_stays_where_it_is() {
        for seed in 0..20 {
            let mut changed = picture();
            Photometry::MILD.apply(&mut changed, &mut Dice::new(seed, "test"));
            assert_eq!(changed.dimensions(), (64, 48));
            assert!(apart(&changed, &picture()) > 0.1 && apart(&changed, &picture()) < 40.0);
            let red = |x, y| i32::from(changed.get_pixel(x, y).0[0]) - i32::from(changed.get_pixel(x, y).0[1]);
            assert!(red(25, 16) > 60 && red(45, 35) < 30, "{seed}: {} {}", red(25, 16), red(45, 35));
        }
    }

    #[test]
    fn the_same_dice_make_the_same_picture_and_none_makes_none() {
        let make = |photometry: Photometry, seed| {
            let mut image = picture();
            photometry.apply(&mut image, &mut Dice::new(seed, "test"));
            image
        };
        assert_eq!(make(Photometry::LIGHT, 3), make(Photometry::LIGHT, 3));
        assert_ne!(make(Photometry::LIGHT, 3), make(Photometry::LIGHT, 4));
        assert_eq!(make(Photometry::NONE, 3), picture());
    }

    #[test]
    fn blur_keeps_the_mean_and_noise_has_the_deviation_asked_for() {
        let mut image = picture();
        blur(&mut image, 0.2);
        assert!(apart(&image, &picture()) > 0.3);
        assert_eq!(image.get_pixel(0, 0), picture().get_pixel(0, 0));
        let plain = RgbImage::from_pixel(200, 100, Rgb([128; 3]));
        let mut noisy = plain.clone();
        noise(&mut noisy, 4.0, 77);
        let variance = noisy.as_raw().iter().map(|v| (f64::from(*v) - 128.0).powi(2)).sum::<f64>() / noisy.as_raw().len() as f64;
        assert!((variance.sqrt() - 4.0).abs() < 0.3, "{}", variance.sqrt());
    }
}
