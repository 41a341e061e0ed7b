//! Half blocks: each cell shows two dots, one above the other.

use image::RgbaImage;

use super::Depth;
use super::placement::Colour;

/// One cell: its symbol, foreground and background.
pub(super) type Block = (char, Colour, Colour);

/// The cells of a picture whose size is one by two dots per cell, row by row.
pub(super) fn blocks(picture: &RgbaImage, depth: Depth) -> Vec<Block> {
    let colour = |x: u32, y: u32| {
        let [r, g, b, a] = picture.get_pixel_checked(x, y)?.0;
        (a >= 128).then(|| match depth {
            Depth::True => Colour::Rgb(r, g, b),
            Depth::Palette => Colour::Indexed(nearest(r, g, b)),
            Depth::Sixteen => Colour::Indexed(nearest_of_sixteen([r, g, b])),
        })
    };
    let places = (0..picture.height().div_ceil(2)).flat_map(|row| (0..picture.width()).map(move |column| (column, row)));
    let cell = |(x, row): (u32, u32)| match (colour(x, row * 2), colour(x, row * 2 + 1)) {
        (Some(upper), Some(lower)) => ('▀', upper, lower),
        (Some(upper), None) => ('▀', upper, Colour::Default),
        (None, Some(lower)) => ('▄', lower, Colour::Default),
        (None, None) => (' ', Colour::Default, Colour::Default),
    };
    places.map(cell).collect()
}

/// xterm's first sixteen colours, which are the ones a terminal is most likely to show for them.
const SIXTEEN: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// The nearest of the 256 colours that do not depend on the user's theme: the 6 × 6 × 6 cube and the greys.
fn nearest(r: u8, g: u8, b: u8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |v: u8| (0..6_u8).min_by_key(|i| STEPS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let (i, j, k) = (step(r), step(g), step(b));
    let cube = ([STEPS[usize::from(i)], STEPS[usize::from(j)], STEPS[usize::from(k)]], 16 + 36 * i + 6 * j + k);
    let mean = (u16::from(r) + u16::from(g) + u16::from(b)) / 3;
    let shade = ((mean.saturating_sub(3)) / 10).min(23) as u8;
    let grey = ([8 + 10 * shade; 3], 232 + shade);
    if apart(grey.0, [r, g, b]) < apart(cube.0, [r, g, b]) { grey.1 } else { cube.1 }
}

fn nearest_of_sixteen(colour: [u8; 3]) -> u8 {
    (0..16_u8).min_by_key(|index| apart(SIXTEEN[usize::from(*index)], colour)).unwrap_or(0)
}

fn apart(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}
