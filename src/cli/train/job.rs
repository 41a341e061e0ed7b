//! `mekiki train --emit`: the same plan as a job of another trainer.

use std::path::Path;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::super::plan::Folders;
use super::source;
use crate::domain::Split;
use crate::export::{self, Format, Request};
use crate::model::checkpoint::read_text;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Config;
use crate::store::StoreError;
use crate::train::emit::{DATA, Job, Trainer};
use crate::train::{Examples, Lora, Plan, base_name, memory};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TrainerName {
    /// Hugging Face TRL.
    Trl,
    /// LLaMA-Factory.
    Llamafactory,
}

impl TrainerName {
    fn trainer(self) -> Trainer {
        match self {
            Self::Trl => Trainer::Trl,
            Self::Llamafactory => Trainer::LlamaFactory,
        }
    }
}

/// Writes a job into a new folder: the data set, the trainer's settings, what starts it on so many GPUs.
pub(super) fn run(
    context: &Context,
    (trainer, gpus): (TrainerName, u32),
    plan: &Plan,
    (base, config, processor): (&Path, &Config, &Processor),
    examples: &dyn Examples,
    out: &Path,
) -> Result<Outcome, Failure> {
    let longest = memory::survey(examples, processor, config)?.iter().map(|load| load.tokens).max().unwrap_or(0);
    super::super::init::make_empty(out)?;
    let data = out.join(DATA);
    let (project, store) = context.open()?;
    let folders = Folders::of(&project, &store)?;
    let mut warnings = Vec::new();
    let approved = source::approved(&store, &mut warnings)?;
    let used = approved.into_iter().filter(|sample| project.splits.split_of(&sample.sample().group) != Split::Test);
    let request = Request {
        recipe: &project.recipe,
        plan: source::kinds(plan.one_shot_share),
        splits: &project.splits,
        format: Format::Messages,
        out: &data,
        folders: &|folder| folders.get(folder).cloned(),
        models: &|prediction| store.model_of(prediction).ok().flatten(),
        hard_links: false,
        tool: super::TOOL,
        project: &project.name,
    };
    let report = export::export(&request, used.map(Ok::<_, StoreError>), &|_| {})?;
    warnings.extend(report.warnings);
    let (train, validation) = listed(&data)?;
    let model = base_name(base);
    let targets = plan.lora.as_ref().map(|lora| Lora::targets(config, lora)).transpose()?;
    let family = family(base)?;
    let job = Job {
        model: &model,
        family: &family,
        targets,
        data: (&train, validation.as_deref()),
        longest,
        pixels: processor.images.pixels(),
        gpus: gpus as usize,
        tool: super::TOOL,
    };
    let files = job.files(trainer.trainer(), plan);
    for (name, text) in &files {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    context.out.object(&json!({
        "path": out, "files": names, "conversations": report.conversations, "one_shot": report.one_shot, "zero_shot": report.zero_shot,
        "longest": longest, "gpus": gpus, "warnings": warnings,
    }))?;
    for warning in &warnings {
        context.out.line(format_args!("note: {warning}"));
    }
    context.out.line(format_args!(
        "{} conversations of up to {longest} tokens and {} in {}",
        report.conversations,
        names.join(", "),
        out.display()
    ));
    context.out.line(format_args!("next: sh {}", out.join("launch.sh").display()));
    Ok(Outcome::Done)
}

/// What LLaMA-Factory's list calls the training split, and the validation split where there is one.
fn listed(data: &Path) -> Result<(String, Option<String>), Failure> {
    let path = data.join("dataset_info.json");
    let list: Value = serde_json::from_str(&read_text(&path)?)?;
    let names: Vec<&String> = list.as_object().map(|list| list.keys().collect()).unwrap_or_default();
    let ending = |end: &str| names.iter().find(|name| name.ends_with(end)).map(|name| (*name).clone());
    let all = names.first().ok_or_else(|| Failure::new(format_args!("{}: expected a data set, got none", path.display())))?;
    Ok((ending("_train").unwrap_or_else(|| (*all).clone()), ending("_validation")))
}

/// A checkpoint's `model_type`.
pub(super) fn family(base: &Path) -> Result<String, Failure> {
    let config: Value = serde_json::from_str(&read_text(&base.join("config.json"))?)?;
    Ok(config["model_type"].as_str().unwrap_or_default().to_owned())
}
