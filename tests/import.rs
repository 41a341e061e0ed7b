//! Imports: every format, every kind of bad row, untrusted sources, and the real circuit boards.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made ends its test")]

#[path = "import/support.rs"]
mod support;

#[path = "import/documents.rs"]
mod documents;
#[path = "import/lines.rs"]
mod lines;
#[path = "import/parquet.rs"]
mod parquet;
#[path = "import/pcb.rs"]
mod pcb;
#[path = "import/untrusted.rs"]
mod untrusted;
