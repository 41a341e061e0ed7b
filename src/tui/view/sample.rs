//! One sample: the query picture largest, reference and exemplar beside it, the form.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::words::{cut, put, span};
use super::{Hit, Paint, Scene, Slot, form};
use crate::conversation::ImageRole;
use crate::domain::{Field, Value};
use crate::graphics::{Adjust, Look, View, Zoom};
use crate::review::{Face, Form, Picture, State};
use crate::tui::gallery::Wanted;

/// Where the three pictures and the form stand.
struct Places {
    query: Rect,
    reference: Rect,
    exemplar: Rect,
    form: Rect,
    close_ups: Option<[Rect; 2]>,
}

/// From so many rows on there is room for close-ups below the form.
const TALL: u16 = 30;

/// The form above, query and reference at the place in question below.
fn shared(column: Rect) -> (Rect, Option<[Rect; 2]>) {
    if column.height < TALL {
        return (column, None);
    }
    let half = column.width.saturating_sub(2) / 2;
    // As high as wide on the glass, a cell being twice as high as wide.
    let low = (half / 2 + 1).min(column.height / 2);
    let below = Rect { x: column.x + 1, y: column.bottom() - low, width: half, height: low };
    (Rect { height: column.height - low, ..column }, Some([below, Rect { x: below.right() + 1, ..below }]))
}

fn places(body: Rect) -> Places {
    let form_width = (body.width * 2 / 5).clamp(34, 56);
    let form = Rect { x: body.right() - form_width, width: form_width, ..body };
    let left = Rect { width: body.width - form_width - 1, ..body };
    let (form, close_ups) = shared(form);
    if left.width >= 96 {
        // Wide: the small ones one above the other.
        let side = left.width / 3;
        let small = Rect { x: left.right() - side, width: side, ..left };
        let (top, bottom) = (small.height / 2, small.height - small.height / 2);
        Places {
            query: Rect { width: left.width - side - 1, ..left },
            reference: Rect { height: top, ..small },
            exemplar: Rect { y: small.y + top, height: bottom, ..small },
            form,
            close_ups,
        }
    } else {
        let low = (left.height * 3 / 8).max(4);
        let below = Rect { y: left.bottom() - low, height: low, ..left };
        let half = left.width / 2;
        Places {
            query: Rect { height: left.height - low, ..left },
            reference: Rect { width: half, ..below },
            exemplar: Rect { x: left.x + half + 1, width: left.width - half - 1, ..below },
            form,
            close_ups,
        }
    }
}

pub(super) fn draw(paint: &Paint<'_>, body: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let state = paint.state;
    let Some(desk) = &state.desk else {
        let empty = state.queue.total == Some(0);
        let text = state.language.choose(
            if empty { "no sample meets the filter; / changes it, <A-/> clears it" } else { "loading…" },
            if empty { "条件に合う試料がありません(/ で変更、<A-/> で解除)" } else { "読み込み中…" },
        );
        put(buffer, body, 1, vec![span(format!("  {text}"), paint.theme.text)]);
        return;
    };
    let places = places(body);
    let say = |en, ja| state.language.choose(en, ja);
    let large = match state.look.face {
        Face::Query => (say("query", "検査対象"), ImageRole::Query),
        Face::Reference => (say("reference (r flips back)", "参照(r で戻る)"), ImageRole::Reference),
        Face::Difference => (say("difference (d flips back)", "差分(d で戻る)"), ImageRole::Difference),
    };
    pane(paint, buffer, scene, 1, places.query, large, true);
    pane(paint, buffer, scene, 2, places.reference, (say("reference", "参照"), ImageRole::Reference), false);
    pane(paint, buffer, scene, 3, places.exemplar, (say("exemplar", "例示"), ImageRole::Exemplar), false);
    for y in body.y..body.bottom() {
        buffer.set_string(places.form.x - 1, y, "│", paint.theme.border);
    }
    form::draw(paint, desk, Rect { x: places.form.x + 1, width: places.form.width - 1, ..places.form }, buffer, scene);
    if let Some(areas) = places.close_ups {
        let titles = [say("close-up", "拡大"), say("reference there", "参照の同じ所")];
        for (number, ((area, role), title)) in areas.into_iter().zip(CLOSE_UPS).zip(titles).enumerate() {
            let room = below_caption(area);
            scene.close_ups[number] = (room.width, room.height);
            if let Some(wanted) = close_up(state, &desk.form, role, scene.close_ups[number]) {
                put(buffer, area, 0, vec![span(title, paint.theme.dim)]);
                scene.hits.push((room, Hit::Picture(scene.slots.len())));
                scene.slots.push(Slot { pane: FIRST_CLOSE_UP + number as u8, area: room, wanted });
            }
        }
    }
}

/// Pictures of the place in question: of the query, and of the reference.
const CLOSE_UPS: [ImageRole; 2] = [ImageRole::Query, ImageRole::Reference];
/// The first of their panes, behind the three whole pictures.
const FIRST_CLOSE_UP: u8 = 4;

/// The place that the form names, or else the one that the label or the prediction names, large.
fn close_up(state: &State, form: &Form, role: ImageRole, room: (u16, u16)) -> Option<Wanted> {
    let mut wanted = Wanted { close_up: true, ..wanted(state, form, role, room, false) };
    let entry = form.entry();
    let said = |field: &Field| entry.prediction.as_ref().and_then(|said| said.fields.get(&field.id)).map(|said| &said.value);
    for (number, field) in form.fields().iter().enumerate() {
        for value in [form.value(number), entry.label.get(&field.id), said(field)] {
            match value {
                Some(Value::Address(Some(address))) => wanted.cell = wanted.cell.or(Some(*address)),
                Some(Value::Box(Some(area))) => wanted.area = wanted.area.or(Some(*area)),
                _ => {}
            }
        }
    }
    (wanted.cell.is_some() || wanted.area.is_some()).then_some(wanted)
}

fn below_caption(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// The large picture alone.
pub(super) fn full_screen(paint: &Paint<'_>, area: Rect, buffer: &mut Buffer, scene: &mut Scene) {
    let role = match paint.state.look.face {
        Face::Query => ImageRole::Query,
        Face::Reference => ImageRole::Reference,
        Face::Difference => ImageRole::Difference,
    };
    // The last line stays free: a picture that ends there would scroll some terminals.
    let room = Rect { height: area.height.saturating_sub(2), ..area };
    pane(paint, buffer, scene, 1, room, (paint.state.language.choose("F leaves the full screen", "F で全画面を終了"), role), true);
    super::words::foot(paint, area, buffer);
}

/// A picture under its caption.
fn pane(paint: &Paint<'_>, buffer: &mut Buffer, scene: &mut Scene, number: u8, area: Rect, (title, role): (&str, ImageRole), large: bool) {
    let Some(desk) = &paint.state.desk else { return };
    let picture = match role {
        ImageRole::Query | ImageRole::Difference => &desk.query,
        ImageRole::Reference => &desk.reference,
        ImageRole::Exemplar => &desk.exemplar,
    };
    let mut caption = vec![span(title, paint.theme.dim)];
    if large {
        let look = &paint.state.look;
        let mut told = Vec::new();
        if let Some(zoom) = look.zoom {
            told.push(format!("  {zoom} %"));
        }
        for (value, sign) in [(look.contrast, "◐"), (look.brightness, "☀")] {
            if value != 0 {
                told.push(format!("  {sign} {value:+}"));
            }
        }
        caption.push(span(told.concat(), paint.theme.focus));
    }
    put(buffer, area, 0, caption);
    let room = below_caption(area);
    if room.height == 0 || room.width == 0 {
        return;
    }
    let middle = room.height / 2;
    match picture {
        Picture::Awaited => put(buffer, room, middle, vec![span(" …", paint.theme.dim)]),
        Picture::Failed(problem) => {
            for (line, text) in super::words::wrap(problem, usize::from(room.width.saturating_sub(2))).iter().enumerate() {
                put(buffer, room, line as u16, vec![span(format!(" {}", cut(text, usize::from(room.width))), paint.theme.warn)]);
            }
        }
        Picture::Ready(_) => {}
    }
    scene.hits.push((room, Hit::Picture(scene.slots.len())));
    let wanted = wanted(paint.state, &desk.form, role, (room.width, room.height), large);
    scene.slots.push(Slot { pane: number, area: room, wanted });
}

fn wanted(state: &State, form: &Form, role: ImageRole, room: (u16, u16), large: bool) -> Wanted {
    let look = &state.look;
    let mut wanted = Wanted {
        sample: form.entry().id.clone(),
        role,
        look: Look::default(),
        grid: false,
        cell: None,
        area: None,
        close_up: false,
        room,
        thumbnail: false,
    };
    if large {
        let view = View {
            zoom: look.zoom.map_or(Zoom::Fit, |percent| Zoom::Percent(u16::try_from(percent).unwrap_or(u16::MAX))),
            centre: (look.centre.0 as f32, look.centre.1 as f32),
        };
        wanted.look.view = view;
        wanted.look.adjust = Adjust { brightness: look.brightness * 20, contrast: look.contrast * 20 };
        wanted.grid = look.grid;
        mark(state, form, &mut wanted);
    }
    wanted
}

/// What the form says of places is drawn on the picture.
fn mark(state: &State, form: &Form, wanted: &mut Wanted) {
    (wanted.cell, wanted.area) = (None, None);
    if !state.look.overlay {
        return;
    }
    for field in 0..form.fields().len() {
        match form.value(field) {
            Some(Value::Address(Some(address))) => wanted.cell = wanted.cell.or(Some(*address)),
            Some(Value::Box(Some(area))) => wanted.area = wanted.area.or(Some(*area)),
            _ => {}
        }
    }
}

/// The same pictures of another sample.
pub(in crate::tui) fn ahead(state: &State, scene: &Scene, form: &Form) -> Vec<Wanted> {
    let whole = scene.slots.iter().map(|slot| &slot.wanted).filter(|wanted| !wanted.close_up).map(|wanted| {
        let mut other = Wanted { sample: form.entry().id.clone(), ..wanted.clone() };
        let large = wanted.cell.is_some() || wanted.area.is_some() || matches!(wanted.role, ImageRole::Query | ImageRole::Difference);
        if large {
            mark(state, form, &mut other);
        }
        other
    });
    let near = CLOSE_UPS.into_iter().zip(scene.close_ups).filter(|(_, room)| room.1 > 0);
    whole.chain(near.filter_map(|(role, room)| close_up(state, form, role, room))).collect()
}
