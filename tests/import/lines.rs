//! JSONL and CSV: the original rows, generic columns, PaliGemma.

use std::ops::ControlFlow;

use mekiki::import::{BboxStrError, Format, Item, parse_bbox_str, read};

use crate::support::{World, boards, pins, png};

const LOC: &str = "<loc0100><loc0200><loc0300><loc0400>";
const MODES: &str = "one of passed, scratch, dent, 傷";
const PLACES: &str = "an address of a row U, C, D and a column 1, 2, 3, 4, 5, 6, 7, 8, 9, or none";

#[test]
fn bbox_str_has_mode_and_box_in_either_order() {
    let steps = |text: &str| parse_bbox_str(text).map(|(mode, area)| (mode, area.to_string()));
    let good = |mode: &str| Ok((mode.to_owned(), LOC.to_owned()));
    assert_eq!(steps(&format!("scratch{LOC}")), good("scratch"));
    assert_eq!(steps(&format!("{LOC} 傷 あり ")), good("傷 あり"));
    assert_eq!(steps(&format!("dent {LOC} ; dent <loc0001><loc0001><loc0002><loc0002>")), good("dent"));
    assert_eq!(steps(&format!("{LOC} dent; <loc0001><loc0001><loc0002><loc0002> Dent")), good("dent"));
    assert_eq!(steps("scratch"), Err(BboxStrError::NoLocation));
    assert_eq!(steps(""), Err(BboxStrError::NoLocation));
    assert_eq!(steps(LOC), Err(BboxStrError::NoMode));
    assert_eq!(steps(&format!("dent{LOC}scratch{LOC}")), Err(BboxStrError::SeveralModes));
    for wrong in ["x<loc0001>", "x<loc", "x<loc0009><loc0001><loc0002><loc0002>", "x<loc1024><loc1024><loc1024><loc1024>", "x<loc傷>>>>"] {
        assert_eq!(steps(wrong), Err(BboxStrError::NoBox), "{wrong}");
    }
}

#[test]
fn original_rows_as_jsonl() {
    let world = World::new(pins()).defaulting(&[("quantity", "27")]);
    world.file("data/lot1/c.png", b"");
    let rows = [
        format!(r#"{{"dir": "./lot1/", "image": "c.png", "type": "CYLN_RAW", "position": "U3", "bbox_str": "scratch{LOC}"}}"#),
        format!(
            r#"{{"id": "基板-1", "dir": "lot1", "image": "a.png", "type": "CYLN_DST", "position": "", "bbox_str": "passed{LOC}", "reference": "写真/b.png", "group": 7}}"#
        ),
        r#"{"image": "写真/b.png", "type": "CYLN_DST"}"#.to_owned(),
        r#"{"id": "u", "image": "a.png", "type": "CYLN_DST", "position": null, "bbox_str": ""}"#.to_owned(),
        r#"{"image": "a.png", "type": "CYLN_DST", "position": "U3", "bbox_str": "scratch"}"#.to_owned(),
        format!(r#"{{"image": "a.png", "type": "CYLN_DST", "position": "U0", "bbox_str": "dent{LOC}"}}"#),
        format!(r#"{{"image": "a.png", "type": "X", "position": "U1", "bbox_str": "dent{LOC}"}}"#),
        format!(r#"{{"image": "a.png", "type": "CYLN_DST", "position": "U1", "bbox_str": "rust{LOC}"}}"#),
        format!(r#"{{"image": "a.png", "position": "U1", "bbox_str": "dent{LOC}"}}"#),
        r#"{"dir": "lot1", "image": "missing.png", "type": "CYLN_DST", "bbox_str": null}"#.to_owned(),
        r#"{"image": "a.png", "type": "CYLN_DST", "bbox_str": [1, 2]}"#.to_owned(),
    ];
    let outcome = world.read_text("rows.jsonl", &rows.join("\n"));
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            format!(
                "lot1/c CYLN_RAW data:lot1/c.png lot1/c image_type=CYLN_RAW quantity=27 judgement=defective defect_mode=scratch position=U3 area={LOC}"
            ),
            "基板-1 CYLN_DST data:a.png|data:写真/b.png 7 image_type=CYLN_DST quantity=27 judgement=passed defect_mode=passed position=none area=none"
                .to_owned(),
            "写真/b CYLN_DST data:写真/b.png 写真/b image_type=CYLN_DST quantity=27".to_owned(),
            "u CYLN_DST data:a.png u image_type=CYLN_DST quantity=27".to_owned(),
        ]
    );
    let location = "a defect mode and four tokens <locY1><locX1><locY2><locX2>; there is no <loc";
    assert_eq!(
        outcome.bad,
        [
            format!("data/rows.jsonl:5: bbox_str: expected {location}, got scratch"),
            format!("data/rows.jsonl:6: position: expected {PLACES}, got U0"),
            "data/rows.jsonl:7: type: expected an image type, one of CYLN_DST, CYLN_RAW, got X".to_owned(),
            format!("data/rows.jsonl:8: bbox_str: expected {MODES}, got rust"),
            "data/rows.jsonl:9: type: expected an image type, one of CYLN_DST, CYLN_RAW, got nothing".to_owned(),
            "data/rows.jsonl:10: image: expected an image file below data, got missing.png".to_owned(),
            format!("data/rows.jsonl:11: bbox_str: expected {location}, got [1, 2]"),
        ]
    );
}

#[test]
fn original_rows_as_csv_and_without_the_fields_they_speak_of() {
    let world = World::new(pins());
    let outcome = world.read_text(
        "rows.csv",
        &format!("dir,position,type,image,bbox_str\r\n,D9,CYLN_RAW,a.png,dent{LOC}\r\n.,none,CYLN_RAW,写真/b.png,{LOC}passed\r\n,,CYLN_RAW,x.png,\r\n"),
    );
    assert_eq!(
        outcome.samples,
        [
            format!("a CYLN_RAW data:a.png a image_type=CYLN_RAW judgement=defective defect_mode=dent position=D9 area={LOC}"),
            "写真/b CYLN_RAW data:写真/b.png 写真/b image_type=CYLN_RAW judgement=passed defect_mode=passed position=none area=none"
                .to_owned(),
        ]
    );
    assert_eq!(outcome.bad, ["data/rows.csv:4: image: expected an image file below data, got x.png"]);

    let (fields, types) = (vec![crate::support::field("judgement", crate::support::choice(&["good", "bad"]))], vec!["t".to_owned()]);
    let world = World::new(mekiki::domain::Schema::new(fields, Vec::new(), types, None).unwrap());
    let error = world.read_text("rows.jsonl", r#"{"bbox_str": ""}"#).error.unwrap();
    assert_eq!(error, "the format rows needs a field defect_mode in the schema: expected a field of that id, got none");
}

#[test]
fn generic_jsonl() {
    let world = World::new(pins());
    let rows = [
        r#"{"id": 17, "query": "a.png", "reference": "写真/b.png", "lot": "L1", "type": "cyln_raw", "quantity": 27.0, "judgement": "defective", "marks": ["dust", "oil"], "bbox": [10, 5, 50, 25], "remark": "傷あり", "other": {"x": [1]}}"#,
        r#"{"image": "./a.png", "image_type": "CYLN_DST", "marks": [], "area": null, "quantity": "27 pcs"}"#,
        r#"{"id": "b", "id": "two", "images": ["a.png", {"path": "写真/b.png"}], "type": "CYLN_DST", "bbox": "<loc0001><loc0002><loc0003><loc0004>"}"#,
        r#"{"id": "three", "file_name": "a.png", "type": "CYLN_DST", "bbox": []}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "quantity": 27.5}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "quantity": {"a": 1}}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "marks": ["dust", 3]}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "bbox": [1, 2, 3]}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "bbox": [100, 2, 103, 4]}"#,
        r#"{"id": " n", "file_name": "a.png", "type": "CYLN_DST"}"#,
        r#"{"id": "n", "file_name": "a.png", "type": "CYLN_DST", "group": "a\u001bb"}"#,
        r#"{"id": "two", "file_name": "a.png", "type": "CYLN_DST"}"#,
        r#"{"id": "n", "type": "CYLN_DST"}"#,
        r#"{"id": "n", "query": 5, "type": "CYLN_DST"}"#,
        r#"{"id": "n", "query": "a.png", "type": ["CYLN_DST"]}"#,
        r#"["n"]"#,
        r#"{"id": "n""#,
    ];
    let outcome = world.read_text("samples.jsonl", &rows.join("\n"));
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            "17 CYLN_RAW data:a.png|data:写真/b.png L1 image_type=CYLN_RAW quantity=27 judgement=defective area=<loc0102><loc0102><loc0512><loc0512> marks=oil, dust remark=傷あり",
            "a CYLN_DST data:a.png a image_type=CYLN_DST quantity=27 area=none marks=clean",
            "two CYLN_DST data:a.png|data:写真/b.png two image_type=CYLN_DST area=<loc0001><loc0002><loc0003><loc0004>",
            "three CYLN_DST data:a.png three image_type=CYLN_DST",
        ]
    );
    let area = "or a box <locY1><locX1><locY2><locX2> with steps 0000 to 1023, or none";
    let marks = "some of oil, dust with commas between, or clean";
    assert_eq!(
        outcome.bad,
        [
            "5: quantity: expected a whole number from 0 to 99 (pcs), got 27.5".to_owned(),
            "6: quantity: expected a whole number from 0 to 99 (pcs), got {a: 1}".to_owned(),
            format!("7: marks: expected {marks}, got [dust, 3]"),
            format!("8: bbox: expected [x1, y1, x2, y2] in pixels, {area}, got [1, 2, 3]"),
            "9: bbox: expected a box inside of 100 x 50 pixels, got [100, 2, 103, 4]".to_owned(),
            "10: id: expected a sample id of 1 to 200 printable characters without spaces at its ends, got  n".to_owned(),
            "11: group: expected a group of 1 to 200 printable characters without spaces at its ends, got a\u{fffd}b".to_owned(),
            "12: id: expected an id that no earlier row has, got two".to_owned(),
            "13: query: expected the path of an image, got nothing".to_owned(),
            "14: query: expected the path of an image, got 5".to_owned(),
            "15: type: expected text or a number, got [CYLN_DST]".to_owned(),
            "16: expected a JSON object, got [\"n\"]".to_owned(),
            "17: expected a JSON object (EOF while parsing an object at column 10), got {\"id\": \"n\"".to_owned(),
        ]
        .map(|text| format!("data/samples.jsonl:{text}"))
    );
}

#[test]
fn generic_csv_by_mapped_columns() {
    let world = World::new(boards()).mapped(&[("query", "写真"), ("judgement", "verdict"), ("bbox", "rect")]);
    let text = "\u{feff}写真,verdict,defect_mode,rect,note\r\n\
        a.png,Defective,pin_hole,\"[10, 5, 50, 25]\",\"two\r\nlines, \"\"quoted\"\"\"\r\n\
        \r\n\
        写真/b.png,passed,passed,,5\" wide\r\n\
        a.png,passed\r\n\
        a.png,wrong,passed,none,\r\n\
        a.png,passed,passed,\"[1, 2\",\r\n";
    let outcome = world.read_text("x.csv", text);
    assert_eq!(
        outcome.samples,
        [
            "a crop data:a.png a judgement=defective defect_mode=pin-hole bbox=<loc0102><loc0102><loc0512><loc0512>",
            "写真/b crop data:写真/b.png 写真/b judgement=passed defect_mode=passed bbox=none",
        ]
    );
    assert_eq!(
        outcome.bad,
        [
            "data/x.csv:6: expected 5 cells, as in the header, got 2 cells: a.png,passed",
            "data/x.csv:7: verdict: expected one of passed, defective, got wrong",
            "data/x.csv:8: rect: expected [x1, y1, x2, y2] in pixels, or a box <locY1><locX1><locY2><locX2> with steps 0000 to 1023, or none, got [1, 2",
        ]
    );
    assert_eq!(world.read_text("y.csv", "query,verdict\na.png,passed\n").error.unwrap(), "column rect: expected one of query, verdict");
    let tabs = World::new(boards()).read_text("z.tsv", "query\tjudgement\na.png\tpassed\n");
    assert_eq!(tabs.samples, ["a crop data:a.png a judgement=passed"]);
    let open = World::new(boards()).read_text("o.csv", "query,judgement\na.png,passed\n\"b.png,passed\nc.png,passed\n");
    assert_eq!(open.bad, ["data/o.csv:3: expected a closing quotation mark before the file ends, got \"b.png,passed\u{fffd}c.png,passed"]);
    assert_eq!(open.samples.len(), 1);
}

#[test]
fn paligemma() {
    let world = World::new(pins());
    let rows = [
        format!(r#"{{"image": "a.png", "prefix": "detect", "suffix": "{LOC} scratch ; {LOC} scratch", "type": "CYLN_DST"}}"#),
        format!(r#"{{"id": "b", "image": "a.png", "prefix": "detect", "suffix": "dent{LOC}", "type": "CYLN_DST"}}"#),
        r#"{"id": "c", "image": "a.png", "prefix": "detect", "suffix": "passed", "type": "CYLN_DST"}"#.to_owned(),
        r#"{"id": "d", "image": "a.png", "prefix": "detect", "suffix": "", "type": "CYLN_DST"}"#.to_owned(),
        r#"{"id": "e", "image": "a.png", "prefix": "detect", "suffix": "dent<loc0001>", "type": "CYLN_DST"}"#.to_owned(),
        r#"{"id": "f", "image": "a.png", "prefix": "detect", "suffix": "rust", "type": "CYLN_DST"}"#.to_owned(),
    ];
    let outcome = world.read_text("p.jsonl", &rows.join("\n"));
    assert_eq!(
        outcome.samples,
        [
            format!("a CYLN_DST data:a.png a image_type=CYLN_DST judgement=defective defect_mode=scratch area={LOC}"),
            format!("b CYLN_DST data:a.png b image_type=CYLN_DST judgement=defective defect_mode=dent area={LOC}"),
            "c CYLN_DST data:a.png c image_type=CYLN_DST judgement=passed defect_mode=passed position=none area=none".to_owned(),
            "d CYLN_DST data:a.png d image_type=CYLN_DST".to_owned(),
        ]
    );
    assert_eq!(
        outcome.bad,
        [
            "data/p.jsonl:5: suffix: expected four tokens <locY1><locX1><locY2><locX2> with steps 0000 to 1023, first corner before second, got dent<loc0001>".to_owned(),
            format!("data/p.jsonl:6: suffix: expected {MODES}, got rust"),
        ]
    );
}

#[test]
fn options_hold() {
    let world = World::new(boards());
    world.file(
        "data/s.jsonl",
        b"{\"query\": \"c.png\"}\n{\"query\": \"bad.png\"}\n{\"query\": \"c.png\", \"id\": \"x\", \"reference\": \"bad.png\"}\n",
    );
    world.file("data/elsewhere/c.png", &png(3, 3));
    world.file("data/elsewhere/bad.png", b"no image");
    let (source, images) = (world.root.join("data/s.jsonl"), world.root.join("data/elsewhere"));
    let outcome = world.read_with(&source, |options| options.images = Some(&images));
    assert_eq!((outcome.samples.len(), outcome.bad.len()), (3, 0));
    let outcome = world.read_with(&source, |options| (options.images, options.check_images) = (Some(images.as_path()), true));
    assert_eq!(outcome.samples, ["c crop data/elsewhere:c.png c"]);
    assert!(outcome.bad[0].starts_with("data/s.jsonl:2: query: expected an image that can be read, got "), "{outcome:?}");
    assert!(outcome.bad[1].starts_with("data/s.jsonl:3: reference: expected an image that can be read, got "), "{outcome:?}");
    let outcome = world.read_with(&source, |options| options.strict = true);
    assert_eq!((outcome.samples.len(), outcome.bad.len()), (0, 0));
    assert_eq!(outcome.error.unwrap(), "data/s.jsonl:1: query: expected an image file below data, got c.png");
    let outcome = world.read_with(&source, |options| options.image_type = Some("x"));
    assert_eq!(outcome.error.unwrap(), "image type x: expected one of crop");
    let outcome = world.read_with(&source, |options| options.unpack = &source);
    assert_eq!(outcome.error.unwrap(), "data/s.jsonl: expected a folder inside the project for unpacked images");
    let outcome = world.read_with(&source, |options| (options.format, options.images) = (Some(Format::Csv), Some(images.as_path())));
    assert_eq!(outcome.bad.len(), 2, "{outcome:?}");
}

#[test]
fn data_inside_the_project_belongs_to_it() {
    let world = World::new(boards());
    world.file("project/in/a.png", b"");
    world.file("project/in/s.jsonl", b"{\"query\": \"a.png\"}");
    assert_eq!(world.read("project/in/s.jsonl").samples, ["a crop project:in/a.png a"]);
    assert_eq!(world.read("project/in").samples, ["a crop project:in/a.png a"]);
}

#[test]
fn the_sink_may_end_it_and_progress_reaches_the_end() {
    let world = World::new(boards());
    let rows: Vec<String> = (0..10_000).map(|n| format!("{{\"query\": \"a.png\", \"id\": \"{n}\"}}")).collect();
    let rows = rows.join("\n");
    let source = world.file("data/s.jsonl", rows.as_bytes());
    let options = world.options();
    let (mut taken, seen) = (Vec::new(), std::cell::RefCell::new(Vec::new()));
    let mut sink = |item| {
        taken.push(item);
        if taken.len() == 5000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    read(&source, &options, &mut sink, &|done, total| seen.borrow_mut().push((done, total))).unwrap();
    assert_eq!(taken.len(), 5000);
    read(&source, &options, &mut |_| ControlFlow::Continue(()), &|done, total| seen.borrow_mut().push((done, total))).unwrap();
    let bytes = rows.len() as u64;
    assert_eq!(seen.into_inner().last(), Some(&(bytes, bytes)));
    let ids: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    let in_order = taken.iter().zip(&ids).all(|(item, id)| matches!(item, Item::Sample(sample) if sample.id.as_str() == id));
    assert!(in_order);
}
