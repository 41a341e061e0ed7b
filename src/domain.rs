//! What everything is about: fields, labels, samples, decisions.
//!
//! Contract: knows nobody but `std` and `serde`. No I/O, no clock, no randomness. Every value here is valid by
//! construction: a [`Label`] holds only values that its [`Schema`] allows, a [`Prediction`] becomes a label only
//! through a reviewer's [`Edit`], and an [`ApprovedSample`] is made only by [`approve`].

mod address;
mod approval;
mod bounding_box;
mod edit;
mod field;
mod filter;
mod fold;
mod hash;
mod id;
mod label;
mod prediction;
mod proposal;
mod rule;
mod sample;
mod schema;
mod split;
mod symmetry;
mod text;
mod value;

pub use address::{Address, Grid};
pub use approval::{ApprovedSample, Breach, Provenance, approve, breaches};
pub use bounding_box::{BoundingBox, LOC_STEPS};
pub use edit::{Edit, ImageHashes, Shown, State, ValueOrigin};
pub use field::{Field, FieldKind};
pub use filter::{Comparison, Filter, FilterError, FilterWord, Flag, Sort, SortKey, Subject, Term, distance};
pub use fold::fold_text;
pub use hash::{ContentHash, spread, stable_hash};
pub use id::{FieldId, IdError, RelativePath, ReviewerName, SampleId};
pub use label::{Label, LabelProblem};
pub use prediction::{Exemplar, FieldPrediction, Kind, Prediction, PredictionSource, Temperatures};
pub use proposal::{Proposal, ProposedField, propose};
pub use rule::{Condition, Rule};
pub use sample::{ImageRef, Sample, SampleOrigin};
pub use schema::{ProblemPlace, Schema, SchemaProblem};
pub use split::{Split, SplitPlan};
pub use symmetry::{Symmetries, Symmetry};
pub use text::printable;
pub use value::{Value, ValueError};
