//! What is drawn on a prepared picture: the address grid with its names, a marked cell, boxes.
//!
//! Names are drawn with small built-in glyphs (A to Z, 0 to 9), kept in sight when the picture is zoomed. Other letters,
//! and pictures too coarse for glyphs (half-blocks), have lines only; the interface writes those names as text beside them.

use image::RgbaImage;

use super::Frame;
use super::glyph::{self, Glyphs};
use crate::domain::{Address, BoundingBox};

const LINE: [u8; 3] = [0, 200, 255];
const MARK: [u8; 3] = [255, 210, 0];
const BOX: [u8; 3] = [255, 60, 160];

/// Something drawn on a picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// The lines between the cells of an address grid.
    Grid(GridOverlay),
    /// The outline of one cell of the grid.
    Cell(GridOverlay, Address),
    /// A box, such as a defect's.
    Box(BoundingBox),
}

/// An address grid on an image.
#[derive(Debug, Clone, PartialEq)]
pub struct GridOverlay {
    /// The centres of the corner cells (top left, top right, bottom right, bottom left), as shares of width and height.
    pub corners: [[f64; 2]; 4],
    /// Row names from top to bottom.
    pub rows: Vec<String>,
    /// Column names from left to right.
    pub columns: Vec<String>,
}

impl GridOverlay {
    /// The place of a point given in cells, where (0, 0) is the centre of the top left cell, as a share of the image.
    pub fn place(&self, column: f64, row: f64) -> (f64, f64) {
        // A grid of one column reaches from its left corners to its right ones.
        let along = |at: f64, count: usize| if count > 1 { at / (count - 1) as f64 } else { 0.5 + at };
        let (u, v) = (along(column, self.columns.len()), along(row, self.rows.len()));
        let [a, b, c, d] = self.corners;
        let mix = |i: usize| (a[i] * (1.0 - u) + b[i] * u) * (1.0 - v) + (d[i] * (1.0 - u) + c[i] * u) * v;
        (mix(0), mix(1))
    }

    /// The grid whose cells share out the whole image evenly.
    pub fn even(rows: Vec<String>, columns: Vec<String>) -> Self {
        let edge = |count: usize| 0.5 / count.max(1) as f64;
        let (x, y) = (edge(columns.len()), edge(rows.len()));
        Self { corners: [[x, y], [1.0 - x, y], [1.0 - x, 1.0 - y], [x, 1.0 - y]], rows, columns }
    }

    /// The corners of a cell, clockwise from the top left, as shares of the image.
    pub fn cell(&self, address: Address) -> [(f64, f64); 4] {
        let (x, y) = (f64::from(address.column), f64::from(address.row));
        [(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)].map(|(x, y)| self.place(x, y))
    }

    /// The cell in whose middle third or nearer a place of the image lies: the nearest one, for a mouse. `None` without cells.
    pub fn nearest(&self, share: (f64, f64)) -> Option<Address> {
        let all = (0..self.rows.len()).flat_map(|row| (0..self.columns.len()).map(move |column| (row, column)));
        let far = |(row, column): (usize, usize)| {
            let (x, y) = self.place(column as f64, row as f64);
            (x - share.0).powi(2) + (y - share.1).powi(2)
        };
        all.min_by(|a, b| far(*a).total_cmp(&far(*b))).map(|(row, column)| Address { row: row as u8, column: column as u8 })
    }
}

/// Draws overlays on what a frame shows. `thick` is the width of lines in dots; `names` whether there are dots enough for glyphs.
pub fn draw_overlays(picture: &mut RgbaImage, frame: &Frame, overlays: &[Overlay], thick: u32, names: bool) {
    for overlay in overlays {
        match overlay {
            Overlay::Grid(grid) => draw_grid(picture, frame, grid, thick, names),
            Overlay::Cell(grid, address) => outline(picture, grid.cell(*address).map(|share| frame.dot_at(share)), thick + 1, MARK),
            Overlay::Box(found) => {
                let [x1, y1, x2, y2] = found.to_pixels(frame.image.0, frame.image.1);
                let dot = |x: f64, y: f64| frame.dot_at((x / f64::from(frame.image.0), y / f64::from(frame.image.1)));
                outline(picture, [dot(x1, y1), dot(x2, y1), dot(x2, y2), dot(x1, y2)], thick, BOX);
            }
        }
    }
}

fn draw_grid(picture: &mut RgbaImage, frame: &Frame, grid: &GridOverlay, thick: u32, names: bool) {
    let (columns, rows) = (grid.columns.len(), grid.rows.len());
    let dot = |column: f64, row: f64| frame.dot_at(grid.place(column, row));
    let (right, bottom) = (columns as f64 - 0.5, rows as f64 - 0.5);
    for edge in 0..=columns {
        line(picture, dot(edge as f64 - 0.5, -0.5), dot(edge as f64 - 0.5, bottom), thick, LINE);
    }
    for edge in 0..=rows {
        line(picture, dot(-0.5, edge as f64 - 0.5), dot(right, edge as f64 - 0.5), thick, LINE);
    }
    if names {
        let glyphs = Glyphs { scale: thick, colour: LINE };
        for (index, name) in grid.columns.iter().enumerate() {
            let (x, y) = dot(index as f64, -0.5);
            glyphs.write(picture, (x - f64::from(glyphs.width(name)) / 2.0, y - f64::from(glyphs.height() + 2)), name);
        }
        for (index, name) in grid.rows.iter().enumerate() {
            let (x, y) = dot(-0.5, index as f64);
            glyphs.write(picture, (x - f64::from(glyphs.width(name) + 2), y - f64::from(glyphs.height()) / 2.0), name);
        }
    }
}

fn outline(picture: &mut RgbaImage, corners: [(f64, f64); 4], thick: u32, colour: [u8; 3]) {
    for side in 0..4 {
        line(picture, corners[side], corners[(side + 1) % 4], thick, colour);
    }
}

/// A straight line, cut to the picture first: at a large zoom its ends may lie far outside.
fn line(picture: &mut RgbaImage, from: (f64, f64), to: (f64, f64), thick: u32, colour: [u8; 3]) {
    let Some((from, to)) = clip(from, to, (f64::from(picture.width()), f64::from(picture.height())), f64::from(thick)) else { return };
    let steep = (to.1 - from.1).abs() > (to.0 - from.0).abs();
    let turn = |(x, y): (f64, f64)| if steep { (y, x) } else { (x, y) };
    let (mut start, mut end) = (turn(from), turn(to));
    if start.0 > end.0 {
        std::mem::swap(&mut start, &mut end);
    }
    let slope = if end.0 > start.0 { (end.1 - start.1) / (end.0 - start.0) } else { 0.0 };
    for along in start.0.floor() as i64..=end.0.floor() as i64 {
        let across = start.1 + slope * ((along as f64 + 0.5).clamp(start.0, end.0) - start.0);
        for off in 0..i64::from(thick) {
            let across = across.floor() as i64 + off - i64::from(thick) / 2;
            let (x, y) = if steep { (across, along) } else { (along, across) };
            glyph::dot(picture, x, y, colour, 200);
        }
    }
}

/// The part of a line inside a picture widened by a margin (Liang and Barsky).
fn clip(from: (f64, f64), to: (f64, f64), size: (f64, f64), margin: f64) -> Option<((f64, f64), (f64, f64))> {
    if ![from.0, from.1, to.0, to.1].iter().all(|v| v.is_finite()) {
        return None;
    }
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut start, mut end) = (0.0_f64, 1.0_f64);
    for (p, q) in [(-dx, from.0 + margin), (dx, size.0 + margin - from.0), (-dy, from.1 + margin), (dy, size.1 + margin - from.1)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            start = start.max(q / p);
        } else {
            end = end.min(q / p);
        }
    }
    let at = |share: f64| (from.0 + dx * share, from.1 + dy * share);
    (start <= end).then(|| (at(start), at(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::{View, Zoom};
    use image::Rgba;

    fn pins() -> GridOverlay {
        GridOverlay {
            corners: [[0.12, 0.25], [0.94, 0.25], [0.94, 0.83], [0.12, 0.83]],
            rows: ["U", "C", "D"].map(String::from).to_vec(),
            columns: (1..=9).map(|n| n.to_string()).collect(),
        }
    }

    fn drawn(view: View, overlays: &[Overlay]) -> RgbaImage {
        let frame = Frame::new((900, 600), (300, 200), 1.0, view);
        let mut picture = RgbaImage::from_pixel(frame.size.0, frame.size.1, Rgba([40, 40, 40, 255]));
        draw_overlays(&mut picture, &frame, overlays, 1, true);
        picture
    }

    #[test]
    fn the_grid_lies_between_the_cells() {
        let grid = pins();
        assert_eq!(grid.place(0.0, 0.0), (0.12, 0.25));
        assert_eq!(grid.nearest((0.95, 0.8)), Some(Address { row: 2, column: 8 }));
        let picture = drawn(View::default(), &[Overlay::Grid(grid.clone())]);
        let (x, y) = ((0.12 + 0.5 * 0.82 / 8.0) * 300.0, 0.25 * 200.0);
        assert_ne!(picture.get_pixel(x as u32, y as u32).0, [40, 40, 40, 255], "a line between columns 1 and 2");
        assert_eq!(picture.get_pixel((0.12 * 300.0) as u32, y as u32).0, [40, 40, 40, 255], "nothing in the middle of a cell");
        assert!(picture.pixels().all(|p| p.0[3] == 255));
        let one = GridOverlay { rows: vec!["U".into()], columns: vec!["1".into()], ..grid };
        assert_eq!(one.cell(Address { row: 0, column: 0 })[0], (0.12, 0.25));
    }

    #[test]
    fn cells_and_boxes_are_outlined_where_they_are() {
        let found = BoundingBox::new(256, 512, 511, 767).unwrap();
        let picture = drawn(View::default(), &[Overlay::Box(found)]);
        assert_ne!(picture.get_pixel(150, 70).0, [40, 40, 40, 255]);
        assert_eq!(picture.get_pixel(180, 70).0, [40, 40, 40, 255]);
        // At a great zoom the lines leave the picture; nothing breaks and it costs nothing.
        let near = View { zoom: Zoom::Percent(6400), centre: (0.2, 0.2) };
        drawn(near, &[Overlay::Grid(pins()), Overlay::Cell(pins(), Address { row: 1, column: 4 }), Overlay::Box(found)]);
        let wild = GridOverlay { corners: [[f64::NAN, 1e300], [-1e300, 0.0], [9.0, 9.0], [0.0, 0.0]], ..pins() };
        drawn(near, &[Overlay::Grid(wild)]);
    }
}
