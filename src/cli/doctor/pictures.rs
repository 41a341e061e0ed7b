//! The same test picture in every way in which terminals show pictures.

use std::io::Write;

use image::{Rgba, RgbaImage};

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::terminal;
use crate::graphics::{Colours, Encoded, Key, Pane, Protocol, Sent, Target, encode};

/// The cells of a picture.
const CELLS: (u16, u16) = (22, 7);
/// The cells from one picture to the next.
const STEP: (u16, u16) = (26, 9);
/// Where the first one's label stands: column and row from 0.
const FIRST: (u16, u16) = (1, 1);
/// Pictures side by side: 80 columns hold them.
const ACROSS: u16 = 3;

/// Draws the pictures on the cleared screen and leaves them there.
pub(super) fn run(context: &Context) -> Result<Outcome, Failure> {
    if context.out.is_json() {
        return Err(Failure::usage("--terminal shows pictures to a person; --json without it says what was detected"));
    }
    let asked = terminal::ask(false).map_err(|why| Failure::new(format_args!("{why}; --terminal needs one to show pictures in")))?;
    let base = asked.detected.target(Colours::True);
    let mut pictures: Vec<(Protocol, Encoded)> = Vec::new();
    // tmux keeps text in its place and nothing else: what is painted or placed at the cursor lands anywhere, also on the others.
    let through = |protocol: &Protocol| !base.tmux || matches!(protocol, Protocol::KittyPlaceholders | Protocol::HalfBlocks);
    for protocol in Protocol::ALL.into_iter().filter(through) {
        let target = Target { protocol, ..base };
        let picture = picture(target.dots(CELLS));
        let key = Key::of(&("doctor", protocol, target));
        pictures.push((protocol, encode(&picture, CELLS, &target, key)?));
    }
    let place = |index: usize| {
        let index = index as u16;
        (FIRST.0 + index % ACROSS * STEP.0, FIRST.1 + index / ACROSS * STEP.1)
    };
    let panes: Vec<Pane<'_>> = pictures
        .iter()
        .enumerate()
        .map(|(index, (_, picture))| {
            let (column, row) = place(index);
            Pane { pane: index as u8 + 1, at: (column, row + 1), picture, covered: false }
        })
        .collect();
    let mut sent = Sent::new(std::process::id() as u8);
    let drawn = sent.show(&panes);
    let mut out = b"\x1b[0m\x1b[2J\x1b[H".to_vec();
    out.extend(drawn.before);
    for (index, (protocol, picture)) in pictures.iter().enumerate() {
        let (column, row) = place(index);
        let mark = if *protocol == asked.detected.protocol { "▶ " } else { "  " };
        out.extend(format!("\x1b[{};{}H{mark}{protocol}", row + 1, column + 1).bytes());
        picture.text_at(&mut out, (column, row + 1), drawn.ids.get(index).copied().flatten());
    }
    out.extend(drawn.after);
    let last = place(pictures.len().saturating_sub(1));
    out.extend(format!("\x1b[0m\x1b[{};1H", last.1 + STEP.1).bytes());
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&out)?;
    stdout.flush()?;
    drop(stdout);
    context.out.line("to be seen: a red disc and a blue square on a light field, fine stripes below");
    context.out.line("where a way does not work: nothing, grey boxes, or signs");
    if base.tmux {
        context.out.line("kitty-direct, iterm2 and sixel are not used inside tmux and left out");
    }
    context.out.line("▶ is what mekiki takes here; 'mekiki review --images NAME' takes another");
    Ok(Outcome::Done)
}

/// A disc, a square, and stripes of one dot: what is scaled turns them grey.
fn picture((width, height): (u32, u32)) -> RgbaImage {
    let side = f64::from(height.min(width / 2));
    let middle = (f64::from(width) / 4.0, f64::from(height) * 0.42);
    RgbaImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (f64::from(x) + 0.5 - middle.0, f64::from(y) + 0.5 - middle.1);
        let square = (f64::from(x) + 0.5 - 3.0 * middle.0).abs() < side * 0.32 && dy.abs() < side * 0.32;
        Rgba(if f64::from(y) > f64::from(height) * 0.85 {
            if x % 2 == 0 { [0, 0, 0, 255] } else { [255, 255, 255, 255] }
        } else if dx.hypot(dy) < side * 0.36 {
            [210, 40, 40, 255]
        } else if square {
            [40, 80, 210, 255]
        } else {
            [225, 225, 215, 255]
        })
    })
}
