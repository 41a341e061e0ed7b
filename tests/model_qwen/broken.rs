//! Files and images that are not what they should be: a clear error each, and nothing panics.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, ImageFormat};
use mekiki::imaging::{Limits, decode_bytes};
use mekiki::model::ModelError;
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::processor::{Grid, ImageProcessor, PixelPatches, Processor, Tokens};
use mekiki::model::qwen_vl::{Config, Model, Segment};
use serde_json::{Value, json};

use crate::{Fixture, folder};

fn copy(family: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder(family)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn load(dir: &Path) -> String {
    Model::load(dir, &Device::Cpu, DType::F32).unwrap_err().to_string()
}

#[test]
fn truncated_anywhere() {
    let dir = copy("qwen3");
    let path = dir.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, 5000, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        let message = load(dir.path());
        assert!(message.contains("model.safetensors: no safetensors file: "), "{length}: {message}");
    }
    fs::remove_file(&path).unwrap();
    assert!(load(dir.path()).contains("model.safetensors: "));
}

#[test]
fn headers_that_lie() {
    let dir = copy("qwen3");
    let path = dir.path().join("model.safetensors");
    let write = |header: &str| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0; 64]);
        fs::write(&path, bytes).unwrap();
    };
    for (header, expected) in [
        ("[]", "header: "),
        ("{\"a\":{}}", "a: missing field"),
        ("{\"a\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "a: expected dtype F32, BF16 or F16, got F8"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,8]}}", "a: expected F32 of shape [4], got 8 bytes"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "got an end before its start"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[32],\"data_offsets\":[0,128]}}", "a: the file ends 64 bytes before the tensor does"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", "a: expected F32"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", "a: invalid value"),
        ("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[18446744073709551615,18446744073709551615]}}", "a: the file ends"),
    ] {
        write(header);
        let message = load(dir.path());
        assert!(message.contains(expected), "{header}: {message}");
    }
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(load(dir.path()).contains("a header of 18446744073709551615 bytes in a file of 8"));
}

#[test]
fn missing_and_misshapen_tensors() {
    let dir = copy("qwen3");
    let path = dir.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let name = "model.visual.blocks.1.attn.qkv.weight";
    let removed = tensors.remove(name).unwrap();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let message = load(dir.path());
    assert!(message.ends_with("no tensor model.visual.blocks.1.attn.qkv.weight; expected one of shape [72, 24]"), "{message}");
    tensors.insert(name.to_owned(), removed.t().unwrap().contiguous().unwrap());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let message = load(dir.path());
    assert!(
        message.ends_with("model.safetensors: model.visual.blocks.1.attn.qkv.weight: expected shape [72, 24], got [24, 72]"),
        "{message}"
    );
}

#[test]
fn an_index_stays_in_its_folder() {
    let dir = copy("qwen2");
    let path = dir.path().join("model.safetensors.index.json");
    for bad in ["../a.safetensors", "/etc/passwd", "a/b", "", ".."] {
        fs::write(&path, json!({"weight_map": {"a": bad}}).to_string()).unwrap();
        assert!(load(dir.path()).contains("is no file of this folder"), "{bad}");
    }
    fs::write(&path, "{}").unwrap();
    assert!(load(dir.path()).contains("no index of safetensors"));
    // The same tensor under its older and its newer name.
    let twice: std::collections::HashMap<String, Tensor> = ["visual.x", "model.visual.x"]
        .into_iter()
        .map(|name| (name.to_owned(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap()))
        .collect();
    let file = dir.path().join("twice.safetensors");
    candle_core::safetensors::save(&twice, &file).unwrap();
    assert!(Checkpoint::of_file(&file).unwrap_err().to_string().ends_with("tensor model.visual.x is there twice"));
}

#[test]
fn configs_with_wrong_values() {
    let text = fs::read_to_string(folder("qwen3").join("config.json")).unwrap();
    let parse = |text: &str| Config::parse(text, Path::new("config.json"));
    parse(&text).unwrap();
    let with = |pointer: &str, value: Value| {
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { &mut config } else { config.pointer_mut(parent).unwrap() };
        parent[key] = value;
        match parse(&config.to_string()) {
            Err(error @ ModelError::Config { .. }) => error.to_string(),
            other => panic!("{pointer}: {other:?}"),
        }
    };
    assert_eq!(
        with("/text_config/hidden_size", json!(1_u64 << 60)),
        "config.json: text_config.hidden_size: expected a whole number from 1 to 16777216, got 1152921504606846976"
    );
    assert!(with("/model_type", json!("llama")).ends_with("expected qwen2_vl, qwen2_5_vl or qwen3_vl, got \"llama\""));
    for (pointer, value) in [
        ("/text_config/num_hidden_layers", json!(1_000_000)),
        ("/text_config/num_hidden_layers", json!(-1)),
        ("/text_config/num_key_value_heads", json!(3)),
        ("/text_config/num_key_value_heads", json!(0)),
        ("/text_config/head_dim", json!(15)),
        ("/text_config/hidden_act", json!("relu")),
        ("/text_config/rope_parameters", json!({"rope_type": "yarn"})),
        ("/text_config/rope_parameters", json!({"mrope_section": [1, 2]})),
        ("/text_config/rms_norm_eps", json!("x")),
        ("/text_config", json!([])),
        ("/vision_config", Value::Null),
        ("/vision_config/num_heads", json!(7)),
        ("/vision_config/patch_size", json!(0)),
        ("/vision_config/num_position_embeddings", json!(35)),
        ("/vision_config/deepstack_visual_indexes", json!([2, 0])),
        ("/vision_config/deepstack_visual_indexes", json!([0, 99])),
        ("/vision_config/out_hidden_size", json!(47)),
        ("/vision_config/hidden_act", json!("\u{1b}[2J")),
        ("/image_token_id", json!(312)),
    ] {
        let message = with(pointer, value);
        assert!(!message.contains('\u{1b}'), "{message}");
    }
    for bad in ["", "[]", "{", "null", "{\"model_type\": 3}"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    // A larger shape than the files hold is noticed before memory for it is taken.
    let dir = copy("qwen3");
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["text_config"]["vocab_size"] = json!(1 << 24);
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    assert!(load(dir.path()).contains("expected shape [16777216, 48], got [312, 48]"));
}

#[test]
fn processors_with_wrong_values() {
    let dir = copy("qwen2");
    let config = Checkpoint::open(dir.path()).unwrap().config().unwrap();
    let path = dir.path().join("preprocessor_config.json");
    for (value, expected) in [
        (json!({"patch_size": 16}), "patch_size: expected 14 as config.json says, got 16"),
        (json!({"image_std": [1, 1]}), "image_std: expected three numbers"),
        (json!({"image_std": 0}), "image_std: expected three numbers that are not 0"),
        (json!({"min_pixels": 9, "max_pixels": 4}), "size: expected"),
        (json!({"min_pixels": u64::MAX}), "min_pixels: expected a number of pixels"),
        (json!({"size": {"shortest_edge": -4}}), "min_pixels: expected a number of pixels"),
    ] {
        fs::write(&path, value.to_string()).unwrap();
        let message = ImageProcessor::load(dir.path(), &config).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    fs::write(&path, "{").unwrap();
    assert!(ImageProcessor::load(dir.path(), &config).is_err());
    // Without a file the family's values hold, whatever a file allowed memory has a limit.
    fs::write(&path, json!({"max_pixels": u32::MAX}).to_string()).unwrap();
    let processor = ImageProcessor::load(dir.path(), &config).unwrap();
    assert!(processor.grid(60_000, 60_000).unwrap().patches() * 14 * 14 <= 1 << 26);
    fs::remove_file(&path).unwrap();
    let mut processor = ImageProcessor::load(dir.path(), &config).unwrap();
    assert_eq!(processor.size(448, 448).unwrap(), (448, 448));
    processor.limit_pixels(224 * 224);
    assert_eq!(processor.size(448, 448).unwrap(), (224, 224));
}

#[test]
fn tokenizers_with_wrong_values() {
    let dir = copy("qwen3");
    let config = Checkpoint::open(dir.path()).unwrap().config().unwrap();
    let path = dir.path().join("tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    for bad in ["", "{}", "[1]", "{\"model\": {\"type\": \"BPE\", \"vocab\": 3}}", &text[..text.len() / 2]] {
        assert!(matches!(Tokens::parse(bad, &path), Err(ModelError::File { .. })), "{bad}");
    }
    fs::write(&path, text.replace("<|image_pad|>", "<|image|>")).unwrap();
    let message = Processor::load(dir.path(), &config).unwrap_err().to_string();
    assert!(message.ends_with("expected <|image_pad|> to be token 306 as config.json says, got none"), "{message}");
}

#[test]
fn images_of_every_kind() {
    let fixture = Fixture::load("qwen3");
    let images = &fixture.processor.images;
    let encoded = |picture: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    for picture in [
        DynamicImage::new_luma8(1, 1),
        DynamicImage::new_luma16(30, 20),
        DynamicImage::new_rgb16(30, 20),
        DynamicImage::new_rgba16(30, 20),
        DynamicImage::new_luma_a8(3, 99),
        DynamicImage::new_rgba8(99, 3),
    ] {
        let picture = decode_bytes(&encoded(&picture, ImageFormat::Png), Path::new("x.png"), Limits::default()).unwrap();
        let patches = images.patches(&picture).unwrap();
        assert_eq!(patches.values.len(), patches.grid.patches() * fixture.model.config().vision.patch_values());
        assert_eq!(fixture.model.embed_images(&[patches]).unwrap().len(), 1);
    }
    // The first frame of an animation.
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for value in [250, 5] {
        let frame = image::RgbaImage::from_pixel(40, 40, image::Rgba([value, value, value, 255]));
        encoder.encode_frame(image::Frame::new(frame)).unwrap();
    }
    drop(encoder);
    let picture = decode_bytes(&bytes, Path::new("x.gif"), Limits::default()).unwrap();
    assert!(images.patches(&picture).unwrap().values.iter().all(|value| *value > 0.9));
    // A CMYK photo.
    let bytes = include_bytes!("../fixtures/model/cmyk.jpg");
    let picture = decode_bytes(bytes, Path::new("cmyk.jpg"), Limits::default()).unwrap();
    assert_eq!(images.patches(&picture).unwrap().grid, images.grid(40, 24).unwrap());
    // Too slender, and too large to decode.
    let message = images.patches(&DynamicImage::new_luma8(4, 900)).unwrap_err().to_string();
    assert_eq!(message, "an image of 4 x 900 pixels: one side is more than 200 times the other");
    let large = encoded(&DynamicImage::new_luma8(3000, 3000), ImageFormat::Png);
    assert!(decode_bytes(&large, Path::new("x.png"), Limits { side: 2_000, bytes: 1 << 30 }).is_err());
}

#[test]
fn what_does_not_fit_the_network() {
    let fixture = Fixture::load("qwen2_5");
    let model = &fixture.model;
    let wrong = [
        PixelPatches { grid: Grid { height: 4, width: 4 }, values: vec![0.0; 7] },
        PixelPatches { grid: Grid { height: 3, width: 4 }, values: vec![0.0; 12 * 1176] },
        PixelPatches { grid: Grid { height: 0, width: 4 }, values: Vec::new() },
    ];
    for patches in wrong {
        assert!(matches!(model.embed_images(&[patches]), Err(ModelError::Prompt(_))));
    }
    assert!(model.embed_images(&[]).unwrap().is_empty());
    let text = |ids: &[u32]| Segment { ids: ids.to_vec(), images: Vec::new() };
    assert!(matches!(model.forward_whole(&[]), Err(ModelError::Prompt(_))));
    assert!(matches!(model.forward_whole(&[text(&[])]), Err(ModelError::Prompt(_))));
    assert!(matches!(model.forward_whole(&[text(&[9999])]), Err(ModelError::Prompt(_))));
    let mut cache = model.cache(1, 8).unwrap();
    assert!(matches!(model.forward(&mut cache, &[text(&[1]), text(&[2])]), Err(ModelError::Prompt(_))));
    assert!(matches!(model.forward(&mut cache, &[text(&[1; 9])]), Err(ModelError::CacheFull { capacity: 8, wanted: 9 })));
    assert!(cache.is_empty());
    assert!(matches!(cache.gather(&[1], 8), Err(ModelError::Prompt(_))));
    let hidden = model.forward(&mut cache, &[text(&[1, 2])]).unwrap();
    assert!(matches!(model.at(&hidden, &[(0, 2)]), Err(ModelError::Prompt(_))));
    assert!(matches!(cache.gather(&[0], 1), Err(ModelError::CacheFull { .. })));
}
