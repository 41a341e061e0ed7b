//! Models: what decides the fields, and the adapters laid over a checkpoint.
//!
//! Contract: imports `domain`, `conversation` and `imaging`. Prints nothing and never panics: checkpoints, tokenizers
//! and adapters are untrusted, and whatever is wrong with them comes back as an error that names it.

pub mod adapter;
pub mod decide;
