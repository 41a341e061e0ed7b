//! Pictures of samples that a screen orders, and what it gets: the words between whoever draws and whoever makes pictures.

use super::{GridOverlay, Look, Prepared};
use crate::domain::{Address, BoundingBox, SampleId};

/// What a picture shows, and how. `Role` says which of the sample's pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted<Role> {
    /// Of which sample.
    pub sample: SampleId,
    /// Which of its pictures.
    pub role: Role,
    /// Zoom, place, brightness and contrast.
    pub look: Look,
    /// Whether the address grid is drawn on it.
    pub grid: bool,
    /// A cell of the grid that is outlined.
    pub cell: Option<Address>,
    /// A box that is drawn.
    pub area: Option<BoundingBox>,
    /// Whether the surroundings of the cell or the box are shown, large and without marks, in place of the whole.
    pub close_up: bool,
    /// The cells there is room for.
    pub room: (u16, u16),
    /// Whether a small copy will do.
    pub thumbnail: bool,
}

/// A picture that is ordered.
#[derive(Debug, Clone, PartialEq)]
pub struct Order<Role> {
    /// By this number it is known again.
    pub number: u64,
    /// What is wanted.
    pub wanted: Wanted<Role>,
}

/// A picture that was made, or why it was not.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The order's number.
    pub number: u64,
    /// The picture, or why there is none.
    pub outcome: Result<Prepared, String>,
    /// The address grid of the image, for a mouse.
    pub grid: Option<GridOverlay>,
}
