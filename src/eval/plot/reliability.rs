//! Accuracy over confidence: a model that knows how sure to be lies on the diagonal.

use plotters::coord::Shift;
use plotters::prelude::{ChartBuilder, Circle, Color, DrawingArea, DrawingBackend, LineSeries, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::Bin;
use super::{FAINT, INK, Outcome, SERIES, ink, told};

pub(super) fn draw<B: DrawingBackend>(root: &DrawingArea<B, Shift>, title: &str, bins: &[Bin], ece: f64) -> Outcome {
    let (upper, lower) = root.split_vertically(410);
    let mut chart = ChartBuilder::on(&upper)
        .caption(title, ink(20))
        .margin(10)
        .margin_right(20)
        .x_label_area_size(20)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)
        .map_err(told)?;
    let percent = |share: &f64| format!("{:.0} %", share * 100.0);
    chart
        .configure_mesh()
        .light_line_style(FAINT.mix(0.0))
        .bold_line_style(FAINT.mix(0.7))
        .x_labels(6)
        .y_labels(6)
        .label_style(ink(14))
        .axis_desc_style(ink(15))
        .y_desc("right")
        .x_label_formatter(&percent)
        .y_label_formatter(&percent)
        .draw()
        .map_err(told)?;
    let width = 1.0 / bins.len().max(1) as f64;
    let filled = || bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
    let place = |index: usize| (index as f64 * width, (index + 1) as f64 * width);
    chart
        .draw_series(filled().map(|(index, bin)| {
            let (from, to) = place(index);
            Rectangle::new([(from, 0.0), (to, bin.accuracy)], SERIES[0].mix(0.55).filled())
        }))
        .map_err(told)?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], INK.mix(0.6))).map_err(told)?;
    // How far the bin is from where its confidence says it should be.
    chart
        .draw_series(filled().map(|(_, bin)| {
            PathElement::new(vec![(bin.confidence, bin.accuracy), (bin.confidence, bin.confidence)], SERIES[1].stroke_width(2))
        }))
        .map_err(told)?;
    chart.draw_series(filled().map(|(_, bin)| Circle::new((bin.confidence, bin.accuracy), 4, SERIES[1].filled()))).map_err(told)?;

    let most = bins.iter().map(|bin| bin.count).max().unwrap_or_default().max(1);
    let mut counts = ChartBuilder::on(&lower)
        .margin(10)
        .margin_right(20)
        .x_label_area_size(28)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..1.0, 0..most)
        .map_err(told)?;
    counts
        .configure_mesh()
        .disable_mesh()
        .x_labels(6)
        .y_labels(3)
        .label_style(ink(14))
        .axis_desc_style(ink(15))
        .x_desc("confidence")
        .y_desc("samples")
        .x_label_formatter(&percent)
        .draw()
        .map_err(told)?;
    counts
        .draw_series(filled().map(|(index, bin)| {
            let (from, to) = place(index);
            Rectangle::new([(from, 0), (to, bin.count)], INK.mix(0.45).filled())
        }))
        .map_err(told)?;
    let style = ink(15).pos(Pos::new(HPos::Left, VPos::Top));
    root.draw(&Text::new(format!("ECE {:.1} %", ece * 100.0), (84, 46), style)).map_err(told)
}
