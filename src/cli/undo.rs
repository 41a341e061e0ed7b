//! `mekiki undo` and `mekiki redo`.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::output::{Failure, Outcome};
use crate::store::StoreError;

/// A reviewer's own decisions, newest first; a batch counts as one. What another has decided on since stays.
#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// How many.
    #[arg(long, default_value_t = 1)]
    count: u32,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Undo,
    Redo,
}

pub(super) fn run(context: &Context, args: &UndoArgs, direction: Direction) -> Result<Outcome, Failure> {
    let (_, mut store) = context.open()?;
    let who = context.who()?;
    let mut steps = Vec::new();
    let mut left_alone = false;
    for _ in 0..args.count {
        let step = match direction {
            Direction::Undo => store.undo(&who),
            Direction::Redo => store.redo(&who),
        };
        let step = match step {
            Err(StoreError::NothingToUndo(_) | StoreError::NothingToRedo(_)) if !steps.is_empty() => break,
            step => step?,
        };
        let verb = if direction == Direction::Undo { "took back" } else { "made again" };
        context.out.line(format_args!("{verb} {} ({} samples)", step.of, step.applied.len()));
        for refusal in &step.refused {
            context.out.line(format_args!("left alone {refusal}"));
        }
        left_alone |= !step.refused.is_empty();
        let refused: Vec<_> =
            step.refused.iter().map(|refusal| json!({ "sample": refusal.sample, "reason": refusal.reason.to_string() })).collect();
        steps.push(json!({ "operation": step.operation.to_string(), "of": step.of.to_string(), "samples": step.applied.len(), "refused": refused }));
    }
    context.out.object(&json!({ "steps": steps }))?;
    Ok(if left_alone { Outcome::Problems } else { Outcome::Done })
}
