//! From what a row says to a sample that the schema takes.

use std::borrow::Cow;

use super::cell::{Cell, Record};
use super::images::{Found, Images};
use super::{BadRow, ImportError, NewSample, Options};
use crate::domain::{BoundingBox, Field, FieldId, IdError, Label, LabelProblem, SampleId, Value, ValueError};

/// Characters of a bad value that a message carries.
const MOST_GOT: usize = 120;

/// Why a row is bad: everything of a [`BadRow`](super::BadRow) but its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub field: Option<String>,
    pub expected: String,
    pub got: String,
}

impl Fault {
    #[expect(clippy::needless_pass_by_value, reason = "text, numbers and errors are given alike")]
    pub(super) fn new(field: &str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self { field: Some(field.to_owned()), expected: expected.into(), got: got.to_string() }
    }

    /// A row that cannot be read at all.
    #[expect(clippy::needless_pass_by_value, reason = "text, numbers and errors are given alike")]
    pub(super) fn row(expected: impl Into<String>, got: impl ToString) -> Self {
        Self { field: None, expected: expected.into(), got: got.to_string() }
    }

    pub(super) fn value(field: &str, error: ValueError) -> Self {
        Self { field: Some(field.to_owned()), expected: error.expected, got: error.got }
    }

    pub(super) fn id(field: &str, error: IdError) -> Self {
        Self::new(field, error.expected, error.got)
    }

    /// The bad row of a file, as yet without its line; a long value is cut.
    pub(super) fn bad_row(self, file: &str) -> BadRow {
        let mut got: String = self.got.chars().take(MOST_GOT).collect();
        if got.len() < self.got.len() {
            got.push('…');
        }
        BadRow { file: file.to_owned(), line: None, field: self.field, expected: self.expected, got }
    }
}

impl From<LabelProblem> for Fault {
    fn from(problem: LabelProblem) -> Self {
        Self::value(&problem.field, problem.error)
    }
}

/// An image as a row gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Picture<'a> {
    /// By its path below the folder of the source's images.
    Named(Cow<'a, str>),
    /// By its bytes, and the name it once had.
    Embedded(&'a [u8], Option<&'a str>),
}

impl<'a> Picture<'a> {
    /// The image that a cell gives; a map names its file under `path`.
    fn of(cell: &Cell<'a>) -> Option<Self> {
        match cell {
            Cell::Text(path) => Some(Self::Named(path.clone())),
            Cell::Image(bytes, name) => Some(Self::Embedded(bytes, *name)),
            Cell::Map(record) => record.get("path").and_then(Self::of),
            _ => None,
        }
    }
}

/// What a row says, read but not yet checked against files and image types.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft<'a> {
    pub id: Option<Cow<'a, str>>,
    pub image_type: Option<Cow<'a, str>>,
    /// The query, and the column that names it.
    pub query: (&'a str, Picture<'a>),
    pub reference: Option<(&'a str, Picture<'a>)>,
    pub group: Option<Cow<'a, str>>,
    pub label: Label,
    /// Boxes `[x1, y1, x2, y2]` in pixels of the query: field, column, sides.
    pub boxes: Vec<(FieldId, &'a str, [f64; 4])>,
}

impl<'a> Draft<'a> {
    /// A sample of which only the query is known.
    pub(super) fn of_query(column: &'a str, path: impl Into<Cow<'a, str>>) -> Self {
        let query = (column, Picture::Named(path.into()));
        Self { id: None, image_type: None, query, reference: None, group: None, label: Label::default(), boxes: Vec::new() }
    }

    /// Says that a field holds a box, in pixels `[x1, y1, x2, y2]` of the query.
    pub(super) fn boxed(&mut self, field: &Field, column: &'a str, sides: [f64; 4]) {
        self.boxes.push((field.id.clone(), column, sides));
    }
}

/// What turns rows into samples; shared by the threads that parse.
pub(super) struct Intake<'a> {
    pub options: &'a Options<'a>,
    pub images: Images,
    /// The image type of rows that do not name theirs.
    usual_type: Option<&'a str>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(options: &'a Options<'a>, images: Images) -> Result<Self, ImportError> {
        let known = options.schema.image_types();
        let usual_type = match options.image_type {
            Some(text) => Some(options.schema.image_type_named(text).ok_or_else(|| ImportError::Unknown {
                what: "image type",
                name: text.to_owned(),
                known: known.join(", "),
            })?),
            None => (known.len() == 1).then(|| known[0].as_str()),
        };
        Ok(Self { options, images, usual_type })
    }

    /// Everything of a record but its fields: id, images, group, type.
    pub(super) fn draft<'r>(&'r self, record: &'r Record<'r>) -> Result<Draft<'r>, Fault> {
        let find = |role: &'static str| record.first(self.options.columns.of_role(role));
        let text = |role| match find(role) {
            None => Ok(None),
            Some((column, cell)) => cell.text().map(Some).ok_or_else(|| Fault::new(column, "text or a number", cell)),
        };
        let picture = |column, cell: &'r Cell<'r>| {
            Picture::of(cell).map(|picture| (column, picture)).ok_or_else(|| Fault::new(column, "the path of an image", cell))
        };
        let (column, cell) = find("query").ok_or_else(|| Fault::new(self.column("query"), "the path of an image", "nothing"))?;
        // A list holds the query and then the reference.
        let images = match cell {
            Cell::List(images) => images.as_slice(),
            image => std::slice::from_ref(image),
        };
        let second = images.get(1).filter(|image| !image.is_empty()).map(|image| (column, image));
        Ok(Draft {
            id: text("id")?,
            image_type: text("type")?,
            query: picture(column, images.first().unwrap_or(cell))?,
            reference: find("reference").or(second).map(|(column, cell)| picture(column, cell)).transpose()?,
            group: text("group")?,
            label: Label::default(),
            boxes: Vec::new(),
        })
    }

    /// Finds the images, settles the image type, lays the label over the defaults.
    pub(super) fn finish(&self, draft: Draft<'_>) -> Result<NewSample, Fault> {
        let schema = self.options.schema;
        let Draft { id, image_type, query: (column, picture), reference, group, mut label, boxes } = draft;
        let unstated = schema.image_type_field().filter(|field| label.get(field).is_none());
        let image_type = match (image_type, schema.image_type_field().and_then(|field| label.get(field))) {
            (Some(text), _) => Some(schema.image_type_named(&text).ok_or_else(|| self.unknown_type(&text))?),
            (None, Some(Value::Choice(option))) => schema.image_type_named(option),
            (None, _) => self.usual_type,
        };
        let image_type = image_type.ok_or_else(|| self.unknown_type("nothing"))?.to_owned();
        if let Some(field) = unstated {
            label.set(schema, field, Value::Choice(image_type.clone()))?;
        }
        let query = self.place(column, &picture)?;
        let id = match id {
            Some(id) => SampleId::new(id).map_err(|error| Fault::id(self.column("id"), error))?,
            None => SampleId::new(stem(&query.name)).map_err(|error| Fault::id(column, error))?,
        };
        let group = match group {
            // A group is a name like an id: one line, printable.
            Some(group) => SampleId::new(group)
                .map_err(|error| Fault::new(self.column("group"), error.expected.replace("sample id", "group"), error.got))?
                .into(),
            None => id.to_string(),
        };
        if self.options.check_images || !boxes.is_empty() {
            let (width, height) = query.size(column)?;
            for (field, column, [x1, y1, x2, y2]) in boxes {
                let area = BoundingBox::from_pixels(x1, y1, x2, y2, width, height).ok_or_else(|| {
                    Fault::new(column, format!("a box inside of {width} x {height} pixels"), format!("[{x1}, {y1}, {x2}, {y2}]"))
                })?;
                label.set(schema, &field, Value::Box(Some(area)))?;
            }
        }
        let reference = match reference {
            Some((column, picture)) => {
                let found = self.place(column, &picture)?;
                if self.options.check_images {
                    found.size(column)?;
                }
                Some(found.location)
            }
            None => None,
        };
        let label = self.options.defaults.clone().overlaid(&label);
        Ok(NewSample { id, image_type, query: query.location, reference, group, label })
    }

    fn place(&self, column: &str, picture: &Picture<'_>) -> Result<Found, Fault> {
        match picture {
            Picture::Named(path) => self.images.find(column, path),
            Picture::Embedded(bytes, name) => self.images.store(column, bytes, *name),
        }
    }

    /// The column that a role is looked for in first.
    fn column<'r>(&'r self, role: &'r str) -> &'r str {
        self.options.columns.of_role(role).next().unwrap_or(role)
    }

    fn unknown_type(&self, got: &str) -> Fault {
        let known = self.options.schema.image_types().join(", ");
        Fault::new(self.column("type"), format!("an image type, one of {known}"), got)
    }
}

/// A path without its extension.
fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !stem.ends_with('/') && !extension.contains('/') => stem,
        _ => path,
    }
}
