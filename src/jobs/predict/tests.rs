//! The worker with models that are made up: what it does first, what it does when they fail.

mod lanes;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::domain::{Exemplar, Filter, Kind, PredictionSource, ReviewerName};
use crate::review::{Job, JobState};
use crate::store::testing::{id, pins, project};
use crate::store::{Order, PredictedFields};

const LONG: Duration = Duration::from_secs(20);

fn source(model: &str) -> PredictionSource {
    PredictionSource { model: model.into(), adapter: None, instruction: "1/en".into(), exemplar: Exemplar::Right, kind: Kind::ZeroShot }
}

fn ids(numbers: impl IntoIterator<Item = usize>) -> Vec<SampleId> {
    numbers.into_iter().map(id).collect()
}

/// What the made-up models do and have done.
#[derive(Default)]
struct Stage {
    /// What the next batches come to; well, when there is nothing more.
    troubles: Mutex<VecDeque<Act>>,
    batches: Mutex<Vec<Vec<SampleId>>>,
    loaded: Mutex<Vec<String>>,
    /// Models in memory.
    alive: Mutex<i32>,
    relieved: Mutex<u32>,
    /// Batches that may be answered; none wait when it is `None`.
    gate: Mutex<Option<usize>>,
    opened: Condvar,
    /// Batches under way at once; one when it is 0.
    lanes: AtomicUsize,
    /// Batches that are being answered, and the most that ever were.
    under_way: Mutex<(Vec<usize>, usize)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Act {
    Well,
    OutOfMemory,
    Fails,
    Panics,
    LoadFails,
}

impl Stage {
    fn act(&self, wanted: &[Act]) -> Option<Act> {
        let mut troubles = self.troubles.lock().unwrap();
        if troubles.front().is_some_and(|act| wanted.contains(act)) { troubles.pop_front() } else { None }
    }

    fn let_pass(&self, count: usize) {
        *self.gate.lock().unwrap().get_or_insert(0) += count;
        self.opened.notify_all();
    }

    fn enter(&self, size: usize) -> Here<'_> {
        let (sizes, most) = &mut *self.under_way.lock().unwrap();
        sizes.push(size);
        *most = sizes.len().max(*most);
        Here(self, size)
    }

    /// How many samples each batch has that is being answered.
    fn sizes(&self) -> Vec<usize> {
        self.under_way.lock().unwrap().0.clone()
    }

    fn batches(&self) -> Vec<Vec<SampleId>> {
        self.batches.lock().unwrap().clone()
    }
}

/// A batch that is being answered.
struct Here<'a>(&'a Stage, usize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let sizes = &mut self.0.under_way.lock().unwrap().0;
        let place = sizes.iter().position(|size| *size == self.1).unwrap();
        sizes.remove(place);
    }
}

struct Actors(Arc<Stage>);
struct Actor(Arc<Stage>);

impl Loads for Actors {
    type Eye = Actor;

    fn load(&mut self, source: &PredictionSource) -> Result<Actor, String> {
        if self.0.act(&[Act::LoadFails]).is_some() {
            return Err("model.safetensors: it ends early".to_owned());
        }
        self.0.loaded.lock().unwrap().push(source.model.clone());
        *self.0.alive.lock().unwrap() += 1;
        Ok(Actor(Arc::clone(&self.0)))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        *self.0.alive.lock().unwrap() -= 1;
    }
}

impl Eye for Actor {
    type Ready = SampleId;

    fn prepare(&self, _store: &Store, _source: &PredictionSource, samples: &[SampleId]) -> Vec<Result<SampleId, String>> {
        let missing = id(13);
        samples.iter().map(|id| if *id == missing { Err("no such image".to_owned()) } else { Ok(id.clone()) }).collect()
    }

    fn answer(&self, ready: &[SampleId]) -> Result<Vec<Result<PredictedFields, String>>, Trouble> {
        let _here = self.0.enter(ready.len());
        let mut gate = self.0.gate.lock().unwrap();
        while let Some(left) = *gate {
            if left > 0 {
                *gate = Some(left - 1);
                break;
            }
            gate = self.0.opened.wait_timeout(gate, LONG).unwrap().0;
        }
        drop(gate);
        self.0.batches.lock().unwrap().push(ready.to_vec());
        match self.0.act(&[Act::Well, Act::OutOfMemory, Act::Fails, Act::Panics]) {
            Some(Act::OutOfMemory) => Err(Trouble::OutOfMemory("out of memory".into())),
            Some(Act::Fails) => Err(Trouble::Failed("a shape".into())),
            Some(Act::Panics) => panic!("index out of bounds"),
            _ => Ok(ready.iter().map(|_| Ok(PredictedFields::new())).collect()),
        }
    }

    fn relieve(&self) {
        *self.0.relieved.lock().unwrap() += 1;
    }

    fn most(&self) -> usize {
        4
    }

    fn lanes(&self) -> usize {
        self.0.lanes.load(Ordering::Relaxed).max(1)
    }

    fn memory(&self) -> Option<u64> {
        Some(7 << 20)
    }
}

/// A project of so many samples, a worker, and all jobs as they were reported.
struct Scene {
    dir: TempDir,
    stage: Arc<Stage>,
    jobs: Arc<Mutex<Vec<Job>>>,
    predicting: Predicting,
}

impl Scene {
    fn new(samples: usize, troubles: &[Act]) -> Self {
        Self::with(samples, troubles, false)
    }

    fn with(samples: usize, troubles: &[Act], screen: bool) -> Self {
        Self::in_lanes(samples, troubles, screen, 1)
    }

    fn in_lanes(samples: usize, troubles: &[Act], screen: bool, lanes: usize) -> Self {
        let (dir, store) = project(pins(), samples);
        drop(store);
        let stage = Arc::new(Stage::default());
        stage.troubles.lock().unwrap().extend(troubles.iter().cloned());
        stage.lanes.store(lanes, Ordering::Relaxed);
        let jobs: Arc<Mutex<Vec<Job>>> = Arc::default();
        let predicting = worker(&dir, &stage, &jobs, screen);
        Self { dir, stage, jobs, predicting }
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path(), &Arc::new(pins())).unwrap()
    }

    fn order(&self) -> Arc<Order> {
        Arc::new(self.store().order(&Filter::default()).unwrap())
    }

    fn predict_all(&self) -> u64 {
        self.predicting.add("demo".into(), Work::Order(self.order()))
    }

    fn ended(&self, task: u64) -> Made {
        until(|| self.predicting.outcome(task))
    }

    fn predictions(&self, model: &str) -> u64 {
        self.store().sources().unwrap().into_iter().filter(|known| known.source.model == model).map(|known| known.predictions).sum()
    }

    fn job(&self, id: u64) -> Option<Job> {
        self.jobs.lock().unwrap().iter().rev().find(|job| job.id == id).cloned()
    }
}

fn worker(dir: &TempDir, stage: &Arc<Stage>, jobs: &Arc<Mutex<Vec<Job>>>, screen: bool) -> Predicting {
    let who = Who { reviewer: ReviewerName::new("aiko").unwrap(), uid: 0, user: "aiko".into(), host: "server".into() };
    let office = Office::new(dir.path().to_owned(), Arc::new(pins()), &who, screen, Arc::new(|| {}));
    let told = Arc::clone(jobs);
    Predicting::start(office, source("demo"), Actors(Arc::clone(stage)), Arc::new(move |job| told.lock().unwrap().push(job))).unwrap()
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < LONG, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn predicts_all_of_an_order_once() {
    let scene = Scene::new(14, &[]);
    assert_eq!(scene.stage.loaded.lock().unwrap().len(), 0, "nothing is loaded before it is needed");
    let task = scene.predict_all();
    let made = scene.ended(task);
    assert_eq!((made.made, made.elsewhere, made.failed), (13, 0, 1));
    assert_eq!(made.listed, [(id(13), "no such image".to_owned())]);
    assert_eq!(scene.predictions("demo"), 13);
    assert!(scene.stage.batches().iter().all(|batch| batch.len() <= 4));
    let job = until(|| scene.job(task).filter(|job| job.state == JobState::Done));
    assert_eq!((job.done, job.total), (14, Some(14)));
    assert!(job.problem.unwrap().contains("no such image"));
    // Asking again does nothing twice, and what failed is tried again.
    let again = scene.predict_all();
    assert_eq!(again, task, "the queue's job keeps its line");
    let made = scene.ended(again);
    assert_eq!((made.made, made.failed), (0, 1));
    let selected = scene.predicting.add("some".into(), Work::Samples(ids([3, 4])));
    assert_eq!(scene.ended(selected).elsewhere, 2);
}

#[test]
fn what_is_on_the_screen_comes_first_and_the_newest_wins() {
    let scene = Scene::new(60, &[]);
    scene.stage.let_pass(0);
    let task = scene.predict_all();
    let board = || scene.predicting.shared.board();
    // One batch of the rest is being computed and one waits, and so does an urgent one: nothing more is read ahead.
    until(|| (board().wants.task(task)?.taken == 8).then_some(()));
    scene.predicting.want(Priority::Now, ids([59]));
    until(|| (!board().wants.wants_urgently()).then_some(()));
    scene.predicting.want(Priority::Soon, ids([30]));
    scene.predicting.want(Priority::Now, ids([40]));
    scene.predicting.want(Priority::Now, ids([50]));
    scene.predicting.want(Priority::Soon, ids([51, 52]));
    let selected = scene.predicting.add("some".into(), Work::Samples(ids([20, 21])));
    scene.stage.let_pass(100);
    scene.ended(selected);
    scene.ended(task);
    let batches = scene.stage.batches();
    let at = |sample: usize| batches.iter().position(|batch| batch.contains(&id(sample))).unwrap();
    assert!(at(59) == 1 && at(50) <= 3, "{batches:?}");
    assert!(at(50) < at(51) && at(51) < at(20) && at(40) < at(20), "{batches:?}");
    assert!(at(20) < at(30), "what was to come soon and will not is of the rest again: {batches:?}");
    assert_eq!(batches.iter().flatten().count(), 59, "each once, without the one that has no image");
}

#[test]
fn while_it_rests_no_model_is_in_memory_and_nothing_is_forgotten() {
    let scene = Scene::new(30, &[]);
    scene.stage.let_pass(1);
    let task = scene.predict_all();
    until(|| (*scene.stage.alive.lock().unwrap() == 1 && scene.stage.batches().len() == 1).then_some(()));
    scene.predicting.rest(true);
    scene.stage.let_pass(100);
    until(|| (*scene.stage.alive.lock().unwrap() == 0).then_some(()));
    let waiting = until(|| scene.job(task).filter(|job| job.state == JobState::Waiting));
    assert!(waiting.done < 29, "{waiting:?}");
    // What is wanted meanwhile, of another order and on the screen, does not wake it.
    scene.predicting.want(Priority::Now, ids([7]));
    assert_eq!(scene.predict_all(), task);
    until(|| scene.predicting.shared.board().wants.unread().is_none().then_some(()));
    assert_eq!((scene.stage.loaded.lock().unwrap().len(), *scene.stage.alive.lock().unwrap()), (1, 0));
    scene.predicting.rest(false);
    scene.ended(task);
    assert_eq!(scene.predictions("demo"), 29);
    assert_eq!(scene.stage.loaded.lock().unwrap().len(), 2);
}

#[test]
fn a_queue_is_gone_on_with_from_where_the_reviewer_is() {
    let scene = Scene::new(40, &[]);
    scene.stage.let_pass(0);
    scene.predict_all();
    until(|| scene.predicting.shared.board().wants.unread().is_none().then_some(()));
    scene.predicting.look_at(20);
    scene.stage.let_pass(3);
    let batches = until(|| Some(scene.stage.batches()).filter(|batches| batches.len() == 3));
    assert!(batches[2].iter().all(|sample| *sample >= id(20)), "{batches:?}");
    scene.stage.let_pass(100);
}

#[test]
fn where_somebody_waits_no_batch_takes_long() {
    let scene = Scene::with(30, &[], true);
    let task = scene.predict_all();
    scene.ended(task);
    assert_eq!(scene.stage.batches()[0].len(), 1, "the first shows how long one takes");
}

#[test]
fn out_of_memory_halves_the_batch_and_goes_on() {
    let scene = Scene::new(12, &[Act::OutOfMemory, Act::OutOfMemory]);
    let task = scene.predict_all();
    assert_eq!(scene.ended(task).made, 12);
    let sizes: Vec<usize> = scene.stage.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes[..3], [4, 2, 1], "{sizes:?}");
    // Batches that were read before may still be of two; those after are of one.
    assert!(sizes[5..].iter().filter(|size| **size > 1).count() <= 2 && sizes.last() == Some(&1), "{sizes:?}");
    assert_eq!(*scene.stage.relieved.lock().unwrap(), 2);
}

#[test]
fn one_that_does_not_fit_at_all_fails_alone() {
    let scene = Scene::new(2, &[Act::Fails, Act::OutOfMemory, Act::OutOfMemory, Act::Well]);
    let made = scene.ended(scene.predict_all());
    assert_eq!((made.made, made.failed), (1, 1));
    assert_eq!(made.listed[0].1, "out of memory");
}

#[test]
fn a_panic_is_a_failed_job_and_can_be_tried_again() {
    let scene = Scene::new(10, &[Act::Well, Act::Panics]);
    let task = scene.predict_all();
    let made = scene.ended(task);
    assert!(made.problem.unwrap().contains("index out of bounds"));
    until(|| (*scene.stage.alive.lock().unwrap() == 0).then_some(()));
    assert!(scene.job(task).unwrap().problem.is_some());
    // What is on the screen does not load it again; a person does.
    scene.predicting.want(Priority::Now, ids([5]));
    scene.predicting.raise(task);
    let made = until(|| scene.predicting.outcome(task).filter(|made| made.problem.is_none()));
    assert_eq!(made.made, 10);
    assert_eq!(scene.stage.loaded.lock().unwrap().len(), 2);
    assert_eq!(scene.predictions("demo"), 10);
}

#[test]
fn a_broken_checkpoint_is_named_and_another_model_goes_on() {
    let scene = Scene::new(3, &[Act::LoadFails]);
    let task = scene.predict_all();
    assert_eq!(scene.ended(task).problem.unwrap(), "model.safetensors: it ends early");
    scene.predicting.use_source(source("other"));
    let task = scene.predict_all();
    assert_eq!(scene.ended(task).made, 3);
    assert_eq!((scene.predictions("demo"), scene.predictions("other")), (0, 3));
}

#[test]
fn another_source_gives_the_memory_back_and_keeps_its_own_predictions() {
    let scene = Scene::new(40, &[]);
    scene.stage.let_pass(2);
    let first = scene.predict_all();
    until(|| (scene.stage.batches().len() == 2).then_some(()));
    scene.predicting.use_source(source("other"));
    assert_eq!(scene.ended(first).problem, None, "it was given up");
    scene.stage.let_pass(1000);
    let second = scene.predict_all();
    assert_eq!(scene.ended(second).made, 39);
    assert_eq!(*scene.stage.loaded.lock().unwrap(), ["demo", "other"]);
    assert_eq!(*scene.stage.alive.lock().unwrap(), 1);
    assert!(scene.predictions("demo") < 39 && scene.predictions("other") == 39);
}

#[test]
fn a_cancelled_task_stops_and_can_be_taken_up_again() {
    let scene = Scene::new(40, &[]);
    scene.stage.let_pass(1);
    let task = scene.predict_all();
    until(|| (!scene.stage.batches().is_empty()).then_some(()));
    scene.predicting.cancel(task);
    assert_eq!(until(|| scene.job(task).filter(|job| job.state == JobState::Cancelled)).total, Some(40));
    scene.stage.let_pass(1000);
    let done = until(|| Some(scene.predictions("demo")).filter(|done| *done >= 4));
    assert!(done < 40);
    // What is asked for by name is done.
    scene.predicting.want(Priority::Now, ids([39]));
    until(|| scene.store().predictions(&id(39)).unwrap().pop());
    scene.predicting.raise(task);
    until(|| (scene.predictions("demo") == 39).then_some(()));
}

#[test]
fn one_predicts_for_all_and_another_takes_over() {
    let scene = Scene::new(30, &[]);
    scene.stage.let_pass(1);
    let first = scene.predict_all();
    until(|| (!scene.stage.batches().is_empty()).then_some(()));
    let (stage, jobs): (Arc<Stage>, Arc<Mutex<Vec<Job>>>) = (Arc::default(), Arc::default());
    let follower = worker(&scene.dir, &stage, &jobs, false);
    let second = follower.add("demo".into(), Work::Order(scene.order()));
    until(|| jobs.lock().unwrap().iter().any(|job| job.title.contains("aiko")).then_some(()));
    // What the follower's screen shows comes first here too.
    follower.want(Priority::Now, ids([25]));
    until(|| {
        let wishes = scene.store().foreign_wishes("", |_| true, 100).unwrap();
        wishes.first().filter(|wish| wish.sample == id(25)).map(|_| ())
    });
    until(|| scene.predicting.shared.board().wants.is_busy(&source("demo"), &id(25)).then_some(()));
    scene.stage.let_pass(3);
    let batches = until(|| Some(scene.stage.batches()).filter(|batches| batches.len() >= 4));
    assert!(batches[..4].iter().flatten().any(|sample| *sample == id(25)), "{batches:?}");
    assert_eq!(stage.loaded.lock().unwrap().len(), 0, "the model is loaded once");
    let Scene { dir, stage: old, predicting, .. } = scene;
    old.let_pass(2);
    until(|| (old.batches().len() >= 6).then_some(()));
    old.let_pass(1);
    drop(predicting);
    let made = until(|| follower.outcome(second));
    let _ = first;
    // The first batch of four may have been stored before the follower looked.
    assert!([26, 30].contains(&(made.made + made.elsewhere + made.failed)), "{made:?}");
    assert!(made.made > 0 && made.elsewhere > 0 && made.failed == 1, "{made:?}");
    let both: Vec<SampleId> = old.batches().into_iter().chain(stage.batches()).flatten().collect();
    assert_eq!(both.len(), 29, "each sample once: {both:?}");
    drop(dir);
}
