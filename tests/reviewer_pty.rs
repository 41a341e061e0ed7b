//! A scripted reviewer goes through the whole demo from the keyboard: an agreed sample costs one key, a wrong field at most
//! three more, and afterwards the store holds exactly the truth.
#![allow(clippy::unwrap_used)]

mod pty_support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use pty_support::{MEKIKI, Terminal, json as asked, mekiki, until};

/// The fields that a reviewer decides here, and the keys that put the cursor there.
const FIELDS: [(&str, &str); 3] = [("judgement", "\x1bOR"), ("defect_mode", "\x1bOS"), ("position", "\x1b[15~")];
const MODES: [&str; 10] = ["passed", "scratch", "dent", "bent", "missing", "stain", "chip", "burr", "discolouration", "crack"];

fn rows(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a model might have said: the truth, but for every ninth sample.
fn prediction(nth: usize, truth: &Value) -> Value {
    let mut said = truth.clone();
    match (nth % 27, truth["judgement"] == "passed") {
        (4, true) => said.as_object_mut().unwrap().extend([
            ("judgement".to_owned(), json!("defective")),
            ("defect_mode".to_owned(), json!("stain")),
            ("position".to_owned(), json!("C5")),
        ]),
        (4, false) => said["defect_mode"] = json!(if truth["defect_mode"] == "dent" { "bent" } else { "dent" }),
        (13, false) => said["position"] = json!(if truth["position"] == "U1" { "U2" } else { "U1" }),
        (22, false) => said.as_object_mut().unwrap().extend([
            ("judgement".to_owned(), json!("passed")),
            ("defect_mode".to_owned(), json!("passed")),
            ("position".to_owned(), json!("none")),
        ]),
        _ => {}
    }
    let field = |name: &str| (name.to_owned(), json!({ "value": said[name] }));
    let fields: serde_json::Map<_, _> = ["image_type", "quantity", "judgement", "defect_mode", "position"].map(field).into_iter().collect();
    json!({ "id": truth["id"], "model": "someone", "fields": fields })
}

/// The keys that make the form say the truth, and how many there are.
fn keys(truth: &Value, label: Option<&Value>, predicted: &Value) -> (String, usize) {
    let proposed = |field: &str| {
        let predicted = predicted["fields"][field]["value"].clone();
        match label.map(|label| label[field].clone()) {
            Some(label) if label != predicted => None,
            _ => Some(predicted),
        }
    };
    let wrong = |field: &str| proposed(field).as_ref() != Some(&truth[field]);
    let passed = truth["judgement"] == "passed";
    let (mut typed, mut count) = (String::new(), 0);
    for (field, focus) in FIELDS {
        // The rules give a good product its mode and position.
        let follows = passed && field != "judgement" && wrong("judgement");
        if !wrong(field) || follows {
            continue;
        }
        typed.push_str(focus);
        let value = truth[field].as_str().unwrap();
        match field {
            "judgement" => typed.push(if passed { '1' } else { '2' }),
            "defect_mode" => typed.push_str(&((MODES.iter().position(|mode| *mode == value).unwrap() + 1) % 10).to_string()),
            _ if value == "none" => typed.push('n'),
            _ => typed.push_str(&value.to_lowercase()),
        }
        count += typed.len() - typed.rfind('\x1b').unwrap() - focus.len() + 1;
    }
    typed.push('a');
    (typed, count + 1)
}

#[test]
fn the_store_holds_the_truth_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("demo"));
    std::fs::create_dir(&home).unwrap();
    let made = Command::new(MEKIKI).args(["demo", "--no-review"]).arg(&project).env("HOME", &home).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data");
    let truths: Vec<Value> = rows(&data.join("truth.jsonl"));
    let predictions: Vec<Value> = truths.iter().enumerate().map(|(nth, truth)| prediction(nth, truth)).collect();
    let mut lines = String::new();
    for prediction in &predictions {
        writeln!(lines, "{prediction}").unwrap();
    }
    std::fs::write(home.join("said.jsonl"), lines).unwrap();
    asked(&home, &project, &["predict", "--from", home.join("said.jsonl").to_str().unwrap()]);

    let labels: BTreeMap<String, Value> = truths
        .iter()
        .map(|truth| truth["id"].as_str().unwrap().to_owned())
        .map(|id| (id.clone(), asked(&home, &project, &["show", &id, "--no-images"])["label"].clone()))
        .collect();
    let mut terminal = Terminal::start(&home, &project);
    for (truth, predicted) in truths.iter().zip(&predictions) {
        let id = truth["id"].as_str().unwrap();
        // Only what has been seen can be accepted.
        let drawn = |lines: &[String]| lines.iter().any(|line| line.contains(id)) && lines[12].chars().take(20).any(|c| c == '▀');
        terminal.wait_until(id, drawn);
        let label = labels[id].as_object().filter(|label| !label.is_empty()).map(|_| &labels[id]);
        let (typed, count) = keys(truth, label, predicted);
        let proposed = |field: &&str| label.map_or(&predicted["fields"][field]["value"], |label| &label[*field]);
        let differs = |field: &&str| {
            proposed(field) != &truth[*field] || label.is_some_and(|label| label[*field] != predicted["fields"][*field]["value"])
        };
        let wrong = FIELDS.map(|(field, _)| field).iter().filter(|field| differs(field)).count();
        assert!(count <= 1 + 3 * wrong, "{id}: {count} keys for {wrong} fields");
        terminal.press(&typed);
    }
    until(|| asked(&home, &project, &["stats"])["approved"] == truths.len(), || "all approved".to_owned());
    terminal.press("q");
    terminal.ended();

    let shown = mekiki(&home, &project, &[MEKIKI, "log", "--json"]).output().unwrap();
    assert!(shown.status.success());
    for truth in &truths {
        let id = truth["id"].as_str().unwrap();
        let label = &asked(&home, &project, &["show", id, "--no-images"])["label"];
        for field in ["image_type", "quantity", "judgement", "defect_mode", "position"] {
            assert_eq!(label[field], truth[field], "{id}: {field}");
        }
    }
}
