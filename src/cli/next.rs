//! `mekiki next`: hands out the next undecided sample.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::output::{Failure, Outcome};
use super::plan;
use super::show::view_json;
use crate::domain::{Comparison, Filter, State, Subject, Term};

/// Hand out the next undecided sample.
#[derive(Debug, Args)]
pub(super) struct NextArgs {
    /// Only samples that a filter lets through, in its order.
    #[arg(long = "where", value_name = "FILTER", default_value = "")]
    filter: String,
    /// Hold it for two minutes, so that nobody else is handed it.
    #[arg(long)]
    claim: bool,
    /// The name under which claims are held and given back.
    #[arg(long, value_name = "NAME", default_value = "next")]
    session: String,
    /// Give back what the session holds, and hand out nothing.
    #[arg(long, conflicts_with = "claim")]
    release: bool,
}

pub(super) fn run(context: &Context, args: &NextArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let who = context.who()?;
    let session = format!("{}/{}", who.reviewer, args.session);
    if args.release {
        store.release(&session)?;
        context.out.object(&json!({ "released": session }))?;
        context.out.line(format_args!("gave back what {session} held"));
        return Ok(Outcome::Done);
    }
    let filter = plan::filter(&project, &args.filter)?;
    let found = if args.claim {
        store.claim_next(&filter, &who.reviewer, &session)?
    } else {
        let first = store.page(&undecided(filter), None, 1)?.rows.into_iter().next();
        first.map(|row| store.sample(&row.id)).transpose()?
    };
    let Some(view) = found else {
        context.out.object(&json!({ "id": null }))?;
        context.out.line("no undecided sample is left");
        return Ok(Outcome::Done);
    };
    context.out.object(&view_json(&project, &store, &view)?)?;
    context.out.line(&view.sample.id);
    for (field, text) in view.label.texts(project.schema()) {
        context.out.line(format_args!("  {field} {text}"));
    }
    if let Some(claim) = &view.claim {
        context.out.line(format_args!("held by {} for two minutes", claim.reviewer));
    }
    Ok(Outcome::Done)
}

fn undecided(mut filter: Filter) -> Filter {
    filter.terms.push(Term { subject: Subject::State, comparison: Comparison::Like(vec![State::Undecided.name().to_owned()]) });
    filter
}
