//! A small pin project for the store's tests with several processes and for its benchmark.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its part; a test stops where something is not as expected")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mekiki::domain::{
    Condition, ContentHash, Edit, Field, FieldId, FieldKind, Grid, ImageHashes, Label, RelativePath, ReviewerName, Rule, SampleId,
    SampleOrigin, Schema, Shown, Value, ValueOrigin,
};
use mekiki::store::{NewImage, NewSample, Store, Who};

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// The five fields of the pin boards, and the rule that a passed product has no defect.
pub(crate) fn schema() -> Arc<Schema> {
    let types = texts(&["CYLN_DST", "CYLN_RAW"]);
    let grid = Grid { rows: texts(&["U", "C", "D"]), columns: (1..=9).map(|n| n.to_string()).collect() };
    let modes = texts(&["passed", "scratch", "dent", "bent", "missing", "stain", "chip", "burr", "discolouration"]);
    let fields = [
        ("image_type", FieldKind::Choice { options: types.clone() }),
        ("quantity", FieldKind::Integer { min: 0, max: 99, unit: Some("pcs".into()) }),
        ("judgement", FieldKind::Choice { options: texts(&["passed", "defective"]) }),
        ("defect_mode", FieldKind::Choice { options: modes }),
        ("position", FieldKind::Address { grid, none: Some("none".into()) }),
    ]
    .map(|(id, kind)| Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required: true });
    let is = |field: usize, value: Value| Condition { field: fields[field].id.clone(), values: vec![value], one_of: true };
    let passed = Value::Choice("passed".into());
    let rule = Rule { when: vec![is(2, passed.clone())], then: vec![is(3, passed), is(4, Value::Address(None))] };
    let image_type = fields[0].id.clone();
    Arc::new(Schema::new(fields.to_vec(), vec![rule], types, Some(image_type)).unwrap())
}

pub(crate) fn label(schema: &Schema, texts: &[(&str, &str)]) -> Label {
    let (label, problems) = Label::from_texts(schema, texts.iter().copied());
    assert!(problems.is_empty(), "{problems:?}");
    label
}

pub(crate) fn who(reviewer: &str) -> Who {
    Who { reviewer: ReviewerName::new(reviewer).unwrap(), uid: 1000, user: reviewer.to_owned(), host: "server".to_owned() }
}

pub(crate) fn id(n: usize) -> SampleId {
    SampleId::new(format!("pin-{n:07}")).unwrap()
}

pub(crate) fn sample(n: usize, label: Label) -> NewSample {
    NewSample {
        id: id(n),
        image_type: ["CYLN_DST", "CYLN_RAW"][n % 2].to_owned(),
        query: NewImage { folder: None, path: RelativePath::new(format!("images/board-{:05}/{n:07}.png", n / 27)).unwrap() },
        reference: None,
        group: format!("board-{:05}", n / 27),
        origin: SampleOrigin::Imported,
        label,
    }
}

pub(crate) fn approve(label: &Label) -> Edit {
    Edit::Approve {
        label: label.iter().map(|(field, value)| (field.clone(), value.clone(), ValueOrigin::Imported)).collect(),
        images: ImageHashes { query: ContentHash::from_bytes([7; 32]), reference: None },
        shown: Shown::NotShown,
    }
}

/// Makes a project of so many good products.
pub(crate) fn project(dir: &Path, samples: usize) -> Store {
    let schema = schema();
    let good = [("image_type", "CYLN_DST"), ("quantity", "27"), ("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")];
    let mut store = Store::create(dir, &schema).unwrap();
    let mut import = store.begin_import(&who("import"), "test").unwrap();
    (0..samples).for_each(|n| import.add(&sample(n, label(&schema, &good))).unwrap());
    import.finish().unwrap();
    store
}

/// This test program again, running only `test` with `variables` set; what it prints can be read.
pub(crate) fn again(test: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).envs(variables.iter().copied()).stdout(Stdio::piped());
    command
}

/// What a child printed behind `mark`, once it has ended well.
pub(crate) fn said(child: Child, mark: &str) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines().filter_map(|line| line.split_once(mark).map(|(_, rest)| rest.to_owned())).collect()
}
