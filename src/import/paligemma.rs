//! PaliGemma JSONL: `image`, `prefix`, `suffix`. The suffix is a defect mode, with location tokens or without.

use super::cell::Record;
use super::inspection::Inspection;
use super::intake::{Fault, Intake};
use super::rows::{BboxStrError, parse_bbox_str};
use super::run::{Halt, Run};
use super::{Format, NewSample, jsonl};

/// Reads the rows; an address is not guessed from the box.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let inspection = Inspection::of(run.intake.options.schema, Format::PaliGemma, &["defect_mode"])?;
    jsonl::records(run, |intake, record| sample(intake, record, inspection))
}

fn sample(intake: &Intake<'_>, record: &Record<'_>, inspection: Inspection<'_>) -> Result<NewSample, Fault> {
    let mut draft = intake.draft(record)?;
    if let Some((column, cell)) = record.first(std::iter::once("suffix")) {
        let wrong = |error: BboxStrError| Fault::new(column, error.to_string(), cell);
        let text = cell.text().ok_or_else(|| wrong(BboxStrError::NoMode))?;
        match parse_bbox_str(&text) {
            Ok((mode, area)) => {
                inspection.judge(&mut draft.label, column, &mode)?;
                inspection.locate(&mut draft.label, area)?;
            }
            Err(BboxStrError::NoLocation) => inspection.judge(&mut draft.label, column, &text)?,
            Err(error) => return Err(wrong(error)),
        }
    }
    intake.finish(draft)
}
