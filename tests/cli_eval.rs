//! Promise: `mekiki eval` and `mekiki compare` measure what is stored, make what is missing, and say what is wrong.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A model without a checkpoint: what is measured of it came by `predict --from`.
const MODEL: &str = "elsewhere";

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn demo() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        let (code, made) = call(&["demo", project.path().to_str().unwrap(), "--no-review"]);
        assert_eq!((code, &made["samples"]), (0, &json!(240)));
        project
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("demo")
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    fn call(&self, args: &[&str]) -> (i32, Value) {
        let dir = self.path();
        call(&[&["-C", dir.to_str().unwrap()], args].concat())
    }

    fn truth(&self) -> Vec<Value> {
        fs::read_to_string(self.file("truth.jsonl")).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Stores predictions: the truth, changed by `change`, said with this probability.
    fn predict(&self, kind: &str, exemplar: &str, p: f64, mut change: impl FnMut(usize, &mut Value)) {
        let mut lines = Vec::new();
        for (index, truth) in self.truth().into_iter().enumerate() {
            let mut told = truth.clone();
            change(index, &mut told);
            let mut fields = serde_json::Map::new();
            for id in ["image_type", "quantity", "judgement", "defect_mode", "position"] {
                let other = match id {
                    "image_type" => "CYLN_DST",
                    "quantity" => "26",
                    "judgement" if told[id] == "passed" => "defective",
                    "judgement" | "defect_mode" => "passed",
                    _ => "U1",
                };
                let text = told[id].as_str().map_or_else(|| told[id].to_string(), str::to_owned);
                let mut probabilities = json!({ &text: 1.0 });
                if id == "judgement" {
                    probabilities = json!({ &text: p, other: 1.0 - p });
                }
                fields.insert(id.to_owned(), json!({ "value": told[id], "probabilities": probabilities }));
            }
            let line = json!({ "id": truth["id"], "model": MODEL, "kind": kind, "exemplar": exemplar, "fields": fields });
            lines.push(line.to_string());
        }
        let file = self.file("predictions.jsonl");
        fs::write(&file, lines.join("\n")).unwrap();
        let (code, done) = self.call(&["predict", "--from", &file]);
        assert_eq!((code, &done["predicted"]), (0, &json!(240)), "{done}");
    }
}

/// Exit code, and the object that is printed.
fn call(args: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_mekiki"))
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}")))
}

/// A defective board is called good.
fn escape(told: &mut Value) {
    for (field, value) in [("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")] {
        told[field] = json!(value);
    }
}

#[test]
fn figures_against_a_truth_file() {
    let project = Project::demo();
    let defective: Vec<usize> = (0..240).filter(|n| project.truth()[*n]["judgement"] == "defective").collect();
    let escaped = &defective[..6];
    project.predict("zero-shot", "right", 0.9, |n, told| {
        if escaped.contains(&n) {
            escape(told);
        }
    });
    project.predict("one-shot", "right", 0.9, |_, _| {});
    project.predict("one-shot", "wrong", 0.9, |n, told| {
        if defective[..30].contains(&n) {
            told["position"] = json!(if told["position"] == "C5" { "C6" } else { "C5" });
        }
    });
    let truth = project.file("truth.jsonl");
    let (code, told) = project.call(&["eval", "--model", MODEL, "--truth", &truth]);
    assert_eq!(code, 0, "{told}");
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 1e-9;
    let zero = &told["zero-shot"];
    assert_eq!((&zero["samples"], &zero["missing"], &zero["valid"]), (&json!(240), &json!(0), &json!(1.0)));
    assert!(near(&zero["whole_answer"], 234.0 / 240.0) && near(&zero["fields"]["position"]["exact"], 234.0 / 240.0));
    assert_eq!(
        (&zero["judgement"]["missed"], &zero["judgement"]["false_alarms"], &zero["judgement"]["good"]),
        (&json!(6), &json!(0), &json!("passed"))
    );
    let (found, all) = (defective.len() as f64 - 6.0, defective.len() as f64);
    assert!(near(&zero["judgement"]["f1"], 2.0 * found / (2.0 * found + 6.0)));
    assert!(near(&zero["judgement"]["balanced_accuracy"], f64::midpoint(found / all, 1.0)));
    assert_eq!(zero["fields"]["position"]["address"]["overlooked"], 6);
    assert_eq!(zero["fields"]["judgement"]["confusion"]["values"], json!(["passed", "defective"]));
    let ece = zero["fields"]["judgement"]["calibration"]["ece"].as_f64().unwrap();
    assert!((ece - (234.0 / 240.0 - 0.9)).abs() < 1e-6, "{ece}");
    let one = &told["one-shot"];
    assert_eq!((&one["whole_answer"], &one["judgement"]["mcc"]), (&json!(1.0), &json!(1.0)));
    let controls = &one["controls"];
    assert!(near(&controls["wrong"]["changed"], 30.0 / 240.0) && near(&controls["wrong"]["whole_answer"], 210.0 / 240.0));
    // Without its exemplar the question is the zero-shot one.
    assert!(near(&controls["none"]["changed"], 6.0 / 240.0) && controls["none"]["source"]["kind"] == "zero-shot");
    assert_eq!(controls["none"]["against_report"]["whole_answer"]["p"], 0.03125);
    let again = project.call(&["eval", "--model", MODEL, "--truth", &truth]);
    assert_eq!(again.1, told, "intervals are the same each time");
    let (_, filtered) =
        project.call(&["eval", "--model", MODEL, "--truth", &truth, "--where", "type=CYLN_RAW", "--split", "test", "--kind", "one-shot"]);
    assert!(filtered.get("zero-shot").is_none() && filtered["truth"]["splits"]["train"] == 0, "{}", filtered["truth"]);
    assert_eq!(filtered["one-shot"]["samples"], filtered["truth"]["splits"]["test"]);
}

#[test]
fn approved_samples_are_the_truth_where_no_file_is() {
    let project = Project::demo();
    let (code, told) = project.call(&["eval", "--model", MODEL]);
    let error = told["error"].as_str().unwrap();
    assert!(code == 1 && error.contains("no sample is approved") && error.contains("--truth"), "{told}");
    let (code, told) = project.call(&["eval", "--model", MODEL, "--truth", &project.file("truth.jsonl")]);
    assert!(code == 1 && told["error"].as_str().unwrap().contains(MODEL), "{told}");
    project.predict("zero-shot", "right", 0.9, |_, _| {});
    project.call(&["approve", "--where", "labelled", "--take", "label"]);
    let (_, stats) = project.call(&["stats"]);
    let (code, told) = project.call(&["eval", "--model", MODEL]);
    assert_eq!((code, &told["zero-shot"]["samples"]), (0, &stats["approved"]));
    assert!(told.get("one-shot").is_none() && told["zero-shot"]["whole_answer"].as_f64().unwrap() > 0.8);
    let (code, told) = project.call(&["eval", "--model", MODEL, "--where", "id=nobody"]);
    assert!(code == 1 && told["error"].as_str().unwrap().contains("--where"), "{told}");
}

#[test]
fn a_truth_file_is_told_what_is_wrong_with_it() {
    let project = Project::demo();
    project.predict("zero-shot", "right", 0.9, |_, _| {});
    let file = project.file("wrong.jsonl");
    let lines = [
        r#"{"id":"raw-0001","judgement":"passed"}"#,
        "",
        r#"{"id":"raw-0002","judgement":"perhaps"}"#,
        r#"{"id":"nobody","judgement":"passed"}"#,
        r#"{"id":"raw-0001","judgement":"passed"}"#,
        r#"{"judgement":"passed"}"#,
        r#"{"id":"raw-0003","judgement":"passed","position":"U3"}"#,
        r#"{"id":"dst-0004","colour":"red"}"#,
        r#"{"id":"#,
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let (code, told) = project.call(&["eval", "--model", MODEL, "--truth", &file, "--kind", "zero-shot"]);
    assert_eq!((code, &told["zero-shot"]["samples"], &told["zero-shot"]["whole_answer"]), (1, &json!(1), &json!(1.0)));
    assert_eq!(told["zero-shot"]["fields"].as_object().unwrap().len(), 1);
    let errors: Vec<(u64, Option<&str>)> = told["truth"]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["field"].as_str()))
        .collect();
    let wanted = [(3, Some("judgement")), (4, Some("id")), (5, Some("id")), (6, Some("id")), (7, Some("position")), (8, None), (9, None)];
    assert_eq!(errors, wanted, "{}", told["truth"]);
    assert!(told["truth"]["errors"].as_array().unwrap().iter().all(|error| error["file"] == json!(file)));
    fs::write(&file, lines[2]).unwrap();
    let (code, told) = project.call(&["eval", "--model", MODEL, "--truth", &file]);
    assert!(code == 1 && told["error"].as_str().unwrap().contains("wrong.jsonl:1: judgement: expected one of passed, defective"), "{told}");
    let (code, told) = project.call(&["eval", "--model", MODEL, "--truth", "/nowhere/truth.jsonl"]);
    assert!(code == 1 && told["error"].as_str().unwrap().contains("/nowhere/truth.jsonl"), "{told}");
}

#[test]
fn a_fitted_temperature_is_kept_and_used() {
    let project = Project::demo();
    // As sure as can be, and wrong on every fourth board.
    project.predict("zero-shot", "right", 0.99, |n, told| {
        if n % 4 == 0 {
            told["judgement"] = json!(if told["judgement"] == "passed" { "defective" } else { "passed" });
        }
    });
    let truth = project.file("truth.jsonl");
    let arguments = ["eval", "--model", MODEL, "--truth", &truth, "--kind", "zero-shot"];
    let ece = |told: &Value, which: &str| told["zero-shot"]["fields"]["judgement"][which]["ece"].as_f64().unwrap();
    let unsure = |project: &Project| project.call(&["stats", "--where", "confidence<0.95"]).1["samples"].as_u64().unwrap();
    let (_, before) = project.call(&arguments);
    assert!(ece(&before, "calibration") > 0.2 && before["zero-shot"]["fields"]["judgement"].get("temperature").is_none());
    assert_eq!(unsure(&project), 0);
    let (code, fitted) = project.call(&[&arguments[..], &["--fit-temperature", "--split", "test"]].concat());
    assert_eq!(code, 0, "{fitted}");
    assert!(
        fitted["temperatures"]
            .as_array()
            .unwrap()
            .iter()
            .any(|told| told["field"] == "judgement" && told["temperature"].as_f64().unwrap() > 2.0)
    );
    let (_, after) = project.call(&arguments);
    assert!(ece(&after, "calibration") < 0.1 && (ece(&after, "uncorrected") - ece(&before, "calibration")).abs() < 1e-9, "{after}");
    assert_eq!(after["zero-shot"]["whole_answer"], before["zero-shot"]["whole_answer"]);
    assert_eq!(unsure(&project), 240, "lists and filters see it");
    let (_, shown) = project.call(&["show", "raw-0001"]);
    let p = &shown["predictions"][0]["fields"]["judgement"]["probabilities"];
    assert!(p.as_object().unwrap().values().all(|p| p.as_f64().unwrap() < 0.95), "{p}");
    assert_eq!(project.call(&["rebuild"]).1["samples"], 0);
}

#[test]
fn plots_are_written() {
    let project = Project::demo();
    project.predict("zero-shot", "right", 0.9, |_, told| escape(told));
    let plots = project.file("plots");
    let (_, told) = project.call(&["eval", "--model", MODEL, "--truth", &project.file("truth.jsonl"), "--plots", &plots]);
    let written: Vec<&str> = told["plots"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    for name in
        ["exact", "zero-shot-reliability", "zero-shot-judgement-reliability", "zero-shot-defect_mode-confusion", "zero-shot-position-rows"]
    {
        let path = |extension: &str| Path::new(&plots).join(format!("{name}.{extension}"));
        assert!(["svg", "png"].iter().all(|extension| written.contains(&path(extension).to_str().unwrap())), "{name}: {written:?}");
        assert!(fs::read_to_string(path("svg")).unwrap().starts_with("<svg"));
        assert!(image::open(path("png")).unwrap().width() > 300);
    }
}

#[test]
fn a_comparison_says_what_flipped() {
    let project = Project::demo();
    let defective: Vec<usize> = (0..240).filter(|n| project.truth()[*n]["judgement"] == "defective").collect();
    project.predict("zero-shot", "right", 0.9, |n, told| {
        if defective[..5].contains(&n) {
            escape(told);
        }
    });
    project.predict("one-shot", "right", 0.9, |_, _| {});
    let truth = project.file("truth.jsonl");
    let (code, told) = project.call(&["compare", "model=elsewhere", "model=elsewhere,kind=one-shot", "--truth", &truth]);
    assert_eq!((code, &told["samples"]), (0, &json!(240)), "{told}");
    let whole = &told["whole_answer"];
    assert_eq!((&whole["only_a"], &whole["only_b"], &whole["p"], &whole["test"]), (&json!(0), &json!(5), &json!(0.0625), &json!("exact")));
    assert!((whole["gain"].as_f64().unwrap() - 5.0 / 240.0).abs() < 1e-9 && whole["b"] == 1.0);
    let flips = told["flips"].as_array().unwrap();
    assert_eq!((flips.len(), &flips[0]["a_right"], &flips[0]["b_right"]), (15, &json!(false), &json!(true)));
    assert_eq!(told["fields"]["image_type"]["changed"], 0.0);
    let wrong = |a: &str, b: &str| {
        let (code, told) = project.call(&["compare", a, b, "--truth", &truth]);
        (code, told["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(wrong("elsewhere", "elsewhere,kind=zero-shot").0, 2);
    assert_eq!(wrong("elsewhere", "kind=two-shot").0, 2);
    let (code, said) = wrong("elsewhere", "nobody");
    assert!(code == 1 && said.contains("nobody") && said.contains("model=elsewhere"), "{said}");
}

#[test]
fn missing_predictions_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let within = |args: &[&str]| call(&[&["-C", path], args].concat());
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(within(&["boards", path, "--count", "3", "--pools", "2", "--width", "112"]).0, 0);
    assert_eq!(within(&["import", &file("samples.jsonl")]).0, 0);
    assert_eq!(within(&["model", "new", &file("models/demo"), "--shape", "tiny"]).0, 0);
    let (code, told) = within(&["eval", "--truth", &file("truth.jsonl"), "--device", "cpu"]);
    assert_eq!((code, &told["made"]["predicted"]), (0, &json!(9)), "{}", told["made"]);
    for kind in ["zero-shot", "one-shot"] {
        assert_eq!((&told[kind]["samples"], &told[kind]["valid"]), (&json!(3), &json!(1.0)));
    }
    let controls = &told["one-shot"]["controls"];
    assert!(controls["wrong"]["samples"] == 3 && controls["none"]["samples"] == 3 && controls["wrong"]["changed"].is_number());
    let (_, again) = within(&["compare", "kind=zero-shot", "exemplar=wrong", "--truth", &file("truth.jsonl")]);
    assert_eq!((&again["made"]["predicted"], &again["samples"]), (&json!(0), &json!(3)));
}
