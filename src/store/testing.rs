//! Small schemas and stores for this room's tests.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{NewImage, NewSample, Store, Who};
use crate::domain::{
    Condition, ContentHash, Edit, Field, FieldId, FieldKind, Grid, ImageHashes, Label, RelativePath, ReviewerName, Rule, SampleId,
    SampleOrigin, Schema, Shown, Value, ValueOrigin,
};

fn options(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn field(id: &str, kind: FieldKind, required: bool) -> Field {
    Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required }
}

fn pin_fields() -> Vec<Field> {
    let grid = Grid { rows: options(&["U", "C", "D"]), columns: (1..=9).map(|n| n.to_string()).collect() };
    vec![
        field("judgement", FieldKind::Choice { options: options(&["passed", "defective"]) }, true),
        field("defect_mode", FieldKind::Choice { options: options(&["passed", "scratch", "dent"]) }, true),
        field("position", FieldKind::Address { grid, none: Some("none".into()) }, true),
    ]
}

/// Judgement, defect mode, position; a passed product has neither defect nor position.
pub(crate) fn pins() -> Schema {
    let is = |field: usize, value: Value| Condition { field: pin_fields()[field].id.clone(), values: vec![value], one_of: true };
    let passed = Value::Choice("passed".into());
    let rule = Rule { when: vec![is(0, passed.clone())], then: vec![is(1, passed), is(2, Value::Address(None))] };
    Schema::new(pin_fields(), vec![rule], options(&["CYLN_DST", "CYLN_RAW"]), None).unwrap()
}

/// A field of every kind.
pub(crate) fn every_kind() -> Schema {
    let mut fields = pin_fields();
    fields.push(field("quantity", FieldKind::Integer { min: -9, max: 99, unit: Some("pcs".into()) }, false));
    fields.push(field("area", FieldKind::Box { none: Some("none".into()) }, false));
    fields.push(field("marks", FieldKind::MultiChoice { options: options(&["chip", "burr"]), none: "none".into() }, false));
    fields.push(field("note", FieldKind::Text { max_chars: 80 }, false));
    Schema::new(fields, vec![], options(&["CYLN_DST", "CYLN_RAW"]), None).unwrap()
}

pub(crate) fn label(schema: &Schema, texts: &[(&str, &str)]) -> Label {
    let (label, problems) = Label::from_texts(schema, texts.iter().copied());
    assert_eq!(problems, []);
    label
}

pub(crate) fn set(schema: &Schema, id: &str, text: &str) -> Edit {
    let field = schema.field_named(id).unwrap();
    Edit::Set { field: field.id.clone(), value: field.parse(text).unwrap(), origin: ValueOrigin::Typed }
}

pub(crate) fn approve(label: &Label) -> Edit {
    Edit::Approve {
        label: label.iter().map(|(field, value)| (field.clone(), value.clone(), ValueOrigin::Typed)).collect(),
        images: ImageHashes { query: ContentHash::from_bytes([7; 32]), reference: None },
        shown: Shown::NotShown,
    }
}

/// Only the table of words.
pub(crate) fn open_words() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE words (code INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE)").unwrap();
    connection
}

pub(crate) fn who(reviewer: &str) -> Who {
    Who { reviewer: ReviewerName::new(reviewer).unwrap(), uid: 1000, user: reviewer.to_owned(), host: "server".to_owned() }
}

pub(crate) fn id(n: usize) -> SampleId {
    SampleId::new(format!("pin-{n:04}")).unwrap()
}

pub(crate) fn sample(n: usize, label: Label) -> NewSample {
    NewSample {
        id: id(n),
        image_type: ["CYLN_DST", "CYLN_RAW"][n % 2].to_owned(),
        query: NewImage { folder: None, path: RelativePath::new(format!("images/{n}.png")).unwrap() },
        reference: None,
        group: format!("board-{}", n / 3),
        origin: SampleOrigin::Imported,
        label,
    }
}

/// A project of `count` samples labelled as passed.
pub(crate) fn project(schema: Schema, count: usize) -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::create(dir.path(), &Arc::new(schema)).unwrap();
    let passed = label(store.schema(), &[("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")]);
    let mut import = store.begin_import(&who("aiko"), "test").unwrap();
    (0..count).for_each(|n| import.add(&sample(n, passed.clone())).unwrap());
    import.finish().unwrap();
    (dir, store)
}
