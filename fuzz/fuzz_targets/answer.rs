//! Answers of models: whatever is read is allowed by the schema, and is read again from its own rendering.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mekiki::config::{self, Language, Project, Template};

static PINS: LazyLock<Project> = LazyLock::new(|| {
    config::parse(&Template::Pins.text("pins", Language::En), Path::new("mekiki.toml"), Path::new("/p")).expect("a template is a project")
});

fuzz_target!(|text: &str| {
    let parsed = PINS.recipe.answer.parse(text);
    for (id, value) in &parsed.label {
        assert!(PINS.schema().field(id).is_some_and(|field| field.allows(value)));
    }
    if let Ok(rendered) = PINS.recipe.answer.render(&parsed.label) {
        assert_eq!(PINS.recipe.answer.parse(&rendered).label, parsed.label);
    }
});
