//! Vectors of pictures, against transformers; and what is no encoder.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, safetensors};
use image::{DynamicImage, Rgb, RgbImage};
use mekiki::model::encoder::{Encoder, MOST_WIDTH, Pixels};
use mekiki::model::random::{self, Shape};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder").join(name)
}

fn load(dir: &Path) -> Encoder {
    Encoder::load(dir, &Device::Cpu, DType::F32).unwrap()
}

/// As tests/fixtures/encoder/make.py makes it.
fn picture(width: u32, height: u32, seed: u32) -> DynamicImage {
    let value = |x: u32, y: u32, c: u32| ((x * (3 + seed) + y * (7 + c) + x * y / (5 + c) + 40 * c) % 256) as u8;
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| Rgb([value(x, y, 0), value(x, y, 1), value(x, y, 2)])))
}

fn pixels(encoder: &Encoder) -> Vec<Pixels> {
    [picture(60, 47, 1), picture(31, 90, 2)].iter().map(|picture| encoder.prepare(picture).unwrap()).collect()
}

#[test]
fn vectors_are_those_of_transformers() {
    for name in ["dinov2", "siglip", "siglip-vision"] {
        let encoder = load(&folder(name));
        let reference = &safetensors::load(folder(name).join("reference.safetensors"), &Device::Cpu).unwrap()["vectors"];
        let expected: Vec<Vec<f32>> = reference.to_vec2().unwrap();
        let pixels = pixels(&encoder);
        let together = encoder.vectors(&pixels).unwrap();
        let alone = encoder.vectors(&pixels[1..]).unwrap();
        assert_eq!(encoder.width(), expected[0].len());
        let worst = |got: &[Vec<f32>], expected: &[Vec<f32>]| {
            let differences = got.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f32::max)
        };
        println!("{name}: {:e}", worst(&together, &expected));
        assert!(worst(&together, &expected) < 1e-5, "{name}");
        assert!(worst(&alone, &expected[1..]) < 1e-5, "{name}, one at a time");
    }
}

#[test]
fn a_models_own_tower_is_an_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let texts = ["judgement passed defective".to_owned()];
    for (name, shape, seed) in [("a", Shape::Tiny, 1), ("b", Shape::Tiny, 1), ("c", Shape::Tiny, 2)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        random::write(&dir.path().join(name), &shape, seed, &texts, &|_, _| ()).unwrap();
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| load(&dir.path().join(name)));
    assert_eq!(a.identity(), b.identity(), "the folder's name says nothing");
    assert_ne!(a.identity(), c.identity());
    assert!(a.width() <= MOST_WIDTH);
    let pixels = pixels(&a);
    let vectors = a.vectors(&pixels).unwrap();
    assert_eq!(vectors[1], a.vectors(&pixels[1..]).unwrap()[0], "pictures of other sizes change nothing");
    assert!(vectors.iter().all(|vector| vector.len() == a.width() && vector.iter().all(|value| value.is_finite())));
    assert_ne!(vectors[0], vectors[1]);
}

#[test]
fn what_is_no_encoder_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let with = |from: &str, to: &str| {
        let source = folder("dinov2");
        for file in ["config.json", "model.safetensors", "preprocessor_config.json"] {
            fs::copy(source.join(file), dir.path().join(file)).unwrap();
        }
        let config = fs::read_to_string(source.join("config.json")).unwrap();
        assert!(config.contains(from), "{from}");
        fs::write(dir.path().join("config.json"), config.replace(from, to)).unwrap();
        Encoder::load(dir.path(), &Device::Cpu, DType::F32).unwrap_err().to_string()
    };
    for (from, to, told) in [
        (r#""model_type": "dinov2""#, r#""model_type": "clip""#, "model_type: expected qwen2_vl"),
        (r#""use_swiglu_ffn": false"#, r#""use_swiglu_ffn": true"#, "use_swiglu_ffn"),
        (r#""hidden_size": 32"#, r#""hidden_size": 30"#, "num_attention_heads"),
        (r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 3"#, "encoder.layer.2"),
        (r#""patch_size": 14"#, r#""patch_size": 0"#, "patch_size"),
        (r#""hidden_act": "gelu""#, r#""hidden_act": "relu""#, "hidden_act"),
        (r#""image_size": 42"#, r#""image_size": 56"#, "position_embeddings"),
    ] {
        let said = with(from, to);
        assert!(said.contains(told) && said.contains(dir.path().to_str().unwrap()), "{told}: {said}");
    }
}
