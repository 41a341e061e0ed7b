//! Where addresses go wrong: by row, by column, and between somewhere and nowhere.

use super::{Confusion, Pair};
use crate::domain::{Address, Field, FieldKind, Value};

/// How the addresses of a field were said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressErrors {
    /// Samples in which both truth and prediction name an address.
    pub located: u64,
    /// Of these, the ones in which only the row is wrong.
    pub row_only: u64,
    /// The ones in which only the column is wrong.
    pub column_only: u64,
    /// The ones in which both are wrong.
    pub both: u64,
    /// The wrong ones that lie beside the true address: at most one row and one column away.
    pub beside: u64,
    /// Samples with an address that were said to have none.
    pub overlooked: u64,
    /// Samples without an address that were said to have one.
    pub imagined: u64,
    /// Rows as they are and as they were said, of the located samples.
    pub rows: Confusion,
    /// Columns as they are and as they were said, of the located samples.
    pub columns: Confusion,
}

impl AddressErrors {
    /// Counts the addresses of a field; `None` for fields of other kinds.
    pub(super) fn of(field: &Field, pairs: &[Pair]) -> Option<Self> {
        let FieldKind::Address { grid, .. } = &field.kind else { return None };
        let both = |pair: &Pair| match (pair.truth.get(&field.id)?, &pair.said.get(&field.id)?.value) {
            (Value::Address(truth), Value::Address(said)) => Some((*truth, *said)),
            _ => None,
        };
        let known: Vec<(Option<Address>, Option<Address>)> = pairs.iter().filter_map(both).collect();
        let located: Vec<(Address, Address)> = known.iter().filter_map(|(truth, said)| truth.zip(*said)).collect();
        let count = |wrong: fn(&(Address, Address)) -> bool| located.iter().filter(|pair| wrong(pair)).count() as u64;
        let indices =
            |part: fn(Address) -> u8| located.iter().map(move |(truth, said)| (usize::from(part(*truth)), usize::from(part(*said))));
        Some(Self {
            located: located.len() as u64,
            row_only: count(|(truth, said)| truth.row != said.row && truth.column == said.column),
            column_only: count(|(truth, said)| truth.row == said.row && truth.column != said.column),
            both: count(|(truth, said)| truth.row != said.row && truth.column != said.column),
            beside: count(|(truth, said)| truth != said && truth.row.abs_diff(said.row) <= 1 && truth.column.abs_diff(said.column) <= 1),
            overlooked: known.iter().filter(|(truth, said)| truth.is_some() && said.is_none()).count() as u64,
            imagined: known.iter().filter(|(truth, said)| truth.is_none() && said.is_some()).count() as u64,
            rows: Confusion::of(grid.rows.clone(), indices(|address| address.row)),
            columns: Confusion::of(grid.columns.clone(), indices(|address| address.column)),
        })
    }
}
