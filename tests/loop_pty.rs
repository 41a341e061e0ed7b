//! Promise: from the demo to a training set at the keyboard: predictions arrive, fields are fixed, samples accepted one by one
//! and as a batch, a batch is undone, a restart goes on where the reviewer was; the set holds what was approved, no more.
#![allow(clippy::unwrap_used)]

mod pty_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mekiki::config;
use mekiki::domain::Filter;
use mekiki::store::Store;
use serde_json::Value;

use pty_support::{MEKIKI, Terminal, json, until};

/// What the store says of every approved sample: its id, and each field as it is written.
fn approved(project: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let project = config::load(project).unwrap();
    let store = Store::open_read_only(&project.dir, project.schema()).unwrap();
    let filter = Filter::parse(project.schema(), "state=approved").unwrap();
    let fields = |id: &mekiki::domain::SampleId| {
        let label = store.sample(id).unwrap().label;
        let text = |field: &mekiki::domain::Field| (field.id.to_string(), field.render(label.get(&field.id).unwrap()));
        project.schema().fields().iter().map(text).collect()
    };
    store.ids(&filter).unwrap().iter().map(|id| (id.to_string(), fields(id))).collect()
}

/// What a training set says of its samples.
fn written(set: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = std::fs::read_to_string(set.join("metadata.jsonl")).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let fields = row["fields"].as_object().unwrap().iter();
        (row["sample"].as_str().unwrap().to_owned(), fields.map(|(id, value)| (id.clone(), value.as_str().unwrap().to_owned())).collect())
    };
    text.lines().map(row).collect()
}

/// Waits until a sample has been predicted and is on the screen: a model of this size takes a while on a busy processor.
fn predicted(terminal: &Terminal, home: &Path, project: &Path, id: &str) {
    let started = Instant::now();
    while json(home, project, &["show", id, "--no-images"])["predictions"].as_array().unwrap().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(240), "no prediction of {id}: {}", terminal.lines().join("\n"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let drawn = |lines: &[String]| lines[0].contains(id) && lines[12].chars().take(20).any(|c| c == '▀');
    terminal.wait_until("the sample with what the model says", |lines| drawn(lines) && lines.iter().any(|line| line.contains("demo")));
}

/// Approves the labelled samples whose ids hold this, as one.
fn batch(terminal: &mut Terminal, part: &str) {
    terminal.press(&format!("/\x15labelled id=*-{part}*\roq"));
    let listed = format!("-{part}");
    let rows = |lines: &[String]| lines.iter().skip(1).filter(|line| line.contains(&listed)).count();
    terminal.wait_until("the samples", |lines| lines[0].contains("queue") && rows(lines) > 1);
    terminal.press("\x01A");
    terminal.wait_until("the preview", |lines| lines.iter().any(|line| line.contains("do it")));
    terminal.press("y");
}

#[test]
fn from_the_demo_to_a_training_set() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("demo"));
    std::fs::create_dir(&home).unwrap();
    let count = |expected: usize| {
        until(|| json(&home, &project, &["stats"])["approved"] == expected, || format!("{expected} approved"));
    };

    let mut terminal = Terminal::run(&home, &project, &[MEKIKI, "demo", project.to_str().unwrap()]);
    terminal.wait_until("the first sample", |lines| lines[0].contains("raw-0001"));
    predicted(&terminal, &home, &project, "raw-0001");
    // A good board for its label and its model; its reviewer sees a dent at C4.
    terminal.press("[[[[[\x1bOR2\x1bOS3\x1b[15~c4a");
    count(1);
    predicted(&terminal, &home, &project, "raw-0002");
    // What the model says is accepted, field by field.
    terminal.press("]]]]]a");
    count(2);

    // Two batches of labelled samples; the second one is taken back.
    batch(&mut terminal, "008");
    until(|| json(&home, &project, &["stats"])["approved"].as_u64() > Some(4), || "the first batch".to_owned());
    let first = approved(&project);
    batch(&mut terminal, "012");
    until(|| approved(&project).len() > first.len(), || "the second batch".to_owned());
    terminal.press("u");
    until(|| approved(&project) == first, || "the second batch taken back".to_owned());

    terminal.press("os");
    terminal.wait_until("a sample of the batch", |lines| lines[0].contains("-012"));
    let place = terminal.lines()[0].split_whitespace().find(|word| word.contains("-012")).unwrap().to_owned();
    terminal.press("q");
    terminal.ended();
    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_until("the same sample", |lines| lines[0].contains(&place) && lines[0].contains("id=*-012*"));

    terminal.press(":export\r");
    terminal.wait_until("the question where", |lines| lines.iter().any(|line| line.contains("folder of the training set")));
    terminal.press("\r");
    let told = format!("{} conversations in", first.len());
    terminal.wait_until("the outcome", |lines| lines.iter().any(|line| line.contains(&told)));
    let set = written(&project.join("training-set"));
    assert_eq!(set, first);
    let fixed = &set["raw-0001"];
    assert_eq!([&fixed["judgement"], &fixed["defect_mode"], &fixed["position"]], ["defective", "dent", "C4"]);
    terminal.press("q");
    terminal.ended();
}
