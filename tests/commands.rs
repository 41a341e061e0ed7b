//! The commands of the real binary, as a person or a script calls them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A project in a temporary folder, and the binary called on it.
struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    fn demo() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        let made = mekiki(&["demo", project.path().to_str().unwrap(), "--no-review", "--json"]);
        assert_eq!(json_of(&made)["fresh"], true);
        project
    }

    fn new(template: &str) -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        done(&mekiki(&["init", project.path().to_str().unwrap(), "--template", template]));
        project
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn call(&self, args: &[&str]) -> Output {
        let dir = self.path();
        let all: Vec<&str> = ["-C", dir.to_str().unwrap()].iter().chain(args).copied().collect();
        mekiki(&all)
    }

    /// Calls with `--json` and wants exit code 0.
    fn json(&self, args: &[&str]) -> Value {
        let all: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = self.call(&all);
        done(&output);
        json_of(&output)
    }
}

fn mekiki(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mekiki"))
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(args)
        .env("NO_COLOR", "1")
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn json_of(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one object: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines_of(rows: &[Value]) -> String {
    rows.iter().fold(String::new(), |text, row| text + &row.to_string() + "\n")
}

#[test]
fn the_demo_counts_what_is_there_and_keeps_its_decisions() {
    let demo = Project::demo();
    let stats = demo.json(&["stats"]);
    assert_eq!((&stats["samples"], &stats["undecided"], &stats["approved"]), (&json!(240), &json!(240), &json!(0)));
    let labelled = demo.json(&["stats", "--where", "labelled"])["samples"].as_u64().unwrap();
    assert!((150..=170).contains(&labelled), "about two thirds are labelled: {labelled}");
    assert_eq!(demo.json(&["stats", "--where", "kind=one-shot"])["samples"], 80);
    let pools = demo.json(&["pool", "list"]);
    let rows = pools["images"].as_array().unwrap();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| row["present"] == true && (row["purpose"] == "reference") == row["address"].is_null()));

    assert_eq!(demo.json(&["approve", "raw-0001"])["approved"], 1);
    let again = mekiki(&["demo", demo.path().to_str().unwrap(), "--no-review", "--json"]);
    assert_eq!((&json_of(&again)["fresh"], &json_of(&again)["approved"]), (&json!(false), &json!(1)));

    let occupied = tempfile::tempdir().unwrap();
    fs::write(occupied.path().join("mine.txt"), "mine").unwrap();
    let refused = mekiki(&["demo", occupied.path().to_str().unwrap(), "--no-review"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("is not empty"), "{}", stderr(&refused));
    assert_eq!(fs::read_dir(occupied.path()).unwrap().count(), 1);
}

#[test]
fn about_one_label_in_twelve_of_the_demo_is_wrong() {
    let demo = Project::demo();
    let rows = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(demo.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (truth, samples) = (rows("truth.jsonl"), rows("samples.jsonl"));
    let labelled: Vec<(&Value, &Value)> = samples.iter().zip(&truth).filter(|(row, _)| row.get("bbox_str").is_some()).collect();
    let says = |row: &Value, truth: &Value| {
        row["bbox_str"].as_str().unwrap().split('<').next() == truth["defect_mode"].as_str() && row["position"] == truth["position"]
    };
    let wrong = labelled.iter().filter(|(row, truth)| !says(row, truth)).count();
    assert!((9..=18).contains(&wrong), "{wrong} of {}", labelled.len());
    assert!(truth.iter().all(|row| row["defect_mode"] != "crack"), "the ninth mode is in no sample");
}

#[test]
fn a_batch_approval_is_undone_as_one() {
    let demo = Project::demo();
    let approved = demo.json(&["approve", "--where", "labelled", "--reviewer", "aiko"]);
    let count = approved["approved"].as_u64().unwrap();
    assert!(count > 150 && approved["refused"] == json!([]));
    assert_eq!(demo.json(&["stats"])["approved"], count);
    // Another reviewer has nothing to undo.
    assert_eq!(code(&demo.call(&["undo", "--reviewer", "ben"])), 1);
    assert_eq!(demo.json(&["undo", "--reviewer", "aiko"])["steps"][0]["samples"], count);
    assert_eq!(demo.json(&["stats"])["approved"], 0);
    assert_eq!(demo.json(&["redo", "--reviewer", "aiko"])["steps"][0]["samples"], count);
    assert_eq!(demo.json(&["stats"])["approved"], count);
    let kinds: Vec<Value> =
        demo.json(&["log"])["operations"].as_array().unwrap().iter().map(|operation| operation["kind"].clone()).collect();
    assert_eq!(kinds, ["redo", "undo", "batch", "import"]);
    assert_eq!(demo.json(&["rebuild"])["samples"], 0, "derived tables were as the log says");
}

#[test]
fn incomplete_samples_and_broken_rules_are_refused_by_name() {
    let demo = Project::demo();
    let all = demo.call(&["approve", "--where", "id=raw-00*", "--json"]);
    assert_eq!(code(&all), 1);
    let told = json_of(&all);
    let refused = told["refused"].as_array().unwrap();
    assert!(!refused.is_empty() && told["approved"].as_u64().unwrap() > 0);
    assert!(refused.iter().all(|row| row["reason"].as_str().unwrap().contains("has no value")), "{refused:?}");

    let broken =
        demo.call(&["approve", "raw-0003", "--set", "judgement=passed", "--set", "defect_mode=dent", "--set", "position=none", "--json"]);
    let reason = json_of(&broken)["refused"][0]["reason"].as_str().unwrap().to_owned();
    assert!(code(&broken) == 1 && reason.contains("defect_mode = passed must hold, since judgement = passed"), "{reason}");

    for (args, expected) in [
        (&["approve", "--where", "judgment=passed"][..], "did you mean judgement?"),
        (&["approve", "x", "--set", "position=Z9"], "an address of a row U, C, D"),
        (&["approve"], "required"),
        (&["export"], "--out"),
    ] {
        let wrong = demo.call(args);
        assert_eq!(code(&wrong), 2, "{args:?}");
        assert!(stderr(&wrong).contains(expected), "{args:?}: {}", stderr(&wrong));
    }
}

#[test]
fn a_stale_decision_is_refused_by_name() {
    let demo = Project::demo();
    let seen = demo.json(&["show", "raw-0001"])["revision"].as_i64().unwrap();
    demo.json(&["approve", "raw-0001", "--reviewer", "aiko"]);
    let stale = demo.call(&["approve", "raw-0001", "--revision", &seen.to_string(), "--reviewer", "ben", "--json"]);
    assert_eq!(code(&stale), 1);
    let reason = json_of(&stale)["refused"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("aiko changed it"), "{reason}");
}

#[test]
fn eight_processes_are_handed_different_samples() {
    let demo = Project::demo();
    let dir = demo.path();
    let children: Vec<_> = (0..8)
        .map(|n| {
            let args = ["-C", dir.to_str().unwrap(), "next", "--claim", "--json", "--session", &format!("s{n}")].map(str::to_owned);
            Command::new(env!("CARGO_BIN_EXE_mekiki"))
                .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
                .args(args)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let ids: BTreeSet<String> =
        children.into_iter().map(|child| json_of(&child.wait_with_output().unwrap())["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 8, "{ids:?}");
    // A batch leaves alone what others hold, and says so.
    let held = ids.iter().next().unwrap();
    let batch = demo.call(&[
        "approve",
        "--where",
        &format!("id={held}"),
        "--set",
        "judgement=passed",
        "--set",
        "defect_mode=passed",
        "--set",
        "position=none",
        "--reviewer",
        "somebody else",
        "--json",
    ]);
    assert!(json_of(&batch)["refused"][0]["reason"].as_str().unwrap().contains("is looking at it"));
}

#[test]
fn bad_rows_are_reported_and_the_rest_goes_on() {
    let project = Project::new("pcb");
    let source = project.dir.path().join("data");
    fs::create_dir(&source).unwrap();
    let picture = image::GrayImage::from_pixel(96, 96, image::Luma([200]));
    picture.save(source.join("a.png")).unwrap();
    let rows = [
        json!({"id": "good", "query": "a.png", "judgement": "passed", "defect_mode": "passed", "position": "none", "bbox": null, "board": "b1"}),
        json!({"id": "mode", "query": "a.png", "judgement": "defective", "defect_mode": "scratch", "position": "U1"}),
        json!({"id": "out", "query": "../secret.png"}),
        json!({"id": "missing", "query": "b.png"}),
        json!({"id": "evil\u{1b}[2J", "query": "a.png"}),
    ];
    fs::write(source.join("samples.jsonl"), lines_of(&rows) + "{broken\n").unwrap();
    let file = source.join("samples.jsonl");
    let output = project.call(&["import", file.to_str().unwrap(), "--json"]);
    assert_eq!(code(&output), 1);
    let told = json_of(&output);
    assert_eq!((&told["added"], &told["bad"]), (&json!(1), &json!(5)));
    let errors = told["errors"].as_array().unwrap();
    let lines: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6]);
    for key in ["file", "line", "field", "expected", "got"] {
        assert!(errors[0].get(key).is_some(), "{key}");
    }
    assert_eq!(errors[0]["field"], "defect_mode");
    assert!(errors[0]["expected"].as_str().unwrap().contains("pin-hole"));
    // The same once more adds nothing; people see no control character.
    let again = project.call(&["import", file.to_str().unwrap()]);
    assert!(!again.stdout.contains(&0x1b));
    assert!(String::from_utf8_lossy(&again.stdout).contains("0 added, 0 updated, 1 unchanged, 5 bad"));
    // Strict: nothing at all.
    let strict = Project::new("pcb");
    assert_eq!(code(&strict.call(&["import", file.to_str().unwrap(), "--strict"])), 1);
    assert_eq!(strict.json(&["stats"])["samples"], 0);
}

#[test]
fn an_export_is_written_back() {
    let demo = Project::demo();
    demo.json(&["approve", "--where", "labelled"]);
    let out = demo.dir.path().join("OUT");
    let out = out.to_str().unwrap();
    let first = demo.json(&["export", "--out", out, "--format", "messages", "--one-shot", "50"]);
    let count = first["conversations"].as_u64().unwrap();
    assert_eq!(first["one_shot"].as_u64().unwrap() + first["zero_shot"].as_u64().unwrap(), count);
    assert_eq!(first["splits"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), count);
    let lines =
        || -> Vec<String> { fs::read_to_string(Path::new(out).join("metadata.jsonl")).unwrap().lines().map(str::to_owned).collect() };
    let before = lines();
    assert_eq!(before.len() as u64, count);
    let fill = ["--set", "judgement=passed", "--set", "defect_mode=passed", "--set", "position=none"];
    let next = demo.json(&["next"])["id"].as_str().unwrap().to_owned();
    demo.json(&[&["approve", &next][..], &fill].concat());
    let second = demo.json(&["export", "--out", out, "--format", "messages", "--one-shot", "50"]);
    assert_eq!((&second["added"], &second["unchanged"], &second["replaced"]), (&json!(1), &json!(count), &json!(0)));
    let after = lines();
    assert_eq!(after.iter().filter(|line| !before.contains(line)).count(), 1);
    assert!(before.iter().all(|line| after.contains(line)));
    demo.json(&["undo"]);
    let third = demo.json(&["export", "--out", out, "--format", "messages", "--one-shot", "50"]);
    assert_eq!((&third["withdrawn"], &third["conversations"]), (&json!(1), &json!(count)));
    assert_eq!(lines(), before);
    // The preview is what was written.
    let row: Value = serde_json::from_str(&before[0]).unwrap();
    let shown = demo.json(&["show", row["sample"].as_str().unwrap(), "--as", "one-shot"]);
    let text = |messages: &Value| -> Vec<String> {
        let parts = messages.as_array().unwrap().iter().flat_map(|turn| turn["content"].as_array().unwrap().clone());
        parts.filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(text(&shown["messages"]), text(&row["messages"]));
    assert_eq!(
        demo.json(&["export", "--out", &format!("{out}-parquet"), "--format", "parquet", "--one-shot", "50"])["conversations"],
        count
    );
    // Only one split, so that nobody trains on the rest by accident.
    let train = demo.json(&["export", "--out", &format!("{out}-train"), "--split", "train"]);
    assert_eq!(train["conversations"], first["splits"]["train"]);
}

#[test]
fn a_changed_image_is_refused_by_name() {
    let demo = Project::demo();
    demo.json(&["approve", "raw-0001", "raw-0002"]);
    let mut bytes = fs::read(demo.path().join("boards/raw-0002.jpg")).unwrap();
    bytes.push(0);
    fs::write(demo.path().join("boards/raw-0002.jpg"), bytes).unwrap();
    let out = demo.dir.path().join("OUT");
    let output = demo.call(&["export", "--out", out.to_str().unwrap(), "--json"]);
    assert_eq!(code(&output), 1);
    let told = json_of(&output);
    assert_eq!((&told["conversations"], &told["refused"][0]["sample"]), (&json!(1), &json!("raw-0002")));
}

#[test]
fn stars_are_drawn_where_they_are_said_to_be() {
    let demo = Project::demo();
    let board = demo.path().join("boards/raw-0001.jpg");
    let made = demo.json(&["exemplar", "make", board.to_str().unwrap(), "--at", "U3", "--type", "CYLN_RAW"]);
    assert_eq!(made["images"][0]["address"], "U3");
    let path = demo.path().join(made["images"][0]["image"].as_str().unwrap());
    let picture = image::open(&path).unwrap().to_rgb8();
    let red = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 200 && pixel.0[1] < 60 && pixel.0[2] < 60);
    let (sum, count) = red.fold(((0, 0), 0), |((x, y), n), (px, py, _)| ((x + px, y + py), n + 1));
    assert!(count > 30, "{count} red pixels");
    let (x, y) = (f64::from(sum.0) / f64::from(count) / 448.0, f64::from(sum.1) / f64::from(count) / 192.0);
    assert!((0.28..0.40).contains(&x) && (0.15..0.32).contains(&y), "U3 lies at {x:.2} {y:.2}");

    let spread = demo.json(&["exemplar", "make", "--from-passed", "12"]);
    let rows = spread["images"].as_array().unwrap();
    let addresses: BTreeSet<&str> =
        rows.iter().filter(|row| row["type"] == "CYLN_DST").map(|row| row["address"].as_str().unwrap()).collect();
    assert_eq!((rows.len(), addresses.len()), (12, 6));
    assert!(demo.json(&["pool", "list"])["images"].as_array().unwrap().iter().filter(|row| row["sample"].is_string()).count() == 12);
    let image = rows[0]["image"].as_str().unwrap();
    assert_eq!(demo.json(&["pool", "remove", "exemplar", image])["removed"], json!([image]));
    let wrong = demo.call(&["pool", "add", "exemplar", board.to_str().unwrap(), "--type", "CYLN_RAW"]);
    assert!(code(&wrong) == 2 && stderr(&wrong).contains("needs the address"));
}

#[test]
fn predictions_from_a_file_meet_labels() {
    let demo = Project::demo();
    let file = demo.dir.path().join("predictions.jsonl");
    let passed = json!({"judgement": {"value": "passed", "probabilities": {"passed": 0.9, "defective": 0.1}, "outside": 0.01}, "defect_mode": "passed", "position": "none"});
    let rows = [
        json!({"id": "raw-0001", "model": "m", "fields": passed}),
        json!({"id": "raw-0002", "model": "m", "fields": passed}),
        json!({"id": "nobody", "fields": passed}),
        json!({"id": "raw-0003", "fields": {"position": "Z1"}}),
    ];
    fs::write(&file, lines_of(&rows)).unwrap();
    let output = demo.call(&["predict", "--from", file.to_str().unwrap(), "--json"]);
    assert_eq!(code(&output), 1);
    assert_eq!((&json_of(&output)["predicted"], &json_of(&output)["failed"]), (&json!(2), &json!(2)));
    assert_eq!(demo.json(&["stats", "--where", "predicted confidence<0.95"])["samples"], 2);
    assert_eq!(demo.json(&["stats", "--where", "disagree"])["samples"], 1);
    let shown = demo.json(&["show", "raw-0002"]);
    let judgement = &shown["predictions"][0]["fields"]["judgement"];
    assert_eq!(judgement["value"], "passed");
    assert!((judgement["probabilities"]["passed"].as_f64().unwrap() - 0.9).abs() < 1e-6);
    // Neither is preselected where they differ.
    let refused = demo.call(&["approve", "raw-0002", "--json"]);
    assert_eq!(code(&refused), 1);
    assert!(json_of(&refused)["refused"][0]["reason"].as_str().unwrap().contains("--take label or --take prediction"));
    assert_eq!(demo.json(&["approve", "raw-0002", "--take", "prediction"])["approved"], 1);
    assert_eq!(demo.json(&["show", "raw-0002"])["label"]["judgement"], "passed");
    assert_eq!(demo.json(&["stats"])["undecided"], 239, "predictions are no decisions");
}

#[test]
fn every_command_speaks_json_and_names_what_is_missing() {
    let demo = Project::demo();
    for args in [
        &["stats"][..],
        &["log"],
        &["next"],
        &["pool", "list"],
        &["show", "raw-0001"],
        &["rebuild"],
        &["approve", "--where", "id=none"],
        &["next", "--release"],
    ] {
        assert!(demo.json(args).is_object(), "{args:?}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    let output = mekiki(&["-C", nowhere.path().to_str().unwrap(), "stats", "--json"]);
    assert_eq!(code(&output), 1);
    assert!(json_of(&output)["error"].as_str().unwrap().contains("mekiki init"));
    for shell in ["bash", "zsh", "fish"] {
        let script = mekiki(&["completions", shell]);
        done(&script);
        assert!(String::from_utf8(script.stdout).unwrap().contains("exemplar"));
    }
    let page = mekiki(&["man"]);
    done(&page);
    assert!(String::from_utf8(page.stdout).unwrap().contains(".TH"));
}

#[test]
fn the_circuit_crops_come_in_whole() {
    let shared = std::env::var_os("MEKIKI_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let zip = shared.join("data/pcb-crops.zip");
    if !zip.is_file() {
        println!("skipped: {} is not there", zip.display());
        return;
    }
    let project = Project::new("pcb");
    let told = project.json(&["import", zip.to_str().unwrap()]);
    assert_eq!((&told["added"], &told["bad"]), (&json!(4894), &json!(0)));
    let again = project.json(&["import", zip.to_str().unwrap()]);
    assert_eq!((&again["added"], &again["unchanged"]), (&json!(0), &json!(4894)));
    assert_eq!(project.json(&["stats", "--where", "split=test"])["samples"], 475 + 408);
    let made = project.json(&["exemplar", "make", "--from-passed", "9"]);
    let first = project.path().join(made["images"][0]["image"].as_str().unwrap());
    assert_eq!(image::open(first).unwrap().color(), image::ColorType::Rgb8, "1-bit pictures become RGB");
}

#[test]
fn a_project_that_may_not_be_written_is_open_for_looking() {
    let project = Project::demo();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let mut folders = vec![project.dir.path().to_owned()];
    for nth in 0.. {
        let Some(folder) = folders.get(nth) else { break };
        let (inner, files): (Vec<_>, Vec<_>) =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
        for file in &files {
            allow(file, 0o444);
        }
        folders.extend(inner);
    }
    let allow_all = |mode| {
        for folder in &folders {
            allow(folder, mode);
        }
    };
    allow_all(0o555);
    let as_a_guest = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mekiki"));
        command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
        command.arg("-C").arg(project.path()).args(args).arg("--json").current_dir("/");
        // The superuser may write everywhere.
        if rustix::process::getuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        command.output()
    };
    let Ok(counted) = as_a_guest(&["stats"]) else {
        eprintln!("skipped: another account cannot run the program where it lies");
        allow_all(0o755);
        return;
    };
    assert_eq!(json_of(&counted)["samples"], 240);
    assert_eq!(json_of(&as_a_guest(&["show", "raw-0001", "--no-images"]).unwrap())["id"], "raw-0001");
    assert_eq!(json_of(&as_a_guest(&["log"]).unwrap())["operations"].as_array().unwrap().len(), 1);
    for change in [&["approve", "--where", "labelled"][..], &["undo"], &["next", "--claim"], &["predict"]] {
        let refused = as_a_guest(change).unwrap();
        assert!(code(&refused) == 1 && stderr(&refused).contains("open for reading only"), "{change:?}: {refused:?}");
    }
    // So that the folder can be removed.
    allow_all(0o755);
}
