//! Random parameters, written as they are made.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::bf16;
use rayon::prelude::*;
use serde_json::{Map, json};

use crate::domain::stable_hash;
use crate::model::ModelError;

/// Where a new file begins, in bytes of parameters.
const LARGEST_FILE: u64 = 4_000_000_000;
/// Values that one thread makes at a time.
const CHUNK: usize = 1 << 18;

type Parameter = (String, Vec<usize>);

/// Writes all parameters, as bf16 or f32; returns their bytes and how many files there are.
pub(super) fn write(dir: &Path, all: &[Parameter], half: bool, seed: u64, done: &dyn Fn(u64, u64)) -> Result<(u64, usize), ModelError> {
    let size = if half { 2 } else { 4 };
    let bytes = |(_, shape): &Parameter| shape.iter().map(|side| *side as u64).product::<u64>() * size;
    let total: u64 = all.iter().map(bytes).sum();
    let mut files: Vec<Vec<&Parameter>> = vec![Vec::new()];
    let mut room = LARGEST_FILE;
    for parameter in all {
        if bytes(parameter) > room && files.last().is_some_and(|file| !file.is_empty()) {
            files.push(Vec::new());
            room = LARGEST_FILE;
        }
        room = room.saturating_sub(bytes(parameter));
        if let Some(file) = files.last_mut() {
            file.push(parameter);
        }
    }
    let count = files.len();
    let name = |nth: usize| match count {
        1 => "model.safetensors".to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", nth + 1),
    };
    let mut written = 0;
    for (nth, file) in files.iter().enumerate() {
        let path = dir.join(name(nth));
        write_file(&path, file, half, seed, &mut |more| {
            written += more;
            done(written, total);
        })
        .map_err(|source| ModelError::Io { path, source })?;
    }
    if count > 1 {
        let places = files.iter().enumerate().flat_map(|(nth, file)| file.iter().map(move |(name, _)| (name, nth)));
        let map: Map<String, serde_json::Value> = places.map(|(tensor, nth)| (tensor.clone(), json!(name(nth)))).collect();
        let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
        let path: PathBuf = dir.join("model.safetensors.index.json");
        std::fs::write(&path, format!("{index:#}\n")).map_err(|source| ModelError::Io { path, source })?;
    }
    Ok((total, count))
}

fn write_file(path: &Path, parameters: &[&Parameter], half: bool, seed: u64, done: &mut dyn FnMut(u64)) -> std::io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut start = 0;
    for (name, shape) in parameters {
        let end = start + shape.iter().product::<usize>() * if half { 2 } else { 4 };
        let entry = json!({ "dtype": if half { "BF16" } else { "F32" }, "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
        start = end;
    }
    let mut text = serde_json::to_string(&header)?;
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(text.as_bytes())?;
    for (name, shape) in parameters {
        let bytes = values(name, shape, half, seed);
        file.write_all(&bytes)?;
        done(bytes.len() as u64);
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

/// A parameter's bytes: evenly spread values as wide as their number of inputs asks for; norms near 1, biases near 0.
fn values(name: &str, shape: &[usize], half: bool, seed: u64) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let inputs = shape.iter().skip(1).product::<usize>().max(1);
    let norm = name.contains("norm") || name.contains("ln_q");
    let (middle, spread) = match (shape.len(), norm && name.ends_with("weight")) {
        (_, true) => (1.0, 0.1),
        (1, false) => (0.0, 0.02),
        // The embedding's rows are what the first layer's norm makes equally long; a tied head multiplies by them.
        _ => (0.0, 1.0 / (inputs as f32).sqrt()),
    };
    // Evenly spread values of this standard deviation reach so far.
    let reach = spread * 3.0_f32.sqrt();
    let made = |nth: usize| {
        let mut state = stable_hash(seed, &["parameter", name, &nth.to_string()]);
        let values = (nth * CHUNK..count.min((nth + 1) * CHUNK)).map(move |_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            middle + reach * ((mixed >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
        });
        let bytes: Vec<u8> = if half {
            values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect()
        } else {
            values.flat_map(f32::to_le_bytes).collect()
        };
        bytes
    };
    let chunks: Vec<Vec<u8>> = (0..count.div_ceil(CHUNK)).into_par_iter().map(made).collect();
    chunks.concat()
}
