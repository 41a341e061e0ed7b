//! Lines of text: the first line, the last two, hints of keys, and what every view writes with.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Widget};
use unicode_width::UnicodeWidthStr;

use super::{LEAST, Paint};
use crate::domain::{self, printable};
use crate::review::{Action, Changed, Job, JobKind, JobState, Language, Screen};

/// A text, safe to show, in at most so many cells; what is cut off is marked.
pub(super) fn cut(text: &str, width: usize) -> String {
    use unicode_segmentation::UnicodeSegmentation;
    let text = printable(text);
    if text.width() <= width {
        return text.into_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        if used + grapheme.width() + 1 > width {
            break;
        }
        used += grapheme.width();
        cut.push_str(grapheme);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// A text filled up with spaces to so many cells.
pub(super) fn fill(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let gap = width.saturating_sub(text.width());
    text + &" ".repeat(gap)
}

/// Writes spans into one line of an area.
pub(super) fn put(buffer: &mut Buffer, area: Rect, line: u16, spans: Vec<Span<'_>>) {
    if line < area.height {
        buffer.set_line(area.x, area.y + line, &Line::from(spans), area.width);
    }
}

/// A span of text that may come from data.
pub(super) fn span(text: impl AsRef<str>, style: Style) -> Span<'static> {
    Span::styled(printable(text.as_ref()).into_owned(), style)
}

/// A bar of eighths; its share is written beside it, too.
pub(super) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    let gap = width.saturating_sub(bar.width());
    bar + &" ".repeat(gap)
}

/// `98%`, in four cells.
pub(super) fn percent(share: f32) -> String {
    format!("{:>3.0}%", f64::from(share) * 100.0)
}

/// A frame with a title over whatever was there; the room within it.
pub(super) fn popup(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer, title: &str) -> Rect {
    Clear.render(area, buffer);
    let title = format!(" {} ", cut(title, usize::from(area.width.saturating_sub(6))));
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(paint.theme.focus).title(title);
    let inner = block.inner(area);
    block.render(area, buffer);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Says what would be enough.
pub(super) fn too_small(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) {
    let (width, height) = LEAST;
    let text = paint.state.language.choose(
        format!("mekiki needs {width} × {height} cells; this window has {} × {}", area.width, area.height),
        format!("mekiki には {width} × {height} 文字の画面が必要です(現在 {} × {})", area.width, area.height),
    );
    for (line, piece) in wrap(&text, usize::from(area.width)).into_iter().enumerate() {
        put(buffer, area, line as u16, vec![span(piece, paint.theme.strong)]);
    }
}

/// Lines of at most so many cells, broken at spaces where there are any.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    use unicode_segmentation::UnicodeSegmentation;
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in printable(text).split_word_bounds() {
        let wide = word.width();
        if used + wide > width && used > 0 && !word.trim().is_empty() {
            lines.push(String::new());
            used = 0;
        }
        if used == 0 && word.trim().is_empty() {
            continue;
        }
        for grapheme in word.graphemes(true) {
            if used + grapheme.width() > width && used > 0 {
                lines.push(String::new());
                used = 0;
            }
            used += grapheme.width();
            if let Some(line) = lines.last_mut() {
                line.push_str(grapheme);
            }
        }
    }
    lines
}

/// The mark of a state: a sign and a word.
pub(super) fn state_word(paint: &Paint<'_>, state: domain::State) -> (&'static str, &'static str, Style) {
    let say = |en, ja| paint.state.language.choose(en, ja);
    match state {
        domain::State::Undecided => ("○", say("undecided", "未決"), paint.theme.dim),
        domain::State::Approved => ("✓", say("approved", "承認済"), paint.theme.good),
        domain::State::Rejected => ("✗", say("rejected", "除外"), paint.theme.bad),
    }
}

/// The first line: where the reviewer is.
pub(super) fn header(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) {
    let state = paint.state;
    let say = |en, ja| state.language.choose(en, ja);
    let screen = match state.screen {
        Screen::Sample => say("sample", "試料"),
        Screen::Sheet => say("contact sheet", "一覧"),
        Screen::Queue => say("queue", "リスト"),
        Screen::Stats => say("statistics", "統計"),
        Screen::Tasks => say("tasks", "処理"),
    };
    let mut left = vec![span(cut(paint.title, 24), paint.theme.strong), span(" · ", paint.theme.dim), span(screen, paint.theme.focus)];
    if state.read_only {
        left.push(span(say(" · read only", " · 閲覧専用"), paint.theme.warn));
    }
    if matches!(state.screen, Screen::Sample)
        && let Some(desk) = &state.desk
    {
        let entry = desk.entry();
        let (mark, word, style) = state_word(paint, entry.state);
        left.push(span(" · ", paint.theme.dim));
        left.push(span(cut(entry.id.as_str(), 28), paint.theme.strong));
        left.push(span(format!("  {mark} {word}"), style));
        if let Some(by) = &entry.by {
            left.push(span(format!(" {}", cut(by.as_str(), 12)), paint.theme.dim));
        }
        if entry.flagged {
            left.push(span(say("  ⚑ flagged", "  ⚑ 要確認"), paint.theme.warn));
        }
        if let Some(by) = &entry.claimed_by {
            left.push(span(format!("  ◆ {}", cut(by.as_str(), 12)), paint.theme.warn));
        }
    }
    put(buffer, area, 0, left);
    let place = match state.queue.total {
        None => say("loading…", "読み込み中…").to_owned(),
        Some(0) => say("no samples", "試料なし").to_owned(),
        Some(total) => format!("{} / {total}", state.desk.as_ref().and_then(|desk| desk.index).unwrap_or(state.queue.cursor) + 1),
    };
    let place = if state.queue.query.text.is_empty() { place } else { format!("{}  {place}", cut(&state.queue.query.text, 24)) };
    right(buffer, area, vec![span(format!(" {place}"), paint.theme.text)]);
}

fn right(buffer: &mut Buffer, area: Rect, spans: Vec<Span<'_>>) {
    let line = Line::from(spans);
    let width = (line.width() as u16).min(area.width);
    buffer.set_line(area.x + area.width - width, area.y, &line, width);
}

/// The last two lines: what is said, or the keys that matter; then how everything stands.
pub(super) fn foot(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) {
    let state = paint.state;
    let line = |from_bottom: u16| Rect { y: area.bottom().saturating_sub(from_bottom), height: 1, ..area };
    match state.notices.posted().last() {
        Some(posted) => {
            let text = cut(&posted.notice.text(state.language), usize::from(area.width.saturating_sub(2)));
            put(buffer, line(2), 0, vec![span("▪ ", paint.theme.warn), span(text, paint.theme.text)]);
        }
        None => keys(paint, line(2), buffer),
    }
    let say = |en: &'static str, ja: &'static str| state.language.choose(en, ja);
    let mut spans = Vec::new();
    if let Some(counts) = &state.queue.counts {
        let part = |mark: &str, count: u64, word: &str, style| span(format!("{mark} {count} {word}  "), style);
        spans.push(part("○", counts.undecided, say("open", "未決"), paint.theme.text));
        spans.push(part("✓", counts.approved, say("approved", "承認"), paint.theme.good));
        if counts.rejected > 0 {
            spans.push(part("✗", counts.rejected, say("rejected", "除外"), paint.theme.bad));
        }
        if counts.flagged > 0 {
            spans.push(part("⚑", counts.flagged, say("flagged", "要確認"), paint.theme.warn));
        }
    }
    let saving = state.history.outstanding();
    if saving > 0 {
        spans.push(span(format!("{} {saving}  ", say("saving", "保存中")), paint.theme.warn));
    }
    if state.queue.outdated {
        spans.push(span(say("new predictions: ; sorts again  ", "新しい予測あり(; で並べ直し)  "), paint.theme.warn));
    }
    if let Some(changed) = &state.changed {
        spans.push(span(changes(paint, changed, &paint.key_of(Action::OpenChanges)), paint.theme.warn));
    }
    put(buffer, line(1), 0, spans);
    let job = match state.tasks.foremost() {
        Some(job) if job.state == JobState::Running => {
            let total = job.total.map(|total| format!("/{total}")).unwrap_or_default();
            let speed = job.per_second.map(|speed| format!(" {speed:.1}/s")).unwrap_or_default();
            let left = job.left_s.map(|left| format!(" {}", duration(left))).unwrap_or_default();
            format!("▶ {} {}{total}{speed}{left}", cut(&job_title(state.language, job), 24), job.done)
        }
        Some(job) if job.state == JobState::Failed => {
            format!(
                "✗ {} {}",
                cut(&job_title(state.language, job), 24),
                state.language.choose("failed (see tasks)", "失敗(処理状況を参照)")
            )
        }
        _ => format!("{} {}", cut(&state.source.model, 20), state.source.kind),
    };
    let typed: String = paint.pending.count().map(|count| count.to_string()).into_iter().collect();
    right(buffer, line(1), vec![span(typed, paint.theme.focus), span(format!("  {job}"), paint.theme.dim)]);
}

/// What a job is about, and of what.
pub(super) fn job_title(language: Language, job: &Job) -> String {
    match job.kind {
        JobKind::Predict => job.title.clone(),
        JobKind::Train { .. } => language.choose(format!("training {}", job.title), format!("学習 {}", job.title)),
        JobKind::Export => language.choose(format!("export to {}", job.title), format!("書き出し {}", job.title)),
    }
}

/// How much is said otherwise by what was trained, and what shows it.
pub(super) fn changes(paint: &Paint<'_>, changed: &Changed, key: &str) -> String {
    let Changed { name, count, .. } = changed;
    paint.state.language.choose(
        format!("{name}: {count} predictions differ ({key} shows them)  "),
        format!("{name}: {count} 件の予測が変化({key} で表示)  "),
    )
}

/// `1 h 20 min`, `3 min`, `12 s`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The keys that matter most here.
fn keys(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) {
    const SAMPLE: &[Action] = &[
        Action::Accept,
        Action::TakeLabel,
        Action::TakePrediction,
        Action::NextField,
        Action::Reject,
        Action::Undo,
        Action::Blink,
        Action::ZoomIn,
        Action::SheetScreen,
        Action::Help,
    ];
    const ROWS: &[Action] = &[
        Action::Open,
        Action::Select,
        Action::SelectRange,
        Action::SelectAll,
        Action::ApproveSelection,
        Action::SetSelection,
        Action::GroupBy,
        Action::SampleScreen,
        Action::Help,
    ];
    const TASKS: &[Action] =
        &[Action::CancelTask, Action::RaiseTask, Action::SwitchModel, Action::OpenFlips, Action::SampleScreen, Action::Help];
    const OTHER: &[Action] = &[Action::NextTab, Action::Open, Action::SampleScreen, Action::QueueScreen, Action::Help];
    let wanted = match paint.state.screen {
        Screen::Sample => SAMPLE,
        Screen::Sheet | Screen::Queue => ROWS,
        Screen::Tasks => TASKS,
        Screen::Stats => OTHER,
    };
    let rows = paint.keymap.help(paint.state.context().scope);
    let mut spans = Vec::new();
    let mut used = 0;
    for action in wanted {
        let Some(key) = rows.iter().find(|row| row.action == *action).and_then(|row| row.keys.first()) else { continue };
        let text = short(paint, *action);
        used += key.width() + text.width() + 3;
        if used > usize::from(area.width) {
            break;
        }
        spans.push(span(key, paint.theme.focus));
        spans.push(span(format!(" {text}  "), paint.theme.dim));
    }
    put(buffer, area, 0, spans);
}

/// A word or two for the line of keys; the help says it in full.
fn short(paint: &Paint<'_>, action: Action) -> &'static str {
    let (en, ja) = match action {
        Action::Accept => ("accept", "承認"),
        Action::TakeLabel => ("label", "ラベル"),
        Action::TakePrediction => ("prediction", "予測"),
        Action::NextField => ("field", "項目"),
        Action::Reject => ("reject", "除外"),
        Action::Undo => ("undo", "戻す"),
        Action::Blink => ("blink", "切替"),
        Action::ZoomIn => ("zoom", "拡大"),
        Action::SheetScreen => ("sheet", "一覧"),
        Action::Help => ("help", "ヘルプ"),
        Action::Open => ("open", "開く"),
        Action::Select => ("select", "選択"),
        Action::SelectRange => ("range", "範囲"),
        Action::SelectAll => ("all", "全選択"),
        Action::ApproveSelection => ("approve", "承認"),
        Action::SetSelection => ("set", "設定"),
        Action::GroupBy => ("group", "分類"),
        Action::SampleScreen => ("sample", "試料"),
        Action::QueueScreen => ("queue", "リスト"),
        Action::NextTab => ("next field", "次の項目"),
        Action::CancelTask => ("cancel", "中止"),
        Action::RaiseTask => ("do first, or again", "優先・再開"),
        Action::SwitchModel => ("model", "モデル"),
        Action::OpenFlips => ("flips", "変化した予測"),
        other => return paint.state.language.help(other),
    };
    paint.state.language.choose(en, ja)
}

/// Where the keys that may follow are listed.
pub(super) fn hints_area(paint: &Paint<'_>, area: Rect) -> Option<Rect> {
    if paint.hints.is_empty() {
        return None;
    }
    let columns = (area.width / 30).max(1);
    let rows = (paint.hints.len() as u16).div_ceil(columns).min(area.height.saturating_sub(6));
    let height = rows + 2;
    Some(Rect { y: area.bottom().saturating_sub(height + 2), height, ..area })
}

/// The keys that may follow what was typed.
pub(super) fn hints(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer) {
    let title = crate::keys::write_sequence(paint.pending.chords());
    let inner = popup(paint, area, buffer, &title);
    let columns = (area.width / 30).max(1);
    let width = inner.width / columns;
    for (at, hint) in paint.hints.iter().enumerate() {
        let (column, row) = (at as u16 % columns, at as u16 / columns);
        let place = Rect { x: inner.x + column * width, width, ..inner };
        let text = cut(hint.text(paint.state.language), usize::from(width.saturating_sub(7)));
        let key = fill(&crate::keys::write_sequence(&[hint.chord]), 5);
        put(buffer, place, row, vec![span(key, paint.theme.focus), span(text, paint.theme.text)]);
    }
}
