//! What a board is named by.

use super::defects::DefectMode;
use super::dice::Dice;
use super::grid::{PINS, address_at};
use super::{NATIVE_HEIGHT, NATIVE_WIDTH, WIDTHS};
use crate::domain::Address;

/// The two image types, which look clearly different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BoardType {
    /// Cool: steel pins on a dark, blue-green anodised plate under a ring light, long lens.
    CylnDst,
    /// Warm: steel pins on a pale brushed plate under a lamp at the side, short lens.
    CylnRaw,
}

impl BoardType {
    /// Both types.
    pub const ALL: [Self; 2] = [Self::CylnDst, Self::CylnRaw];

    /// The id used in labels: `CYLN_DST` or `CYLN_RAW`.
    pub fn id(self) -> &'static str {
        match self {
            Self::CylnDst => "CYLN_DST",
            Self::CylnRaw => "CYLN_RAW",
        }
    }

    /// The type whose [`id`](Self::id) is `id`.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|board_type| board_type.id() == id)
    }
}

/// Everything that decides how a board looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardSpec {
    /// Decides the nuisances (light, camera, plate, dust, noise) and the shape of the defect.
    pub seed: u64,
    /// Which of the two image types the photograph belongs to.
    pub board_type: BoardType,
    /// The one defective pin, or `None` for a good board.
    pub defect: Option<(DefectMode, Address)>,
    /// Where a red star is drawn, for exemplars.
    pub star: Option<Address>,
    /// Picture width in pixels, see [`WIDTHS`]. The height follows: `width` × 192 / 448.
    pub width: u32,
}

/// What [`BoardSpec::random`] chooses from.
#[derive(Debug, Clone, Copy)]
pub struct BoardMix<'a> {
    /// Modes that a defective board may show; with none every board is good.
    pub modes: &'a [DefectMode],
    /// Share of boards with a defect, 0..=1.
    pub defective: f32,
    /// Picture width in pixels.
    pub width: u32,
}

impl BoardSpec {
    /// Board number `index` of the endless set `seed`: type, defect, mode and address are drawn independently, each mode
    /// and each address equally often.
    pub fn random(seed: u64, index: u64, mix: &BoardMix<'_>) -> Self {
        let mut dice = Dice::new(seed ^ Dice::new(index, "index").bits(), "spec");
        let board_type = BoardType::ALL[dice.pick(BoardType::ALL.len())];
        let defective = dice.chance(mix.defective);
        let (mode, address) = (dice.pick(mix.modes.len()), address_at(dice.pick(PINS)));
        let mode = mix.modes.get(mode).copied().filter(|_| defective);
        Self { seed: dice.bits(), board_type, defect: mode.map(|mode| (mode, address)), star: None, width: mix.width }
    }

    /// Width and height in pixels of the picture.
    pub fn size(&self) -> (u32, u32) {
        let width = self.width.clamp(*WIDTHS.start(), *WIDTHS.end());
        (width, (width * NATIVE_HEIGHT + NATIVE_WIDTH / 2) / NATIVE_WIDTH)
    }
}
