//! Rows whose columns are fields: what JSONL, CSV and Parquet have in common.

use std::collections::BTreeSet;

use super::NewSample;
use super::cell::{Cell, Record};
use super::intake::{Fault, Intake};
use crate::domain::{Field, FieldKind, Value};

/// A sample from a record with one column a field.
///
/// Null, an empty text and a missing column say nothing, except that a row with other values and an empty box says that
/// there is no box: unlabelled rows often carry the key too.
pub(super) fn sample(intake: &Intake<'_>, record: &Record<'_>) -> Result<NewSample, Fault> {
    let schema = intake.options.schema;
    let mut draft = intake.draft(record)?;
    let mut no_box = Vec::new();
    for field in schema.fields() {
        let none = match &field.kind {
            FieldKind::Box { none } => Some(none.is_some()),
            _ => None,
        };
        let columns = || intake.options.columns.of_field(field.id.as_str(), none.is_some());
        let no_sides = |cell: &Cell<'_>| none.is_some() && matches!(cell, Cell::List(sides) if sides.is_empty());
        match record.first(columns()).filter(|(_, cell)| !no_sides(cell)) {
            Some((column, cell)) => match sides(field, column, cell)? {
                Some(sides) => draft.boxed(field, column, sides),
                None => draft.label.set(schema, &field.id, value(field, column, cell)?)?,
            },
            None if none == Some(true) && columns().any(|column| record.get(column).is_some()) => no_box.push(&field.id),
            None => {}
        }
    }
    if !draft.label.is_empty() {
        no_box.into_iter().try_for_each(|id| draft.label.set(schema, id, Value::Box(None)))?;
    }
    intake.finish(draft)
}

/// The value of a field that a cell holds.
pub(super) fn value(field: &Field, column: &str, cell: &Cell<'_>) -> Result<Value, Fault> {
    let wrong = || Fault::new(column, field.expectation(), cell);
    match (cell, &field.kind) {
        (Cell::List(cells), FieldKind::MultiChoice { .. }) => {
            let mut chosen = BTreeSet::new();
            for cell in cells {
                match field.parse(&cell.text().ok_or_else(wrong)?) {
                    Ok(Value::Choices(more)) => chosen.extend(more),
                    _ => return Err(wrong()),
                }
            }
            Ok(Value::Choices(chosen))
        }
        _ => field.parse(&cell.text().ok_or_else(wrong)?).map_err(|error| Fault::value(column, error)),
    }
}

/// A box in pixels `[x1, y1, x2, y2]`, as a list or as the text of one; none when the cell is written otherwise.
pub(super) fn sides(field: &Field, column: &str, cell: &Cell<'_>) -> Result<Option<[f64; 4]>, Fault> {
    if !matches!(field.kind, FieldKind::Box { .. }) {
        return Ok(None);
    }
    let wrong = || Fault::new(column, format!("[x1, y1, x2, y2] in pixels, or {}", field.expectation()), cell);
    match cell {
        Cell::Text(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str::<Cell<'_>>(text).ok().and_then(|cell| cell.four()).ok_or_else(wrong).map(Some)
        }
        Cell::List(_) => cell.four().ok_or_else(wrong).map(Some),
        Cell::Text(_) => Ok(None),
        _ => Err(wrong()),
    }
}
