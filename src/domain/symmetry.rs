//! The ways in which a square can be mirrored and turned, and what becomes of addresses and boxes on it.

use serde::{Deserialize, Serialize};

use super::{Address, BoundingBox, FieldKind, Grid, LOC_STEPS, Label, LabelProblem, Schema, Value};

/// Which mirrored and turned pictures of a project's products are as good as the originals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Symmetries {
    /// None: mirrored letters and products are others.
    #[default]
    None,
    /// Those of the square, once addresses and boxes are moved along. The rows and columns of addresses divide the whole
    /// picture evenly.
    Square,
}

/// One of the eight symmetries of the square. The picture is first mirrored at its main diagonal, then left to right,
/// then top to bottom, as far as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Symmetry {
    /// Rows become columns.
    pub transposed: bool,
    /// Left becomes right.
    pub mirrored: bool,
    /// Top becomes bottom.
    pub flipped: bool,
}

impl Symmetry {
    /// Symmetry number `index` of eight; the first four keep a picture's width and height, number 0 keeps everything.
    pub fn numbered(index: usize) -> Self {
        Self { transposed: index & 4 != 0, mirrored: index & 1 != 0, flipped: index & 2 != 0 }
    }

    /// Where a point comes to lie; points are given as shares of width and height.
    pub fn point(self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [x, y] = if self.transposed { [y, x] } else { [x, y] };
        [if self.mirrored { 1.0 - x } else { x }, if self.flipped { 1.0 - y } else { y }]
    }

    /// Where the area `[x1, y1, x2, y2]` comes to lie; sides are given as shares of width and height.
    pub fn area(self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        let ([ax, ay], [bx, by]) = (self.point([x1, y1]), self.point([x2, y2]));
        [ax.min(bx), ay.min(by), ax.max(bx), ay.max(by)]
    }

    /// Where a cell of a grid comes to lie. A grid of unequal sides has no transposed form: `None`.
    pub fn cell(self, grid: &Grid, address: Address) -> Option<Address> {
        let (rows, columns) = (grid.rows.len() as u8, grid.columns.len() as u8);
        if (self.transposed && rows != columns) || !grid.contains(address) {
            return None;
        }
        let Address { row, column } = address;
        let (row, column) = if self.transposed { (column, row) } else { (row, column) };
        Some(Address {
            row: if self.flipped { rows - 1 - row } else { row },
            column: if self.mirrored { columns - 1 - column } else { column },
        })
    }

    /// Where a box comes to lie.
    pub fn bounding_box(self, area: BoundingBox) -> BoundingBox {
        let [y1, x1, y2, x2] = area.steps();
        let ([y1, y2], [x1, x2]) = if self.transposed { ([x1, x2], [y1, y2]) } else { ([y1, y2], [x1, x2]) };
        let turned = |[from, to]: [u16; 2], turn: bool| {
            let step = |value: u16| (LOC_STEPS - value).min(LOC_STEPS - 1);
            if turn { [step(to), step(from)] } else { [from, to] }
        };
        let ([y1, y2], [x1, x2]) = (turned([y1, y2], self.flipped), turned([x1, x2], self.mirrored));
        // Turning keeps the order of sides and their bounds.
        BoundingBox::new(y1, x1, y2, x2).unwrap_or(area)
    }

    /// The label with every address and box moved along; `None` where a grid of unequal sides would be transposed.
    pub fn label(self, schema: &Schema, label: &Label) -> Option<Label> {
        let mut moved = label.clone();
        for (id, value) in label {
            let value = match (value, schema.field(id).map(|field| &field.kind)) {
                (Value::Address(Some(address)), Some(FieldKind::Address { grid, .. })) => Value::Address(Some(self.cell(grid, *address)?)),
                (Value::Box(Some(area)), _) => Value::Box(Some(self.bounding_box(*area))),
                _ => continue,
            };
            let kept: Result<(), LabelProblem> = moved.set(schema, id, value);
            kept.ok()?;
        }
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::pins_grid;

    fn square() -> Grid {
        Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: ["1", "2", "3"].map(String::from).to_vec() }
    }

    #[test]
    fn cells_points_and_boxes_go_the_same_way() {
        let grid = square();
        for symmetry in (0..8).map(Symmetry::numbered) {
            let mut seen = Vec::new();
            for address in grid.addresses() {
                let (x, y) = ((f32::from(address.column) + 0.4) / 3.0, (f32::from(address.row) + 0.7) / 3.0);
                let [mx, my] = symmetry.point([x, y]);
                let moved = symmetry.cell(&grid, address).unwrap();
                assert_eq!(grid.cell_at(f64::from(mx), f64::from(my)), moved, "{symmetry:?} {address:?}");
                seen.push(moved);
                let area = BoundingBox::from_pixels(
                    f64::from(x) * 999.0 - 20.0,
                    f64::from(y) * 999.0 - 9.0,
                    f64::from(x) * 999.0 + 20.0,
                    f64::from(y) * 999.0 + 9.0,
                    999,
                    999,
                )
                .unwrap();
                let (cx, cy) = symmetry.bounding_box(area).centre();
                assert!((cx - f64::from(mx)).abs() < 0.003 && (cy - f64::from(my)).abs() < 0.003, "{symmetry:?}");
            }
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 9);
        }
        let whole = BoundingBox::new(0, 0, 1023, 1023).unwrap();
        assert!((0..8).all(|index| Symmetry::numbered(index).bounding_box(whole).steps()[2] >= 1022));
        assert_eq!(Symmetry::numbered(0), Symmetry::default());
    }

    #[test]
    fn only_square_grids_are_transposed() {
        let address = Address { row: 0, column: 2 };
        assert_eq!(Symmetry::numbered(4).cell(&pins_grid(), address), None);
        assert_eq!(Symmetry::numbered(3).cell(&pins_grid(), address), Some(Address { row: 2, column: 6 }));
    }
}
