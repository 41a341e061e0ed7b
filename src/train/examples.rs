//! Where examples come from: boards drawn on the way, approved samples, generated circuits. Every source is addressed by
//! number: example `n` is the same on any thread and in any run.

mod boards;
mod classes;
mod error;

pub use boards::{Boards, BoardsPlan};
pub use classes::Classes;
pub use error::ExamplesError;
