//! Who may import whom: the table of ARCHITECTURE.md, held.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may import. `cli` and `main` wire the house together and may import every room.
const RULES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("conversation", &["domain"]),
    ("imaging", &["domain"]),
    ("graphics", &["domain", "imaging"]),
    ("config", &["domain", "conversation"]),
    ("boards", &["domain", "imaging"]),
    ("store", &["domain", "conversation"]),
    ("import", &["domain", "conversation", "imaging"]),
    ("review", &["domain", "conversation"]),
    ("keys", &["review", "domain"]),
    ("export", &["domain", "conversation", "imaging"]),
    ("model", &["domain", "conversation", "imaging"]),
    ("similar", &["domain"]),
    ("eval", &["domain", "conversation"]),
    ("train", &["domain", "conversation", "imaging", "model", "eval", "boards"]),
    (
        "jobs",
        &["domain", "conversation", "config", "imaging", "graphics", "store", "model", "similar", "train", "eval", "export", "review"],
    ),
    ("tui", &["domain", "conversation", "review", "keys", "graphics"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first part of every `crate::…` and `mekiki::…` path in a source text, comments left out.
fn rooms_named(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let heads = code.match_indices("crate::").map(|(at, found)| &code[at + found.len()..]);
    heads.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn rooms() -> BTreeMap<String, Vec<PathBuf>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let first = file.strip_prefix(&src).unwrap().components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        rooms.entry(first.trim_end_matches(".rs").to_owned()).or_default().push(file);
    }
    rooms
}

#[test]
fn rooms_import_only_what_they_may() {
    let rules: BTreeMap<&str, &[&str]> = RULES.iter().copied().collect();
    let rooms = rooms();
    for (room, files) in &rooms {
        if ["main", "lib", "cli"].contains(&room.as_str()) {
            continue;
        }
        let allowed =
            rules.get(room.as_str()).unwrap_or_else(|| panic!("the room {room} has no rule; add one here and to ARCHITECTURE.md"));
        for file in files {
            for named in rooms_named(&fs::read_to_string(file).unwrap()) {
                let is_room = rooms.contains_key(&named);
                assert!(!is_room || named == *room || allowed.contains(&named.as_str()), "{} imports {named}", file.display());
            }
        }
    }
    for (room, _) in RULES {
        assert!(rooms.contains_key(*room), "the room {room} has a rule and no door");
    }
}

#[test]
fn the_domain_knows_only_std_and_serde() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let foreign: Vec<String> = dependencies
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim().replace('-', "_")))
        .filter(|name| !name.starts_with('#') && name != "serde")
        .collect();
    assert!(foreign.len() > 10);
    for file in &rooms()["domain"] {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for name in &foreign {
            assert!(!code.contains(&format!("{name}::")), "{} uses {name}", file.display());
        }
    }
}

#[test]
fn the_table_of_the_architecture_is_the_one_held_here() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (room, allowed) in RULES {
        let row =
            format!("| `{room}` | {} |", if allowed.is_empty() { "nobody (std and serde only)".to_owned() } else { allowed.join(", ") });
        assert!(text.contains(&row), "ARCHITECTURE.md lacks the row\n{row}");
    }
}
