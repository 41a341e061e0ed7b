//! `mekiki log`: who decided what, newest first.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::context::Context;
use super::output::{Failure, Outcome};

/// List who decided what, newest first.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// How many operations.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub(super) fn run(context: &Context, args: &LogArgs) -> Result<Outcome, Failure> {
    let (_, store) = context.open()?;
    let operations = store.log(None, args.limit)?;
    let time = |time_ms| Timestamp::from_millisecond(time_ms).unwrap_or_default();
    let list: Vec<_> = operations
        .iter()
        .map(|operation| {
            json!({
                "id": operation.id.to_string(),
                "reviewer": operation.who.reviewer,
                "time": time(operation.time_ms).to_string(),
                "kind": operation.kind.name(),
                "samples": operation.samples,
                "undoes": operation.undoes.map(|id| id.to_string()),
                "source": operation.source,
                "user": operation.who.user,
                "host": operation.who.host,
            })
        })
        .collect();
    context.out.object(&json!({ "operations": list }))?;
    for operation in &operations {
        let undoes = operation.undoes.map(|id| format!("  takes back {id}")).unwrap_or_default();
        context.out.line(format_args!(
            "{}  {:.0}  {:<7} {:>6} samples  {}  {}{undoes}",
            operation.id,
            time(operation.time_ms),
            operation.kind.name(),
            operation.samples,
            operation.who.reviewer,
            operation.source,
        ));
    }
    Ok(Outcome::Done)
}
