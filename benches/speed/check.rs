//! Every path of the network on a device, beside the CPU's in f32, which the tests hold to transformers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use mekiki::model::ModelError;
use mekiki::model::checkpoint::{Checkpoint, Source as _};
use mekiki::model::processor::{ImageProcessor, PixelPatches};
use mekiki::model::qwen_vl::{Mode, Model, Run, Segment, parameters};

use crate::pictures::picture;

const FAMILIES: [&str; 3] = ["qwen2", "qwen2_5", "qwen3"];

fn folder(family: &str) -> PathBuf {
    // Also beside the program, when it runs on another machine than it was built on.
    let there = Path::new("tests/fixtures/model").join(family);
    if there.exists() { there } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model").join(family) }
}

pub(crate) fn run(device: &Device) {
    for family in FAMILIES {
        for (name, mode, dtype) in
            [("infer f32", Mode::Infer, DType::F32), ("train f32", Mode::Train, DType::F32), ("infer bf16", Mode::Infer, DType::BF16)]
        {
            let both = [(Device::Cpu, DType::F32, Mode::Infer), (device.clone(), dtype, mode)]
                .map(|(device, dtype, mode)| outputs(family, &device, dtype, mode));
            match both {
                [Ok(expected), Ok(got)] => {
                    for ((what, expected), (_, got)) in expected.iter().zip(&got) {
                        println!("{family:8} {name:11} {what:28} {}", apart(expected, got));
                    }
                }
                [expected, got] => {
                    println!("{family:8} {name:11} FAILED: {:?}", expected.err().or(got.err()).map(|error| error.to_string()));
                }
            }
        }
        // bf16 on a GPU is where our own kernels of the backward pass serve; on the processor it is candle's operations.
        let expected = gradients(family, &Device::Cpu, DType::F32);
        for (on, dtype) in [(device, DType::F32), (device, DType::BF16), (&Device::Cpu, DType::BF16)] {
            let name = format!("{} {dtype:?}", if on.is_cpu() { "cpu" } else { "device" });
            match (&expected, gradients(family, on, dtype)) {
                (Ok(expected), Ok(got)) => {
                    let worst = expected.iter().map(|(name, values)| (distance(values, &got[name]), name));
                    let (worst, of) = worst.max_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap();
                    let names: Vec<&String> = expected.keys().collect();
                    let all = |of: &HashMap<String, Vec<f32>>| names.iter().flat_map(|name| of[*name].clone()).collect::<Vec<f32>>();
                    let (count, together) = (expected.len(), apart(&all(expected), &all(&got)));
                    println!("{family:8} gradients, {name}: of {count}, at worst {worst:.1e} of the largest ({of}); {together}");
                }
                (Err(error), _) => println!("{family:8} gradients, {name} FAILED: {error}"),
                (_, Err(error)) => println!("{family:8} gradients, {name} FAILED: {error}"),
            }
        }
    }
}

/// Largest difference and cosine.
fn apart(a: &[f32], b: &[f32]) -> String {
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0_f32, |most, d| if d.is_nan() { f32::NAN } else { most.max(d) });
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    format!("{} values, differ by at most {worst:.1e}, cosine {cosine:.6}", a.len().min(b.len()))
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let size = a.iter().fold(1e-9_f32, |most, a| most.max(a.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0_f32, |most, d| if d.is_nan() { f32::INFINITY } else { most.max(d) }) / size
}

fn pixels(images: &ImageProcessor) -> Vec<PixelPatches> {
    let part = |seed: u32, width, height| image::imageops::crop_imm(&picture(seed), 0, 0, width, height).to_image();
    [part(1, 96, 64), part(2, 64, 128), part(3, 96, 64)].iter().map(|picture| images.patches_of_rgb(picture).unwrap()).collect()
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Two prefixes of different lengths, each with an image and text.
fn prompts(model: &Model, pixels: &[PixelPatches]) -> Result<Vec<Segment>, ModelError> {
    let seen = model.embed_images(pixels)?;
    let text = |count: u32, seed: u32| (0..count).map(|i| 20 + (i * 7 + seed) % 60).collect::<Vec<u32>>();
    let image = model.config().image_token;
    let segment = |nth: usize, before, after| -> Result<Segment, ModelError> {
        let placeholders = vec![image; seen[nth].main.dim(0)?];
        Ok(Segment { ids: [text(before, 1), placeholders, text(after, 5)].concat(), images: vec![seen[nth].clone()] })
    };
    Ok(vec![segment(0, 3, 5)?, segment(1, 6, 2)?, segment(2, 3, 5)?])
}

fn outputs(family: &str, device: &Device, dtype: DType, mode: Mode) -> Result<Vec<(&'static str, Vec<f32>)>, ModelError> {
    let dir = folder(family);
    let mut model = Model::load(&dir, device, dtype)?;
    model.set_mode(mode);
    let pixels = pixels(&ImageProcessor::load(&dir, model.config())?);
    let segments = prompts(&model, &pixels)?;
    let mut made = vec![("tower", flat(&segments[1].images[0].main)?)];
    let hidden = model.forward_whole(&segments[..1])?;
    made.push(("one conversation", flat(&model.logits(&hidden.squeeze(0)?)?)?));
    if mode == Mode::Train {
        return Ok(made);
    }
    let mut cache = model.cache(3, 96)?;
    let hidden = model.forward(&mut cache, &segments)?;
    let ends: Vec<(usize, usize)> = segments.iter().enumerate().map(|(row, segment)| (row, segment.ids.len() - 1)).collect();
    made.push(("three of two lengths, cached", flat(&model.logits(&model.at(&hidden, &ends)?)?)?));
    let more: Vec<Segment> = (0..3).map(|row| Segment { ids: vec![31 + row, 40, 50], images: Vec::new() }).collect();
    let hidden = model.forward(&mut cache, &more)?;
    made.push(("three more tokens", flat(&model.logits(&model.at(&hidden, &[(0, 2), (1, 2), (2, 1)])?)?)?));
    let runs: Vec<Vec<Run>> = (0..3)
        .map(|row| {
            let run = |id: u32| Run { ids: vec![id, 41], sees: cache.seen(row), position: cache.position(row) };
            (0..=row as u32).map(|nth| run(33 + nth)).collect()
        })
        .collect();
    let hidden = model.forward_runs(&mut cache, &runs)?;
    let at = model.at(&hidden, &[(0, 1), (1, 1), (1, 3), (2, 5)])?;
    made.push(("branches", flat(&model.logits(&at)?)?));
    made.push(("some logits of branches", flat(&model.logits_of(&at, &[5, 9, 60])?)?));
    let mut even = model.cache(2, 96)?;
    model.forward(&mut even, &[segments[0].clone(), segments[2].clone()])?;
    let even = even.gather(&[1, 0, 1], 80)?;
    let mut even = mekiki::model::qwen_vl::Cache::join(&[(&even, 0), (&even, 2)], 70)?;
    let hidden = model.forward(&mut even, &more[..2])?;
    made.push(("two of one length, joined", flat(&model.logits(&model.at(&hidden, &[(0, 2), (1, 2)])?)?)?));
    Ok(made)
}

fn gradients(family: &str, device: &Device, dtype: DType) -> Result<HashMap<String, Vec<f32>>, ModelError> {
    let dir = folder(family);
    let checkpoint = Checkpoint::open(&dir)?;
    let config = checkpoint.config()?;
    let mut variables: HashMap<String, Var> = HashMap::new();
    for (name, shape) in parameters(&config)? {
        let value = checkpoint.tensor(&name, &shape)?.to_dtype(dtype)?.to_device(device)?;
        variables.insert(name, Var::from_tensor(&value)?);
    }
    let tensors: HashMap<String, Tensor> = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let mut model = Model::new(&config, &tensors, device, dtype)?;
    model.set_mode(Mode::Train);
    let segments = prompts(&model, &pixels(&ImageProcessor::load(&dir, &config)?))?;
    let hidden = model.forward_whole(&segments[..1])?.squeeze(0)?;
    let loss = candle_nn::ops::log_softmax(&model.logits(&hidden)?, 1)?.narrow(1, 3, 1)?.mean_all()?.neg()?;
    let store = loss.backward()?;
    let mut gradients = HashMap::new();
    for (name, var) in &variables {
        let gradient = store.get(var).ok_or_else(|| ModelError::Prompt(format!("{name} has no gradient")))?;
        gradients.insert(name.clone(), flat(gradient)?);
    }
    Ok(gradients)
}
