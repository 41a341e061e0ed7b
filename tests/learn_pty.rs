//! Promise: from the review an adapter is trained that outlives it, and what it says otherwise opens when the reviewer wants it.
#![allow(clippy::unwrap_used)]

mod learn_support;
mod pty_support;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use learn_support::{alive, boards, options, status};
use pty_support::{Terminal, json, until};

/// Types what begins a training: its name stands there already.
fn train(terminal: &mut Terminal, steps: &str, more: &str) {
    let options = options("", steps);
    // Name and adapter are the screen's own.
    let typed = options[3..].join(" ");
    terminal.press("mt");
    terminal.wait_until("the question", |lines| lines.iter().any(|line| line.contains("name of the adapter")));
    terminal.press(&format!(" {typed} {more}\r"));
}

fn shows(terminal: &Terminal, text: &str) {
    terminal.wait_until(text, |lines| lines.iter().any(|line| line.contains(text)));
}

fn predicted(home: &Path, project: &Path, adapter: Option<&str>) -> u64 {
    let stats = json(home, project, &["stats"]);
    let of = |source: &&serde_json::Value| source["source"]["adapter"].as_str() == adapter;
    stats["predictions"].as_array().unwrap().iter().filter(of).map(|source| source["predictions"].as_u64().unwrap()).sum()
}

/// Waits for work that takes as long as the machine is busy.
fn patiently(terminal: &Terminal, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(120), "waited in vain for {what} on\n{}", terminal.lines().join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Puts the cursor on the training; what is predicted stands before or behind it in the list.
fn put_cursor(terminal: &mut Terminal) {
    terminal.press("\x1b[H");
    for line in 4..8 {
        terminal.wait_until("the cursor", |lines| lines[line].starts_with('▸'));
        if terminal.lines()[line].contains("training adapter-1") {
            return;
        }
        terminal.press("j");
    }
    panic!("no training on\n{}", terminal.lines().join("\n"));
}

/// The adapter in use.
fn in_use(home: &Path, project: &Path) -> Option<String> {
    let stats = json(home, project, &["stats"]);
    let active = stats["predictions"].as_array().unwrap().iter().find(|source| source["active"] == true).unwrap();
    active["source"]["adapter"].as_str().map(str::to_owned)
}

#[test]
fn a_training_outlives_the_review_and_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = boards(folder.path());
    let mut terminal = Terminal::start(&home, &project);
    shows(&terminal, "approved");
    train(&mut terminal, "100000", "--alone");
    shows(&terminal, "is being trained, also when this program ends");
    terminal.press("w");
    terminal.wait_until("the training at work", |lines| {
        lines.iter().any(|line| {
            line.contains("running training adapter-1")
                && line.contains("/100000  ")
                && line.contains("  loss ")
                && line.contains("held out")
        })
    });
    shows(&terminal, "nothing is predicted while adapter-1 has the memory");
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    until(|| terminal.child.try_wait().unwrap().is_some(), || "the review's end".to_owned());
    drop(terminal);
    let left = status(&home, &project)["step"].as_u64();
    until(|| status(&home, &project)["step"].as_u64() > left, || "steps without the review".to_owned());
    assert!(alive(&status(&home, &project)));

    let mut terminal = Terminal::start(&home, &project);
    shows(&terminal, "approved");
    // A second one is refused, and the first is named.
    train(&mut terminal, "1", "");
    shows(&terminal, "aki trains adapter-1 in this project");
    terminal.press("w");
    shows(&terminal, "running training adapter-1");
    put_cursor(&mut terminal);
    terminal.press("x");
    patiently(&terminal, "the training's end", || !alive(&status(&home, &project)));
    let stopped = status(&home, &project);
    assert_eq!(stopped["training"]["stand"]["is"], "stopped", "{stopped}");
    let steps = stopped["training"]["stand"]["steps"].as_u64().unwrap();
    assert!(project.join("models/adapter-1/checkpoint/state.json").is_file());
    shows(&terminal, "cancelled training adapter-1");
    terminal.wait_until("predicting again", |lines| !lines.iter().any(|line| line.contains("nothing is predicted while")));
    // It is taken up again where it stopped.
    put_cursor(&mut terminal);
    terminal.press("+");
    patiently(&terminal, "the training again", || alive(&status(&home, &project)));
    patiently(&terminal, "further steps", || status(&home, &project)["step"].as_u64() > Some(steps));
    terminal.press("q");
    terminal.ended();
    assert!(!alive(&json(&home, &project, &["train", "--stop"])));
}

#[test]
fn what_was_trained_predicts_and_what_changed_is_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = boards(folder.path());
    let mut terminal = Terminal::start(&home, &project);
    patiently(&terminal, "predictions", || predicted(&home, &project, None) == 24);
    train(&mut terminal, "6", "--lr 0.05 --warm-up 1");
    patiently(&terminal, "the adapter's predictions", || predicted(&home, &project, Some("adapter-1")) == 24);
    // It is said, and nothing else happens.
    shows(&terminal, "predictions differ (m c shows them)");
    shows(&terminal, "sample");
    assert_eq!(in_use(&home, &project), None);
    // Whoever comes back later is told as well.
    terminal.press("q");
    terminal.ended();
    let mut terminal = Terminal::start(&home, &project);
    shows(&terminal, "predictions differ (m c shows them)");
    let count: usize = {
        let lines = terminal.lines();
        let line = lines.iter().find(|line| line.contains("predictions differ (m c")).unwrap();
        line.split("adapter-1: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    assert!(count > 0, "a training with steps that long changes something");
    terminal.press("mc");
    let all = format!("1 / {count}");
    terminal.wait_until("the queue of changes", |lines| lines[0].contains("queue") && lines[0].ends_with(&all));
    shows(&terminal, "approved");
    terminal.press("q");
    terminal.ended();
    assert_eq!(in_use(&home, &project).as_deref(), Some("adapter-1"));
    // What has been seen is not offered again.
    let mut terminal = Terminal::start(&home, &project);
    shows(&terminal, "approved");
    terminal.press("w");
    shows(&terminal, "in use: demo + adapter-1");
    shows(&terminal, "done training adapter-1");
    assert!(!terminal.lines().iter().any(|line| line.contains("m c shows them")));
    terminal.press("q");
    terminal.ended();
}
