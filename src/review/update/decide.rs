//! The sample view: verdicts, fields, the last fix.

use std::collections::BTreeSet;

use crate::domain::{self, BoundingBox, FieldKind, Value, ValueOrigin};
use crate::review::editor::{Editor, Typed, first_box, matching_options, shifted, typed_value};
use crate::review::entry::{Change, Decision};
use crate::review::form::{Doubt, Form};
use crate::review::state::Screen;
use crate::review::{Action, Desk, Effect, Hold, Notice, Priority, SaveKind, Standing, State};

impl State {
    pub(super) fn act_on_sample(&mut self, action: Action, count: Option<u32>) -> bool {
        let times = count.unwrap_or(1).clamp(1, 10_000);
        if self.look.act(action) {
            return true;
        }
        match action {
            Action::NextSample => self.step(false, times as usize),
            Action::PreviousSample => self.step(true, times as usize),
            Action::FirstSample => self.go_to(0),
            Action::LastSample => self.go_to(usize::MAX),
            Action::Back => self.step_back(),
            _ => return self.desk.is_some() && self.act_on_desk(action, times),
        }
        true
    }

    fn act_on_desk(&mut self, action: Action, times: u32) -> bool {
        match action {
            Action::Accept => self.accept(),
            Action::Reject => self.decide(Change::Reject),
            Action::Skip => self.skip(),
            Action::Reopen => return self.reopen(),
            Action::Flag => self.flag(),
            Action::RepeatFix => self.repeat_fix(),
            Action::PredictSample => {
                let sample = self.desk.as_ref().map(|desk| desk.entry().id.clone());
                self.predict(sample.into_iter().collect(), Priority::Selected);
            }
            Action::FocusField(number) => return self.focus(|_, count| (usize::from(number) <= count).then(|| usize::from(number) - 1)),
            Action::NextField => return self.focus(|focus, count| Some((focus + times as usize) % count)),
            Action::PreviousField => return self.focus(|focus, count| Some((focus + count - times as usize % count) % count)),
            _ => return self.act_on_field(action, i64::from(times)),
        }
        true
    }

    /// What concerns the field with the focus.
    fn act_on_field(&mut self, action: Action, times: i64) -> bool {
        if self.edit_line(action) {
            return true;
        }
        let Some(desk) = &mut self.desk else { return false };
        match action {
            Action::ChooseOption(number) => return self.choose(usize::from(number)),
            Action::EditField => return self.edit_field(),
            Action::ClearField => {
                let focus = desk.focus;
                desk.editor = None;
                desk.edit(|form| form.clear(focus));
            }
            Action::BoxStep => desk.switch_step(),
            Action::Commit => self.commit_field(),
            _ => {
                let Some((value, origin)) = new_value(desk, action, times) else { return false };
                if desk.field().allows(&value) {
                    self.give(&value, &origin);
                } else {
                    let expectation = desk.field().expectation();
                    self.say(Notice::NotAllowed(expectation));
                }
            }
        }
        true
    }

    fn give(&mut self, value: &Value, origin: &ValueOrigin) {
        if let Some(desk) = &mut self.desk {
            desk.give(value, origin);
        }
    }

    /// Sends decisions to the store.
    pub(super) fn save(&mut self, kind: SaveKind, decisions: Vec<Decision>) {
        let effects = self.history.submit(kind, decisions);
        self.emit_all(effects);
    }

    fn accept(&mut self) {
        let Some(desk) = &self.desk else { return };
        let settled = desk.seen_form().is_some_and(|form| !form.is_touched() && form.entry().state == domain::State::Approved);
        if settled && self.spot.is_none() {
            return self.advance();
        }
        let decision = desk.accept();
        self.verdict(decision);
    }

    fn decide(&mut self, change: Change) {
        if let Some(decision) = self.desk.as_ref().map(|desk| desk.decision(change)) {
            self.verdict(decision);
        }
    }

    /// A verdict is sent off and the next sample comes, or the reviewer is told what holds it up.
    fn verdict(&mut self, decision: Result<Decision, Hold>) {
        match decision {
            Ok(decision) if self.history.is_deciding(&decision.sample) => self.say(Notice::Saving),
            Ok(decision) => {
                if let Some(spot) = &mut self.spot {
                    let approved = if let Change::Approve { label, .. } = &decision.change { Some(label.as_slice()) } else { None };
                    spot.preview.checked(&decision.sample, approved);
                }
                self.save(SaveKind::Single, vec![decision]);
                self.close_desk(false);
                self.advance();
            }
            Err(Hold::Unseen) => self.say(Notice::NotShownYet),
            Err(Hold::Doubt(field, doubt)) => {
                let Some(desk) = &mut self.desk else { return };
                desk.ask(field);
                let title = desk.field().title.clone();
                let rule = if let Doubt::Breach(rule) = doubt { Some(rule) } else { None };
                self.say(Notice::StopsAt { field: title, rule });
            }
        }
    }

    fn skip(&mut self) {
        if let (Some(spot), Some(desk)) = (&mut self.spot, &self.desk) {
            spot.preview.take_out(&desk.entry().id);
        }
        self.close_desk(true);
        self.advance();
    }

    fn reopen(&mut self) -> bool {
        let decided = self.desk.as_ref().filter(|desk| desk.entry().state != domain::State::Undecided);
        let decision = decided.map(|desk| desk.decision(Change::Reopen));
        let is_decided = decision.is_some();
        self.note(decision);
        is_decided
    }

    fn flag(&mut self) {
        let decision = self.desk.as_ref().map(|desk| {
            let now = self.history.flag_to_be(&desk.entry().id).unwrap_or(desk.entry().flagged);
            desk.decision(Change::Flag(!now))
        });
        self.note(decision);
    }

    /// A remark on the sample on the desk.
    pub(super) fn comment(&mut self, text: &str) {
        let decision = self.desk.as_ref().map(|desk| desk.decision(Change::Comment(text.trim().to_owned())));
        self.note(decision);
    }

    /// A decision after which the sample stays on the desk.
    fn note(&mut self, decision: Option<Result<Decision, Hold>>) {
        match decision {
            Some(Ok(decision)) => self.save(SaveKind::Single, vec![decision]),
            Some(Err(_)) => self.say(Notice::NotShownYet),
            None => {}
        }
    }

    /// Gives this sample the values that were last given by hand.
    fn repeat_fix(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        let place = |id: &domain::FieldId| desk.form.fields().iter().position(|field| field.id == *id);
        let fix = self.history.last_fix().iter();
        let values: Vec<_> = fix.filter_map(|(id, value, _)| Some((place(id)?, value.clone(), ValueOrigin::Typed))).collect();
        if values.is_empty() {
            return self.say(Notice::NothingToRepeat);
        }
        desk.edit(|form| form.give_all(values.clone()));
        desk.editor = None;
        desk.ask_next();
    }

    /// Takes a step on the form back (or again), else the last decision.
    pub(super) fn undo(&mut self, again: bool) {
        let step = if again { Form::redo } else { Form::undo };
        let on_form = self.screen == Screen::Sample && self.desk.as_mut().is_some_and(|desk| desk.edit(step));
        if on_form {
            if let Some(desk) = &mut self.desk {
                desk.editor = None;
            }
        } else if self.history.is_holding_back() {
            self.say(Notice::Saving);
        } else {
            let request = self.ask();
            self.awaited.reverts.insert(request);
            self.emit(if again { Effect::Redo { request } } else { Effect::Undo { request } });
        }
    }

    fn focus(&mut self, place: impl Fn(usize, usize) -> Option<usize>) -> bool {
        let Some(desk) = &mut self.desk else { return false };
        let field = place(desk.focus, desk.form.fields().len());
        field.is_some_and(|field| {
            desk.ask(field);
            true
        })
    }

    /// Closes what is open, from the inside out.
    fn step_back(&mut self) {
        let closed = self.desk.as_mut().is_some_and(|desk| desk.editor.take().is_some());
        if closed {
        } else if self.look.full_screen {
            self.look.full_screen = false;
        } else if let Some(spot) = self.spot.take() {
            self.end_spot(spot);
        } else {
            self.notices.clear();
        }
    }

    /// Chooses the n-th option; where a field has none, the number is typed into it.
    pub(super) fn choose(&mut self, number: usize) -> bool {
        let Some(desk) = &mut self.desk else { return false };
        match &desk.field().kind {
            FieldKind::Choice { options } | FieldKind::MultiChoice { options, .. } => {
                match number.checked_sub(1).and_then(|index| options.get(index)).cloned() {
                    Some(option) => self.take_option(option),
                    None => return false,
                }
            }
            FieldKind::Integer { .. } => {
                if desk.editor.is_none() {
                    desk.editor = Editor::asking(desk.field());
                }
                self.type_text(&(number % 10).to_string());
            }
            FieldKind::Text { .. } | FieldKind::Address { .. } | FieldKind::Box { .. } => return false,
        }
        true
    }

    /// Takes an option: alone, or in or out of a set.
    fn take_option(&mut self, option: String) {
        let Some(desk) = &mut self.desk else { return };
        if !matches!(desk.field().kind, FieldKind::MultiChoice { .. }) {
            return self.give(&Value::Choice(option), &ValueOrigin::Typed);
        }
        // The set goes on being edited, so that the focus stays.
        let focus = desk.focus;
        let shown = desk.seen_form().unwrap_or(&desk.form);
        let mut chosen = if let Some(Value::Choices(chosen)) = shown.value(focus) { chosen.clone() } else { BTreeSet::new() };
        if !chosen.remove(&option) {
            chosen.insert(option);
        }
        desk.editor = None;
        desk.edit(|form| form.give(focus, Value::Choices(chosen.clone()), ValueOrigin::Typed));
    }

    fn edit_field(&mut self) -> bool {
        let Some(desk) = &mut self.desk else { return false };
        desk.editor = Editor::typing_into(desk.field(), desk.form.value(desk.focus));
        if !matches!(desk.field().kind, FieldKind::Box { .. }) {
            return true;
        }
        let has_box = matches!(desk.form.value(desk.focus), Some(Value::Box(Some(_))));
        if let Some(area) = first_box().filter(|_| !has_box) {
            self.give_box(area);
        }
        true
    }

    fn give_box(&mut self, area: BoundingBox) {
        self.give(&Value::Box(Some(area)), &ValueOrigin::Typed);
    }

    /// What is typed goes where the reviewer types.
    pub(super) fn type_text(&mut self, text: &str) {
        if self.overlay.is_some() {
            return self.type_into_overlay(text);
        }
        let Some(desk) = self.desk.as_mut().filter(|_| self.screen == Screen::Sample) else { return };
        match &mut desk.editor {
            Some(Editor::TypeAhead(input) | Editor::Text(input)) => input.insert(text),
            Some(Editor::Entry(_)) => text.chars().for_each(|c| self.type_entry(c)),
            None => {}
        }
    }

    fn type_entry(&mut self, c: char) {
        let Some(desk) = &mut self.desk else { return };
        let field = desk.field().clone();
        let Some(Editor::Entry(typed)) = &mut desk.editor else { return };
        let longer = format!("{typed}{c}");
        match typed_value(&field, &longer) {
            Typed::Dead => {}
            Typed::Open(_) => *typed = longer,
            Typed::Complete(value) => self.give(&value, &ValueOrigin::Typed),
        }
    }

    fn commit_field(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        let field = desk.field();
        let expectation = field.expectation();
        let value = match &desk.editor {
            Some(Editor::TypeAhead(input)) => match matching_options(field, input.text()).first().copied().cloned() {
                Some(option) => return self.take_option(option),
                None => None,
            },
            Some(Editor::Text(input)) => field.parse(input.text()).ok(),
            Some(Editor::Entry(typed)) => match typed_value(field, typed) {
                Typed::Complete(value) | Typed::Open(Some(value)) => Some(value),
                Typed::Open(None) | Typed::Dead => None,
            },
            None => None,
        };
        match value {
            Some(value) => self.give(&value, &ValueOrigin::Typed),
            None => self.say(Notice::NotAllowed(expectation)),
        }
    }

    /// Line editing in a field; `false` when the action is none.
    fn edit_line(&mut self, action: Action) -> bool {
        match (self.desk.as_mut().and_then(|desk| desk.editor.as_mut()), action) {
            (Some(Editor::TypeAhead(input) | Editor::Text(input)), _) => return input.act(action),
            (Some(Editor::Entry(typed)), Action::EraseBack) => drop(typed.pop()),
            (Some(Editor::Entry(typed)), Action::EraseWord | Action::EraseLine) => typed.clear(),
            _ => return false,
        }
        true
    }
}

/// The value that an action means for the field with the focus.
fn new_value(desk: &Desk, action: Action, times: i64) -> Option<(Value, ValueOrigin)> {
    let form = desk.seen_form().unwrap_or(&desk.form);
    let (field, entry) = (desk.field(), form.entry());
    let value = form.value(desk.focus);
    let typed = |value| Some((value, ValueOrigin::Typed));
    match action {
        Action::AcceptField => match form.standing(desk.focus) {
            Standing::Value { value, origin, .. } => Some((value.clone(), origin.clone())),
            Standing::Conflict { .. } | Standing::Open => None,
        },
        Action::TakeLabel => {
            let origin = if entry.decided.contains(&field.id) { ValueOrigin::Typed } else { ValueOrigin::Imported };
            entry.label.get(&field.id).map(|value| (value.clone(), origin))
        }
        Action::TakePrediction => {
            let prediction = entry.prediction.as_ref()?;
            Some((prediction.fields.get(&field.id)?.value.clone(), ValueOrigin::Prediction(prediction.id)))
        }
        Action::SetNone => match &field.kind {
            FieldKind::Address { .. } => typed(Value::Address(None)),
            FieldKind::Box { .. } => typed(Value::Box(None)),
            FieldKind::MultiChoice { .. } => typed(Value::Choices(BTreeSet::new())),
            FieldKind::Choice { .. } | FieldKind::Integer { .. } | FieldKind::Text { .. } => None,
        },
        Action::Increase => neighbour(field, value, times).and_then(typed),
        Action::Decrease => neighbour(field, value, -times).and_then(typed),
        _ => {
            let Some(Value::Box(Some(area))) = value else { return None };
            let by = i32::from(desk.box_step).saturating_mul(times as i32);
            let (moved, grown) = match action {
                Action::BoxLeft => ([-by, 0], [0, 0]),
                Action::BoxRight => ([by, 0], [0, 0]),
                Action::BoxUp => ([0, -by], [0, 0]),
                Action::BoxDown => ([0, by], [0, 0]),
                Action::BoxWider => ([0, 0], [by, 0]),
                Action::BoxNarrower => ([0, 0], [-by, 0]),
                Action::BoxTaller => ([0, 0], [0, by]),
                Action::BoxShorter => ([0, 0], [0, -by]),
                _ => return None,
            };
            shifted(*area, moved, grown).map(|area| Value::Box(Some(area))).and_then(typed)
        }
    }
}

/// A number so many further on; an option so many further on, round the end.
fn neighbour(field: &domain::Field, value: Option<&Value>, by: i64) -> Option<Value> {
    match (&field.kind, value) {
        (FieldKind::Integer { .. }, Some(Value::Integer(number))) => Some(Value::Integer(number.saturating_add(by))),
        (FieldKind::Choice { options }, value) => {
            let count = options.len() as i64;
            let next = match value {
                Some(Value::Choice(option)) => options.iter().position(|known| known == option)? as i64 + by,
                _ => 0,
            };
            options.get(next.rem_euclid(count) as usize).cloned().map(Value::Choice)
        }
        _ => None,
    }
}
