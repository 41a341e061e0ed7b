//! The worker that predicts: one thread for the loaded model, with one that reads ahead and one that stores.
//!
//! What is wanted stands on a board: the sample on the screen first, then the next ones, then selections, then the rest of
//! the queue; the newest wish wins. One process for each project and model holds a lease in the store and predicts; the
//! others ask it through the store and take over when it dies. A model is loaded when it is first needed and dropped when
//! another one is used. What goes wrong with it is told as a failed job: the rest of the program lives, and the job can be
//! taken up again.

mod board;
mod eye;
mod follow;
mod models;
mod seer;
mod serve;
mod task;
#[cfg(test)]
mod tests;
mod wants;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use uuid::Uuid;

pub use board::JobReport;
pub use eye::{Eye, Loads, Trouble};
pub use models::{Compute, MODELS, Named, Shelf, keep};
pub use seer::{Seer, Seers};
pub use wants::Work;

use crate::domain::{PredictionSource, SampleId, Schema};
use crate::review::Priority;
use crate::store::{Holder, Lease, Store, StoreError, Who};
use board::{Shared, model_of};
use task::Stand;

/// How long the end waits for the batch that is being computed.
const LAST_BATCH: Duration = Duration::from_secs(2);

/// Where a worker sits.
#[derive(Clone)]
pub struct Office {
    dir: PathBuf,
    schema: Arc<Schema>,
    holder: Holder,
    /// Somebody sits at a screen: no batch may take long.
    screen: bool,
    /// Is called after predictions were stored.
    stored: Arc<dyn Fn() + Send + Sync>,
}

impl Office {
    /// A place to work for a project. `screen`: somebody waits for single samples. `stored` is called after each batch.
    pub fn new(dir: PathBuf, schema: Arc<Schema>, who: &Who, screen: bool, stored: Arc<dyn Fn() + Send + Sync>) -> Self {
        let holder = Holder {
            session: Uuid::now_v7().to_string(),
            reviewer: who.reviewer.clone(),
            host: who.host.clone(),
            machine: machine(&who.host),
            pid: std::process::id(),
        };
        Self { dir, schema, holder, screen, stored }
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.dir, &self.schema)
    }

    fn open_to_read(&self) -> Result<Store, StoreError> {
        Store::open_read_only(&self.dir, &self.schema)
    }
}

/// Within what a pid means something: this boot, this container. Where the system does not say, the machine's name.
fn machine(host: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    format!("{host} {} {space}", boot.trim())
}

/// Says of a holder whether its process is known to be gone.
fn is_dead(me: &Holder) -> impl Fn(&Holder) -> bool {
    let machine = me.machine.clone();
    move |holder| {
        let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw);
        holder.machine == machine && pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    }
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// Samples predicted here.
    pub made: u64,
    /// Samples that another process predicted meanwhile.
    pub elsewhere: u64,
    /// Samples that cannot be predicted.
    pub failed: u64,
    /// The first of them, and why.
    pub listed: Vec<(SampleId, String)>,
    /// Why the task as a whole came to nothing.
    pub problem: Option<String>,
}

/// The worker. Dropping this ends it: what was computed is stored, the lease is given back.
pub struct Predicting {
    shared: Arc<Shared>,
    office: Office,
    thread: Option<JoinHandle<()>>,
}

impl Predicting {
    /// Starts the worker; no model is loaded before something is wanted.
    pub fn start<L: Loads>(office: Office, source: PredictionSource, loads: L, report: JobReport) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::new(source, report));
        let (theirs, place) = (Arc::clone(&shared), office.clone());
        let thread = std::thread::Builder::new().name("predicting".to_owned()).spawn(move || {
            run(&theirs, &place, loads);
            theirs.board().ended = true;
            theirs.changed.notify_all();
        })?;
        Ok(Self { shared, office, thread: Some(thread) })
    }

    /// Predicts with something else from now on: what was wanted before is given up.
    pub fn use_source(&self, source: PredictionSource) {
        self.shared.change(|wants| wants.use_source(source));
    }

    /// What is on the screen, or will be soon: the newest wish takes the place of the one before.
    pub fn want(&self, priority: Priority, samples: Vec<SampleId>) {
        self.shared.change(|wants| wants.want(priority, samples));
    }

    /// A task of its own, with its number. A new order takes the place of the one before.
    pub fn add(&self, title: String, work: Work) -> u64 {
        self.shared.change(|wants| wants.add(title, work))
    }

    /// Goes on with orders from this place on.
    pub fn look_at(&self, place: u32) {
        let mut board = self.shared.board();
        let ids: Vec<u64> = board.wants.tasks().iter().filter(|task| task.is_order()).map(|task| task.id).collect();
        for id in ids {
            if let Some(task) = board.wants.task(id) {
                task.look_at(place);
            }
        }
    }

    /// Stops a task.
    pub fn cancel(&self, task: u64) {
        self.shared.change(|wants| wants.cancel(task));
    }

    /// Puts a task before the others; one that failed or was stopped is taken up again.
    pub fn raise(&self, task: u64) {
        self.shared.change(|wants| wants.raise(task));
    }

    /// Gives the model's memory back and predicts nothing, until it is told otherwise; what is wanted stays wanted.
    pub fn rest(&self, rests: bool) {
        self.shared.change(|wants| wants.rest(rests));
    }

    /// What came of a task, once it is over.
    pub fn outcome(&self, task: u64) -> Option<Made> {
        let mut board = self.shared.board();
        let task = board.wants.task(task).filter(|task| task.stand.is_over())?;
        Some(Made {
            made: task.made,
            elsewhere: task.elsewhere,
            failed: task.failed,
            listed: task.listed.clone(),
            problem: task.problem.clone().filter(|_| task.stand == Stand::Failed),
        })
    }
}

impl Drop for Predicting {
    fn drop(&mut self) {
        let started = Instant::now();
        let mut board = self.shared.board();
        board.over = true;
        self.shared.changed.notify_all();
        while !board.ended && started.elapsed() < LAST_BATCH {
            board = self.shared.wait(board, Duration::from_millis(100));
        }
        let (ended, model) = (board.ended, model_of(board.wants.source()));
        drop(board);
        match self.thread.take() {
            Some(thread) if ended => drop(thread.join()),
            // A large model computes on until the process ends: nobody shall wait for that, here or elsewhere.
            _ => {
                tracing::warn!(model, "the model computes on while the program ends; lease given back");
                drop(self.office.open().and_then(|mut store| store.release_predictor(&model, &self.office.holder.session)));
            }
        }
    }
}

/// Waits for something to be wanted, and predicts it, or asks whoever does.
fn run<L: Loads>(shared: &Shared, office: &Office, mut loads: L) {
    loop {
        let source = {
            let mut board = shared.board();
            while !board.over && !board.wants.wants_anything() && board.wants.unread().is_none() {
                board = shared.wait(board, Duration::from_secs(60));
            }
            if board.over {
                return;
            }
            board.wants.source().clone()
        };
        if let Err(error) = work(shared, office, &mut loads, &source) {
            shared.fail(&error.to_string());
        }
    }
}

fn work<L: Loads>(shared: &Shared, office: &Office, loads: &mut L, source: &PredictionSource) -> Result<(), StoreError> {
    if !shared.board().wants.wants_urgently() {
        shared.read_orders(&office.open_to_read()?)?;
    }
    let model = model_of(source);
    if !shared.board().wants.wants_anything() || shared.leaves(&model) {
        return Ok(());
    }
    let mut store = office.open()?;
    match store.lease_predictor(&model, &office.holder, is_dead(&office.holder))? {
        Lease::Theirs(holder) => {
            tracing::info!(model, holder = holder.pid, host = holder.host, "another process predicts");
            follow::follow(shared, office, source, holder)
        }
        Lease::Mine => {
            tracing::info!(model, "lease taken");
            let served = serve::serve(shared, office, loads, source);
            store.release_predictor(&model, &office.holder.session)?;
            tracing::info!(model, "lease given back");
            served
        }
    }
}
