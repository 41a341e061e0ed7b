//! Promise: one training at a time in a project; one that goes on by itself survives its terminal, stops when it is asked to,
//! and is gone on with.
#![allow(clippy::unwrap_used)]

mod learn_support;
mod pty_support;

use rustix::process::{Pid, Signal, kill_process};

use learn_support::{SHORT, alive, boards, options, status};
use pty_support::{MEKIKI, Terminal, json, mekiki, until};

#[test]
fn it_survives_its_terminal_and_is_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = boards(folder.path());
    let endless = options("first", "100000");
    let arguments: Vec<&str> = [MEKIKI, "train", "--detach"].into_iter().chain(endless.iter().map(String::as_str)).collect();
    let mut terminal = Terminal::run(&home, &project, &arguments);
    // The leader of a session that ends takes what stays in the session with it.
    until(|| terminal.child.try_wait().unwrap().is_some(), || "the command's end".to_owned());
    assert!(terminal.child.wait().unwrap().success(), "{}", terminal.lines().join("\n"));
    drop(terminal);
    let begun = status(&home, &project);
    assert!(alive(&begun), "{begun}");
    let pid = Pid::from_raw(i32::try_from(begun["training"]["pid"].as_i64().unwrap()).unwrap()).unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid, "it has a session of its own");
    kill_process(pid, Signal::HUP).unwrap();
    until(|| status(&home, &project)["step"].as_u64() > Some(1), || "steps".to_owned());
    assert!(alive(&status(&home, &project)));

    let second = options("second", "2");
    let arguments: Vec<&str> = ["train"].into_iter().chain(second.iter().map(String::as_str)).collect();
    let refused = json(&home, &project, &arguments);
    assert!(refused["error"].as_str().unwrap().starts_with("aki trains first in this project"), "{refused}");
    let refused = json(&home, &project, &[&arguments[..], &["--detach"]].concat());
    assert!(refused["error"].as_str().unwrap().starts_with("aki trains first in this project"), "{refused}");
    assert!(!project.join("models/second").exists());

    let stopped = json(&home, &project, &["train", "--stop"]);
    assert!(!alive(&stopped) && stopped["training"]["stand"]["is"] == "stopped", "{stopped}");
    let done = stopped["training"]["stand"]["steps"].as_u64().unwrap();
    assert!(done > 1 && project.join("models/first/checkpoint/state.json").is_file());
    let again = options("first", &(done + 1).to_string());
    let arguments: Vec<&str> = ["train", "--resume"].into_iter().chain(again.iter().map(String::as_str)).collect();
    let trained = json(&home, &project, &arguments);
    assert_eq!((&trained["finished"], &trained["steps"]), (&true.into(), &(done + 1).into()), "{trained}");
    assert_eq!(status(&home, &project)["training"]["stand"]["is"], "finished");
}

#[test]
fn one_that_cannot_begin_says_why_and_one_that_is_killed_frees_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = boards(folder.path());
    let nowhere = json(&home, folder.path(), &["train", "--detach", "--boards", "1", "-o", "x"]);
    assert!(nowhere["error"].as_str().unwrap().contains("needs a project"), "{nowhere}");
    std::fs::create_dir_all(project.join("models/full/of")).unwrap();
    let arguments = options("full", "2");
    let arguments: Vec<&str> = ["train", "--detach"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let refused = json(&home, &project, &arguments);
    let why = refused["error"].as_str().unwrap();
    assert!(why.starts_with("the training could not begin: ") && why.contains("is not empty"), "{why}");

    let mut child =
        mekiki(&home, &project, &[&[MEKIKI, "train", "--shape", "tiny", "-o", "killed", "--steps", "100000"], &SHORT[..]].concat())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
    until(|| status(&home, &project)["step"].as_u64() > Some(0), || "a step".to_owned());
    assert!(alive(&status(&home, &project)));
    // A connection that drops ends it with a checkpoint, as Ctrl-C does.
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(status(&home, &project)["training"]["stand"]["is"], "stopped");
    let mut child =
        mekiki(&home, &project, &[&[MEKIKI, "train", "--shape", "tiny", "-o", "other", "--steps", "100000"], &SHORT[..]].concat())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
    until(|| status(&home, &project)["training"]["stand"]["is"] == "running", || "another one".to_owned());
    child.kill().unwrap();
    child.wait().unwrap();
    let silent = status(&home, &project);
    assert!(!alive(&silent) && silent["training"]["stand"]["is"] == "running", "{silent}");
    assert_eq!(json(&home, &project, &["train", "--stop"])["error"], "no training goes on in this project");
}
