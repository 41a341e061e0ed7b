//! The image folder: one `metadata.jsonl` in two views for most readers, and variants for the others.
//!
//! No file name here may hold the words train, validation or test between dots, dashes or digits: `datasets` would take
//! them for splits of an image folder and leave everything else out.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::ExportError;
use super::format::{Texts, Writer};
use super::row::{Line, Message, Row, Said};
use super::staging::{Listed, Staging};
use crate::conversation::Recipe;
use crate::domain::Split;

/// The rows, for readers that look for them in an image folder.
const MAIN: &str = "metadata.jsonl";

#[derive(Serialize)]
struct Metadata<'a> {
    file_names: Vec<&'a str>,
    messages: Vec<Message<'a>>,
    conversations: Vec<Said>,
    #[serde(flatten)]
    about: About<'a>,
}

/// ShareGPT with image paths: LLaMA-Factory and ms-swift, split by split.
#[derive(Serialize)]
struct ShareGpt<'a> {
    conversations: Vec<Said>,
    images: Vec<&'a str>,
    id: &'a str,
    kind: &'static str,
}

/// Messages that name their images: axolotl.
#[derive(Serialize)]
struct Inline<'a> {
    messages: Vec<Message<'a>>,
    id: &'a str,
    kind: &'static str,
    split: &'static str,
}

/// What every row says of itself.
#[derive(Serialize)]
struct About<'a> {
    id: &'a str,
    sample: &'a str,
    kind: &'static str,
    split: &'static str,
    image_type: &'a str,
    instruction: String,
    fields: Map<String, Json>,
}

/// The row as `metadata.jsonl` has it.
pub(super) fn main_line(recipe: &Recipe, row: &Row) -> Line {
    let about = About {
        id: &row.id,
        sample: row.approved.sample().id.as_str(),
        kind: row.conversation.kind.name(),
        split: row.split.name(),
        image_type: &row.image_type,
        instruction: recipe.instructions.identity(),
        fields: row.fields(recipe),
    };
    let metadata = Metadata { file_names: row.file_names(), messages: row.messages(false), conversations: row.conversations(), about };
    Line::json(MAIN, &metadata)
}

/// The row in every view.
pub(super) fn lines(recipe: &Recipe, row: &Row) -> Vec<Line> {
    let (id, kind, split) = (row.id.as_str(), row.conversation.kind.name(), row.split.name());
    let sharegpt = ShareGpt { conversations: row.conversations(), images: row.file_names(), id, kind };
    let inline = Line::json("variants/axolotl.jsonl", &Inline { messages: row.messages(true), id, kind, split });
    let inline_split = Line { file: variant("axolotl", row.split), bytes: inline.bytes.clone() };
    vec![main_line(recipe, row), inline, inline_split, Line::json(variant("sharegpt", row.split), &sharegpt)]
}

fn variant(view: &str, split: Split) -> String {
    format!("variants/{view}-{}set.jsonl", split.name())
}

/// The files of the folder, and LLaMA-Factory's list of them.
pub(super) struct Files<'a> {
    texts: Texts<'a>,
    staging: &'a Staging<'a>,
    project: &'a str,
}

impl<'a> Files<'a> {
    pub(super) fn begin(project: &'a str, staging: &'a Staging<'a>) -> Result<Self, ExportError> {
        staging.folder("variants")?;
        Ok(Self { texts: Texts::new(staging, Vec::new()), staging, project })
    }
}

impl Writer for Files<'_> {
    fn write(&mut self, row: Row) -> Result<(), ExportError> {
        self.texts.write(row)
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Listed>, ExportError> {
        let splits: Vec<Split> =
            Split::ALL.into_iter().filter(|split| self.texts.names().any(|name| name == variant("sharegpt", *split))).collect();
        let source = |file: &str, images: &str| json!({ "file_name": file, "formatting": "sharegpt", "columns": { "messages": "conversations", "images": images } });
        let name = dataset_name(self.project);
        let mut info = Map::from_iter([(name.clone(), source(MAIN, "file_names"))]);
        for split in Split::ALL {
            if splits.len() > 1 && splits.contains(&split) {
                info.insert(format!("{name}_{}", split.name()), source(&variant("sharegpt", split), "images"));
            } else {
                // Of one split only, they would repeat the whole.
                self.texts.remove(&variant("sharegpt", split))?;
                self.texts.remove(&variant("axolotl", split))?;
            }
        }
        write_info(self.staging, &info)?;
        Box::new(self.texts).finish()
    }
}

/// Writes `dataset_info.json`.
pub(super) fn write_info(staging: &Staging<'_>, info: &Map<String, Json>) -> Result<(), ExportError> {
    let mut text = serde_json::to_vec_pretty(info).unwrap_or_default();
    text.push(b'\n');
    staging.write("dataset_info.json", &text)
}

/// The project's name in LLaMA-Factory's list, where commas separate names.
pub(super) fn dataset_name(project: &str) -> String {
    let plain: String = project.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    if plain.is_empty() { "mekiki".to_owned() } else { plain }
}
