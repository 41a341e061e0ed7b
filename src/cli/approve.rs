//! `mekiki approve`: batch approval without a screen.

use clap::Args;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::json;

use super::context::Context;
use super::output::{Failure, Outcome};
use super::plan::{self, Folders};
use crate::config::Project;
use crate::domain::{Edit, FieldId, ImageHashes, SampleId, Shown, Subject, Value, ValueOrigin, propose};
use crate::imaging;
use crate::store::{Decision, DecisionKind, OperationId, Refusal, Revision, SampleView, Store};

/// Approve samples with their labels, as one step that can be undone as one.
///
/// Of each sample the label is approved, or the prediction where it has none. Where the two differ, say which with
/// --take; else the sample is refused. Samples that are not complete or break a rule are refused.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The samples' ids.
    #[arg(required_unless_present = "filter")]
    ids: Vec<String>,
    /// Approve all undecided samples that a filter lets through; a filter that says `state=` reaches others too.
    #[arg(long = "where", value_name = "FILTER", conflicts_with = "ids")]
    filter: Option<String>,
    /// What is approved where label and prediction differ.
    #[arg(long, value_enum)]
    take: Option<Take>,
    /// A field's value for all of them, for example `--set judgement=passed`.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Refuse the samples that have changed since this revision, which `next` and `show` tell.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<i64>,
    /// Say what would be approved and change nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Take {
    /// The label.
    Label,
    /// The prediction.
    Prediction,
}

/// How many samples are read at a time.
const PAGE: usize = 1000;
/// The most refusals that are listed for a person; JSON has all.
const MOST_LISTED: usize = 50;

pub(super) fn run(context: &Context, args: &ApproveArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let who = context.who()?;
    let folders = Folders::of(&project, &store)?;
    let set = fixed_values(&project, &args.set)?;
    let ids = match &args.filter {
        Some(filter) => matching(&project, &store, filter)?,
        None => args.ids.iter().map(|id| SampleId::new(id).map_err(Failure::usage)).collect::<Result<_, _>>()?,
    };
    let progress = context.out.progress(ids.len() as u64, "checking");
    let mut decisions = Vec::new();
    let mut refused: Vec<(SampleId, String)> = Vec::new();
    for (done, chunk) in ids.chunks(PAGE).enumerate() {
        progress.set((done * PAGE) as u64);
        // The store is read by one thread, the images by all.
        let mut candidates = Vec::with_capacity(chunk.len());
        for id in chunk {
            match store.sample(id) {
                Ok(view) => match label_of(&project, &view, &set, args.take) {
                    Ok(label) => {
                        let query = folders.locate(&view.sample.query);
                        let reference = view.sample.reference.as_ref().map(|image| folders.locate(image)).transpose();
                        candidates.push((view, label, query, reference));
                    }
                    Err(reason) => refused.push((id.clone(), reason)),
                },
                Err(error) => refused.push((id.clone(), error.to_string())),
            }
        }
        let hashed: Vec<_> = candidates
            .par_iter()
            .map(|(_, _, query, reference)| -> Result<ImageHashes, String> {
                let query = query.as_ref().map_err(Failure::message)?;
                let reference = reference.as_ref().map_err(Failure::message)?;
                let hash = |path| imaging::hash_file(path).map_err(|error| error.to_string());
                Ok(ImageHashes { query: hash(query)?, reference: reference.as_deref().map(hash).transpose()? })
            })
            .collect();
        for ((view, label, ..), images) in candidates.into_iter().zip(hashed) {
            match images {
                Ok(images) => {
                    let base = args.revision.map_or(view.revision, Revision::from_number);
                    decisions.push(Decision {
                        sample: view.sample.id,
                        base,
                        edit: Edit::Approve { label, images, shown: Shown::NotShown },
                    });
                }
                Err(reason) => refused.push((view.sample.id, reason)),
            }
        }
    }
    drop(progress);
    let (approved, operation) = if args.dry_run {
        (decisions.len(), None)
    } else {
        let source = args.filter.as_ref().map_or_else(|| "approve".to_owned(), |filter| format!("approve --where {filter}"));
        let kind = if args.filter.is_some() { DecisionKind::Batch } else { DecisionKind::Single };
        let outcome = store.decide(&who, kind, &source, &decisions)?;
        refused.extend(outcome.refused.iter().map(|refusal: &Refusal| (refusal.sample.clone(), refusal.reason.to_string())));
        (outcome.applied.len(), outcome.operation)
    };
    report(context, args.dry_run, approved, operation, &refused)
}

fn report(
    context: &Context,
    dry_run: bool,
    approved: usize,
    operation: Option<OperationId>,
    refused: &[(SampleId, String)],
) -> Result<Outcome, Failure> {
    let list: Vec<_> = refused.iter().map(|(sample, reason)| json!({ "sample": sample, "reason": reason })).collect();
    context
        .out
        .object(&json!({ "approved": approved, "refused": list, "operation": operation.map(|id| id.to_string()), "dry_run": dry_run }))?;
    for (sample, reason) in refused.iter().take(MOST_LISTED) {
        context.out.line(format_args!("refused {sample}: {reason}"));
    }
    if refused.len() > MOST_LISTED {
        context.out.line(format_args!("… and {} more", refused.len() - MOST_LISTED));
    }
    let verb = if dry_run { "would be approved" } else { "approved" };
    context.out.line(format_args!("{approved} {verb}, {} refused", refused.len()));
    if operation.is_some() {
        context.out.line("take it back with: mekiki undo");
    }
    Ok(if refused.is_empty() { Outcome::Done } else { Outcome::Problems })
}

/// The samples of a filter; undecided ones unless it speaks of the state.
fn matching(project: &Project, store: &Store, text: &str) -> Result<Vec<SampleId>, Failure> {
    let mut filter = plan::filter(project, text)?;
    if !filter.terms.iter().any(|term| term.subject == Subject::State) {
        let undecided = plan::filter(project, "state=undecided")?;
        filter.terms.extend(undecided.terms);
    }
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = store.page(&filter, after.as_ref(), PAGE)?;
        ids.extend(page.rows.into_iter().map(|row| row.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(ids),
        }
    }
}

/// `--set` read by the schema.
fn fixed_values(project: &Project, set: &[String]) -> Result<Vec<(FieldId, Value)>, Failure> {
    set.iter()
        .map(|pair| {
            let (id, text) =
                pair.split_once('=').ok_or_else(|| Failure::usage(format_args!("--set: expected FIELD=VALUE, got {pair:?}")))?;
            let known = || project.schema().fields().iter().map(|field| field.id.as_str()).collect::<Vec<_>>().join(", ");
            let field = project
                .schema()
                .field_named(id)
                .ok_or_else(|| Failure::usage(format_args!("--set: expected one of the fields {}, got {id:?}", known())))?;
            let value = field.parse(text).map_err(|error| Failure::usage(format_args!("--set {id}: {error}")))?;
            Ok((field.id.clone(), value))
        })
        .collect()
}

/// What would be approved of a sample, or why nothing is proposed for some field.
fn label_of(
    project: &Project,
    view: &SampleView,
    set: &[(FieldId, Value)],
    take: Option<Take>,
) -> Result<Vec<(FieldId, Value, ValueOrigin)>, String> {
    let mut proposal = propose(project.schema(), &view.label, &|field| view.decided.contains(field), view.prediction.as_ref());
    if let Some(take) = take {
        proposal = proposal.settled(take == Take::Prediction);
    }
    let is_set = |field: &FieldId| set.iter().any(|(id, _)| id == field);
    let conflicts: Vec<&str> = proposal.conflicts().filter(|field| !is_set(field)).map(FieldId::as_str).collect();
    if !conflicts.is_empty() {
        return Err(format!("label and prediction differ in {}; choose with --take label or --take prediction", conflicts.join(", ")));
    }
    let proposed =
        proposal.values().filter(|(field, ..)| !is_set(field)).map(|(field, value, origin)| (field.clone(), value.clone(), origin.clone()));
    let fixed = set.iter().map(|(field, value)| (field.clone(), value.clone(), ValueOrigin::Typed));
    Ok(proposed.chain(fixed).collect())
}
