//! A picture made ready for one protocol: everything costly is done, sending it is copying bytes.

use image::{RgbaImage, imageops};

use super::halfblocks::{Block, blocks};
use super::placement::{Colour, MOST_CELLS, PictureId, go, placeholder, push};
use super::{Protocol, Target, iterm2, kitty, sixel};
use crate::domain::ContentHash;

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The PNG encoder refused it.
    #[error("a picture could not be written as PNG: {0}")]
    Png(#[from] png::EncodingError),
    /// The JPEG encoder refused it.
    #[error("a picture could not be written as JPEG: {0}")]
    Jpeg(#[from] image::ImageError),
}

/// What a picture is made of: images, operations, size and protocol. Equal keys have equal bytes, whichever pane shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(ContentHash);

impl Key {
    /// The key of everything that a value's `Debug` shows; floating-point numbers are shown exactly.
    pub fn of(recipe: &impl std::fmt::Debug) -> Self {
        Self(crate::imaging::hash_bytes(format!("{recipe:?}").as_bytes()))
    }
}

/// A picture in the form that a terminal takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    key: Key,
    target: Target,
    cells: (u16, u16),
    body: Body,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    /// A PNG, base64.
    Kitty(Vec<u8>),
    /// The whole escape, painted at the cursor.
    Painted(Vec<u8>),
    Blocks(Vec<Block>),
}

/// Encodes a picture, whose dots are opaque or transparent, for a room of cells: one dot is one pixel of the terminal (or half
/// a cell). It takes as many cells as it needs and lies in their middle; what is left of them is transparent. What is larger
/// than the room is cut off.
pub fn encode(picture: &RgbaImage, room: (u16, u16), target: &Target, key: Key) -> Result<Encoded, EncodeError> {
    let (across, down) = target.dots_per_cell();
    let fit = |dots: u32, each: u32, room: u16| dots.div_ceil(each).clamp(1, u32::from(room.clamp(1, MOST_CELLS))) as u16;
    let cells = (fit(picture.width(), across, room.0), fit(picture.height(), down, room.1));
    let canvas = on_canvas(picture, target.dots(cells));
    let body = match target.protocol {
        Protocol::KittyPlaceholders | Protocol::KittyDirect => Body::Kitty(kitty::payload(&canvas, target.colours)?),
        Protocol::Iterm2 => Body::Painted(iterm2::escape(&canvas, cells, target.background, target.colours)?),
        Protocol::Sixel => Body::Painted(sixel::escape(&canvas, target.registers)),
        Protocol::HalfBlocks => Body::Blocks(blocks(&canvas, target.depth)),
    };
    Ok(Encoded { key, target: *target, cells, body })
}

/// The dots by which a picture is moved to lie in the middle of its cells.
pub(super) fn offset(picture: (u32, u32), canvas: (u32, u32)) -> (u32, u32) {
    (canvas.0.saturating_sub(picture.0) / 2, canvas.1.saturating_sub(picture.1) / 2)
}

fn on_canvas(picture: &RgbaImage, dots: (u32, u32)) -> std::borrow::Cow<'_, RgbaImage> {
    if picture.dimensions() == dots {
        return std::borrow::Cow::Borrowed(picture);
    }
    let mut canvas = RgbaImage::new(dots.0, dots.1);
    let (x, y) = offset(picture.dimensions(), dots);
    imageops::replace(&mut canvas, picture, i64::from(x), i64::from(y));
    std::borrow::Cow::Owned(canvas)
}

impl Encoded {
    /// What it is made of.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The protocol it is made for.
    pub fn protocol(&self) -> Protocol {
        self.target.protocol
    }

    /// The cells it takes, across and down.
    pub fn cells(&self) -> (u16, u16) {
        self.cells
    }

    /// The bytes it takes in memory here.
    pub fn weight(&self) -> usize {
        match &self.body {
            Body::Kitty(bytes) | Body::Painted(bytes) => bytes.len(),
            Body::Blocks(blocks) => blocks.len() * size_of::<Block>(),
        }
    }

    /// The bytes it takes in a terminal that keeps pictures decoded.
    pub(super) fn held(&self) -> usize {
        let (width, height) = self.target.dots(self.cells);
        width as usize * height as usize * 4
    }

    pub(super) fn tmux(&self) -> bool {
        self.target.tmux
    }

    /// Calls `draw` with column, row, symbol, foreground and background of each cell to be drawn as text, row by row.
    ///
    /// Placeholders need the id that [`super::Sent`] gave; without one, and for protocols that paint over the text, the cells are
    /// blank and must keep the terminal's own background.
    pub fn cells_at(&self, id: Option<PictureId>, mut draw: impl FnMut(u16, u16, &str, Colour, Colour)) {
        let mut symbol = String::with_capacity(20);
        let places = (0..self.cells.1).flat_map(|row| (0..self.cells.0).map(move |column| (column, row)));
        for (place, (column, row)) in places.enumerate() {
            symbol.clear();
            let (front, back) = match (&self.body, self.target.protocol, id) {
                (Body::Blocks(blocks), ..) => {
                    let (letter, front, back) = blocks.get(place).copied().unwrap_or((' ', Colour::Default, Colour::Default));
                    symbol.push(letter);
                    (front, back)
                }
                (_, Protocol::KittyPlaceholders, Some(id)) => {
                    placeholder(&mut symbol, column, row, id.session);
                    (Colour::Indexed(id.index), Colour::Default)
                }
                _ => {
                    symbol.push(' ');
                    (Colour::Default, Colour::Default)
                }
            };
            draw(column, row, &symbol, front, back);
        }
    }

    /// The same cells as escapes and text, for a program without a cell buffer. Neighbours of one colour share an escape.
    pub fn text_at(&self, out: &mut Vec<u8>, at: (u16, u16), id: Option<PictureId>) {
        let mut last = None;
        self.cells_at(id, |column, row, symbol, front, back| {
            if column == 0 {
                go(out, (at.0, at.1 + row));
            }
            if last.replace((front, back)) != Some((front, back)) {
                out.extend_from_slice(b"\x1b[0");
                for (colour, layer) in [(front, 3), (back, 4)] {
                    match colour {
                        Colour::Default => {}
                        Colour::Indexed(index) => push(out, format_args!(";{layer}8;5;{index}")),
                        Colour::Rgb(r, g, b) => push(out, format_args!(";{layer}8;2;{r};{g};{b}")),
                    }
                }
                out.push(b'm');
            }
            out.extend_from_slice(symbol.as_bytes());
        });
        out.extend_from_slice(b"\x1b[0m");
    }

    /// Sends it to a terminal that keeps pictures; nothing for others.
    pub(super) fn transmit(&self, out: &mut Vec<u8>, id: PictureId) {
        if let Body::Kitty(payload) = &self.body {
            let cells = (self.target.protocol == Protocol::KittyPlaceholders).then_some(self.cells);
            kitty::transmit(out, id, payload, cells, self.target.tmux);
        }
    }

    /// Paints it with its top left at the cursor; nothing for protocols that do not paint.
    pub(super) fn paint(&self, out: &mut Vec<u8>) {
        if let Body::Painted(escape) = &self.body {
            out.extend_from_slice(escape);
        }
    }
}
