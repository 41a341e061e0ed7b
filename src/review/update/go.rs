//! Moving: between samples, along the queue, to another order.

use crate::domain::{PredictionSource, SampleId};
use crate::review::queue::{Near, PAGE};
use crate::review::state::{Landing, Screen};
use crate::review::{Action, Desk, Effect, Entry, Grouping, Notice, Priority, Query, Queue, State, Target};
use std::sync::Arc;

impl State {
    /// Asks for other samples, or another order. `keep` is the sample to stay on.
    pub(in crate::review) fn ask_for(&mut self, query: Query, keep: Option<SampleId>) {
        let order = self.ask();
        self.queue = Queue::new(query, order);
        self.landing = keep.map_or(Landing::First, Landing::Sample);
        self.awaited.find = None;
        (self.sheet.anchor, self.sheet.awaited) = (None, None);
        if let Some(desk) = &mut self.desk {
            desk.index = None;
        }
        self.load_missing();
        self.load_groups();
        self.count();
    }

    fn load_groups(&mut self) {
        let query = &self.queue.query;
        if query.grouping != Grouping::None || query.outliers_first {
            let request = self.ask();
            self.awaited.groups = Some(request);
            self.emit(Effect::LoadGroups { request, order: self.queue.order });
        }
    }

    /// Asks anew and stays on the sample.
    pub(super) fn ask_again(&mut self, query: Query) {
        let on_desk = self.desk.as_ref().filter(|_| self.screen == Screen::Sample).map(Desk::entry);
        let keep = on_desk.or(self.queue.current()).map(|entry| entry.id.clone());
        self.ask_for(query, keep);
    }

    /// Predicts with something else from now on, and counts what flips.
    pub(super) fn use_source(&mut self, source: PredictionSource) {
        if source == self.source {
            return;
        }
        let before = std::mem::replace(&mut self.source, source.clone());
        self.before = Some((before, None));
        self.emit(Effect::UseSource(source.clone()));
        self.count_flips();
        let query = Query { source, against: None, ..self.queue.query.clone() };
        self.ask_again(query);
        if let Some(sample) = self.desk.as_ref().map(|desk| desk.entry().id.clone()) {
            self.load_sample(sample);
        }
    }

    /// Asks how many predictions differ from those of the source before.
    pub(super) fn count_flips(&mut self) {
        let Some((against, _)) = self.before.clone() else { return };
        let request = self.ask();
        self.awaited.flips = Some(request);
        self.emit(Effect::CountFlips { request, source: self.source.clone(), against });
    }

    /// Asks for the pages around the cursor that are not here.
    pub(super) fn load_missing(&mut self) {
        for page in self.queue.missing_pages() {
            let request = self.ask();
            self.queue.await_page(request, page);
            let (query, order) = (self.queue.query.clone(), self.queue.order);
            self.emit(Effect::LoadPage { request, query, order, from: page * PAGE, count: PAGE });
        }
    }

    /// Asks for a sample as it is now.
    pub(super) fn load_sample(&mut self, sample: SampleId) {
        let request = self.ask();
        self.awaited.samples.insert(request);
        self.emit(Effect::LoadSample { request, sample });
    }

    /// Puts the cursor on a row, and the row on the desk where one sample is shown.
    pub(super) fn go_to(&mut self, index: usize) {
        self.queue.put_cursor(index);
        self.load_missing();
        if self.screen == Screen::Sample {
            self.lay_current();
        }
    }

    /// Moves along the queue.
    pub(super) fn step(&mut self, backward: bool, count: usize) {
        let cursor = self.queue.cursor;
        self.go_to(if backward { cursor.saturating_sub(count) } else { cursor.saturating_add(count) });
    }

    /// Goes to the n-th undecided sample from here.
    pub(super) fn seek(&mut self, backward: bool, nth: u32) {
        let busy = |sample: &SampleId| self.history.is_deciding(sample);
        match self.queue.undecided(self.queue.cursor, backward, nth, &busy) {
            Near::Row(index) => self.go_to(index),
            Near::Beyond(from, nth) => self.find(Target::Undecided { from, backward, nth }),
            Near::Nowhere => {
                self.say(Notice::AllDecided);
                self.lay_current();
            }
        }
    }

    /// After a verdict: what is left of a spot check, what was refused, or the next undecided sample.
    pub(super) fn advance(&mut self) {
        if let Some(mut spot) = self.spot.take() {
            match spot.todo.pop_front() {
                None => self.end_spot(spot),
                Some(sample) => {
                    let entry = spot.preview.rows.iter().find(|row| row.entry.id == sample).map(|row| Arc::clone(&row.entry));
                    self.spot = Some(spot);
                    match entry {
                        Some(entry) => self.lay(entry, self.queue.place_of(&sample)),
                        None => self.advance(),
                    }
                }
            }
        } else if let Some(sample) = self.history.returns.pop_front() {
            self.open(sample);
        } else {
            self.seek(false, 1);
        }
    }

    /// Shows a sample, wherever it is.
    pub(super) fn open(&mut self, sample: SampleId) {
        self.screen = Screen::Sample;
        if let Some(index) = self.queue.place_of(&sample) {
            self.go_to(index);
        } else {
            let request = self.ask();
            self.awaited.open = Some(request);
            self.emit(Effect::LoadSample { request, sample });
        }
    }

    /// Lays the row under the cursor on the desk, unless it lies there.
    pub(super) fn lay_current(&mut self) {
        if self.screen != Screen::Sample || self.spot.is_some() {
            return;
        }
        match self.queue.current().map(Arc::clone) {
            Some(entry) => {
                let cursor = self.queue.cursor;
                match &mut self.desk {
                    Some(desk) if desk.entry().id == entry.id => desk.index = Some(cursor),
                    _ => self.lay(entry, Some(cursor)),
                }
            }
            None if self.queue.total.is_some() => self.close_desk(true),
            None => {}
        }
    }

    /// Lays a sample on the desk and asks for all that belongs to it.
    pub(super) fn lay(&mut self, entry: Arc<Entry>, index: Option<usize>) {
        self.close_desk(true);
        let sample = entry.id.clone();
        let lacking = entry.prediction.is_none();
        let mut desk = Desk::new(Arc::clone(&self.schema), entry, index);
        (desk.generation, desk.refresh) = (self.ask(), self.ask());
        let (generation, refresh) = (desk.generation, desk.refresh);
        self.desk = Some(desk);
        self.claimed_ms = self.now_ms;
        self.emit(Effect::Claim(sample.clone()));
        self.emit(Effect::LoadSample { request: refresh, sample: sample.clone() });
        let neighbours = self.neighbours();
        let ids = neighbours.iter().map(|entry| entry.id.clone());
        self.emit(Effect::Pictures { generation, samples: std::iter::once(sample.clone()).chain(ids).collect() });
        if lacking {
            self.predict(vec![sample.clone()], Priority::Now);
        }
        let unpredicted = neighbours.iter().filter(|entry| entry.prediction.is_none()).map(|entry| entry.id.clone());
        self.predict(unpredicted.collect(), Priority::Soon);
        self.emit(Effect::RememberPlace { text: self.queue.query.text.clone(), sample });
    }

    pub(super) fn predict(&mut self, samples: Vec<SampleId>, priority: Priority) {
        if !samples.is_empty() {
            self.emit(Effect::Predict { source: self.source.clone(), samples, priority });
        }
    }

    /// The samples that are probably wanted next: of a spot check its own, else the next undecided and the rows around.
    fn neighbours(&self) -> Vec<Arc<Entry>> {
        let here = self.desk.as_ref().map(|desk| desk.entry().id.clone());
        let mut found: Vec<Arc<Entry>> = Vec::new();
        let mut add = |entry: Option<&Arc<Entry>>| {
            if let Some(entry) = entry.filter(|entry| Some(&entry.id) != here.as_ref() && found.iter().all(|known| known.id != entry.id)) {
                found.push(Arc::clone(entry));
            }
        };
        if let Some(spot) = &self.spot {
            let rows = spot.preview.rows.iter().map(|row| &row.entry);
            rows.filter(|entry| spot.todo.iter().take(3).any(|id| *id == entry.id)).for_each(|entry| add(Some(entry)));
            return found;
        }
        let cursor = self.queue.cursor;
        let busy = |sample: &SampleId| self.history.is_deciding(sample);
        for nth in 1..=2 {
            if let Near::Row(index) = self.queue.undecided(cursor, false, nth, &busy) {
                add(self.queue.row(index));
            }
        }
        add(self.queue.row(cursor + 1));
        add(self.queue.row(cursor + 2));
        add(cursor.checked_sub(1).and_then(|before| self.queue.row(before)));
        found
    }

    /// Leaves the sample on the desk. What was fixed and not accepted is kept, unless a verdict has settled it.
    pub(super) fn close_desk(&mut self, keep: bool) {
        let Some(desk) = self.desk.take() else { return };
        let sample = desk.entry().id.clone();
        self.history.note_fix(&sample, desk.form.fixes());
        if keep {
            self.save(crate::review::SaveKind::Single, desk.unfinished());
        }
        self.emit(Effect::Release(sample));
    }

    /// Cursor keys of a list of rows.
    pub(super) fn move_cursor(&mut self, action: Action, count: usize) -> bool {
        let (columns, rows) = match self.screen {
            Screen::Sheet => (self.layout.sheet_columns.max(1), self.layout.sheet_rows.max(1)),
            _ => (1, self.layout.list_rows.max(1)),
        };
        let (backward, by) = match action {
            Action::Up => (true, columns),
            Action::Down => (false, columns),
            Action::Left => (true, 1),
            Action::Right => (false, 1),
            Action::PageUp => (true, columns * rows),
            Action::PageDown => (false, columns * rows),
            Action::First => (true, usize::MAX),
            Action::Last => (false, usize::MAX),
            _ => return false,
        };
        self.step(backward, by.saturating_mul(count));
        true
    }
}
