//! Statistics: agreement, confusion, calibration, pace; a cell of the confusion matrix opens as a queue.

use super::RequestId;
use crate::domain::{FieldId, ReviewerName};

/// How labels and predictions of one field agree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Confusion {
    /// What labels say, row by row, written as the field writes them.
    pub labels: Vec<String>,
    /// What predictions say, column by column.
    pub predictions: Vec<String>,
    /// Samples, by row and column.
    pub counts: Vec<Vec<u64>>,
}

/// One field's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldStatistics {
    /// The field.
    pub field: FieldId,
    /// Samples with a label and a prediction.
    pub compared: u64,
    /// Those of them that agree.
    pub agreed: u64,
    /// Where they do not.
    pub confusion: Confusion,
    /// Ten bins of confidence from 0 to 1: samples, and how many of them agree.
    pub calibration: Vec<(u64, u64)>,
}

/// One reviewer's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Who.
    pub reviewer: ReviewerName,
    /// Samples decided.
    pub decided: u64,
    /// Samples per hour of work, lately; `None` where too little was decided to tell.
    pub per_hour: Option<f64>,
}

/// All figures of a project.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// Field by field, in the schema's order.
    pub fields: Vec<FieldStatistics>,
    /// Reviewer by reviewer.
    pub paces: Vec<Pace>,
    /// Samples that are undecided.
    pub undecided: u64,
    /// Seconds until all are decided, at the pace of late.
    pub left_s: Option<f64>,
}

/// The statistics screen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StatsView {
    /// The figures, once they are here.
    pub figures: Option<Statistics>,
    /// The question that they answer.
    pub awaited: Option<RequestId>,
    /// The field that is shown.
    pub tab: usize,
    /// The cell of its confusion matrix: label's row, prediction's column.
    pub cell: (usize, usize),
}

impl StatsView {
    /// The field that is shown.
    pub fn field(&self) -> Option<&FieldStatistics> {
        self.figures.as_ref()?.fields.get(self.tab)
    }

    /// Goes to another field, round the end.
    pub fn turn(&mut self, forward: bool) {
        let count = self.figures.as_ref().map_or(0, |figures| figures.fields.len()).max(1);
        self.tab = (self.tab + if forward { 1 } else { count - 1 }) % count;
        self.cell = (0, 0);
    }

    /// Goes to a cell, within the matrix.
    pub fn go_to(&mut self, row: usize, column: usize) {
        let (rows, columns) = self.field().map_or((0, 0), |field| (field.confusion.labels.len(), field.confusion.predictions.len()));
        self.cell = (row.min(rows.saturating_sub(1)), column.min(columns.saturating_sub(1)));
    }

    /// The filter that shows the samples of the cell.
    pub fn cell_filter(&self) -> Option<String> {
        let field = self.field()?;
        let label = field.confusion.labels.get(self.cell.0)?;
        let predicted = field.confusion.predictions.get(self.cell.1)?;
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        Some(format!("label.{0}={1} predicted.{0}={2}", field.field, quoted(label), quoted(predicted)))
    }
}
