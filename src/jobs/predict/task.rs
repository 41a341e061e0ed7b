//! One task: which samples are left, what came of the others, how fast it goes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wants::{Sample, Work};
use crate::domain::{PredictionSource, SampleId};
use crate::review::{Job, JobKind, JobState};
use crate::store::Order;

/// How many failed samples are listed.
const MOST_LISTED: usize = 1000;
/// The time over which a rate is taken.
const WINDOW: Duration = Duration::from_secs(10);

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing of it was taken up yet.
    Waiting,
    Running,
    Done,
    Cancelled,
    Failed,
}

impl Stand {
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

/// What came of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was predicted here.
    Made,
    /// Another process, or another task, has predicted it.
    Elsewhere,
    /// It cannot be predicted.
    Failed(SampleId, String),
    /// It is not a sample any more.
    Gone,
}

/// What is left of a task.
#[derive(Debug, Clone)]
enum Todo {
    Samples(VecDeque<SampleId>),
    /// Places of an order; `None` until somebody has looked which they are.
    Order(Arc<Order>, Option<BTreeSet<u32>>),
}

/// A task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub id: u64,
    pub title: String,
    pub source: PredictionSource,
    pub stand: Stand,
    /// The larger, the sooner.
    pub rank: u64,
    /// Samples predicted here.
    pub made: u64,
    /// Samples that were predicted elsewhere meanwhile.
    pub elsewhere: u64,
    /// Samples that cannot be predicted.
    pub failed: u64,
    /// The first of them, and why.
    pub listed: Vec<(SampleId, String)>,
    /// What went wrong with the task as a whole.
    pub problem: Option<String>,
    /// Who predicts, where another process does.
    pub by: Option<String>,
    /// Whether it stands otherwise than it was last reported.
    pub changed: bool,
    total: Option<u64>,
    /// Samples that are in somebody's hands.
    pub taken: u64,
    todo: Todo,
    /// The place after which an order is gone on with.
    focus: u32,
    pace: VecDeque<(Instant, u64)>,
}

impl Task {
    pub(super) fn new(id: u64, title: String, source: PredictionSource, work: Work) -> Self {
        let (todo, total) = match work {
            Work::Samples(samples) => {
                let total = samples.len() as u64;
                (Todo::Samples(samples.into()), Some(total))
            }
            Work::Order(order) => (Todo::Order(order, None), None),
        };
        let mut task = Self {
            id,
            title,
            source,
            stand: Stand::Waiting,
            rank: 0,
            made: 0,
            elsewhere: 0,
            failed: 0,
            listed: Vec::new(),
            problem: None,
            by: None,
            changed: true,
            total,
            taken: 0,
            todo,
            focus: 0,
            pace: VecDeque::new(),
        };
        task.end_if_done();
        task
    }

    pub(super) fn is_order(&self) -> bool {
        matches!(self.todo, Todo::Order(..))
    }

    pub(super) fn order(&self) -> Option<Arc<Order>> {
        if let Todo::Order(order, _) = &self.todo { Some(Arc::clone(order)) } else { None }
    }

    /// Whether nobody has looked yet which samples of the order are left.
    pub(super) fn is_unread(&self) -> bool {
        !self.stand.is_over() && matches!(self.todo, Todo::Order(_, None))
    }

    /// The places of the order that are left.
    pub(super) fn read(&mut self, places: Vec<u32>) {
        if let Todo::Order(_, left) = &mut self.todo {
            self.total = Some(places.len() as u64);
            *left = Some(places.into_iter().collect());
            self.changed = true;
            self.end_if_done();
        }
    }

    /// The place in the order from which on it is gone on with.
    pub(super) fn look_at(&mut self, place: u32) {
        self.focus = place;
    }

    /// Whether a sample can be taken.
    pub(super) fn has_more(&self) -> bool {
        let more = match &self.todo {
            Todo::Samples(left) => !left.is_empty(),
            Todo::Order(_, left) => left.as_ref().is_some_and(|left| !left.is_empty()),
        };
        more && !self.stand.is_over()
    }

    /// At most so many samples, which somebody predicts now.
    pub(super) fn take(&mut self, most: usize) -> Vec<Sample> {
        let taken: Vec<Sample> = match &mut self.todo {
            Todo::Samples(left) => left.drain(..most.min(left.len())).map(Sample::Named).collect(),
            Todo::Order(_, Some(left)) => {
                let next = left.range(self.focus..).chain(left.range(..self.focus)).copied().take(most).collect::<Vec<_>>();
                next.into_iter().filter(|place| left.remove(place)).map(Sample::Place).collect()
            }
            Todo::Order(_, None) => Vec::new(),
        };
        self.taken += taken.len() as u64;
        if self.stand == Stand::Waiting {
            (self.stand, self.changed) = (Stand::Running, true);
        }
        taken
    }

    /// A sample that was taken and not predicted.
    pub(super) fn give_back(&mut self, sample: Sample) {
        self.taken = self.taken.saturating_sub(1);
        match (&mut self.todo, sample) {
            (Todo::Samples(left), Sample::Named(sample)) => left.push_front(sample),
            (Todo::Order(_, Some(left)), Sample::Place(place)) => drop(left.insert(place)),
            _ => {}
        }
    }

    /// Counts what came of a sample that was taken.
    pub(super) fn count(&mut self, outcome: Outcome) {
        self.taken = self.taken.saturating_sub(1);
        self.changed = true;
        match outcome {
            Outcome::Made => self.made += 1,
            Outcome::Elsewhere => self.elsewhere += 1,
            Outcome::Gone => self.total = self.total.map(|total| total.saturating_sub(1)),
            Outcome::Failed(sample, problem) => {
                self.failed += 1;
                if self.listed.len() < MOST_LISTED {
                    self.listed.push((sample, problem));
                }
            }
        }
        let now = Instant::now();
        self.pace.push_back((now, self.done()));
        while self.pace.len() > 2 && self.pace.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.pace.pop_front();
        }
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if self.total.is_some() && self.taken == 0 && !self.has_more() && !self.stand.is_over() {
            (self.stand, self.changed, self.by) = (Stand::Done, true, None);
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.made + self.elsewhere + self.failed
    }

    /// Lets go of it for a while.
    pub(super) fn wait(&mut self) {
        if self.stand == Stand::Running {
            (self.stand, self.changed) = (Stand::Waiting, true);
            self.pace.clear();
        }
    }

    pub(super) fn cancel(&mut self) {
        if !self.stand.is_over() {
            (self.stand, self.changed) = (Stand::Cancelled, true);
        }
    }

    pub(super) fn fail(&mut self, problem: String) {
        (self.stand, self.changed, self.problem) = (Stand::Failed, true, Some(problem));
    }

    /// Takes up again what failed or was stopped.
    pub(super) fn again(&mut self) {
        (self.stand, self.changed, self.problem) = (Stand::Waiting, true, None);
        self.pace.clear();
        self.end_if_done();
    }

    /// Says who predicts, where another process does.
    pub(super) fn served_by(&mut self, by: Option<String>) {
        self.changed |= self.by != by;
        self.by = by;
    }

    /// Samples a second over the last seconds.
    fn per_second(&self) -> Option<f64> {
        let ((first, before), (last, after)) = (self.pace.front()?, self.pace.back()?);
        let seconds = last.duration_since(*first).as_secs_f64();
        (seconds > 0.2).then(|| (after - before) as f64 / seconds)
    }

    /// How it stands, for the screen.
    pub(super) fn job(&self, memory: Option<u64>) -> Job {
        let running = self.stand == Stand::Running;
        let per_second = self.per_second().filter(|_| running);
        let left = self.total.map(|total| total.saturating_sub(self.done()));
        let left_s = per_second.filter(|rate| *rate > 0.0).zip(left).map(|(rate, left)| left as f64 / rate);
        let some_failed = self.listed.last().map(|(sample, problem)| format!("{} failed; {sample}: {problem}", self.failed));
        Job {
            id: self.id,
            kind: JobKind::Predict,
            title: match &self.by {
                Some(by) => format!("{} ({by})", self.title),
                None => self.title.clone(),
            },
            state: match self.stand {
                Stand::Waiting => JobState::Waiting,
                Stand::Running => JobState::Running,
                Stand::Done => JobState::Done,
                Stand::Cancelled => JobState::Cancelled,
                Stand::Failed => JobState::Failed,
            },
            done: self.done(),
            total: self.total,
            per_second,
            left_s,
            memory: memory.filter(|_| running),
            problem: self.problem.clone().or(some_failed),
        }
    }
}
