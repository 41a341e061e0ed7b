//! What can be wrong with a pin. A [`Flaw`] is one defect with its shape fixed by chance; [`pins`](super::pins) asks it
//! while it draws the pin. Marks lie on the surface *laid flat*: lengths in pin radii from the middle of the cap, the side
//! continuing outwards from 1.

mod dent;
mod fracture;
mod heat;
mod lines;
mod stain;

use super::dice::Dice;
pub(super) use fracture::{Burr, Chip};

use dent::Dent;
use heat::Heat;
use lines::{Crack, Scratch};
use stain::Stain;

/// The kinds of defect, one to a defective board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefectMode {
    /// Straight bright lines across the cap, each with a dark lip.
    Scratch,
    /// A smooth hollow: dark on the lamp's side, bright opposite.
    Dent,
    /// The pin leans; cap and base no longer lie above each other.
    Bent,
    /// No pin, only its dark hole.
    Missing,
    /// A brown or black blot with a darker border.
    Stain,
    /// A piece broken out of the rim: dull, rough, stepped.
    Chip,
    /// Ragged bright metal standing out beyond the rim.
    Burr,
    /// Heat colours, straw to blue, over the whole pin.
    Discolouration,
    /// A dark, jagged, forked line from the rim inwards.
    Crack,
}

impl DefectMode {
    /// All modes; `crack`, which sample data hold out, is last.
    pub const ALL: [Self; 9] =
        [Self::Scratch, Self::Dent, Self::Bent, Self::Missing, Self::Stain, Self::Chip, Self::Burr, Self::Discolouration, Self::Crack];

    /// The id used in labels.
    pub fn id(self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Dent => "dent",
            Self::Bent => "bent",
            Self::Missing => "missing",
            Self::Stain => "stain",
            Self::Chip => "chip",
            Self::Burr => "burr",
            Self::Discolouration => "discolouration",
            Self::Crack => "crack",
        }
    }

    /// The mode whose [`id`](Self::id) is `id`.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.id() == id)
    }
}

/// One defect with its shape.
pub(super) enum Flaw {
    Scratch(Scratch),
    Dent(Dent),
    /// How far the cap is pushed aside, in board units.
    Bent([f32; 2]),
    Missing,
    Stain(Stain),
    Chip(Chip),
    Burr(Burr),
    Discolouration(Heat),
    Crack(Crack),
}

impl Flaw {
    pub(super) fn new(mode: DefectMode, seed: u64) -> Self {
        let dice = &mut Dice::new(seed, mode.id());
        match mode {
            DefectMode::Scratch => Self::Scratch(Scratch::new(dice)),
            DefectMode::Dent => Self::Dent(Dent::new(dice)),
            DefectMode::Bent => {
                // Mostly sideways: a pin that leans straight at the viewer hides its own leaning.
                let (angle, reach) = (dice.range(-0.95, 0.55), dice.range(7.5, 9.5));
                let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
                Self::Bent([side * reach * angle.cos(), reach * angle.sin()])
            }
            DefectMode::Missing => Self::Missing,
            DefectMode::Stain => Self::Stain(Stain::new(dice)),
            DefectMode::Chip => Self::Chip(Chip::new(dice)),
            DefectMode::Burr => Self::Burr(Burr::new(dice)),
            DefectMode::Discolouration => Self::Discolouration(Heat::new(dice)),
            DefectMode::Crack => Self::Crack(Crack::new(dice)),
        }
    }

    /// How far the cap is pushed aside, in board units.
    pub(super) fn bend(&self) -> [f32; 2] {
        match self {
            Self::Bent(reach) => *reach,
            _ => [0.0; 2],
        }
    }

    /// The colour of a spot of the surface, whose sound colour is `colour`, under a lamp in direction `toward`.
    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3], toward: [f32; 2]) -> [f32; 3] {
        match self {
            Self::Scratch(scratch) => scratch.mark(spot, colour),
            Self::Dent(dent) => dent.mark(spot, colour, toward),
            Self::Stain(stain) => stain.mark(spot, colour),
            Self::Chip(chip) => chip.mark(spot, colour, toward),
            Self::Discolouration(heat) => heat.mark(spot, colour),
            Self::Crack(crack) => crack.mark(spot, colour),
            Self::Bent(_) | Self::Missing | Self::Burr(_) => colour,
        }
    }
}
