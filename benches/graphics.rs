//! Kilobytes and milliseconds of one picture of 40 × 20 cells, per protocol: `cargo bench --bench graphics [-- IMAGE]`.
//!
//! Times are the least of several runs; "20 Mbit/s" is what the bytes alone take on such a link.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use image::{DynamicImage, Rgb, RgbImage};
use mekiki::graphics::{CellSize, Colours, Depth, Frame, Key, Pane, Protocol, Sent, Target, View, encode};
use mekiki::imaging::{difference, resample};

/// A board of round pins on brushed metal with grain, as a camera of 3 megapixels sees it.
fn photo() -> DynamicImage {
    let picture = RgbImage::from_fn(2048, 1536, |x, y| {
        let mixed = (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
        let grain = ((mixed ^ mixed >> 15) % 25) as f32 - 12.0;
        let (dx, dy) = ((x % 220) as f32 - 110.0, (y % 400) as f32 - 200.0);
        let far = dx.hypot(dy);
        let pin = if far < 80.0 { 110.0 - far - dx * 0.3 } else { 0.0 };
        let brushed = ((x as f32 * 0.05).sin() + (y as f32 * 0.9).sin()) * 6.0;
        let v = 70.0 + x as f32 / 40.0 + y as f32 / 60.0 + pin + brushed + grain;
        Rgb([v.clamp(0.0, 255.0) as u8, (v * 0.93).clamp(0.0, 255.0) as u8, (v * 0.8 + far * 0.1).clamp(0.0, 255.0) as u8])
    });
    DynamicImage::ImageRgb8(picture)
}

fn least<T>(mut work: impl FnMut() -> T) -> Duration {
    let once = |work: &mut dyn FnMut() -> T| {
        let started = Instant::now();
        black_box(work());
        started.elapsed()
    };
    (0..15).map(|_| once(&mut work)).min().unwrap()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn main() {
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let photo = path.map_or_else(photo, |path| image::open(path).unwrap());
    println!("{:28} {:>8} {:>8} {:>8} {:>10} {:>8}", "40 × 20 cells", "cell px", "KB", "ms", "20 Mbit/s", "again B");
    for (width, height) in [(9, 18), (18, 36)] {
        let cell = CellSize::new(width, height).unwrap();
        let rows = [
            ("kitty, 256 colours", Protocol::KittyPlaceholders, Colours::Palette),
            ("kitty, all colours", Protocol::KittyPlaceholders, Colours::True),
            ("kitty direct, 256 colours", Protocol::KittyDirect, Colours::Palette),
            ("iTerm2, JPEG", Protocol::Iterm2, Colours::Palette),
            ("iTerm2, PNG, all colours", Protocol::Iterm2, Colours::True),
            ("sixel", Protocol::Sixel, Colours::Palette),
            ("half blocks", Protocol::HalfBlocks, Colours::Palette),
        ];
        for (name, protocol, colours) in rows {
            let target = Target { protocol, cell, background: [0; 3], depth: Depth::True, tmux: false, colours, registers: 256 };
            let room = target.dots((40, 20));
            // The whole room is filled, as in the figures this is compared with.
            let shown = Frame { size: room, ..Frame::new((photo.width(), photo.height()), room, target.dot_aspect(), View::default()) };
            let shown = resample(&photo, &shown);
            let key = Key::of(&name);
            let time = least(|| encode(&shown, (40, 20), &target, key).unwrap());
            let picture = encode(&shown, (40, 20), &target, key).unwrap();
            let mut sent = Sent::new(0);
            let panes = [Pane { pane: 1, at: (0, 0), picture: &picture, covered: false }];
            let drawn = sent.show(&panes);
            let mut text = Vec::new();
            picture.text_at(&mut text, (0, 0), drawn.ids[0]);
            let bytes = drawn.before.len() + text.len() + drawn.after.len();
            // Going away and coming back.
            sent.show(&[]);
            let again = sent.show(&panes);
            let back = again.before.len() + text.len() + again.after.len();
            let kilobytes = bytes as f64 / 1000.0;
            let link = bytes as f64 * 8.0 / 20_000.0;
            println!("{name:28} {:>8} {kilobytes:8.1} {:8.2} {link:7.0} ms {back:8}", format!("{width}×{height}"), milliseconds(time));
        }
    }
    let frame = Frame::new((photo.width(), photo.height()), (360, 360), 1.0, View::default());
    println!("{:28} {:8} {:8} {:8.2}", "resample to 360 px", "", "", milliseconds(least(|| resample(&photo, &frame))));
    println!("{:28} {:8} {:8} {:8.2}", "difference, whole image", "", "", milliseconds(least(|| difference(&photo, &photo, 4.0))));
}
