//! The runner: work that the review screen asks for is done on threads of its own and reported back.
//!
//! Contract: may import every room but `keys`, `tui` and `cli`. One thread executes the effects that touch the store, in
//! their order, so that saves are never dropped nor overtaken; slow reading has threads of its own; pictures are made by
//! workers that take the newest wish first and give up what nobody wants any more; predictions by a worker of their own
//! ([`predict`]). Nothing here draws or waits for a terminal. Dropping the [`Runner`] lets the store's thread finish what it
//! was given, and the predictor its batch.

mod changes;
mod clerk;
mod convert;
mod export;
mod figures;
mod foretell;
mod grouping;
mod likeness;
mod memory;
mod pictures;
pub mod predict;
mod save;
mod training;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

pub use export::{Exporting, Set, export};
pub use likeness::{Compared, LikenessError, Made, Maker, compare};
pub use memory::{Memory, Place};
pub use pictures::{Deliver, Pictures};
use predict::Compute;
pub use training::Launch;

use crate::config::Project;
use crate::domain::PredictionSource;
use crate::graphics::Target;
use crate::review::{Effect, Message};
use crate::store::{Store, StoreError, Who};
use crate::train::Progress;
use crate::train::lock::Seen;

/// Where images lie: the number of a folder, and the folder.
pub type Folders = Vec<(i64, PathBuf)>;

/// What the work needs.
#[derive(Debug, Clone)]
pub struct Premises {
    /// The project.
    pub project: Arc<Project>,
    /// Who decides.
    pub who: Who,
    /// Where the project's images lie; 0 is its own folder.
    pub folders: Arc<Folders>,
    /// What is remembered between two starts.
    pub memory: Memory,
    /// How trainings are begun.
    pub launch: Launch,
}

/// How messages reach the screen; it may wait, and ends when nobody listens.
pub type Report = Arc<dyn Fn(Message) + Send + Sync>;

/// How predictions are made while somebody reviews.
#[derive(Debug, Clone)]
pub struct Background {
    /// With what, to begin with.
    pub source: PredictionSource,
    /// What computes.
    pub compute: Compute,
    /// Whether they are made without being asked for.
    pub on: bool,
}

/// What the thread that works on the store is called for.
enum Call {
    /// The screen asks for something.
    Effect(Effect),
    /// The project's training stands otherwise.
    Seen(Box<Seen>, Progress),
    /// A training was begun, or could not be.
    Begun { arguments: Vec<String>, begun: training::Begun },
    /// What was trained has predicted.
    Predicted,
    /// Nothing more is asked for.
    End,
}

/// The thread that works on the store.
#[derive(Debug)]
pub struct Runner {
    calls: Sender<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts the thread, the one that watches for predictions, and the one that makes them.
    pub fn start(premises: &Premises, store: Store, background: &Background, report: &Report) -> std::io::Result<Self> {
        let (calls, inbox) = channel();
        let foreteller = foretell::Foreteller::start(premises, background, report)?;
        let mut clerk = clerk::Clerk::start(premises.clone(), store, foreteller, background.compute, Arc::clone(report), calls.clone())?;
        let thread = std::thread::spawn(move || {
            for call in inbox {
                if let Call::End = call {
                    return;
                }
                clerk.handle(call);
            }
        });
        Ok(Self { calls, thread: Some(thread) })
    }

    /// Hands an effect over; it never waits.
    pub fn send(&self, effect: Effect) {
        // The thread is there as long as this is; were it gone, its panic has been told.
        let _ = self.calls.send(Call::Effect(effect));
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.calls.send(Call::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the workers that make pictures for a terminal.
pub fn pictures(premises: &Premises, target: Target, deliver: &Deliver) -> Result<Pictures, StoreError> {
    Pictures::start(premises, target, deliver)
}
