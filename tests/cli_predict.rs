//! Promise: `mekiki predict` predicts what is asked for once, also when it is killed on the way.
#![allow(clippy::unwrap_used)]

mod cli_support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use cli_support::{mekiki, predictions, project, run};

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
