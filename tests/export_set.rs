//! The training set on disk: what is written, what is refused, what a second export changes.

#![allow(missing_docs, clippy::unwrap_used)]

mod export_support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use export_support::{Lab, draw, is_whole, rows, snapshot};
use mekiki::conversation::{Purpose, SamplingPlan};
use mekiki::domain::{Kind, Split};
use mekiki::export::{ExportError, Format};

const FIRST: SamplingPlan = SamplingPlan::First(6);

#[test]
fn a_set_holds_what_was_approved() {
    let lab = Lab::new(20);
    let report = lab.export(&lab.samples([0, 1, 3, 5, 7, 12, 13, 19]), FIRST).unwrap();
    assert_eq!((report.conversations, report.one_shot, report.zero_shot), (8, 4, 4));
    assert_eq!((report.added, report.replaced, report.withdrawn, report.unchanged), (8, 0, 0, 0));
    assert_eq!(report.splits.values().sum::<u64>(), 8);
    assert!(report.refused.is_empty());
    assert!(is_whole(&lab.out()));

    let rows = rows(&lab.out().join("metadata.jsonl"));
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0]["id"], "000000-one-shot");
    assert_eq!(rows[0]["sample"], "板/0");
    assert_eq!(rows[0]["fields"]["judgement"], "passed");
    assert_eq!(rows[4]["kind"], "zero-shot");
    assert_eq!(rows[4]["file_names"].as_array().unwrap().len(), 2);
    assert_eq!(fs::read(lab.out().join("images/000007_0.png")).unwrap(), fs::read(lab.image(7)).unwrap());
    let provenance = export_support::rows(&lab.out().join("provenance/provenance.jsonl"));
    assert_eq!(provenance[0]["values"]["judgement"]["model"], "model of 7");
    assert_eq!(provenance[0]["time"], "2023-11-14T22:13:20Z");
    assert!(!snapshot(&lab.out()).keys().any(|name| ["train", "validation", "test"].iter().any(|split| {
        // What `datasets` would take for splits of the image folder.
        name.split(['/', '-', '.', '_', ' ']).any(|word| word == *split)
    })));
    let text = String::from_utf8(fs::read(lab.out().join("metadata.jsonl")).unwrap()).unwrap();
    assert!(!text.contains(":null"), "no null keys");
    assert!(!text.contains(lab.dir.path().to_str().unwrap()), "no absolute paths");
}

#[test]
fn the_second_export_changes_what_changed() {
    let lab = Lab::new(12);
    lab.export(&lab.samples(0..10), FIRST).unwrap();
    let before = snapshot(&lab.out());

    let report = lab.export(&lab.samples(0..10), FIRST).unwrap();
    assert_eq!((report.added, report.unchanged), (0, 10));
    assert_eq!(snapshot(&lab.out()), before, "the same again");

    let report = lab.export(&lab.samples((0..10).chain([11])), FIRST).unwrap();
    assert_eq!((report.added, report.replaced, report.withdrawn, report.unchanged), (1, 0, 0, 10));
    let after = snapshot(&lab.out());
    let lines = |set: &std::collections::BTreeMap<String, Vec<u8>>, file: &str| {
        String::from_utf8(set[file].clone()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for file in ["metadata.jsonl", "provenance/provenance.jsonl", "variants/axolotl.jsonl"] {
        assert_eq!(lines(&after, file)[..10], lines(&before, file)[..], "{file}");
        assert_eq!(lines(&after, file).len(), 11);
    }
    let images = |set: &std::collections::BTreeMap<String, Vec<u8>>| {
        set.keys().filter(|name| name.starts_with("images/")).cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(images(&after).difference(&images(&before)).collect::<Vec<_>>(), ["images/000011_0.png"]);

    // One corrected, one withdrawn.
    let mut samples = lab.samples([0, 1, 2, 4, 5, 6, 7, 8, 9, 11]);
    samples[1] = lab.sample(1, Some("passed"));
    let report = lab.export(&samples, FIRST).unwrap();
    assert_eq!((report.added, report.replaced, report.withdrawn, report.unchanged), (0, 1, 1, 9));
    let last = snapshot(&lab.out());
    assert!(!last.contains_key("images/000003_0.png"));
    let old: BTreeSet<String> = lines(&after, "metadata.jsonl").into_iter().collect();
    assert_eq!(lines(&last, "metadata.jsonl").iter().filter(|line| !old.contains(*line)).count(), 1);
    assert!(is_whole(&lab.out()));
    assert_eq!(fs::read_dir(lab.dir.path()).unwrap().count(), 3, "nothing is left beside the set");
}

#[test]
fn files_of_the_user_stay() {
    let lab = Lab::new(6);
    lab.export(&lab.samples(0..5), FIRST).unwrap();
    fs::create_dir_all(lab.out().join(".git/refs")).unwrap();
    fs::write(lab.out().join(".git/HEAD"), "main").unwrap();
    fs::write(lab.out().join("images/mine.txt"), "mine").unwrap();
    fs::write(lab.out().join("README.md"), "my notes").unwrap();
    let report = lab.export(&lab.samples(0..6), FIRST).unwrap();
    assert_eq!(report.added, 1);
    assert_eq!(fs::read(lab.out().join(".git/HEAD")).unwrap(), b"main");
    assert!(lab.out().join(".git/refs").is_dir());
    assert_eq!(fs::read(lab.out().join("images/mine.txt")).unwrap(), b"mine");
    assert_eq!(fs::read(lab.out().join("README.md")).unwrap(), b"my notes");
    assert!(report.warnings.iter().any(|warning| warning.contains("README.md")), "{:?}", report.warnings);

    fs::write(lab.out().join("metadata.jsonl"), "{}").unwrap();
    fs::write(lab.out().join("images/000001_0.png"), "x").unwrap();
    let before = snapshot(&lab.out());
    let error = lab.export(&lab.samples(0..5), FIRST).unwrap_err();
    assert!(matches!(&error, ExportError::Changed { files, .. } if files.len() == 2), "{error}");
    assert!(error.to_string().contains("metadata.jsonl"), "{error}");
    assert_eq!(snapshot(&lab.out()), before);
}

#[test]
fn a_foreign_file_under_a_name_of_ours_is_refused() {
    let lab = Lab::new(4);
    lab.export(&lab.samples(0..3), FIRST).unwrap();
    fs::write(lab.out().join("images/000003_0.png"), "mine").unwrap();
    let before = snapshot(&lab.out());
    assert!(matches!(lab.export(&lab.samples(0..4), FIRST), Err(ExportError::Foreign(_))));
    assert_eq!(snapshot(&lab.out()), before);
    assert_eq!(fs::read_dir(lab.dir.path()).unwrap().count(), 3);
}

#[test]
fn folders_that_are_not_ours_are_refused() {
    let lab = Lab::new(2);
    fs::create_dir(lab.out()).unwrap();
    fs::write(lab.out().join("thesis.tex"), "years").unwrap();
    assert!(matches!(lab.export(&lab.samples(0..2), FIRST), Err(ExportError::NotOurs(_))));
    fs::remove_file(lab.out().join("thesis.tex")).unwrap();
    lab.export(&lab.samples(0..2), FIRST).unwrap();
    let parquet = lab.export_as(Format::Parquet, &lab.out(), &lab.samples(0..2), FIRST);
    assert!(matches!(parquet, Err(ExportError::Other { .. })));
    fs::write(lab.out().join("manifest.json"), "{").unwrap();
    assert!(matches!(lab.export(&lab.samples(0..2), FIRST), Err(ExportError::Manifest { .. })));
    let file = lab.dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(lab.export_as(Format::Csv, &file, &lab.samples(0..2), FIRST).is_err());
}

#[test]
fn images_that_changed_vanished_or_broke_are_refused_by_name() {
    let lab = Lab::new(8);
    let mut samples = lab.samples(0..8);
    lab.export(&samples, FIRST).unwrap();
    draw(&lab.image(1), 77);
    fs::remove_file(lab.image(2)).unwrap();
    let whole = fs::read(lab.image(3)).unwrap();
    fs::write(lab.image(3), &whole[..whole.len() / 2]).unwrap();
    samples[3] = lab.sample(3, None);
    fs::write(lab.image(4), "no image").unwrap();
    samples[4] = lab.sample(4, None);
    let report = lab.export(&samples, FIRST).unwrap();
    let refused: Vec<(&str, &str)> = report.refused.iter().map(|refusal| (refusal.sample.as_str(), refusal.reason.as_str())).collect();
    for ((sample, reason), (expected, word)) in
        refused.iter().zip([("板/1", "has changed"), ("板/2", "2.png"), ("板/3", "ends before"), ("板/4", "4.png")])
    {
        assert_eq!(*sample, expected);
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!((refused.len(), report.withdrawn, report.unchanged), (4, 4, 4));

    // When nothing is left, it is the disk that is missing: the old set stays.
    fs::remove_dir_all(lab.dir.path().join("images")).unwrap();
    let before = snapshot(&lab.out());
    assert!(matches!(lab.export(&samples, FIRST), Err(ExportError::Nothing { refused }) if refused.len() == 8));
    assert_eq!(snapshot(&lab.out()), before);
}

#[test]
fn everything_undone_empties_the_set() {
    let lab = Lab::new(2);
    assert!(matches!(lab.export(&[], FIRST), Err(ExportError::Nothing { .. })));
    lab.export(&lab.samples(0..2), FIRST).unwrap();
    assert_eq!(lab.export(&[], FIRST).unwrap().withdrawn, 2);
}

#[test]
fn pools_are_refused_when_they_are_empty_nameless_or_measured_on() {
    let mut lab = Lab::new(40);
    let samples = lab.samples(0..40);
    let pool = lab.project.recipe.pool.images.clone();
    let fails = |lab: &Lab, word: &str| {
        let error = lab.export(&samples, SamplingPlan::All(Kind::OneShot)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(!lab.out().exists());
    };
    lab.project.recipe.pool.images.retain(|image| image.image_type != "CYLN_RAW" || image.purpose == Purpose::Reference);
    fails(&lab, "the exemplar pool has no image for CYLN_RAW");

    lab.project.recipe.pool.images.clone_from(&pool);
    lab.project.recipe.pool.images.iter_mut().for_each(|image| image.address = None);
    fails(&lab, "has no address");

    lab.project.recipe.pool.images.clone_from(&pool);
    let board = |split| format!("board {}", lab.first_of(split, 0) / 2);
    lab.project.recipe.pool.images[0].group = Some(board(Split::Test));
    fails(&lab, "is in the test split");

    lab.project.recipe.pool.images.clone_from(&pool);
    let path = lab.dir.path().join(pool[0].image.as_str());
    fs::copy(lab.image(lab.first_of(Split::Validation, 0)), &path).unwrap();
    fails(&lab, "is in the validation split");

    fs::write(&path, "no image").unwrap();
    fails(&lab, "mekiki pool remove");
}

#[test]
fn samples_come_in_import_order_and_once() {
    let lab = Lab::new(3);
    assert!(matches!(lab.export(&lab.samples([0, 2, 1]), FIRST), Err(ExportError::Samples(_))));
    assert!(matches!(lab.export(&lab.samples([0, 0]), FIRST), Err(ExportError::Samples(_))));
    assert!(!lab.out().exists());
}

#[test]
fn a_second_export_at_the_same_time_is_refused() {
    let lab = Lab::new(2);
    let lock = lab.dir.path().join(".out.mekiki-lock");
    fs::write(&lock, "4711").unwrap();
    let held = fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let error = lab.export(&lab.samples(0..2), FIRST).unwrap_err().to_string();
    assert!(error.contains("process 4711"), "{error}");
    drop(held);
    lab.export(&lab.samples(0..2), FIRST).unwrap();
}

#[test]
fn what_readers_cannot_read_is_written_anew() {
    let lab = Lab::new(3);
    image::DynamicImage::new_rgb16(8, 8).save(lab.image(0)).unwrap();
    fs::write(lab.image(1), b"P6 2 1 255\nabcdef").unwrap();
    let report = lab.export(&lab.samples(0..3), FIRST).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("more than 8 bits")), "{:?}", report.warnings);
    for n in 0..2 {
        let written = image::open(lab.out().join(format!("images/{n:06}_0.png"))).unwrap();
        assert_eq!(written.color(), image::ColorType::Rgb8);
    }
    // Written anew to the same bytes: nothing changes.
    assert_eq!(lab.export(&lab.samples(0..3), FIRST).unwrap().unchanged, 3);
}

#[test]
fn a_difference_is_computed_and_both_kinds_share_images() {
    let mut lab = Lab::new(4);
    lab.project.recipe.difference = true;
    let report = lab.export(&lab.samples(0..4), SamplingPlan::Both).unwrap();
    assert_eq!((report.conversations, report.one_shot, report.zero_shot), (8, 4, 4));
    let rows = rows(&lab.out().join("metadata.jsonl"));
    assert_eq!(rows[0]["file_names"].as_array().unwrap().len(), 4);
    assert_eq!(rows[1]["file_names"][2], "images/000000_1.png");
    assert!(image::open(lab.out().join("images/000000_1.png")).unwrap().to_rgb8().pixels().any(|pixel| pixel.0 != [0, 0, 0]));
}

#[test]
fn a_set_can_be_moved_and_packed() {
    let lab = Lab::new(6);
    lab.export(&lab.samples(0..6), FIRST).unwrap();
    let moved = lab.dir.path().join("elsewhere/写真");
    fs::create_dir_all(&moved).unwrap();
    let tar = lab.dir.path().join("set.tar");
    assert!(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(lab.out()).arg(".").status().unwrap().success());
    assert!(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&moved).status().unwrap().success());
    assert!(is_whole(&moved));
    let report = lab.export_as(Format::Messages, &moved, &lab.samples(0..6), FIRST).unwrap();
    assert_eq!(report.unchanged, 6);
}

#[test]
fn every_format_is_written_and_brought_up_to_date() {
    let lab = Lab::new(30);
    for format in Format::ALL {
        let out = lab.dir.path().join(format.name());
        lab.export_as(format, &out, &lab.samples(0..29), FIRST).unwrap();
        assert!(is_whole(&out), "{format:?}");
        let report = lab.export_as(format, &out, &lab.samples(0..30), FIRST).unwrap();
        assert_eq!((report.added, report.unchanged), (1, 29), "{format:?}");
        assert!(is_whole(&out), "{format:?}");
    }
    let table = fs::read_to_string(lab.dir.path().join("csv/labels.csv")).unwrap();
    assert!(table.starts_with("sample,split,group,type,image,reviewer,approved,image_type,quantity,"), "{table}");
    assert_eq!(table.lines().count(), 31);
    let task = rows(&lab.dir.path().join("paligemma/train.jsonl"));
    assert!(task[0]["suffix"].as_str().unwrap().contains("- your judgement->"));
    assert!(lab.dir.path().join("paligemma").join(task[0]["image"].as_str().unwrap()).is_file());
}

#[test]
fn hard_links_are_made_on_request_only_and_never_written_to() {
    let mut lab = Lab::new(3);
    lab.hard_links = true;
    lab.export(&lab.samples(0..3), FIRST).unwrap();
    let written = lab.out().join("images/000001_0.png");
    assert_eq!(fs::metadata(&written).unwrap().ino(), fs::metadata(lab.image(1)).unwrap().ino());
    let source = fs::read(lab.image(1)).unwrap();
    lab.hard_links = false;
    let copied = lab.dir.path().join("copied");
    lab.export_as(Format::Messages, &copied, &lab.samples(0..3), FIRST).unwrap();
    assert_ne!(fs::metadata(copied.join("images/000001_0.png")).unwrap().ino(), fs::metadata(lab.image(1)).unwrap().ino());

    // Another picture takes the source's place: the next set gets it, and the old one's bytes were not touched.
    fs::rename(lab.image(1), lab.dir.path().join("kept.png")).unwrap();
    draw(&lab.image(1), 99);
    assert_eq!(lab.export(&lab.samples(0..3), FIRST).unwrap().replaced, 1);
    assert_eq!(fs::read(lab.dir.path().join("kept.png")).unwrap(), source);
}

#[test]
fn few_groups_and_one_sided_classes_are_said() {
    let lab = Lab::new(4);
    let report = lab.export(&lab.samples(0..4), FIRST).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("too few groups")), "{:?}", report.warnings);
    let card = fs::read_to_string(lab.out().join("README.md")).unwrap();
    assert!(card.contains("too few groups") && card.contains("| defect_mode |"), "{card}");
}

/// Writes small sets for the real readers into `$MEKIKI_EXAMPLES`.
#[test]
#[ignore = "writes outside of the test's own folder"]
fn examples() {
    let lab = Lab::new(40);
    let dir = std::path::PathBuf::from(std::env::var_os("MEKIKI_EXAMPLES").unwrap());
    for format in Format::ALL {
        let report =
            lab.export_as(format, &dir.join(format.name()), &lab.samples((0..40).filter(|n| n % 7 != 3)), SamplingPlan::First(15)).unwrap();
        println!("{report:?}");
    }
}
