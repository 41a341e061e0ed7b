//! Promise: what `mekiki train` foretells, hands to other trainers and writes beside an adapter follows from the project.
#![allow(clippy::unwrap_used)]

mod cli_support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use cli_support::run;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A project of approved small boards, and a tiny model as the project's.
fn project(dir: &Path) {
    let path = dir.to_str().unwrap();
    assert_eq!(run(dir, &["boards", path, "--count", "12", "--pools", "2", "--width", "112"]).0, 0);
    assert_eq!(run(dir, &["import", dir.join("samples.jsonl").to_str().unwrap()]).0, 0);
    assert_eq!(run(dir, &["approve", "--where", "labelled"]).0, 0);
    assert_eq!(run(dir, &["model", "new", dir.join("models/demo").to_str().unwrap(), "--shape", "tiny"]).0, 0);
}

#[test]
fn memory_is_foretold_of_the_longest_conversations() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let (code, plan) = run(dir.path(), &["train", "--plan", "--lora", "--rank", "4"]);
    assert_eq!((code, &plan["fits"], &plan["smallest"]), (0, &true.into(), &"L4 24 GB".into()));
    let passes = plan["memory"]["passes"].as_array().unwrap();
    assert_eq!(passes.iter().map(|pass| pass["load"]["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["one-shot", "zero-shot"]);
    let tokens = |nth: usize| passes[nth]["load"]["tokens"].as_u64().unwrap();
    assert!(tokens(0) > tokens(1) && tokens(1) > 100);
    // The exemplars and references are the pool's two of each type.
    let shown = passes[0]["load"]["images"].as_array().unwrap();
    assert_eq!(shown.iter().map(|image| image["different"].is_null()).collect::<Vec<_>>(), [false, false, true]);
    let (code, less) = run(dir.path(), &["train", "--plan", "--lora", "--rank", "4", "--one-shot-share", "0"]);
    assert!(code == 0 && less["memory"]["passes"].as_array().unwrap().len() == 1);
    let (code, tight) = run(dir.path(), &["train", "--plan", "--lora", "--memory", "0.1"]);
    assert_eq!((code, &tight["fits"]), (1, &false.into()));
    // What is too much is planned with less, and what is not is told how little it could be.
    assert_eq!((&plan["plan"]["recompute"], &tight["plan"]["recompute"]), (&"auto".into(), &"always".into()));
    let least = |said: &Value| (said["recomputed"]["peak"].as_u64().unwrap(), said["peak"].as_u64().unwrap());
    assert!(least(&plan).0 < least(&plan).1 && least(&tight).0 == least(&tight).1);
    let (_, never) = run(dir.path(), &["train", "--plan", "--lora", "--memory", "0.1", "--recompute", "never"]);
    assert!(never["advice"].as_array().unwrap().iter().any(|advice| advice["change"].as_str().unwrap().starts_with("--recompute ")));
    assert!(tight["advice"].as_array().unwrap().iter().any(|advice| advice["change"].as_str().unwrap().starts_with("--micro-batch ")));
}

#[test]
fn jobs_of_other_trainers_name_the_data_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let out = dir.path().join("jobs/trl");
    let job = |trainer: &str, out: &Path| {
        let (out, lora) = (out.to_str().unwrap(), ["--lora", "--rank", "4", "--batch", "8", "--micro-batch", "1", "--gpus", "2"]);
        run(dir.path(), &[&["train", "--emit", trainer, "--out", out][..], &lora].concat())
    };
    let (code, told) = job("trl", &out);
    assert_eq!((code, &told["gpus"]), (0, &2.into()), "{told}");
    let made: Value = serde_json::from_str(&read(&out.join("job.json"))).unwrap();
    assert_eq!((&made["sft"]["gradient_accumulation_steps"], &made["lora"]["r"]), (&4.into(), &4.into()));
    assert!(Path::new(made["model"].as_str().unwrap()).join("config.json").is_file());
    let rows = read(&out.join("data/metadata.jsonl")).lines().count() as u64;
    assert!(rows > 0 && told["conversations"] == rows);
    let out = dir.path().join("jobs/llamafactory");
    assert_eq!(job("llamafactory", &out).0, 0);
    let yaml = read(&out.join("train.yaml"));
    let list: Value = serde_json::from_str(&read(&out.join("data/dataset_info.json"))).unwrap();
    let named = yaml.lines().find_map(|line| line.strip_prefix("dataset: ")).unwrap().trim_matches('"');
    assert!(list.get(named).is_some(), "{named} of {list}");
    // A folder that holds something is left as it is; what is drawn on the way is in no data set.
    assert_eq!(job("llamafactory", &out).0, 1);
    let code = Command::new(env!("CARGO_BIN_EXE_mekiki"))
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(["train", "--emit", "trl", "--boards", "1", "--out", "nowhere"])
        .current_dir(dir.path())
        .output()
        .unwrap()
        .status
        .code();
    assert_eq!(code, Some(2));
}

#[test]
fn an_adapter_comes_with_its_card_and_predicts() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let short = ["--steps", "2", "--batch", "2", "--micro-batch", "1", "--evaluate-on", "2", "--device", "cpu"];
    let first = [&["train", "--lora", "--rank", "2", "--vision", "--license", "mit", "--out", "first"][..], &short].concat();
    let (code, told) = run(dir.path(), &first);
    assert_eq!(code, 0, "{told}");
    let out = dir.path().join("models/first");
    let card = read(&out.join("README.md"));
    let front = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0;
    assert!(front.contains("library_name: peft") && front.contains("license: \"mit\"") && front.contains("- qwen3_vl"), "{front}");
    assert!(card.contains("approved samples") && card.contains("data hash (BLAKE3)") && card.contains("\"rank\": 2"), "{card}");
    let adapter = out.to_str().unwrap();
    let (code, predicted) = run(dir.path(), &["predict", "--adapter", adapter, "--device", "cpu"]);
    assert_eq!((code, &predicted["predicted"]), (0, &12.into()));
    // And a second run goes on from it.
    let second = [&["train", "--lora", "--adapter", adapter, "--out", "second"][..], &short].concat();
    assert_eq!(run(dir.path(), &second).0, 0);
    let settings: Value = serde_json::from_str(&read(&dir.path().join("models/second/adapter_config.json"))).unwrap();
    assert_eq!((&settings["r"], &settings["lora_alpha"]), (&2.into(), &4.into()));
}
