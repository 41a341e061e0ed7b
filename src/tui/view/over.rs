//! What lies on top: prompts, lists to pick from, pages, previews.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::words::{cut, fill, popup, put, span};
use super::{Hit, Paint, Scene, preview, reader};
use crate::review::{Overlay, Picker, Point, Prompt, Question};

/// Where it lies.
pub(super) fn area(paint: &Paint<'_>, area: Rect) -> Option<Rect> {
    let centred = |width: u16, height: u16| {
        let (width, height) = (width.min(area.width), height.min(area.height));
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
    };
    Some(match paint.state.overlay.as_ref()? {
        Overlay::Prompt(_) => Rect { y: area.bottom().saturating_sub(6), height: 4.min(area.height), ..area },
        Overlay::Picker(_) => centred(area.width.saturating_sub(8).min(84), area.height.saturating_sub(4).min(28)),
        Overlay::Reader(..) => centred(area.width.saturating_sub(4).min(110), area.height.saturating_sub(2)),
        Overlay::Preview(_) => centred(area.width.saturating_sub(4).min(100), area.height.saturating_sub(2)),
    })
}

pub(super) fn draw(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    match &paint.state.overlay {
        Some(Overlay::Prompt(prompt)) => draw_prompt(paint, prompt, area, buffer),
        Some(Overlay::Picker(picker)) => draw_picker(paint, picker, area, buffer, scene),
        Some(Overlay::Reader(page, line)) => reader::draw(paint, page, *line, area, buffer),
        Some(Overlay::Preview(shown)) => preview::draw(paint, shown, area, buffer),
        None => {}
    }
}

fn draw_prompt(paint: &Paint<'_>, prompt: &Prompt, area: Rect, buffer: &mut Buffer) {
    let say = |en, ja| paint.state.language.choose(en, ja);
    let title = match prompt.question {
        Question::Filter => say("filter", "絞り込み"),
        Question::Comment => say("remark", "コメント"),
        Question::ViewName => say("name of the view", "表示の名前"),
        Question::SampleId => say("sample id", "試料 ID"),
        Question::ExportFolder => say("folder of the training set", "学習データのフォルダ"),
        Question::Training => say("name of the adapter, then options of 'mekiki train'", "アダプタの名前と 'mekiki train' のオプション"),
    };
    let inner = popup(paint, area, buffer, title);
    put(
        buffer,
        inner,
        0,
        vec![
            span("› ", paint.theme.focus),
            span(prompt.input.before(), paint.theme.text),
            span("▏", paint.theme.focus),
            span(prompt.input.behind(), paint.theme.text),
        ],
    );
    let below = if let Some(problem) = &prompt.problem {
        span(cut(problem, usize::from(inner.width)), paint.theme.bad)
    } else {
        let words = prompt.completions(&paint.state.schema).join("  ");
        let text =
            if words.is_empty() { say("<Enter> takes it, <Esc> leaves", "<Enter> で確定、<Esc> で取消").to_owned() } else { words };
        span(cut(&text, usize::from(inner.width)), paint.theme.dim)
    };
    put(buffer, inner, 1, vec![below]);
}

fn draw_picker(paint: &Paint<'_>, picker: &Picker, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let title = paint.state.language.help(picker.title);
    let inner = popup(paint, area, buffer, title);
    put(buffer, inner, 0, vec![span("› ", paint.theme.focus), span(picker.input.text(), paint.theme.text), span("▏", paint.theme.focus)]);
    let room = usize::from(inner.height.saturating_sub(1)).max(1);
    let visible = picker.visible();
    let top = (picker.cursor() + 1).saturating_sub(room);
    let name = usize::from(inner.width / 3).clamp(12, 28);
    for (line, (index, item)) in visible.iter().enumerate().skip(top).take(room).enumerate() {
        let on = index == picker.cursor();
        let style = if on { paint.theme.cursor } else { paint.theme.text };
        let detail = usize::from(inner.width).saturating_sub(name + 3);
        let at = line as u16 + 1;
        put(
            buffer,
            inner,
            at,
            vec![
                span(if on { "▸ " } else { "  " }, paint.theme.focus),
                span(fill(&item.text, name), style),
                span(format!(" {}", cut(&item.detail, detail)), paint.theme.dim),
            ],
        );
        scene.hits.push((Rect { y: inner.y + at, height: 1, ..inner }, Hit::At(Point::Item(index))));
    }
    if visible.is_empty() {
        put(buffer, inner, 1, vec![span(paint.state.language.choose("nothing fits", "該当なし"), paint.theme.dim)]);
    }
}
