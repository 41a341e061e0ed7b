//! iTerm2's inline images: one file, base64, painted over the cells at the cursor.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, RgbaImage};

use super::palette::Indexed;
use super::placement::push;
use super::{Colours, EncodeError, kitty};

const JPEG_QUALITY: u8 = 85;

/// The whole escape. A photograph goes as JPEG; drawings of few colours and pictures with all colours wanted go as PNG.
pub(super) fn escape(picture: &RgbaImage, cells: (u16, u16), background: [u8; 3], colours: Colours) -> Result<Vec<u8>, EncodeError> {
    let file = if colours == Colours::True || Indexed::is_exact(picture, 256) {
        kitty::png(picture, colours)?
    } else {
        jpeg(picture, background)?
    };
    let mut out = Vec::with_capacity(file.len() * 4 / 3 + 128);
    let (columns, rows) = cells;
    push(
        &mut out,
        format_args!("\x1b]1337;File=inline=1;size={};width={columns};height={rows};preserveAspectRatio=0;doNotMoveCursor=1:", file.len()),
    );
    out.extend_from_slice(STANDARD.encode(file).as_bytes());
    out.push(0x07);
    Ok(out)
}

fn jpeg(picture: &RgbaImage, background: [u8; 3]) -> Result<Vec<u8>, EncodeError> {
    let mut opaque = picture.clone();
    crate::imaging::flatten(&mut opaque, background);
    let mut bytes = Vec::new();
    DynamicImage::ImageRgba8(opaque).into_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))?;
    Ok(bytes)
}
