//! Where the things of a label lie on its picture, and where they lie once the picture is changed.

use std::collections::BTreeMap;

use super::Classes;
use crate::boards::pin_centre;
use crate::domain::{Address, BoundingBox, FieldKind, Grid, LOC_STEPS, Label, Schema, Symmetry, Value};
use crate::train::Region;

/// What is done to a picture: a symmetry, then a shift in shares of the turned picture's sides.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Change {
    pub(super) symmetry: Symmetry,
    pub(super) shift: [f32; 2],
}

/// What a project knows of places on its pictures.
pub(super) struct Places {
    /// By image type: the centres of the grid's corner cells, as shares of width and height.
    pub(super) corners: BTreeMap<String, [[f64; 2]; 4]>,
    /// Whether rows and columns divide the whole picture evenly, wherever the product lies on it.
    pub(super) even: bool,
}

impl Places {
    /// What is known to lie where on the changed picture; `None` where that is not known.
    pub(super) fn regions(
        &self,
        schema: &Schema,
        classes: &Classes,
        label: &Label,
        image_type: &str,
        change: Change,
    ) -> Option<Vec<Region>> {
        let mut area: Option<(bool, [f32; 4])> = None;
        let mut nowhere = false;
        for field in schema.fields() {
            let found = match (label.get(&field.id), &field.kind) {
                (Some(Value::Box(None) | Value::Address(None)), _) => {
                    nowhere = true;
                    None
                }
                (Some(Value::Box(Some(found))), _) => {
                    let [y1, x1, y2, x2] = found.steps().map(|step| f32::from(step) / f32::from(LOC_STEPS));
                    Some((true, [x1, y1, x2, y2]))
                }
                (Some(Value::Address(Some(address))), FieldKind::Address { grid, .. }) => {
                    self.cell(grid, *address, image_type).map(|cell| (false, cell))
                }
                _ => None,
            };
            // A box says more than a cell; of several, the first counts.
            if let Some((exact, found)) = found
                && area.is_none_or(|(before, _)| exact && !before)
            {
                area = Some((exact, found));
            }
        }
        match (area, classes.of_label(label)) {
            (Some((_, area)), Some(class)) => {
                let [x1, y1, x2, y2] = change.symmetry.area(area);
                let [right, down] = change.shift;
                let area = [x1 + right, y1 + down, x2 + right, y2 + down].map(|side| side.clamp(0.0, 1.0));
                Some(vec![Region { class, area }])
            }
            (None, _) if nowhere => Some(Vec::new()),
            _ => None,
        }
    }

    /// The area of a cell, as shares of width and height.
    fn cell(&self, grid: &Grid, address: Address, image_type: &str) -> Option<[f32; 4]> {
        let (rows, columns) = (grid.rows.len(), grid.columns.len());
        let (row, column) = (f32::from(address.row), f32::from(address.column));
        if self.even {
            let (height, width) = (1.0 / rows as f32, 1.0 / columns as f32);
            return Some([column * width, row * height, (column + 1.0) * width, (row + 1.0) * height]);
        }
        let corners = self.corners.get(image_type)?.map(|corner| corner.map(|share| share as f32));
        let centre = pin_centre(&corners, rows, columns, address);
        let [a, b, c, d] = corners;
        // Half of the mean distance between neighbours; of a single row or column, a sixth of the picture.
        let half = |from: f32, to: f32, count: usize| if count > 1 { (to - from).abs() / (count - 1) as f32 / 2.0 } else { 1.0 / 6.0 };
        let (across, along) = (
            half(f32::midpoint(a[0], d[0]), f32::midpoint(b[0], c[0]), columns),
            half(f32::midpoint(a[1], b[1]), f32::midpoint(d[1], c[1]), rows),
        );
        let area = [centre[0] - across, centre[1] - along, centre[0] + across, centre[1] + along];
        Some(area.map(|side| side.clamp(0.0, 1.0)))
    }

    /// What is true of the changed picture; `None` where that cannot be told.
    pub(super) fn label(&self, schema: &Schema, label: &Label, change: Change) -> Option<Label> {
        let label = change.symmetry.label(schema, label)?;
        if change.shift == [0.0; 2] {
            return Some(label);
        }
        let mut moved = label.clone();
        let mut centres = None;
        for (id, value) in &label {
            if let Value::Box(Some(area)) = value {
                let after = shifted(*area, change.shift)?;
                centres = Some((area.centre(), after.centre()));
                moved.set(schema, id, Value::Box(Some(after))).ok()?;
            }
        }
        // On a grid of the product, addresses move with it. On one of the picture, the middle of the box tells.
        if self.even {
            for (id, value) in &label {
                let (Value::Address(Some(address)), Some(FieldKind::Address { grid, .. })) =
                    (value, schema.field(id).map(|field| &field.kind))
                else {
                    continue;
                };
                let ((x, y), (right, down)) = centres?;
                if grid.cell_at(x, y) != *address {
                    return None;
                }
                moved.set(schema, id, Value::Address(Some(grid.cell_at(right, down)))).ok()?;
            }
        }
        Some(moved)
    }
}

/// The box moved by shares of the sides; `None` where it would leave the picture.
fn shifted(area: BoundingBox, by: [f32; 2]) -> Option<BoundingBox> {
    let [right, down] = by.map(|by| (by * f32::from(LOC_STEPS)).round() as i32);
    let [y1, x1, y2, x2] = area.steps();
    let step = |value: u16, by: i32| u16::try_from(i32::from(value) + by).ok();
    BoundingBox::new(step(y1, down)?, step(x1, right)?, step(y2, down)?, step(x2, right)?)
}
