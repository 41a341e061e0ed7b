//! Promise: `mekiki train` ends with a model that predicts, goes on where it was interrupted, and says what it cannot do.
#![allow(clippy::unwrap_used)]

mod cli_support;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use cli_support::{mekiki, run};

/// Options of a run that takes a moment.
const SHORT: [&str; 14] = [
    "--batch",
    "2",
    "--width",
    "112",
    "--device",
    "cpu",
    "--evaluate-on",
    "2",
    "--evaluate-every",
    "2",
    "--log-every",
    "1",
    "--threads",
    "1",
];

fn train<'a>(steps: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    ["train", "--steps", steps].iter().chain(&SHORT).chain(arguments).copied().collect()
}

fn log(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A project of small boards, its samples imported, and a tiny model.
fn project(dir: &Path) {
    let path = dir.to_str().unwrap();
    assert_eq!(run(dir, &["boards", path, "--count", "6", "--pools", "2", "--width", "112"]).0, 0);
    assert_eq!(run(dir, &["import", dir.join("samples.jsonl").to_str().unwrap()]).0, 0);
    assert_eq!(run(dir, &["model", "new", dir.join("models/demo").to_str().unwrap(), "--shape", "tiny"]).0, 0);
}

#[test]
fn approved_samples_are_learnt_from_and_the_model_predicts() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let (code, refused) = run(dir.path(), &train("2", &["-o", "new"]));
    assert!(code == 1 && refused["error"].as_str().unwrap().contains("no approved samples"), "{refused}");
    assert!(!dir.path().join("models/new").exists());
    assert_eq!(run(dir.path(), &["approve", "--where", "labelled"]).0, 0);
    let (code, trained) = run(dir.path(), &train("2", &["-o", "new"]));
    assert_eq!((code, &trained["finished"], &trained["steps"], &trained["samples"]), (0, &true.into(), &2.into(), &4.into()));
    // Six boards cannot show eight defects.
    let warnings: Vec<&str> = trained["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(warnings.iter().any(|line| line.starts_with("defect_mode: ")), "{warnings:?}");
    let events = log(&dir.path().join("models/new/train.jsonl"));
    assert_eq!(events.iter().filter(|event| event["event"] == "step").count(), 2);
    // The plan's figure first, and beside it what was taken.
    assert!(events[0]["event"] == "planned" && events[0]["memory"] == trained["planned_memory"], "{events:?}");
    assert!(events[1]["answer_loss"].as_f64().unwrap() > 0.0);
    assert!(trained["planned_memory"].as_u64().unwrap() > 1 << 20);
    if cfg!(target_os = "linux") {
        assert!(trained["peak_memory"].as_u64().unwrap() > 1 << 20 && events[1]["peak_memory"].is_u64());
    }
    let (code, again) = run(dir.path(), &train("2", &["-o", "same", "--recompute", "always"]));
    assert!(code == 0 && again["planned_memory"].as_u64() < trained["planned_memory"].as_u64(), "{again}");
    let (one, other) = (log(&dir.path().join("models/new/train.jsonl")), log(&dir.path().join("models/same/train.jsonl")));
    let loss = |log: &[Value]| log[2]["answer_loss"].as_f64().unwrap();
    assert!((loss(&one) - loss(&other)).abs() < 1e-5 && other[0]["recompute"] == true, "{one:?} {other:?}");
    let (code, predicted) = run(dir.path(), &["predict", "--model", "new", "--device", "cpu"]);
    assert_eq!((code, &predicted["predicted"]), (0, &6.into()));
    let (code, again) = run(dir.path(), &train("2", &["-o", "new"]));
    assert!(code == 1 && again["error"].as_str().unwrap().contains("not empty"), "{again}");
}

#[test]
fn generated_boards_need_no_project() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    let arguments = ["-o", out.to_str().unwrap(), "--boards", "7", "--shape", "tiny"];
    let (code, trained) = run(dir.path(), &train("2", &arguments));
    assert_eq!((code, &trained["path"]), (0, &out.to_str().unwrap().into()));
    assert!(["config.json", "tokenizer.json", "model.safetensors", "preprocessor_config.json"].iter().all(|name| out.join(name).is_file()));
    let there = dir.path().join("often");
    let mut often = vec!["-o", there.to_str().unwrap(), "--boards", "7", "--shape", "tiny", "--often"];
    often.push("burr=4");
    assert_eq!(run(dir.path(), &train("2", &often)).0, 0);
    for (wrong, expected) in [("burr=0", "1 to 100"), ("crumb=2", "scratch, dent"), ("burr", "burr=4")] {
        *often.last_mut().unwrap() = wrong;
        let told = mekiki(dir.path(), &train("2", &often)).output().unwrap();
        let text = String::from_utf8_lossy(&told.stderr).into_owned() + &String::from_utf8_lossy(&told.stdout);
        assert!(told.status.code() == Some(2) && text.contains(expected), "{wrong}: {text}");
    }
    let (code, wrong) = run(dir.path(), &train("2", &["-o", "x", "--boards", "7", "--shape", "middling"]));
    assert!(code == 2 && wrong["error"].as_str().unwrap().contains("tiny, small"), "{wrong}");
    std::fs::write(out.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    let other = dir.path().join("other");
    let (code, wrong) = run(dir.path(), &train("2", &["-o", other.to_str().unwrap(), "--boards", "7", "--from", out.to_str().unwrap()]));
    assert!(code == 1 && wrong["error"].as_str().unwrap().contains("qwen3_vl"), "{wrong}");
    assert!(!other.exists());
}

#[test]
fn an_interrupted_run_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    let arguments = ["-o", out.to_str().unwrap(), "--boards", "7", "--shape", "tiny"];
    let mut child = mekiki(dir.path(), &train("100000", &arguments)).stdout(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let steps = || std::fs::read_to_string(out.join("train.jsonl")).map_or(0, |log| log.lines().count());
    while steps() < 2 && started.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let before = log(&out.join("train.jsonl"));
    let stopped = before.last().unwrap();
    assert_eq!(stopped["event"], "checkpoint");
    let done = stopped["step"].as_u64().unwrap();
    assert!(done >= 1 && out.join("checkpoint/state.json").is_file());
    let steps = (done + 1).to_string();
    let arguments = ["-o", out.to_str().unwrap(), "--boards", "7", "--shape", "tiny", "--resume"];
    let (code, trained) = run(dir.path(), &train(&steps, &arguments));
    assert_eq!((code, &trained["steps"], &trained["finished"]), (0, &(done + 1).into(), &true.into()));
    assert!(!out.join("checkpoint").exists() && out.join("model.safetensors").is_file());
    let after = &log(&out.join("train.jsonl"))[before.len()..];
    assert_eq!((&after[0]["event"], &after[1]["event"]), (&"planned".into(), &"resumed".into()));
}
