//! The printed row letters and column numbers, as pen strokes: no font file is needed.

use super::canvas::{Canvas, Extent, from_segment};
use super::grid::{COLUMNS, ROW_LETTERS, ROWS, pin_on_plate};
use super::scene::Scene;
use super::texture::GRAIN;
use crate::domain::Address;

/// A pen stroke inside a glyph's box, which is 1 high and 0.64 wide with its middle at the origin (y down).
enum Stroke {
    /// Straight lines through these points.
    Lines(&'static [[f32; 2]]),
    /// An elliptic arc: middle, radii, first and last angle in quarter turns (0 right, 1 down).
    Arc([f32; 2], [f32; 2], [f32; 2]),
}

use Stroke::{Arc, Lines};

fn strokes(glyph: char) -> &'static [Stroke] {
    match glyph {
        'U' => &[Lines(&[[-0.32, -0.5], [-0.32, 0.18]]), Lines(&[[0.32, -0.5], [0.32, 0.18]]), Arc([0.0, 0.18], [0.32, 0.32], [0.0, 2.0])],
        'C' => &[Arc([0.02, 0.0], [0.34, 0.5], [0.62, 3.38])],
        'D' => &[Lines(&[[-0.02, -0.5], [-0.3, -0.5], [-0.3, 0.5], [-0.02, 0.5]]), Arc([-0.02, 0.0], [0.34, 0.5], [-1.0, 1.0])],
        '1' => &[Lines(&[[-0.18, -0.3], [0.04, -0.5], [0.04, 0.5]])],
        '2' => &[Arc([0.0, -0.21], [0.29, 0.29], [-2.1, 0.45]), Lines(&[[0.22, -0.02], [-0.29, 0.5], [0.31, 0.5]])],
        '3' => &[Arc([-0.02, -0.245], [0.26, 0.255], [-2.25, 1.0]), Arc([-0.02, 0.245], [0.3, 0.255], [-1.0, 2.25])],
        '4' => &[Lines(&[[0.16, 0.5], [0.16, -0.5], [-0.31, 0.2], [0.33, 0.2]])],
        '5' => &[Lines(&[[0.26, -0.5], [-0.2, -0.5], [-0.24, -0.06]]), Arc([-0.01, 0.18], [0.3, 0.32], [-2.55, 1.75])],
        '6' => &[Arc([0.0, 0.19], [0.3, 0.31], [0.0, 4.0]), Lines(&[[-0.3, 0.19], [-0.22, -0.12], [0.12, -0.5]])],
        '7' => &[Lines(&[[-0.3, -0.5], [0.3, -0.5], [-0.08, 0.5]])],
        '8' => &[Arc([0.0, -0.255], [0.25, 0.245], [0.0, 4.0]), Arc([0.0, 0.235], [0.3, 0.265], [0.0, 4.0])],
        '9' => &[Arc([0.0, -0.19], [0.3, 0.31], [0.0, 4.0]), Lines(&[[0.3, -0.19], [0.22, 0.12], [-0.12, 0.5]])],
        _ => &[],
    }
}

/// Segments of a glyph; arcs become short straight pieces.
fn segments(glyph: char) -> Vec<[[f32; 2]; 2]> {
    const PIECES: usize = 9;
    let mut out = Vec::with_capacity(2 * PIECES);
    for stroke in strokes(glyph) {
        match stroke {
            Lines(points) => out.extend(points.windows(2).map(|pair| [pair[0], pair[1]])),
            Arc(middle, radii, [from, to]) => {
                let point = |piece: usize| {
                    let turn = from + (to - from) * piece as f32 / PIECES as f32;
                    let (sin, cos) = (turn * std::f32::consts::FRAC_PI_2).sin_cos();
                    [middle[0] + radii[0] * cos, middle[1] + radii[1] * sin]
                };
                out.extend((0..PIECES).map(|piece| [point(piece), point(piece + 1)]));
            }
        }
    }
    out
}

/// Prints the letters at the left of the rows and the numbers above the columns.
pub(super) fn draw(canvas: &mut Canvas, scene: &Scene) {
    for (row, letter) in ROW_LETTERS.into_iter().enumerate().take(ROWS) {
        let [x, y] = pin_on_plate(Address { row: row as u8, column: 0 });
        // Level with what is seen of the pins, whose caps appear above their bases.
        print(canvas, scene, letter, [x - 36.0, y - 4.0], 17.0);
    }
    for (column, digit) in ('1'..='9').enumerate().take(COLUMNS) {
        let [x, y] = pin_on_plate(Address { row: 0, column: column as u8 });
        print(canvas, scene, digit, [x, y - 38.5], 13.5);
    }
}

/// Prints one glyph `height` board units high with its middle at `centre` on the plate.
fn print(canvas: &mut Canvas, scene: &Scene, glyph: char, centre: [f32; 2], height: f32) {
    let segments = segments(glyph);
    let pen = 0.085;
    let box_corners = [[-0.45, -0.6], [0.45, -0.6], [0.45, 0.6], [-0.45, 0.6]]
        .map(|[x, y]| scene.camera.project(centre[0] + x * height, centre[1] + y * height, 0.0));
    let extent = Extent::around(&box_corners, 1.0, canvas);
    let ink: [f32; 3] = std::array::from_fn(|i| scene.plate.ink[i] * scene.light.colour[i]);
    for y in extent.y1..extent.y2 {
        for x in extent.x1..extent.x2 {
            let [u, v] = scene.plate_plane.apply([x as f32 + 0.5, y as f32 + 0.5]);
            let at = [(u - centre[0]) / height, (v - centre[1]) / height];
            let squared =
                segments.iter().map(|[a, b]| from_segment(at, *a, *b).0).map(|[dx, dy]| dx * dx + dy * dy).fold(f32::MAX, f32::min);
            let cover = ((pen - squared.sqrt()) * height * scene.scale + 0.5).clamp(0.0, 1.0);
            if cover > 0.0 {
                let worn = 0.94 + 0.04 * GRAIN.at(u * 1.7, v * 1.7).min(1.0);
                let lit = scene.light.field(u, v);
                canvas.blend(x, y, ink.map(|value| value * lit), cover * worn);
            }
        }
    }
}
