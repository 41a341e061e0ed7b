//! Pictures as files and as pixels: found inside their folder, limited before allocation, hashed, decoded; framed, resampled,
//! compared, drawn upon; small ones kept on disk, all of them kept in memory up to a number of bytes.
//!
//! Contract: imports `domain` only. Every image is untrusted: a path never leads out of its folder (also not through a
//! symbolic link), dimensions are checked before memory is taken, and a broken file is an error that names it.

mod adjust;
mod cache;
mod crop;
mod difference;
mod file;
mod glyph;
mod overlay;
mod portable;
mod thumbnail;

pub use adjust::{Adjust, flatten};
pub use cache::ByteCache;
pub use crop::{Frame, View, Zoom, resample};
pub use difference::{difference, shift, shown_difference};
pub use file::{ImageError, Limits, Picture, decode, decode_bytes, dimensions, dimensions_of_bytes, hash_bytes, hash_file, locate, read};
pub use overlay::{GridOverlay, Overlay, draw_overlays};
pub use portable::{Portable, encode_png, portable};
pub use thumbnail::ThumbnailCache;
