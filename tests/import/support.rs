//! A project, a data folder beside it, and imports written as text so that tables can hold them.

use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mekiki::domain::{Field, FieldId, FieldKind, Grid, Label, Schema};
use mekiki::import::{Columns, ImportError, Item, NewSample, Options, read};
use zip::write::SimpleFileOptions;

pub(crate) fn field(id: &str, kind: FieldKind) -> Field {
    Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required: true }
}

pub(crate) fn choice(options: &[&str]) -> FieldKind {
    FieldKind::Choice { options: options.iter().map(|&option| option.to_owned()).collect() }
}

fn address(columns: u8) -> FieldKind {
    let grid = Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: (1..=columns).map(|n| n.to_string()).collect() };
    FieldKind::Address { grid, none: Some("none".to_owned()) }
}

/// The five fields of the pin boards, a box and a list of marks.
pub(crate) fn pins() -> Schema {
    let types = ["CYLN_DST", "CYLN_RAW"];
    let fields = vec![
        field("image_type", choice(&types)),
        field("quantity", FieldKind::Integer { min: 0, max: 99, unit: Some("pcs".to_owned()) }),
        field("judgement", choice(&["passed", "defective"])),
        field("defect_mode", choice(&["passed", "scratch", "dent", "傷"])),
        field("position", address(9)),
        field("area", FieldKind::Box { none: Some("none".to_owned()) }),
        field("marks", FieldKind::MultiChoice { options: ["oil", "dust"].map(String::from).to_vec(), none: "clean".to_owned() }),
        field("remark", FieldKind::Text { max_chars: 20 }),
    ];
    Schema::new(fields, Vec::new(), types.map(String::from).to_vec(), Some(FieldId::new("image_type").unwrap())).unwrap()
}

/// The fields of the circuit boards.
pub(crate) fn boards() -> Schema {
    let fields = vec![
        field("judgement", choice(&["passed", "defective"])),
        field("defect_mode", choice(&["passed", "open", "short", "mousebite", "spur", "copper", "pin-hole"])),
        field("position", address(3)),
        field("bbox", FieldKind::Box { none: Some("none".to_owned()) }),
    ];
    Schema::new(fields, Vec::new(), vec!["crop".to_owned()], None).unwrap()
}

/// A grey PNG.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::DynamicImage::new_luma8(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A zip archive of these entries.
pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A project and a data folder.
pub(crate) struct World {
    _temporary: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) schema: Schema,
    pub(crate) columns: Columns,
    pub(crate) defaults: Label,
    project: PathBuf,
    unpack: PathBuf,
}

/// What an import handed over, as text: see [`World::read`].
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) samples: Vec<String>,
    pub(crate) bad: Vec<String>,
    pub(crate) error: Option<String>,
}

impl World {
    /// With images `a.png` and `写真/b.png` of 100 x 50 pixels in the data folder.
    pub(crate) fn new(schema: Schema) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        let (project, unpack) = (root.join("project"), root.join("project/unpacked"));
        std::fs::create_dir(&project).unwrap();
        let (columns, defaults) = (Columns::default(), Label::default());
        let world = Self { _temporary: temporary, root, schema, columns, defaults, project, unpack };
        world.file("data/a.png", &png(100, 50));
        world.file("data/写真/b.png", &png(100, 50));
        world
    }

    pub(crate) fn mapped(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|&(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
        self.columns = Columns::new(&self.schema, pairs).unwrap();
        self
    }

    pub(crate) fn defaulting(mut self, texts: &[(&str, &str)]) -> Self {
        let (label, problems) = Label::from_texts(&self.schema, texts.iter().copied());
        assert!(problems.is_empty());
        self.defaults = label;
        self
    }

    pub(crate) fn file(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a text into the data folder and reads it.
    pub(crate) fn read_text(&self, name: &str, text: &str) -> Outcome {
        self.file(&format!("data/{name}"), text.as_bytes());
        self.read(&format!("data/{name}"))
    }

    pub(crate) fn read(&self, source: &str) -> Outcome {
        self.read_with(&self.root.join(source), |_| {})
    }

    pub(crate) fn options(&self) -> Options<'_> {
        Options {
            schema: &self.schema,
            project: &self.project,
            unpack: &self.unpack,
            format: None,
            columns: &self.columns,
            image_type: None,
            images: None,
            defaults: &self.defaults,
            check_images: false,
            strict: false,
        }
    }

    /// Samples as `id type query|reference group field=value …`, without the root's path; errors likewise.
    pub(crate) fn read_with<'a>(&'a self, source: &Path, edit: impl FnOnce(&mut Options<'a>)) -> Outcome {
        let mut options = self.options();
        edit(&mut options);
        let mut outcome = Outcome::default();
        let mut sink = |item| {
            match item {
                Item::Sample(sample) => outcome.samples.push(self.clean(&self.describe(&sample))),
                Item::Bad(bad) => outcome.bad.push(self.clean(&bad.to_string())),
            }
            ControlFlow::Continue(())
        };
        let result: Result<(), ImportError> = read(source, &options, &mut sink, &|_, _| {});
        outcome.error = result.err().map(|error| self.clean(&error.to_string()));
        outcome
    }

    fn describe(&self, sample: &NewSample) -> String {
        let path = |location: &mekiki::import::Location| {
            assert!(location.folder.join(location.path.as_str()).is_file(), "{location:?}");
            format!("{}:{}", location.folder.display(), location.path)
        };
        let reference = sample.reference.as_ref().map(|reference| format!("|{}", path(reference))).unwrap_or_default();
        let head = format!("{} {} {}{reference} {}", sample.id, sample.image_type, path(&sample.query), sample.group);
        let values = sample.label.texts(&self.schema).map(|(id, value)| format!("{id}={value}"));
        std::iter::once(head).chain(values).collect::<Vec<_>>().join(" ")
    }

    fn clean(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root.display()), "")
    }
}
