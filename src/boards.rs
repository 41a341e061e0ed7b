//! Drawing pin boards, their defects and their stars, with the truth about each picture; and printed circuits.
//!
//! Contract: imports `domain` and `imaging`.
//!
//! - [`draw`] is a pure function of its [`BoardSpec`]: same spec, same bytes. No clock, thread, hash-map order or
//!   third-party random generator takes part, so a board can be named by its spec instead of being stored.
//! - Everything a camera would vary by chance (light, lens, dust, plate, pin placement, sensor noise) follows from
//!   `seed`, `board_type` and `width` alone. The same seed with and without a defect differs near that one pin only.
//! - A defect touches exactly one pin. A pin without a defect varies far less than any defect changes it.
//! - Boards are drawn at the asked size, not enlarged: a wider picture has more detail.
//! - [`BoardSpec::random`] names an endless, addressable set: (seed, index) is one board.
//!
//! Inside, lengths are *board units* (bu): one bu is about one pixel of a picture [`NATIVE_WIDTH`] pixels wide. The origin
//! is the middle of the plate, x points right, y points down (towards the viewer) and z up from the plate to the camera.
//! Light is linear until `sensor` develops it into sRGB.

mod camera;
mod canvas;
mod circuit;
mod dataset;
mod defects;
mod dice;
mod glyphs;
mod grid;
mod pins;
mod plate;
mod scene;
mod sensor;
mod spec;
mod star;
mod texture;

use image::RgbImage;

pub use circuit::{Circuit, CircuitMode};
pub use dataset::{DatasetBoard, DatasetPlan, Finding};
pub use defects::DefectMode;
pub use grid::{COLUMNS, ROWS, pin_centre};
pub use spec::{BoardMix, BoardSpec, BoardType};
pub use star::star;

pub(crate) use dice::Dice;

use canvas::{Canvas, Extent};
use defects::Flaw;
use scene::Scene;

/// Width in pixels at which one board unit is one pixel.
pub const NATIVE_WIDTH: u32 = 448;
/// Height in pixels of a picture [`NATIVE_WIDTH`] pixels wide.
pub const NATIVE_HEIGHT: u32 = 192;
/// Widths that [`draw`] accepts, in pixels; others are brought into this range.
pub const WIDTHS: std::ops::RangeInclusive<u32> = 112..=4096;

/// A drawn board and the truth about it. Pixel coordinates have their origin at the top left corner of the picture.
#[derive(Debug, Clone)]
pub struct Board {
    /// sRGB, 8 bits per channel.
    pub image: RgbImage,
    /// Pixel positions `[x, y]` of the cap centres of pins U1, U9, D9 and D1.
    pub corners: [[f32; 2]; 4],
    /// `[x1, y1, x2, y2]` in pixels around what can be seen of the defect; `None` on a good board.
    pub defect_box: Option<[f32; 4]>,
}

/// Draws the board that `spec` names.
pub fn draw(spec: &BoardSpec) -> Board {
    let (width, height) = spec.size();
    let scene = Scene::new(spec);
    let flaw = spec.defect.map(|(mode, address)| (Flaw::new(mode, spec.seed), address));

    let mut canvas = Canvas::new(width as usize, height as usize);
    plate::draw(&mut canvas, &scene);
    glyphs::draw(&mut canvas, &scene);
    let touched = pins::draw(&mut canvas, &scene, flaw.as_ref());
    let mut image = sensor::develop(canvas, &scene);

    let corners = scene.corners();
    if let Some(address) = spec.star {
        let centre = scene.cap_centre(address);
        star::star(&mut image, centre, scene.cap_radius_px(address) * 0.86);
    }
    Board { image, corners, defect_box: touched.and_then(|extent: Extent| extent.to_box(1.0, width, height)) }
}
