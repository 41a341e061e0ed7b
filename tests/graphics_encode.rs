//! Pictures as bytes: exact for small ones, decoded back for others, and nothing in them but our own escapes.
#![allow(clippy::unwrap_used)]

mod terminal;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{Rgba, RgbaImage};
use mekiki::graphics::{CellSize, Colour, Colours, Depth, Encoded, Key, Pane, Protocol, Sent, Target, encode};
use terminal::Terminal;

fn target(protocol: Protocol) -> Target {
    let cell = CellSize::new(4, 6).unwrap();
    Target { protocol, cell, background: [16, 16, 16], depth: Depth::True, tmux: false, colours: Colours::Palette, registers: 256 }
}

fn encoded(picture: &RgbaImage, target: &Target) -> Encoded {
    encode(picture, (60, 60), target, Key::of(&"a picture")).unwrap()
}

/// 7 × 6 dots of three colours and a hole; it lies in two cells.
fn drawing() -> RgbaImage {
    RgbaImage::from_fn(7, 6, |x, y| match (x + y) % 4 {
        0 => Rgba([255, 0, 0, 255]),
        1 => Rgba([0, 128, 255, 255]),
        2 if x == 1 => Rgba([0, 0, 0, 0]),
        _ => Rgba([9, 9, 9, 255]),
    })
}

fn photo(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, y| {
        let mixed = (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
        let grain = (mixed ^ mixed >> 15) & 7;
        let light = 90.0 + 70.0 * (x as f32 / 40.0).sin() * (y as f32 / 30.0).cos();
        let v = light as u32 + grain;
        Rgba([(v + 20).min(255) as u8, v.min(255) as u8, (v * 3 / 4 + y / 8).min(255) as u8, 255])
    })
}

fn sent(picture: &Encoded) -> Vec<u8> {
    let drawn = Sent::new(1).show(&[Pane { pane: 1, at: (3, 2), picture, covered: false }]);
    let mut out = drawn.before;
    picture.text_at(&mut out, (3, 2), drawn.ids[0]);
    out.extend(drawn.after);
    out
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\x1b', "␛").replace('\x07', "␇").replace("␛\\", "␛\\\n")
}

#[test]
fn small_pictures_byte_by_byte() {
    for protocol in Protocol::ALL {
        let picture = encoded(&drawing(), &target(protocol));
        let cells = if protocol == Protocol::HalfBlocks { (7, 3) } else { (2, 1) };
        assert_eq!((picture.cells(), picture.protocol()), (cells, protocol));
        insta::assert_snapshot!(format!("{protocol}"), readable(&sent(&picture)));
    }
    let wrapped = encoded(&drawing(), &Target { tmux: true, ..target(Protocol::KittyPlaceholders) });
    insta::assert_snapshot!("kitty-tmux", readable(&sent(&wrapped)));
    let palette = encoded(&drawing(), &Target { depth: Depth::Palette, ..target(Protocol::HalfBlocks) });
    insta::assert_snapshot!("half-blocks-256", readable(&sent(&palette)));
}

/// The decibels between two pictures; their transparency must agree.
fn likeness(a: &RgbaImage, b: &RgbaImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let mut sum = 0.0;
    for (p, q) in a.pixels().zip(b.pixels()) {
        assert_eq!(p.0[3], q.0[3]);
        if p.0[3] == 255 {
            sum += (0..3).map(|c| (f64::from(p.0[c]) - f64::from(q.0[c])).powi(2)).sum::<f64>();
        }
    }
    let mean = sum / (3.0 * f64::from(a.width() * a.height()));
    if mean == 0.0 { f64::INFINITY } else { 10.0 * (255.0 * 255.0 / mean).log10() }
}

fn from_kitty(picture: &Encoded) -> RgbaImage {
    let mut terminal = Terminal::default();
    terminal.write(&sent(picture));
    let image = terminal.images.values().next().unwrap();
    image::load_from_memory(&STANDARD.decode(&image.payload).unwrap()).unwrap().into_rgba8()
}

#[test]
fn kitty_pictures_decode_to_what_was_sent() {
    // Few colours: exact, centred in its cells, the rest transparent.
    let back = from_kitty(&encoded(&drawing(), &target(Protocol::KittyPlaceholders)));
    assert_eq!(back.dimensions(), (8, 6));
    for (x, y, pixel) in drawing().enumerate_pixels() {
        let got = back.get_pixel(x, y).0;
        assert!(got == pixel.0 || got[3] == 0 && pixel.0[3] == 0, "{x} {y}");
    }
    assert_eq!(back.get_pixel(7, 0).0[3], 0);
    // A photograph in 256 colours is near; with all colours it is exact.
    let photo = photo(120, 90);
    let near = likeness(&photo, &from_kitty(&encoded(&photo, &target(Protocol::KittyDirect))));
    assert!(near > 36.0, "{near}");
    let all = Target { colours: Colours::True, ..target(Protocol::KittyDirect) };
    assert_eq!(likeness(&photo, &from_kitty(&encoded(&photo, &all))), f64::INFINITY);
}

#[test]
fn long_pictures_go_in_chunks_also_through_tmux() {
    let photo = photo(232, 234);
    for tmux in [false, true] {
        let picture = encoded(&photo, &Target { tmux, ..target(Protocol::KittyPlaceholders) });
        let bytes = sent(&picture);
        let chunks = bytes.windows(3).filter(|three| three == b"\x1b_G").count();
        assert!(chunks >= 4, "{chunks}");
        assert_eq!(bytes.windows(7).filter(|seven| seven == b"\x1bPtmux;").count(), if tmux { chunks } else { 0 });
        assert!(likeness(&photo, &from_kitty(&picture)) > 36.0);
    }
}

#[test]
fn placeholders_name_row_column_and_id_in_every_cell() {
    let picture = encoded(&photo(40, 30), &target(Protocol::KittyPlaceholders));
    let mut terminal = Terminal::default();
    terminal.write(&sent(&picture));
    let (id, image) = terminal.images.iter().next().unwrap();
    assert_eq!((*id, image.virtual_cells), (1 << 24 | 1, Some((10, 5))));
    assert_eq!(terminal.text.len(), 50);
    // U+0305, U+030D, U+030E … stand for 0, 1, 2 …
    assert_eq!(terminal.text[&(3 + 2, 2 + 1)], ("\u{10EEEE}\u{30D}\u{30E}\u{30D}".to_owned(), "0;38;5;1".to_owned()));
}

#[test]
fn iterm2_gets_a_photograph_as_jpeg_and_a_drawing_as_png() {
    for (picture, format) in [(photo(200, 150), image::ImageFormat::Jpeg), (drawing(), image::ImageFormat::Png)] {
        let bytes = sent(&encoded(&picture, &target(Protocol::Iterm2)));
        let text = String::from_utf8(bytes).unwrap();
        let file = text.split("\x1b]1337;File=").nth(1).unwrap().split('\x07').next().unwrap();
        let (keys, payload) = file.split_once(':').unwrap();
        let payload = STANDARD.decode(payload).unwrap();
        assert!(keys.contains(&format!("size={};", payload.len())));
        assert_eq!(image::guess_format(&payload).unwrap(), format);
        image::load_from_memory(&payload).unwrap();
    }
}

/// A small sixel decoder: palette, runs, carriage return, new line.
fn from_sixel(escape: &str) -> RgbaImage {
    let body = escape.strip_prefix("\x1bP0;1;0q\"1;1;").unwrap().strip_suffix("\x1b\\").unwrap();
    let number = |at: &mut usize| {
        let digits: String = body[*at..].chars().take_while(char::is_ascii_digit).collect();
        *at += digits.len();
        digits.parse::<u32>().unwrap()
    };
    let mut at = 0;
    let width = number(&mut at);
    at += 1;
    let mut picture = RgbaImage::new(width, number(&mut at));
    let (mut palette, mut colour, mut x, mut y) = (HashMap::new(), 0, 0, 0);
    while at < body.len() {
        let letter = body.as_bytes()[at];
        at += 1;
        match letter {
            b'#' => {
                colour = number(&mut at);
                if body[at..].starts_with(";2;") {
                    at += 2;
                    let rgb: Vec<u8> = (0..3)
                        .map(|_| {
                            at += 1;
                            (number(&mut at) * 255 / 100) as u8
                        })
                        .collect();
                    palette.insert(colour, Rgba([rgb[0], rgb[1], rgb[2], 255]));
                }
            }
            b'$' => x = 0,
            b'-' => (x, y) = (0, y + 6),
            _ => {
                let times = if letter == b'!' { number(&mut at) } else { 1 };
                let dots = if letter == b'!' {
                    at += 1;
                    body.as_bytes()[at - 1]
                } else {
                    letter
                };
                assert!((b'?'..=b'~').contains(&dots));
                for _ in 0..times {
                    for row in (0..6).filter(|row| (dots - b'?') >> row & 1 == 1) {
                        assert_eq!(picture.get_pixel(x, y + row).0[3], 0, "painted twice");
                        picture.put_pixel(x, y + row, palette[&colour]);
                    }
                    x += 1;
                }
            }
        }
    }
    picture
}

#[test]
fn sixel_decodes_to_what_was_sent() {
    for (picture, least) in [(photo(120, 90), 34.0), (photo(121, 87), 34.0)] {
        let bytes = sent(&encoded(&picture, &target(Protocol::Sixel)));
        let text = String::from_utf8(bytes).unwrap();
        let start = text.find("\x1bP").unwrap();
        let end = text.rfind("\x1b\\").unwrap() + 2;
        let back = from_sixel(&text[start..end]);
        let (left, top) = ((back.width() - picture.width()) / 2, (back.height() - picture.height()) / 2);
        let part = image::imageops::crop_imm(&back, left, top, picture.width(), picture.height()).to_image();
        let near = likeness(&picture, &part);
        assert!(near > least, "{near}");
        // What is left of the cells is not painted.
        let painted = back.pixels().filter(|pixel| pixel.0[3] == 255).count();
        assert_eq!(painted, (picture.width() * picture.height()) as usize);
    }
    let few = encoded(&photo(40, 30), &Target { registers: 16, ..target(Protocol::Sixel) });
    assert!(!String::from_utf8(sent(&few)).unwrap().contains("#16;"));
}

#[test]
fn half_blocks_show_two_dots_per_cell() {
    let picture =
        RgbaImage::from_vec(2, 3, [[1, 2, 3, 255], [4, 5, 6, 255], [7, 8, 9, 255], [0, 0, 0, 0], [10, 11, 12, 255], [0; 4]].concat())
            .unwrap();
    let mut cells = Vec::new();
    encoded(&picture, &target(Protocol::HalfBlocks))
        .cells_at(None, |x, y, symbol, front, back| cells.push((x, y, symbol.to_owned(), front, back)));
    let expected = [
        (0, 0, "▀".to_owned(), Colour::Rgb(1, 2, 3), Colour::Rgb(7, 8, 9)),
        (1, 0, "▀".to_owned(), Colour::Rgb(4, 5, 6), Colour::Default),
        (0, 1, "▀".to_owned(), Colour::Rgb(10, 11, 12), Colour::Default),
        (1, 1, " ".to_owned(), Colour::Default, Colour::Default),
    ];
    assert_eq!(cells, expected);
}

#[test]
fn nothing_but_our_own_escapes_and_nothing_too_large() {
    for protocol in Protocol::ALL {
        for (width, height) in [(1, 1), (239, 179), (3000, 7)] {
            let picture = encode(&photo(width, height), (40, 20), &target(protocol), Key::of(&protocol)).unwrap();
            assert!(picture.cells().0 <= 40 && picture.cells().1 <= 20);
            // The terminal of the tests refuses what it does not know.
            Terminal::default().write(&sent(&picture));
        }
        let nothing = encode(&RgbaImage::new(0, 0), (0, 0), &target(protocol), Key::of(&protocol)).unwrap();
        assert_eq!(nothing.cells(), (1, 1));
    }
}
