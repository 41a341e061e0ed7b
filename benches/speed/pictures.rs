//! Pictures that have something to see in them, no two alike.

use std::path::Path;

use image::RgbImage;
use rayon::prelude::*;

pub(crate) const SIDE: u32 = 448;

/// Slopes, a grid of discs, and noise.
pub(crate) fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let mixed = (x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ seed.wrapping_mul(83_492_791)).wrapping_mul(2_654_435_761);
        let (across, down) = ((x + seed * 7) % 56, (y + seed * 13) % 56);
        let disc = across.abs_diff(28).pow(2) + down.abs_diff(28).pow(2) < 200 + seed % 150;
        let noise = mixed >> 29;
        let base = if disc { 150 + seed % 64 } else { 40 + (x + y) / 8 };
        image::Rgb([(base + noise) as u8, (base / 2 + y / 5 + noise) as u8, (255 - base + noise) as u8])
    })
}

pub(crate) fn write(dir: &Path, names: impl Iterator<Item = String>) {
    std::fs::create_dir_all(dir.join("queries")).unwrap();
    let names: Vec<String> = names.collect();
    names.par_iter().enumerate().for_each(|(seed, name)| picture(seed as u32).save(dir.join(name)).unwrap());
}
