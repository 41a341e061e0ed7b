//! The training set on disk: planned, written back, listed in a manifest, one file per format.
//!
//! Contract: imports `domain`, `conversation` and `imaging`. Takes approved samples only; a crash leaves the old set or
//! the new one; removes only files that its manifest lists with the hash they still have.
