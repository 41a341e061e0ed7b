//! Shows three pictures side by side, to be looked at in a real terminal.
//!
//! `pictures [--images PROTOCOL] [--answers FILE] [IMAGE…]`, then keys: `n` next pictures, `g` grid, `z` zoom, `d` difference,
//! `p` a popup over the middle, `l` everything anew, any other key ends. `--answers` keeps what the terminal answered.
#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use mekiki::domain::Address;
use mekiki::graphics::{
    Colours, Content, Encoded, Environment, GridOverlay, Key, Limits, Look, Overlay, Pane, Prepared, Protocol, Request, Sent, Source, View,
    Workshop, Zoom, centred, detect, prepare, query,
};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

type Anyhow = Box<dyn Error>;

/// A board of 27 round pins, one with a scratch, with fine lines that show whether pixels are kept.
fn board(scratch: bool) -> RgbImage {
    RgbImage::from_fn(900, 600, |x, y| {
        let (cx, cy) = ((x as f32 - 108.0) / 92.25, (y as f32 - 150.0) / 174.0);
        let (dx, dy) = ((cx - cx.round().clamp(0.0, 8.0)) * 92.25, (cy - cy.round().clamp(0.0, 2.0)) * 174.0);
        let far = dx.hypot(dy);
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 7 & 15;
        let base = 60 + grain + x / 20;
        let v = if far < 36.0 { (220.0 - far * 3.0 - dx) as u32 + grain } else { base };
        if scratch && (x + 2 * y) % 500 < 4 && far < 36.0 && (300..420).contains(&x) {
            return Rgb([255, 40, 40]);
        }
        if !(4..896).contains(&x) || !(4..596).contains(&y) {
            return Rgb([255, 255, 0]);
        }
        Rgb([v.min(255) as u8, (v * 9 / 10).min(255) as u8, (v * 3 / 4).min(255) as u8])
    })
}

struct Screen {
    workshop: Workshop,
    sources: Vec<Source>,
    detected: mekiki::graphics::Detected,
    window: (u16, u16),
    sent: Sent,
    texts: BTreeMap<u8, (Key, (u16, u16))>,
    popped: bool,
}

impl Screen {
    fn prepared(&self, first: usize, look: &Look, difference: bool) -> Result<Vec<Prepared>, Anyhow> {
        let room = (self.window.0 / 3 - 2, self.window.1.saturating_sub(6));
        let each = (0..3).map(|pane| {
            let source = self.sources[(first + pane) % self.sources.len()].clone();
            let reference = self.sources[(first + pane + 1) % self.sources.len()].clone();
            let content = if difference { Content::Difference { query: source, reference, amplify: 4.0 } } else { Content::Image(source) };
            let request = Request { content, look: look.clone(), room, target: self.detected.target(Colours::Palette), thumbnail: false };
            prepare(&self.workshop, &request, &|| false)
        });
        Ok(each.collect::<Result<_, _>>()?)
    }

    fn draw(&mut self, pictures: &[Arc<Encoded>], popup: bool) -> Vec<u8> {
        let third = self.window.0 / 3;
        let room = (third - 2, self.window.1.saturating_sub(6));
        let panes: Vec<Pane<'_>> = (1..)
            .zip(pictures)
            .map(|(pane, picture)| {
                let at = centred(((u16::from(pane) - 1) * third + 1, 3), room, picture.cells());
                Pane { pane, at, picture, covered: popup }
            })
            .collect();
        let drawn = self.sent.show(&panes);
        let mut out = drawn.before;
        if self.popped && !popup {
            for row in 10..15 {
                out.extend_from_slice(format!("\x1b[{};11H{:30}", row + 1, "").as_bytes());
            }
        }
        for (pane, id) in panes.iter().zip(&drawn.ids) {
            // A cell buffer would leave out cells that did not change; here, pictures that are painted over them.
            let now = (pane.picture.key(), pane.at);
            let same = self.texts.insert(pane.pane, now) == Some(now);
            if !(pane.picture.protocol().paints() && same) {
                pane.picture.text_at(&mut out, pane.at, *id);
            }
        }
        self.popped = popup;
        out.extend_from_slice(&drawn.after);
        if popup {
            for row in 10..15 {
                out.extend_from_slice(
                    format!("\x1b[{};{}H\x1b[0;30;47m{:^30}\x1b[0m", row + 1, 11, if row == 12 { "a popup" } else { "" }).as_bytes(),
                );
            }
        }
        out
    }
}

fn main() -> Result<(), Anyhow> {
    let (mut choice, mut keep, mut paths) = (None, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--images" => choice = Some(arguments.next().unwrap_or_default().parse::<Protocol>()?),
            "--answers" => keep = arguments.next(),
            path => paths.push(PathBuf::from(path)),
        }
    }
    let folder = tempfile::tempdir()?;
    if paths.is_empty() {
        for (name, scratch) in [("query", true), ("reference", false), ("exemplar", true)] {
            paths.push(folder.path().join(format!("{name}.png")));
            board(scratch).save(folder.path().join(format!("{name}.png")))?;
        }
    }

    let tty = std::fs::File::options().read(true).write(true).open("/dev/tty")?;
    let environment = Environment::of_process();
    let started = std::time::Instant::now();
    let before = tcgetattr(&tty)?;
    (&tty).write_all(b"\x1b[?1049h\x1b[?25l")?;
    let answers = query::ask(&tty, &environment, query::LIMIT)?;
    let took = started.elapsed().as_millis();
    let detected = detect(&environment, &answers.bytes, answers.window, answers.client.as_ref(), choice);
    if let Some(file) = keep {
        std::fs::write(file, format!("{environment:?}\n{:?}\n{:?}\n{}\n", answers.window, answers.client, answers.bytes.escape_ascii()))?;
    }
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&tty, OptionalActions::Now, &raw)?;

    let window = answers.window.map_or((80, 24), |window| (window.columns, window.rows));
    let line = format!(
        "{} · {}x{} px · {:?} · tmux {} · {} · {took} ms{}",
        detected.protocol,
        detected.cell.width,
        detected.cell.height,
        detected.depth,
        detected.tmux,
        detected.terminal.as_deref().unwrap_or("?"),
        detected.notes.iter().fold(String::new(), |all, note| all + " · " + &note.to_string()),
    );
    let workshop = Workshop::new(Limits::default(), None, 64 << 20, 64 << 20);
    let sources = paths.into_iter().map(|path| Source { path, content: None }).collect();
    let mut screen =
        Screen { workshop, sources, detected, window, sent: Sent::new(std::process::id() as u8), texts: BTreeMap::new(), popped: false };
    let corners = [[0.12, 0.25], [0.94, 0.25], [0.94, 0.83], [0.12, 0.83]];
    let grid = GridOverlay { corners, rows: ["U", "C", "D"].map(String::from).to_vec(), columns: (1..=9).map(|n| n.to_string()).collect() };

    let (mut first, mut look, mut popup, mut difference) = (0, Look::default(), false, false);
    (&tty).write_all(format!("\x1b[2J\x1b[1;1H{line}\x1b[{};1Hthe last row, kept free of pictures", window.1).as_bytes())?;
    loop {
        let pictures: Vec<Arc<Encoded>> = screen.prepared(first, &look, difference)?.into_iter().map(|made| made.picture).collect();
        (&tty).write_all(&screen.draw(&pictures, popup))?;
        let mut key = [0];
        (&tty).read_exact(&mut key)?;
        match key[0] {
            b'n' => first += 1,
            b'd' => difference = !difference,
            b'g' if look.overlays.is_empty() => {
                look.overlays = vec![Overlay::Grid(grid.clone()), Overlay::Cell(grid.clone(), Address { row: 0, column: 2 })];
            }
            b'g' => look.overlays.clear(),
            b'z' => {
                look.view = View { zoom: if look.view.zoom == Zoom::Fit { Zoom::Percent(200) } else { Zoom::Fit }, centre: (0.35, 0.25) }
            }
            b'p' => {
                popup = !popup;
                screen.sent.damage((10, 10), (30, 5));
            }
            b'l' => {
                let mut out = screen.sent.forget_all();
                out.extend_from_slice(format!("\x1b[2J\x1b[1;1H{line}").as_bytes());
                (&tty).write_all(&out)?;
            }
            _ => break,
        }
    }
    (&tty).write_all(&screen.sent.clear())?;
    (&tty).write_all(b"\x1b[?25h\x1b[?1049l")?;
    tcsetattr(&tty, OptionalActions::Now, &before)?;
    Ok(())
}
