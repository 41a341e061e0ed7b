//! The original rows, JSONL or CSV: `dir`, `position`, `type`, `image`, `bbox_str`.

use super::cell::{Cell, Record};
use super::inspection::Inspection;
use super::intake::{Fault, Intake, Picture};
use super::run::{Halt, Run};
use super::{Format, NewSample, csv, jsonl};
use crate::domain::{BoundingBox, fold_text};

/// Why a `bbox_str` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BboxStrError {
    /// There is no location token.
    #[error("a defect mode and four tokens <locY1><locX1><locY2><locX2>; there is no <loc")]
    NoLocation,
    /// Location tokens that are no box: not four of them, not four digits each, beyond 1023, or turned round.
    #[error("four tokens <locY1><locX1><locY2><locX2> with steps 0000 to 1023, first corner before second")]
    NoBox,
    /// There are only location tokens.
    #[error("a defect mode beside the location tokens")]
    NoMode,
    /// Several boxes of different defect modes.
    #[error("one defect mode for all boxes")]
    SeveralModes,
}

/// Reads a `bbox_str`: a defect mode and its box, as `scratch<loc0123><loc0456><loc0789><loc0999>` or with the tokens
/// first. Of several boxes, with `;` or spaces between, the first counts; their defect modes must agree.
pub fn parse_bbox_str(text: &str) -> Result<(String, BoundingBox), BboxStrError> {
    let (mut mode, mut area): (Option<&str>, Option<BoundingBox>) = (None, None);
    let mut rest = text;
    loop {
        let start = rest.find("<loc").unwrap_or(rest.len());
        let part = rest[..start].trim_matches(|c: char| c.is_whitespace() || c == ';');
        match mode {
            _ if part.is_empty() => {}
            Some(known) if fold_text(known) != fold_text(part) => return Err(BboxStrError::SeveralModes),
            _ => mode = mode.or(Some(part)),
        }
        if start == rest.len() {
            break;
        }
        // The fourth closing mark ends a box.
        let end = rest[start..].match_indices('>').nth(3).map(|(at, _)| start + at + 1).ok_or(BboxStrError::NoBox)?;
        let found = BoundingBox::parse(&rest[start..end]).ok_or(BboxStrError::NoBox)?;
        area.get_or_insert(found);
        rest = &rest[end..];
    }
    let area = area.ok_or(BboxStrError::NoLocation)?;
    mode.map(|mode| (mode.to_owned(), area)).ok_or(BboxStrError::NoMode)
}

/// Reads the rows; the schema must have `judgement`, `defect_mode` and `position`.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let inspection = Inspection::of(run.intake.options.schema, Format::Rows, &["judgement", "defect_mode", "position"])?;
    let sample = |intake: &Intake<'_>, record: &Record<'_>| sample(intake, record, inspection);
    if csv::is_table(&run.opened.name) { csv::records(run, sample) } else { jsonl::records(run, sample) }
}

fn sample(intake: &Intake<'_>, record: &Record<'_>, inspection: Inspection<'_>) -> Result<NewSample, Fault> {
    let schema = intake.options.schema;
    let mut draft = intake.draft(record)?;
    if let (Some(dir), (_, Picture::Named(image))) = (record.get("dir").and_then(Cell::text), &mut draft.query) {
        let below = format!("{}/{image}", dir.trim_end_matches('/'));
        if !dir.is_empty() && intake.images.exists(&below) {
            *image = below.into();
        }
    }
    let said = |column| record.first(std::iter::once(column));
    if let Some((column, cell)) = said("bbox_str") {
        let text = cell.text().ok_or_else(|| Fault::new(column, BboxStrError::NoLocation.to_string(), cell))?;
        let (mode, area) = parse_bbox_str(&text).map_err(|error| Fault::new(column, error.to_string(), &text))?;
        inspection.judge(&mut draft.label, column, &mode)?;
        inspection.locate(&mut draft.label, area)?;
    }
    if let (Some((column, cell)), Some(field)) = (said("position"), inspection.position) {
        draft.label.set(schema, &field.id, super::generic::value(field, column, cell)?)?;
    }
    intake.finish(draft)
}
