//! The real program in a pseudo-terminal: decisions from the keyboard, and a terminal that is left as it was.
#![allow(clippy::unwrap_used)]

mod pty_support;

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use pty_support::{MEKIKI, Terminal, json, until};

#[test]
fn decisions_are_made_undone_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("demo"));
    std::fs::create_dir(&home).unwrap();
    let made = Command::new(MEKIKI).args(["demo", "--no-review"]).arg(&project).env("HOME", &home).output().unwrap();
    assert!(made.status.success(), "{made:?}");
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
