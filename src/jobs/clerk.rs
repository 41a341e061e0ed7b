//! The clerk at the store: takes effects one after the other and answers each.

mod learning;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use super::foretell::Foreteller;
use super::grouping::{self, Groups};
use super::memory::Place;
use super::predict::{Compute, Shelf};
use super::{Call, Premises, Report, convert, figures, save};
use crate::conversation::{Conversation, Turn};
use crate::domain::{self, Exemplar, Filter, Kind, Label, PredictionSource, SampleId};
use crate::review::{Counts, Effect, Entry, Message, Query, RequestId, Sources, Target};
use crate::store::{Order, SampleView, Store, StoreError};
use learning::Learning;

/// How many orders are kept: the one on the screen and those that answers may still be asked about.
const MOST_ORDERS: usize = 4;
/// How many samples an undo lists.
const MOST_LISTED: usize = 500;
/// Up to so many samples are told apart by how two sources predict them: each is read once.
const MOST_COMPARED: usize = 50_000;
/// How many samples are read at a time.
const CHUNK: usize = 1000;

pub(super) struct Clerk {
    premises: Premises,
    store: Store,
    report: Report,
    orders: BTreeMap<RequestId, (Query, Order)>,
    groups: BTreeMap<RequestId, Groups>,
    foreteller: Foreteller,
    learning: Learning,
    /// What is trained while nothing is predicted.
    resting: Option<String>,
}

impl Clerk {
    pub(super) fn start(
        premises: Premises,
        store: Store,
        foreteller: Foreteller,
        compute: Compute,
        report: Report,
        calls: Sender<Call>,
    ) -> std::io::Result<Self> {
        let learning = Learning::start(&premises.project.dir, premises.launch.clone(), compute, calls)?;
        let (orders, groups) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { premises, store, report, orders, groups, foreteller, learning, resting: None })
    }

    pub(super) fn handle(&mut self, call: Call) {
        let answer = match call {
            Call::Effect(effect) => self.answer(effect),
            Call::Seen(seen, progress) => self.seen(*seen, &progress).map(|()| None),
            Call::Begun { arguments, begun } => {
                self.begun(arguments, begun);
                Ok(None)
            }
            Call::Predicted => {
                self.predicted();
                Ok(None)
            }
            Call::End => Ok(None),
        };
        match answer {
            Ok(Some(message)) => (self.report)(message),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the store did not do what the screen asked for");
                (self.report)(Message::Error(error.to_string()));
            }
        }
    }

    fn answer(&mut self, effect: Effect) -> Result<Option<Message>, StoreError> {
        Ok(Some(match effect {
            Effect::LoadPage { request, query, order, from, count } => {
                let new = !self.orders.contains_key(&order);
                self.put_in_order(query, order)?;
                if let Some((_, order)) = self.orders.get(&order).filter(|_| new) {
                    self.foreteller.order(order);
                }
                let rows = self.rows(order, from, count)?;
                Message::Page { request, from, total: self.orders.get(&order).map_or(0, |(_, order)| order.len()), rows }
            }
            Effect::LoadAll { request, order, most } => {
                let all = self.orders.get(&order).map_or(0, |(_, order)| order.len());
                Message::All { request, rows: if all <= most { Some(self.rows(order, 0, all)?) } else { None } }
            }
            Effect::LoadGroups { request, order } => {
                let Groups { groups, problem } = self.groups.remove(&order).unwrap_or_default();
                Message::Groups { request, groups, problem }
            }
            Effect::Find { request, order, target } => Message::Found { request, index: self.find(order, &target)? },
            Effect::LoadSample { request, sample } => {
                let entry = match self.store.sample(&sample) {
                    Ok(view) => self.entries(vec![view])?.pop().map(Box::new),
                    Err(StoreError::UnknownSample(_)) => None,
                    Err(error) => return Err(error),
                };
                Message::Sample { request, entry }
            }
            Effect::Save { save, kind, decisions } => {
                save::save(&mut self.store, &self.premises.who, &self.premises.folders, save, kind, decisions)
            }
            Effect::Undo { request } => self.step(request, true)?,
            Effect::Redo { request } => self.step(request, false)?,
            Effect::Claim(sample) => return self.claim(&sample),
            Effect::Renew(sample) => match self.store.renew(&self.session(&sample))? {
                0 => return self.claim(&sample),
                _ => return Ok(None),
            },
            Effect::Release(sample) => {
                self.store.release(&self.session(&sample))?;
                return Ok(None);
            }
            Effect::UseSource(source) => {
                self.store.adopt_source(&source)?;
                self.note_use(&source);
                self.foreteller.use_source(source);
                return Ok(None);
            }
            Effect::Predict { samples, priority, .. } => {
                self.foreteller.want(priority, samples);
                return Ok(None);
            }
            Effect::Export { folder } => {
                self.export(&folder);
                return Ok(None);
            }
            Effect::Train { name, options } => {
                self.train(&name, options);
                return Ok(None);
            }
            Effect::CancelJob(job) => {
                if !self.cancel_learning(job) {
                    self.foreteller.cancel(job);
                }
                return Ok(None);
            }
            Effect::RaiseJob(job) => {
                if !self.raise_learning(job) {
                    self.foreteller.raise(job);
                }
                return Ok(None);
            }
            Effect::CountFlips { request, source, against } => {
                self.aside(move |store| Ok(Message::Flips { request, count: figures::count_flips(store, &source, &against)? }));
                return Ok(None);
            }
            Effect::ListSources => Message::Sources(self.sources()?),
            Effect::Count { request, order } => Message::Counts { request, counts: self.counts(order)? },
            Effect::LoadStats { request, .. } => {
                self.aside(move |store| Ok(Message::Stats { request, stats: Box::new(figures::statistics(store, now_ms())?) }));
                return Ok(None);
            }
            Effect::ListViews => Message::Views(self.premises.memory.views()),
            Effect::SaveView { name, text } => match self.premises.memory.keep_view(name, text) {
                Ok(()) => Message::Views(self.premises.memory.views()),
                Err(error) => Message::Error(error.to_string()),
            },
            Effect::Compose { request, sample, label } => {
                Message::Composed { request, outcome: self.compose(&sample, &label).map(Box::new) }
            }
            Effect::RememberPlace { text, sample } => {
                if let Some((_, (_, order))) = self.orders.last_key_value()
                    && let Some(place) = self.store.place_in(order, &sample)?
                {
                    self.foreteller.look_at(place);
                }
                // Coming back to the first sample instead is no loss worth a message.
                let _ = self.premises.memory.keep_place(Place { filter: text, sample });
                return Ok(None);
            }
            Effect::RememberSettings { language, theme } => match self.premises.memory.keep_settings(language, theme) {
                Ok(()) => return Ok(None),
                Err(error) => Message::Error(error.to_string()),
            },
            // Pictures, the terminal and the end are the screen's own.
            Effect::Pictures { .. } | Effect::Suspend | Effect::Quit => return Ok(None),
        }))
    }

    /// Samples as rows of the queue.
    fn entries(&self, views: Vec<SampleView>) -> Result<Vec<Entry>, StoreError> {
        self.with_ours(views.into_iter().map(|view| convert::entry(view, &self.premises.who.reviewer)).collect())
    }

    /// The same rows with what our source says: another reviewer may have put another one to use.
    fn with_ours(&self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, StoreError> {
        let ours = self.foreteller.source();
        if self.store.active_source()?.as_ref() != Some(ours) {
            for entry in &mut entries {
                entry.prediction = self.store.predictions(&entry.id)?.into_iter().find(|prediction| prediction.source == *ours);
            }
        }
        Ok(entries)
    }

    /// Makes a query's order, if this number has none yet.
    fn put_in_order(&mut self, query: Query, number: RequestId) -> Result<(), StoreError> {
        if self.orders.contains_key(&number) {
            return Ok(());
        }
        self.put_to_use(&query.source)?;
        let mut order = self.store.order(&query.filter)?;
        let few = order.len() <= MOST_COMPARED;
        if let Some(against) = query.against.as_ref().filter(|_| few) {
            let mut flipped = Vec::with_capacity(order.len());
            for from in (0..order.len()).step_by(CHUNK) {
                for view in self.store.views(&order, from, CHUNK)? {
                    flipped.push(figures::flips(&self.store, &view.sample.id, &query.source, against)?);
                }
            }
            order.retain(|index| flipped.get(index).copied().unwrap_or_default());
        }
        let groups = grouping::group(&self.store, &query, &mut order)?;
        // They are asked for once, right behind the order's first page.
        self.groups.clear();
        self.groups.insert(number, groups);
        while self.orders.len() >= MOST_ORDERS {
            self.orders.pop_first();
        }
        self.orders.insert(number, (query, order));
        Ok(())
    }

    /// Lists, filters and forms show the predictions of this source, if it has made any.
    fn put_to_use(&mut self, source: &PredictionSource) -> Result<(), StoreError> {
        // Where nothing may be written, what the last reviewer used stays in use.
        if self.store.is_read_only() || self.store.active_source()?.as_ref() == Some(source) {
            return Ok(());
        }
        match self.store.set_active_source(source) {
            Err(StoreError::UnknownSource(_)) => Ok(()),
            done => done,
        }
    }

    fn rows(&self, order: RequestId, from: usize, count: usize) -> Result<Vec<Entry>, StoreError> {
        let Some((_, order)) = self.orders.get(&order) else { return Ok(Vec::new()) };
        self.entries(self.store.views(order, from, count)?)
    }

    fn find(&self, order: RequestId, target: &Target) -> Result<Option<usize>, StoreError> {
        let Some((_, order)) = self.orders.get(&order) else { return Ok(None) };
        let (from, backward, nth) = match target {
            Target::Sample(sample) => return self.store.place_in(order, sample),
            Target::Undecided { from, backward, nth } => (*from, *backward, (*nth).max(1)),
        };
        let total = order.len();
        let (mut seen, mut left) = (0, nth);
        while seen < total {
            // Once round, from the place after (or before) the given one; in chunks that do not cross the end.
            let (start, count) = if backward {
                let end = (from.min(total) + total - seen - 1) % total + 1;
                let count = CHUNK.min(end).min(total - seen);
                (end - count, count)
            } else {
                let start = (from + 1 + seen) % total;
                (start, CHUNK.min(total - start).min(total - seen))
            };
            let mut states: Vec<(usize, domain::State)> =
                self.store.views(order, start, count)?.into_iter().enumerate().map(|(at, view)| (start + at, view.state)).collect();
            if backward {
                states.reverse();
            }
            for (index, state) in states {
                if state == domain::State::Undecided {
                    left -= 1;
                    if left == 0 {
                        return Ok(Some(index));
                    }
                }
            }
            seen += count;
        }
        Ok(None)
    }

    fn step(&mut self, request: RequestId, undo: bool) -> Result<Message, StoreError> {
        let mut outcome = save::step(&mut self.store, &self.premises.who, undo, MOST_LISTED);
        if let Ok(back) = &mut outcome {
            back.entries = self.with_ours(std::mem::take(&mut back.entries))?;
        }
        Ok(Message::Reverted { request, outcome })
    }

    /// The name under which this process holds a sample.
    fn session(&self, sample: &SampleId) -> String {
        format!("review {} {} {sample}", self.premises.who.host, std::process::id())
    }

    fn claim(&mut self, sample: &SampleId) -> Result<Option<Message>, StoreError> {
        let me = &self.premises.who.reviewer;
        let quoted = format!("id=\"{}\"", sample.as_str().replace('\\', "\\\\").replace('"', "\\\""));
        let Ok(filter) = Filter::parse(self.store.schema(), &quoted) else { return Ok(None) };
        let session = self.session(sample);
        if self.store.claim_next(&filter, me, &session)?.is_some() {
            return Ok(None);
        }
        let claim = match self.store.sample(sample) {
            Ok(view) => view.claim,
            Err(_) => None,
        };
        let by = claim.map(|claim| claim.reviewer).filter(|by| by != me);
        Ok(by.map(|by| Message::ClaimLost { sample: sample.clone(), by }))
    }

    /// What has predicted here, and what could.
    fn sources(&self) -> Result<Sources, StoreError> {
        let shelf = Shelf::new(&self.premises.project.dir);
        let instructions = &self.premises.project.recipe.instructions;
        let mut sources = Sources {
            models: shelf.all_models(&self.store)?,
            adapters: shelf.all_adapters(&self.store)?,
            instructions: vec![instructions.identity()],
        };
        sources.instructions.extend(instructions.texts.iter().map(|text| format!("{}/{}", text.version, text.language)));
        for known in self.store.sources()? {
            sources.models.push(known.source.model);
            sources.adapters.extend(known.source.adapter);
            sources.instructions.push(known.source.instruction);
        }
        for list in [&mut sources.models, &mut sources.adapters, &mut sources.instructions] {
            list.sort();
            list.dedup();
        }
        Ok(sources)
    }

    fn counts(&self, order: RequestId) -> Result<Counts, StoreError> {
        let Some((query, order)) = self.orders.get(&order) else { return Ok(Counts::default()) };
        let count = |text: &str| {
            let mut filter = query.filter.clone();
            match Filter::parse(self.store.schema(), text) {
                Ok(also) => filter.terms.extend(also.terms),
                Err(_) => return Ok(0),
            }
            self.store.count(&filter)
        };
        Ok(Counts {
            total: order.len() as u64,
            undecided: count("state=undecided")?,
            approved: count("state=approved")?,
            rejected: count("state=rejected")?,
            flagged: count("flagged")?,
        })
    }

    fn compose(&self, sample: &SampleId, label: &Label) -> Result<Conversation, String> {
        let view = self.store.sample(sample).map_err(|error| error.to_string())?;
        let recipe = &self.premises.project.recipe;
        let image_type = view.image_type(self.premises.project.schema(), label);
        let kinds = self.premises.project.plan.kinds(recipe.seed, view.sample.ordinal, sample);
        let kind = kinds.first().copied().unwrap_or(Kind::ZeroShot);
        let mut conversation = recipe.prompt(&view.sample, image_type, kind, Exemplar::Right).map_err(|error| error.to_string())?;
        let answer: Turn = recipe.answer_turn(label).map_err(|error| error.to_string())?;
        conversation.turns.push(answer);
        Ok(conversation)
    }

    /// Work that takes long and only reads, on a thread with a store of its own.
    fn aside(&self, work: impl FnOnce(&Store) -> Result<Message, StoreError> + Send + 'static) {
        let (project, report) = (Arc::clone(&self.premises.project), Arc::clone(&self.report));
        std::thread::spawn(move || {
            let done = Store::open_read_only(&project.dir, project.schema()).and_then(|store| work(&store));
            report(done.unwrap_or_else(|error| Message::Error(error.to_string())));
        });
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
