//! What is true of samples that are already there: one JSON object a line, with an id and the fields.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::cell::{Cell, Record};
use super::intake::Fault;
use super::lines::Lines;
use super::run::{Place, Raw};
use super::{BadRow, Columns, ImportError, generic, jsonl};
use crate::domain::{BoundingBox, FieldKind, Label, SampleId, Schema, Value, breaches};

/// Width and height of a sample's query in pixels, or why they are not known.
pub type QuerySize<'a> = dyn Fn(&SampleId) -> Result<(u32, u32), String> + 'a;

/// What a truth file is read by.
#[derive(Clone, Copy)]
pub struct TruthOptions<'a> {
    /// What values are allowed.
    pub schema: &'a Schema,
    /// Which column of the file holds what.
    pub columns: &'a Columns,
    /// Whether a sample is there.
    pub known: &'a dyn Fn(&SampleId) -> bool,
    /// How large queries are, for boxes that are given in pixels.
    pub size: &'a QuerySize<'a>,
}

/// What a truth file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// Sample by sample, in the file's order; of a sample, fields may be missing.
    pub labels: Vec<(SampleId, Label)>,
    /// Rows that say nothing that can be used; they add nothing.
    pub bad: Vec<BadRow>,
}

/// Reads a truth file to its end. Columns that are no fields are left alone, as in an import. A label that breaks a rule is a
/// bad row, as is an unknown or repeated id.
pub fn read_truth(path: &Path, options: &TruthOptions<'_>) -> Result<Truth, ImportError> {
    let io = |source| ImportError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mut seen = BTreeSet::new();
    let mut truth = Truth::default();
    for raw in Lines::new(file) {
        let Raw { place, content, .. } = raw.map_err(io)?;
        let row = content.and_then(|line| row(&jsonl::parse(&line)?, options)).and_then(|(column, id, label)| {
            if seen.insert(id.clone()) { Ok((id, label)) } else { Err(Fault::new(&column, "an id that no earlier row has", id)) }
        });
        match row {
            Ok(row) => truth.labels.push(row),
            Err(fault) => {
                let line = if let Place::Line(line) = place { Some(line) } else { None };
                truth.bad.push(BadRow { line, ..fault.bad_row(&path.display().to_string()) });
            }
        }
    }
    Ok(truth)
}

/// The column of the id, the id, and what is true.
fn row(record: &Record<'_>, options: &TruthOptions<'_>) -> Result<(String, SampleId, Label), Fault> {
    let schema = options.schema;
    let id_column = options.columns.of_role("id").next().unwrap_or("id");
    let (column, cell) =
        record.first(options.columns.of_role("id")).ok_or_else(|| Fault::new(id_column, "the id of a sample", "nothing"))?;
    let text = cell.text().ok_or_else(|| Fault::new(column, "text or a number", cell))?;
    let id = SampleId::new(text).map_err(|error| Fault::id(column, error))?;
    if !(options.known)(&id) {
        return Err(Fault::new(column, "the id of a sample of this project", id));
    }
    let (mut label, mut no_box) = (Label::default(), Vec::new());
    for field in schema.fields() {
        let is_box = if let FieldKind::Box { none } = &field.kind { Some(none.is_some()) } else { None };
        let columns = || options.columns.of_field(field.id.as_str(), is_box.is_some());
        let empty = |cell: &Cell<'_>| is_box.is_some() && matches!(cell, Cell::List(sides) if sides.is_empty());
        let Some((column, cell)) = record.first(columns()).filter(|(_, cell)| !empty(cell)) else {
            if is_box == Some(true) && columns().any(|column| record.get(column).is_some()) {
                no_box.push(&field.id);
            }
            continue;
        };
        let value = match generic::sides(field, column, cell)? {
            Some(sides) => Value::Box(Some(in_steps(options, &id, column, sides)?)),
            None => generic::value(field, column, cell)?,
        };
        label.set(schema, &field.id, value)?;
    }
    if label.is_empty() {
        let fields: Vec<&str> = schema.fields().iter().map(|field| field.id.as_str()).collect();
        return Err(Fault::row(format!("a value of at least one of the fields {}", fields.join(", ")), "none"));
    }
    // A row with other values and an empty box says that there is no box.
    no_box.into_iter().try_for_each(|field| label.set(schema, field, Value::Box(None)))?;
    // What is missing is not measured; what is there must be possible.
    let broken = breaches(schema, &label).into_iter().find(|breach| label.get(breach.field()).is_some());
    if let Some(breach) = broken {
        let got = label.get(breach.field()).zip(schema.field(breach.field())).map(|(value, field)| field.render(value));
        return Err(Fault::new(breach.field().as_str(), breach.message(schema), got.unwrap_or_default()));
    }
    Ok((column.to_owned(), id, label))
}

/// A box that is given in pixels `[x1, y1, x2, y2]` of the query.
fn in_steps(options: &TruthOptions<'_>, id: &SampleId, column: &str, sides: [f64; 4]) -> Result<BoundingBox, Fault> {
    let (width, height) = (options.size)(id).map_err(|reason| Fault::new(column, "a query image that can be measured", reason))?;
    let [x1, y1, x2, y2] = sides;
    BoundingBox::from_pixels(x1, y1, x2, y2, width, height)
        .ok_or_else(|| Fault::new(column, format!("a box inside of {width} x {height} pixels"), format!("[{x1}, {y1}, {x2}, {y2}]")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Field, FieldId};

    #[test]
    fn boxes_in_pixels_need_the_query() {
        let field = |id: &str, kind| Field { id: FieldId::new(id).unwrap(), title: id.into(), kind, required: false };
        let judgement = field("judgement", FieldKind::Choice { options: ["ok", "不良"].map(String::from).to_vec() });
        let area = field("area", FieldKind::Box { none: Some("none".into()) });
        let schema = Schema::new(vec![judgement, area], vec![], vec!["any".into()], None).unwrap();
        let lines = [
            r#"{"name":"a","judgement":"不良","bbox":[0,0,50,100]}"#,
            r#"{"name":"b","judgement":"ok","bbox":null}"#,
            r#"{"name":"broken","judgement":"不良","bbox":[0,0,50,100]}"#,
            r#"{"name":"c","judgement":"不良","bbox":[300,0,350,100]}"#,
            r#"{"name":"d","bbox":null}"#,
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let columns = Columns::new(&schema, [("id".to_owned(), "name".to_owned())]).unwrap();
        let size = |id: &SampleId| if id.as_str() == "broken" { Err("no image".to_owned()) } else { Ok((100, 200)) };
        let options = TruthOptions { schema: &schema, columns: &columns, known: &|_| true, size: &size };
        let truth = read_truth(file.path(), &options).unwrap();
        let texts: Vec<Vec<String>> = truth.labels.iter().map(|(_, label)| label.texts(&schema).map(|(_, text)| text).collect()).collect();
        assert_eq!(texts, [vec!["不良", "<loc0000><loc0000><loc0512><loc0512>"], vec!["ok", "none"]]);
        let bad: Vec<_> = truth.bad.iter().map(|bad| (bad.line, bad.field.as_deref(), bad.got.as_str())).collect();
        assert_eq!(bad[0], (Some(3), Some("bbox"), "no image"));
        assert_eq!((bad[1].0, bad[1].1), (Some(4), Some("bbox")));
        // A box column alone says nothing.
        assert_eq!((bad.len(), bad[2].0, bad[2].1), (3, Some(5), None));
    }
}
