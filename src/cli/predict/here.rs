//! `mekiki predict`: runs a model over the project's samples.

use serde_json::json;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::super::plan;
use super::{DeviceName, PredictArgs, Predicted, Wanted, missing};

/// The most failed samples that are listed.
const MOST_LISTED: usize = 20;

pub(super) fn run(context: &Context, args: &PredictArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    let wanted = Wanted {
        filter: plan::filter(&project, args.filter.as_deref().unwrap_or_default())?,
        model: args.model.clone(),
        adapter: args.adapter.clone(),
        kind: args.kind.kind(),
        exemplar: args.exemplar.exemplar(),
        batch: args.batch.map(|batch| batch as usize),
        compute: DeviceName::compute(args.device),
    };
    let Predicted { source, made, per_second, device } = missing(context, &project, &store, &wanted)?;
    let (name, kind) = (&source.model, source.kind);
    let listed: Vec<_> = made.listed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "predicted": made.made, "elsewhere": made.elsewhere, "failed": made.failed, "per_second": per_second, "device": device,
        "model": name, "errors": listed,
    }))?;
    for (id, error) in made.listed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if made.failed > MOST_LISTED as u64 {
        context.out.line(format_args!("… and {} more", made.failed - MOST_LISTED as u64));
    }
    match (made.made + made.elsewhere, made.failed) {
        (0, 0) => context.out.line(format_args!("nothing to predict: {name} has predicted all of these samples ({kind})")),
        (_, failed) => {
            let elsewhere = if made.elsewhere > 0 { format!(", {} of them by another process", made.elsewhere) } else { String::new() };
            let all = made.made + made.elsewhere;
            context.out.line(format_args!(
                "{all} samples predicted by {name} ({kind}){elsewhere}, {failed} failed, {per_second:.1} a second on {device}"
            ));
        }
    }
    Ok(if made.failed == 0 { Outcome::Done } else { Outcome::Problems })
}
