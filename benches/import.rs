//! How fast generic JSONL is read when images are not opened: `cargo bench --bench import`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark ends where it fails, and prints what it found")]

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use mekiki::domain::{Field, FieldId, FieldKind, Grid, Label, Schema};
use mekiki::import::{Columns, Item, Options, read};

const ROWS: usize = 1_000_000;
const IMAGES: usize = 300;

fn schema() -> Schema {
    let field = |id: &str, kind| Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required: true };
    let choice = |options: &[&str]| FieldKind::Choice { options: options.iter().map(|&option| option.to_owned()).collect() };
    let grid = Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: ["1", "2", "3"].map(String::from).to_vec() };
    let fields = vec![
        field("judgement", choice(&["passed", "defective"])),
        field("defect_mode", choice(&["passed", "open", "short", "mousebite", "spur", "copper", "pin-hole"])),
        field("position", FieldKind::Address { grid, none: Some("none".to_owned()) }),
        field("bbox", FieldKind::Box { none: Some("none".to_owned()) }),
    ];
    Schema::new(fields, Vec::new(), vec!["crop".to_owned()], None).unwrap()
}

fn main() {
    let project = tempfile::tempdir().unwrap();
    let root = project.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("query")).unwrap();
    for image in 0..IMAGES {
        std::fs::write(root.join(format!("query/{image:03}.png")), b"").unwrap();
    }
    let mut text = String::new();
    for row in 0..ROWS {
        writeln!(
            text,
            r#"{{"id": "{row:07}", "query": "query/{:03}.png", "reference": "query/{:03}.png", "judgement": "defective", "defect_mode": "spur", "position": "U1", "bbox": "<loc0100><loc0200><loc0300><loc0400>", "board": "board-{}"}}"#,
            row % IMAGES,
            (row + 1) % IMAGES,
            row / 50,
        )
        .unwrap();
    }
    let source = root.join("samples.jsonl");
    std::fs::write(&source, text).unwrap();

    let (schema, columns, defaults) = (schema(), Columns::default(), Label::default());
    let options = Options {
        schema: &schema,
        project: &root,
        unpack: &root.join("unpacked"),
        format: None,
        columns: &columns,
        image_type: None,
        images: None,
        defaults: &defaults,
        check_images: false,
        strict: true,
    };
    let (mut samples, start) = (0_usize, Instant::now());
    let mut sink = |item| {
        samples += usize::from(matches!(item, Item::Sample(_)));
        ControlFlow::Continue(())
    };
    read(&source, &options, &mut sink, &|_, _| {}).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(samples, ROWS);
    println!("generic JSONL: {ROWS} rows in {seconds:.2} s, {:.0} rows/s", ROWS as f64 / seconds);
}
