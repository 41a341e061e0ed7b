//! Pictures as files and as pixels: found inside their folder, limited before allocation, hashed, decoded.
//!
//! Contract: imports `domain` only. Every image is untrusted: a path never leads out of its folder (also not through a
//! symbolic link), dimensions are checked before memory is taken, and a broken file is an error that names it.

mod file;
mod portable;

pub use file::{ImageError, Limits, Picture, decode, decode_bytes, dimensions, dimensions_of_bytes, hash_bytes, hash_file, locate};
pub use portable::{Portable, difference, encode_png, portable};
