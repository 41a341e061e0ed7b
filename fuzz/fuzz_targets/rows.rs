//! Rows of every text format: the first byte chooses the format, the rest is the file.
#![no_main]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mekiki::config::{self, Language, Project, Template};
use mekiki::import::{Columns, Format, Item, Options, read};

static PINS: LazyLock<Project> = LazyLock::new(|| {
    config::parse(&Template::Pins.text("pins", Language::En), Path::new("mekiki.toml"), Path::new("/p")).expect("a template is a project")
});
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

const FORMATS: [Format; 6] = [Format::Rows, Format::Jsonl, Format::Csv, Format::PaliGemma, Format::Coco, Format::LabelStudio];

fuzz_target!(|data: &[u8]| {
    let Some((which, text)) = data.split_first() else { return };
    let format = FORMATS[usize::from(*which) % FORMATS.len()];
    let source = DIR.path().join("source");
    std::fs::write(&source, text).expect("the file can be written");
    let columns = Columns::default();
    let options = Options {
        schema: PINS.schema(),
        project: DIR.path(),
        unpack: &DIR.path().join("images"),
        format: Some(format),
        columns: &columns,
        image_type: None,
        images: None,
        defaults: &PINS.import.defaults,
        check_images: false,
        strict: false,
    };
    let mut sink = |item| {
        if let Item::Bad(row) = item {
            assert!(!row.to_string().chars().any(char::is_control));
        }
        ControlFlow::Continue(())
    };
    let _ = read(&source, &options, &mut sink, &|_, _| {});
});
