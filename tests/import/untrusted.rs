//! What damaged or hostile sources can do: be reported.

use std::os::unix::fs::symlink;

use mekiki::import::{MOST_DOCUMENT_BYTES, MOST_LINE_BYTES, parse_bbox_str};
use proptest::prelude::*;

use crate::support::{World, boards, pins, png, zipped};

const PATH: &str = "a relative path of at most 1,000 characters, without '..', empty parts, backslashes or control characters";

#[test]
fn paths_stay_in_their_folder() {
    let world = World::new(boards());
    world.file("secret.png", &png(1, 1));
    world.file("outside/secret.png", &png(1, 1));
    symlink("../secret.png", world.root.join("data/link.png")).unwrap();
    symlink("../outside", world.root.join("data/folder")).unwrap();
    symlink("a.png", world.root.join("data/inner.png")).unwrap();
    symlink("写真", world.root.join("data/photos")).unwrap();
    let names = [
        "../secret.png",
        "link.png",
        "folder/secret.png",
        "folder/secret.png",
        "/etc/passwd",
        "写真",
        "写真\\\\b.png",
        "a\\u0007.png",
        "inner.png",
        "photos/b.png",
        "./a.png",
    ];
    let rows: Vec<String> = names.iter().map(|name| format!(r#"{{"query": "{name}"}}"#)).collect();
    let outcome = world.read_text("s.jsonl", &rows.join("\n"));
    let outside = "an image inside of its folder, also behind symbolic links";
    assert_eq!(
        outcome.bad,
        [
            format!("1: query: expected {PATH}, got ../secret.png"),
            format!("2: query: expected {outside}, got link.png"),
            format!("3: query: expected {outside}, got folder/secret.png"),
            format!("4: query: expected {outside}, got folder/secret.png"),
            format!("5: query: expected {PATH}, got /etc/passwd"),
            "6: query: expected an image file below data, got 写真".to_owned(),
            format!("7: query: expected {PATH}, got 写真\\b.png"),
            format!("8: query: expected {PATH}, got a\u{fffd}.png"),
        ]
        .map(|text| format!("data/s.jsonl:{text}"))
    );
    assert_eq!(outcome.samples.len(), 3, "{outcome:?}");
}

#[test]
fn lines_are_limited_and_counted() {
    let world = World::new(boards());
    let mut text = b"\xef\xbb\xbf{\"query\": \"a.png\"}\r\n\r\n \t\n".to_vec();
    text.extend(b"{\"query\": \"\xff\"}\n");
    text.extend(std::iter::repeat_n(b'x', MOST_LINE_BYTES + 1));
    text.extend(format!("\n{}\n", "[".repeat(100_000)).bytes());
    text.extend(b"{\"query\": \"a.png\", \"id\": \"last\"}");
    world.file("data/s.jsonl", &text);
    let outcome = world.read("data/s.jsonl");
    assert_eq!(outcome.samples, ["a crop data:a.png a", "last crop data:a.png last"]);
    assert_eq!(outcome.bad[0], "data/s.jsonl:4: expected text in UTF-8, got {\"query\": \"\u{fffd}\"}");
    assert_eq!(outcome.bad[1], "data/s.jsonl:5: expected a line of at most 1048576 bytes, got 1048578 bytes");
    let deep = format!("data/s.jsonl:6: expected a JSON object (recursion limit exceeded at column 128), got {}…", "[".repeat(120));
    assert_eq!(outcome.bad[2], deep);

    let mut text = b"query,remark\na.png,\"".to_vec();
    text.extend(std::iter::repeat_n("line\n".as_bytes(), MOST_LINE_BYTES / 5 + 1).flatten());
    text.extend(b"a.png,\"\nwrong\xff,\n");
    world.file("data/s.csv", &text);
    let outcome = world.read("data/s.csv");
    assert!(outcome.bad[0].starts_with("data/s.csv:2: expected a record of at most 1048576 bytes, got a.png"), "{:?}", outcome.bad[0]);
    assert_eq!(outcome.error, None);
}

#[test]
fn archives_write_only_where_they_may() {
    let world = World::new(boards());
    let image = png(2, 2);
    let rows = br#"{"query": "../evil.png"}
{"query": "folder"}
{"query": "missing.png"}
{"query": "good.png"}
{"query": "good.png", "id": "again"}
"#;
    let entries: [(&str, &[u8]); 5] = [
        ("top/samples.jsonl", rows),
        ("evil.png", &image),
        ("top/../../evil.png", &image),
        ("top/good.png", &image),
        ("__MACOSX/x.jsonl", b""),
    ];
    world.file("x.zip", &zipped(&entries));
    let outcome = world.read("x.zip");
    assert_eq!(outcome.samples, ["good crop project:unpacked/x/top/good.png good", "again crop project:unpacked/x/top/good.png again"]);
    assert_eq!(
        outcome.bad,
        [
            format!("x.zip/top/samples.jsonl:1: query: expected {PATH}, got ../evil.png"),
            "x.zip/top/samples.jsonl:2: query: expected an image that the archive holds, got folder".to_owned(),
            "x.zip/top/samples.jsonl:3: query: expected an image that the archive holds, got missing.png".to_owned(),
        ]
    );
    let written: Vec<_> = std::fs::read_dir(world.root.join("project/unpacked/x")).unwrap().flatten().collect();
    assert_eq!(written.len(), 1);

    // Another archive of that name does not change what is there, and a link does not lead the writing out.
    world.file("x.zip", &zipped(&[("top/samples.jsonl", b"{\"query\": \"good.png\"}"), ("top/good.png", &png(3, 3))]));
    let bad = world.read("x.zip").bad;
    assert_eq!(
        bad,
        [
            "x.zip/top/samples.jsonl:1: query: expected the image that an earlier import unpacked to project/unpacked/x/top/good.png, got another image"
        ]
    );
    world.file("outside/keep", b"");
    symlink(world.root.join("outside"), world.root.join("project/unpacked/y")).unwrap();
    world.file("y.zip", &zipped(&[("samples.jsonl", b"{\"query\": \"good.png\"}"), ("good.png", &image)]));
    assert!(world.read("y.zip").bad[0].contains("a folder for unpacked images inside of the project"));
    assert!(!world.root.join("outside/good.png").exists());
}

#[test]
fn archives_with_links_or_damage_are_refused() {
    let world = World::new(boards());
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("samples.jsonl", options).unwrap();
    std::io::Write::write_all(&mut zip, b"{\"query\": \"link.png\"}\n{\"query\": \"a.png\"}").unwrap();
    zip.add_symlink("link.png", "/etc/passwd", options).unwrap();
    zip.start_file("a.png", options).unwrap();
    std::io::Write::write_all(&mut zip, &png(9, 9)).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    world.file("l.zip", &bytes);
    let outcome = world.read("l.zip");
    assert_eq!(
        outcome.bad,
        ["l.zip/samples.jsonl:1: query: expected a plain file in the archive, no folder and no symbolic link, got link.png"]
    );
    assert_eq!(outcome.samples.len(), 1);
    for cut in 2..bytes.len() {
        world.file("cut.zip", &bytes[..cut]);
        assert!(world.read("cut.zip").error.is_some(), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        world.file("damaged.zip", &damaged);
        world.read("damaged.zip");
    }
}

#[test]
fn documents_beyond_memory_are_refused() {
    let world = World::new(boards());
    let path = world.file("data/huge.json", b"{\n");
    // A sparse file: it takes no room on the disk.
    std::fs::File::options().write(true).open(path).unwrap().set_len(MOST_DOCUMENT_BYTES + 1).unwrap();
    let error = world.read("data/huge.json").error.unwrap();
    assert_eq!(error, "data/huge.json: expected at most 1073741824 bytes, got 1073741825");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bbox_str_never_panics(text in "(<loc[0-9]{0,5}>?|[a-z;> ]|.){0,12}") {
        let _ = parse_bbox_str(&text);
    }

    #[test]
    fn sources_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let world = World::new(pins());
        for name in ["x.jsonl", "x.csv", "x.json", "x.parquet", "x.zip", "x"] {
            world.file(&format!("data/{name}"), &bytes);
            world.read(&format!("data/{name}"));
        }
    }

    #[test]
    fn rows_never_panic(rows in proptest::collection::vec("\\{\"(image|bbox_str|bbox|type|marks)\": ?(\"(<loc[0-9]{4}>|a.png|.){0,6}\"|\\[[0-9, ]{0,9}\\]|null|[0-9]{1,30})\\}", 0..9)) {
        let world = World::new(pins());
        let outcome = world.read_text("x.jsonl", &rows.join("\n"));
        prop_assert_eq!(outcome.error, None);
    }

    #[test]
    fn tables_never_panic(text in "(image,bbox_str|\"|,|\n|\r|a.png|passed|.){0,40}") {
        let world = World::new(pins());
        world.read_text("x.csv", &text);
        world.read_text("x.csv", &format!("image,bbox_str,type\n{text}"));
    }
}
