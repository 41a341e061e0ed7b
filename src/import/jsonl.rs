//! One JSON object a line.

use super::cell::{Cell, Record};
use super::intake::{Fault, Intake};
use super::lines::Lines;
use super::run::{Halt, Run};
use super::{ImportError, NewSample, generic};

/// Reads rows by columns.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    records(run, generic::sample)
}

/// Reads one record a line and makes samples of them.
pub(super) fn records(run: &mut Run<'_>, sample: impl Fn(&Intake<'_>, &Record<'_>) -> Result<NewSample, Fault> + Sync) -> Result<(), Halt> {
    let lines = Lines::new(run.file()?);
    let path = run.opened.path.clone();
    let lines = lines.map(|line| line.map_err(|source| ImportError::Io { path: path.clone(), source }));
    run.stream(lines, |intake, line| sample(intake, &parse(&line)?))
}

/// A line as a record.
pub(super) fn parse(line: &str) -> Result<Record<'_>, Fault> {
    match serde_json::from_str(line) {
        Ok(Cell::Map(record)) => Ok(record),
        Ok(_) => Err(Fault::row("a JSON object", line)),
        Err(error) => {
            // The parser counts lines within this one.
            let reason = error.to_string().replace(" at line 1 column ", " at column ");
            Err(Fault::row(format!("a JSON object ({reason})"), line))
        }
    }
}
