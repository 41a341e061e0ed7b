//! `mekiki export`: writes the training set from approved samples.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use super::plan::{self, Folders};
use crate::conversation::SamplingPlan;
use crate::domain::{ApprovedSample, Split};
use crate::export::{self, Format, Request};
use crate::store::{Store, StoreError};

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

/// How many approved samples are read from the store at a time.
const PAGE: usize = 1000;

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    let folders = Folders::of(&project, &store)?;
    let approved = store.stats()?.approved;
    let progress = context.out.progress(approved, "exporting");
    let out = absolute(&args.out);
    let mut broken = Vec::new();
    let request = Request {
        recipe: &project.recipe,
        plan: args.one_shot.unwrap_or(project.plan),
        splits: &project.splits,
        format: args.format,
        out: &out,
        folders: &|folder| folders.get(folder).cloned(),
        models: &|prediction| store.model_of(prediction).ok().flatten(),
        hard_links: args.hard_links,
        tool: concat!("mekiki ", env!("CARGO_PKG_VERSION")),
        project: &project.name,
    };
    let wanted =
        |sample: &ApprovedSample| args.split.is_none_or(|split| project.splits.split_of(&sample.sample().group) == Split::from(split));
    let approved = Approvals::new(&store, &mut broken).filter(|sample| sample.as_ref().map_or(true, wanted));
    let report = export::export(&request, approved, &|done| progress.set(done))?;
    drop(progress);
    let refused: Vec<(String, String)> =
        broken.into_iter().chain(report.refused.iter().map(|refusal| (refusal.sample.to_string(), refusal.reason.clone()))).collect();
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

/// The approved samples of a store in import order, a page at a time. Those whose approval no longer holds under the
/// schema of today are put aside, each with what speaks against it.
struct Approvals<'a> {
    store: &'a Store,
    page: std::vec::IntoIter<ApprovedSample>,
    /// The ordinal behind which the next page begins.
    after: Option<u64>,
    /// Whether there is no next page.
    ended: bool,
    broken: &'a mut Vec<(String, String)>,
}

impl<'a> Approvals<'a> {
    fn new(store: &'a Store, broken: &'a mut Vec<(String, String)>) -> Self {
        Self { store, page: Vec::new().into_iter(), after: None, ended: false, broken }
    }
}

impl Iterator for Approvals<'_> {
    type Item = Result<ApprovedSample, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(sample) = self.page.next() {
                return Some(Ok(sample));
            }
            if self.ended {
                return None;
            }
            match self.store.approved(self.after, PAGE) {
                Ok(approved) => {
                    self.broken.extend(approved.problems.into_iter().map(|problem| (problem.sample.to_string(), problem.text)));
                    self.page = approved.samples.into_iter();
                    (self.after, self.ended) = (approved.next, approved.next.is_none());
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
