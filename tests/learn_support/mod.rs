//! A project whose samples are approved, small enough to train on in a moment.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::pty_support::{MEKIKI, json};

/// Options of a run that takes a moment, and shows every step. One that a failed test leaves behind ends by itself.
pub(crate) const SHORT: [&str; 16] = [
    "--time-limit",
    "300",
    "--batch",
    "2",
    "--micro-batch",
    "2",
    "--device",
    "cpu",
    "--evaluate-on",
    "2",
    "--evaluate-every",
    "1",
    "--log-every",
    "1",
    "--threads",
    "1",
];

/// Options of the training of an adapter.
pub(crate) fn options(name: &str, steps: &str) -> Vec<String> {
    ["--lora", "-o", name, "--steps", steps].iter().chain(&SHORT).map(|word| (*word).to_owned()).collect()
}

/// A home and a project with a tiny model and 24 small boards, all of them approved.
pub(crate) fn boards(folder: &Path) -> (PathBuf, PathBuf) {
    let (home, project) = (folder.join("home"), folder.join("boards"));
    std::fs::create_dir(&home).unwrap();
    let path = |name: &str| project.join(name).to_str().unwrap().to_owned();
    let make = |arguments: &[&str]| {
        let made = Command::new(MEKIKI).args(arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make(&["boards", project.to_str().unwrap(), "--count", "24", "--pools", "2", "--width", "112"]);
    make(&["model", "new", &path("models/demo"), "--shape", "tiny"]);
    assert_eq!(json(&home, &project, &["import", &path("samples.jsonl")])["added"], 24);
    assert_eq!(json(&home, &project, &["approve", "--where", "labelled"])["approved"], 24);
    (home, project)
}

/// How the project's training stands.
pub(crate) fn status(home: &Path, project: &Path) -> Value {
    json(home, project, &["train", "--status"])
}

/// Whether its process lives.
pub(crate) fn alive(status: &Value) -> bool {
    status["alive"] == true
}
