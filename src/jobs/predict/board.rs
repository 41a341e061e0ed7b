//! What the handle and the threads share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::task::Outcome;
use super::wants::{Item, Picked, Sample, Wants};
use crate::domain::{PredictionSource, SampleId};
use crate::review::Job;
use crate::store::{Answered, Store, StoreError};

/// How jobs are reported.
pub type JobReport = Arc<dyn Fn(Job) + Send + Sync>;

/// What the threads share.
pub(super) struct Shared {
    board: Mutex<Board>,
    pub changed: Condvar,
    report: JobReport,
    /// Bytes of memory in use, as far as it is known; 0 for none.
    pub memory: AtomicU64,
}

/// What stands on the board.
pub(super) struct Board {
    pub wants: Wants,
    pub over: bool,
    /// The thread has ended.
    pub ended: bool,
}

/// What is predicted by one loaded model: its name, and its adapter's.
pub(super) fn model_of(source: &PredictionSource) -> String {
    match &source.adapter {
        Some(adapter) => format!("{} + {adapter}", source.model),
        None => source.model.clone(),
    }
}

impl Shared {
    pub(super) fn new(source: PredictionSource, report: JobReport) -> Self {
        let board = Board { wants: Wants::new(source), over: false, ended: false };
        Self { board: Mutex::new(board), changed: Condvar::new(), report, memory: AtomicU64::new(0) }
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(&self, board: MutexGuard<'a, Board>, most: Duration) -> MutexGuard<'a, Board> {
        self.changed.wait_timeout(board, most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Changes what stands on the board, wakes whoever waits for it, and reports the tasks that stand otherwise now.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Wants) -> T) -> T {
        let changed = change(&mut self.board().wants);
        self.changed.notify_all();
        self.tell();
        changed
    }

    /// Nothing more is predicted until it is wanted anew.
    pub(super) fn fail(&self, problem: &str) {
        tracing::error!(problem, "predicting failed");
        self.change(|wants| wants.fail(problem));
    }

    /// Reports the tasks that stand otherwise than they were last reported.
    pub(super) fn tell(&self) {
        let memory = Some(self.memory.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0);
        let jobs: Vec<Job> = {
            let mut board = self.board();
            let ids: Vec<u64> = board.wants.tasks().iter().filter(|task| task.changed).map(|task| task.id).collect();
            let mut job = |id| {
                let task = board.wants.task(id)?;
                task.changed = false;
                Some(task.job(memory))
            };
            ids.into_iter().filter_map(&mut job).collect()
        };
        for job in jobs {
            (self.report)(job);
        }
    }

    /// Whether work with this model is to end.
    pub(super) fn leaves(&self, model: &str) -> bool {
        let board = self.board();
        board.over || board.wants.rests() || board.wants.broken().is_some() || model_of(board.wants.source()) != model
    }

    /// Looks which samples of new orders are left.
    pub(super) fn read_orders(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let Some((task, order, source)) = self.board().wants.unread() else { return Ok(()) };
            let places = store.lacking(&order, &source)?;
            self.change(|wants| {
                if let Some(task) = wants.task(task) {
                    task.read(places);
                }
            });
        }
    }

    /// The names of what was picked, as far as nobody has predicted it; those are in our hands from now on. What has been
    /// predicted meanwhile is counted.
    pub(super) fn resolve(&self, store: &Store, session: &str, picked: Picked) -> Result<Vec<(Item, SampleId)>, StoreError> {
        let Picked { source, items, order, .. } = picked;
        let mut named: Vec<(Item, Option<SampleId>)> = Vec::with_capacity(items.len());
        for item in items {
            let id = match (&item.sample, &order) {
                (Sample::Named(id), _) => Some(id.clone()).filter(|id| store.has(id).unwrap_or(false)),
                (Sample::Place(place), Some(order)) => store.id_at(order, *place)?,
                (Sample::Place(_), None) => None,
            };
            named.push((item, id));
        }
        let ids: Vec<SampleId> = named.iter().filter_map(|(_, id)| id.clone()).collect();
        let known = store.answered(session, &source, &ids)?;
        let stored = |id: &SampleId| known.iter().any(|(known, answer)| known == id && *answer == Answered::Stored);
        let mut left = Vec::with_capacity(named.len());
        let mut board = self.board();
        for (item, id) in named {
            match id {
                None => board.wants.done(item.task, Outcome::Gone),
                Some(id) if stored(&id) => {
                    let outcome = if board.wants.has_served(&id) { Outcome::Made } else { Outcome::Elsewhere };
                    board.wants.done(item.task, outcome);
                }
                Some(id) => left.extend(board.wants.take(&source, item, id)),
            }
        }
        Ok(left)
    }

    /// Samples that were in our hands and were not predicted are still wanted.
    pub(super) fn return_all(&self, source: &PredictionSource, items: impl IntoIterator<Item = (Item, SampleId)>) {
        self.change(|wants| {
            for (item, id) in items {
                let waiting = wants.put_back(source, &id);
                if wants.source() == source {
                    std::iter::once(item).chain(waiting).for_each(|item| wants.return_to(item));
                }
            }
        });
    }

    /// Samples are done with.
    pub(super) fn finish(&self, source: &PredictionSource, outcomes: impl IntoIterator<Item = (Item, SampleId, Outcome)>) {
        let mut board = self.board();
        for (item, id, outcome) in outcomes {
            for waiting in board.wants.put_back(source, &id) {
                board.wants.done(waiting.task, outcome.clone());
            }
            if item.task.is_none() && outcome == Outcome::Made {
                board.wants.note_served(source, id);
            }
            board.wants.done(item.task, outcome);
        }
        drop(board);
        self.changed.notify_all();
    }
}
