//! The `mekiki` program.

fn main() {}
