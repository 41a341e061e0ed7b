//! Statistics: agreement, confusion, calibration, pace.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::words::{bar, cut, duration, fill, put, span};
use super::{Hit, Paint, Scene};
use crate::review::{FieldStatistics, Pace, Point};

pub(super) fn draw(paint: &Paint<'_>, body: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let state = paint.state;
    let say = |en, ja| state.language.choose(en, ja);
    let Some(figures) = &state.stats.figures else {
        put(buffer, body, 1, vec![span(say("  counting…", "  集計中…"), paint.theme.dim)]);
        return;
    };
    let mut line = 0;
    for (index, field) in figures.fields.iter().enumerate() {
        let on = index == state.stats.tab;
        let share = (field.compared > 0).then(|| field.agreed as f64 / field.compared as f64);
        let told = match share {
            Some(share) => format!(" {:>5.1} %  {} / {}", share * 100.0, field.agreed, field.compared),
            None => say("  nothing to compare yet", "  比較できるものがありません").to_owned(),
        };
        let title = state.schema.field(&field.field).map_or_else(|| field.field.to_string(), |known| known.title.clone());
        put(
            buffer,
            body,
            line,
            vec![
                span(if on { "▸ " } else { "  " }, paint.theme.focus),
                span(fill(&title, 20), if on { paint.theme.focus } else { paint.theme.text }),
                span(bar(share.unwrap_or_default(), 16), paint.theme.bar),
                span(told, paint.theme.dim),
            ],
        );
        line += 1;
    }
    let told = |pace: &Pace| {
        let per_hour = pace.per_hour.map(|per_hour| format!(" ({per_hour:.0}/h)")).unwrap_or_default();
        format!("{} {}{per_hour}", cut(pace.reviewer.as_str(), 16), pace.decided)
    };
    let pace: Vec<String> = figures.paces.iter().map(told).collect();
    let left = figures.left_s.map(|left| format!(" · {} {}", say("left", "残り"), duration(left))).unwrap_or_default();
    let told = format!("  {} {}{left}   {}", figures.undecided, say("undecided", "件未決"), pace.join("  "));
    put(buffer, body, line, vec![span(cut(&told, usize::from(body.width)), paint.theme.text)]);
    line += 2;
    if let Some(field) = state.stats.field() {
        let rest = Rect { y: body.y + line, height: body.height.saturating_sub(line), ..body };
        let wide = body.width >= 100;
        let matrix = if wide { Rect { width: rest.width * 2 / 3, ..rest } } else { rest };
        confusion(paint, field, matrix, buffer, scene);
        if wide {
            calibration(paint, field, Rect { x: matrix.right() + 1, width: rest.width - matrix.width - 1, ..rest }, buffer);
        }
    }
}

fn confusion(paint: &Paint<'_>, field: &FieldStatistics, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let state = paint.state;
    let matrix = &field.confusion;
    let say = |en, ja| state.language.choose(en, ja);
    put(
        buffer,
        area,
        0,
        vec![span(say("label ↓ · prediction →   <Enter> opens a cell", "ラベル ↓ · 予測 →   <Enter> で開く"), paint.theme.dim)],
    );
    let name = 14_u16;
    let width = 7_u16;
    let fits = usize::from(area.width.saturating_sub(name) / width).max(1);
    let (row_at, column_at) = state.stats.cell;
    let left = (column_at + 1).saturating_sub(fits);
    let lines = usize::from(area.height.saturating_sub(2)).max(1);
    let top = (row_at + 1).saturating_sub(lines);
    let mut head = vec![span(fill("", usize::from(name)), paint.theme.dim)];
    for predicted in matrix.predictions.iter().skip(left).take(fits) {
        head.push(span(format!(" {}", fill(predicted, usize::from(width) - 1)), paint.theme.dim));
    }
    put(buffer, area, 1, head);
    for (line, (row, label)) in matrix.labels.iter().enumerate().skip(top).take(lines).enumerate() {
        let at = line as u16 + 2;
        let mut spans = vec![span(fill(label, usize::from(name)), paint.theme.text)];
        let counts = matrix.counts.get(row).map(Vec::as_slice).unwrap_or_default();
        for (column, count) in counts.iter().enumerate().skip(left).take(fits) {
            let same = matrix.predictions.get(column) == Some(label);
            let style = match (state.stats.cell == (row, column), same, *count) {
                (true, ..) => paint.theme.cursor,
                (_, _, 0) => paint.theme.dim,
                (_, true, _) => paint.theme.good,
                (_, false, _) => paint.theme.warn,
            };
            let sign = if !same && *count > 0 { "≠" } else { " " };
            spans.push(span(format!("{:>6}", format!("{sign}{count}")), style));
            spans.push(span(" ", paint.theme.text));
            let x = area.x + name + (column - left) as u16 * width;
            scene.hits.push((Rect { x, y: area.y + at, width, height: 1 }, Hit::At(Point::Confusion(row, column))));
        }
        put(buffer, area, at, spans);
    }
}

fn calibration(paint: &Paint<'_>, field: &FieldStatistics, area: Rect, buffer: &mut Buffer) {
    let title = paint.state.language.choose("confidence · agreed", "確信度 · 一致率");
    put(buffer, area, 0, vec![span(title, paint.theme.dim)]);
    for (bin, (samples, agreed)) in field.calibration.iter().enumerate().rev() {
        let line = (field.calibration.len() - bin) as u16;
        let share = if *samples > 0 { *agreed as f64 / *samples as f64 } else { 0.0 };
        let told = if *samples > 0 { format!(" {:>3.0} % {samples}", share * 100.0) } else { " –".to_owned() };
        put(
            buffer,
            area,
            line,
            vec![
                span(format!("{:>3}–{:<4}", bin * 10, format!("{}%", bin * 10 + 10)), paint.theme.dim),
                span(bar(share, 14), paint.theme.bar),
                span(told, paint.theme.text),
            ],
        );
    }
}
