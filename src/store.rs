//! The project's memory: an append-only log of operations in SQLite, and tables derived from it.
//!
//! Contract: imports `domain` and `conversation`. A decision is durable when a call returns.
