//! Project files: errors have a line of the file, and nothing in them acts on a terminal.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mekiki::config::{self, ConfigError};

fuzz_target!(|text: &str| {
    if let Err(ConfigError::Problems(problems)) = config::parse(text, Path::new("mekiki.toml"), Path::new("/p")) {
        for problem in problems {
            assert!(problem.line >= 1 && problem.line <= text.split('\n').count());
            assert!(!problem.to_string().chars().any(char::is_control));
        }
    }
});
