//! A run as it is shown (curves on a terminal, plain lines elsewhere), and its log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::output::{Failure, Output};
use super::view::View;
use crate::train::Event;

/// Shows what a run reports, and writes it down.
pub(super) struct Lines {
    out: Output,
    view: Option<View>,
    path: PathBuf,
    log: File,
    /// The first line that could not be written down.
    broken: Option<std::io::Error>,
}

impl Lines {
    /// A log is begun anew, or gone on with.
    /// Curves are drawn where a terminal shows them, but for `plain`.
    pub(super) fn new(out: Output, log: &Path, append: bool, plain: bool) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(format_args!("--log: {}: {error}", log.display()));
        let file = OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(log).map_err(failed)?;
        let view = if plain || out.is_json() { None } else { View::new() };
        Ok(Self { out, view, path: log.to_owned(), log: file, broken: None })
    }

    /// Takes what has happened.
    pub(super) fn take(&mut self, event: &Event) {
        let written = serde_json::to_string(event).map_err(std::io::Error::from).and_then(|line| writeln!(self.log, "{line}"));
        self.broken = self.broken.take().or(written.err());
        let line = told(event);
        // A line for each step would push everything else out of sight.
        let stays = if let Event::Step(_) = event { None } else { Some(line.as_str()) };
        match &mut self.view {
            // A terminal that cannot be drawn on any more is given lines.
            Some(view) => {
                if view.take(event, stays).is_err() {
                    self.view = None;
                }
            }
            None => self.out.line(line),
        }
    }

    /// Says whether all of it was written down.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.broken {
            Some(error) => Err(Failure::new(format_args!("{}: {error}", self.path.display()))),
            None => Ok(()),
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Step(step) => {
            let dense = step.dense_loss.map(|loss| format!("  dense {loss:.4}")).unwrap_or_default();
            let memory = step.memory.map(|bytes| format!("  {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
            format!(
                "step {:>6}  {:>5.1} %  loss {:.4}{dense}  rate {:.2e}  gradient {:.2}  {:.0} samples/s{memory}  {:.0} s",
                step.step,
                step.progress * 100.0,
                step.answer_loss,
                step.learning_rate,
                step.gradient,
                step.samples_per_second,
                step.seconds,
            )
        }
        Event::Evaluation(found) => {
            let share = |name: &str, share: Option<f64>| share.map(|share| format!("  {name} {share:.4}")).unwrap_or_default();
            let best = if found.best { "  best so far" } else { "" };
            let shares = format!("{}{}", share("zero-shot", found.zero_shot), share("one-shot", found.one_shot));
            format!("step {:>6}  held out: whole answers right{shares}  loss {:.4}{best}", found.step, found.loss)
        }
        Event::Checkpoint { step, path } => format!("step {step:>6}  checkpoint {}", path.display()),
        Event::Planned { memory, room, recompute } => {
            let room = room.map(|bytes| format!(" of {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
            let how = if *recompute { "; blocks are computed again for their gradients" } else { "" };
            format!("memory: at most {:.1} GB{room}, by the plan{how}", *memory as f64 / 1e9)
        }
        Event::Again => "not enough memory; from here on blocks are computed again for their gradients".to_owned(),
        Event::Smaller { micro_batch } => format!("not enough memory; from here on {micro_batch} conversations at once"),
        Event::Resumed { step } => format!("going on after step {step}"),
    }
}
