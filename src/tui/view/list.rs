//! The queue as a list.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::words::{fill, percent, put, span, state_word};
use super::{Hit, Paint, Scene};
use crate::domain::{Field, Prediction, Value};
use crate::review::{Entry, Form, Point, Standing};

/// The answer that stands on a row's form, in short.
pub(super) fn answer(paint: &Paint<'_>, entry: &std::sync::Arc<Entry>) -> Vec<String> {
    let form = Form::new(paint.state.schema.clone(), entry.clone());
    let text = |(index, field): (usize, &Field)| match form.standing(index) {
        Standing::Value { value, .. } => short(field, value),
        Standing::Conflict { label, predicted } => format!("{}≠{}", short(field, label), short(field, predicted)),
        Standing::Open => "–".to_owned(),
    };
    form.fields().iter().enumerate().map(text).collect()
}

fn short(field: &Field, value: &Value) -> String {
    field.render(value)
}

pub(super) fn draw(paint: &Paint<'_>, body: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let state = paint.state;
    let fields = state.schema.fields();
    let id_width = 16_usize;
    let left = usize::from(body.width).saturating_sub(id_width + 16);
    let column = (left / fields.len().max(1)).max(6);
    let mut head = vec![span(fill("", 6), paint.theme.dim), span(fill("id", id_width), paint.theme.dim)];
    head.push(span(fill(state.language.choose("sure", "確信度"), 6), paint.theme.dim));
    head.extend(fields.iter().map(|field| span(fill(&field.title, column - 1) + " ", paint.theme.dim)));
    put(buffer, body, 0, head);
    let room = usize::from(body.height.saturating_sub(1)).max(1);
    let top = state.queue.cursor / room * room;
    for line in 0..room {
        let index = top + line;
        if index >= state.queue.len() {
            break;
        }
        let on = index == state.queue.cursor;
        let at = line as u16 + 1;
        let place = Rect { y: body.y + at, height: 1, ..body };
        scene.hits.push((place, Hit::At(Point::Row(index))));
        let Some(entry) = state.queue.row(index) else {
            put(buffer, body, at, vec![span("      …", paint.theme.dim)]);
            continue;
        };
        let (mark, _, style) = state_word(paint, entry.state);
        let picked = if state.sheet.is_selected(index, &entry.id, state.queue.cursor) { "◼" } else { " " };
        let flag = if entry.flagged { "⚑" } else { " " };
        let sure = entry.prediction.as_ref().and_then(Prediction::confidence).map(percent).unwrap_or_default();
        let text = if on { paint.theme.cursor } else { paint.theme.text };
        let mut spans = vec![
            span(if on { "▸" } else { " " }, paint.theme.focus),
            span(picked, paint.theme.focus),
            span(format!("{mark}{flag} "), style),
            span(fill(entry.id.as_str(), id_width), text),
            span(fill(&sure, 6), paint.theme.dim),
        ];
        for text in answer(paint, entry) {
            let style = if text.contains('≠') { paint.theme.warn } else { paint.theme.text };
            spans.push(span(fill(&text, column - 1) + " ", style));
        }
        put(buffer, body, at, spans);
    }
}
