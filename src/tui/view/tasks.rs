//! The tasks.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Paint;
use super::words::{bar, changes, cut, duration, job_title, put, span, wrap};
use crate::review::{Action, JobKind, JobState};

pub(super) fn draw(paint: &Paint<'_>, body: Rect, buffer: &mut Buffer) {
    let state = paint.state;
    let say = |en, ja| state.language.choose(en, ja);
    let source = &state.source;
    let adapter = source.adapter.as_ref().map(|name| format!(" + {name}")).unwrap_or_default();
    let told = format!("{}{adapter} · {} · {} {}", source.model, source.kind, say("instruction", "指示文"), source.instruction);
    put(
        buffer,
        body,
        0,
        vec![
            span(say("in use: ", "使用中: "), paint.theme.dim),
            span(cut(&told, usize::from(body.width.saturating_sub(10))), paint.theme.strong),
        ],
    );
    if let Some((before, flips)) = &state.before {
        let flips = flips.map_or_else(|| "…".to_owned(), |count| count.to_string());
        let text = state.language.choose(
            format!("before: {} {}; {flips} predictions differ (m f opens them)", before.model, before.kind),
            format!("以前: {} {}、{flips} 件の予測が変化(m f で表示)", before.model, before.kind),
        );
        put(buffer, body, 1, vec![span(cut(&text, usize::from(body.width)), paint.theme.text)]);
    }
    let news = match (&state.resting, &state.changed) {
        (Some(name), _) => Some(state.language.choose(
            format!("nothing is predicted while {name} has the memory; it goes on by itself afterwards"),
            format!("{name} がメモリを使用中のため予測を休止しています(終了後に自動で再開します)"),
        )),
        (None, Some(changed)) => Some(changes(paint, changed, &paint.key_of(Action::OpenChanges))),
        (None, None) => None,
    };
    if let Some(news) = news {
        put(buffer, body, 2, vec![span(cut(&news, usize::from(body.width)), paint.theme.warn)]);
    }
    // What went wrong with the task under the cursor stands below, as a whole.
    let room = usize::from(body.width.saturating_sub(2));
    let problem = state.tasks.current().and_then(|job| job.problem.as_ref()).map(|problem| wrap(problem, room)).unwrap_or_default();
    let below = (problem.len() as u16).min(body.height / 2);
    let list = Rect { y: body.y + 3, height: body.height.saturating_sub(4 + below), ..body };
    let told = Rect { y: body.bottom().saturating_sub(below), height: below, ..body };
    for (line, text) in problem.into_iter().take(usize::from(below)).enumerate() {
        put(buffer, told, line as u16, vec![span(text, paint.theme.bad)]);
    }
    if state.tasks.jobs().is_empty() {
        let text = say(
            "nothing to do: predictions are made here as samples come, and shown as they are stored, whoever stores them",
            "実行中の処理はありません。予測はここで行われ、保存され次第表示されます",
        );
        for (line, text) in wrap(text, room).into_iter().enumerate() {
            put(buffer, list, line as u16, vec![span(text, paint.theme.dim)]);
        }
    }
    let height = usize::from(list.height).max(1);
    let top = state.tasks.cursor / height * height;
    for (line, (index, job)) in state.tasks.jobs().iter().enumerate().skip(top).take(height).enumerate() {
        let on = index == state.tasks.cursor;
        let (mark, word, style) = match job.state {
            JobState::Waiting => ("…", say("waiting", "待機中"), paint.theme.dim),
            JobState::Running => ("▶", say("running", "実行中"), paint.theme.focus),
            JobState::Done => ("✓", say("done", "完了"), paint.theme.good),
            JobState::Cancelled => ("–", say("cancelled", "中止"), paint.theme.dim),
            JobState::Failed => ("✗", say("failed", "失敗"), paint.theme.bad),
        };
        // What a training says of itself needs the room on a narrow screen; how far it is stands there too.
        let narrow = body.width < 100 && matches!(job.kind, JobKind::Train { .. });
        let share = job.total.filter(|total| *total > 0).map_or(0.0, |total| job.done as f64 / total as f64);
        let bar = if narrow { String::new() } else { format!(" {}", bar(share, 12)) };
        let speed = job.per_second.map(|speed| format!("  {speed:.1}/s")).unwrap_or_default();
        let left = job.left_s.map(|left| format!("  {}", duration(left))).unwrap_or_default();
        let learnt = match job.kind {
            JobKind::Train { loss, held_out } => {
                let loss = loss.map(|loss| format!("  {} {loss:.3}", say("loss", "損失"))).unwrap_or_default();
                let held = held_out.map(|share| format!("  {} {:.0} %", say("held out", "検証"), share * 100.0)).unwrap_or_default();
                loss + &held
            }
            JobKind::Predict | JobKind::Export => String::new(),
        };
        let memory = job.memory.map(|bytes| format!("  {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
        let total = job.total.map(|total| format!("/{total}")).unwrap_or_default();
        put(
            buffer,
            list,
            line as u16,
            vec![
                span(if on { "▸ " } else { "  " }, paint.theme.focus),
                span(format!("{mark} {word} "), style),
                span(cut(&job_title(state.language, job), 32), if on { paint.theme.cursor } else { paint.theme.text }),
                span(bar, paint.theme.bar),
                span(format!(" {}{total}{speed}{left}{learnt}{memory}", job.done), paint.theme.dim),
            ],
        );
    }
}
