//! Pictures for other programs: what they read as it stands, what must be written anew, and computed pictures.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat};

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
        Some(ImageFormat::Jpeg) => ("jpg", jpeg_is_whole(bytes)),
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
    if format == Some(ImageFormat::Jpeg) && jpeg_frame(bytes).is_some_and(|(channels, _)| channels == 4) {
        return Ok(Portable::Recode("it is CMYK"));
    }
    let color = decoder.color_type();
    let deep = color.bits_per_pixel() > 8 * u16::from(color.channel_count());
    Ok(if deep { Portable::Recode("it has more than 8 bits per channel") } else { Portable::AsIs(extension) })
}

/// The number of channels that a JPEG's frame header names, and where its scan begins.
fn jpeg_frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (mut at, mut channels) = (2, None);
    loop {
        match bytes.get(at..at + 4)? {
            [0xff, 0xff, ..] => at += 1,
            [0xff, 0xda, ..] => return Some((channels?, at)),
            [0xff, marker, high, low] => {
                // SOF0 to SOF15, without DHT, JPG and DAC, which lie between them.
                if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
                    channels = bytes.get(at + 9).copied();
                }
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
            }
            _ => return None,
        }
    }
}

/// Whether a JPEG has its end marker behind the beginning of its scan (a thumbnail before it has its own).
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let scan = jpeg_frame(bytes).and_then(|(_, scan)| bytes.get(scan..));
    scan.is_some_and(|scan| scan.windows(2).rev().any(|marker| marker == [0xff, 0xd9]))
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

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;

    fn encoded(picture: &Picture, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn of(bytes: &[u8]) -> Result<Portable, ImageError> {
        portable(bytes, Path::new("x"), Limits::default())
    }

    #[test]
    fn plain_files_stay_and_others_say_why_not() {
        let grey = DynamicImage::new_luma8(40, 30);
        assert_eq!(of(&encoded(&grey, ImageFormat::Png)).unwrap(), Portable::AsIs("png"));
        assert_eq!(of(&encoded(&DynamicImage::new_rgba8(4, 3), ImageFormat::Png)).unwrap(), Portable::AsIs("png"));
        let jpeg = encoded(&grey, ImageFormat::Jpeg);
        assert_eq!(of(&jpeg).unwrap(), Portable::AsIs("jpg"));
        assert_eq!(of(&encoded(&grey, ImageFormat::Bmp)).unwrap(), Portable::AsIs("bmp"));
        assert!(matches!(of(&encoded(&DynamicImage::new_luma16(4, 3), ImageFormat::Png)).unwrap(), Portable::Recode(_)));
        assert!(matches!(of(&encoded(&grey, ImageFormat::Tiff)).unwrap(), Portable::Recode(_)));

        // A quarter turn, as a phone writes it: TIFF header, one entry, tag 0x0112 = 6.
        let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let turned = [&jpeg[..2], exif, &jpeg[2..]].concat();
        assert_eq!(of(&turned).unwrap(), Portable::Recode("its EXIF orientation turns it"));
        let cmyk = b"\xff\xd8\xff\xc0\0\x14\x08\0\x01\0\x01\x04............\xff\xda\0\x02";
        assert_eq!(jpeg_frame(cmyk), Some((4, 24)));
    }

    #[test]
    fn cut_files_are_refused() {
        let picture = DynamicImage::new_rgb8(64, 64);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP] {
            let bytes = encoded(&picture, format);
            assert!(of(&bytes).is_ok(), "{format:?}");
            assert!(of(&bytes[..bytes.len() - 8]).is_err(), "{format:?}");
        }
        assert!(of(b"no image").is_err());
    }
}
