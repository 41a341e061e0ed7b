//! Printed circuits in two colours: drawn ones, and defects on drawn or photographed ones, with the truth about each.
//!
//! A pair of pictures of one circuit shows the same copper, moved by a pixel or two and with other edges. A defect is
//! what a brush leaves: copper on the ground (short, spur, copper) or ground on the copper (open, mousebite, pin-hole).
//! Each of the latter is one of the former on the negative, and is drawn as such.

mod brush;
mod layout;
mod press;
mod regions;

use image::{Rgb, RgbImage};

use super::dice::Dice;
use crate::domain::Symmetry;

/// What can be wrong with a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CircuitMode {
    /// A conductor is cut.
    Open,
    /// Two conductors touch.
    Short,
    /// A conductor's edge has a bite.
    MouseBite,
    /// A conductor's edge has a thorn.
    Spur,
    /// Copper where there should be none.
    Copper,
    /// A hole in the copper.
    PinHole,
}

impl CircuitMode {
    /// All modes.
    pub const ALL: [Self; 6] = [Self::Open, Self::Short, Self::MouseBite, Self::Spur, Self::Copper, Self::PinHole];

    /// The id used in labels.
    pub fn id(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Short => "short",
            Self::MouseBite => "mousebite",
            Self::Spur => "spur",
            Self::Copper => "copper",
            Self::PinHole => "pin-hole",
        }
    }

    /// Whether copper is missing rather than too much.
    fn is_negative(self) -> bool {
        matches!(self, Self::Open | Self::MouseBite | Self::PinHole)
    }
}

/// How far a defect's box reaches beyond what changed, in pixels: as wide as people draw it.
const MARGIN: u32 = 10;
/// The shortest side of a circuit that can have defects, in pixels.
const SMALLEST: u32 = 48;

/// A picture of a circuit: dark where there is copper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuit {
    width: u32,
    height: u32,
    copper: Vec<bool>,
}

impl Circuit {
    /// A circuit without copper.
    fn empty(width: u32, height: u32) -> Self {
        Self { width, height, copper: vec![false; (width * height) as usize] }
    }

    /// The circuit that a picture shows: what is darker than the middle grey is copper.
    pub fn of_image(image: &RgbImage) -> Self {
        let dark = |pixel: &Rgb<u8>| pixel.0.iter().map(|value| u16::from(*value)).sum::<u16>() < 3 * 128;
        Self { width: image.width(), height: image.height(), copper: image.pixels().map(dark).collect() }
    }

    /// The circuit in black on white.
    pub fn to_image(&self) -> RgbImage {
        let pixels = self.copper.iter().flat_map(|copper| [if *copper { 0 } else { 255 }; 3]).collect();
        // The length is width · height · 3 by construction.
        RgbImage::from_raw(self.width, self.height, pixels).unwrap_or_default()
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Draws a good circuit, `side` pixels wide and high: conductors, pads, holes, areas. The same seed draws the same.
    pub fn draw(seed: u64, side: u32) -> Self {
        layout::draw(&mut Dice::new(seed, "circuit"), side.clamp(SMALLEST, 4096))
    }

    /// The same circuit pictured again: moved by up to three pixels, the edges otherwise frayed.
    #[must_use]
    pub fn retaken(&self, seed: u64) -> Self {
        press::retake(self, &mut Dice::new(seed, "another picture"))
    }

    /// The circuit with a defect, and the box `[x1, y1, x2, y2]` in pixels around it; `None` where the defect finds no
    /// place.
    pub fn spoilt(&self, mode: CircuitMode, seed: u64) -> Option<(Self, [u32; 4])> {
        if self.width.min(self.height) < SMALLEST {
            return None;
        }
        let mut dice = Dice::new(seed, mode.id());
        let mut spoilt = self.clone();
        if mode.is_negative() {
            spoilt.invert();
        }
        let changed = match mode {
            // A conductor's end is cut off within one ground.
            CircuitMode::Short | CircuitMode::Open => brush::bridge(&mut spoilt, &mut dice, mode == CircuitMode::Open),
            CircuitMode::Spur | CircuitMode::MouseBite => brush::bump(&mut spoilt, &mut dice),
            CircuitMode::Copper | CircuitMode::PinHole => brush::blot(&mut spoilt, &mut dice),
        }?;
        if mode.is_negative() {
            spoilt.invert();
        }
        let [x1, y1, x2, y2] = changed;
        let area = [x1.saturating_sub(MARGIN), y1.saturating_sub(MARGIN), (x2 + MARGIN).min(self.width), (y2 + MARGIN).min(self.height)];
        Some((spoilt, area))
    }

    /// The circuit without its defect: what lies in the box `[x1, y1, x2, y2]` is taken from a good picture of it, moved
    /// to where it fits best. `None` where the pictures have different sizes.
    pub fn healed(&self, good: &Self, area: [u32; 4]) -> Option<Self> {
        press::heal(self, good, area)
    }

    /// The circuit mirrored or turned.
    #[must_use]
    pub fn turned(&self, symmetry: Symmetry) -> Self {
        let (width, height) = if symmetry.transposed { (self.height, self.width) } else { (self.width, self.height) };
        let mut turned = Self::empty(width, height);
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) =
                    (if symmetry.mirrored { width - 1 - x } else { x }, if symmetry.flipped { height - 1 - y } else { y });
                let (from_x, from_y) = if symmetry.transposed { (from_y, from_x) } else { (from_x, from_y) };
                turned.copper[(y * width + x) as usize] = self.copper[(from_y * self.width + from_x) as usize];
            }
        }
        turned
    }

    /// The circuit moved by `[right, down]` pixels; what comes in at the sides goes on as the border was.
    #[must_use]
    pub fn shifted(&self, by: [i32; 2]) -> Self {
        let mut moved = Self::empty(self.width, self.height);
        for y in 0..self.height as i32 {
            for x in 0..self.width as i32 {
                moved.copper[(y * self.width as i32 + x) as usize] = self.near(x - by[0], y - by[1]);
            }
        }
        moved
    }

    fn invert(&mut self) {
        self.copper.iter_mut().for_each(|copper| *copper = !*copper);
    }

    /// Whether there is copper; there is none outside.
    fn at(&self, x: i32, y: i32) -> bool {
        self.index(x, y).is_some_and(|index| self.copper[index])
    }

    /// Whether there is copper; outside, as at the border.
    fn near(&self, x: i32, y: i32) -> bool {
        self.at(x.clamp(0, self.width as i32 - 1), y.clamp(0, self.height as i32 - 1))
    }

    fn index(&self, x: i32, y: i32) -> Option<usize> {
        let inside = x >= 0 && y >= 0 && x < self.width as i32 && y < self.height as i32;
        inside.then(|| (y * self.width as i32 + x) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differing(a: &Circuit, b: &Circuit) -> Vec<(u32, u32)> {
        (0..a.copper.len()).filter(|i| a.copper[*i] != b.copper[*i]).map(|i| (i as u32 % a.width, i as u32 / a.width)).collect()
    }

    #[test]
    fn a_defect_stays_in_its_box_and_is_of_its_sign() {
        let mut found = [0; 6];
        for seed in 0..12 {
            let good = Circuit::draw(seed, 192);
            assert_eq!(good, Circuit::draw(seed, 192));
            for (place, mode) in CircuitMode::ALL.into_iter().enumerate() {
                let Some((bad, [x1, y1, x2, y2])) = good.spoilt(mode, seed) else { continue };
                let changed = differing(&good, &bad);
                assert!(changed.len() >= 12, "{mode:?} {}", changed.len());
                assert!(changed.iter().all(|(x, y)| (x1..x2).contains(x) && (y1..y2).contains(y)), "{mode:?}");
                let (x, y) = changed[0];
                assert!(changed.iter().all(|(x, y)| bad.at(*x as i32, *y as i32) != mode.is_negative()), "{mode:?} {x} {y}");
                assert_eq!(good.spoilt(mode, seed), Some((bad, [x1, y1, x2, y2])));
                found[place] += 1;
            }
        }
        assert!(found.iter().all(|count| *count >= 6), "{found:?}");
    }

    #[test]
    fn opens_cut_shorts_join_and_the_others_leave_the_net() {
        // Three conductors.
        let mut good = Circuit::empty(160, 160);
        for y in 0..160 {
            for x in (30..40).chain(70..80).chain(110..120) {
                good.copper[y * 160 + x] = true;
            }
        }
        // What a dry brush leaves is too small to count.
        let parts = |circuit: &Circuit| [true, false].map(|copper| regions::count(circuit, [0, 0, 160, 160], copper, 30));
        assert_eq!(parts(&good), [3, 4]);
        for seed in 0..30 {
            let spoilt = |mode| good.spoilt(mode, seed).map(|(bad, _)| parts(&bad));
            assert!(spoilt(CircuitMode::Open).is_none_or(|[nets, grounds]| nets > 3 || grounds == 3), "{seed}");
            assert!(spoilt(CircuitMode::Short).is_none_or(|[nets, _]| nets == 2), "{seed}");
            for mode in [CircuitMode::Spur, CircuitMode::MouseBite] {
                assert!(spoilt(mode).is_none_or(|parts| parts == [3, 4]), "{seed}");
            }
            assert!(spoilt(CircuitMode::Copper).is_none_or(|[nets, grounds]| nets >= 3 && grounds == 4), "{seed}");
            assert!(spoilt(CircuitMode::PinHole).is_none_or(|[nets, grounds]| nets == 3 && grounds >= 4), "{seed}");
        }
    }

    #[test]
    fn pictures_of_one_circuit_differ_little_and_healing_takes_a_defect_away() {
        for seed in 0..6 {
            let good = Circuit::draw(seed, 192);
            let again = good.retaken(seed);
            let apart = differing(&good, &again).len();
            assert!(apart < 192 * 192 / 6, "{apart}");
            if let Some((bad, area)) = again.spoilt(CircuitMode::Copper, seed) {
                let healed = bad.healed(&good, area).unwrap();
                assert!(differing(&bad, &healed).iter().any(|(x, y)| (area[0]..area[2]).contains(x) && (area[1]..area[3]).contains(y)));
                assert!(differing(&again, &healed).len() <= differing(&again, &bad).len() + 200);
            }
        }
        assert_eq!(Circuit::draw(1, 192).healed(&Circuit::draw(1, 100), [0, 0, 9, 9]), None);
    }

    #[test]
    fn turning_goes_the_way_of_points_and_images_come_back() {
        let mut circuit = Circuit::empty(60, 50);
        circuit.copper[7 * 60 + 11] = true;
        for symmetry in (0..8).map(Symmetry::numbered) {
            let turned = circuit.turned(symmetry);
            let [x, y] = symmetry.point([11.5 / 60.0, 7.5 / 50.0]);
            assert!(turned.at((x * turned.width as f32) as i32, (y * turned.height as f32) as i32), "{symmetry:?}");
        }
        assert_eq!(Circuit::of_image(&circuit.to_image()), circuit);
        assert!(circuit.shifted([3, -2]).at(14, 5));
    }
}
