//! Filters as people type them.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mekiki::config::{self, Language, Project, Template};
use mekiki::domain::Filter;

static PINS: LazyLock<Project> = LazyLock::new(|| {
    config::parse(&Template::Pins.text("pins", Language::En), Path::new("mekiki.toml"), Path::new("/p")).expect("a template is a project")
});

fuzz_target!(|text: &str| {
    if let Err(error) = Filter::parse(PINS.schema(), text) {
        assert!(error.column >= 1 && error.column <= text.chars().count());
        assert!(!error.to_string().chars().any(char::is_control));
    }
});
