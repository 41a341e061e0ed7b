//! Training: batches, losses, the optimiser's loop, checkpoints, and how much memory all of it takes.
//!
//! Contract: imports what `model` may, and `model`, `eval` and `boards`. It trains on approved samples and on generated
//! ones, whose truth is known, and on nothing else.

mod error;
mod example;
mod lora;
mod plan;
mod trainable;

pub use error::TrainError;
pub use example::{Example, Examples, Region, Shown};
pub use lora::Lora;
pub use plan::{DensePlan, LoraPlan, Plan, Precision};
pub use trainable::{Full, Trainable};
