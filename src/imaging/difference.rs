//! Where query and reference differ: the reference is moved onto the query, then what is left is amplified.
//!
//! The move is a shift, found on a pyramid of grey pictures: every shift of up to a twentieth of the side at the coarsest
//! level (so that repeated parts, such as neighbouring pins, cannot be taken for each other), one pixel round the best at
//! each finer level, and a parabola through the last costs for the part below a pixel. A shift must beat no shift clearly.

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, Luma, RgbImage};

use super::{Picture, flatten};

/// The longest side at which the shift is sought.
const FINEST: u32 = 512;
/// The longest side of the coarsest level.
const COARSEST: u32 = 64;
/// The largest shift, as a share of a side.
const FARTHEST: f32 = 0.05;
/// A shift is believed when its cost is at most this share of the cost of no shift.
const CLEARLY: f32 = 0.97;

/// How far each channel of query and reference lie apart, times `amplify`.
///
/// The reference is scaled to the query's size where they differ, and shifted by what [`shift`] finds; where it does not
/// reach, there is no difference. Transparent parts count as black.
pub fn difference(query: &Picture, reference: &Picture, amplify: f32) -> RgbImage {
    let size = (query.width(), query.height());
    let query = opaque(query);
    let reference = if (reference.width(), reference.height()) == size {
        opaque(reference)
    } else {
        opaque(&reference.resize_exact(size.0, size.1, FilterType::Triangle))
    };
    let by = shift(&query, &reference);
    RgbImage::from_fn(size.0, size.1, |x, y| {
        let here = query.get_pixel(x, y).0;
        let Some(there) = between(&reference, x as f32 - by.0, y as f32 - by.1) else { return image::Rgb([0; 3]) };
        image::Rgb(std::array::from_fn(|c| ((f32::from(here[c]) - there[c]).abs() * amplify).round().clamp(0.0, 255.0) as u8))
    })
}

/// The difference that a model is shown as a third image: as it is, so that training, prediction and export agree.
pub fn shown_difference(query: &Picture, reference: &Picture) -> RgbImage {
    difference(query, reference, 1.0)
}

/// By how many pixels (right, down) the reference must be moved to lie on the query; both have one size.
pub fn shift(query: &RgbImage, reference: &RgbImage) -> (f32, f32) {
    let (width, height) = query.dimensions();
    if (width, height) != reference.dimensions() || width.min(height) < 16 {
        return (0.0, 0.0);
    }
    let levels: Vec<(GrayImage, GrayImage)> = pyramid(query).into_iter().zip(pyramid(reference)).collect();
    let mut best = (0_i32, 0_i32);
    for (level, (query, reference)) in levels.iter().enumerate().rev() {
        let (w, h) = query.dimensions();
        let most = (((w as f32 * FARTHEST) as i32).max(1), ((h as f32 * FARTHEST) as i32).max(1));
        let coarsest = level + 1 == levels.len();
        let (start, reach) = if coarsest { ((0, 0), most) } else { ((best.0 * 2, best.1 * 2), (1, 1)) };
        let mut least = f32::INFINITY;
        for dy in start.1 - reach.1..=start.1 + reach.1 {
            for dx in start.0 - reach.0..=start.0 + reach.0 {
                let cost = apart(query, reference, (dx, dy));
                // Of equal ones, the shortest.
                if cost < least || (cost == least && dx * dx + dy * dy < best.0 * best.0 + best.1 * best.1) {
                    (least, best) = (cost, (dx, dy));
                }
            }
        }
    }
    let Some((small_query, small_reference)) = levels.first() else { return (0.0, 0.0) };
    let cost = |dx: i32, dy: i32| apart(small_query, small_reference, (dx, dy));
    let least = cost(best.0, best.1);
    if least > cost(0, 0) * CLEARLY {
        return (0.0, 0.0);
    }
    let fine = (
        best.0 as f32 + vertex(cost(best.0 - 1, best.1), least, cost(best.0 + 1, best.1)),
        best.1 as f32 + vertex(cost(best.0, best.1 - 1), least, cost(best.0, best.1 + 1)),
    );
    (fine.0 * width as f32 / small_query.width() as f32, fine.1 * height as f32 / small_query.height() as f32)
}

fn opaque(picture: &Picture) -> RgbImage {
    if picture.color().has_alpha() {
        let mut rgba = picture.to_rgba8();
        flatten(&mut rgba, [0; 3]);
        DynamicImage::ImageRgba8(rgba).into_rgb8()
    } else {
        picture.to_rgb8()
    }
}

/// Grey pictures from the finest used to the coarsest, each half of the one before.
fn pyramid(picture: &RgbImage) -> Vec<GrayImage> {
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let grey = image::imageops::grayscale(picture);
    let mut levels = vec![if longest > FINEST {
        let side = |side: u32| (side * FINEST / longest).max(1);
        image::imageops::thumbnail(&grey, side(width), side(height))
    } else {
        grey
    }];
    while let Some(last) = levels.last().filter(|last| last.width().max(last.height()) > COARSEST && last.width().min(last.height()) >= 32)
    {
        levels.push(half(last));
    }
    levels
}

fn half(picture: &GrayImage) -> GrayImage {
    GrayImage::from_fn(picture.width() / 2, picture.height() / 2, |x, y| {
        let sum: u16 = [(0, 0), (1, 0), (0, 1), (1, 1)].iter().map(|(i, j)| u16::from(picture.get_pixel(2 * x + i, 2 * y + j).0[0])).sum();
        Luma([((sum + 2) / 4) as u8])
    })
}

/// The mean distance where the shifted reference and the query overlap, each pixel's cut off so that a defect weighs little.
fn apart(query: &GrayImage, reference: &GrayImage, by: (i32, i32)) -> f32 {
    let (w, h) = (query.width() as i32, query.height() as i32);
    let columns = by.0.max(0)..(w + by.0).min(w);
    let rows = by.1.max(0)..(h + by.1).min(h);
    if columns.is_empty() || rows.is_empty() {
        return f32::INFINITY;
    }
    let (q, r) = (query.as_raw(), reference.as_raw());
    let mut sum = 0_u64;
    for y in rows.clone() {
        let here = (y * w + columns.start) as usize;
        let there = ((y - by.1) * w + columns.start - by.0) as usize;
        let row = q[here..here + columns.len()].iter().zip(&r[there..there + columns.len()]);
        sum += row.map(|(a, b)| u64::from(a.abs_diff(*b).min(64))).sum::<u64>();
    }
    sum as f32 / (columns.len() * rows.len()) as f32
}

/// Where the parabola through three costs is least, from -0.5 to 0.5 about the middle one.
fn vertex(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    if bend.is_finite() && bend > 1e-6 { ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5) } else { 0.0 }
}

/// The colour at a place between pixels; `None` outside.
fn between(picture: &RgbImage, x: f32, y: f32) -> Option<[f32; 3]> {
    let (w, h) = (picture.width(), picture.height());
    if x < 0.0 || y < 0.0 || x > (w - 1) as f32 || y > (h - 1) as f32 {
        return None;
    }
    let (left, top) = (x as u32, y as u32);
    let (right, bottom) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let at = |x, y| picture.get_pixel(x, y).0.map(f32::from);
    let (a, b, c, d) = (at(left, top), at(right, top), at(left, bottom), at(right, bottom));
    Some(std::array::from_fn(|i| (a[i] * (1.0 - fx) + b[i] * fx) * (1.0 - fy) + (c[i] * (1.0 - fx) + d[i] * fx) * fy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Soft hills without a period, so that there is one right shift.
    fn hills(width: u32, height: u32, by: (f32, f32)) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = (x as f32 - by.0, y as f32 - by.1);
            let v = 128.0 + 50.0 * (x * 0.13 + (y * 0.05).sin() * 2.0).sin() + 50.0 * (y * 0.11 + (x * 0.031).cos() * 3.0).cos();
            Rgb([v as u8, (v * 0.8) as u8, 90])
        })
    }

    #[test]
    fn finds_the_shift() {
        for by in [(0.0, 0.0), (5.0, -3.0), (2.5, 4.25), (-9.0, 7.0)] {
            let found = shift(&hills(240, 200, by), &hills(240, 200, (0.0, 0.0)));
            assert!((found.0 - by.0).abs() < 0.35 && (found.1 - by.1).abs() < 0.35, "{by:?}: {found:?}");
        }
        let large = |by| image::imageops::resize(&hills(300, 200, by), 1500, 1000, FilterType::Triangle);
        let found = shift(&large((2.4, 1.2)), &large((0.0, 0.0)));
        assert!((found.0 - 12.0).abs() < 1.0 && (found.1 - 6.0).abs() < 1.0, "{found:?}");
    }

    #[test]
    fn a_defect_stays_and_the_shift_goes() {
        let reference = DynamicImage::ImageRgb8(hills(200, 200, (0.0, 0.0)));
        let mut query = hills(200, 200, (4.0, 2.0));
        for (x, y) in (100..106).flat_map(|x| (50..56).map(move |y| (x, y))) {
            query.put_pixel(x, y, Rgb([255, 0, 255]));
        }
        let apart = difference(&DynamicImage::ImageRgb8(query), &reference, 4.0);
        let strong = |pixel: &Rgb<u8>| pixel.0.iter().any(|v| *v > 60);
        assert!(strong(apart.get_pixel(103, 53)));
        let elsewhere = apart.enumerate_pixels().filter(|(x, y, p)| strong(p) && !(98..108).contains(x) && !(48..58).contains(y)).count();
        assert!(elsewhere < 40, "{elsewhere}");
    }

    #[test]
    fn flat_tiny_and_unequal_pictures_are_no_trouble() {
        let flat = |w, h, v| DynamicImage::ImageLuma8(GrayImage::from_pixel(w, h, Luma([v])));
        assert!(difference(&flat(100, 80, 90), &flat(50, 50, 80), 3.0).pixels().all(|p| p.0 == [30; 3]));
        assert_eq!(difference(&flat(1, 1, 0), &flat(300, 2, 255), 1.0).get_pixel(0, 0).0, [255; 3]);
        assert_eq!(shift(&flat(17, 2000, 5).to_rgb8(), &flat(17, 2000, 5).to_rgb8()), (0.0, 0.0));
    }
}
