//! Predictions while somebody reviews: what the screen asks for, put to the worker; what was stored, told to the screen.

use std::io::Error;
use std::sync::Arc;

use super::predict::{Office, Predicting, Seers, Work};
use super::watch::{Bell, Watch};
use super::{Background, Premises, Report};
use crate::domain::{PredictionSource, SampleId};
use crate::review::{Message, Priority};
use crate::store::{Order, Store};

/// What stands between the clerk and the worker.
pub(super) struct Foreteller {
    /// Ends before the watch does, so that its last predictions are told.
    predicting: Predicting,
    bell: Arc<Bell>,
    _watch: Watch,
    source: PredictionSource,
    /// Whether predictions are made without being asked for.
    on: bool,
    /// The task of the whole queue.
    queue: Option<u64>,
}

impl Foreteller {
    pub(super) fn start(premises: &Premises, background: &Background, report: &Report) -> std::io::Result<Self> {
        let project = &premises.project;
        let store = Store::open_read_only(&project.dir, project.schema()).map_err(Error::other)?;
        let source = background.source.clone();
        let watch = Watch::start(store, source.clone(), Arc::clone(report)).map_err(Error::other)?;
        let (bell, ring) = (watch.bell(), watch.bell());
        let stored = Arc::new(move || ring.ring());
        let office = Office::new(project.dir.clone(), Arc::clone(project.schema()), &premises.who, true, stored);
        let seers = Seers {
            project: Arc::clone(project),
            folders: Arc::clone(&premises.folders),
            compute: background.compute,
            batch: None,
            screen: true,
        };
        let report = Arc::clone(report);
        let tell = Arc::new(move |job| report(Message::Job(job)));
        let predicting = Predicting::start(office, source.clone(), seers, tell)?;
        Ok(Self { predicting, bell, _watch: watch, source, on: background.on, queue: None })
    }

    /// What predicts.
    pub(super) fn source(&self) -> &PredictionSource {
        &self.source
    }

    /// The queue shows other samples, or in another order: those without predictions are predicted, in that order.
    pub(super) fn order(&mut self, order: &Order) {
        let task = self.predicting.add(self.title(), Work::Order(Arc::new(order.clone())));
        if !self.on {
            self.predicting.cancel(task);
        }
        self.queue = Some(task);
    }

    /// Predicts with something else from now on.
    pub(super) fn use_source(&mut self, source: PredictionSource) {
        self.bell.watch(source.clone());
        self.predicting.use_source(source.clone());
        self.source = source;
    }

    /// What is on the screen comes without being asked for, unless the reviewer has stopped that.
    pub(super) fn want(&self, priority: Priority, samples: Vec<SampleId>) {
        match priority {
            Priority::Selected => drop(self.predicting.add(format!("{} ({})", self.title(), samples.len()), Work::Samples(samples))),
            Priority::Now | Priority::Soon if self.on => self.predicting.want(priority, samples),
            Priority::Now | Priority::Soon => {}
        }
    }

    /// Gives the model's memory back and predicts nothing, until it is told otherwise.
    pub(super) fn rest(&self, rests: bool) {
        self.predicting.rest(rests);
    }

    /// Whether predictions are made without being asked for.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Goes on with the queue from this place on.
    pub(super) fn look_at(&self, place: usize) {
        self.predicting.look_at(place as u32);
    }

    /// Stops a job; with that of the whole queue, everything that is not asked for.
    pub(super) fn cancel(&mut self, job: u64) {
        self.on &= self.queue != Some(job);
        self.predicting.cancel(job);
    }

    /// Puts a job before the others, or takes it up again.
    pub(super) fn raise(&mut self, job: u64) {
        self.on |= self.queue == Some(job);
        self.predicting.raise(job);
    }

    fn title(&self) -> String {
        let adapter = self.source.adapter.as_ref().map(|name| format!(" + {name}")).unwrap_or_default();
        format!("{}{adapter} {}", self.source.model, self.source.kind)
    }
}
