//! Pages to read: the keys in force, the conversation, the instruction.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::Paint;
use super::words::{fill, popup, put, span, wrap};
use crate::conversation::{Conversation, ImageRole, Part, Role};
use crate::keys::HelpRow;
use crate::review::{Page, Scope};

type Lines = Vec<Vec<Span<'static>>>;

pub(super) fn draw(paint: &Paint<'_>, page: &Page, line: usize, area: Rect, buffer: &mut Buffer) {
    let say = |en, ja| paint.state.language.choose(en, ja);
    let title = match page {
        Page::Help(_) => say("the keys in force", "使えるキー"),
        Page::Conversation(_) => say("the conversation as it will be written", "書き出される会話"),
        Page::Instruction(_) => say("the instruction", "指示文"),
    };
    let inner = popup(paint, area, buffer, title);
    let width = usize::from(inner.width);
    let lines = match page {
        Page::Help(scope) => help(paint, *scope, width),
        Page::Conversation(told) => told_lines(paint, told.as_ref(), width, false),
        Page::Instruction(told) => told_lines(paint, told.as_ref(), width, true),
    };
    let room = usize::from(inner.height);
    let top = line.min(lines.len().saturating_sub(room));
    let more = lines.len() > top + room;
    for (at, spans) in lines.into_iter().skip(top).take(room).enumerate() {
        put(buffer, inner, at as u16, spans);
    }
    if more {
        buffer.set_string(area.right().saturating_sub(4), area.bottom().saturating_sub(1), " ↓ ", paint.theme.focus);
    }
}

fn help(paint: &Paint<'_>, scope: Scope, width: usize) -> Lines {
    let mut lines: Lines = Vec::new();
    let mut section = None;
    let key_width = (width / 3).clamp(14, 30);
    let rows = paint.keymap.help(scope);
    let text = |row: &HelpRow| (row.scope, paint.state.language.help(row.action));
    for alike in rows.chunk_by(|row, next| text(row) == text(next)) {
        let (first, last) = (&alike[0], &alike[alike.len() - 1]);
        if section != Some(first.scope) {
            if section.is_some() {
                lines.push(Vec::new());
            }
            section = Some(first.scope);
            lines.push(vec![span(first.scope.name(), paint.theme.strong)]);
        }
        let keys = first.keys.join("  ");
        let keys = if alike.len() == 1 { keys } else { format!("{keys} … {}", last.keys.join("  ")) };
        let keys = fill(&keys, key_width);
        lines.push(vec![span(format!("  {keys} "), paint.theme.focus), span(text(first).1, paint.theme.text)]);
    }
    if let Some(detected) = paint.detected {
        lines.push(Vec::new());
        let terminal = detected.terminal.as_deref().unwrap_or("?");
        lines.push(vec![span(format!("{terminal} · {}", detected.protocol), paint.theme.dim)]);
        for note in &detected.notes {
            lines.extend(wrap(&note.to_string(), width).into_iter().map(|line| vec![span(line, paint.theme.warn)]));
        }
    }
    lines
}

fn told_lines(paint: &Paint<'_>, told: Option<&Result<Box<Conversation>, String>>, width: usize, instruction: bool) -> Lines {
    match told {
        None => vec![vec![span("…", paint.theme.dim)]],
        Some(Err(problem)) => wrap(problem, width).into_iter().map(|line| vec![span(line, paint.theme.bad)]).collect(),
        Some(Ok(conversation)) => conversation_lines(paint, conversation, width, instruction),
    }
}

fn conversation_lines(paint: &Paint<'_>, conversation: &Conversation, width: usize, instruction: bool) -> Lines {
    let mut lines: Lines = Vec::new();
    if !instruction {
        lines.push(vec![span(conversation.kind.name(), paint.theme.strong)]);
    }
    for turn in &conversation.turns {
        if instruction && turn.role != Role::User {
            continue;
        }
        lines.push(Vec::new());
        lines.push(vec![span(format!("── {}", turn.role.name()), paint.theme.focus)]);
        for part in &turn.parts {
            match part {
                Part::Text(text) => {
                    for line in text.lines() {
                        lines.extend(wrap(line, width).into_iter().map(|line| vec![span(line, paint.theme.text)]));
                    }
                }
                Part::Image(image) if !instruction => {
                    let role = match image.role {
                        ImageRole::Exemplar => "exemplar",
                        ImageRole::Reference => "reference",
                        ImageRole::Query => "query",
                        ImageRole::Difference => "difference",
                    };
                    lines.push(vec![span(format!("[{role}: {}]", image.image.path), paint.theme.dim)]);
                }
                Part::Image(_) => {}
            }
        }
    }
    lines
}
