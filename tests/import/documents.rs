//! Folders, COCO and Label Studio.

use std::io::Cursor;

use mekiki::import::Format;

use crate::support::{World, boards, pins, png};

/// A mask of 100 x 50 pixels that marks x 10 to 49 and y 5 to 24.
fn mask() -> Vec<u8> {
    let mask =
        image::GrayImage::from_fn(100, 50, |x, y| image::Luma([if (10..50).contains(&x) && (5..25).contains(&y) { 255 } else { 0 }]));
    let mut bytes = Cursor::new(Vec::new());
    mask.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn folders_of_the_mvtec_kind() {
    let world = World::new(boards());
    for path in ["train/good/000.png", "test/good/000.png", "test/short/000.png", "test/short/001.PNG", "test/rust/000.png"] {
        world.file(&format!("mvtec/{path}"), &png(100, 50));
    }
    world.file("mvtec/test/short/notes.txt", b"");
    world.file("mvtec/readme.txt", b"");
    world.file("mvtec/ground_truth/short/000_mask.png", &mask());
    let outcome = world.read("mvtec");
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            "train/good/000 crop mvtec:train/good/000.png train/good/000 judgement=passed defect_mode=passed position=none bbox=none",
            "test/good/000 crop mvtec:test/good/000.png test/good/000 judgement=passed defect_mode=passed position=none bbox=none",
            "test/short/000 crop mvtec:test/short/000.png test/short/000 judgement=defective defect_mode=short bbox=<loc0102><loc0102><loc0512><loc0512>",
            "test/short/001 crop mvtec:test/short/001.PNG test/short/001 judgement=defective defect_mode=short",
        ]
    );
    let modes = "one of passed, open, short, mousebite, spur, copper, pin-hole";
    assert_eq!(outcome.bad, [format!("mvtec/test/rust/000.png: folder: expected {modes}, got rust")]);

    world.file("mvtec/ground_truth/short/001.png", b"no image");
    assert!(world.read("mvtec").bad[1].starts_with("mvtec/test/short/001.PNG: mask: expected a mask that can be read, got "));
}

#[test]
fn several_categories_give_image_types() {
    let world = World::new(pins());
    world.file("all/CYLN_RAW/test/scratch/1.png", &png(100, 50));
    world.file("all/CYLN_RAW/ground_truth/scratch/1_mask.png", &mask());
    world.file("all/CYLN_DST/train/good/1.png", &png(100, 50));
    let outcome = world.read("all");
    assert_eq!(
        outcome.samples,
        [
            "CYLN_DST/train/good/1 CYLN_DST all:CYLN_DST/train/good/1.png CYLN_DST/train/good/1 image_type=CYLN_DST judgement=passed defect_mode=passed position=none area=none",
            "CYLN_RAW/test/scratch/1 CYLN_RAW all:CYLN_RAW/test/scratch/1.png CYLN_RAW/test/scratch/1 image_type=CYLN_RAW judgement=defective defect_mode=scratch area=<loc0102><loc0102><loc0512><loc0512>",
        ]
    );
}

#[test]
fn coco() {
    let world = World::new(boards());
    let text = r#"{
      "info": {"description": "x"},
      "images": [
        {"id": 1, "file_name": "a.png", "width": 100, "height": 50},
        {"id": 2, "file_name": "写真/b.png"},
        {"id": 3, "file_name": "a.png"},
        {"id": 4, "file_name": "none.png"},
        {"id": 5, "file_name": null},
        {"id": 6, "file_name": "写真/../a.png"},
        {"id": 7, "file_name": "c.png"},
        {"id": 8, "file_name": "d.png"},
        {"id": 9, "file_name": "e.png"}
      ],
      "annotations": [
        {"image_id": 1, "category_id": 8, "bbox": [0, 0, 2, 2], "segmentation": [[1, 2, 3, 4]]},
        {"image_id": 1, "category_id": 7, "bbox": [10, 5, 40, 20]},
        {"image_id": 7, "category_id": 1, "bbox": [0, 0, 2, 2]},
        {"image_id": 8, "category_id": 7, "bbox": "x"},
        {"image_id": 9, "category_id": 9, "bbox": [0, 0, 2, 2]}
      ],
      "categories": [{"id": 7, "name": "pin hole"}, {"id": 8, "name": "spur"}, {"id": 9, "name": "rust"}]
    }"#;
    for name in ["c", "d", "e"] {
        world.file(&format!("data/{name}.png"), &png(100, 50));
    }
    let outcome = world.read_text("coco.json", text);
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            "a crop data:a.png a judgement=defective defect_mode=pin-hole bbox=<loc0102><loc0102><loc0512><loc0512>",
            "写真/b crop data:写真/b.png 写真/b judgement=passed defect_mode=passed position=none bbox=none",
        ]
    );
    let modes = "one of passed, open, short, mousebite, spur, copper, pin-hole";
    let path = "a relative path of at most 1,000 characters, without '..', empty parts, backslashes or control characters";
    assert_eq!(
        outcome.bad,
        [
            "images[2].id: expected an id that no earlier row has, got a".to_owned(),
            "images[3].file_name: expected an image file below data, got none.png".to_owned(),
            "images[4].file_name: expected the path of an image, got null".to_owned(),
            format!("images[5].file_name: expected {path}, got 写真/../a.png"),
            "images[6].annotations[2].category_id: expected the id of a category with a name, got 1".to_owned(),
            "images[7].annotations[3].bbox: expected [x, y, width, height] in pixels, got x".to_owned(),
            format!("images[8].category_id: expected {modes}, got rust"),
        ]
        .map(|text| format!("data/coco.json: {text}"))
    );
    let error = world.read_text("coco.json", "{\n\"images\": 3}").error.unwrap();
    assert_eq!(
        error,
        "data/coco.json: expected COCO JSON with images, annotations and categories, got invalid type: integer `3`, expected a sequence at line 2 column 11"
    );
}

#[test]
fn label_studio() {
    let world = World::new(pins()).mapped(&[("judgement", "verdict")]);
    let task = |image: &str, annotations: &str| {
        format!(r#"{{"id": 1, "data": {{"image": "{image}", "type": "CYLN_DST"}}, "annotations": [{annotations}]}}"#)
    };
    let results = r#"{"was_cancelled": true, "result": [{"from_name": "verdict", "type": "choices", "value": {"choices": ["passed"]}}]},
        {"was_cancelled": false, "result": [
          {"from_name": "verdict", "type": "choices", "value": {"choices": ["defective"]}},
          {"from_name": "marks", "type": "choices", "value": {"choices": ["oil", "dust"]}},
          {"from_name": "remark", "type": "textarea", "value": {"text": ["油あり"]}},
          {"from_name": "quantity", "type": "number", "value": {"number": 27}},
          {"from_name": "label", "type": "rectanglelabels", "value": {"x": 10, "y": 10, "width": 40, "height": 40, "rotation": 0, "rectanglelabels": ["dent"]}},
          {"from_name": "label", "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 4, "height": 4, "rectanglelabels": ["scratch"]}},
          {"from_name": "other", "type": "choices", "value": {"choices": ["?"]}}
        ]}"#;
    let one = |name: &str, value: &str| format!(r#"{{"result": [{{"from_name": "{name}", "value": {value}}}]}}"#);
    let tasks = [
        task("/data/local-files/?d=%E5%86%99%E7%9C%9F/b.png", results),
        task("a.png", r#"{"was_cancelled": true, "result": []}"#),
        task("http://host/c.png", ""),
        task("c.png", &one("verdict", r#"{"choices": ["good"]}"#)),
        task("d.png", &one("label", r#"{"x": 120, "y": 1, "width": 4, "height": 4, "rectanglelabels": ["dent"]}"#)),
        task("e.png", &one("verdict", "{}")),
        r#"{"id": 3}"#.to_owned(),
    ];
    let text = format!("[{}]", tasks.join(",\n"));
    let outcome = world.read_text("export.json", &text);
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            "写真/b CYLN_DST data:写真/b.png 写真/b image_type=CYLN_DST quantity=27 judgement=defective defect_mode=dent area=<loc0102><loc0102><loc0512><loc0512> marks=oil, dust remark=油あり",
            "a CYLN_DST data:a.png a image_type=CYLN_DST",
        ]
    );
    assert_eq!(
        outcome.bad,
        [
            "[2].image: expected a relative path of at most 1,000 characters, without '..', empty parts, backslashes or control characters, got http://host/c.png",
            "[3].verdict: expected one of passed, defective, got good",
            "[4].label: expected a rectangle x, y, width, height in percent of the image, got {x: 120, y: 1, width: 4, height: 4, rectanglelabels: [dent]}",
            "[5].verdict: expected choices, text, number or rectanglelabels, got {}",
            "[6].data: expected an object with the path of an image, got null",
        ]
        .map(|text| format!("data/export.json: {text}"))
    );
    assert_eq!(world.read_text("export.json", "[]").samples.len(), 0);
    let cut = world.read_text("export.json", &text[..text.len() - 5]);
    assert_eq!((cut.samples.len(), cut.bad.len()), (2, 4));
    let error = cut.error.unwrap();
    assert!(error.starts_with("data/export.json: expected a Label Studio export, a JSON array of tasks, got EOF"), "{error}");
}

#[test]
fn manifests_are_found_or_asked_for() {
    let world = World::new(boards());
    world.file("one/notes.txt", b"");
    let error = world.read("one").error.unwrap();
    assert!(error.starts_with("one: expected a file that lists the samples (*.csv, *.json, "), "{error}");
    world.file("one/inner/x.jsonl", b"{\"query\": \"q.png\"}");
    world.file("one/inner/q.png", b"");
    assert_eq!(world.read("one").samples, ["q crop one/inner:q.png q"]);
    world.file("one/b.csv", b"query\nq.png");
    assert_eq!(world.read("one").bad, ["one/b.csv:2: query: expected an image file below one, got q.png"]);
    world.file("one/a.json", b"[]");
    assert_eq!(
        world.read("one").error.unwrap(),
        "one: expected one file that lists the samples, got a.json, b.csv; name one of them, or the format"
    );
    assert_eq!(world.read_with(&world.root.join("one"), |options| options.format = Some(Format::LabelStudio)).error, None);
    world.file("one/samples.jsonl", b"\n");
    assert_eq!(world.read("one").error, None);
    world.file("one/x.bin", b"?");
    assert!(world.read("one/x.bin").error.unwrap().starts_with("one/x.bin: expected one of the formats rows, jsonl, "));
    assert!(world.read("nothing").error.unwrap().starts_with("nothing: No such file"));
}
