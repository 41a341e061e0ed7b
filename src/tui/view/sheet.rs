//! The contact sheet: small pictures with their answers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use super::words::{cut, percent, put, span, state_word};
use super::{Hit, Paint, Scene, Slot, list};
use crate::conversation::ImageRole;
use crate::domain::Prediction;
use crate::graphics::Look;
use crate::review::{Group, GroupName, Grouping, Point, State};
use crate::tui::gallery::Wanted;

/// The least a thumbnail takes.
const LEAST: (u16, u16) = (20, 8);
/// The panes of a contact sheet.
const FIRST_PANE: u8 = 10;
/// The most thumbnails at once: each is a pane.
const MOST: usize = 120;

/// Thumbnails side by side, and rows of them.
pub(super) fn grid(body: Rect) -> (usize, usize) {
    let columns = usize::from(body.width / LEAST.0).clamp(1, 12);
    let rows = usize::from(body.height.saturating_sub(1) / LEAST.1).clamp(1, 10);
    (columns, rows.min(MOST / columns).max(1))
}

/// The groups that begin, or go on, in a row of so many cells from a place on.
fn headings(paint: &Paint<'_>, line: Rect, buffer: &mut Buffer, width: u16, (from, cells): (usize, usize)) {
    let queue = &paint.state.queue;
    let mut index = from;
    while let Some(group) = queue.group_of(index).filter(|_| index < from + cells) {
        let end = (group.from + group.len).min(from + cells);
        let x = line.x + (index - from) as u16 * width;
        let place = Rect { x, width: (end - index) as u16 * width, ..line };
        let goes_on = if group.from < index { "… " } else { "" };
        let text = format!("{goes_on}{} × {}", group.len, group_name(paint.state, group));
        let inside = usize::from(place.width).saturating_sub(3);
        let rule = fill_rule(&cut(&text, inside), inside);
        put(buffer, place, 0, vec![span("─ ", paint.theme.dim), span(rule, paint.theme.strong)]);
        index = end;
    }
}

/// A text with a rule behind it, in so many cells.
fn fill_rule(text: &str, width: usize) -> String {
    match width.saturating_sub(text.width()) {
        0 => text.to_owned(),
        gap => format!("{text} {}", "─".repeat(gap - 1)),
    }
}

fn group_name(state: &State, group: &Group) -> String {
    match &group.name {
        GroupName::Answer(texts) if texts.is_empty() => state.language.choose("no prediction", "予測なし").to_owned(),
        // As in the cells: what was decided about the product comes last.
        GroupName::Answer(texts) => texts[texts.len().saturating_sub(3)..].join(" "),
        GroupName::Cluster(Some(cluster)) => state.language.choose(format!("cluster {cluster}"), format!("グループ {cluster}")),
        GroupName::Cluster(None) => state.language.choose("not compared", "比較なし").to_owned(),
    }
}

pub(super) fn draw(paint: &Paint<'_>, body: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let state = paint.state;
    let (columns, rows) = grid(body);
    let each = columns * rows;
    let top = state.queue.cursor / each * each;
    let grouped = match state.queue.query.grouping {
        Grouping::None => state.language.choose("not grouped", "分類なし"),
        Grouping::Answer => state.language.choose("grouped by answer", "回答別"),
        Grouping::Likeness => state.language.choose("grouped by likeness", "類似度別"),
    };
    let picked = state.sheet.len();
    let mut head = state.language.choose(format!("{picked} selected · {grouped}"), format!("{picked} 件選択中 · {grouped}"));
    if state.queue.query.outliers_first {
        head += state.language.choose(" · outliers first", " · 外れ値が先頭");
    }
    put(buffer, body, 0, vec![span(head, if picked > 0 { paint.theme.focus } else { paint.theme.dim })]);
    let room = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
    let (width, height) = (room.width / columns as u16, room.height / rows as u16);
    // Each row of a divided sheet has a line above it that says which groups stand there.
    let heading = u16::from(!state.queue.groups.is_empty());
    if heading > 0 {
        for row in 0..rows {
            let line = Rect { x: room.x, y: room.y + row as u16 * height, width: width * columns as u16, height: 1 };
            headings(paint, line, buffer, width, (top + row * columns, columns));
        }
    }
    let height = height - heading;
    for place in 0..each {
        let index = top + place;
        if index >= state.queue.len() {
            break;
        }
        let (column, row) = ((place % columns) as u16, (place / columns) as u16);
        let cell = Rect { x: room.x + column * width, y: room.y + row * (height + heading) + heading, width, height };
        scene.hits.push((cell, Hit::At(Point::Row(index))));
        let Some(entry) = state.queue.row(index) else {
            put(buffer, cell, 0, vec![span(" …", paint.theme.dim)]);
            continue;
        };
        let on = index == state.queue.cursor;
        let chosen = state.sheet.is_selected(index, &entry.id, state.queue.cursor);
        let (mark, _, style) = state_word(paint, entry.state);
        let by_likeness = state.queue.query.outliers_first || state.queue.query.grouping == Grouping::Likeness;
        let sure = match entry.outlier.filter(|_| by_likeness) {
            Some(score) => format!("◇{}", percent(score).trim()),
            None => entry.prediction.as_ref().and_then(Prediction::confidence).map(percent).unwrap_or_default(),
        };
        let inside = usize::from(width.saturating_sub(2));
        let title = cut(&format!("{} {}", entry.id, sure.trim()), inside.saturating_sub(4));
        put(
            buffer,
            Rect { width: width.saturating_sub(1), ..cell },
            0,
            vec![
                span(if on { "▸" } else { " " }, paint.theme.focus),
                span(if chosen { "◼" } else { " " }, paint.theme.focus),
                span(mark, style),
                span(if entry.flagged { "⚑" } else { " " }, paint.theme.warn),
                span(if entry.duplicate_of.is_some() { "≡" } else { "" }, paint.theme.warn),
                span(title, if on { paint.theme.cursor } else { paint.theme.text }),
            ],
        );
        let told = list::answer(paint, entry);
        let differs = told.iter().any(|text| text.contains('≠'));
        // The image type and the count are nearly always the same; what was decided about the product comes first.
        let words: Vec<&str> = told.iter().skip(told.len().saturating_sub(3)).map(String::as_str).collect();
        let line = cut(&words.join(" "), inside);
        put(
            buffer,
            cell,
            height - 1,
            vec![span(" ", paint.theme.text), span(line, if differs { paint.theme.warn } else { paint.theme.dim })],
        );
        let area = Rect { x: cell.x + 1, y: cell.y + 1, width: width.saturating_sub(2), height: height.saturating_sub(2) };
        let wanted = Wanted {
            sample: entry.id.clone(),
            role: ImageRole::Query,
            look: Look::default(),
            grid: false,
            cell: None,
            area: None,
            close_up: false,
            room: (area.width, area.height),
            thumbnail: true,
        };
        scene.slots.push(Slot { pane: FIRST_PANE + place as u8, area, wanted });
    }
}
