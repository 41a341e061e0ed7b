//! Boxes in PaliGemma's steps: 1/1024 of the image's height and width.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Steps into which each side of an image is divided.
pub const LOC_STEPS: u16 = 1024;

/// A box on an image, corners included, in steps of 1/1024 of the image's sides (0 to 1023).
///
/// The unit is PaliGemma's `<locNNNN>` token, so that writing a box into an answer and reading it back changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BoundingBox {
    y1: u16,
    x1: u16,
    y2: u16,
    x2: u16,
}

impl BoundingBox {
    /// A box from steps; `None` when a side is turned round or lies outside.
    pub fn new(y1: u16, x1: u16, y2: u16, x2: u16) -> Option<Self> {
        (y1 <= y2 && x1 <= x2 && y2 < LOC_STEPS && x2 < LOC_STEPS).then_some(Self { y1, x1, y2, x2 })
    }

    /// A box from pixels of an image of that size; sides are clamped to the image. `None` when it is empty, turned
    /// round, not finite, or lies wholly outside.
    pub fn from_pixels(x1: f64, y1: f64, x2: f64, y2: f64, width: u32, height: u32) -> Option<Self> {
        let (w, h) = (f64::from(width), f64::from(height));
        let finite = [x1, y1, x2, y2].iter().all(|v| v.is_finite());
        if !finite || w < 1.0 || h < 1.0 || x1 >= x2 || y1 >= y2 || x2 <= 0.0 || y2 <= 0.0 || x1 >= w || y1 >= h {
            return None;
        }
        let step = |v: f64, side: f64| ((v * f64::from(LOC_STEPS) / side).round().max(0.0) as u16).min(LOC_STEPS - 1);
        Self::new(step(y1, h), step(x1, w), step(y2, h), step(x2, w))
    }

    /// `[x1, y1, x2, y2]` in pixels of an image of that size.
    pub fn to_pixels(self, width: u32, height: u32) -> [f64; 4] {
        let pixel = |v: u16, side: u32| f64::from(v) * f64::from(side) / f64::from(LOC_STEPS);
        [pixel(self.x1, width), pixel(self.y1, height), pixel(self.x2, width), pixel(self.y2, height)]
    }

    /// `[y1, x1, y2, x2]` in steps of 1/1024.
    pub fn steps(self) -> [u16; 4] {
        [self.y1, self.x1, self.y2, self.x2]
    }

    /// The middle, as a share of the width and of the height.
    pub fn centre(self) -> (f64, f64) {
        let middle = |a: u16, b: u16| f64::midpoint(f64::from(a), f64::from(b)) / f64::from(LOC_STEPS);
        (middle(self.x1, self.x2), middle(self.y1, self.y2))
    }

    /// The corners, clockwise from the top left, as shares of the width and of the height.
    pub fn corners(self) -> [(f64, f64); 4] {
        let share = |step: u16| f64::from(step) / f64::from(LOC_STEPS);
        let (left, top, right, bottom) = (share(self.x1), share(self.y1), share(self.x2), share(self.y2));
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    }

    /// How much of what two boxes cover they share: the area in both over the area in either, 0 to 1. Corner steps count
    /// as covered, so that a box of one step has an area.
    pub fn overlap(self, other: Self) -> f64 {
        let area = |y1: u16, x1: u16, y2: u16, x2: u16| {
            let side = |from: u16, to: u16| f64::from((to + 1).saturating_sub(from));
            side(y1, y2) * side(x1, x2)
        };
        let own = |of: Self| area(of.y1, of.x1, of.y2, of.x2);
        let both = area(self.y1.max(other.y1), self.x1.max(other.x1), self.y2.min(other.y2), self.x2.min(other.x2));
        both / (own(self) + own(other) - both)
    }

    /// The box written as `<locY1><locX1><locY2><locX2>`, spaces between allowed; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = [0_u16; 4];
        for step in &mut steps {
            rest = rest.trim_start().strip_prefix("<loc")?;
            let (digits, after) = rest.split_once('>')?;
            if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            *step = digits.parse().ok()?;
            rest = after;
        }
        let [y1, x1, y2, x2] = steps;
        rest.trim().is_empty().then(|| Self::new(y1, x1, y2, x2)).flatten()
    }
}

impl fmt::Display for BoundingBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps().iter().try_for_each(|step| write!(f, "<loc{step:04}>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_loc_tokens() {
        let b = BoundingBox::parse("<loc0123><loc0456> <loc0789><loc0999>").unwrap();
        assert_eq!(b.steps(), [123, 456, 789, 999]);
        assert_eq!(b.to_string(), "<loc0123><loc0456><loc0789><loc0999>");
        for wrong in [
            "",
            "<loc0123>",
            "<loc1024><loc0000><loc1024><loc0000>",
            "<loc0009><loc0000><loc0001><loc0000>",
            "<loc0001><loc0001><loc0002><loc0002>x",
            "<loc1><loc1><loc2><loc2>",
        ] {
            assert_eq!(BoundingBox::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn overlap_is_shared_over_covered() {
        let b = |y1, x1, y2, x2| BoundingBox::new(y1, x1, y2, x2).unwrap();
        assert_eq!(b(0, 0, 9, 9).overlap(b(0, 0, 9, 9)), 1.0);
        assert_eq!(b(0, 0, 9, 9).overlap(b(0, 5, 9, 14)), 50.0 / 150.0);
        assert_eq!(b(0, 0, 9, 9).overlap(b(10, 10, 19, 19)), 0.0);
        assert_eq!(b(5, 5, 5, 5).overlap(b(5, 5, 5, 5)), 1.0);
        assert_eq!(b(1023, 1023, 1023, 1023).overlap(b(0, 0, 1023, 1023)), 1.0 / (1024.0 * 1024.0));
    }

    #[test]
    fn pixels_come_back_on_small_images() {
        let b = BoundingBox::from_pixels(19.0, 21.0, 56.0, 51.0, 192, 192).unwrap();
        assert_eq!(b.to_pixels(192, 192).map(f64::round), [19.0, 21.0, 56.0, 51.0]);
        assert_eq!(BoundingBox::from_pixels(5.0, 5.0, 5.0, 9.0, 10, 10), None);
        assert_eq!(BoundingBox::from_pixels(20.0, 5.0, 25.0, 9.0, 10, 10), None);
        assert_eq!(BoundingBox::from_pixels(f64::NAN, 5.0, 25.0, 9.0, 10, 10), None);
        assert_eq!(BoundingBox::from_pixels(-3.0, 0.0, 99.0, 10.0, 10, 10).unwrap().steps(), [0, 0, 1023, 1023]);
    }
}
