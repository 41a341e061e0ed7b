//! The real program in a pseudo-terminal: decisions from the keyboard, and a terminal that is left as it was.
#![allow(clippy::unwrap_used)]

mod pty_support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use pty_support::{MEKIKI, Terminal, json, until};

/// A demo of its own.
fn demo(folder: &Path) -> (PathBuf, PathBuf) {
    let (home, project) = (folder.join("home"), folder.join("demo"));
    std::fs::create_dir(&home).unwrap();
    let made = Command::new(MEKIKI).args(["demo", "--no-review"]).arg(&project).env("HOME", &home).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    (home, project)
}

#[test]
fn decisions_are_made_undone_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = demo(folder.path());
    let approved = |count: u64| {
        until(|| json(&home, &project, &["stats"])["approved"] == count, || format!("{count} approved"));
    };

    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_for("raw-0001");
    terminal.wait_for("undecided");
    terminal.press("a");
    approved(1);
    // The fifth field is the position: two keys name a cell, a third accepts all.
    terminal.press("\x1b[15~c4a");
    approved(2);
    assert_eq!(json(&home, &project, &["show", "raw-0002", "--no-images"])["label"]["position"], "C4");
    terminal.press("u");
    approved(1);
    terminal.press("q");
    terminal.ended();

    let terminal = Terminal::start(&home, &project);
    terminal.wait_for("raw-000");
    terminal.wait_for("undecided");
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    terminal.ended();
    assert_eq!(json(&home, &project, &["stats"])["approved"], 1);
}

#[test]
fn a_dropped_connection_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = demo(folder.path());
    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_until("the first sample", |lines| lines.iter().any(|line| line.contains("raw-0001")) && lines[12].starts_with('▀'));
    terminal.press("a");
    until(|| json(&home, &project, &["stats"])["approved"] == 1, || "approved".to_owned());
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    until(|| terminal.child.try_wait().unwrap().is_some(), || "the program's end".to_owned());
    assert!(terminal.is_plain());
    drop(terminal);
    // The next session begins where this one stood.
    let terminal = Terminal::start(&home, &project);
    terminal.wait_until("the second sample", |lines| lines.iter().any(|line| line.contains("raw-0002")));
}

#[test]
fn a_suspended_program_gives_the_terminal_back_and_comes_again() {
    if Command::new("bash").arg("--version").output().is_err() {
        println!("skipped: there is no bash, which suspends programs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = demo(folder.path());
    let mut terminal = Terminal::run(&home, &project, &["bash", "--norc", "--noprofile", "-i", "-s"]);
    terminal.press(&format!("{MEKIKI} review --reviewer aki -C {}\n", project.display()));
    let first = |lines: &[String]| lines.iter().any(|line| line.contains("raw-0001")) && lines[12].starts_with('▀');
    terminal.wait_until("the first sample", first);
    terminal.press("\x1a");
    terminal.wait_until("the shell", |lines| lines.iter().any(|line| line.contains("Stopped")));
    assert!(terminal.is_plain() || !first(&terminal.lines()));
    terminal.press("fg\n");
    terminal.wait_until("the first sample again", first);
    terminal.press("a");
    until(|| json(&home, &project, &["stats"])["approved"] == 1, || "approved".to_owned());
    terminal.press("q");
    terminal.wait_until("the shell again", |lines| !first(lines) && lines.iter().any(|line| line.contains("Stopped")));
}

#[test]
fn another_size_is_drawn_anew_without_debris() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = demo(folder.path());
    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_until("the first sample", |lines| lines.iter().any(|line| line.contains("raw-0001")) && lines[12].starts_with('▀'));
    for (columns, rows) in [(80, 24), (150, 44), (120, 40)] {
        terminal.resize(columns, rows);
        let last = usize::from(rows) - 1;
        terminal.wait_until("the status line", |lines| lines.len() == last + 1 && lines[last].contains("240"));
        assert_eq!(terminal.lines().iter().filter(|line| line.contains("240 ")).count(), 1);
    }
    terminal.press("a");
    until(|| json(&home, &project, &["stats"])["approved"] == 1, || "approved".to_owned());
    terminal.press("q");
    terminal.ended();
}

#[test]
fn nothing_is_sent_while_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = demo(folder.path());
    let mut terminal = Terminal::run(&home, &project, &[MEKIKI, "review", "--no-predict"]);
    terminal.wait_until("the first sample", |lines| lines.iter().any(|line| line.contains("raw-0001")) && lines[12].starts_with('▀'));
    // Two whole seconds in which the clock ticks and nothing is written; pictures of neighbours are made before.
    let started = Instant::now();
    let (mut before, mut since) = (terminal.written(), Instant::now());
    while since.elapsed() < Duration::from_millis(2500) {
        assert!(started.elapsed() < Duration::from_secs(60), "something is written again and again");
        std::thread::sleep(Duration::from_millis(50));
        if terminal.written() != before {
            (before, since) = (terminal.written(), Instant::now());
        }
    }
    terminal.press("q");
    terminal.ended();
}
