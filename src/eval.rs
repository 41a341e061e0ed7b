//! What predictions are worth: metrics on reviewed samples, and two ways of predicting side by side.
//!
//! Contract: imports `domain` and `conversation`; pure. It gets labels and predictions, and returns figures and drawings;
//! nothing here reads or writes files, asks a model or prints. The same input gives the same figures, intervals included.

mod address;
mod bootstrap;
mod calibration;
mod compare;
mod confusion;
mod judgement;
mod mcnemar;
mod pair;
mod plot;
mod report;
mod temperature;

pub use address::AddressErrors;
pub use bootstrap::{Share, interval};
pub use calibration::{BINS, Bin, Calibration, calibration};
pub use compare::{Comparison, Flip, Side, compare};
pub use confusion::{Confusion, Mistake};
pub use judgement::{GoodValue, Judgement, good_value};
pub use mcnemar::{McNemar, Test, mcnemar};
pub use pair::{Pair, same};
pub use plot::{BarGroup, Plot, PlotError};
pub use report::{FieldReport, Report, changed, report};
pub use temperature::{Fitted, fit};
