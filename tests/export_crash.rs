//! A crash at any moment leaves the old set or the new one.

#![allow(missing_docs, clippy::unwrap_used)]

mod export_support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use export_support::{Lab, is_whole, snapshot};
use mekiki::conversation::SamplingPlan;
use mekiki::export::{ExportError, Format};

const SAMPLES: u64 = 120;

/// Runs when this test binary starts itself again: exports into a folder of the parent.
#[test]
#[ignore = "started by the other tests"]
fn child() {
    let lab = Lab::new(SAMPLES);
    let out = std::env::var_os("MEKIKI_OUT").unwrap();
    let format = Format::parse(&std::env::var("MEKIKI_FORMAT").unwrap()).unwrap();
    println!("ready");
    for round in 0.. {
        // Every other export differs in a quarter of its samples.
        let samples = lab.samples((0..SAMPLES).filter(|n| round % 2 == 0 || n % 4 > 0));
        match lab.export_as(format, Path::new(&out), &samples, SamplingPlan::First(40)) {
            Ok(_) => {}
            Err(ExportError::NoSpace { .. }) => {
                println!("full");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn start(out: &Path, format: Format, before: &str) -> std::process::Child {
    let me = std::env::current_exe().unwrap();
    let shell = format!("{before} exec \"$0\" --exact child --ignored --nocapture");
    let mut command = Command::new("bash");
    command.args(["-c", &shell]).arg(me).env("MEKIKI_OUT", out).env("MEKIKI_FORMAT", format.name());
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill_at_random_moments(format: Format, kills: u32) {
    let lab = Lab::new(SAMPLES);
    let began = Instant::now();
    let expected = ["even", "odd"].map(|name| {
        let out = lab.dir.path().join(name);
        let samples = lab.samples((0..SAMPLES).filter(|n| name == "even" || n % 4 > 0));
        lab.export_as(format, &out, &samples, SamplingPlan::First(40)).unwrap();
        snapshot(&out)
    });
    // Kills are spread over the first two exports of each child, however fast this machine is.
    let span = began.elapsed().as_micros() as u64 * 2;
    let out = lab.out();
    let mut seen = [0, 0];
    let mut round = 0;
    while round < kills || (seen.contains(&0) && round < 4 * kills) {
        round += 1;
        let mut child = start(&out, format, "");
        let mut ready = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            assert!(ready.read_line(&mut line).unwrap() > 0, "the child died");
        }
        std::thread::sleep(Duration::from_micros(u64::from(round) * 7_368_787 % span));
        child.kill().unwrap();
        child.wait().unwrap();
        if !out.exists() {
            continue;
        }
        let stands = snapshot(&out);
        let which = expected.iter().position(|set| *set == stands);
        assert!(is_whole(&out) && which.is_some(), "kill {round} left a mixed set");
        seen[which.unwrap()] += 1;
    }
    assert!(!seen.contains(&0), "both sets were seen: {seen:?}");
    let samples = lab.samples(0..SAMPLES);
    lab.export_as(format, &out, &samples, SamplingPlan::First(40)).unwrap();
    assert_eq!(snapshot(&out), expected[0]);
    let left = fs::read_dir(lab.dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("mekiki-"))
        .count();
    assert_eq!(left, 0, "leftovers of dead exports are cleared away");
}

#[test]
fn killed_while_writing_messages() {
    kill_at_random_moments(Format::Messages, 40);
}

#[test]
fn killed_while_writing_parquet() {
    kill_at_random_moments(Format::Parquet, 12);
}

#[test]
fn an_export_that_died_between_two_renames_is_finished() {
    let lab = Lab::new(6);
    let plan = SamplingPlan::First(3);
    lab.export(&lab.samples(0..5), plan).unwrap();
    let old = snapshot(&lab.out());
    let beside = |what: &str| lab.dir.path().join(format!(".out.mekiki-{what}"));

    // The old set is out of the way, the new one unfinished: the old one comes back.
    fs::rename(lab.out(), beside("old")).unwrap();
    fs::create_dir(beside("new")).unwrap();
    fs::write(beside("new").join("metadata.jsonl"), "{").unwrap();
    assert_eq!(lab.export(&lab.samples(0..5), plan).unwrap().unchanged, 5);
    assert_eq!(snapshot(&lab.out()), old);
    assert!(!beside("old").exists() && !beside("new").exists());

    // The new one is finished: it takes its place. A file of the user that only the old one has goes along.
    let other = lab.dir.path().join("other");
    lab.export_as(Format::Messages, &other, &lab.samples(0..6), plan).unwrap();
    let new = snapshot(&other);
    fs::write(lab.out().join("notes.txt"), "mine").unwrap();
    fs::rename(lab.out(), beside("old")).unwrap();
    fs::rename(&other, beside("new")).unwrap();
    assert_eq!(lab.export(&lab.samples(0..6), plan).unwrap().unchanged, 6);
    let mut stands = snapshot(&lab.out());
    assert_eq!(stands.remove("notes.txt").unwrap(), b"mine");
    assert_eq!(stands, new);
}

#[test]
fn a_full_disk_leaves_the_old_set() {
    let lab = Lab::new(SAMPLES);
    let out = lab.out();
    lab.export(&lab.samples(0..3), SamplingPlan::First(40)).unwrap();
    let before = snapshot(&out);
    // No file may grow beyond 64 KiB: what a full disk says, without filling one. Pictures are smaller, the rows are not.
    let child = start(&out, Format::Messages, "trap '' XFSZ; ulimit -f 64;");
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("full"), "{said}");
    assert_eq!(snapshot(&out), before);
    assert!(!lab.dir.path().join(".out.mekiki-new").exists());
}
