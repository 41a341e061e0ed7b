//! From linear light to an 8-bit sRGB picture: blur, vignetting, exposure, noise, tone.

use std::sync::LazyLock;

use image::RgbImage;

use super::canvas::Canvas;
use super::scene::Scene;
use super::texture::SENSOR;

/// Entries of the tone table per unit of the square root of light.
const STEPS: f32 = 2048.0;
/// Size of the tone table. A power of two, so that wrapping an index replaces a check.
const ENTRIES: usize = 4096;
/// The square root of the brightest light that is told apart.
const LIMIT: f32 = (ENTRIES - 1) as f32 / STEPS;

/// Tone curve from the square root of linear light to sRGB, with a shoulder that keeps highlights from clipping hard.
static TONE: LazyLock<Box<[u8; ENTRIES]>> = LazyLock::new(|| {
    Box::new(std::array::from_fn(|step| {
        let light = (step as f32 / STEPS).powi(2);
        let shoulder = 0.62;
        let room = 1.0 - shoulder;
        let soft = if light < shoulder { light } else { shoulder + room * (1.0 - (-(light - shoulder) / room).exp()) };
        let encoded = if soft <= 0.003_130_8 { 12.92 * soft } else { 1.055 * soft.powf(1.0 / 2.4) - 0.055 };
        (encoded * 255.0 + 0.5) as u8
    }))
});

/// Develops the picture.
pub(super) fn develop(mut canvas: Canvas, scene: &Scene) -> RgbImage {
    blur(&mut canvas, scene.lens.blur);
    let (width, height) = (canvas.width, canvas.height);
    let mut image = RgbImage::new(width as u32, height as u32);
    let (mut gain, mut grey, mut noise) = (vec![0.0; width], vec![0.0; width], vec![0.0; width]);
    let [noise_x, noise_y] = scene.lens.noise_offset;
    let (tone, sensor) = (&**TONE, &*SENSOR);
    for (y, line) in image.chunks_exact_mut(width * 3).enumerate() {
        vignette(scene, y, height, &mut gain);
        // A camera's own processing leaves more noise in brightness than in colour.
        grey.fill(0.0);
        sensor.add_row(noise_x, noise_y + y, scene.lens.noise, &mut grey);
        for (channel, plane) in canvas.planes().enumerate() {
            noise.copy_from_slice(&grey);
            sensor.add_row(noise_x + 97 * (channel + 1), noise_y + 53 * (channel + 1) + y, scene.lens.noise * 0.25, &mut noise);
            // Photon noise grows with the square root of light, so on that scale it is the same everywhere.
            for ((noise, light), gain) in noise.iter_mut().zip(&plane[y * width..]).zip(&gain) {
                *noise = ((light * gain).max(0.0).sqrt() + *noise).clamp(0.0, LIMIT) * STEPS;
            }
            for (pixel, value) in line.chunks_exact_mut(3).zip(&noise) {
                pixel[channel] = tone[*value as i32 as usize % ENTRIES];
            }
        }
    }
    image
}

/// Exposure and the loss of light towards the corners for row `y`.
fn vignette(scene: &Scene, y: usize, height: usize, gain: &mut [f32]) {
    let half = gain.len() as f32 / 2.0;
    let down = (y as f32 + 0.5 - height as f32 / 2.0) / half;
    let (exposure, loss) = (scene.lens.exposure, scene.lens.vignette);
    for (x, gain) in gain.iter_mut().enumerate() {
        let across = (x as f32 + 0.5 - half) / half;
        let distance = (across * across + down * down) / 1.18;
        *gain = exposure * (1.0 - loss * distance * (0.4 + 0.6 * distance));
    }
}

/// Gaussian blur of `sigma` pixels, along rows and then along columns.
fn blur(canvas: &mut Canvas, sigma: f32) {
    let reach = (sigma * 2.6).ceil().max(1.0) as usize;
    let weights: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    let weights: Vec<f32> = weights.iter().map(|weight| weight / total).collect();
    let (width, height) = (canvas.width, canvas.height);
    let mut across = vec![0.0; width * height];
    let mut padded = vec![0.0; width + 2 * reach];
    for plane in canvas.planes_mut() {
        for (row, out) in plane.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
            padded[..reach].fill(row[0]);
            padded[reach..reach + width].copy_from_slice(row);
            padded[reach + width..].fill(row[width - 1]);
            weigh(out, &weights, |offset| &padded[offset..offset + width], |offset| &padded[2 * reach - offset..][..width]);
        }
        for (y, out) in plane.chunks_exact_mut(width).enumerate() {
            let row = |y: usize| &across[y * width..][..width];
            weigh(out, &weights, |offset| row((y + offset).saturating_sub(reach)), |offset| row((y + reach - offset).min(height - 1)));
        }
    }
}

/// Sums a middle row and pairs of rows at equal distance, each pair under one weight. Both `before` and `after` take an
/// offset that counts from the farthest row (0) to the middle (`weights.len() - 1`).
fn weigh<'a>(out: &mut [f32], weights: &[f32], before: impl Fn(usize) -> &'a [f32], after: impl Fn(usize) -> &'a [f32]) {
    let reach = weights.len() - 1;
    for (out, middle) in out.iter_mut().zip(before(reach)) {
        *out = weights[0] * middle;
    }
    for (distance, &weight) in weights.iter().enumerate().skip(1) {
        let pair = before(reach - distance).iter().zip(after(reach - distance));
        for (out, (before, after)) in out.iter_mut().zip(pair) {
            *out += weight * (before + after);
        }
    }
}
