//! Predicting with a loaded model: one thread reads images ahead, some ask the model, one stores what it said.
//!
//! An accelerator has a batch in each of two lanes, so that it computes one while the answers of the other are decided. A
//! third lane is for whoever waits at a screen alone: his sample does not stand behind a batch but shares the device
//! with what is under way. The processor has one lane, which takes what is urgent first.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::board::{Shared, model_of};
use super::eye::{Eye, Loads, ask, guarded};
use super::task::Outcome;
use super::wants::Item;
use super::{Office, is_dead};
use crate::domain::{PredictionSource, SampleId};
use crate::store::{Lease, PredictedFields, Store, StoreError};

/// Between two looks at what others want, and two reports.
const LOOK: Duration = Duration::from_millis(250);
/// Between two renewals of the lease.
const RENEWED: Duration = Duration::from_secs(5);
/// How long a batch may keep the sample on the screen waiting.
const PATIENCE: Duration = Duration::from_millis(700);
/// How many wishes of others are taken note of at a time.
const MOST_FOREIGN: usize = 512;

/// A batch whose images are ready.
struct Batch<R> {
    source: PredictionSource,
    items: Vec<(Item, SampleId)>,
    ready: Vec<R>,
}

/// What the model said of a batch.
struct Said {
    source: PredictionSource,
    answers: Vec<(Item, SampleId, Result<PredictedFields, String>)>,
}

/// Batches that are ready: one for whoever waits, one of the rest.
struct Slots<R> {
    batches: Mutex<[Option<Batch<R>>; 2]>,
    filled: Condvar,
}

impl<R> Slots<R> {
    fn batches(&self) -> MutexGuard<'_, [Option<Batch<R>>; 2]> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for an urgent batch, and for one of the rest.
    fn room(&self) -> (bool, bool) {
        let batches = self.batches();
        (batches[0].is_none(), batches[1].is_none())
    }
}

/// How fast the model is, and how many it can take at once.
struct Measure {
    most: AtomicUsize,
    micros_per_sample: AtomicU64,
    patient: bool,
}

impl Measure {
    /// The size of the next batch: where somebody sits at a screen, no more than he has patience for.
    fn batch(&self) -> usize {
        let (most, micros) = (self.most.load(Ordering::Relaxed), self.micros_per_sample.load(Ordering::Relaxed));
        if self.patient {
            return most;
        }
        // Before anything is known, one sample shows how long it takes.
        let in_time = (PATIENCE.as_micros() as u64).checked_div(micros).unwrap_or(1).max(1) as usize;
        most.min(in_time)
    }

    fn learn(&self, samples: usize, took: Duration) {
        let new = (took.as_micros() as u64 / samples.max(1) as u64).max(1);
        let old = self.micros_per_sample.load(Ordering::Relaxed);
        self.micros_per_sample.store(if old == 0 { new } else { (3 * old + new) / 4 }, Ordering::Relaxed);
    }

    fn shrink(&self, most: usize) {
        self.most.fetch_min(most.max(1), Ordering::Relaxed);
    }
}

/// Serves a model until another one is wanted, the lease is lost, the model fails, or everything ends. The lease is held.
pub(super) fn serve<L: Loads>(shared: &Shared, office: &Office, loads: &mut L, source: &PredictionSource) -> Result<(), StoreError> {
    let model = model_of(source);
    let mut store = office.open()?;
    let lost = AtomicBool::new(false);
    let leaves = || lost.load(Ordering::Relaxed) || shared.leaves(&model);
    // Two batches may wait to be stored: while one is stored, the next is computed.
    let (told, said) = sync_channel::<Said>(2);
    std::thread::scope(|scope| {
        // It goes with this closure: then the scribe knows that nothing more comes.
        let told = told;
        let scribe = std::thread::Builder::new().name("predicting: store".to_owned());
        let lost = &lost;
        let model = model.as_str();
        let spawned = scribe.spawn_scoped(scope, move || store_all(shared, office, &mut store, model, &said, lost));
        if let Err(error) = spawned {
            shared.fail(&error.to_string());
            return;
        }
        let started = Instant::now();
        let eye = match guarded(|| loads.load(source)).and_then(|loaded| loaded) {
            Ok(eye) => {
                let seconds = started.elapsed().as_secs_f64();
                tracing::info!(model, seconds, memory = eye.memory(), most = eye.most(), lanes = eye.lanes(), "model loaded");
                eye
            }
            Err(problem) => {
                shared.fail(&problem);
                return;
            }
        };
        compute(shared, office, &eye, &leaves, &told);
    });
    shared.memory.store(0, Ordering::Relaxed);
    Ok(())
}

/// What a lane takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// What somebody waits for.
    Urgent,
    /// Whatever is ready, what is urgent first.
    All,
}

/// The lanes of a model that has so many batches under way.
fn lanes(count: usize) -> Vec<Lane> {
    let mut lanes = vec![Lane::All; count.max(1)];
    if count > 1 {
        lanes.push(Lane::Urgent);
    }
    lanes
}

/// What the lanes of a model share.
struct Lanes<'a, E: Eye, L> {
    shared: &'a Shared,
    eye: &'a E,
    leaves: &'a L,
    told: &'a SyncSender<Said>,
    slots: Slots<E::Ready>,
    measure: Measure,
    /// Held by every lane that asks the model.
    crowd: RwLock<()>,
}

/// Asks the model about batch after batch, while another thread reads ahead.
fn compute<E: Eye, L: Fn() -> bool + Sync>(shared: &Shared, office: &Office, eye: &E, leaves: &L, told: &SyncSender<Said>) {
    let lanes = lanes(eye.lanes());
    let all = Lanes {
        shared,
        eye,
        leaves,
        told,
        slots: Slots { batches: Mutex::new([None, None]), filled: Condvar::new() },
        measure: Measure { most: AtomicUsize::new(eye.most()), micros_per_sample: AtomicU64::new(0), patient: !office.screen },
        crowd: RwLock::new(()),
    };
    let Some((first, others)) = lanes.split_first() else { return };
    std::thread::scope(|scope| {
        let all = &all;
        let named = |name: &str| std::thread::Builder::new().name(format!("predicting: {name}"));
        let reads = move || {
            let ended = guarded(|| read(shared, office, eye, &all.slots, &all.measure, leaves));
            if let Some(problem) = ended.map_or_else(Some, |done| done.err().map(|error| error.to_string())) {
                shared.fail(&problem);
            }
        };
        let mut spawned = named("read").spawn_scoped(scope, reads).map(drop);
        for lane in others {
            spawned = spawned.and_then(|()| named("ask").spawn_scoped(scope, move || all.serve(*lane)).map(drop));
        }
        match spawned {
            Ok(()) => all.serve(*first),
            Err(error) => shared.fail(&error.to_string()),
        }
    });
    // What was read in vain is still wanted.
    for batch in all.slots.batches().iter_mut().filter_map(Option::take) {
        shared.return_all(&batch.source, batch.items);
    }
}

impl<E: Eye, L: Fn() -> bool + Sync> Lanes<'_, E, L> {
    /// Asks the model about what is ready for a lane, until nobody wants it any more or it fails.
    fn serve(&self, lane: Lane) {
        let shared = self.shared;
        while !(self.leaves)() {
            let Some(batch) = next(&self.slots, lane) else { continue };
            // The reader may go on filling; it looks while it holds the board.
            drop(shared.board());
            shared.changed.notify_all();
            let Batch { source, items, ready } = batch;
            let (count, started) = (ready.len(), Instant::now());
            match ask(self.eye, ready, &self.crowd, &mut |most| self.measure.shrink(most)) {
                Ok(answers) => {
                    self.measure.learn(count, started.elapsed());
                    tracing::debug!(samples = count, seconds = started.elapsed().as_secs_f64(), ?lane, "batch computed");
                    shared.memory.store(self.eye.memory().unwrap_or(0), Ordering::Relaxed);
                    let answers = items.into_iter().zip(answers).map(|((item, id), answer)| (item, id, answer)).collect();
                    if self.told.send(Said { source, answers }).is_err() {
                        return;
                    }
                }
                Err(problem) => {
                    shared.return_all(&source, items);
                    shared.fail(&problem);
                    return;
                }
            }
        }
    }
}

/// The next batch that is ready for a lane, the urgent one first; `None` when there is none for a while.
fn next<R>(slots: &Slots<R>, lane: Lane) -> Option<Batch<R>> {
    let take = |[urgent, rest]: &mut [Option<Batch<R>>; 2]| urgent.take().or_else(|| if lane == Lane::All { rest.take() } else { None });
    let mut batches = slots.batches();
    if let Some(batch) = take(&mut batches) {
        return Some(batch);
    }
    batches = slots.filled.wait_timeout(batches, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
    take(&mut batches)
}

/// Reads ahead: what is urgent whenever it comes, one batch of the rest at a time.
fn read<E: Eye>(
    shared: &Shared,
    office: &Office,
    eye: &E,
    slots: &Slots<E::Ready>,
    measure: &Measure,
    leaves: &impl Fn() -> bool,
) -> Result<(), StoreError> {
    let store = office.open_to_read()?;
    while !leaves() {
        // A long order takes a while to look through: whoever waits comes first.
        if !shared.board().wants.wants_urgently() {
            shared.read_orders(&store)?;
        }
        let picked = {
            let mut board = shared.board();
            let (urgent, rest) = slots.room();
            let picked = if urgent || rest { board.wants.pick(measure.batch(), !rest) } else { None };
            if picked.is_none() {
                board = shared.wait(board, LOOK);
            }
            drop(board);
            picked
        };
        let Some(picked) = picked else { continue };
        let (source, urgent) = (picked.source.clone(), picked.urgent);
        let items = shared.resolve(&store, &office.holder.session, picked)?;
        let ids: Vec<SampleId> = items.iter().map(|(_, id)| id.clone()).collect();
        let prepared = match guarded(|| eye.prepare(&store, &source, &ids)) {
            Ok(prepared) => prepared,
            Err(problem) => {
                shared.return_all(&source, items);
                shared.fail(&problem);
                return Ok(());
            }
        };
        let mut batch = Batch { source, items: Vec::new(), ready: Vec::new() };
        let mut failed = Vec::new();
        for ((item, id), prepared) in items.into_iter().zip(prepared) {
            match prepared {
                Ok(ready) => {
                    batch.items.push((item, id));
                    batch.ready.push(ready);
                }
                Err(problem) => failed.push((item, id, problem)),
            }
        }
        refuse(shared, office, &batch.source, failed)?;
        if !batch.items.is_empty() {
            let mut batches = slots.batches();
            // An urgent one that finds its place taken takes the other.
            let place = usize::from(!(urgent && batches[0].is_none()));
            batches[place] = Some(batch);
            drop(batches);
            slots.filled.notify_all();
        }
    }
    Ok(())
}

/// Samples that cannot be predicted: counted, and told to others who asked for them.
fn refuse(shared: &Shared, office: &Office, source: &PredictionSource, failed: Vec<(Item, SampleId, String)>) -> Result<(), StoreError> {
    if failed.is_empty() {
        return Ok(());
    }
    for (_, id, problem) in &failed {
        tracing::warn!(sample = id.as_str(), problem, "not predicted");
    }
    let problems: Vec<(SampleId, String)> = failed.iter().map(|(_, id, problem)| (id.clone(), problem.clone())).collect();
    office.open()?.refuse_wishes(source, &problems)?;
    let outcomes = failed.into_iter().map(|(item, id, problem)| (item, id.clone(), Outcome::Failed(id, problem)));
    shared.finish(source, outcomes);
    Ok(())
}

/// Stores what comes, renews the lease, reads what others want, and reports.
fn store_all(shared: &Shared, office: &Office, store: &mut Store, model: &str, said: &Receiver<Said>, lost: &AtomicBool) {
    let (mut renewed, mut looked) = (Instant::now(), None::<Instant>);
    loop {
        let came = said.recv_timeout(LOOK);
        let worked = match came {
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(Said { source, answers }) => store_batch(shared, office, store, &source, answers),
        };
        let worked = worked.and_then(|()| {
            if renewed.elapsed() >= RENEWED {
                renewed = Instant::now();
                let lease = store.lease_predictor(model, &office.holder, is_dead(&office.holder))?;
                if let Lease::Theirs(holder) = lease
                    && !lost.swap(true, Ordering::Relaxed)
                {
                    tracing::warn!(model, holder = holder.pid, host = holder.host, "lease lost");
                }
            }
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                let wishes = store.foreign_wishes(&office.holder.session, |source| model_of(source) == model, MOST_FOREIGN)?;
                let mut board = shared.board();
                if board.wants.foreign(wishes) {
                    shared.changed.notify_all();
                }
            }
            Ok(())
        });
        if let Err(error) = worked {
            shared.fail(&error.to_string());
        }
        shared.tell();
    }
}

fn store_batch(
    shared: &Shared,
    office: &Office,
    store: &mut Store,
    source: &PredictionSource,
    answers: Vec<(Item, SampleId, Result<PredictedFields, String>)>,
) -> Result<(), StoreError> {
    let (mut stored, mut made, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (item, id, answer) in answers {
        match answer {
            Ok(fields) => {
                stored.push((id.clone(), fields));
                made.push((item, id));
            }
            Err(problem) => failed.push((item, id, problem)),
        }
    }
    tracing::debug!(predicted = stored.len(), failed = failed.len(), "batch stored");
    let ours = match store.add_missing_predictions(source, &stored) {
        Ok(ours) => ours,
        Err(error) => {
            shared.return_all(source, made);
            return Err(error);
        }
    };
    // Whoever took over a lease that had run out may have been first.
    let outcome = |ours| if ours { Outcome::Made } else { Outcome::Elsewhere };
    shared.finish(source, made.into_iter().zip(ours).map(|((item, id), ours)| (item, id, outcome(ours))));
    (office.stored)();
    refuse(shared, office, source, failed)
}
