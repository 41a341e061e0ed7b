//! Real circuit boards: a small project of the same kind always, all 4,894 where they are at hand.

use std::path::PathBuf;

use crate::support::{World, boards, png, zipped};

fn rows() -> String {
    let rows = (0..10)
        .map(|n| {
            let said = match n % 3 {
                0 => r#""judgement": "passed", "defect_mode": "passed", "position": "none", "bbox": null"#,
                1 => r#""judgement": "defective", "defect_mode": "pin-hole", "position": "U1", "bbox": [19, 21, 56, 51]"#,
                _ => r#""judgement": "defective", "defect_mode": "copper", "position": "D3", "bbox": [137, 155, 186, 179]"#,
            };
            let board = 20 + n / 4;
            format!("{{\"id\": \"{n:03}_p\", \"query\": \"query/{n:03}.png\", \"reference\": \"reference/{n:03}.png\", {said}, \"board\": \"group{board}\"}}")
        });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn folder_and_zip_give_the_same_samples() {
    let world = World::new(boards());
    let (rows, image) = (rows(), png(192, 192));
    let mut entries = vec![("samples.jsonl".to_owned(), rows.as_bytes()), ("query/unused.png".to_owned(), image.as_slice())];
    for folder in ["query", "reference"] {
        entries.extend((0..10).map(|n| (format!("{folder}/{n:03}.png"), image.as_slice())));
    }
    for (name, bytes) in &entries {
        world.file(&format!("crops/{name}"), bytes);
    }
    let borrowed: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    world.file("基板.zip", &zipped(&borrowed));

    let folder = world.read("crops");
    assert_eq!((folder.samples.len(), folder.bad.len(), folder.error.as_ref()), (10, 0, None), "{folder:?}");
    assert_eq!(
        folder.samples[1],
        "001_p crop crops:query/001.png|crops:reference/001.png group20 judgement=defective defect_mode=pin-hole position=U1 bbox=<loc0112><loc0101><loc0272><loc0299>"
    );
    assert!(folder.samples[0].ends_with(" position=none bbox=none"), "{}", folder.samples[0]);
    let zip = world.read("基板.zip");
    let elsewhere = |sample: &String| sample.replace("crops:", "project:unpacked/基板/");
    assert_eq!(zip.samples, folder.samples.iter().map(elsewhere).collect::<Vec<_>>());
    assert_eq!(world.read("基板.zip"), zip, "a second time nothing changes");
    assert!(!world.root.join("project/unpacked/基板/query/unused.png").exists());
}

#[test]
fn all_crops_import() {
    let shared = std::env::var_os("MEKIKI_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let source = shared.join("data/pcb-crops.zip");
    if !source.exists() {
        println!("skipped: {} is not there", source.display());
        return;
    }
    let world = World::new(boards());
    let zip = world.read_with(&source, |options| (options.check_images, options.strict) = (true, true));
    assert_eq!((zip.samples.len(), zip.bad.len(), zip.error), (4894, 0, None));

    let folder = world.root.join("project/unpacked/pcb-crops");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(&source).unwrap()).unwrap();
    std::io::copy(&mut archive.by_name("samples.jsonl").unwrap(), &mut std::fs::File::create(folder.join("samples.jsonl")).unwrap())
        .unwrap();
    let unpacked = world.read_with(&folder, |options| options.strict = true);
    assert_eq!(unpacked.samples, zip.samples);
}
