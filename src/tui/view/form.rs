//! The form: each field with its label, what the model says, how sure it is, and what stops an accept.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use unicode_width::UnicodeWidthStr;

use super::words::{bar, cut, fill, percent, put, span, wrap};
use super::{Hit, Paint, Scene};
use crate::domain::{Field, FieldKind, Value, ValueOrigin};
use crate::review::{Desk, Doubt, Editor, How, Point, Standing, matching_options};

/// A line of the form, and what a click on it means.
struct Row {
    spans: Vec<Span<'static>>,
    hit: Option<Point>,
}

pub(super) fn draw(paint: &Paint<'_>, desk: &Desk, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let mut rows: Vec<Row> = Vec::new();
    let mut focus = (0, 0);
    for index in 0..desk.form.fields().len() {
        let start = rows.len();
        field(paint, desk, index, area.width, &mut rows);
        if index == desk.focus {
            focus = (start, rows.len());
        }
    }
    let entry = desk.entry();
    if !entry.comment.is_empty() {
        rows.push(plain(Vec::new()));
        for line in wrap(&entry.comment, usize::from(area.width.saturating_sub(3))) {
            rows.push(plain(vec![span("✎ ", paint.theme.warn), span(line, paint.theme.text)]));
        }
    }
    // The field with the focus stays in sight.
    let height = usize::from(area.height);
    let top = if focus.1 > height { (focus.1 - height).min(focus.0) } else { 0 };
    for (line, row) in rows.into_iter().skip(top).take(height).enumerate() {
        put(buffer, area, line as u16, row.spans);
        if let Some(point) = row.hit {
            scene.hits.push((Rect { y: area.y + line as u16, height: 1, ..area }, Hit::At(point)));
        }
    }
}

fn plain(spans: Vec<Span<'static>>) -> Row {
    Row { spans, hit: None }
}

fn field(paint: &Paint<'_>, desk: &Desk, index: usize, width: u16, rows: &mut Vec<Row>) {
    let theme = &paint.theme;
    let language = paint.state.language;
    let field = &desk.form.fields()[index];
    let focused = index == desk.focus;
    let told = desk.entry().prediction.as_ref().and_then(|prediction| prediction.fields.get(&field.id));
    let doubt = desk.form.doubts().into_iter().find(|(at, _)| *at == index).map(|(_, doubt)| doubt);

    let title_width = usize::from(width / 2).saturating_sub(4).clamp(10, 20);
    let title = fill(&field.title, title_width);
    let (mark, style) = if focused { ("▸", theme.focus) } else { (" ", theme.dim) };
    let mut spans = vec![span(mark, theme.focus), span(title, style), Span::raw(" ")];
    match desk.form.standing(index) {
        Standing::Value { value, origin, how } => {
            let text = cut(&field.render(value), usize::from(width).saturating_sub(title_width + 12));
            spans.push(span(text, theme.strong));
            let from = match (how, origin) {
                (How::Given, ValueOrigin::Typed) => language.choose("typed", "入力"),
                (How::Given, _) => language.choose("chosen", "選択"),
                (How::ByRule, _) => language.choose("by rule", "規則"),
                (How::Proposed, ValueOrigin::Prediction(_)) => language.choose("model", "予測"),
                (How::Proposed, _) if desk.entry().decided.contains(&field.id) => language.choose("decided", "決定"),
                (How::Proposed, _) => language.choose("label", "ラベル"),
            };
            spans.push(span(format!(" {from}"), theme.dim));
            if let Some(told) = told.filter(|told| told.value == *value) {
                let sure = told.confidence();
                let style = if sure < 0.8 { theme.warn } else { theme.dim };
                spans.push(span(format!(" {}", percent(sure).trim()), style));
            }
        }
        Standing::Conflict { .. } => spans.push(span(language.choose("≠ choose", "≠ 選択してください"), theme.warn)),
        Standing::Open => spans.push(span(language.choose("– open", "– 未入力"), theme.warn)),
    }
    if matches!(doubt, Some(Doubt::Missing | Doubt::Breach(_))) {
        spans.push(span(" !", theme.bad));
    }
    rows.push(Row { spans, hit: Some(Point::Field(index)) });
    if let Standing::Conflict { label, predicted } = desk.form.standing(index) {
        let room = usize::from(width).saturating_sub(14);
        let sure = told.map(|told| percent(told.confidence())).unwrap_or_default();
        let line = |key: &str, word: &str, value: &Value| {
            vec![
                Span::raw("   "),
                span(key, theme.focus),
                span(format!(" {} ", fill(word, 6)), theme.dim),
                span(cut(&field.render(value), room), theme.strong),
            ]
        };
        rows.push(plain(line("[", language.choose("label", "ラベル"), label)));
        let mut spans = line("]", language.choose("model", "予測"), predicted);
        spans.push(span(format!(" {}", sure.trim()), theme.dim));
        rows.push(plain(spans));
    }
    if let Some(Doubt::Breach(text)) = doubt {
        for line in wrap(&text, usize::from(width).saturating_sub(4)) {
            rows.push(plain(vec![Span::raw("   "), span(line, theme.bad)]));
        }
    }
    if focused {
        focused_rows(paint, desk, field, index, width, rows);
        rows.push(plain(Vec::new()));
    }
}

/// What the field with the focus shows besides: what is typed, the options, how likely each is.
fn focused_rows(paint: &Paint<'_>, desk: &Desk, field: &Field, index: usize, width: u16, rows: &mut Vec<Row>) {
    let theme = &paint.theme;
    let language = paint.state.language;
    match &desk.editor {
        Some(Editor::Entry(typed)) => {
            let hint = match &field.kind {
                FieldKind::Address { grid, .. } => {
                    format!(
                        "{} + {}",
                        grid.rows.join("/"),
                        grid.columns.first().zip(grid.columns.last()).map(|(a, b)| format!("{a}–{b}")).unwrap_or_default()
                    )
                }
                FieldKind::Integer { min, max, .. } => format!("{min}–{max}"),
                _ => String::new(),
            };
            rows.push(plain(vec![span("   › ", theme.focus), span(typed, theme.strong), span("▏", theme.focus), span(hint, theme.dim)]));
        }
        Some(Editor::Text(input) | Editor::TypeAhead(input)) => {
            rows.push(plain(vec![
                span("   › ", theme.focus),
                span(input.before(), theme.strong),
                span("▏", theme.focus),
                span(input.behind(), theme.strong),
            ]));
        }
        None => {}
    }
    let told = desk.entry().prediction.as_ref().and_then(|prediction| prediction.fields.get(&field.id));
    let options: Option<(&Vec<String>, bool)> = match &field.kind {
        FieldKind::Choice { options } => Some((options, false)),
        FieldKind::MultiChoice { options, .. } => Some((options, true)),
        _ => None,
    };
    let bar_width = usize::from(width / 5).clamp(4, 12);
    let name_width = usize::from(width).saturating_sub(bar_width + 16);
    if let Some((options, several)) = options {
        let wanted = match &desk.editor {
            Some(Editor::TypeAhead(input)) => Some(matching_options(field, input.text())),
            _ => None,
        };
        let current = desk.form.value(index);
        let label = desk.entry().label.get(&field.id);
        for (at, option) in options.iter().enumerate() {
            if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&option)) {
                continue;
            }
            let is = |value: Option<&Value>| match value {
                Some(Value::Choice(chosen)) => chosen == option,
                Some(Value::Choices(chosen)) => chosen.contains(option),
                _ => false,
            };
            let chosen = is(current);
            let mark = match (chosen, several) {
                (true, true) => "☑",
                (false, true) => "☐",
                (true, false) => "●",
                (false, false) => "○",
            };
            let digit = if at < 10 { ((at + 1) % 10).to_string() } else { " ".to_owned() };
            let style = if chosen { theme.strong } else { theme.text };
            let mut spans = vec![
                span(format!("   {digit} "), theme.focus),
                span(format!("{mark} "), if chosen { theme.focus } else { theme.dim }),
                span(fill(option, name_width), style),
            ];
            if let Some(told) = told.filter(|_| !several) {
                let share = told.probability(&Value::Choice(option.clone()));
                spans.push(span(bar(f64::from(share), bar_width), theme.bar));
                spans.push(span(percent(share), theme.dim));
            }
            if is(label) {
                spans.push(span(language.choose(" L", " ラ"), theme.dim));
            }
            rows.push(Row { spans, hit: Some(Point::Choice(at)) });
        }
    } else if let Some(told) = told {
        for (value, share) in told.probabilities.iter().take(4) {
            let text = field.render(value);
            let gap = name_width.max(text.width().min(name_width));
            rows.push(plain(vec![
                Span::raw("       "),
                span(fill(&text, gap), theme.text),
                span(bar(f64::from(*share), bar_width), theme.bar),
                span(percent(*share), theme.dim),
            ]));
        }
    }
    if let Some(told) = told.filter(|told| told.outside > 0.01) {
        let text = language.choose("outside the format", "形式外");
        rows.push(plain(vec![span(format!("       {text} {}", percent(told.outside).trim()), theme.warn)]));
    }
}
