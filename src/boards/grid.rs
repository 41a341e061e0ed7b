//! The 3 × 9 grid: addresses, where pins stand on the plate and where an address lies in a photograph.

use super::camera::Homography;
use crate::domain::Address;

/// Rows U, C and D.
pub const ROWS: usize = 3;
/// Columns 1 to 9.
pub const COLUMNS: usize = 9;
pub(super) const PINS: usize = ROWS * COLUMNS;

/// Letters of the rows, far to near.
pub(super) const ROW_LETTERS: [char; ROWS] = ['U', 'C', 'D'];

/// An address's place in reading order, `0..27`.
pub(super) fn index_of(address: Address) -> usize {
    usize::from(address.row).min(ROWS - 1) * COLUMNS + usize::from(address.column).min(COLUMNS - 1)
}

/// The address at a place in reading order.
pub(super) fn address_at(index: usize) -> Address {
    Address { row: (index / COLUMNS % ROWS) as u8, column: (index % COLUMNS) as u8 }
}

/// Nominal place of a pin's axis on the plate, in board units.
pub(super) fn pin_on_plate(address: Address) -> [f32; 2] {
    [-159.0 + 42.5 * f32::from(address.column), -46.0 + 55.0 * f32::from(address.row)]
}

/// Where the pin at `address` lies inside the quadrilateral `corners`, the pixel positions of the first row's first and
/// last pin and the last row's last and first pin (U1, U9, D9, D1). Projective: exact for pins of one plane under any
/// camera position. A grid of one row or column uses the middle of that side. `rows` and `columns` count pins.
pub fn pin_centre(corners: &[[f32; 2]; 4], rows: usize, columns: usize, address: Address) -> [f32; 2] {
    let share = |place: u8, count: usize| {
        if count > 1 { f32::from(place) / (count - 1) as f32 } else { 0.5 }
    };
    Homography::onto_quadrilateral(corners).apply([share(address.column, columns), share(address.row, rows)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_map_onto_themselves_and_the_middle_lies_between() {
        let corners = [[10.0, 5.0], [110.0, 9.0], [120.0, 60.0], [4.0, 58.0]];
        for (address, expected) in [((0, 0), corners[0]), ((0, 8), corners[1]), ((2, 8), corners[2]), ((2, 0), corners[3])] {
            let at = pin_centre(&corners, ROWS, COLUMNS, Address { row: address.0, column: address.1 });
            assert!((at[0] - expected[0]).abs() < 1e-3 && (at[1] - expected[1]).abs() < 1e-3, "{at:?} {expected:?}");
        }
        let square = [[0.0, 0.0], [8.0, 0.0], [8.0, 2.0], [0.0, 2.0]];
        assert_eq!(pin_centre(&square, ROWS, COLUMNS, Address { row: 1, column: 4 }), [4.0, 1.0]);
    }
}
