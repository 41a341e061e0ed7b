//! The real binary, called as a script calls it: exit code, and the object that `--json` prints.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A command on the project in a folder; its log stays out of the user's state folder.
pub(crate) fn mekiki(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR")).arg("-C").arg(dir).arg("--json").args(arguments);
    command
}

/// The command, begun.
pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Child {
    mekiki(dir, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code, and the object.
pub(crate) fn ended(child: Child) -> (i32, Value) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// The command from its beginning to its end.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> (i32, Value) {
    ended(start(dir, arguments))
}

/// A project of `count` small boards, and a tiny model as the project's.
pub(crate) fn project(dir: &Path, count: &str) {
    let path = dir.to_str().unwrap();
    assert_eq!(run(dir, &["boards", path, "--count", count, "--pools", "2", "--width", "112"]).0, 0);
    assert_eq!(run(dir, &["import", dir.join("samples.jsonl").to_str().unwrap()]).0, 0);
    assert_eq!(run(dir, &["model", "new", dir.join("models/demo").to_str().unwrap(), "--shape", "tiny"]).0, 0);
}

/// How many predictions the project holds.
pub(crate) fn predictions(dir: &Path) -> u64 {
    let (_, stats) = run(dir, &["stats"]);
    stats["predictions"].as_array().unwrap().iter().map(|source| source["predictions"].as_u64().unwrap()).sum()
}
