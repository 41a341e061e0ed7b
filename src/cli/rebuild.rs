//! `mekiki rebuild`: the derived tables, made again from the log.

use serde_json::json;

use super::context::Context;
use super::output::{Failure, Outcome};

pub(super) fn run(context: &Context) -> Result<Outcome, Failure> {
    let (_, mut store) = context.open()?;
    let rebuilt = store.rebuild()?;
    let differed = rebuilt.samples > 0 || rebuilt.history;
    context.out.object(&json!({ "samples": rebuilt.samples, "history": rebuilt.history }))?;
    context.out.line(if differed {
        format!(
            "mended {} samples{}, which were not as the log says",
            rebuilt.samples,
            if rebuilt.history { " and the undo history" } else { "" }
        )
    } else {
        "the derived tables were as the log says".to_owned()
    });
    Ok(if differed { Outcome::Problems } else { Outcome::Done })
}
