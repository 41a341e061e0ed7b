//! Promise: of several processes one predicts with a model and the others ask it; each sample is predicted once, also when
//! the one that predicts is killed.
#![allow(clippy::unwrap_used)]

mod cli_support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use cli_support::{ended, predictions, project, start};

const LONG: Duration = Duration::from_secs(120);

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
