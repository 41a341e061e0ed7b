//! PaliGemma's JSONL: `image`, `prefix`, `suffix`; one file per split.
//!
//! With a box field the task is detection: `detect scratch ; dent`, answered by `<loc…><loc…><loc…><loc…> scratch`.
//! Without one it is the project's own instruction and answer, on the query image alone.

use serde::Serialize;

use super::row::{Line, Row};
use crate::conversation::{Recipe, Role};
use crate::domain::{Field, FieldKind, Label, Schema, Value};

#[derive(Serialize)]
struct Task<'a> {
    image: &'a str,
    prefix: String,
    suffix: String,
    id: &'a str,
    sample: &'a str,
}

/// The row's line.
pub(super) fn line(recipe: &Recipe, row: &Row) -> Line {
    let schema = &recipe.schema;
    let said =
        |role| row.conversation.turns.iter().rfind(|turn| turn.role == role).map(crate::conversation::Turn::text).unwrap_or_default();
    let (prefix, suffix) = match (box_field(schema), class_field(schema)) {
        (Some(area), Some((class, options))) => (format!("detect {}", options.join(" ; ")), detection(area, class, row.approved.label())),
        _ => (said(Role::User), said(Role::Assistant)),
    };
    let image = row.images.first().map_or("", |image| image.name.as_str());
    let task = Task { image, prefix, suffix, id: &row.id, sample: row.approved.sample().id.as_str() };
    Line::json(format!("{}.jsonl", row.split.name()), &task)
}

/// The location tokens, where there is a box, and what is there.
fn detection(area: &Field, class: &Field, label: &Label) -> String {
    let class = label.get(&class.id).map(|value| class.render(value)).unwrap_or_default();
    match label.get(&area.id) {
        Some(Value::Box(Some(area))) => format!("{area} {class}"),
        _ => class,
    }
}

fn box_field(schema: &Schema) -> Option<&Field> {
    schema.fields().iter().find(|field| matches!(field.kind, FieldKind::Box { .. }))
}

/// The field that says what a box shows: the choice with the most options, the image type aside.
fn class_field(schema: &Schema) -> Option<(&Field, &[String])> {
    let choices = schema.fields().iter().filter(|field| Some(&field.id) != schema.image_type_field());
    choices
        .filter_map(|field| match &field.kind {
            FieldKind::Choice { options } => Some((field, options.as_slice())),
            _ => None,
        })
        .max_by_key(|(_, options)| options.len())
}
