//! Samples per second of a small Qwen3-VL (about 5 M random parameters) on this CPU, beside transformers.
//!
//!     RAYON_NUM_THREADS=2 cargo bench --bench model
//!
//! Exemplar, reference and instruction are read once; per sample come the query's pixels, its vision tower, the rest of the
//! prompt, and an answer of 45 tokens of which 10 are decided and the others forced. `MEKIKI_PYTHON` names a Python with
//! torch and transformers, which then does the same with the same checkpoint (`benches/model_reference.py`).
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use mekiki::model::processor::ImageProcessor;
use mekiki::model::qwen_vl::{Cache, Config, Model, Segment, parameters};
use serde_json::json;

const VOCAB: usize = 2048;
const IMAGE: u32 = 2000;
const START: u32 = 2001;
const END: u32 = 2002;
/// Tokens of an answer that are read together: up to the next decision.
const CHUNKS: [usize; 10] = [5, 5, 5, 4, 4, 5, 4, 4, 5, 4];
/// Samples that are predicted together.
const BATCHES: [usize; 3] = [1, 4, 8];

fn config() -> serde_json::Value {
    json!({
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "tie_word_embeddings": true,
        "image_token_id": IMAGE, "video_token_id": 2003, "vision_start_token_id": START, "vision_end_token_id": END,
        "text_config": {
            "model_type": "qwen3_vl_text", "vocab_size": VOCAB, "hidden_size": 192, "intermediate_size": 512,
            "num_hidden_layers": 6, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32,
            "rms_norm_eps": 1e-6, "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5], "mrope_interleaved": true}
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision", "depth": 6, "hidden_size": 128, "intermediate_size": 512, "num_heads": 4,
            "patch_size": 16, "out_hidden_size": 192, "num_position_embeddings": 2304, "deepstack_visual_indexes": [1, 3]
        }
    })
}

/// Writes a random checkpoint and returns how many parameters it has.
fn checkpoint(dir: &Path) -> usize {
    let text = config().to_string();
    std::fs::write(dir.join("config.json"), &text).unwrap();
    let shapes = parameters(&Config::parse(&text, Path::new("config.json")).unwrap()).unwrap();
    let tensors: HashMap<String, Tensor> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let inputs = shape.iter().skip(1).product::<usize>().max(1);
            let (mean, spread) = if name.contains("norm") { (1.0, 0.1) } else { (0.0, 1.0 / (inputs as f64).sqrt()) };
            let tensor = Tensor::randn(mean, spread, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
            (name, tensor)
        })
        .collect();
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
    tensors.values().map(Tensor::elem_count).sum()
}

fn photo(seed: u32) -> RgbImage {
    RgbImage::from_fn(448, 192, |x, y| {
        let noise = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ seed.wrapping_mul(83_492_791);
        image::Rgb([(x + seed) as u8, (y * 2) as u8, (noise >> 24) as u8])
    })
}

fn text(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 37 + seed * 101) % 1900).collect()
}

fn with_image(before: usize, tokens: usize, after: usize) -> Vec<u32> {
    let image = std::iter::once(START).chain(std::iter::repeat_n(IMAGE, tokens)).chain(std::iter::once(END));
    text(before, 1).into_iter().chain(image).chain(text(after, 2)).collect()
}

fn predict(model: &Model, images: &ImageProcessor, prefix: &Cache, photos: &[RgbImage]) -> Vec<Vec<f32>> {
    let patches: Vec<_> = photos.iter().map(|photo| images.patches_of_rgb(photo).unwrap()).collect();
    let embeddings = model.embed_images(&patches).unwrap();
    let tokens = embeddings[0].main.dim(0).unwrap();
    let ids = with_image(1, tokens, 8);
    let rows = vec![0; photos.len()];
    let mut cache = prefix.gather(&rows, prefix.len() + ids.len() + CHUNKS.iter().sum::<usize>()).unwrap();
    let mut segments: Vec<Segment> = embeddings.into_iter().map(|image| Segment { ids: ids.clone(), images: vec![image] }).collect();
    let mut decided = Vec::new();
    for (nth, chunk) in CHUNKS.iter().enumerate() {
        let hidden = model.forward(&mut cache, &segments).unwrap();
        let last = segments[0].ids.len() - 1;
        let places: Vec<(usize, usize)> = (0..photos.len()).map(|row| (row, last)).collect();
        decided = model.logits(&model.at(&hidden, &places).unwrap()).unwrap().to_vec2().unwrap();
        segments = vec![Segment { ids: text(*chunk, nth as u32), images: Vec::new() }; photos.len()];
    }
    decided
}

/// Milliseconds that this process has computed: what counts on a machine that others use too.
fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let count = checkpoint(dir.path());
    let model = Model::load(dir.path(), &Device::Cpu, DType::F32).unwrap();
    let images = ImageProcessor::load(dir.path(), model.config()).unwrap();
    let shown: Vec<_> = (0..2).map(|seed| images.patches_of_rgb(&photo(seed)).unwrap()).collect();
    let shown = model.embed_images(&shown).unwrap();
    let tokens = shown[0].main.dim(0).unwrap();
    let ids = [with_image(40, tokens, 25), with_image(60, tokens, 0)].concat();
    let mut prefix = model.cache(1, ids.len()).unwrap();
    model.forward(&mut prefix, &[Segment { ids, images: shown }]).unwrap();
    let threads = rayon::current_num_threads();
    println!("{:.1} M parameters, {threads} threads, a prefix of {} tokens, {tokens} tokens of query", count as f64 / 1e6, prefix.len());
    for batch in BATCHES {
        let photos: Vec<RgbImage> = (10..10 + batch as u32).map(photo).collect();
        predict(&model, &images, &prefix, &photos);
        let (start, work) = (Instant::now(), cpu_time());
        let mut samples = 0;
        while start.elapsed() < Duration::from_secs(4) {
            assert_eq!(predict(&model, &images, &prefix, &photos).len(), batch);
            samples += batch;
        }
        let (rate, work) = (samples as f64 / start.elapsed().as_secs_f64(), (cpu_time() - work) / samples as f64);
        println!("mekiki, batches of {batch}: {rate:.1} samples/s, {work:.0} ms of CPU each");
    }
    let Some(python) = std::env::var_os("MEKIKI_PYTHON") else {
        println!("transformers: not measured; MEKIKI_PYTHON can name a Python that has it");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/model_reference.py");
    let chunks = CHUNKS.map(|chunk| chunk.to_string()).join(",");
    let batches = BATCHES.map(|batch| batch.to_string()).join(",");
    let done = Command::new(python).arg(script).arg(dir.path()).args([threads.to_string(), chunks, batches]).status().unwrap();
    assert!(done.success());
}
