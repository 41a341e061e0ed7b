//! One step: an input changes the state and asks for effects.

mod decide;
mod go;
mod learn;
mod over;
mod point;
mod report;
mod select;

use super::state::{Overlay, Page, Screen, SpotCheck, State};
use super::{Action, Effect, Input, InputKind, Notice, Query};
use crate::domain::{Filter, Shown};

/// Between two renewals of a claim, in milliseconds: a quarter of its life.
const RENEWED_MS: i64 = 30_000;

/// Takes one input. Equal states and inputs give equal states and effects.
pub fn update(state: &mut State, input: Input) -> Vec<Effect> {
    (state.now_ms, state.seed) = (input.time_ms, input.seed);
    match input.kind {
        InputKind::Action { action, count } => state.act(action, count),
        InputKind::Text(text) => state.type_text(&text),
        InputKind::Point(point) => state.point(point),
        InputKind::Message(message) => state.report(message),
        InputKind::Drawn { shown } => state.drawn(shown),
        InputKind::Resize(layout) => {
            state.layout = layout;
            state.load_missing();
        }
        InputKind::Tick => state.tick(),
    }
    state.take_effects()
}

impl State {
    /// Does what a person means. What makes no sense where the keys are now does nothing: no verdict acts while
    /// something is typed, whoever sends it.
    fn act(&mut self, action: Action, count: Option<u32>) {
        let scope = self.context().scope;
        if self.quitting && action == Action::Back {
            self.quitting = false;
            return self.lay_current();
        }
        let frozen = self.quitting && action != Action::Quit;
        if frozen || !action.fits(scope) {
            return self.say(if frozen { Notice::Waiting(self.history.outstanding()) } else { Notice::NotHere(action) });
        }
        if self.read_only && action.writes() {
            return self.say(Notice::ReadOnly);
        }
        if self.overlay.is_some() {
            return self.act_on_overlay(action, count);
        }
        let done = self.act_anywhere(action, count)
            || match self.screen {
                Screen::Sample => self.act_on_sample(action, count),
                Screen::Sheet | Screen::Queue => self.act_on_rows(action, count),
                Screen::Stats => self.act_on_stats(action, count),
                Screen::Tasks => self.act_on_tasks(action, count),
            };
        if !done {
            self.say(Notice::NotHere(action));
        }
    }

    /// What makes sense on every screen.
    fn act_anywhere(&mut self, action: Action, count: Option<u32>) -> bool {
        let count = count.unwrap_or(1).max(1);
        match action {
            Action::NextUndecided => self.seek(false, count),
            Action::PreviousUndecided => self.seek(true, count),
            Action::Undo => (0..count).for_each(|_| self.undo(false)),
            Action::Redo => (0..count).for_each(|_| self.undo(true)),
            Action::SampleScreen => self.show(Screen::Sample),
            Action::SheetScreen => self.show(Screen::Sheet),
            Action::QueueScreen => self.show(Screen::Queue),
            Action::StatsScreen => self.show(Screen::Stats),
            Action::TasksScreen => self.show(Screen::Tasks),
            Action::Theme => {
                self.theme = self.theme.next();
                self.remember_settings();
            }
            Action::Language => {
                self.language = self.language.choose(super::Language::Ja, super::Language::En);
                self.remember_settings();
            }
            Action::Suspend => self.emit(Effect::Suspend),
            Action::Quit => self.quit(),
            Action::SortAgain => self.ask_again(self.queue.query.clone()),
            Action::ClearFilter => {
                let plain = Query { text: String::new(), filter: Filter::default(), against: None, ..self.queue.query.clone() };
                self.ask_again(plain);
            }
            Action::OpenFlips => return self.open_flips(),
            Action::OpenChanges => return self.open_changes(),
            Action::Back if self.screen != Screen::Sample => self.show(Screen::Sample),
            _ => return self.open_overlay(action),
        }
        true
    }

    fn show(&mut self, screen: Screen) {
        self.screen = screen;
        match screen {
            Screen::Sample => {
                if let Some(index) = self.desk.as_ref().and_then(|desk| desk.index) {
                    self.queue.put_cursor(index);
                }
                self.lay_current();
            }
            Screen::Stats => {
                let request = self.ask();
                self.stats.awaited = Some(request);
                self.emit(Effect::LoadStats { request, source: self.source.clone() });
            }
            Screen::Sheet | Screen::Queue | Screen::Tasks => {}
        }
    }

    fn remember_settings(&mut self) {
        self.emit(Effect::RememberSettings { language: self.language, theme: self.theme });
    }

    fn quit(&mut self) {
        self.close_desk(true);
        self.quitting = true;
        self.quit_if_saved();
    }

    /// Ends the program once nothing is left to save.
    fn quit_if_saved(&mut self) {
        match self.history.outstanding() {
            _ if !self.quitting => {}
            0 => self.emit(Effect::Quit),
            saves => self.say(Notice::Waiting(saves)),
        }
    }

    /// A frame has shown the state as it is.
    fn drawn(&mut self, shown: Shown) {
        if self.screen == Screen::Sample
            && let Some(desk) = &mut self.desk
        {
            if let (Shown::Sample { zoom, .. }, None) = (&shown, self.look.zoom) {
                self.look.fitted = *zoom;
            }
            desk.drawn(shown);
        }
        if let Some(Overlay::Preview(preview)) = &mut self.overlay {
            preview.seen = true;
        }
    }

    fn tick(&mut self) {
        self.notices.expire(self.now_ms);
        let sent = self.history.send_waiting();
        self.emit_all(sent);
        if self.now_ms - self.claimed_ms >= RENEWED_MS
            && let Some(desk) = &self.desk
        {
            let sample = desk.entry().id.clone();
            self.claimed_ms = self.now_ms;
            self.emit(Effect::Renew(sample));
        }
    }

    fn open_flips(&mut self) -> bool {
        let Some((before, _)) = &self.before else { return false };
        let query = Query { against: Some(before.clone()), source: self.source.clone(), ..self.queue.query.clone() };
        self.screen = Screen::Queue;
        self.ask_for(query, None);
        true
    }

    /// Ends a spot check: the batch's preview comes back, with what was found.
    fn end_spot(&mut self, spot: SpotCheck) {
        self.close_desk(true);
        self.screen = spot.back_to;
        self.overlay = Some(Overlay::Preview(spot.preview));
    }

    fn read(&mut self, page: Page) {
        self.overlay = Some(Overlay::Reader(page, 0));
    }
}
