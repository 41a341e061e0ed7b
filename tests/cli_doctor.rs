//! Promise: `mekiki doctor` says what is there, says what to do about what is not, and never waits for it.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Exit code, and the object; the user's settings are those of `home`.
fn doctor(home: &Path, dir: &Path, arguments: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("XDG_CONFIG_HOME", home).env_remove("LAB_KEY").stdin(Stdio::null());
    let output = command.arg("-C").arg(dir).args(["--json", "doctor"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn mekiki(dir: &Path, arguments: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_mekiki"))
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .arg("-C")
        .arg(dir)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "{arguments:?}");
}

/// What is wrong, with its help, all in one text.
fn wrong(found: &Value) -> String {
    let notes = found["notes"].as_array().unwrap().iter().filter(|note| note["problem"] == true);
    let texts: Vec<String> = notes.map(|note| format!("{} → {}", note["what"].as_str().unwrap(), note["help"].as_str().unwrap())).collect();
    texts.join("\n")
}

#[test]
fn outside_of_a_project_it_looks_at_the_machine() {
    let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, found) = doctor(home.path(), dir.path(), &[]);
    assert_eq!((&found["project"]["found"], &found["terminal"]["asked"]), (&Value::Bool(false), &Value::Bool(false)));
    assert!(found["machine"]["threads"].as_u64().unwrap() > 0 && found["machine"]["gpus"].is_array());
    assert!(found["build"]["features"].is_array() && found["files"]["settings"]["found"] == false);
}

#[test]
fn a_project_is_looked_through() {
    let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path();
    mekiki(path, &["boards", path.to_str().unwrap(), "--count", "3", "--pools", "2", "--width", "112"]);
    mekiki(path, &["import", path.join("samples.jsonl").to_str().unwrap()]);
    let (code, found) = doctor(home.path(), path, &[]);
    assert!(code == 1 && wrong(&found).contains("mekiki model new"), "{found}");
    mekiki(path, &["model", "new", path.join("models/demo").to_str().unwrap(), "--shape", "tiny"]);
    let (_, found) = doctor(home.path(), path, &[]);
    let (store, model) = (&found["store"], &found["models"]["checkpoints"]["demo"]);
    assert_eq!((&store["samples"], &store["journal"], &model["family"]), (&3.into(), &"wal".into(), &"Qwen3-VL".into()));
    assert!(model["parameters"].as_u64().unwrap() > 100_000 && model["devices"][0]["needs"].as_u64() > model["bytes"].as_u64());
    std::fs::write(path.join("models/demo/model.safetensors"), b"cut").unwrap();
    let (code, found) = doctor(home.path(), path, &[]);
    assert!(code == 1 && wrong(&found).contains("model.safetensors"), "{found}");
    std::fs::write(path.join(".mekiki/store.sqlite"), b"no store, but long enough to be looked at").unwrap();
    assert!(wrong(&doctor(home.path(), path, &[]).1).contains("expected a mekiki store"));
    std::fs::write(path.join("mekiki.toml"), "[project]\nname = 3\n").unwrap();
    assert!(wrong(&doctor(home.path(), path, &[]).1).contains("mekiki.toml:2"));
}

#[test]
fn servers_are_asked_only_when_told_to() {
    let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::create_dir(home.path().join("mekiki")).unwrap();
    let settings = home.path().join("mekiki/settings.toml");
    std::fs::write(&settings, format!("[servers.lab]\nurl = \"http://127.0.0.1:{port}/v1\"\n")).unwrap();
    let (_, found) = doctor(home.path(), dir.path(), &[]);
    assert!(found["servers"]["servers"]["lab"]["asked"] == false && !wrong(&found).contains("lab"), "{found}");
    let (code, found) = doctor(home.path(), dir.path(), &["--servers"]);
    assert!(code == 1 && wrong(&found).contains("the server lab cannot be reached"), "{found}");
    std::fs::write(&settings, "[servers.lab]\nurl = \"http://127.0.0.1:1/v1\"\nkey_env = \"LAB_KEY\"\n").unwrap();
    assert!(wrong(&doctor(home.path(), dir.path(), &[]).1).contains("export LAB_KEY"));
    std::fs::write(&settings, "[servers.lab]\nurl = 7\n").unwrap();
    assert!(wrong(&doctor(home.path(), dir.path(), &[]).1).contains("settings.toml:2"));
}
