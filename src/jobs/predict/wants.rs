//! What is wanted of a model, and what comes next. Pure: no clock, no store, no thread.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::task::{Outcome, Stand, Task};
use crate::domain::{PredictionSource, SampleId};
use crate::review::Priority;
use crate::store::{ForeignWish, Order};

/// How many samples are remembered that were urgent and gave way to others.
const MOST_EARLIER: usize = 32;

/// How many tasks are remembered; those that are over leave first.
const MOST_TASKS: usize = 100;
/// How many samples are remembered that were predicted for others.
const MOST_SERVED: usize = 100_000;

/// Which samples a task predicts.
#[derive(Debug, Clone)]
pub enum Work {
    /// These.
    Samples(Vec<SampleId>),
    /// All of an order that the source in use has said nothing of.
    Order(Arc<Order>),
}

/// One sample that is to be predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub sample: Sample,
    /// The task that it belongs to.
    pub task: Option<u64>,
}

/// A sample by its name, or by its place in a task's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sample {
    Named(SampleId),
    Place(u32),
}

/// Samples that are predicted together.
#[derive(Debug, Clone)]
pub(super) struct Picked {
    pub source: PredictionSource,
    pub items: Vec<Item>,
    /// Somebody looks at the screen and waits.
    pub urgent: bool,
    /// The order in which places are meant.
    pub order: Option<Arc<Order>>,
}

/// What is wanted: of the source in use, and of its model by other processes.
#[derive(Debug)]
pub(super) struct Wants {
    source: PredictionSource,
    now: VecDeque<SampleId>,
    soon: VecDeque<SampleId>,
    /// What was urgent once.
    earlier: VecDeque<SampleId>,
    tasks: Vec<Task>,
    foreign: VecDeque<ForeignWish>,
    /// Samples that are in somebody's hands, and what else wants the same ones.
    busy: BTreeMap<(PredictionSource, SampleId), Vec<Item>>,
    /// Samples that were predicted here for no task: a task that comes to one of them later counts it as its own.
    served: BTreeSet<SampleId>,
    /// Why nothing can be predicted with the source in use.
    broken: Option<String>,
    /// Nothing is predicted for now.
    rests: bool,
    /// Others' turn, where both sides want the rest.
    theirs: bool,
    last_task: u64,
}

impl Wants {
    pub(super) fn new(source: PredictionSource) -> Self {
        Self {
            source,
            now: VecDeque::new(),
            soon: VecDeque::new(),
            earlier: VecDeque::new(),
            tasks: Vec::new(),
            foreign: VecDeque::new(),
            busy: BTreeMap::new(),
            served: BTreeSet::new(),
            broken: None,
            rests: false,
            theirs: false,
            last_task: 0,
        }
    }

    pub(super) fn source(&self) -> &PredictionSource {
        &self.source
    }

    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    pub(super) fn task(&mut self, id: u64) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.id == id)
    }

    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Predicts with something else from now on; what was wanted of the source before is given up.
    pub(super) fn use_source(&mut self, source: PredictionSource) {
        if source == self.source {
            return;
        }
        self.source = source;
        self.broken = None;
        self.now.clear();
        self.soon.clear();
        self.earlier.clear();
        self.foreign.clear();
        self.served.clear();
        self.tasks.iter_mut().for_each(Task::cancel);
    }

    /// What is on the screen, or will be soon: the newest wish takes the place of the one before.
    pub(super) fn want(&mut self, priority: Priority, samples: Vec<SampleId>) {
        match priority {
            Priority::Now => {
                for given_up in std::mem::replace(&mut self.now, samples.into()) {
                    if !self.now.contains(&given_up) && !self.earlier.contains(&given_up) {
                        self.earlier.push_front(given_up);
                    }
                }
                self.earlier.truncate(MOST_EARLIER);
            }
            Priority::Soon => self.soon = samples.into(),
            Priority::Selected => self.earlier.extend(samples),
        }
    }

    /// A task of its own, and its number: a selection comes before whole orders, of equals the newest first. An order
    /// takes the place of the one before, and its number.
    pub(super) fn add(&mut self, title: String, work: Work) -> u64 {
        let before = self.tasks.iter().position(|task| task.is_order() && task.source == self.source);
        let before = before.filter(|_| matches!(work, Work::Order(_))).map(|index| self.tasks.remove(index).id);
        let id = before.unwrap_or_else(|| {
            self.last_task += 1;
            self.last_task
        });
        let mut task = Task::new(id, title, self.source.clone(), work);
        if let Some(problem) = &self.broken {
            task.fail(problem.clone());
        }
        self.tasks.push(task);
        if self.tasks.len() > MOST_TASKS
            && let Some(oldest) = self.tasks.iter().position(|task| task.stand.is_over())
        {
            self.tasks.remove(oldest);
        }
        id
    }

    /// Stops a task.
    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(task) = self.task(id).filter(|task| !task.stand.is_over()) {
            task.cancel();
        }
    }

    /// Puts a task before the others; one that failed or was stopped is taken up again, if it is of the source in use.
    pub(super) fn raise(&mut self, id: u64) {
        let first = self.tasks.iter().map(|task| task.rank).max().unwrap_or(0) + 1;
        let source = self.source.clone();
        let Some(task) = self.task(id).filter(|task| task.source == source) else { return };
        task.rank = first;
        if matches!(task.stand, Stand::Failed | Stand::Cancelled) {
            task.again();
            self.broken = None;
        }
    }

    /// Nothing can be predicted with the source in use, until a task is raised or another source used.
    pub(super) fn fail(&mut self, problem: &str) {
        self.broken = Some(problem.to_owned());
        self.now.clear();
        self.soon.clear();
        self.earlier.clear();
        self.foreign.clear();
        self.tasks.iter_mut().filter(|task| !task.stand.is_over()).for_each(|task| task.fail(problem.to_owned()));
    }

    /// Predicts nothing until it is told otherwise; what is wanted stays wanted.
    pub(super) fn rest(&mut self, rests: bool) {
        self.rests = rests;
        self.tasks.iter_mut().filter(|_| rests).for_each(Task::wait);
    }

    pub(super) fn rests(&self) -> bool {
        self.rests
    }

    /// What other processes ask for; what they asked for before and do no longer is forgotten. Whether there is anything.
    pub(super) fn foreign(&mut self, wishes: Vec<ForeignWish>) -> bool {
        self.foreign = wishes.into();
        !self.foreign.is_empty()
    }

    /// Whether somebody here wants something that is not in anybody's hands.
    pub(super) fn wants_anything(&self) -> bool {
        self.broken.is_none() && !self.rests && (self.wants_urgently() || self.own_task().is_some())
    }

    /// Whether somebody looks at the screen and waits.
    pub(super) fn wants_urgently(&self) -> bool {
        if self.rests {
            return false;
        }
        let own = self.now.iter().chain(&self.soon).chain(&self.earlier);
        own.into_iter().any(|sample| !self.is_busy(&self.source, sample))
            || self.foreign.iter().any(|wish| wish.priority >= URGENT && !self.is_busy(&wish.source, &wish.sample))
    }

    /// An order that has not been looked through yet, with the task that is about it.
    pub(super) fn unread(&self) -> Option<(u64, Arc<Order>, PredictionSource)> {
        let task = self.tasks.iter().rev().find(|task| task.is_unread())?;
        Some((task.id, task.order()?, task.source.clone()))
    }

    /// Whether a sample is in somebody's hands.
    pub(super) fn is_busy(&self, source: &PredictionSource, sample: &SampleId) -> bool {
        self.busy.contains_key(&(source.clone(), sample.clone()))
    }

    /// The task that is served next: selections before orders, raised ones before those, of equals the newest.
    fn own_task(&self) -> Option<usize> {
        let open = self.tasks.iter().enumerate().filter(|(_, task)| task.has_more());
        open.max_by_key(|(_, task)| (task.rank, !task.is_order(), task.id)).map(|(index, _)| index)
    }

    /// The next batch: what is on the screen alone; then what will be soon; then, unless only what is urgent is asked
    /// for, at most `most` of one task or of what others ask.
    pub(super) fn pick(&mut self, most: usize, only_urgent: bool) -> Option<Picked> {
        if self.broken.is_some() || self.rests {
            return None;
        }
        let source = self.source.clone();
        let busy = std::mem::take(&mut self.busy);
        let free = |sample: &SampleId| !busy.contains_key(&(source.clone(), sample.clone()));
        let mut own: Vec<SampleId> = Vec::new();
        for list in [&mut self.now, &mut self.soon, &mut self.earlier] {
            list.retain(|sample| free(sample));
            if own.is_empty() {
                own = list.drain(..list.len().min(most.max(1))).collect();
            }
        }
        self.busy = busy;
        if !own.is_empty() {
            return Some(Self::named(source, own, true));
        }
        if let Some(picked) = self.pick_foreign(most, |priority| priority >= URGENT) {
            return Some(picked);
        }
        if only_urgent {
            return None;
        }
        let own = self.own_task();
        let rest = own.is_none_or(|index| self.tasks[index].is_order());
        if rest && (own.is_none() || self.theirs) {
            self.theirs = false;
            let picked = self.pick_foreign(most, |_| true);
            if picked.is_some() {
                return picked;
            }
        }
        self.theirs = true;
        let task = &mut self.tasks[own?];
        let (id, order) = (task.id, task.order());
        let samples = task.take(most.max(1));
        let items = samples.into_iter().map(|sample| Item { sample, task: Some(id) }).collect();
        Some(Picked { source, items, urgent: false, order })
    }

    fn pick_foreign(&mut self, most: usize, wanted: impl Fn(u8) -> bool) -> Option<Picked> {
        let (mut source, mut samples) = (None, Vec::new());
        let mut urgent = false;
        let mut left = VecDeque::new();
        for wish in std::mem::take(&mut self.foreign) {
            let fits = wanted(wish.priority) && source.as_ref().is_none_or(|source| *source == wish.source) && samples.len() < most.max(1);
            if self.is_busy(&wish.source, &wish.sample) {
            } else if fits {
                source.get_or_insert(wish.source);
                urgent |= wish.priority >= URGENT;
                samples.push(wish.sample);
            } else {
                left.push_back(wish);
            }
        }
        self.foreign = left;
        source.map(|source| Self::named(source, samples, urgent))
    }

    fn named(source: PredictionSource, samples: Vec<SampleId>, urgent: bool) -> Picked {
        let items = samples.into_iter().map(|sample| Item { sample: Sample::Named(sample), task: None }).collect();
        Picked { source, items, urgent, order: None }
    }

    /// Takes a sample into our hands. `None` when it was there already: then whoever wants it waits for the same prediction.
    pub(super) fn take(&mut self, source: &PredictionSource, item: Item, sample: SampleId) -> Option<(Item, SampleId)> {
        match self.busy.entry((source.clone(), sample.clone())) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(item);
                None
            }
            Entry::Vacant(place) => {
                place.insert(Vec::new());
                Some((item, sample))
            }
        }
    }

    /// It is not in our hands any more; who else waits for it.
    pub(super) fn put_back(&mut self, source: &PredictionSource, sample: &SampleId) -> Vec<Item> {
        self.busy.remove(&(source.clone(), sample.clone())).unwrap_or_default()
    }

    /// A sample was predicted here for no task.
    pub(super) fn note_served(&mut self, source: &PredictionSource, sample: SampleId) {
        if *source == self.source && self.served.len() < MOST_SERVED {
            self.served.insert(sample);
        }
    }

    /// Whether it was.
    pub(super) fn has_served(&self, sample: &SampleId) -> bool {
        self.served.contains(sample)
    }

    /// A sample is done with.
    pub(super) fn done(&mut self, task: Option<u64>, outcome: Outcome) {
        if let Some(task) = task.and_then(|id| self.task(id)) {
            task.count(outcome);
        }
    }

    /// A task's sample was not predicted after all, and is still to be.
    pub(super) fn return_to(&mut self, item: Item) {
        if let Some(id) = item.task {
            if let Some(task) = self.task(id) {
                task.give_back(item.sample);
            }
        } else if let Sample::Named(sample) = item.sample
            && !self.earlier.contains(&sample)
        {
            self.earlier.push_front(sample);
        }
    }
}

/// The priority of a foreign wish from which on somebody waits at a screen.
const URGENT: u8 = 2;

/// A priority as it stands in the store.
pub(super) fn number(priority: Option<Priority>) -> u8 {
    match priority {
        None => 0,
        Some(Priority::Selected) => 1,
        Some(Priority::Soon) => URGENT,
        Some(Priority::Now) => URGENT + 1,
    }
}
