//! The predictions of what was trained last, made beside those of what is in use.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::predict::{Compute, Office, Predicting, Seers, Work};
use super::{Call, Premises, Report};
use crate::domain::PredictionSource;
use crate::review::{Job, JobState, Message};
use crate::store::Order;

/// Its jobs have numbers of their own from here on.
const NEW: u64 = 1 << 32;

/// A worker of its own, for one order. Dropping this ends it.
pub(super) struct Changes {
    name: String,
    source: PredictionSource,
    predicting: Predicting,
    task: u64,
}

impl Changes {
    /// Predicts with what was trained, called so; the clerk is called when that is over.
    pub(super) fn start(
        premises: &Premises,
        compute: Compute,
        (name, source): (&str, PredictionSource),
        order: Order,
        report: &Report,
        calls: Sender<Call>,
    ) -> io::Result<Self> {
        let project = &premises.project;
        let office = Office::new(project.dir.clone(), Arc::clone(project.schema()), &premises.who, true, Arc::new(|| {}));
        let seers = Seers { project: Arc::clone(project), folders: Arc::clone(&premises.folders), compute, batch: None, screen: true };
        let report = Arc::clone(report);
        let tell = Arc::new(move |job: Job| {
            let over = matches!(job.state, JobState::Done | JobState::Failed);
            report(Message::Job(Job { id: NEW + job.id, ..job }));
            if over {
                // After the end nobody listens.
                let _ = calls.send(Call::Predicted);
            }
        });
        let predicting = Predicting::start(office, source.clone(), seers, tell)?;
        let title = source.adapter.as_ref().map_or_else(|| source.model.clone(), |adapter| format!("{} + {adapter}", source.model));
        let task = predicting.add(format!("{title} {}", source.kind), Work::Order(Arc::new(order)));
        Ok(Self { name: name.to_owned(), source, predicting, task })
    }

    /// What was trained, and what it predicts as.
    pub(super) fn of(&self) -> (String, PredictionSource) {
        (self.name.clone(), self.source.clone())
    }

    /// Stops predicting, if the job is its own.
    pub(super) fn cancel(&self, job: u64) -> bool {
        let own = job == NEW + self.task;
        if own {
            self.predicting.cancel(self.task);
        }
        own
    }

    /// Goes on predicting, if the job is its own.
    pub(super) fn raise(&self, job: u64) -> bool {
        let own = job == NEW + self.task;
        if own {
            self.predicting.raise(self.task);
        }
        own
    }
}
