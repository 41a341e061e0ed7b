//! Logits, against transformers.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor};
use mekiki::model::processor::{Grid, PixelPatches};
use mekiki::model::qwen_vl::{Mode, Model, Segment};

use crate::{FAMILIES, Fixture, difference};

#[test]
fn logits_at_all_positions() {
    for family in FAMILIES {
        let mut fixture = Fixture::load(family);
        for mode in [Mode::Infer, Mode::Train] {
            fixture.model.set_mode(mode);
            for (name, talk) in &fixture.talks {
                let segment = fixture.segment(talk);
                let got = fixture.logits_of(&fixture.model.forward_whole(&[segment]).unwrap());
                let worst = difference(&got, &fixture.logits[name].to_vec2().unwrap());
                println!("{family} {name} {mode:?}: {worst:e}");
                assert!(worst <= 1e-4, "{family} {name} {mode:?}: {worst}");
            }
        }
    }
}

#[test]
fn logits_of_some_tokens() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let (name, talk) = &fixture.talks[0];
        let hidden = fixture.model.forward_whole(&[fixture.segment(talk)]).unwrap().squeeze(0).unwrap();
        let tokens = [7, 300, 7, 0];
        let got: Vec<Vec<f32>> = fixture.model.logits_of(&hidden, &tokens).unwrap().to_vec2().unwrap();
        let index = Tensor::new(&tokens, &Device::Cpu).unwrap();
        assert!(difference(&got, &fixture.logits[name].index_select(&index, 1).unwrap().to_vec2().unwrap()) <= 1e-4);
        assert!(fixture.model.logits_of(&hidden, &[9999]).is_err());
    }
}

#[test]
fn bf16_stays_near() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let model = Model::load(&crate::folder(family), &Device::Cpu, DType::BF16).unwrap();
        for (name, talk) in &fixture.talks {
            let segment = Segment { ids: talk.ids(), images: model.embed_images(&fixture.patches(talk)).unwrap() };
            let hidden = model.forward_whole(&[segment]).unwrap().squeeze(0).unwrap();
            let got: Vec<Vec<f32>> = model.logits(&hidden).unwrap().to_vec2().unwrap();
            let expected: Vec<Vec<f32>> = fixture.logits[name].to_vec2().unwrap();
            let (mut dot, mut a, mut b) = (0.0, 0.0, 0.0);
            for (x, y) in got.iter().flatten().zip(expected.iter().flatten()) {
                (dot, a, b) = (dot + x * y, a + x * x, b + y * y);
            }
            let cosine = dot / (a * b).sqrt();
            println!("{family} {name} bf16: cosine {cosine}");
            assert!(cosine > 0.998, "{family} {name}: {cosine}");
        }
    }
}

/// Larger files than belong into the project.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let dir = std::env::var_os("MEKIKI_SHARED").map_or(beside, PathBuf::from).join("data/peft-adapters");
    if dir.exists() {
        return Some(dir);
    }
    println!("skipped: no folder {}; MEKIKI_SHARED can name one", dir.display());
    None
}

#[test]
fn the_base_of_the_adapters() {
    let Some(dir) = shared() else { return };
    let model = Model::load(&dir.join("base"), &Device::Cpu, DType::F32).unwrap();
    let reference = candle_core::safetensors::load(dir.join("lora_all_linear/reference_logits.safetensors"), &Device::Cpu).unwrap();
    let ids = |name: &str| -> Vec<u32> { reference[name].i(0).unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap() };
    let logits = |segment: Segment| -> Vec<Vec<f32>> {
        model.logits(&model.forward_whole(&[segment]).unwrap().squeeze(0).unwrap()).unwrap().to_vec2().unwrap()
    };
    let expected = |name: &str| -> Vec<Vec<f32>> { reference[name].i(0).unwrap().to_vec2().unwrap() };

    let text = logits(Segment { ids: ids("text_input_ids"), images: Vec::new() });
    let worst = difference(&text, &expected("logits_text_base"));
    println!("text only: {worst:e}");
    assert!(worst <= 1e-4);

    let grids: Vec<Vec<i64>> = reference["image_grid_thw"].to_vec2().unwrap();
    let mut start = 0;
    let images: Vec<PixelPatches> = grids
        .iter()
        .map(|grid| {
            let grid = Grid { height: grid[1] as usize, width: grid[2] as usize };
            let part: Tensor = reference["pixel_values"].narrow(0, start, grid.patches()).unwrap();
            start += grid.patches();
            PixelPatches { grid, values: part.flatten_all().unwrap().to_vec1().unwrap() }
        })
        .collect();
    let images = model.embed_images(&images).unwrap();
    let worst = difference(&logits(Segment { ids: ids("input_ids"), images }), &expected("logits_base"));
    println!("with images: {worst:e}");
    assert!(worst <= 1e-4);
}
