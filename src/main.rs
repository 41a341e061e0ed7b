//! The `mekiki` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mekiki::cli::main()
}
