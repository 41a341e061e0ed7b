//! The labels as a table, safe to open in a spreadsheet.

use std::borrow::Cow;

use super::provenance::instant;
use super::row::{Line, Row};
use crate::conversation::Recipe;
use crate::domain::Schema;

const FILE: &str = "labels.csv";

/// The columns before the fields.
const COLUMNS: [&str; 7] = ["sample", "split", "group", "type", "image", "reviewer", "approved"];

/// The table's first line.
pub(super) fn header(schema: &Schema) -> Vec<u8> {
    let fields = schema.fields().iter().map(|field| match field.id.as_str() {
        taken if COLUMNS.contains(&taken) => format!("field_{taken}"),
        free => free.to_owned(),
    });
    record(COLUMNS.into_iter().map(str::to_owned).chain(fields))
}

/// The row's line.
pub(super) fn line(recipe: &Recipe, row: &Row) -> Line {
    let (sample, provenance) = (row.approved.sample(), row.approved.provenance());
    let about = [
        sample.id.to_string(),
        row.split.name().to_owned(),
        sample.group.clone(),
        row.image_type.clone(),
        sample.query.path.to_string(),
        provenance.reviewer.to_string(),
        instant(provenance.time_ms),
    ];
    let label = row.approved.label();
    let fields = recipe.schema.fields().iter().map(|field| label.get(&field.id).map(|value| field.render(value)).unwrap_or_default());
    Line { file: FILE.to_owned(), bytes: record(about.into_iter().chain(fields)) }
}

fn record(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let cells: Vec<String> = cells.collect();
    // Writing to memory does not fail.
    let _ = writer.write_record(cells.iter().map(|cell| inert(cell).into_owned()));
    writer.into_inner().unwrap_or_default()
}

/// The cell as a spreadsheet shows it without executing it: an apostrophe goes before what would begin a formula.
/// Plain numbers stay numbers.
fn inert(cell: &str) -> Cow<'_, str> {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if formula && cell.parse::<i64>().is_err() { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_executed() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("＝1", "'＝1"),
            ("-5", "-5"),
            ("a=1", "a=1"),
            ("傷", "傷"),
            ("", ""),
        ] {
            assert_eq!(inert(cell), written);
        }
        let line = record(["a,b".to_owned(), "say \"x\"".to_owned()].into_iter());
        assert_eq!(String::from_utf8(line).unwrap(), "\"a,b\",\"say \"\"x\"\"\"\n");
    }
}
