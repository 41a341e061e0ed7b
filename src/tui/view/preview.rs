//! What a batch will do, before it is done.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::Paint;
use super::words::{popup, put, span, wrap};
use crate::review::{Action, Doubt, Left, Preview, Purpose};

pub(super) fn draw(paint: &Paint<'_>, preview: &Preview, area: Rect, buffer: &mut Buffer) {
    let state = paint.state;
    let fields = state.schema.fields();
    let say = |en: String, ja: String| state.language.choose(en, ja);
    let count = preview.rows.len();
    let title = match &preview.purpose {
        Purpose::Approve => say(format!("approve {count} samples"), format!("{count} 件を承認")),
        Purpose::Set(field, value) => {
            let (name, value) =
                fields.get(*field).map_or((String::new(), String::new()), |field| (field.title.clone(), field.render(value)));
            say(format!("set {name} to {value}: {count} samples"), format!("{name} を {value} に設定: {count} 件"))
        }
    };
    let inner = popup(paint, area, buffer, &title);
    let width = usize::from(inner.width);
    let mut lines: Vec<Vec<Span<'static>>> = Vec::new();
    for (answer, samples) in preview.groups(fields) {
        for (at, line) in wrap(&answer, width.saturating_sub(8)).into_iter().enumerate() {
            let number = if at == 0 { format!("{samples:>6}  ") } else { " ".repeat(8) };
            lines.push(vec![span(number, paint.theme.focus), span(line, paint.theme.text)]);
        }
    }
    if !preview.left.is_empty() {
        lines.push(Vec::new());
        let told = say(format!("{} left alone:", preview.left.len()), format!("{} 件はそのまま:", preview.left.len()));
        lines.push(vec![span(told, paint.theme.warn)]);
        for (sample, why) in &preview.left {
            let why = match why {
                Left::Doubt(field, doubt) => {
                    let name = fields.get(*field).map(|field| field.title.clone()).unwrap_or_default();
                    match doubt {
                        Doubt::Conflict => say(format!("{name}: label and prediction differ"), format!("{name}: ラベルと予測が違います")),
                        Doubt::Missing => say(format!("{name} has no value"), format!("{name} の値がありません")),
                        Doubt::Breach(text) => text.clone(),
                    }
                }
                Left::Claimed(by) => say(format!("{by} is looking at it"), format!("{by} さんが確認中")),
                Left::Decided => say("decided already".to_owned(), "決定済み".to_owned()),
                Left::Saving => say("being saved".to_owned(), "保存中".to_owned()),
                Left::Same => say("nothing would change".to_owned(), "変更なし".to_owned()),
            };
            lines.push(vec![span(format!("  {sample}  "), paint.theme.text), span(why, paint.theme.dim)]);
        }
    }
    let room = usize::from(inner.height.saturating_sub(2));
    let top = preview.scroll.min(lines.len().saturating_sub(room));
    for (at, spans) in lines.into_iter().skip(top).take(room).enumerate() {
        put(buffer, inner, at as u16, spans);
    }
    let mut said = Vec::new();
    if !preview.changed.is_empty() {
        let changed = preview.changed.len();
        said.push(span(say(format!("{changed} changed since  "), format!("{changed} 件は変更済み  ")), paint.theme.bad));
    }
    if let Some((share, most)) = preview.spot.estimate() {
        let text = format!("{}/{}: {:.1} % (≤ {:.1} %)  ", preview.spot.wrong, preview.spot.checked, share * 100.0, most * 100.0);
        said.push(span(text, paint.theme.warn));
    }
    put(buffer, inner, inner.height.saturating_sub(2), said);
    let rows = paint.keymap.help(state.context().scope);
    let mut keys = Vec::new();
    for (action, en, ja) in
        [(Action::Confirm, "do it", "実行"), (Action::SpotCheck, "spot check first", "一部を先に確認"), (Action::Back, "leave", "取消")]
    {
        if let Some(key) = rows.iter().find(|row| row.action == action).and_then(|row| row.keys.first()) {
            keys.push(span(key, paint.theme.focus));
            keys.push(span(format!(" {}   ", state.language.choose(en, ja)), paint.theme.dim));
        }
    }
    put(buffer, inner, inner.height.saturating_sub(1), keys);
}
