//! Brightness and contrast for looking, and transparency laid on a background.

use image::RgbaImage;

/// A nudge of brightness and contrast, each from -100 to 100. It changes what is shown, never what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Adjust {
    /// Added to every channel: 100 is half of the full range.
    pub brightness: i8,
    /// Spread about the middle grey: 100 is four times, -100 none.
    pub contrast: i8,
}

impl Adjust {
    /// Whether it changes nothing.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Applies it to the colours of a picture; transparency stays.
    pub fn apply(self, picture: &mut RgbaImage) {
        if self.is_none() {
            return;
        }
        let factor = ((100.0 + f32::from(self.contrast.clamp(-100, 100))) / 100.0).powi(2);
        let added = f32::from(self.brightness.clamp(-100, 100)) * 1.275;
        let table: [u8; 256] = std::array::from_fn(|v| ((v as f32 - 127.5) * factor + 127.5 + added).round().clamp(0.0, 255.0) as u8);
        for pixel in picture.pixels_mut() {
            for channel in &mut pixel.0[..3] {
                *channel = table[usize::from(*channel)];
            }
        }
    }
}

/// Lays a picture on a background, so that it is opaque afterwards.
pub fn flatten(picture: &mut RgbaImage, background: [u8; 3]) {
    for pixel in picture.pixels_mut() {
        let alpha = u32::from(pixel.0[3]);
        if alpha == 255 {
            continue;
        }
        for (channel, behind) in pixel.0.iter_mut().zip(background) {
            *channel = ((u32::from(*channel) * alpha + u32::from(behind) * (255 - alpha) + 127) / 255) as u8;
        }
        pixel.0[3] = 255;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn brighter_and_with_more_contrast() {
        let mut picture = RgbaImage::from_pixel(1, 1, Rgba([100, 128, 200, 7]));
        Adjust::default().apply(&mut picture);
        assert_eq!(picture.get_pixel(0, 0).0, [100, 128, 200, 7]);
        Adjust { brightness: 20, contrast: 0 }.apply(&mut picture);
        assert_eq!(picture.get_pixel(0, 0).0, [126, 154, 226, 7]);
        Adjust { brightness: 0, contrast: 100 }.apply(&mut picture);
        assert_eq!(picture.get_pixel(0, 0).0, [122, 234, 255, 7]);
        Adjust { brightness: -128, contrast: -128 }.apply(&mut picture);
        assert_eq!(picture.get_pixel(0, 0).0, [0, 0, 0, 7]);
    }

    #[test]
    fn transparency_shows_the_background() {
        let mut picture = RgbaImage::from_vec(3, 1, vec![9, 9, 9, 0, 200, 100, 0, 128, 1, 2, 3, 255]).unwrap();
        flatten(&mut picture, [0, 50, 255]);
        assert_eq!(picture.as_raw(), &[0, 50, 255, 255, 100, 75, 127, 255, 1, 2, 3, 255]);
    }
}
