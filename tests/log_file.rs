//! Promise: with `--verbose` the log says what happened, nothing in it acts on a terminal, and no command fails for its sake.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder for the project and one for the user's state.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let project = place.project();
        let made = place.call(&["boards", project.to_str().unwrap(), "--count", "2", "--pools", "2", "--width", "112"]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        place
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
        command.env("XDG_STATE_HOME", self.state()).env("XDG_CONFIG_HOME", self.folder.path()).env_remove("MEKIKI_LOG");
        command.arg("-C").arg(self.project()).args(arguments);
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.state().join("mekiki/log/mekiki.log")
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap().lines().map(str::to_owned).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Whether a text holds a control character other than the ends of its lines.
fn acts(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

#[test]
fn all_that_happens_is_written_down_where_it_is_asked_for() {
    let place = Place::new();
    assert!(!place.log().exists(), "nothing went wrong, and nobody asked");
    let samples = place.project().join("samples.jsonl");
    let mut import = place.command(&["--verbose", "import", samples.to_str().unwrap()]);
    let child = import.stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    assert!(child.wait_with_output().unwrap().status.success());
    let lines = place.lines();
    let said = |what: &str| lines.iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {lines:#?}"));
    let begun: Vec<&str> = said(": started").split_whitespace().collect();
    assert!(begun[0].ends_with('Z') && begun[0].len() == "2026-11-23T02:15:20.000Z".len(), "{begun:?}");
    assert_eq!((begun[1], begun[2], begun[3]), ("INFO", pid.as_str(), "cli::trace:"));
    assert!(said("store opened").contains(" DEBUG "));
    let ended = said(": ended");
    assert!(ended.contains("code=0") && ended.contains("seconds="), "{ended}");
    assert!(lines.iter().all(|line| line.contains(" cli") || line.contains(" store")), "nobody else's events: {lines:#?}");
    // Less of it, from the environment; the rest follows what is there.
    let before = lines.len();
    assert!(place.command(&["stats"]).env("MEKIKI_LOG", "info").output().unwrap().status.success());
    let more = &place.lines()[before..];
    assert!(more.len() == 2 && more.iter().all(|line| line.contains(" INFO ")), "{more:#?}");
    assert!(place.command(&["stats"]).env("MEKIKI_LOG", "").output().unwrap().status.success());
    assert_eq!(place.lines().len(), before + 2);
}

#[test]
fn the_worker_says_what_it_does() {
    let place = Place::new();
    let (samples, model) = (place.project().join("samples.jsonl"), place.project().join("models/demo"));
    let done = |arguments: &[&str]| {
        let output = place.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    };
    done(&["import", samples.to_str().unwrap()]);
    done(&["model", "new", model.to_str().unwrap(), "--shape", "tiny"]);
    done(&["approve", "--where", "labelled"]);
    done(&["predict", "--model", "demo", "--device", "cpu", "--verbose"]);
    done(&["export", "--out", place.folder.path().join("set").to_str().unwrap(), "--verbose=info"]);
    let lines = place.lines();
    let mut from = lines.iter();
    for what in ["lease taken model=demo", "model loaded model=demo", "batch computed samples=", "lease given back", "training set written"]
    {
        assert!(from.any(|line| line.contains(what)), "{what}: {lines:#?}");
    }
    let stored: usize = lines.iter().filter_map(|line| line.split_once("predicted=")?.1.split(' ').next()?.parse::<usize>().ok()).sum();
    assert_eq!(stored, 2, "{lines:#?}");
}

#[test]
fn an_error_is_written_down_unasked_and_says_where_when_asked() {
    let place = Place::new();
    let nowhere = place.folder.path().join("nowhere.jsonl");
    let plain = place.call(&["import", nowhere.to_str().unwrap()]);
    assert!(plain.status.code() == Some(1) && !stderr(&plain).contains("mekiki.log"), "{}", stderr(&plain));
    let lines = place.lines();
    assert!(lines.len() == 1 && lines[0].contains(" ERROR ") && lines[0].contains("nowhere.jsonl"), "{lines:#?}");
    let asked = place.call(&["import", nowhere.to_str().unwrap(), "--verbose"]);
    let last = stderr(&asked).lines().last().unwrap().to_owned();
    assert_eq!(last, format!("the log is {}", place.log().display()));
    let doctor = place.call(&["--json", "doctor"]);
    let found: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(found["files"]["log"]["path"].as_str(), place.log().to_str());
    assert!(found["files"]["log"]["problem"].is_null());
}

#[test]
fn no_command_fails_for_the_sake_of_its_log() {
    let place = Place::new();
    let fails = |place: &Place| {
        let output = place.call(&["stats", "--verbose"]);
        assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
        let wrong = place.call(&["show", "nobody", "--verbose"]);
        assert!(wrong.status.code() == Some(1) && stderr(&wrong).lines().last().unwrap().starts_with("there is no log: "));
        let doctor = place.call(&["--json", "doctor"]);
        let found: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
        assert!(found["files"]["log"]["problem"].is_string(), "{found}");
    };
    // A file where the folder should be.
    fs::write(place.state(), "in the way").unwrap();
    fails(&place);
    assert_eq!(fs::read_to_string(place.state()).unwrap(), "in the way");
    // A pipe that nobody reads where the file should be.
    fs::remove_file(place.state()).unwrap();
    fs::create_dir_all(place.log().parent().unwrap()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.log(), rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    fails(&place);
}

#[test]
fn nothing_in_the_log_acts_on_a_terminal() {
    let place = Place::new();
    let id = "dst\u{1b}]0;owned\u{7}\u{202e}\nforged";
    // No sample can have this name.
    assert_eq!(place.call(&["--verbose", "show", id]).status.code(), Some(2));
    let path: &Path = &place.folder.path().join("\u{1b}[2J\rno\u{9b}2Jwhere.jsonl");
    assert_eq!(place.call(&["--verbose", "import", path.to_str().unwrap()]).status.code(), Some(1));
    let text = fs::read_to_string(place.log()).unwrap();
    assert!(text.contains("owned") && text.contains("where.jsonl"), "{text}");
    assert!(!acts(&text) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.lines().all(|line| line.starts_with("20")), "nobody forges a line: {text}");
}
