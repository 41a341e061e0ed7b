//! A confusion matrix: rows are the truth, columns what was said, darker the larger its share of the row.

use plotters::coord::Shift;
use plotters::prelude::{Color, DrawingArea, DrawingBackend, Rectangle, Text, WHITE};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontTransform, RGBColor};

use super::super::Confusion;
use super::{FAINT, INK, Outcome, SERIES, cut, ink, told};

/// Pixels of a cell, and of the space for names and title.
const CELL: u32 = 46;
const MOST_NAMES: u32 = 150;
const TITLE: u32 = 56;
/// Letters of a name that the space takes.
const MOST_LETTERS: usize = 15;

pub(super) fn size(confusion: &Confusion) -> (u32, u32) {
    let (cells, names) = (CELL * confusion.values.len() as u32, names(confusion));
    ((names + cells + 40).max(360), TITLE + names + cells + 40)
}

/// The space for the longest name, and for the words at the corner.
fn names(confusion: &Confusion) -> u32 {
    let longest = confusion.values.iter().map(|value| value.chars().count()).max().unwrap_or_default();
    (40 + 8 * longest as u32).clamp(80, MOST_NAMES)
}

pub(super) fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, title: &str, confusion: &Confusion) -> Outcome {
    let at = |steps: usize| (CELL * steps as u32 + CELL / 2) as i32;
    let (left, top) = (names(confusion) as i32, TITLE as i32 + names(confusion) as i32);
    let text = |text: String, place: (i32, i32), size: u32, position: Pos| {
        root.draw(&Text::new(text, place, ink(size).pos(position))).map_err(told)
    };
    let middle = Pos::new(HPos::Center, VPos::Center);
    text(title.to_owned(), (14, 14), 20, Pos::new(HPos::Left, VPos::Top))?;
    text("said".to_owned(), (left, TITLE as i32 - 6), 14, Pos::new(HPos::Left, VPos::Top))?;
    text("truth".to_owned(), (left - 10, top - 20), 14, Pos::new(HPos::Right, VPos::Top))?;
    for (index, value) in confusion.values.iter().enumerate() {
        let name = cut(value, MOST_LETTERS);
        text(name.clone(), (left - 10, top + at(index)), 15, Pos::new(HPos::Right, VPos::Center))?;
        // Turned to the left, a text that begins at its place runs upwards from there.
        let turned = ink(15).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name, (left + at(index), top - 10), turned)).map_err(told)?;
    }
    for (row, counts) in confusion.counts.iter().enumerate() {
        let whole = counts.iter().sum::<u64>().max(1) as f64;
        for (column, count) in counts.iter().enumerate() {
            let share = *count as f64 / whole;
            let hue: RGBColor = if row == column { SERIES[0] } else { RGBColor(200, 60, 40) };
            let corner = (left + at(column) - CELL as i32 / 2, top + at(row) - CELL as i32 / 2);
            let area = [corner, (corner.0 + CELL as i32, corner.1 + CELL as i32)];
            // The few that go wrong are seen, too.
            let shade = if *count > 0 { 0.15 + 0.85 * share } else { 0.0 };
            root.draw(&Rectangle::new(area, hue.mix(shade).filled())).map_err(told)?;
            root.draw(&Rectangle::new(area, FAINT.stroke_width(1))).map_err(told)?;
            if *count > 0 {
                let colour = if shade > 0.6 { WHITE } else { INK };
                let size = if *count < 10_000 { 15 } else { 11 };
                let style = ink(size).color(&colour).pos(middle);
                root.draw(&Text::new(count.to_string(), (left + at(column), top + at(row)), style)).map_err(told)?;
            }
        }
    }
    Ok(())
}
