//! Training: batches, losses, the optimiser's loop, checkpoints, and how much memory all of it takes.
//!
//! Contract: imports what `model` may, and `model`, `eval` and `boards`. It trains on approved samples and on generated
//! ones, whose truth is known, and on nothing else.

mod augment;
mod batch;
mod card;
pub mod emit;
mod error;
mod example;
mod examples;
pub mod lock;
mod lora;
mod loss;
pub mod memory;
mod optimiser;
mod plan;
mod progress;
mod report;
mod run;
mod saved;
mod stream;
mod trainable;

pub use augment::Photometry;
pub use card::{Card, DataSet};
pub use error::TrainError;
pub use example::{Example, Examples, Outline, OutlinedImage, Region, Shown};
pub use examples::{Approved, ApprovedPlan, Boards, BoardsPlan, Circuits, CircuitsPlan, Classes, ExamplesError, Locate, Mixed};
pub use lora::{Lora, base_name};
pub use plan::{DensePlan, LoraPlan, Plan, Precision, Recompute};
pub use progress::{LogReader, Progress};
pub use report::{EvaluationReport, Event, StepReport, Summary};
pub use run::{Held, Run, forget, train};
pub use trainable::{Full, Trainable};
