//! The ways in which terminals show pictures.

use std::fmt;
use std::str::FromStr;

/// How pictures reach the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// kitty graphics, sent once and placed by placeholder characters in the text: kitty from 0.28, Ghostty; also inside tmux.
    KittyPlaceholders,
    /// kitty graphics, sent once and placed at the cursor: older kitty, Konsole. Not inside tmux.
    KittyDirect,
    /// iTerm2's inline images, sent at every drawing: iTerm2, WezTerm, mintty, VS Code.
    Iterm2,
    /// Sixel, sent at every drawing: xterm, foot, mlterm, Windows Terminal.
    Sixel,
    /// Two dots per cell out of coloured half blocks: any terminal.
    HalfBlocks,
}

impl Protocol {
    /// All of them, from the best to the plainest.
    pub const ALL: [Self; 5] = [Self::KittyPlaceholders, Self::KittyDirect, Self::Iterm2, Self::Sixel, Self::HalfBlocks];

    /// The name in settings and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::KittyPlaceholders => "kitty",
            Self::KittyDirect => "kitty-direct",
            Self::Iterm2 => "iterm2",
            Self::Sixel => "sixel",
            Self::HalfBlocks => "half-blocks",
        }
    }

    /// Whether the terminal keeps pictures, so that each is sent once.
    pub fn keeps_pictures(self) -> bool {
        matches!(self, Self::KittyPlaceholders | Self::KittyDirect)
    }

    /// Whether a picture is painted over the text at every drawing: wait with it while keys repeat.
    pub fn paints(self) -> bool {
        matches!(self, Self::Iterm2 | Self::Sixel)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|protocol| protocol.name() == text).ok_or_else(|| format!("expected one of {}, got {text:?}", names()))
    }
}

/// How many colours text can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// The 16 named ones.
    Sixteen,
    /// The palette of 256.
    Palette,
    /// 24 bits.
    True,
}

/// The size of a text cell, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CellSize {
    /// Pixels across.
    pub width: u16,
    /// Pixels down.
    pub height: u16,
}

impl CellSize {
    /// Assumed when the terminal does not say.
    pub const USUAL: Self = Self { width: 10, height: 20 };

    /// A size that a font can have; `None` for nonsense.
    pub fn new(width: u16, height: u16) -> Option<Self> {
        ((2..=255).contains(&width) && (2..=255).contains(&height)).then_some(Self { width, height })
    }
}

/// How many colours pictures are sent with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Colours {
    /// Up to 256, exact where the picture has no more: a third of the bytes of a photograph. For links.
    #[default]
    Palette,
    /// All of them. For a terminal on the same machine.
    True,
}

/// What pictures are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// How they reach the screen.
    pub protocol: Protocol,
    /// The size of a cell.
    pub cell: CellSize,
    /// What transparent pictures are laid on.
    pub background: [u8; 3],
    /// The colours of text, which half blocks are.
    pub depth: Depth,
    /// Whether escapes must be wrapped to pass through tmux.
    pub tmux: bool,
    /// The colours of pictures.
    pub colours: Colours,
    /// The colour registers of a sixel terminal, at most 256.
    pub registers: u16,
}

impl Target {
    /// The dots that a room of cells has.
    pub fn dots(&self, cells: (u16, u16)) -> (u32, u32) {
        let (across, down) = self.dots_per_cell();
        (u32::from(cells.0) * across, u32::from(cells.1) * down)
    }

    /// Dots per cell: its pixels, or one by two where there are none.
    pub fn dots_per_cell(&self) -> (u32, u32) {
        match self.protocol {
            Protocol::HalfBlocks => (1, 2),
            _ => (u32::from(self.cell.width), u32::from(self.cell.height)),
        }
    }

    /// A dot's width over its height.
    pub fn dot_aspect(&self) -> f64 {
        match self.protocol {
            Protocol::HalfBlocks => 2.0 * f64::from(self.cell.width) / f64::from(self.cell.height),
            _ => 1.0,
        }
    }
}
