//! `mekiki stats`: samples, decisions, agreement.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::context::Context;
use super::output::{Failure, Outcome};
use super::plan;

/// Count samples, decisions and agreement.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Only count the samples that a filter lets through.
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
}

pub(super) fn run(context: &Context, args: &StatsArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    if let Some(filter) = &args.filter {
        let samples = store.count(&plan::filter(&project, filter)?)?;
        context.out.object(&json!({ "samples": samples }))?;
        context.out.line(format_args!("{samples} samples"));
        return Ok(Outcome::Done);
    }
    let stats = store.stats()?;
    let sources = store.sources()?;
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let fields: BTreeMap<&str, Json> = stats
        .fields
        .iter()
        .map(|field| {
            let render = |value| project.schema().field(&field.field).map(|known| known.render(value)).unwrap_or_default();
            let values: serde_json::Map<String, Json> = field.values.iter().map(|(value, count)| (render(value), json!(count))).collect();
            let told = json!({
                "labelled": field.labelled, "predicted": field.predicted, "compared": field.compared,
                "agreed": field.agreed, "agreement": share(field.agreed, field.compared), "values": values,
            });
            (field.field.as_str(), told)
        })
        .collect();
    let time = |time_ms| Timestamp::from_millisecond(time_ms).unwrap_or_default().to_string();
    let reviewers: Vec<Json> = stats
        .reviewers
        .iter()
        .map(|reviewer| {
            json!({ "reviewer": reviewer.reviewer, "decided": reviewer.decided, "approved": reviewer.approved, "rejected": reviewer.rejected, "last": time(reviewer.last_ms) })
        })
        .collect();
    let models: Vec<Json> = sources
        .iter()
        .map(|source| json!({ "source": source.source, "active": source.active, "predictions": source.predictions }))
        .collect();
    context.out.object(&json!({
        "project": project.name, "samples": stats.samples, "approved": stats.approved, "undecided": stats.undecided,
        "rejected": stats.rejected, "flagged": stats.flagged, "fields": fields, "reviewers": reviewers, "predictions": models,
    }))?;
    context.out.line(format_args!("{}: {} samples", project.name, stats.samples));
    context.out.line(format_args!(
        "  {} approved, {} undecided, {} rejected, {} flagged",
        stats.approved, stats.undecided, stats.rejected, stats.flagged
    ));
    for field in &stats.fields {
        let agreement = share(field.agreed, field.compared).map(|share| format!(", agreement {:.1} %", share * 100.0)).unwrap_or_default();
        context.out.line(format_args!("  {:<14} {:>7} labelled, {:>7} predicted{agreement}", field.field, field.labelled, field.predicted));
    }
    for reviewer in &stats.reviewers {
        context.out.line(format_args!(
            "  {} decided on {} ({} approved, {} rejected)",
            reviewer.reviewer, reviewer.decided, reviewer.approved, reviewer.rejected
        ));
    }
    Ok(Outcome::Done)
}

/// What `mekiki` alone says: where the project of this folder stands, or how to start one.
pub(super) fn overview(context: &Context) -> Result<Outcome, Failure> {
    run(context, &StatsArgs { filter: None })
}
