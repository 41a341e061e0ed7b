//! Moving pictures: mirrored, turned, shifted.

use image::RgbImage;

use crate::domain::Symmetry;

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

/// The picture under a symmetry; a transposed one has its sides exchanged.
pub(in crate::train) fn turned(image: &RgbImage, symmetry: Symmetry) -> RgbImage {
    if symmetry == Symmetry::default() {
        return image.clone();
    }
    let (width, height) = image.dimensions();
    let (new_width, new_height) = if symmetry.transposed { (height, width) } else { (width, height) };
    RgbImage::from_fn(new_width, new_height, |x, y| {
        // Back the way that points go: mirroring first, the diagonal last.
        let x = if symmetry.mirrored { new_width - 1 - x } else { x };
        let y = if symmetry.flipped { new_height - 1 - y } else { y };
        let (x, y) = if symmetry.transposed { (y, x) } else { (x, y) };
        *image.get_pixel(x, y)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn marked(width: u32, height: u32, at: [u32; 2]) -> RgbImage {
        let mut image = RgbImage::from_pixel(width, height, Rgb([9; 3]));
        image.put_pixel(at[0], at[1], Rgb([255, 0, 0]));
        image
    }

    fn mark(image: &RgbImage) -> [u32; 2] {
        let (x, y, _) = image.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] == 255).unwrap();
        [x, y]
    }

    #[test]
    fn a_mark_goes_where_its_place_goes() {
        for symmetry in (0..8).map(Symmetry::numbered) {
            let turned = turned(&marked(30, 20, [4, 17]), symmetry);
            assert_eq!(turned.dimensions(), if symmetry.transposed { (20, 30) } else { (30, 20) });
            let [x, y] = symmetry.point([4.5 / 30.0, 17.5 / 20.0]);
            let expected = [(x * turned.width() as f32) as u32, (y * turned.height() as f32) as u32];
            assert_eq!(mark(&turned), expected, "{symmetry:?}");
        }
    }

    #[test]
    fn a_shift_moves_the_mark_and_repeats_the_border() {
        let image = shifted(&marked(30, 20, [4, 17]), [3, -5]);
        assert_eq!((mark(&image), image.dimensions()), ([7, 12], (30, 20)));
        let corner = shifted(&marked(30, 20, [0, 0]), [2, 0]);
        assert_eq!(corner.pixels().filter(|pixel| pixel.0[0] == 255).count(), 3);
    }
}
