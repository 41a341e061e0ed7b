//! Promise: `mekiki similar` looks at each picture once and says which look alike.
#![allow(clippy::unwrap_used)]

mod cli_support;

use std::path::Path;

use serde_json::Value;

use cli_support::run;

fn count(dir: &Path, filter: &str) -> u64 {
    run(dir, &["stats", "--where", filter]).1["samples"].as_u64().unwrap()
}

#[test]
fn pictures_are_looked_at_once_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, path) = (dir.path(), dir.path().to_str().unwrap());
    assert_eq!(run(dir, &["boards", path, "--count", "6", "--pools", "2", "--width", "112"]).0, 0);
    let rows = std::fs::read_to_string(dir.join("samples.jsonl")).unwrap();
    // The first picture once more, under another name.
    let first: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    let id = first["id"].as_str().unwrap();
    std::fs::write(dir.join("samples.jsonl"), format!("{rows}{}\n", rows.lines().next().unwrap().replacen(id, "copy", 1))).unwrap();
    assert_eq!(run(dir, &["import", dir.join("samples.jsonl").to_str().unwrap()]).0, 0);
    assert_eq!(count(dir, ""), 7);
    assert_eq!(run(dir, &["model", "new", dir.join("models/demo").to_str().unwrap(), "--shape", "tiny"]).0, 0);

    let (code, found) = run(dir, &["similar", "--device", "cpu", "--batch", "2", "--clusters", "2"]);
    assert_eq!((code, &found["vectors"], &found["computed"], &found["failed"]), (0, &7.into(), &7.into(), &0.into()), "{found}");
    assert_eq!((&found["duplicates"], count(dir, "duplicate id=copy")), (&1.into(), 1));
    assert_eq!(count(dir, "cluster=0") + count(dir, "cluster=1"), 7);
    assert_eq!(count(dir, "outlier>0.5"), found["outliers"].as_u64().unwrap());

    // Again, on some: nothing is looked at anew, and the others belong to no group.
    let (_, again) = run(dir, &["similar", "--where", "!duplicate"]);
    assert_eq!((&again["vectors"], &again["computed"], &again["duplicates"]), (&6.into(), &0.into(), &0.into()), "{again}");
    assert_eq!((count(dir, "cluster="), count(dir, "duplicate")), (1, 0));
    let (_, shown) = run(dir, &["show", id]);
    assert!(shown["cluster"].is_u64() && shown["outlier"].is_number() && shown["duplicate_of"].is_null(), "{shown}");

    // A picture that is gone is named; the rest is compared.
    let mut pictures: Vec<_> = std::fs::read_dir(dir.join("boards")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pictures.sort();
    std::fs::remove_file(&pictures[2]).unwrap();
    let (code, broken) = run(dir, &["similar", "--anew"]);
    assert_eq!(code, 1);
    assert_eq!(broken["failed"].as_u64().unwrap() + broken["vectors"].as_u64().unwrap(), 7, "{broken}");
    assert!(broken["errors"][0]["error"].as_str().unwrap().contains(pictures[2].file_name().unwrap().to_str().unwrap()), "{broken}");

    let (code, wrong) = run(dir, &["similar", "--encoder", path]);
    assert!(code == 1 && wrong["error"].as_str().unwrap().contains("config.json"), "{wrong}");
    assert_eq!(run(dir, &["stats", "--where", "cluster=two"]).0, 2);
}
