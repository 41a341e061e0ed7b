//! Moving pictures and what is known of places in them together.

use image::RgbImage;

/// The picture moved by `[right, down]` pixels; what comes in at the sides repeats the border.
pub(in crate::train) fn shifted(image: &RgbImage, by: [i32; 2]) -> RgbImage {
    if by == [0; 2] {
        return image.clone();
    }
    let (width, height) = (image.width() as i32, image.height() as i32);
    let row = width as usize * 3;
    let columns: Vec<usize> = (0..width).map(|x| (x - by[0]).clamp(0, width - 1) as usize * 3).collect();
    let mut out = Vec::with_capacity(image.len());
    for y in 0..height {
        let line = &image.as_raw()[(y - by[1]).clamp(0, height - 1) as usize * row..][..row];
        for from in &columns {
            out.extend_from_slice(&line[*from..*from + 3]);
        }
    }
    // The length is width · height · 3 by construction.
    RgbImage::from_raw(image.width(), image.height(), out).unwrap_or_default()
}
