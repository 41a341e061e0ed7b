//! The clerk and the other half of the loop: training sets, trainings, and the predictions of what was trained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use super::super::changes::Changes;
use super::super::export::{self, Exporting};
use super::super::predict::{Compute, Shelf};
use super::super::training::{self, Begun, Launch, TRAINING, Watch};
use super::super::{Call, figures};
use super::Clerk;
use crate::domain::{Filter, PredictionSource};
use crate::export::Format;
use crate::review::{Changed, Ending, Exported, Job, JobKind, JobState, Message};
use crate::store::{Order, Store, StoreError};
use crate::train::Progress;
use crate::train::lock::{self, Seen, Stand, Training};

/// The number of the first export among the jobs.
const EXPORT: u64 = 1 << 41;
/// Between two reports of an export, in samples.
const TOLD: u64 = 50;

/// What the clerk knows of trainings, and what it has begun itself.
pub(super) struct Learning {
    launch: Launch,
    compute: Compute,
    calls: Sender<Call>,
    _watch: Watch,
    /// The training as it was told last.
    shown: Option<Seen>,
    /// What predicts with what was trained last.
    changes: Option<Changes>,
    /// What was trained last, and its training's id: when it is put to use, it has been seen.
    offered: Option<(PredictionSource, String)>,
    exports: Vec<JoinHandle<()>>,
}

impl Learning {
    pub(super) fn start(project: &Path, launch: Launch, compute: Compute, calls: Sender<Call>) -> std::io::Result<Self> {
        let watch = Watch::start(project, calls.clone())?;
        Ok(Self { launch, compute, calls, _watch: watch, shown: None, changes: None, offered: None, exports: Vec::new() })
    }
}

impl Drop for Learning {
    fn drop(&mut self) {
        // What was begun is finished: a training set is wanted even by whoever leaves.
        for export in self.exports.drain(..) {
            let _ = export.join();
        }
    }
}

impl Clerk {
    /// Writes the training set on a thread of its own.
    pub(super) fn export(&mut self, folder: &str) {
        let (premises, report) = (self.premises.clone(), Arc::clone(&self.report));
        let out: PathBuf = premises.project.dir.join(folder);
        let id = EXPORT + self.learning.exports.len() as u64;
        let title = folder.to_owned();
        let thread = std::thread::spawn(move || {
            let project = &premises.project;
            let job = |state, done, total, problem| Job {
                id,
                kind: JobKind::Export,
                title: title.clone(),
                state,
                done,
                total,
                per_second: None,
                left_s: None,
                memory: None,
                problem,
            };
            let write = || -> Result<(u64, Exported), String> {
                let store = Store::open_read_only(&project.dir, project.schema()).map_err(|error| error.to_string())?;
                let total = store.stats().map_err(|error| error.to_string())?.approved;
                report(Message::Job(job(JobState::Running, 0, Some(total), None)));
                let wanted = Exporting { out: &out, format: Format::Messages, sampling: project.plan, split: None, hard_links: false };
                let progress = |done: u64| {
                    if done.is_multiple_of(TOLD) {
                        report(Message::Job(job(JobState::Running, done, Some(total), None)));
                    }
                };
                let set = export::export(project, &store, &premises.folders, wanted, &progress).map_err(|error| error.to_string())?;
                Ok((total, told(set)))
            };
            match write() {
                Ok((total, exported)) => {
                    report(Message::Job(job(JobState::Done, total, Some(total), None)));
                    report(Message::Exported(Ok(Box::new(exported))));
                }
                Err(why) => {
                    tracing::error!(why, "no training set was written");
                    report(Message::Job(job(JobState::Failed, 0, None, Some(why.clone()))));
                    report(Message::Exported(Err(why)));
                }
            }
        });
        self.learning.exports.push(thread);
    }

    /// Begins the training of an adapter over the model in use.
    pub(super) fn train(&self, name: &str, options: Vec<String>) {
        let model = self.foreteller.source().model.clone();
        let arguments = ["--lora", "--from", &model, "--out", name].map(str::to_owned).into_iter().chain(options);
        training::begin(&self.learning.launch, arguments.collect(), &self.learning.calls);
    }

    pub(super) fn begun(&self, arguments: Vec<String>, begun: Begun) {
        let name = arguments.iter().skip_while(|argument| *argument != "--out").nth(1).cloned().unwrap_or_default();
        match &begun {
            Ok(training) => tracing::info!(training, name, "training begun from the review"),
            Err(problem) => tracing::error!(name, problem, "the training could not begin"),
        }
        let begun = begun.map(|id| {
            // Without it, it cannot be taken up again from here; the shell can.
            let _ = self.premises.memory.keep_training(id, arguments);
            name
        });
        (self.report)(Message::TrainingBegun(begun));
    }

    /// Asks the training to stop, or stops predicting with what was trained.
    pub(super) fn cancel_learning(&self, job: u64) -> bool {
        if job == TRAINING {
            if let Some(Seen { training, alive: true }) = &self.learning.shown
                && let Err(error) = lock::ask_to_stop(&self.premises.project.dir, &training.id)
            {
                (self.report)(Message::Error(error.to_string()));
            }
            return true;
        }
        self.learning.changes.as_ref().is_some_and(|changes| changes.cancel(job))
    }

    /// Takes up a training again that was stopped, with the options that it was begun with from here.
    pub(super) fn raise_learning(&self, job: u64) -> bool {
        if job != TRAINING {
            return self.learning.changes.as_ref().is_some_and(|changes| changes.raise(job));
        }
        if let Some(Seen { training, alive: false }) = &self.learning.shown
            && !matches!(training.stand, Stand::Finished { .. })
        {
            match self.premises.memory.training(&training.id) {
                Some(mut arguments) => {
                    if arguments.iter().all(|argument| argument != "--resume") {
                        arguments.push("--resume".to_owned());
                    }
                    training::begin(&self.learning.launch, arguments, &self.learning.calls);
                }
                None => (self.report)(Message::TrainingBegun(Err(format!(
                    "{} was not begun here; go on with 'mekiki train --resume' and the options that it was begun with",
                    training.name
                )))),
            }
        }
        true
    }

    /// The training stands otherwise.
    pub(super) fn seen(&mut self, seen: Seen, progress: &Progress) -> Result<(), StoreError> {
        (self.report)(Message::Job(training::job(&seen, progress, self.premises.who.reviewer.as_str())));
        let Seen { training, alive } = seen.clone();
        let before = self.learning.shown.replace(seen);
        if alive {
            self.learning.offered = None;
            self.learning.changes = None;
            self.rest((!training.beside).then(|| training.name.clone()));
            return Ok(());
        }
        let known = before.as_ref().is_some_and(|before| before.training.id == training.id && !before.alive);
        if known {
            return Ok(());
        }
        self.rest(None);
        let name = training.name.clone();
        let tell = |ending| (self.report)(Message::TrainingEnded { name: name.clone(), ending });
        match &training.stand {
            Stand::Finished { .. } => return self.trained(&training),
            // What ended before this review began is no news.
            _ if before.is_none() => {}
            Stand::Stopped { steps } => tell(Ending::Stopped(*steps)),
            Stand::Failed { problem } => tell(Ending::Failed(problem.clone())),
            Stand::Preparing | Stand::Running => tell(Ending::Failed(training::silent(progress.step))),
        }
        Ok(())
    }

    /// While there is no room for both, nothing is predicted with what is in use.
    fn rest(&mut self, why: Option<String>) {
        if self.resting != why {
            self.foreteller.rest(why.is_some());
            (self.report)(Message::Resting(why.clone()));
            self.resting = why;
        }
    }

    /// Predicts with what was trained, once.
    fn trained(&mut self, training: &Training) -> Result<(), StoreError> {
        if self.premises.memory.seen_training().as_deref() == Some(training.id.as_str()) {
            return Ok(());
        }
        (self.report)(Message::Sources(self.sources()?));
        let source = self.source_of(training)?.filter(|source| source != self.foreteller.source());
        let order = self.predicted_ones()?;
        let predicts = source.is_some() && self.foreteller.is_on() && !order.is_empty();
        (self.report)(Message::TrainingEnded { name: training.name.clone(), ending: Ending::Trained { predicts } });
        let Some(source) = source.filter(|_| predicts) else { return Ok(()) };
        self.learning.offered = Some((source.clone(), training.id.clone()));
        if !training.beside {
            self.rest(Some(training.name.clone()));
        }
        let calls = self.learning.calls.clone();
        match Changes::start(&self.premises, self.learning.compute, (&training.name, source), order, &self.report, calls) {
            Ok(changes) => self.learning.changes = Some(changes),
            Err(error) => (self.report)(Message::Error(error.to_string())),
        }
        Ok(())
    }

    /// The samples of which what is in use has said something: only there something else can be said. The others come in
    /// their turn when the trained one is put to use.
    fn predicted_ones(&self) -> Result<Order, StoreError> {
        let mut order = self.store.order(&Filter::default())?;
        let lacking: BTreeSet<u32> = self.store.lacking(&order, self.foreteller.source())?.into_iter().collect();
        order.retain(|place| !lacking.contains(&(place as u32)));
        Ok(order)
    }

    /// What the trained one predicts as: with the instructions and the kind that are in use.
    fn source_of(&self, training: &Training) -> Result<Option<PredictionSource>, StoreError> {
        let shelf = Shelf::new(&self.premises.project.dir);
        let in_use = self.foreteller.source().clone();
        let path = |folder: &Path| folder.to_string_lossy().into_owned();
        let made = path(&training.folder);
        if !training.adapter {
            let model = shelf.model(&self.store, &made)?;
            return Ok(model.map(|model| PredictionSource { model: model.name, adapter: None, ..in_use }));
        }
        let Some(base) = &training.base else { return Ok(None) };
        let both = shelf.model(&self.store, &path(base))?.zip(shelf.adapter(&self.store, &made)?);
        Ok(both.map(|(model, adapter)| PredictionSource { model: model.name, adapter: Some(adapter.name), ..in_use }))
    }

    /// The predictions of what was trained are made, as far as they can be: what do they say otherwise?
    pub(super) fn predicted(&mut self) {
        let Some(changes) = self.learning.changes.take() else { return };
        let (name, source) = changes.of();
        // Its model gives its memory back before the other one takes any.
        drop(changes);
        self.rest(None);
        let against = self.foreteller.source().clone();
        self.aside(move |store| {
            let count = figures::count_flips(store, &source, &against)?;
            Ok(Message::Changed(Box::new(Changed { name, source, against, count })))
        });
    }

    /// What is put to use has been seen.
    pub(super) fn note_use(&self, source: &PredictionSource) {
        if let Some((_, id)) = self.learning.offered.as_ref().filter(|(offered, _)| offered == source) {
            // It is only offered again otherwise.
            let _ = self.premises.memory.keep_seen_training(id.clone());
        }
    }
}

fn told(set: export::Set) -> Exported {
    let export::Set { report, refused } = set;
    Exported {
        path: report.path.display().to_string(),
        conversations: report.conversations,
        changed: report.added + report.replaced,
        withdrawn: report.withdrawn,
        refused: refused.len() as u64,
        first_refused: refused.into_iter().next(),
    }
}
