//! Changes of a picture that leave what it shows true.

mod geometry;
mod photometry;

pub(super) use geometry::{shifted, turned};
pub use photometry::Photometry;
