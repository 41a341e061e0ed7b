//! Samples from other people's files: one file per format.
//!
//! Contract: imports `domain`, `conversation` and `imaging`. Streams; every bad row is reported and the rest goes on.
