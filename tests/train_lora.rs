//! LoRA over a frozen checkpoint: its gradients are torch's, its start changes nothing, what is saved is what was trained.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use image::RgbImage;
use mekiki::model::adapter::{Adapter, Merged, Targets};
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::processor::Processor;
use mekiki::model::qwen_vl::{Model, Segment};
use mekiki::train::{Full, Lora, LoraPlan, TrainError, Trainable};
use serde_json::Value;

const FAMILIES: [&str; 3] = ["qwen2", "qwen2_5", "qwen3"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn folder(family: &str) -> PathBuf {
    fixtures().join("model").join(family)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The formula of `tests/fixtures/model/make.py`: slopes, edges and noise.
fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(std::array::from_fn(|channel| {
            let c = channel as u32;
            let mixed = x.wrapping_mul(73_856_093) ^ y.wrapping_mul(19_349_663) ^ c.wrapping_mul(83_492_791).wrapping_add(seed);
            match (x / 16 + y / 16 + seed) % 3 {
                0 => (mixed.wrapping_mul(2_654_435_761) >> 24) as u8,
                1 => ((x * 3 + y * 5 * (c + 1) + seed * 40) & 255) as u8,
                _ => ((x / 9 + y / 7) % 2 * 255) as u8,
            }
        }))
    })
}

/// The formula of `tests/fixtures/gradients/make.py`.
fn drawn(name: u32, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let value = |at: u32| {
        let mut mixed = at.wrapping_add(977 * name + 1).wrapping_mul(2_654_435_761);
        mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
        (f64::from(mixed >> 8) / 16_777_216.0 - 0.5) as f32 / 2.0
    };
    Tensor::from_vec((0..count as u32).map(value).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

/// The conversation `three` of a family.
struct Talk {
    ids: Vec<u32>,
    pictures: Vec<RgbImage>,
    processor: Processor,
}

impl Talk {
    fn of(family: &str) -> Self {
        let dir = folder(family);
        let processor = Processor::load(&dir, &Checkpoint::open(&dir).unwrap().config().unwrap()).unwrap();
        let talk = &read(&dir.join("reference.json"))["conversations"]["three"];
        let parts = talk["turns"].as_array().unwrap().iter().flat_map(|turn| turn[1].as_array().unwrap());
        let sizes = parts.filter_map(|part| serde_json::from_value::<[u32; 3]>(part.clone()).ok());
        let pictures = sizes.map(|[width, height, seed]| picture(width, height, seed)).collect();
        Self { ids: serde_json::from_value(talk["ids"].clone()).unwrap(), pictures, processor }
    }

    /// Logits `[tokens, vocab]`.
    fn logits(&self, model: &Model) -> Tensor {
        let patches: Vec<_> = self.pictures.iter().map(|picture| self.processor.images.patches_of_rgb(picture).unwrap()).collect();
        let segment = Segment { ids: self.ids.clone(), images: model.embed_images(&patches).unwrap() };
        model.logits(&model.forward_whole(&[segment]).unwrap().squeeze(0).unwrap()).unwrap()
    }

    /// Mean cross-entropy of the tokens of a range.
    fn loss(&self, model: &Model, range: &Value) -> Tensor {
        let [start, end]: [usize; 2] = serde_json::from_value(range.clone()).unwrap();
        let logits = self.logits(model).narrow(0, start - 1, end - start).unwrap();
        candle_nn::loss::cross_entropy(&logits, &Tensor::new(&self.ids[start..end], &Device::Cpu).unwrap()).unwrap()
    }
}

fn number(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_dtype(DType::F32).unwrap().to_scalar::<f32>().unwrap())
}

fn gap(a: &Tensor, b: &Tensor) -> f64 {
    number(&(a - b).unwrap().abs().unwrap().max_all().unwrap())
}

/// Compares gradients with the norms and entries that torch's have: equal to 1e-4 of what a tensor's values are like.
fn compare(family: &str, variables: &[(String, Var)], gradients: &GradStore, expected: &Value) {
    let mut variables: Vec<&(String, Var)> = variables.iter().collect();
    variables.sort_by(|(one, _), (other, _)| one.cmp(other));
    let expected: Vec<[f64; 4]> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(variables.len(), expected.len(), "{family}");
    let largest = expected.iter().map(|[norm, ..]| *norm).fold(0.0, f64::max);
    for ((name, var), [norm, entries @ ..]) in variables.into_iter().zip(expected) {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
        let values: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        let got = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // What is nothing but rounding is compared with what is not.
        let least = largest * 1e-6;
        assert!((got - norm).abs() <= 1e-4 * norm.max(least), "{family}: {name}: the norm is {got}, torch's {norm}");
        let typical = norm / (values.len() as f64).sqrt();
        for (at, wanted) in [0, values.len() / 2, values.len() - 1].into_iter().zip(entries) {
            let got = f64::from(values[at]);
            let allowed = 1e-4 * wanted.abs().max(typical).max(least);
            assert!((got - wanted).abs() <= allowed, "{family}: {name}[{at}] is {got}, torch's {wanted}");
        }
    }
}

/// What `tests/fixtures/gradients/make.py` adapted.
fn plan(rank: usize, alpha: f64, whole: &Value) -> LoraPlan {
    let whole = serde_json::from_value(whole.clone()).unwrap();
    LoraPlan { rank, alpha, rslora: true, vision: true, whole, ..LoraPlan::default() }
}

fn draw(lora: &Lora) {
    for (nth, (name, var)) in lora.variables().iter().enumerate() {
        if name.contains(".lora_") {
            var.set(&drawn(nth as u32, var.dims())).unwrap();
        }
    }
}

#[test]
fn gradients_of_every_weight_are_those_of_torch() {
    let reference = read(&fixtures().join("gradients/gradients.json"));
    for family in FAMILIES {
        let expected = &reference["families"][family];
        let full = Full::load(&folder(family), &Device::Cpu, DType::F32).unwrap();
        let loss = Talk::of(family).loss(&full.network(Some(0)).unwrap(), &expected["answer"]);
        assert!((number(&loss) - expected["full"]["loss"].as_f64().unwrap()).abs() < 1e-4, "{family}");
        compare(family, full.variables(), &loss.backward().unwrap(), &expected["full"]["gradients"]);
    }
}

#[test]
fn gradients_of_factors_are_those_of_peft() {
    let reference = read(&fixtures().join("gradients/gradients.json"));
    let (rank, alpha) = (reference["rank"].as_u64().unwrap() as usize, reference["alpha"].as_f64().unwrap());
    for family in FAMILIES {
        let expected = &reference["families"][family];
        let lora = Lora::new(&folder(family), &plan(rank, alpha, &expected["lora"]["whole"]), 1, &Device::Cpu, DType::F32).unwrap();
        draw(&lora);
        let name = |place: &str| expected["lora"][place].as_str().unwrap().strip_prefix("base_model.model.").unwrap().to_owned();
        assert_eq!(lora.variables()[0].0, name("first"), "{family}");
        assert_eq!(lora.variables().last().unwrap().0, name("last"), "{family}");
        let loss = Talk::of(family).loss(&lora.network(Some(0)).unwrap(), &expected["answer"]);
        assert!((number(&loss) - expected["lora"]["loss"].as_f64().unwrap()).abs() < 1e-4, "{family}");
        compare(family, lora.variables(), &loss.backward().unwrap(), &expected["lora"]["gradients"]);
    }
}

#[test]
fn new_factors_change_nothing() {
    for family in FAMILIES {
        let (dir, talk) = (folder(family), Talk::of(family));
        let lora = Lora::new(&dir, &LoraPlan { vision: true, ..LoraPlan::default() }, 5, &Device::Cpu, DType::F32).unwrap();
        let base = talk.logits(&Model::load(&dir, &Device::Cpu, DType::F32).unwrap());
        // The operations that can be differentiated round a little otherwise.
        let mut plain = Model::load(&dir, &Device::Cpu, DType::F32).unwrap();
        plain.set_mode(mekiki::model::qwen_vl::Mode::Train);
        assert!(gap(&talk.logits(&lora.network(Some(3)).unwrap()), &talk.logits(&plain)) < 1e-4, "{family}");
        assert!(gap(&talk.logits(&lora.network(None).unwrap()), &base) < 1e-4, "{family}");
        // A is drawn evenly up to one by the root of the inputs.
        for (name, var) in lora.variables().iter().filter(|(name, _)| name.ends_with("lora_A.weight")) {
            let reach = 1.0 / (var.dims()[1] as f64).sqrt();
            let largest = number(&var.abs().unwrap().max_all().unwrap());
            assert!(largest <= reach && largest > 0.9 * reach, "{name}: {largest} of {reach}");
        }
    }
}

#[test]
fn every_factor_gets_a_gradient() {
    for family in FAMILIES {
        let talk = Talk::of(family);
        for (vision, dropout) in [(true, 0.0), (true, 0.3), (false, 0.0)] {
            let plan = LoraPlan { rank: 4, vision, dropout, ..LoraPlan::default() };
            let lora = Lora::new(&folder(family), &plan, 5, &Device::Cpu, DType::F32).unwrap();
            assert_eq!(lora.variables().iter().any(|(name, _)| name.contains("visual")), vision);
            draw(&lora);
            let gradients = talk.loss(&lora.network(Some(7)).unwrap(), &serde_json::json!([30, 60])).backward().unwrap();
            for (name, var) in lora.variables() {
                let gradient = gradients.get(var).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
                let size = number(&gradient.abs().unwrap().max_all().unwrap());
                assert!(size.is_finite() && size > 1e-9, "{family}: {name} has the gradient {size}");
            }
        }
    }
}

#[test]
fn dropout_draws_by_the_step_and_not_without_one() {
    let talk = Talk::of("qwen3");
    let plan = LoraPlan { dropout: 0.4, ..LoraPlan::default() };
    let lora = Lora::new(&folder("qwen3"), &plan, 5, &Device::Cpu, DType::F32).unwrap();
    draw(&lora);
    let logits = |step| talk.logits(&lora.network(step).unwrap());
    assert_eq!(gap(&logits(Some(1)), &logits(Some(1))), 0.0);
    assert!(gap(&logits(Some(1)), &logits(Some(2))) > 1e-3);
    assert!(gap(&logits(Some(1)), &logits(None)) > 1e-3);
    let other = Lora::new(&folder("qwen3"), &LoraPlan::default(), 5, &Device::Cpu, DType::F32).unwrap();
    draw(&other);
    assert!(gap(&logits(None), &talk.logits(&other.network(Some(1)).unwrap())) < 1e-4);
}

#[test]
fn what_is_saved_is_what_was_trained() {
    for (family, whole) in [("qwen2", "ln_q"), ("qwen2_5", "lm_head"), ("qwen3", "merger")] {
        let (dir, talk, saved) = (folder(family), Talk::of(family), tempfile::tempdir().unwrap());
        let plan = plan(4, 6.0, &serde_json::json!([whole]));
        let lora = Lora::new(&dir, &plan, 5, &Device::Cpu, DType::F32).unwrap();
        draw(&lora);
        for (name, var) in lora.variables().iter().filter(|(name, _)| !name.contains(".lora_")) {
            var.set(&(var.as_tensor() * 1.05).unwrap()).unwrap();
            assert!(name.contains(whole), "{name}");
        }
        lora.save(saved.path()).unwrap();
        let trained = talk.logits(&lora.network(None).unwrap());
        let (checkpoint, adapter) = (Checkpoint::open(&dir).unwrap(), Adapter::load(saved.path()).unwrap());
        let merged =
            Model::new(&checkpoint.config().unwrap(), &Merged { base: &checkpoint, adapter: &adapter }, &Device::Cpu, DType::F32).unwrap();
        adapter.finish().unwrap();
        let largest = number(&trained.abs().unwrap().max_all().unwrap());
        let apart = gap(&talk.logits(&merged), &trained);
        println!("{family}: {apart:.1e} of logits up to {largest:.1}");
        assert!(apart <= 1e-5 * largest.max(1.0), "{family}: {apart} of {largest}");
        assert!(gap(&talk.logits(&Model::load(&dir, &Device::Cpu, DType::F32).unwrap()), &trained) > 0.1);
        // And training goes on from it.
        let again = Lora::resume(&dir, saved.path(), 9, &Device::Cpu, DType::F32).unwrap();
        assert_eq!(again.variables().len(), lora.variables().len());
        for ((name, one), (other_name, other)) in again.variables().iter().zip(lora.variables()) {
            assert_eq!(name, other_name);
            assert_eq!(gap(one.as_tensor(), other.as_tensor()), 0.0, "{name}");
        }
        assert_eq!(gap(&talk.logits(&again.network(None).unwrap()), &trained), 0.0);
    }
}

#[test]
fn peft_is_told_exactly_which_layers() {
    let targets = |family: &str, plan: &LoraPlan| {
        let lora = Lora::new(&folder(family), plan, 1, &Device::Cpu, DType::F32).unwrap();
        lora.adapter().unwrap().config().target_modules.clone()
    };
    let names = |names: &str| Targets::Names(names.split(' ').map(str::to_owned).collect());
    let text = LoraPlan::default();
    let vision = LoraPlan { vision: true, ..LoraPlan::default() };
    let all = "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj";
    assert_eq!(targets("qwen3", &text), names(all));
    assert_eq!(targets("qwen2", &text), names(all));
    // Its tower has layers of these names too.
    let pattern = r"model\.language_model\.layers\..*\.(?:down_proj|gate_proj|k_proj|o_proj|q_proj|up_proj|v_proj)";
    assert_eq!(targets("qwen2_5", &text), Targets::Pattern(pattern.to_owned()));
    assert_eq!(
        targets("qwen3", &vision),
        names(&format!("attn.proj {} linear_fc1 linear_fc2 o_proj q_proj qkv up_proj v_proj", &all[..26]))
    );
    assert_eq!(targets("qwen2_5", &vision), names(&format!("attn.proj {} mlp.0 mlp.2 o_proj q_proj qkv up_proj v_proj", &all[..26])));
    let some = LoraPlan { targets: vec!["q_proj".to_owned(), "layers.0.mlp.up_proj".to_owned()], ..LoraPlan::default() };
    assert_eq!(targets("qwen3", &some), names("layers.0.mlp.up_proj q_proj"));
    // In the tower's patch embedding, a convolution has this name.
    let proj = LoraPlan { targets: vec!["proj".to_owned()], vision: true, ..LoraPlan::default() };
    let pattern = r"model\.visual\.(?:blocks|merger|deepstack_merger_list)\..*\.(?:proj)";
    assert_eq!(targets("qwen3", &proj), Targets::Pattern(pattern.to_owned()));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let refused = |family: &str, plan: LoraPlan| match Lora::new(&folder(family), &plan, 1, &Device::Cpu, DType::F32) {
        Err(TrainError::Lora(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let plan = LoraPlan::default;
    assert!(refused("qwen3", LoraPlan { rank: 0, ..plan() }).contains("rank from 1 to 4096, got 0"));
    assert!(refused("qwen3", LoraPlan { alpha: 0.0, ..plan() }).contains("alpha above 0"));
    assert!(refused("qwen3", LoraPlan { dropout: 1.0, ..plan() }).contains("below 1, got 1"));
    let reason = refused("qwen3", LoraPlan { targets: vec!["qkv".to_owned()], ..plan() });
    assert!(reason.contains("q_proj") && reason.contains("with vision") && reason.contains("\"qkv\""), "{reason}");
    assert!(refused("qwen3", LoraPlan { whole: vec!["nose".to_owned()], ..plan() }).contains("\"nose\""));
    assert!(refused("qwen2", LoraPlan { whole: vec!["embed_tokens".to_owned()], ..plan() }).contains("one table for embedding and head"));
    // An adapter of another checkpoint.
    let saved = tempfile::tempdir().unwrap();
    Lora::new(&folder("qwen3"), &plan(), 1, &Device::Cpu, DType::F32).unwrap().save(saved.path()).unwrap();
    let reason = Lora::resume(&folder("qwen2_5"), saved.path(), 1, &Device::Cpu, DType::F32).unwrap_err().to_string();
    assert!(reason.contains("expected factors of model.language_model.layers.0"), "{reason}");
}
