//! mekiki (目利き, a trained eye): review, label, write back and train visual-inspection VLM data from the terminal.
//!
//! One crate, one room per module; `ARCHITECTURE.md` is the floor plan.

pub mod config;
pub mod conversation;
pub mod domain;
pub mod export;
pub mod imaging;
pub mod import;
pub mod model;
pub mod store;
