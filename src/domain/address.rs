//! Addresses on a grid: a row letter and a column number, such as `U3`.

use serde::{Deserialize, Serialize};

/// A cell of a [`Grid`], by index from 0. Its text depends on the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Index into the grid's rows.
    pub row: u8,
    /// Index into the grid's columns.
    pub column: u8,
}

/// The rows and columns by which places on a product are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Row names from top to bottom, for example `U`, `C`, `D`.
    pub rows: Vec<String>,
    /// Column names from left to right, for example `1` to `9`.
    pub columns: Vec<String>,
}

impl Grid {
    /// `U3`.
    ///
    /// An address of another grid, whose indices lie outside, is written `?`: schemas check theirs before.
    pub fn render(&self, address: Address) -> String {
        match (self.rows.get(usize::from(address.row)), self.columns.get(usize::from(address.column))) {
            (Some(row), Some(column)) => format!("{row}{column}"),
            _ => "?".to_owned(),
        }
    }

    /// The address that is written so, compared without case.
    pub fn parse(&self, text: &str) -> Option<Address> {
        self.rows.iter().enumerate().find_map(|(row, name)| {
            let rest = strip_prefix_ignoring_case(text, name)?;
            let column = self.columns.iter().position(|column| column.eq_ignore_ascii_case(rest.trim_start()))?;
            Some(Address { row: row as u8, column: column as u8 })
        })
    }

    /// Whether the address is one of this grid's.
    pub fn contains(&self, address: Address) -> bool {
        usize::from(address.row) < self.rows.len() && usize::from(address.column) < self.columns.len()
    }

    /// All addresses, row by row.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.rows.len()).flat_map(|row| (0..self.columns.len()).map(move |column| Address { row: row as u8, column: column as u8 }))
    }

    /// The cell in which a point lies, given as a share of the width and of the height of the gridded area.
    pub fn cell_at(&self, x: f64, y: f64) -> Address {
        let index = |share: f64, count: usize| ((share.clamp(0.0, 1.0) * count as f64) as usize).min(count.saturating_sub(1)) as u8;
        Address { row: index(y, self.rows.len()), column: index(x, self.columns.len()) }
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

#[cfg(test)]
pub(crate) fn pins_grid() -> Grid {
    Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: (1..=9).map(|n| n.to_string()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_reads_back() {
        let grid = pins_grid();
        assert_eq!(grid.addresses().count(), 27);
        for address in grid.addresses() {
            assert_eq!(grid.parse(&grid.render(address)), Some(address));
        }
        assert_eq!(grid.parse("u 3"), Some(Address { row: 0, column: 2 }));
        for wrong in ["", "U", "U0", "U10", "X3", "33", "傷3"] {
            assert_eq!(grid.parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn points_fall_into_cells() {
        let grid = pins_grid();
        assert_eq!(grid.cell_at(0.0, 0.0), Address { row: 0, column: 0 });
        assert_eq!(grid.cell_at(1.0, 1.0), Address { row: 2, column: 8 });
        assert_eq!(grid.cell_at(0.5, 0.5), Address { row: 1, column: 4 });
    }
}
