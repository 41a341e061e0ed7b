//! Figures as text: aligned columns, matrices, and charts in characters.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};
use unicode_width::UnicodeWidthStr;

use super::super::output::Output;
use crate::domain::printable;
use crate::eval::{Bin, Calibration, Confusion, Share};

/// Columns of a reliability chart, and its rows.
const CHART: (u16, u16) = (48, 15);
/// The most columns that a name takes in a matrix.
const MOST_NAME: usize = 9;
/// Space between columns.
const GAP: usize = 3;

/// Rows of cells; the first column stands left, the others right, as numbers do.
#[derive(Debug, Default)]
pub(in crate::cli) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether all columns stand left.
    words: bool,
}

impl Table {
    /// A table of words, all of which stand left.
    pub(in crate::cli) fn of_words() -> Self {
        Self { rows: Vec::new(), words: true }
    }

    pub(in crate::cli) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell).into_owned()).collect());
    }

    pub(in crate::cli) fn print(&self, out: Output) {
        self.lines().iter().for_each(|line| out.line(line));
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::from("  ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.width());
                if column > 0 {
                    line.push_str(&" ".repeat(GAP));
                }
                let (before, behind) = if column == 0 || self.words { ("", space.as_str()) } else { (space.as_str(), "") };
                line.extend([before, cell, behind]);
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// `97.1 %`, or `-` where there is nothing to tell.
pub(in crate::cli) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// `97.1 % (94.2-99.0)`.
pub(in crate::cli) fn with_interval(share: &Share) -> String {
    let (low, high) = share.interval;
    share.share().map_or_else(|| "-".to_owned(), |of| format!("{:.1} % ({:.1}-{:.1})", of * 100.0, low * 100.0, high * 100.0))
}

/// A number of three digits, or `-`.
pub(in crate::cli) fn number(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

/// A matrix with the truth in rows; `.` stands for 0. Values of which there is neither truth nor prediction are left out.
pub(in crate::cli) fn matrix(confusion: &Confusion) -> Table {
    let met = |index: &usize| confusion.counts[*index].iter().any(|count| *count > 0) || confusion.counts.iter().any(|row| row[*index] > 0);
    let places: Vec<usize> = (0..confusion.values.len()).filter(met).collect();
    let mut table = Table::default();
    table.push(std::iter::once("truth \\ said".to_owned()).chain(places.iter().map(|place| short(&confusion.values[*place]))));
    for row in &places {
        let counts = places.iter().map(|column| match confusion.counts[*row][*column] {
            0 => ".".to_owned(),
            count => count.to_string(),
        });
        table.push(std::iter::once(confusion.values[*row].clone()).chain(counts));
    }
    table
}

/// As many letters of a name as a narrow column takes.
fn short(name: &str) -> String {
    if name.width() <= MOST_NAME {
        return name.to_owned();
    }
    let mut cut = String::new();
    for letter in name.chars() {
        if cut.width() + letter.to_string().width() >= MOST_NAME {
            break;
        }
        cut.push(letter);
    }
    cut + "…"
}

/// Accuracy over confidence as a row of bars, one a bin; a dot where no prediction falls.
pub(in crate::cli) fn bars(bins: &[Bin]) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |bin: &Bin| if bin.count == 0 { '·' } else { LEVELS[((bin.accuracy * 8.0) as usize).min(7)] };
    bins.iter().map(bar).collect()
}

/// A reliability diagram: how often it is right (•) where it is how sure; the line is where both are the same.
pub(in crate::cli) fn reliability(title: &str, calibration: &Calibration) -> Vec<String> {
    let points: Vec<(f64, f64)> = calibration.bins.iter().filter(|bin| bin.count > 0).map(|bin| (bin.confidence, bin.accuracy)).collect();
    let line: [(f64, f64); 2] = [(0.0, 0.0), (1.0, 1.0)];
    let set = |data, marker, kind| Dataset::default().marker(marker).graph_type(kind).style(Style::new()).data(data);
    let sets = vec![set(&line[..], Marker::Braille, GraphType::Line), set(&points, Marker::Dot, GraphType::Scatter)];
    let axis = |title: &'static str| Axis::default().title(title).bounds([0.0, 1.0]).labels(["0 %", "50 %", "100 %"]);
    let area = Rect::new(0, 0, CHART.0, CHART.1);
    let mut buffer = Buffer::empty(area);
    Chart::new(sets).x_axis(axis("confidence")).y_axis(axis("right")).legend_position(None).render(area, &mut buffer);
    let rows = (0..CHART.1).map(|y| {
        let row: String = (0..CHART.0).filter_map(|x| buffer.cell((x, y))).map(ratatui::buffer::Cell::symbol).collect();
        format!("  {}", row.trim_end())
    });
    std::iter::once(format!("  {title}, ECE {}", percent(Some(calibration.ece)))).chain(rows).collect()
}

/// Two blocks of lines side by side.
pub(in crate::cli) fn beside(left: &[String], right: &[String]) -> Vec<String> {
    let width = left.iter().map(|line| line.width()).max().unwrap_or_default() + GAP;
    (0..left.len().max(right.len()))
        .map(|row| {
            let (left, right) = (left.get(row).map_or("", String::as_str), right.get(row).map_or("", String::as_str));
            format!("{left}{}{right}", " ".repeat(width - left.width())).trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::BINS;

    #[test]
    fn wide_letters_keep_their_columns() {
        let mut table = Table::default();
        table.push(["判定".to_owned(), "x".to_owned()]);
        table.push(["ok".to_owned(), "不良".to_owned()]);
        assert_eq!(table.lines(), ["  判定      x", "  ok     不良"]);
        assert_eq!((short("あいうえおか"), short("scratch")), ("あいうえ…".to_owned(), "scratch".to_owned()));
    }

    #[test]
    fn charts_are_drawn_in_characters() {
        let bin = |n: usize| Bin { count: n as u64, confidence: n as f64 / 15.0, accuracy: 0.5 };
        let calibration = Calibration { samples: 1, ece: 0.25, bins: (0..BINS).map(bin).collect(), brier: 0.0, nll: 0.0 };
        let lines = reliability("whole answer", &calibration);
        assert_eq!((lines.len(), lines[0].as_str()), (16, "  whole answer, ECE 25.0 %"));
        assert!(lines.iter().any(|line| line.matches('•').count() > 5), "{lines:#?}");
        assert_eq!(bars(&calibration.bins), "·▅▅▅▅▅▅▅▅▅▅▅▅▅▅");
        assert_eq!(beside(&["ab".to_owned()], &["x".to_owned(), "y".to_owned()]), ["ab   x", "     y"]);
    }
}
