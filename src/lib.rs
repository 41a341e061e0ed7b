//! mekiki (目利き, a trained eye): review, label, write back and train visual-inspection VLM data from the terminal.
//!
//! One crate, one room per module; `ARCHITECTURE.md` is the floor plan.

pub mod boards;
pub mod cli;
pub mod config;
pub mod conversation;
pub mod domain;
pub mod eval;
pub mod export;
pub mod graphics;
pub mod imaging;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod model;
pub mod review;
pub mod similar;
pub mod store;
pub mod train;
pub mod tui;
