//! Where examples come from: boards drawn on the way, approved samples, generated circuits. Every source is addressed by
//! number: example `n` is the same on any thread and in any run.

mod approved;
mod boards;
mod classes;
mod error;
mod images;
mod mixed;
mod order;
mod places;

pub use approved::{Approved, ApprovedPlan};
pub use boards::{Boards, BoardsPlan};
pub use classes::Classes;
pub use error::ExamplesError;
pub use images::Locate;
pub use mixed::Mixed;
