//! Shares side by side, each with its interval.

use plotters::coord::Shift;
use plotters::prelude::{ChartBuilder, Color, DrawingArea, DrawingBackend, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{BarGroup, FAINT, INK, Outcome, SERIES, clean, cut, ink, told};

/// Pixels of a group, and of a letter at the size of names.
const GROUP: u32 = 144;
const LETTER: i32 = 8;

pub(super) fn size(groups: usize) -> (u32, u32) {
    (90 + (GROUP * groups as u32).clamp(360, 4000), 440)
}

pub(super) fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, title: &str, series: &[String], groups: &[BarGroup]) -> Outcome {
    let count = groups.len().max(1) as f64;
    let mut chart = ChartBuilder::on(root)
        .caption(title, ink(20))
        .margin(14)
        .margin_bottom(64)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..count, 0.0..1.0)
        .map_err(told)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(FAINT.mix(0.0))
        .bold_line_style(FAINT.mix(0.7))
        .y_labels(6)
        .label_style(ink(14))
        .y_label_formatter(&|share: &f64| format!("{:.0} %", share * 100.0))
        .draw()
        .map_err(told)?;
    let width = 0.76 / series.len().max(1) as f64;
    for (place, group) in groups.iter().enumerate() {
        for (index, bar) in group.bars.iter().enumerate() {
            let Some((share, (low, high))) = *bar else { continue };
            let from = place as f64 + 0.12 + width * index as f64;
            let (to, middle) = (from + width * 0.94, from + width * 0.47);
            let colour = SERIES[index % SERIES.len()];
            chart.draw_series([Rectangle::new([(from, 0.0), (to, share)], colour.mix(0.8).filled())]).map_err(told)?;
            let (tip, ink) = (width * 0.12, INK.stroke_width(2));
            let lines = [
                vec![(middle, low), (middle, high)],
                vec![(middle - tip, low), (middle + tip, low)],
                vec![(middle - tip, high), (middle + tip, high)],
            ];
            chart.draw_series(lines.map(|line| PathElement::new(line, ink))).map_err(told)?;
        }
        let (x, y) = chart.plotting_area().map_coordinate(&(place as f64 + 0.5, 0.0));
        let style = ink(15).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(cut(&group.name, (GROUP as i32 / LETTER) as usize), (x, y + 8), style)).map_err(told)?;
    }
    let (mut x, y) = chart.plotting_area().map_coordinate(&(0.0, 0.0));
    for (index, name) in series.iter().enumerate() {
        let top = y + 38;
        root.draw(&Rectangle::new([(x, top), (x + 14, top + 14)], SERIES[index % SERIES.len()].mix(0.8).filled())).map_err(told)?;
        let style = ink(15).pos(Pos::new(HPos::Left, VPos::Top));
        let name = clean(name);
        root.draw(&Text::new(name.clone(), (x + 20, top), style)).map_err(told)?;
        x += 48 + LETTER * name.chars().count() as i32;
    }
    Ok(())
}
