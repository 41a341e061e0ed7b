//! Pictures of up to 256 colours: exact where there are no more, else Wu's cut in Oklab.

use std::collections::HashMap;

use image::RgbaImage;
use quantette::deps::palette::Srgb;
use quantette::{ImageRef, PaletteSize, Pipeline};

/// A picture of few colours.
pub(super) struct Indexed {
    /// The colours.
    pub(super) palette: Vec<[u8; 3]>,
    /// The colour of each dot, row by row. A transparent dot's index is the palette's length.
    pub(super) indices: Vec<u8>,
    /// Whether there are transparent dots.
    pub(super) clear: bool,
}

impl Indexed {
    /// Reduces a picture, whose dots are opaque or transparent, to at most `most` colours (transparency counts as one).
    pub(super) fn new(picture: &RgbaImage, most: u16) -> Self {
        let clear = picture.pixels().any(|pixel| pixel.0[3] < 128);
        let most = (usize::from(most).clamp(2, 256) - usize::from(clear)).max(1);
        Self::exact(picture, most, clear).unwrap_or_else(|| Self::reduced(picture, most, clear))
    }

    /// Whether a picture has no more colours than that, transparency counted as one.
    pub(super) fn is_exact(picture: &RgbaImage, most: u16) -> bool {
        let clear = picture.pixels().any(|pixel| pixel.0[3] < 128);
        Self::exact(picture, usize::from(most) - usize::from(clear), clear).is_some()
    }

    fn exact(picture: &RgbaImage, most: usize, clear: bool) -> Option<Self> {
        let mut places: HashMap<[u8; 3], u8> = HashMap::with_capacity(most);
        let mut palette = Vec::new();
        let mut indices = Vec::with_capacity(picture.len() / 4);
        let mut holes = Vec::new();
        let mut last = None;
        for pixel in picture.pixels() {
            let [r, g, b, a] = pixel.0;
            if a < 128 {
                holes.push(indices.len());
                indices.push(0);
                continue;
            }
            let colour = [r, g, b];
            let index = match last {
                Some((same, index)) if same == colour => index,
                _ => match places.get(&colour) {
                    Some(index) => *index,
                    None if palette.len() == most => return None,
                    None => {
                        let index = palette.len() as u8;
                        places.insert(colour, index);
                        palette.push(colour);
                        index
                    }
                },
            };
            last = Some((colour, index));
            indices.push(index);
        }
        for hole in holes {
            indices[hole] = palette.len() as u8;
        }
        Some(Self { palette, indices, clear })
    }

    fn reduced(picture: &RgbaImage, most: usize, clear: bool) -> Self {
        let pixels: Vec<Srgb<u8>> =
            picture.pixels().map(|p| if p.0[3] < 128 { Srgb::new(0, 0, 0) } else { Srgb::new(p.0[0], p.0[1], p.0[2]) }).collect();
        let size = PaletteSize::try_from(most as u16).unwrap_or(PaletteSize::MAX);
        let (palette, mut indices) = match ImageRef::new(picture.width(), picture.height(), &pixels) {
            Ok(image) => {
                let reduced = Pipeline::new().palette_size(size).ditherer(None).input_image(image).output_srgb8_indexed_image();
                (reduced.palette().iter().map(|c| [c.red, c.green, c.blue]).collect(), reduced.into_parts().1)
            }
            // The lengths agree, so this is never reached.
            Err(_) => (vec![[0; 3]], vec![0; pixels.len()]),
        };
        if clear {
            let hole = palette.len() as u8;
            for (index, pixel) in indices.iter_mut().zip(picture.pixels()) {
                if pixel.0[3] < 128 {
                    *index = hole;
                }
            }
        }
        Self { palette, indices, clear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn few_colours_stay_exact_and_many_are_near() {
        let drawing = RgbaImage::from_fn(20, 20, |x, _| Rgba([x as u8, 3, 4, if x == 7 { 0 } else { 255 }]));
        let few = Indexed::new(&drawing, 256);
        assert!(few.clear && few.palette.len() == 19);
        assert!(
            drawing.pixels().zip(&few.indices).all(|(p, i)| few.palette.get(usize::from(*i)).map_or(p.0[3] == 0, |c| c[..] == p.0[..3]))
        );
        let photo = RgbaImage::from_fn(100, 100, |x, y| Rgba([(x * 2) as u8, (y * 2) as u8, (x + y) as u8, if x < 10 { 0 } else { 255 }]));
        for most in [2_u16, 16, 256] {
            let many = Indexed::new(&photo, most);
            assert!(many.palette.len() < usize::from(most) && many.indices.len() == 10_000);
            assert!(photo.pixels().zip(&many.indices).all(|(p, i)| (p.0[3] == 0) == (usize::from(*i) == many.palette.len())));
        }
        assert_eq!(Indexed::new(&RgbaImage::new(3, 1), 256).indices, [0, 0, 0]);
    }
}
