//! `mekiki show`: one sample, or the conversation that is made of it.

use std::io::IsTerminal;
use std::path::Path;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::output::{Failure, Outcome};
use super::plan::Folders;
use crate::config::Project;
use crate::conversation::{Conversation, ImageRole, Part};
use crate::domain::{Exemplar, FieldPrediction, Kind, Label, Prediction, SampleId, Schema, Value};
use crate::imaging::{self, Limits};
use crate::store::{SampleView, Store};

/// Show a sample with its images, label and predictions, or the conversation that is made of it.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The sample's id.
    id: String,
    /// Show the conversation as it is written to a training set.
    #[arg(long = "as", value_name = "KIND", value_parser = parse_kind)]
    kind: Option<Kind>,
    /// Name the images' files instead of showing them.
    #[arg(long)]
    no_images: bool,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| "expected zero-shot or one-shot".to_owned())
}

pub(super) fn run(context: &Context, args: &ShowArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    let view = store.sample(&SampleId::new(&args.id).map_err(Failure::usage)?)?;
    let inline = !args.no_images && !context.out.is_json() && std::io::stdout().is_terminal();
    match args.kind {
        Some(kind) => conversation(context, &project, &store, &view, kind, inline),
        None => sample(context, &project, &store, &view, inline),
    }
}

fn sample(context: &Context, project: &Project, store: &Store, view: &SampleView, inline: bool) -> Result<Outcome, Failure> {
    context.out.object(&view_json(project, store, view)?)?;
    if context.out.is_json() {
        return Ok(Outcome::Done);
    }
    let folders = Folders::of(project, store)?;
    context.out.line(format_args!("{}  {}  {}", view.sample.id, view.sample.image_type, view.state.name()));
    for image in std::iter::once(&view.sample.query).chain(&view.sample.reference) {
        show_image(context, &folders.locate(image)?, inline);
    }
    for field in project.schema().fields() {
        let label = view.label.get(&field.id).map_or_else(|| "–".to_owned(), |value| field.render(value));
        let predicted = view.prediction.as_ref().and_then(|prediction| prediction.fields.get(&field.id));
        let predicted =
            predicted.map(|told| format!("   predicted {} ({:.3})", field.render(&told.value), told.confidence())).unwrap_or_default();
        context.out.line(format_args!("  {:<18} {label}{predicted}", field.title));
    }
    if !view.comment.is_empty() {
        context.out.line(format_args!("  remark: {}", view.comment));
    }
    if let Some(alike) = &view.alike {
        let copy = alike.duplicate_of.as_ref().map(|first| format!(", nearly the same picture as {first}")).unwrap_or_default();
        context.out.line(format_args!("  looks like cluster {}, outlier {:.0} %{copy}", alike.cluster, alike.outlier * 100.0));
    }
    for problem in &view.problems {
        context.out.line(format_args!("  {}: {}", problem.field, problem.error));
    }
    Ok(Outcome::Done)
}

/// The conversation, its answer from the label as it stands.
fn conversation(
    context: &Context,
    project: &Project,
    store: &Store,
    view: &SampleView,
    kind: Kind,
    inline: bool,
) -> Result<Outcome, Failure> {
    let recipe = &project.recipe;
    let folders = Folders::of(project, store)?;
    let image_type = view.image_type(&recipe.schema, &view.label);
    let mut conversation = recipe.prompt(&view.sample, image_type, kind, Exemplar::Right)?;
    let answer = recipe.answer_turn(&view.label);
    if let Ok(turn) = &answer {
        conversation.turns.push(turn.clone());
    }
    context.out.object(&conversation_json(&folders, &conversation)?)?;
    if !context.out.is_json() {
        for turn in &conversation.turns {
            context.out.line(format_args!("── {}", turn.role.name()));
            for part in &turn.parts {
                match part {
                    Part::Text(text) => text.lines().for_each(|line| context.out.line(line)),
                    Part::Image(image) => {
                        context.out.line(format_args!("[{}]", role_name(image.role)));
                        let path = folders.locate(&image.image)?;
                        show_image(context, &path, inline && image.role != ImageRole::Difference);
                    }
                }
            }
        }
    }
    match answer {
        Ok(_) => Ok(Outcome::Done),
        Err(error) => Err(Failure::new(format_args!("{}: {error}", view.sample.id))),
    }
}

fn role_name(role: ImageRole) -> &'static str {
    match role {
        ImageRole::Exemplar => "exemplar",
        ImageRole::Reference => "reference",
        ImageRole::Query => "query",
        ImageRole::Difference => "difference",
    }
}

/// The picture inline where the terminal can, else its file.
fn show_image(context: &Context, path: &Path, inline: bool) {
    context.out.line(path.display());
    if !inline {
        return;
    }
    let shown = imaging::decode(path, Limits::default()).map_err(|error| error.to_string()).and_then(|picture| {
        // Small enough that a slow line is not flooded; viuer fits it to the terminal.
        let picture = picture.thumbnail(960, 480);
        let config = viuer::Config { absolute_offset: false, width: Some(80.min(picture.width() / 8 + 1)), ..viuer::Config::default() };
        viuer::print(&picture, &config).map(drop).map_err(|error| error.to_string())
    });
    if let Err(error) = shown {
        context.out.line(format_args!("  (cannot be shown: {error})"));
    }
}

/// A sample as `show` and `next` tell it.
pub(super) fn view_json(project: &Project, store: &Store, view: &SampleView) -> Result<Json, Failure> {
    let schema = project.schema();
    let folders = Folders::of(project, store)?;
    let path = |image| -> Result<Json, Failure> { Ok(json!(folders.locate(image)?)) };
    let predictions: Vec<Json> = store.predictions(&view.sample.id)?.iter().map(|prediction| prediction_json(schema, prediction)).collect();
    Ok(json!({
        "id": view.sample.id,
        "type": view.sample.image_type,
        "group": view.sample.group,
        "split": project.splits.split_of(&view.sample.group),
        "images": { "query": path(&view.sample.query)?, "reference": view.sample.reference.as_ref().map(path).transpose()? },
        "label": label_json(schema, &view.label),
        "state": view.state,
        "revision": view.revision.number(),
        "reviewer": view.by.as_ref().map(|(reviewer, _)| reviewer),
        "flagged": view.flagged,
        "comment": view.comment,
        "claimed_by": view.claim.as_ref().map(|claim| &claim.reviewer),
        "predictions": predictions,
        "cluster": view.alike.as_ref().map(|alike| alike.cluster),
        "outlier": view.alike.as_ref().map(|alike| alike.outlier),
        "duplicate_of": view.alike.as_ref().and_then(|alike| alike.duplicate_of.as_ref()),
    }))
}

fn label_json(schema: &Schema, label: &Label) -> Json {
    let values = schema
        .fields()
        .iter()
        .filter_map(|field| Some((field.id.to_string(), value_json(schema, field.id.as_str(), label.get(&field.id)?))));
    Json::Object(values.collect::<Map<_, _>>())
}

/// Numbers as numbers, several choices as a list, all else as its canonical text.
fn value_json(schema: &Schema, field: &str, value: &Value) -> Json {
    match value {
        Value::Integer(number) => json!(number),
        Value::Choices(chosen) => json!(chosen),
        other => json!(schema.field_named(field).map(|field| field.render(other)).unwrap_or_default()),
    }
}

fn prediction_json(schema: &Schema, prediction: &Prediction) -> Json {
    let told = |(field, told): (&crate::domain::FieldId, &FieldPrediction)| {
        let text = |value| schema.field(field).map(|field| field.render(value)).unwrap_or_default();
        let probabilities: Map<String, Json> = told.probabilities.iter().map(|(value, p)| (text(value), json!(p))).collect();
        let whole =
            json!({ "value": value_json(schema, field.as_str(), &told.value), "probabilities": probabilities, "outside": told.outside });
        (field.to_string(), whole)
    };
    let source = &prediction.source;
    json!({
        "model": source.model, "adapter": source.adapter, "instruction": source.instruction, "exemplar": source.exemplar, "kind": source.kind,
        "fields": prediction.fields.iter().map(told).collect::<Map<_, _>>(),
    })
}

fn conversation_json(folders: &Folders, conversation: &Conversation) -> Result<Json, Failure> {
    let turns = conversation
        .turns
        .iter()
        .map(|turn| {
            let content = turn
                .parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => Ok(json!({ "type": "text", "text": text })),
                    Part::Image(image) => Ok(json!({ "type": "image", "role": image.role, "path": folders.locate(&image.image)? })),
                })
                .collect::<Result<Vec<_>, Failure>>()?;
            Ok(json!({ "role": turn.role, "content": content }))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(json!({ "kind": conversation.kind, "messages": turns }))
}
