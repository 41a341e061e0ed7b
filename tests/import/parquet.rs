//! Hugging Face Parquet.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;

use crate::support::{World, boards, png};

fn images(bytes: Vec<Option<&[u8]>>, paths: Vec<Option<&str>>) -> StructArray {
    let fields: Fields = vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)].into();
    let columns: Vec<ArrayRef> = vec![Arc::new(BinaryArray::from(bytes)), Arc::new(StringArray::from(paths))];
    StructArray::new(fields, columns, None)
}

fn write(world: &World, columns: Vec<(&str, ArrayRef)>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let metadata: HashMap<String, String> = metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect()).unwrap();
    let path = world.root.join("data/rows.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn embedded_images_are_unpacked_by_content() {
    let world = World::new(boards());
    let (first, second) = (png(100, 50), png(7, 7));
    let query =
        images(vec![Some(&first), Some(&first), None, Some(b"no image")], vec![Some("one.png"), None, Some("写真/b.png"), Some("x")]);
    let reference = images(vec![Some(&second), None, None, None], vec![None, Some("a.png"), None, None]);
    let defect_mode: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(0), Some(-1), Some(0)]));
    let bbox = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(10), Some(5), Some(50), Some(25)]), None, None, None]);
    let bytes = write(
        &world,
        vec![("image", Arc::new(query)), ("reference", Arc::new(reference)), ("defect_mode", defect_mode), ("bbox", Arc::new(bbox))],
        &[("huggingface", r#"{"info": {"features": {"defect_mode": {"names": ["passed", "spur"], "_type": "ClassLabel"}}}}"#)],
    );
    let outcome = world.read("data/rows.parquet");
    let hash = |bytes| mekiki::imaging::hash_bytes(bytes).to_string();
    let (first, second) = (format!("{}.png", hash(&first)), format!("{}.png", hash(&second)));
    assert_eq!(outcome.error, None);
    assert_eq!(
        outcome.samples,
        [
            format!(
                "one crop project:unpacked/{first}|project:unpacked/{second} one defect_mode=spur bbox=<loc0102><loc0102><loc0512><loc0512>"
            ),
            format!("{id} crop project:unpacked/{first}|data:a.png {id} defect_mode=passed bbox=none", id = first.trim_end_matches(".png")),
            "写真/b crop data:写真/b.png 写真/b".to_owned(),
        ]
    );
    assert_eq!(
        outcome.bad,
        ["data/rows.parquet:4: image: expected an image that can be read, got The image format could not be determined"]
    );
    assert_eq!(world.read("data/rows.parquet"), outcome, "a second time nothing changes");

    // Truncated or damaged anywhere: an error, bad rows or good ones, and never a panic that leaves.
    for cut in (0..bytes.len()).step_by(97) {
        world.file("data/cut.parquet", &bytes[..cut]);
        assert!(world.read("data/cut.parquet").error.is_some(), "{cut}");
    }
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        world.file("data/damaged.parquet", &damaged);
        world.read("data/damaged.parquet");
    }
}

#[test]
fn lists_of_images_name_query_and_reference() {
    let world = World::new(boards()).mapped(&[("judgement", "verdict")]);
    let paths = images(vec![None, None], vec![Some("a.png"), Some("写真/b.png")]);
    let item = Arc::new(Field::new("item", paths.data_type().clone(), true));
    // One list of two, shaped like a list of two numbers.
    let shape = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(0), Some(1)])]);
    let list = ListArray::new(item, shape.offsets().clone(), Arc::new(paths), None);
    let verdict: ArrayRef = Arc::new(StringArray::from(vec!["defective"]));
    write(&world, vec![("images", Arc::new(list)), ("verdict", verdict)], &[]);
    assert_eq!(world.read("data/rows.parquet").samples, ["a crop data:a.png|data:写真/b.png a judgement=defective"]);

    let verdict: ArrayRef = Arc::new(StringArray::from(vec!["defective"]));
    write(&world, vec![("image", verdict)], &[]);
    assert_eq!(world.read("data/rows.parquet").error.unwrap(), "column verdict: expected one of image");
}
