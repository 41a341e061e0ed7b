//! One frame: text by cells, pictures by what the terminal holds, everything in one write.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use super::gallery::Gallery;
use super::view::{self, Paint, Scene};
use crate::graphics::{Arrived, Colour, Encoded, Pane, PictureId, Sent, centred};

/// What ratatui writes for a frame that is like the last one, between the marks of one update: it is not sent. A clock ticks
/// every second, and over a slow link silence is worth something.
const UNCHANGED: &[u8] = b"\x1b[?2026h\x1b[39m\x1b[49m\x1b[59m\x1b[0m\x1b[?25l\x1b[?2026l";

/// Collects what is to be written.
#[derive(Debug, Clone, Default)]
struct Pipe(Rc<RefCell<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The screen, and what the terminal is known to hold.
pub(super) struct Screen {
    pipe: Pipe,
    terminal: Terminal<CrosstermBackend<Pipe>>,
    sent: Sent,
    covers: Vec<Rect>,
}

/// What a frame showed.
pub(super) struct Shown {
    /// Places and sizes.
    pub scene: Scene,
    /// The pictures that were drawn, by the slot's index.
    pub pictures: Vec<(usize, (u16, u16), Arrived)>,
    /// Whether pictures that are here were held back.
    pub held_back: bool,
}

impl Screen {
    pub(super) fn new() -> io::Result<Self> {
        let pipe = Pipe::default();
        let terminal = Terminal::new(CrosstermBackend::new(pipe.clone()))?;
        Ok(Self { pipe, terminal, sent: Sent::new(std::process::id() as u8), covers: Vec::new() })
    }

    /// Draws, and writes what changed. With `hold_back`, pictures that a terminal does not keep, and would be sent whole, wait
    /// for a later frame.
    pub(super) fn draw(&mut self, mut out: impl Write, paint: &Paint<'_>, gallery: &mut Gallery, hold_back: bool) -> io::Result<Shown> {
        let Self { pipe, terminal, sent, covers } = self;
        pipe.0.borrow_mut().extend_from_slice(b"\x1b[?2026h");
        let mut shown = None;
        let mut after = Vec::new();
        terminal.draw(|frame| {
            let area = frame.area();
            let mut scene = view::draw(paint, area, frame.buffer_mut());
            scene.covers = view::covers(paint, area);
            for old in covers.iter().filter(|old| !scene.covers.contains(old)) {
                sent.damage((old.x, old.y), (old.width, old.height));
            }
            covers.clone_from(&scene.covers);
            let mut pictures = arrange(&scene, gallery);
            let here = pictures.len();
            if hold_back {
                pictures.retain(|(slot, at, arrived)| {
                    let picture = arrived.outcome.as_ref().ok().map(|made| &made.picture);
                    picture.is_none_or(|picture| !picture.protocol().paints() || sent.shows(scene.slots[*slot].pane, *at, picture))
                });
            }
            let held_back = pictures.len() < here;
            let panes: Vec<Pane<'_>> = pictures
                .iter()
                .filter_map(|(slot, at, arrived)| {
                    let picture: &Encoded = &arrived.outcome.as_ref().ok()?.picture;
                    Some(Pane { pane: scene.slots[*slot].pane, at: *at, picture, covered: false })
                })
                .collect();
            let drawn = sent.show(&panes);
            pipe.0.borrow_mut().extend_from_slice(&drawn.before);
            for (pane, id) in panes.iter().zip(drawn.ids) {
                fill(frame.buffer_mut(), pane.picture, pane.at, id);
            }
            after = drawn.after;
            view::draw_covers(paint, area, frame.buffer_mut(), &mut scene);
            view::lift_spaces(frame.buffer_mut());
            shown = Some(Shown { scene, pictures, held_back });
        })?;
        {
            let mut bytes = pipe.0.borrow_mut();
            bytes.extend_from_slice(&after);
            bytes.extend_from_slice(b"\x1b[?2026l");
            if *bytes != UNCHANGED {
                out.write_all(&bytes)?;
            }
            bytes.clear();
        }
        shown.ok_or_else(|| io::Error::other("nothing was drawn"))
    }

    /// Sends a picture before it is shown; `false` when there was nothing to send.
    pub(super) fn send_ahead(&mut self, mut out: impl Write, picture: &Encoded) -> io::Result<bool> {
        let bytes = self.sent.send_ahead(picture);
        out.write_all(&bytes)?;
        Ok(!bytes.is_empty())
    }

    /// The screen is another one now, or was cleared: everything is drawn anew.
    pub(super) fn anew(&mut self) -> io::Result<()> {
        let gone = self.sent.forget_all();
        self.pipe.0.borrow_mut().extend_from_slice(&gone);
        // `Terminal::clear` asks the terminal where its cursor is, and the answer would be read by the thread that reads keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Takes every picture off the terminal.
    pub(super) fn leave(&mut self, mut out: impl Write) -> io::Result<()> {
        let bytes = self.sent.clear();
        out.write_all(&bytes)
    }
}

/// The pictures that are here and lie free, and where. What a terminal paints over its text waits while something lies on it.
fn arrange(scene: &Scene, gallery: &mut Gallery) -> Vec<(usize, (u16, u16), Arrived)> {
    let mut pictures = Vec::new();
    for (index, slot) in scene.slots.iter().enumerate() {
        let Some(arrived) = gallery.get(&slot.wanted) else { continue };
        let area = slot.area;
        let (at, paints) = match &arrived.outcome {
            Ok(made) => (centred((area.x, area.y), (area.width, area.height), made.picture.cells()), made.picture.protocol().paints()),
            Err(_) => ((area.x, area.y), false),
        };
        if !(paints && scene.covers.iter().any(|cover| cover.intersects(area))) {
            pictures.push((index, at, arrived));
        }
    }
    pictures
}

fn fill(buffer: &mut Buffer, picture: &Encoded, at: (u16, u16), id: Option<PictureId>) {
    picture.cells_at(id, |column, row, symbol, front, back| {
        if let Some(cell) = buffer.cell_mut((at.0 + column, at.1 + row)) {
            cell.reset();
            cell.set_symbol(symbol).set_style(Style::new().fg(colour(front)).bg(colour(back)));
        }
    });
}

fn colour(colour: Colour) -> Color {
    match colour {
        Colour::Default => Color::Reset,
        Colour::Indexed(index) => Color::Indexed(index),
        Colour::Rgb(r, g, b) => Color::Rgb(r, g, b),
    }
}
