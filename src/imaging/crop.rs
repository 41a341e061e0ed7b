//! Which part of a picture is shown and how large: fitted, zoomed, panned; and its resampling to that size.
//!
//! Sizes on the screen are counted in *dots*: terminal pixels, or half cells where a terminal shows no pixels.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::imageops::FilterType as Slow;
use image::{DynamicImage, RgbaImage};

use super::Picture;

/// A small picture is fitted into a large room at no more than so many dots per pixel; a zoom may go further.
const LARGEST_FIT: f64 = 4.0;
/// A part of a picture is shown at no more than so many dots per pixel: larger, there is nothing more to see.
const LARGEST_PART: f64 = 12.0;
/// The largest zoom, in percent.
const LARGEST_ZOOM: u16 = 6400;

/// How large a picture is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Zoom {
    /// Whole, as large as there is room for.
    #[default]
    Fit,
    /// In percent of real pixels: at 100 one pixel of the image is one dot of the screen.
    Percent(u16),
    /// So that a part of so many thousandths of the image's width and of its height fills the room, with the proportions kept.
    Part(u16, u16),
}

/// What part of a picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// How large.
    pub zoom: Zoom,
    /// The middle of what is shown, as a share of the image's width and height. Kept inside when it is used.
    pub centre: (f32, f32),
}

impl View {
    /// A place, given by its corners as shares of the image, with its surroundings: `times` as wide and as high.
    pub fn around(corners: [(f64, f64); 4], times: f64) -> Self {
        let range = |along: fn((f64, f64)) -> f64| {
            let (low, high) = corners.map(along).iter().fold((1.0_f64, 0.0_f64), |(low, high), at| (low.min(*at), high.max(*at)));
            (low.midpoint(high), high - low)
        };
        let ((x, width), (y, height)) = (range(|at| at.0), range(|at| at.1));
        let thousandths = |length: f64| (length * times * 1000.0).round().clamp(1.0, 1000.0) as u16;
        Self { zoom: Zoom::Part(thousandths(width), thousandths(height)), centre: (x as f32, y as f32) }
    }
}

impl Default for View {
    fn default() -> Self {
        Self { zoom: Zoom::Fit, centre: (0.5, 0.5) }
    }
}

/// A part of an image and the size at which it is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Width and height of the whole image, in pixels.
    pub image: (u32, u32),
    /// Left, top, width and height of the part that is shown, in whole pixels of the image.
    pub part: (u32, u32, u32, u32),
    /// Width and height at which the part is shown, in dots.
    pub size: (u32, u32),
    /// Whether pixels are shown as they are, as squares, without smoothing.
    pub real_pixels: bool,
}

impl Frame {
    /// The frame of an image in a room of dots. `dot_aspect` is a dot's width over its height; a fitted picture keeps its
    /// proportions on the glass, while a zoomed one keeps every dot equal.
    pub fn new(image: (u32, u32), room: (u32, u32), dot_aspect: f64, view: View) -> Self {
        let image = (image.0.max(1), image.1.max(1));
        let room = (room.0.max(1), room.1.max(1));
        let (w, h) = (f64::from(image.0), f64::from(image.1));
        let aspect = if dot_aspect.is_finite() { dot_aspect.clamp(0.1, 10.0) } else { 1.0 };
        let filling = |w: f64, h: f64| (f64::from(room.0) * aspect / w).min(f64::from(room.1) / h);
        match view.zoom {
            Zoom::Fit => {
                let scale = filling(w, h).min(LARGEST_FIT);
                let side = |length: f64, room: u32| (length.round() as u32).clamp(1, room);
                let size = (side(w * scale / aspect, room.0), side(h * scale, room.1));
                Self { image, part: (0, 0, image.0, image.1), size, real_pixels: false }
            }
            Zoom::Part(width, height) => {
                let share = |thousandths: u16| f64::from(thousandths.clamp(1, 1000)) / 1000.0;
                let scale = filling((w * share(width)).max(1.0), (h * share(height)).max(1.0)).min(LARGEST_PART);
                let (x, width, dots_across) = span(image.0, room.0, scale / aspect, view.centre.0);
                let (y, height, dots_down) = span(image.1, room.1, scale, view.centre.1);
                Self { image, part: (x, y, width, height), size: (dots_across, dots_down), real_pixels: false }
            }
            Zoom::Percent(percent) => {
                let scale = f64::from(percent.clamp(1, LARGEST_ZOOM)) / 100.0;
                let (x, width, dots_across) = span(image.0, room.0, scale, view.centre.0);
                let (y, height, dots_down) = span(image.1, room.1, scale, view.centre.1);
                Self { image, part: (x, y, width, height), size: (dots_across, dots_down), real_pixels: percent >= 100 }
            }
        }
    }

    /// The middle of what is really shown, as a share of the image: where panning starts from.
    pub fn centre(&self) -> (f32, f32) {
        let middle = |start: u32, length: u32, whole: u32| (f64::from(start) + f64::from(length) / 2.0) / f64::from(whole);
        (middle(self.part.0, self.part.2, self.image.0) as f32, middle(self.part.1, self.part.3, self.image.1) as f32)
    }

    /// Where a place of the image (as a share of its width and height) lies, in dots from the top left of what is shown.
    /// It may lie outside.
    pub fn dot_at(&self, share: (f64, f64)) -> (f64, f64) {
        let dot = |share: f64, whole: u32, start: u32, length: u32, dots: u32| {
            (share * f64::from(whole) - f64::from(start)) * f64::from(dots) / f64::from(length)
        };
        (
            dot(share.0, self.image.0, self.part.0, self.part.2, self.size.0),
            dot(share.1, self.image.1, self.part.1, self.part.3, self.size.1),
        )
    }

    /// The place of the image, as a share of its width and height, that a dot shows; `None` outside of what is shown.
    pub fn share_at(&self, dot: (f64, f64)) -> Option<(f64, f64)> {
        let inside = |dot: f64, dots: u32| (0.0..=f64::from(dots)).contains(&dot);
        let share = |dot: f64, whole: u32, start: u32, length: u32, dots: u32| {
            (f64::from(start) + dot * f64::from(length) / f64::from(dots)) / f64::from(whole)
        };
        (inside(dot.0, self.size.0) && inside(dot.1, self.size.1)).then(|| {
            (
                share(dot.0, self.image.0, self.part.0, self.part.2, self.size.0),
                share(dot.1, self.image.1, self.part.1, self.part.3, self.size.1),
            )
        })
    }
}

/// Start and length of the pixels shown along one side, and the dots they take.
fn span(pixels: u32, room: u32, scale: f64, centre: f32) -> (u32, u32, u32) {
    let length = ((f64::from(room) / scale).floor() as u32).clamp(1, pixels);
    let centre = if centre.is_finite() { f64::from(centre).clamp(0.0, 1.0) } else { 0.5 };
    let start = (centre * f64::from(pixels) - f64::from(length) / 2.0).round().clamp(0.0, f64::from(pixels - length)) as u32;
    (start, length, ((f64::from(length) * scale).round() as u32).clamp(1, room))
}

/// The part of a picture that a frame shows, at the frame's size: Lanczos3 down, Catmull-Rom up, and nearest where
/// real pixels are asked for.
pub fn resample(picture: &Picture, frame: &Frame) -> RgbaImage {
    let (x, y, width, height) = frame.part;
    let algorithm = if frame.real_pixels {
        ResizeAlg::Nearest
    } else if frame.size.0 > width || frame.size.1 > height {
        ResizeAlg::Convolution(FilterType::CatmullRom)
    } else {
        ResizeAlg::Convolution(FilterType::Lanczos3)
    };
    let options = ResizeOptions::new().resize_alg(algorithm).crop(f64::from(x), f64::from(y), f64::from(width), f64::from(height));
    let mut small = DynamicImage::new(frame.size.0, frame.size.1, picture.color());
    if Resizer::new().resize(picture, &mut small, &options).is_err() {
        // A pixel format that the fast one does not know.
        small = picture.crop_imm(x, y, width, height).resize_exact(frame.size.0, frame.size.1, Slow::Triangle);
    }
    small.into_rgba8()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, Rgb, RgbImage};

    fn percent(percent: u16, centre: (f32, f32)) -> View {
        View { zoom: Zoom::Percent(percent), centre }
    }

    #[test]
    fn fits_with_its_proportions() {
        let fit = |image, room, aspect| Frame::new(image, room, aspect, View::default()).size;
        assert_eq!(fit((4000, 3000), (360, 360), 1.0), (360, 270));
        assert_eq!(fit((3000, 4000), (360, 360), 1.0), (270, 360));
        assert_eq!(fit((10, 10), (360, 360), 1.0), (40, 40));
        assert_eq!(fit((100_000, 1), (360, 360), 1.0), (360, 1));
        // Dots half as wide as high: twice as many across.
        assert_eq!(fit((100, 100), (400, 100), 0.5), (200, 100));
        assert_eq!(fit((0, 0), (0, 0), f64::NAN), (1, 1));
    }

    #[test]
    fn zooms_about_the_centre_and_stays_inside() {
        let frame = Frame::new((1000, 500), (100, 100), 1.0, percent(200, (0.5, 0.5)));
        assert_eq!((frame.part, frame.size), ((475, 225, 50, 50), (100, 100)));
        let frame = Frame::new((1000, 500), (100, 100), 1.0, percent(200, (0.0, 2.0)));
        assert_eq!(frame.part, (0, 450, 50, 50));
        assert_eq!(frame.centre(), (0.025, 0.95));
        // All of it is shown when it is smaller than the room.
        let frame = Frame::new((10, 20), (100, 100), 1.0, percent(300, (0.9, 0.9)));
        assert_eq!((frame.part, frame.size), ((0, 0, 10, 20), (30, 60)));
    }

    #[test]
    fn a_part_fills_the_room_with_its_proportions() {
        let part =
            |image, room, aspect, width, height, centre| Frame::new(image, room, aspect, View { zoom: Zoom::Part(width, height), centre });
        // 100 of 1,000 pixels across 200 dots; down, there is room for more.
        let frame = part((1000, 500), (200, 160), 1.0, 100, 100, (0.5, 0.5));
        assert_eq!((frame.part, frame.size), ((450, 210, 100, 80), (200, 160)));
        // Dots half as wide as high: as many pixels, twice as many dots across.
        let frame = part((1000, 500), (400, 160), 0.5, 100, 100, (0.5, 0.5));
        assert_eq!((frame.part, frame.size), ((450, 210, 100, 80), (400, 160)));
        // At the edge it stays inside; a tiny part is not blown up without end.
        assert_eq!(part((1000, 500), (200, 160), 1.0, 100, 100, (1.0, 0.0)).part, (900, 0, 100, 80));
        assert_eq!(part((1000, 500), (120, 120), 1.0, 1, 1, (0.5, 0.5)).part, (495, 245, 10, 10));
        assert_eq!(part((1, 1), (9, 9), f64::NAN, 0, 2000, (0.5, 0.5)).part, (0, 0, 1, 1));
    }

    #[test]
    fn a_place_is_seen_with_its_surroundings() {
        let view = View::around([(0.2, 0.4), (0.3, 0.4), (0.32, 0.6), (0.22, 0.6)], 1.5);
        assert_eq!(view.zoom, Zoom::Part(180, 300));
        assert!((view.centre.0 - 0.26).abs() < 1e-6 && (view.centre.1 - 0.5).abs() < 1e-6);
    }

    #[test]
    fn places_and_dots_read_back() {
        let frame = Frame::new((1000, 500), (120, 80), 1.0, percent(250, (0.3, 0.6)));
        let (x, y) = frame.dot_at(frame.share_at((17.0, 33.0)).unwrap());
        assert!((x - 17.0).abs() < 1e-9 && (y - 33.0).abs() < 1e-9);
        assert_eq!(frame.share_at((121.0, 3.0)), None);
    }

    #[test]
    fn real_pixels_are_squares() {
        let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(40, 40, |x, y| Rgb([x as u8, y as u8, 7])));
        let frame = Frame::new((40, 40), (30, 30), 1.0, percent(300, (0.5, 0.5)));
        let shown = resample(&picture, &frame);
        let (left, top, ..) = frame.part;
        for (x, y, pixel) in shown.enumerate_pixels() {
            assert_eq!(pixel.0, [(left + x / 3) as u8, (top + y / 3) as u8, 7, 255]);
        }
    }

    #[test]
    fn every_kind_of_pixel_is_resampled() {
        let deep = DynamicImage::ImageLuma16(ImageBuffer::from_pixel(64, 32, Luma([0x8080])));
        for picture in
            [deep.clone(), deep.to_rgba8().into(), deep.to_luma8().into(), deep.to_rgb32f().into(), deep.to_luma_alpha16().into()]
        {
            let frame = Frame::new((64, 32), (16, 16), 1.0, View::default());
            let small = resample(&picture, &frame);
            assert_eq!(small.dimensions(), (16, 8));
            assert!(small.pixels().all(|pixel| pixel.0 == [128, 128, 128, 255]), "{:?}", picture.color());
        }
    }
}
