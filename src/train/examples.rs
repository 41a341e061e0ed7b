//! Where examples come from: boards drawn on the way, approved samples, generated circuits. Every source is addressed by
//! number: example `n` is the same on any thread and in any run.

mod approved;
mod boards;
mod circuits;
mod classes;
mod error;
mod images;
mod mixed;
mod order;
mod places;
mod truth;

pub use approved::{Approved, ApprovedPlan};
pub use boards::{Boards, BoardsPlan};
pub use circuits::{Circuits, CircuitsPlan};
pub use classes::Classes;
pub use error::ExamplesError;
pub use images::Locate;
pub use mixed::Mixed;
