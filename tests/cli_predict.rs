//! Promise: `mekiki predict` predicts what is asked for once, also when it is killed on the way.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn mekiki(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.arg("-C").arg(dir).arg("--json").args(arguments);
    command
}

/// Exit code, and the object.
fn run(dir: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = mekiki(dir, arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}")))
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

#[test]
fn predicts_once_per_source() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "4");
    let (code, first) = run(dir.path(), &["predict", "--device", "cpu"]);
    assert_eq!((code, &first["predicted"], &first["failed"], &first["model"]), (0, &4.into(), &0.into(), &"demo".into()));
    assert_eq!((&first["device"], first["per_second"].as_f64().unwrap() > 0.0), (&"cpu".into(), true));
    assert_eq!(predictions(dir.path()), 4);
    let (code, again) = run(dir.path(), &["predict"]);
    assert_eq!((code, &again["predicted"]), (0, &0.into()));
    std::fs::remove_file(std::fs::read_dir(dir.path().join("boards")).unwrap().next().unwrap().unwrap().path()).unwrap();
    let (code, one_shot) = run(dir.path(), &["predict", "--kind", "one-shot", "--batch", "3"]);
    assert_eq!((code, &one_shot["predicted"], &one_shot["failed"]), (1, &3.into(), &1.into()));
    assert_eq!(predictions(dir.path()), 7);
    let (code, wrong) = run(dir.path(), &["predict", "--model", "nowhere"]);
    assert!(code == 1 && wrong["error"].as_str().unwrap().contains("nowhere"), "{wrong}");
}

#[test]
fn a_broken_checkpoint_is_named() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "1");
    let weights = dir.path().join("models/demo/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let (code, said) = run(dir.path(), &["predict"]);
    assert!(code == 1 && said["error"].as_str().unwrap().contains("model.safetensors"), "{said}");
}

#[test]
fn goes_on_where_it_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), "12");
    let mut child = mekiki(dir.path(), &["predict", "--batch", "1"]).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while predictions(dir.path()) == 0 && child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = predictions(dir.path());
    assert!(before > 0);
    let (code, rest) = run(dir.path(), &["predict"]);
    assert_eq!((code, before + rest["predicted"].as_u64().unwrap()), (0, 12));
    assert_eq!(predictions(dir.path()), 12);
}
