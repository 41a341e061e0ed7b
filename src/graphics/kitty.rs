//! kitty's graphics protocol: PNG in chunks, placed by placeholders or at the cursor, deleted by id.
//!
//! Every command carries `q=2`, so that the terminal never answers into the keyboard.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbaImage;
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use super::palette::Indexed;
use super::placement::{PictureId, push, through_tmux};
use super::{Colours, EncodeError};

/// The most payload of one chunk, in base64 characters.
const CHUNK: usize = 4096;
/// Below the text and below the backgrounds of cells that have one, so that popups cover pictures.
const BENEATH: i32 = i32::MIN / 2 - 1;

/// A picture as a PNG, base64.
pub(super) fn payload(picture: &RgbaImage, colours: Colours) -> Result<Vec<u8>, EncodeError> {
    Ok(STANDARD.encode(png(picture, colours)?).into_bytes())
}

/// A picture, whose dots are opaque or transparent, as a PNG.
pub(super) fn png(picture: &RgbaImage, colours: Colours) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width(), picture.height());
    encoder.set_depth(BitDepth::Eight);
    match colours {
        Colours::Palette => {
            let few = Indexed::new(picture, 256);
            let mut palette = few.palette.concat();
            if few.clear {
                palette.extend([0; 3]);
                let mut alpha = vec![255; few.palette.len()];
                alpha.push(0);
                encoder.set_trns(alpha);
            }
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(palette);
            encoder.set_compression(Compression::Balanced);
            encoder.set_filter(Filter::NoFilter);
            encoder.write_header()?.write_image_data(&few.indices)?;
        }
        Colours::True => {
            encoder.set_compression(Compression::Fast);
            encoder.set_filter(Filter::Paeth);
            if picture.pixels().all(|pixel| pixel.0[3] == 255) {
                encoder.set_color(ColorType::Rgb);
                let rgb: Vec<u8> = picture.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]]).collect();
                encoder.write_header()?.write_image_data(&rgb)?;
            } else {
                encoder.set_color(ColorType::Rgba);
                encoder.write_header()?.write_image_data(picture.as_raw())?;
            }
        }
    }
    Ok(bytes)
}

/// Sends a picture. With placeholders (`cells` given) it also makes their virtual placement.
pub(super) fn transmit(out: &mut Vec<u8>, id: PictureId, payload: &[u8], cells: Option<(u16, u16)>, tmux: bool) {
    let last = payload.len().div_ceil(CHUNK).saturating_sub(1);
    let mut escape = Vec::with_capacity(CHUNK + 64);
    for (number, chunk) in payload.chunks(CHUNK).enumerate() {
        escape.clear();
        escape.extend_from_slice(b"\x1b_G");
        if number == 0 {
            match cells {
                Some((columns, rows)) => push(&mut escape, format_args!("a=T,U=1,c={columns},r={rows},")),
                None => escape.extend_from_slice(b"a=t,"),
            }
            push(&mut escape, format_args!("f=100,i={},", id.number()));
        }
        push(&mut escape, format_args!("q=2,m={};", u8::from(number < last)));
        escape.extend_from_slice(chunk);
        escape.extend_from_slice(b"\x1b\\");
        wrap(out, &escape, tmux);
    }
}

/// Places a picture at the cursor, which stays where it is.
pub(super) fn place(out: &mut Vec<u8>, id: PictureId, placement: u8, cells: (u16, u16), tmux: bool) {
    let (columns, rows) = cells;
    command(out, format_args!("a=p,i={},p={placement},c={columns},r={rows},C=1,z={BENEATH},q=2", id.number()), tmux);
}

/// Takes a placement away; the picture stays with the terminal.
pub(super) fn unplace(out: &mut Vec<u8>, id: PictureId, placement: u8, tmux: bool) {
    command(out, format_args!("a=d,d=i,i={},p={placement},q=2", id.number()), tmux);
}

/// Takes a picture and all its placements away.
pub(super) fn delete(out: &mut Vec<u8>, id: PictureId, tmux: bool) {
    command(out, format_args!("a=d,d=I,i={},q=2", id.number()), tmux);
}

fn command(out: &mut Vec<u8>, keys: std::fmt::Arguments<'_>, tmux: bool) {
    let mut escape = b"\x1b_G".to_vec();
    push(&mut escape, keys);
    escape.extend_from_slice(b"\x1b\\");
    wrap(out, &escape, tmux);
}

fn wrap(out: &mut Vec<u8>, escape: &[u8], tmux: bool) {
    if tmux {
        through_tmux(out, escape);
    } else {
        out.extend_from_slice(escape);
    }
}
