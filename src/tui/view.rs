//! What the screen shows, from the state alone: text into a buffer of cells, and places for pictures.

mod form;
mod list;
mod over;
mod preview;
mod reader;
mod sample;
mod sheet;
mod stats;
mod tasks;
mod words;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::gallery::Wanted;
use super::theme::Theme;
use crate::graphics::Detected;
use crate::keys::{Hint, Keymap, Pending};
use crate::review::{Action, Layout, Point, Screen, State};

pub(super) use sample::ahead;

/// Everything that drawing reads.
pub(super) struct Paint<'a> {
    pub state: &'a State,
    pub keymap: &'a Keymap,
    /// Keys that may follow.
    pub hints: &'a [Hint],
    /// Keys and count typed so far.
    pub pending: &'a Pending,
    pub theme: Theme,
    /// The project's name.
    pub title: &'a str,
    /// What the terminal can show, where it was asked.
    pub detected: Option<&'a Detected>,
}

impl Paint<'_> {
    /// The keys of an action here, or its name in the palette where it has none.
    fn key_of(&self, action: Action) -> String {
        let rows = self.keymap.help(self.state.context().scope);
        rows.into_iter().find(|row| row.action == action).and_then(|row| row.keys.into_iter().next()).unwrap_or_else(|| action.to_string())
    }
}

/// A place for a picture.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// The same number from frame to frame.
    pub pane: u8,
    /// Its room.
    pub area: Rect,
    /// What stands in it.
    pub wanted: Wanted,
}

/// What a mouse can hit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hit {
    /// A thing.
    At(Point),
    /// The picture in this slot.
    Picture(usize),
}

/// What was laid out.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub slots: Vec<Slot>,
    /// Columns and rows for the close-ups of a sample, nothing where there is no room for them.
    pub close_ups: [(u16, u16); 2],
    /// Later ones lie on top.
    pub hits: Vec<(Rect, Hit)>,
    pub layout: Layout,
    /// What lies over the screen.
    pub covers: Vec<Rect>,
}

/// The smallest screen.
const LEAST: (u16, u16) = (60, 16);

/// Draws the screen beneath everything that lies over it.
pub(super) fn draw(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) -> Scene {
    let mut scene = Scene { layout: paint.state.layout, ..Scene::default() };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        words::too_small(paint, area, buffer);
        return scene;
    }
    scene.layout = layout(area);
    if paint.state.screen == Screen::Sample && paint.state.look.full_screen {
        sample::full_screen(paint, area, buffer, &mut scene);
        return scene;
    }
    words::header(paint, row(area, 0), buffer);
    words::foot(paint, area, buffer);
    let body = body(area);
    match paint.state.screen {
        Screen::Sample => sample::draw(paint, body, buffer, &mut scene),
        Screen::Sheet => sheet::draw(paint, body, buffer, &mut scene),
        Screen::Queue => list::draw(paint, body, buffer, &mut scene),
        Screen::Stats => stats::draw(paint, body, buffer, &mut scene),
        Screen::Tasks => tasks::draw(paint, body, buffer),
    }
    scene
}

/// What lies over the screen now.
pub(super) fn covers(paint: &Paint<'_>, area: Rect) -> Vec<Rect> {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return Vec::new();
    }
    over::area(paint, area).into_iter().chain(words::hints_area(paint, area)).collect()
}

/// Draws it.
pub(super) fn draw_covers(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return;
    }
    if let Some(area) = over::area(paint, area) {
        over::draw(paint, area, buffer, scene);
    }
    if let Some(area) = words::hints_area(paint, area) {
        words::hints(paint, area, buffer);
    }
}

/// Words are underlined, not the spaces that keep them apart: called last.
pub(super) fn lift_spaces(buffer: &mut Buffer) {
    for cell in buffer.content.iter_mut().filter(|cell| cell.symbol() == " ") {
        cell.modifier.remove(Modifier::UNDERLINED);
    }
}

/// How much fits.
fn layout(area: Rect) -> Layout {
    let body = body(area);
    let (columns, rows) = sheet::grid(body);
    Layout { sheet_columns: columns, sheet_rows: rows, list_rows: usize::from(body.height.saturating_sub(1)).max(1) }
}

/// Everything between the first line and the last two.
fn body(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(3), ..area }
}

fn row(area: Rect, line: u16) -> Rect {
    Rect { y: area.y + line, height: 1.min(area.height.saturating_sub(line)), ..area }
}
