//! Pictures for other programs: what they read as it stands, what must be written anew, and computed pictures.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops::FilterType as Resampling;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, RgbImage};

use super::file::{limit, reader};
use super::{ImageError, Limits, Picture, decode_bytes};

/// What another program makes of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portable {
    /// The same as we do; the usual file name extension.
    AsIs(&'static str),
    /// Something else, so that it must be written anew as 8-bit RGB; why.
    Recode(&'static str),
}

/// Looks at an image's header and at whether its end is there, without decoding it; `name` is for messages.
pub fn portable(bytes: &[u8], name: &Path, limits: Limits) -> Result<Portable, ImageError> {
    let failed = |source| ImageError::Decode { path: name.to_owned(), source };
    let mut reader = reader(Cursor::new(bytes), name)?;
    let format = reader.format();
    limit(&mut reader, limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (extension, whole) = match format {
        Some(ImageFormat::Png) => ("png", png_is_whole(bytes)),
        Some(ImageFormat::Jpeg) => ("jpg", bytes.windows(2).rev().any(|marker| marker == [0xff, 0xd9])),
        Some(ImageFormat::WebP) => ("webp", decode_bytes(bytes, name, limits).is_ok()),
        Some(ImageFormat::Bmp) => ("bmp", decode_bytes(bytes, name, limits).is_ok()),
        _ => return Ok(Portable::Recode("few programs read its format")),
    };
    if !whole {
        let cut = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file ends before the picture does");
        return Err(ImageError::Io { path: name.to_owned(), source: cut });
    }
    if decoder.orientation().is_ok_and(|orientation| orientation != Orientation::NoTransforms) {
        return Ok(Portable::Recode("its EXIF orientation turns it"));
    }
    if format == Some(ImageFormat::Jpeg) && jpeg_channels(bytes) == Some(4) {
        return Ok(Portable::Recode("it is CMYK"));
    }
    let color = decoder.color_type();
    let deep = color.bits_per_pixel() > 8 * u16::from(color.channel_count());
    Ok(if deep { Portable::Recode("it has more than 8 bits per channel") } else { Portable::AsIs(extension) })
}

/// The number of channels that a JPEG's frame header names.
fn jpeg_channels(bytes: &[u8]) -> Option<u8> {
    let mut at = 2;
    loop {
        let head = bytes.get(at..at + 4)?;
        match head {
            [0xff, 0xff, ..] => at += 1,
            // SOF0 to SOF15, without DHT, JPG and DAC, which lie between them.
            [0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, ..] => return bytes.get(at + 9).copied(),
            [0xff, _, high, low] => at += 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return None,
        }
    }
}

/// Whether a PNG's chunks reach its last one.
fn png_is_whole(bytes: &[u8]) -> bool {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if &head[4..] == b"IEND" {
            return true;
        }
        at = at.saturating_add(length).saturating_add(12);
    }
    false
}

/// The picture as an 8-bit RGB PNG; the same bytes for the same picture.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    picture.to_rgb8().write_with_encoder(encoder)?;
    Ok(bytes)
}

/// How far query and reference lie apart, pixel by pixel and channel by channel; the reference is scaled to the
/// query's size where the two differ.
pub fn difference(query: &Picture, reference: &Picture) -> Picture {
    let query = query.to_rgb8();
    let (width, height) = query.dimensions();
    let reference = if (reference.width(), reference.height()) == (width, height) {
        reference.to_rgb8()
    } else {
        reference.resize_exact(width, height, Resampling::Triangle).to_rgb8()
    };
    let apart = query.as_raw().iter().zip(reference.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
    DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, apart).unwrap_or_default())
}
