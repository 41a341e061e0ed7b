//! Promise: predictions arrive while somebody reviews, and are accepted like any other proposal.
#![allow(clippy::unwrap_used)]

mod pty_support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use pty_support::{MEKIKI, Terminal, json, until};

fn make(arguments: &[&str]) {
    let made = Command::new(MEKIKI).args(arguments).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// A project of small boards.
fn boards(project: &Path, count: &str) {
    make(&["boards", project.to_str().unwrap(), "--count", count, "--pools", "2", "--width", "112"]);
}

/// How many samples a model has predicted.
fn predicted(home: &Path, project: &Path, model: &str) -> u64 {
    let stats = json(home, project, &["stats"]);
    let of_model = |source: &&Value| source["source"]["model"] == model;
    stats["predictions"].as_array().unwrap().iter().filter(of_model).map(|source| source["predictions"].as_u64().unwrap()).sum()
}

#[test]
fn predictions_arrive_while_reviewing_and_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("boards"));
    std::fs::create_dir(&home).unwrap();
    let path = |name: &str| project.join(name).to_str().unwrap().to_owned();
    boards(&project, "4");
    // Nothing is said of the samples but what they are.
    let rows = std::fs::read_to_string(path("samples.jsonl")).unwrap();
    let bare = |row: &str| {
        let mut row: Value = serde_json::from_str(row).unwrap();
        row.as_object_mut().unwrap().retain(|key, _| ["id", "dir", "image", "type"].contains(&key.as_str()));
        format!("{row}\n")
    };
    std::fs::write(path("bare.jsonl"), rows.lines().map(bare).collect::<String>()).unwrap();
    assert_eq!(json(&home, &project, &["import", &path("bare.jsonl")])["added"], 4);
    for (model, seed) in [("models/demo", "1"), ("models/other", "2")] {
        make(&["model", "new", &path(model), "--shape", "tiny", "--seed", seed]);
    }

    let mut terminal = Terminal::start(&home, &project);
    until(|| predicted(&home, &project, "demo") == 4, || "predictions".to_owned());
    terminal.wait_until("what the model says", |lines| lines.iter().any(|line| line.contains("model")));
    terminal.press("]]]]]a");
    until(|| json(&home, &project, &["stats"])["approved"] == 1, || "an approval".to_owned());
    let shown = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()["id"].as_str().unwrap().to_owned());
    let shown = shown.map(|id| json(&home, &project, &["show", &id, "--no-images"])).find(|shown| shown["state"] == "approved").unwrap();
    for (field, said) in shown["predictions"][0]["fields"].as_object().unwrap() {
        assert_eq!(shown["label"][field], said["value"], "{field}: {shown}");
    }
    // Another model predicts in its turn, and what it says otherwise is a queue.
    terminal.press("mmother\r");
    until(|| predicted(&home, &project, "other") == 4, || "predictions of the other model".to_owned());
    terminal.press("w");
    terminal.wait_until("the flips", |lines| lines.iter().any(|line| line.contains("predictions differ")));
    terminal.press("mf");
    terminal.wait_until("the queue of flips", |lines| lines[1].contains("sure") && lines[0].contains("1 / "));
    terminal.press("q");
    terminal.ended();
}

#[test]
fn without_a_model_the_tasks_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("boards"));
    std::fs::create_dir(&home).unwrap();
    boards(&project, "2");
    json(&home, &project, &["import", project.join("samples.jsonl").to_str().unwrap()]);
    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_for("undecided");
    terminal.press("w");
    terminal.wait_until("the reason", |lines| lines.iter().any(|line| line.contains("no model demo there")));
    terminal.press("q");
    terminal.ended();
}
