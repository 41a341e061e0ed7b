//! `mekiki export`: writes the training set from approved samples.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use super::plan;
use crate::conversation::SamplingPlan;
use crate::domain::Split;
use crate::export::Format;
use crate::jobs::{self, Exporting, Set};

/// Write the training set from approved samples, or bring the one that is there up to date.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The training set's folder: new, empty, or one that was exported from this project before.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How it is written.
    #[arg(long, default_value = "messages", value_parser = parse_format)]
    format: Format,
    /// Which samples become one-shot, instead of the project's plan: the first N imported ones, a share such as 30%, all, none or both kinds of each.
    #[arg(long, value_name = "PLAN", value_parser = plan::sampling)]
    one_shot: Option<SamplingPlan>,
    /// Only the samples of one split; all of them, each marked with its split, when not given.
    #[arg(long, value_enum)]
    split: Option<SplitName>,
    /// Link images instead of copying them where they lie on the same disk; then never change the originals in place.
    #[arg(long)]
    hard_links: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SplitName {
    /// What is trained on.
    Train,
    /// What is measured while training.
    Validation,
    /// What is measured at the end.
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Validation => Self::Validation,
            SplitName::Test => Self::Test,
        }
    }
}

fn parse_format(name: &str) -> Result<Format, String> {
    Format::parse(name).ok_or_else(|| format!("expected one of {}", Format::ALL.map(Format::name).join(", ")))
}

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    let folders = plan::folders(&project, &store)?;
    let approved = store.stats()?.approved;
    let progress = context.out.progress(approved, "exporting");
    let out = absolute(&args.out);
    let wanted = Exporting {
        out: &out,
        format: args.format,
        sampling: args.one_shot.unwrap_or(project.plan),
        split: args.split.map(Split::from),
        hard_links: args.hard_links,
    };
    let Set { report, refused } = jobs::export(&project, &store, &folders, wanted, &|done| progress.set(done))?;
    drop(progress);
    let splits: Map<String, Json> = report.splits.iter().map(|(split, count)| (split.name().to_owned(), json!(count))).collect();
    let listed: Vec<Json> = refused.iter().map(|(sample, reason)| json!({ "sample": sample, "reason": reason })).collect();
    context.out.object(&json!({
        "conversations": report.conversations, "one_shot": report.one_shot, "zero_shot": report.zero_shot, "splits": splits, "path": report.path,
        "added": report.added, "replaced": report.replaced, "withdrawn": report.withdrawn, "unchanged": report.unchanged,
        "warnings": report.warnings, "refused": listed,
    }))?;
    for warning in &report.warnings {
        context.out.line(format_args!("note: {warning}"));
    }
    for (sample, reason) in &refused {
        context.out.line(format_args!("refused {sample}: {reason}"));
    }
    context.out.line(format_args!(
        "{} conversations ({} one-shot, {} zero-shot) in {}",
        report.conversations,
        report.one_shot,
        report.zero_shot,
        report.path.display()
    ));
    context.out.line(format_args!(
        "{} added, {} replaced, {} withdrawn, {} unchanged",
        report.added, report.replaced, report.withdrawn, report.unchanged
    ));
    Ok(if refused.is_empty() { Outcome::Done } else { Outcome::Problems })
}
