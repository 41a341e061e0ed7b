//! `mekiki model new`: a random checkpoint, to try everything with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use crate::config::{self, FILE_NAME, Language, Project, Template};
use crate::conversation::AnswerTemplate;
use crate::domain::{Field, Label};
use crate::model::random::{self, Shape};

/// Make models to try.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Write a checkpoint of random parameters as a Hugging Face folder: the stand-in until a trained one exists.
    New(NewArgs),
}

#[derive(Debug, Args)]
struct NewArgs {
    /// The checkpoint's folder: new, or empty.
    dir: PathBuf,
    /// tiny, small (5 million parameters), 2b, 4b or 8b (the sizes of Qwen3-VL), or a config.json of the Qwen-VL family.
    #[arg(long, value_name = "SHAPE", default_value = "small")]
    shape: String,
    /// Decides every parameter; the same seed writes the same checkpoint.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(context: &Context, args: &ModelArgs) -> Result<Outcome, Failure> {
    let ModelCommand::New(args) = &args.command;
    let dir = absolute(&args.dir);
    let shape = match Shape::parse(&args.shape) {
        Shape::File(path) if !path.is_file() => {
            let expected = "expected tiny, small, 2b, 4b, 8b or the path of a config.json";
            return Err(Failure::usage(format_args!("--shape: {expected}, got {}", args.shape)));
        }
        shape => shape,
    };
    super::init::make_empty(&dir)?;
    let texts = texts()?;
    let progress = context.out.progress(0, "writing");
    let written = random::write(&dir, &shape, args.seed, &texts, &|done, all| {
        progress.set_total(all);
        progress.set(done);
    })?;
    drop(progress);
    context.out.object(&json!({
        "path": dir, "shape": args.shape, "seed": args.seed, "parameters": written.parameters, "bytes": written.bytes, "tokens": written.tokens,
        "files": written.files,
    }))?;
    context.out.line(format_args!(
        "wrote a random model of {:.1} million parameters ({:.1} MB, {} tokens) into {}",
        written.parameters as f64 / 1e6,
        written.bytes as f64 / 1e6,
        written.tokens,
        dir.display()
    ));
    context.out.line(format_args!("next: mekiki predict --model {}", dir.display()));
    Ok(Outcome::Done)
}

/// What the tokenizer learns from: the instructions and answers of all project templates, in both languages.
pub(super) fn texts() -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    for template in [Template::Pins, Template::Pcb, Template::Blank] {
        for language in [Language::En, Language::Ja] {
            let text = template.text("model", language);
            let project = config::parse(&text, FILE_NAME.as_ref(), ".".as_ref())?;
            texts.extend(texts_of(&project));
        }
    }
    Ok(texts)
}

fn texts_of(project: &Project) -> Vec<String> {
    let recipe = &project.recipe;
    let instructions = recipe.instructions.texts.iter().flat_map(|text| [text.query.clone(), text.exemplar.clone()]);
    instructions.chain(answers(&recipe.answer)).chain(answers(&recipe.exemplar_answer)).collect()
}

/// Answers in which every listed value occurs.
fn answers(template: &AnswerTemplate) -> Vec<String> {
    let fields: Vec<&Field> = template.fields().collect();
    let values: Vec<_> = fields.iter().map(|field| field.values().unwrap_or_default()).collect();
    let most = values.iter().map(Vec::len).max().unwrap_or(0);
    let label = |nth: usize| {
        let chosen = fields.iter().zip(&values).filter(|(_, values)| !values.is_empty());
        Label::from_values(chosen.map(|(field, values)| (*field, values[nth % values.len()].clone())))
    };
    (0..most).filter_map(|nth| template.render(&label(nth)).ok()).collect()
}
