//! Promise: of several processes one predicts with a model and the others ask it; each sample is predicted once, also when
//! the one that predicts is killed.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const LONG: Duration = Duration::from_secs(120);

fn mekiki(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.arg("-C").arg(dir).arg("--json").args(arguments);
    command
}

fn run(dir: &Path, arguments: &[&str]) -> (i32, Value) {
    ended(mekiki(dir, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Exit code, and the object.
fn ended(child: Child) -> (i32, Value) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn start(dir: &Path, arguments: &[&str]) -> Child {
    mekiki(dir, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A project of `count` small boards, and a tiny model as the project's.
fn project(dir: &Path, count: &str) {
    let path = dir.to_str().unwrap();
    assert_eq!(run(dir, &["boards", path, "--count", count, "--pools", "2", "--width", "112"]).0, 0);
    assert_eq!(run(dir, &["import", dir.join("samples.jsonl").to_str().unwrap()]).0, 0);
    assert_eq!(run(dir, &["model", "new", dir.join("models/demo").to_str().unwrap(), "--shape", "tiny"]).0, 0);
}

fn predictions(dir: &Path) -> u64 {
    let (_, stats) = run(dir, &["stats"]);
    stats["predictions"].as_array().unwrap().iter().map(|source| source["predictions"].as_u64().unwrap()).sum()
}

/// The numbers of the predictions, which grow with each that is stored, whether it takes another's place or not.
fn newest(dir: &Path) -> i64 {
    let project = mekiki::config::load(dir).unwrap();
    mekiki::store::Store::open_read_only(dir, project.schema()).unwrap().newest_prediction().unwrap()
}

#[test]
fn two_predict_each_sample_once() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "24");
    let both = [start(dir.path(), &["predict", "--batch", "1"]), start(dir.path(), &["predict", "--batch", "1"])];
    let done: Vec<Value> = both
        .into_iter()
        .map(|child| {
            let (code, said) = ended(child);
            assert_eq!((code, &said["failed"]), (0, &0.into()), "{said}");
            said
        })
        .collect();
    let made: u64 = done.iter().map(|said| said["predicted"].as_u64().unwrap()).sum();
    assert_eq!((made, predictions(dir.path()), newest(dir.path())), (24, 24, 24), "{done:?}");
}

#[test]
fn another_goes_on_when_the_one_that_predicts_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "24");
    let mut first = start(dir.path(), &["predict", "--batch", "1"]);
    let started = Instant::now();
    while predictions(dir.path()) == 0 && first.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = start(dir.path(), &["predict", "--batch", "1", "--kind", "zero-shot"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let (code, said) = ended(second);
    assert_eq!((code, &said["failed"]), (0, &0.into()), "{said}");
    assert_eq!((predictions(dir.path()), newest(dir.path())), (24, 24));
}

#[test]
fn a_sample_without_its_image_is_told_to_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "12");
    std::fs::remove_file(std::fs::read_dir(dir.path().join("boards")).unwrap().next().unwrap().unwrap().path()).unwrap();
    let both = [start(dir.path(), &["predict", "--batch", "1"]), start(dir.path(), &["predict", "--batch", "1"])];
    for child in both {
        let (code, said) = ended(child);
        assert_eq!((code, &said["failed"]), (1, &1.into()), "{said}");
        assert!(said["errors"][0]["error"].as_str().unwrap().contains("boards"), "{said}");
    }
    assert_eq!((predictions(dir.path()), newest(dir.path())), (11, 11));
}
