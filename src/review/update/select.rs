//! Lists: selections, batches, spot checks, statistics, tasks.

use crate::domain::Filter;
use crate::review::preview::{Preview, Purpose};
use crate::review::sheet::{MOST_SELECTED, Whole};
use crate::review::state::{Overlay, Screen, SpotCheck};
use crate::review::{Action, Effect, Notice, Priority, Query, SaveKind, Spot, State};

/// The share that a spot check looks at unless a count says otherwise.
const SPOT_PERCENT: u32 = 5;

impl State {
    pub(super) fn act_on_rows(&mut self, action: Action, count: Option<u32>) -> bool {
        let times = count.unwrap_or(1).max(1);
        if self.move_cursor(action, times as usize) {
            return true;
        }
        match action {
            Action::Open => {
                self.screen = Screen::Sample;
                self.lay_current();
            }
            Action::Select => (0..times.min(MOST_SELECTED as u32)).for_each(|_| self.select_one()),
            Action::SelectRange => self.range(),
            Action::SelectAll => self.select_whole(Whole::All),
            Action::SelectInvert => self.select_whole(Whole::Invert),
            Action::SelectNone => self.sheet.clear(),
            Action::ApproveSelection => self.preview(Purpose::Approve),
            Action::PredictSelection => {
                let samples = self.sheet.picked().map(|entry| entry.id.clone()).collect();
                self.predict(samples, Priority::Selected);
            }
            Action::GroupBy => {
                let query = Query { grouping: self.queue.query.grouping.next(), ..self.queue.query.clone() };
                self.ask_again(query);
            }
            Action::OutliersFirst => {
                let query = Query { outliers_first: !self.queue.query.outliers_first, ..self.queue.query.clone() };
                self.ask_again(query);
            }
            _ => return false,
        }
        true
    }

    fn select_one(&mut self) {
        if let Some(entry) = self.queue.current().cloned() {
            self.sheet.toggle(&entry);
            self.step(false, 1);
        }
    }

    fn range(&mut self) {
        if self.sheet.anchor.is_none() {
            self.sheet.anchor = (!self.queue.is_empty()).then_some(self.queue.cursor);
        } else {
            self.end_range();
        }
    }

    /// `false` while rows of the range are on their way.
    pub(super) fn end_range(&mut self) -> bool {
        let ended = self.sheet.end_range(&self.queue).is_ok();
        if !ended {
            self.say(Notice::RangeOnItsWay);
        }
        ended
    }

    fn select_whole(&mut self, whole: Whole) {
        let here = self.queue.rows().count();
        if self.queue.len() > MOST_SELECTED {
            self.say(Notice::TooMany(MOST_SELECTED));
        } else if here == self.queue.len() {
            let rows: Vec<_> = self.queue.rows().map(|(_, entry)| entry.clone()).collect();
            self.sheet.whole(whole, rows);
        } else {
            let request = self.ask();
            self.sheet.awaited = Some((request, whole));
            self.emit(Effect::LoadAll { request, order: self.queue.order, most: MOST_SELECTED });
        }
    }

    /// Shows what a batch would do.
    pub(super) fn preview(&mut self, purpose: Purpose) {
        if !self.end_range() {
            return;
        }
        if self.sheet.is_empty() {
            return self.say(Notice::NothingSelected);
        }
        let preview = Preview::new(&self.schema, purpose, self.sheet.picked(), |sample| self.history.is_saving(sample));
        self.overlay = Some(Overlay::Preview(Box::new(preview)));
    }

    /// Does what the preview shows, no more and no less.
    pub(super) fn confirm(&mut self, preview: Preview) {
        if !preview.seen {
            self.say(Notice::NotShownYet);
            self.overlay = Some(Overlay::Preview(Box::new(preview)));
        } else if preview.rows.is_empty() {
            self.say(Notice::NothingToDo);
        } else {
            self.say(Notice::BatchSent { samples: preview.rows.len(), spot: preview.spot });
            self.save(SaveKind::Batch, preview.decisions());
        }
    }

    /// Draws a share of the batch by lot and shows it one by one.
    pub(super) fn begin_spot(&mut self, mut preview: Preview, percent: Option<u32>) {
        if preview.purpose != Purpose::Approve || preview.rows.is_empty() {
            self.say(Notice::NotHere(Action::SpotCheck));
            self.overlay = Some(Overlay::Preview(Box::new(preview)));
            return;
        }
        preview.spot = Spot::default();
        let todo = preview.draw(percent.unwrap_or(SPOT_PERCENT).clamp(1, 100), self.seed).into();
        self.spot = Some(SpotCheck { preview: Box::new(preview), todo, back_to: self.screen });
        self.screen = Screen::Sample;
        self.advance();
    }

    pub(super) fn act_on_stats(&mut self, action: Action, count: Option<u32>) -> bool {
        let times = count.unwrap_or(1).max(1) as usize;
        let (row, column) = self.stats.cell;
        match action {
            Action::NextTab => self.stats.turn(true),
            Action::PreviousTab => self.stats.turn(false),
            Action::Up | Action::PageUp => self.stats.go_to(row.saturating_sub(times), column),
            Action::Down | Action::PageDown => self.stats.go_to(row.saturating_add(times), column),
            Action::Left => self.stats.go_to(row, column.saturating_sub(times)),
            Action::Right => self.stats.go_to(row, column.saturating_add(times)),
            Action::First => self.stats.go_to(0, 0),
            Action::Last => self.stats.go_to(usize::MAX, usize::MAX),
            Action::Open => return self.open_cell(),
            _ => return false,
        }
        true
    }

    /// Opens the samples of a confusion cell as a queue.
    pub(super) fn open_cell(&mut self) -> bool {
        let Some(text) = self.stats.cell_filter() else { return false };
        let Ok(filter) = Filter::parse(&self.schema, &text) else { return false };
        self.screen = Screen::Queue;
        let query = Query { text, filter, against: None, ..self.queue.query.clone() };
        self.ask_for(query, None);
        true
    }

    pub(super) fn act_on_tasks(&mut self, action: Action, count: Option<u32>) -> bool {
        let times = count.unwrap_or(1).max(1) as usize;
        let (cursor, page) = (self.tasks.cursor, self.layout.list_rows.max(1));
        match action {
            Action::Up => self.tasks.put_cursor(cursor.saturating_sub(times)),
            Action::Down => self.tasks.put_cursor(cursor.saturating_add(times)),
            Action::PageUp => self.tasks.put_cursor(cursor.saturating_sub(times.saturating_mul(page))),
            Action::PageDown => self.tasks.put_cursor(cursor.saturating_add(times.saturating_mul(page))),
            Action::First => self.tasks.put_cursor(0),
            Action::Last => self.tasks.put_cursor(usize::MAX),
            Action::CancelTask | Action::RaiseTask => return self.act_on_job(action),
            _ => return false,
        }
        true
    }
}
