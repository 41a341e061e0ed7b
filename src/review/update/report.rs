//! What work reports.

use std::sync::Arc;

use crate::domain::{Prediction, SampleId};
use crate::review::history::Flight;
use crate::review::state::{Landing, Overlay, Page, Screen};
use crate::review::{
    Desk, Entry, Job, JobKind, JobState, Message, Notice, Reason, Refusal, RequestId, Reverted, Revision, SaveId, SaveKind, State, Target,
};

/// How many refusals of a batch are named.
const NAMED: usize = 3;

impl State {
    pub(super) fn report(&mut self, message: Message) {
        match message {
            Message::Page { request, from, total, rows } => self.page(request, from, total, rows),
            Message::All { request, rows } => self.all(request, rows),
            Message::Groups { request, groups, problem } => {
                if self.awaited.groups == Some(request) {
                    self.queue.groups = groups;
                    if let Some(problem) = problem {
                        self.say(Notice::Ungrouped(problem));
                    }
                }
            }
            Message::Found { request, index } => self.found(request, index),
            Message::Sample { request, entry } => self.sample(request, entry),
            Message::Picture { generation, sample, role, outcome } => {
                let desk = self.desk.as_mut().filter(|desk| desk.generation == generation && desk.entry().id == sample);
                if let Some(desk) = desk {
                    desk.picture(role, outcome);
                }
            }
            Message::Predicted { sample, prediction } => self.predicted(&sample, &prediction),
            Message::Saved { save, applied, revision, refused, .. } => self.saved(save, &applied, revision, refused),
            Message::SaveFailed { save, error } => {
                self.history.failed(save);
                self.say(Notice::NotSaved(error));
            }
            Message::Reverted { request, outcome } => self.reverted(request, outcome),
            Message::Counts { request, counts } => {
                if self.awaited.counts == Some(request) {
                    self.queue.counts = Some(counts);
                }
            }
            Message::Stats { request, stats } => {
                if self.stats.awaited == Some(request) {
                    self.stats.tab = self.stats.tab.min(stats.fields.len().saturating_sub(1));
                    self.stats.figures = Some(*stats);
                    self.stats.go_to(self.stats.cell.0, self.stats.cell.1);
                }
            }
            Message::Views(views) => self.views = views,
            Message::Sources(sources) => self.sources = sources,
            Message::Flips { request, count } => {
                if self.awaited.flips == Some(request)
                    && let Some((_, flips)) = &mut self.before
                {
                    *flips = Some(count);
                    self.say(Notice::Flips(count));
                }
            }
            Message::Composed { request, outcome } => {
                if self.awaited.compose == Some(request)
                    && let Some(Overlay::Reader(Page::Conversation(page) | Page::Instruction(page), _)) = &mut self.overlay
                {
                    *page = Some(outcome);
                }
            }
            Message::Job(job) => self.job(job),
            Message::Exported(outcome) => self.say(Notice::Exported(outcome.map(|exported| *exported))),
            Message::TrainingBegun(outcome) => self.say(Notice::TrainingBegun(outcome)),
            Message::TrainingEnded { name, ending } => self.say(Notice::TrainingEnded(name, ending)),
            Message::Resting(name) => self.resting = name,
            Message::Changed(changed) => self.changed(*changed),
            Message::ClaimLost { sample, by } => {
                if self.desk.as_ref().is_some_and(|desk| desk.entry().id == sample) {
                    self.say(Notice::ClaimLost(by));
                }
            }
            Message::Error(text) => self.say(Notice::Said(text)),
        }
    }

    /// A job that is over has predicted what it could: only now is it known how many predictions flip.
    fn job(&mut self, job: Job) {
        let told = self.tasks.jobs().iter().any(|known| known.id == job.id && known.state == job.state);
        let is_over = job.kind == JobKind::Predict && !matches!(job.state, JobState::Waiting | JobState::Running);
        self.tasks.learn(job);
        if is_over && !told {
            self.count_flips();
        }
    }

    fn page(&mut self, request: RequestId, from: usize, total: usize, rows: Vec<Entry>) {
        let is_first = self.queue.total.is_none();
        if !self.queue.take(request, from, total, rows) {
            return;
        }
        match (is_first, std::mem::replace(&mut self.landing, Landing::First)) {
            (true, Landing::Sample(sample)) => self.find(Target::Sample(sample)),
            // While a place is looked for, the first rows are not where the reviewer is.
            _ if self.awaited.find.is_some() => {}
            (true, Landing::First) => self.go_to(0),
            (false, _) if self.desk.is_none() => self.lay_current(),
            (false, _) => {}
        }
    }

    fn all(&mut self, request: RequestId, rows: Option<Vec<Entry>>) {
        let Some((_, whole)) = self.sheet.awaited.filter(|(awaited, _)| *awaited == request) else { return };
        match rows {
            Some(rows) => self.sheet.whole(whole, rows.into_iter().map(Arc::new)),
            None => self.say(Notice::TooMany(crate::review::MOST_SELECTED)),
        }
    }

    fn found(&mut self, request: RequestId, index: Option<usize>) {
        let Some((_, nowhere)) = self.awaited.find.take_if(|(awaited, _)| *awaited == request) else { return };
        if let Some(index) = index {
            self.go_to(index);
            return;
        }
        // What was looked for is not in this order: the reviewer stays where something is.
        self.say(nowhere);
        if self.desk.is_none() {
            self.go_to(self.queue.cursor);
        }
    }

    fn sample(&mut self, request: RequestId, entry: Option<Box<Entry>>) {
        let is_awaited = self.awaited.samples.remove(&request) || self.desk.as_ref().is_some_and(|desk| desk.refresh == request);
        let is_opened = self.awaited.open == Some(request);
        if is_opened {
            self.awaited.open = None;
        }
        let Some(entry) = entry.map(|entry| Arc::new(*entry)).filter(|_| is_awaited || is_opened) else { return };
        self.learn(&entry);
        if is_opened && self.desk.as_ref().is_none_or(|desk| desk.entry().id != entry.id) {
            self.lay(entry, None);
        }
    }

    /// A sample as it is now: shown wherever it stands, its place and its selection unchanged.
    fn learn(&mut self, entry: &Arc<Entry>) {
        self.queue.replace(entry);
        self.sheet.replace(entry);
        let preview = match (&mut self.overlay, &mut self.spot) {
            (Some(Overlay::Preview(preview)), _) => Some(preview),
            (_, Some(spot)) => Some(&mut spot.preview),
            _ => None,
        };
        if let Some(preview) = preview {
            preview.note_change(entry);
        }
        if let Some(desk) = self.desk.as_mut().filter(|desk| desk.entry().id == entry.id && desk.entry().revision <= entry.revision) {
            desk.learn(Arc::clone(entry));
        }
    }

    fn predicted(&mut self, sample: &SampleId, prediction: &Prediction) {
        if prediction.source != self.source {
            return;
        }
        self.queue.outdated |= self.queue.query.follows_predictions();
        let on_desk = self.desk.as_ref().map(Desk::entry).filter(|entry| entry.id == *sample);
        let in_queue = self.queue.place_of(sample).and_then(|place| self.queue.row(place));
        if let Some(known) = on_desk.or(in_queue) {
            let entry = Entry { prediction: Some(prediction.clone()), ..Entry::clone(known) };
            self.learn(&Arc::new(entry));
        }
    }

    fn saved(&mut self, save: SaveId, applied: &[SampleId], revision: Revision, refused: Vec<Refusal>) {
        let Some(flight) = self.history.landed(save) else { return };
        self.history.rebase(applied, revision);
        self.apply(&flight, applied, revision);
        match flight.kind {
            SaveKind::Batch => {
                self.sheet.remove(applied);
                let left = refused.len();
                let named = refused.iter().take(NAMED).map(|refusal| (refusal.sample.clone(), refusal.reason.clone())).collect();
                self.say(Notice::BatchSaved { applied: applied.len(), refused: named, left });
                for refusal in refused {
                    self.load_sample(refusal.sample);
                }
            }
            SaveKind::Single => {
                for refusal in refused {
                    self.refused(refusal);
                }
            }
        }
        let sent = self.history.send_waiting();
        self.emit_all(sent);
        self.count();
        self.come_back();
        self.quit_if_saved();
    }

    /// What is durable now is shown as such.
    fn apply(&mut self, flight: &Flight, applied: &[SampleId], revision: Revision) {
        for decision in flight.decisions.iter().filter(|decision| applied.contains(&decision.sample)) {
            let (schema, by) = (Arc::clone(&self.schema), self.reviewer.clone());
            let after = |entry: &Entry| entry.after(&schema, &decision.change, revision, &by);
            let row = self.queue.place_of(&decision.sample).and_then(|place| self.queue.row(place));
            let picked = self.sheet.picked().find(|entry| entry.id == decision.sample);
            if let Some(entry) = row.or(picked).map(|entry| Arc::new(after(entry))) {
                self.queue.replace(&entry);
                self.sheet.replace(&entry);
            }
            if let Some(desk) = self.desk.as_mut().filter(|desk| desk.entry().id == decision.sample) {
                desk.own_change(after);
            }
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        let Refusal { sample, reason } = refusal;
        self.quitting = false;
        if let Reason::Stale { .. } = reason {
            self.load_sample(sample.clone());
        }
        if !self.history.returns.contains(&sample) {
            self.history.returns.push_back(sample.clone());
        }
        self.say(Notice::Refused { sample, reason });
    }

    /// Goes back to a sample whose decision was refused, unless the reviewer is in the middle of something else.
    fn come_back(&mut self) {
        let is_free = self.overlay.is_none() && self.spot.is_none() && self.screen == Screen::Sample;
        let is_busy = self.desk.as_ref().is_some_and(|desk| desk.form.is_touched() || desk.editor.as_ref().is_some_and(|e| !e.is_idle()));
        if is_free
            && !is_busy
            && let Some(sample) = self.history.returns.pop_front()
        {
            self.open(sample);
        }
    }

    fn reverted(&mut self, request: RequestId, outcome: Result<Box<Reverted>, String>) {
        if !self.awaited.reverts.remove(&request) {
            return;
        }
        match outcome.map(|reverted| *reverted) {
            Ok(Reverted { entries, samples, refused }) => {
                self.say(Notice::Reverted { samples, refused: refused.len() });
                let first = entries.first().map(|entry| entry.id.clone());
                for entry in entries {
                    self.learn(&Arc::new(entry));
                }
                if let Some(sample) = first.filter(|_| self.screen == Screen::Sample && self.overlay.is_none() && self.spot.is_none()) {
                    self.open(sample);
                }
                self.count();
            }
            Err(why) => self.say(Notice::Said(why)),
        }
    }
}
