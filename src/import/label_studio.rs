//! Label Studio's JSON export: tasks with `data` and `annotations`, boxes in percent.

use std::borrow::Cow;

use super::cell::Cell;
use super::generic;
use super::intake::{Draft, Fault, Intake, Picture};
use super::run::{Halt, Place, Raw, Run};
use super::{ImportError, NewSample};
use crate::domain::{BoundingBox, Field, FieldKind, Value};

/// Reads every task as a sample; its first annotation that was not cancelled is the label.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let text = run.document()?;
    let file = run.opened.name.clone();
    let broken = |got: String| ImportError::Broken { file: file.clone(), expected: "a Label Studio export, a JSON array of tasks", got };
    let start = text.trim_start().strip_prefix('[').ok_or_else(|| broken("something else".to_owned()))?.trim_start();
    let mut tasks = Tasks { text: &text, rest: if start.starts_with(']') { None } else { Some(start) } };
    let mut index = 0;
    let rows = std::iter::from_fn(|| {
        let task = tasks.next()?;
        index += 1;
        Some(task.map_err(broken).map(|(task, size)| Raw { place: Place::Part(format!("[{}]", index - 1)), size, content: Ok(task) }))
    });
    run.stream(rows, |intake, task| sample(intake, &task))
}

/// The elements of a JSON array one by one, each with its bytes, so that only a few are in memory.
struct Tasks<'a> {
    text: &'a str,
    rest: Option<&'a str>,
}

impl<'a> Iterator for Tasks<'a> {
    type Item = Result<(Cell<'a>, u64), String>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let place = |text: &str| format!("line {}", self.text[..self.text.len() - text.len()].matches('\n').count() + 1);
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Cell<'a>>();
        let task = match values.next() {
            Some(Ok(task)) => task,
            Some(Err(error)) => return Some(Err(format!("{error}, counted from {}", place(rest)))),
            None => return Some(Err("the end of the file".to_owned())),
        };
        let size = values.byte_offset();
        let after = rest[size..].trim_start();
        if let Some(next) = after.strip_prefix(',') {
            self.rest = Some(next);
        } else if !after.starts_with(']') {
            return Some(Err(format!("no ',' or ']' after a task, at {}", place(after))));
        }
        Some(Ok((task, size as u64)))
    }
}

fn sample(intake: &Intake<'_>, task: &Cell<'_>) -> Result<NewSample, Fault> {
    let Some(Cell::Map(data)) = task.get("data") else {
        return Err(Fault::new("data", "an object with the path of an image", task.get("data").unwrap_or(&Cell::Null)));
    };
    let mut draft = intake.draft(data)?;
    for picture in [Some(&mut draft.query), draft.reference.as_mut()].into_iter().flatten() {
        if let (_, Picture::Named(path)) = picture {
            *path = Cow::Owned(local_path(path));
        }
    }
    let annotations = match task.get("annotations") {
        Some(Cell::List(annotations)) => annotations.as_slice(),
        _ => &[],
    };
    let annotation = annotations.iter().find(|annotation| annotation.get("was_cancelled") != Some(&Cell::Bool(true)));
    if let Some(Cell::List(results)) = annotation.and_then(|annotation| annotation.get("result")) {
        results.iter().try_for_each(|result| take(intake, &mut draft, result))?;
    }
    intake.finish(draft)
}

/// Takes one result into the label: the field is the one that `from_name` names. Results of other names are passed over,
/// but for rectangles, which go to the box field, and their label to the defect mode.
fn take(intake: &Intake<'_>, draft: &mut Draft<'_>, result: &Cell<'_>) -> Result<(), Fault> {
    let schema = intake.options.schema;
    let Some(name) = result.get("from_name").and_then(Cell::text) else {
        return Err(Fault::new("from_name", "the name of a control", result));
    };
    let is_box = |field: &&Field| matches!(field.kind, FieldKind::Box { .. });
    let columns = intake.options.columns;
    let field = schema.fields().iter().find(|field| columns.of_field(field.id.as_str(), is_box(field)).any(|column| column == name));
    let value = result.get("value").unwrap_or(&Cell::Null);
    let mut set = |field: &Field, value: Value| match draft.label.get(&field.id) {
        // The first of several rectangles counts.
        Some(_) => Ok(()),
        None => draft.label.set(schema, &field.id, value).map_err(Fault::from),
    };
    let mut field = field;
    if let Some(labels) = value.get("rectanglelabels") {
        if let Some(field) = field.filter(is_box).or_else(|| schema.fields().iter().find(is_box)) {
            set(field, Value::Box(Some(percent_box(&name, value)?)))?;
        }
        field = field.filter(|field| !is_box(field)).or_else(|| schema.field_named("defect_mode"));
        if let Some(field) = field {
            set(field, generic::value(field, &name, one(labels, field))?)?;
        }
        return Ok(());
    }
    let Some(field) = field else { return Ok(()) };
    let said = ["choices", "text", "number", "rating"].into_iter().find_map(|key| value.get(key)).map(|cell| one(cell, field));
    match said {
        Some(cell) if !cell.is_empty() => set(field, generic::value(field, &name, cell)?),
        Some(_) => Ok(()),
        None => Err(Fault::new(&name, "choices, text, number or rectanglelabels", value)),
    }
}

/// The only one of a list, where the field takes one value.
fn one<'c, 'a>(cell: &'c Cell<'a>, field: &Field) -> &'c Cell<'a> {
    match (cell, &field.kind) {
        (_, FieldKind::MultiChoice { .. }) => cell,
        (Cell::List(cells), _) if cells.len() == 1 => &cells[0],
        _ => cell,
    }
}

fn percent_box(name: &str, value: &Cell<'_>) -> Result<BoundingBox, Fault> {
    let side = |key| value.get(key).and_then(Cell::number);
    let sides = side("x").zip(side("y")).zip(side("width").zip(side("height")));
    let area = sides.and_then(|((x, y), (w, h))| BoundingBox::from_pixels(x, y, x + w, y + h, 100, 100));
    area.ok_or_else(|| Fault::new(name, "a rectangle x, y, width, height in percent of the image", value))
}

/// A path below the folder of images: `/data/local-files/?d=a%20b.png` names `a b.png`, `/data/upload/1/a.png` names
/// `upload/1/a.png`.
fn local_path(path: &str) -> String {
    match path.split_once("?d=") {
        Some((_, encoded)) => percent_decoded(encoded),
        None => path.strip_prefix("/data/").unwrap_or(path).to_owned(),
    }
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        let code = code.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
