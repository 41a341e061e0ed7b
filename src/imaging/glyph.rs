//! Letters and digits of 5 by 7 dots, for names on pictures.

use image::{Rgba, RgbaImage};

/// Rows from the top, the leftmost dot in bit 4; digits, then letters.
#[rustfmt::skip]
const SHAPES: [[u8; 7]; 36] = [
    [14, 17, 19, 21, 25, 17, 14], [4, 12, 4, 4, 4, 4, 14], [14, 17, 1, 2, 4, 8, 31], [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2], [31, 16, 30, 1, 1, 17, 14], [6, 8, 16, 30, 17, 17, 14], [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14], [14, 17, 17, 15, 1, 2, 12],
    [14, 17, 17, 31, 17, 17, 17], [30, 17, 17, 30, 17, 17, 30], [14, 17, 16, 16, 16, 17, 14], [28, 18, 17, 17, 17, 18, 28],
    [31, 16, 16, 30, 16, 16, 31], [31, 16, 16, 30, 16, 16, 16], [14, 17, 16, 23, 17, 17, 15], [17, 17, 17, 31, 17, 17, 17],
    [14, 4, 4, 4, 4, 4, 14], [7, 2, 2, 2, 2, 18, 12], [17, 18, 20, 24, 20, 18, 17], [16, 16, 16, 16, 16, 16, 31],
    [17, 27, 21, 21, 17, 17, 17], [17, 17, 25, 21, 19, 17, 17], [14, 17, 17, 17, 17, 17, 14], [30, 17, 17, 30, 16, 16, 16],
    [14, 17, 17, 17, 21, 18, 13], [30, 17, 17, 30, 20, 18, 17], [15, 16, 16, 14, 1, 1, 30], [31, 4, 4, 4, 4, 4, 4],
    [17, 17, 17, 17, 17, 17, 14], [17, 17, 17, 17, 17, 10, 4], [17, 17, 17, 21, 21, 21, 10], [17, 17, 10, 4, 10, 17, 17],
    [17, 17, 17, 10, 4, 4, 4], [31, 1, 2, 4, 8, 16, 31],
];

/// How names are written.
pub(super) struct Glyphs {
    /// Dots of the picture per dot of a glyph.
    pub(super) scale: u32,
    /// The colour; each letter stands on a dark plate so that it is read on any picture.
    pub(super) colour: [u8; 3],
}

impl Glyphs {
    /// The width of a name, in dots.
    pub(super) fn width(&self, name: &str) -> u32 {
        (name.chars().filter(|c| shape(*c).is_some()).count() as u32 * 6 + 1) * self.scale
    }

    /// The height of a name, in dots.
    pub(super) fn height(&self) -> u32 {
        9 * self.scale
    }

    /// Writes a name with its top left at a place, moved so that all of it lies in the picture. Letters without a shape are left out.
    pub(super) fn write(&self, picture: &mut RgbaImage, at: (f64, f64), name: &str) {
        let (width, height) = (self.width(name), self.height());
        if width <= self.scale || width > picture.width() || height > picture.height() || !at.0.is_finite() || !at.1.is_finite() {
            return;
        }
        let left = at.0.round().clamp(0.0, f64::from(picture.width() - width)) as i64;
        let top = at.1.round().clamp(0.0, f64::from(picture.height() - height)) as i64;
        for (x, y) in (0..i64::from(width)).flat_map(|x| (0..i64::from(height)).map(move |y| (x, y))) {
            dot(picture, left + x, top + y, [0; 3], 170);
        }
        let scale = i64::from(self.scale);
        for (place, rows) in name.chars().filter_map(shape).enumerate() {
            for (x, y) in (0..5 * scale).flat_map(|x| (0..7 * scale).map(move |y| (x, y))) {
                if rows[(y / scale) as usize] >> (4 - x / scale) & 1 == 1 {
                    dot(picture, left + scale * (1 + 6 * place as i64) + x, top + scale + y, self.colour, 255);
                }
            }
        }
    }
}

fn shape(letter: char) -> Option<&'static [u8; 7]> {
    let index = letter.to_digit(36)?;
    SHAPES.get(index as usize)
}

/// Lays a colour on one dot, from 0 (not at all) to 255 (fully); outside of the picture nothing happens.
pub(super) fn dot(picture: &mut RgbaImage, x: i64, y: i64, colour: [u8; 3], strength: u16) {
    let inside = |at: i64, side: u32| u32::try_from(at).ok().filter(|at| *at < side);
    let (Some(x), Some(y)) = (inside(x, picture.width()), inside(y, picture.height())) else { return };
    let old = picture.get_pixel(x, y).0;
    let mix = |i: usize| ((u16::from(colour[i]) * strength + u16::from(old[i]) * (255 - strength)) / 255) as u8;
    picture.put_pixel(x, y, Rgba([mix(0), mix(1), mix(2), 255]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_name() {
        let mut picture = RgbaImage::new(13, 9);
        Glyphs { scale: 1, colour: [255; 3] }.write(&mut picture, (-5.0, 50.0), "u3傷");
        let rows: Vec<String> = picture.rows().map(|row| row.map(|p| if p.0[0] == 255 { '#' } else { '.' }).collect::<String>()).collect();
        let expected = [
            ".............",
            ".#...#.#####.",
            ".#...#....#..",
            ".#...#...#...",
            ".#...#....#..",
            ".#...#.....#.",
            ".#...#.#...#.",
            "..###...###..",
            ".............",
        ];
        assert_eq!(rows, expected);
        // Too small a picture, or nothing to write: left as it is.
        let mut small = RgbaImage::new(5, 5);
        Glyphs { scale: 1, colour: [255; 3] }.write(&mut small, (0.0, 0.0), "U3");
        Glyphs { scale: 1, colour: [255; 3] }.write(&mut small, (0.0, 0.0), "傷");
        assert_eq!(small, RgbaImage::new(5, 5));
    }
}
