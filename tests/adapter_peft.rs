//! Adapters as peft writes them: merged to f32 precision, written back, refused by name where they cannot be applied.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use mekiki::model::adapter::{Adapter, AdapterConfig, AdapterError, LowRank, peft_module};
use proptest::prelude::*;

/// The adapters that peft itself saved, where they lie beside the checkout.
fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("MEKIKI_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    Some(root.join("data/peft-adapters")).filter(|dir| dir.is_dir())
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    let difference = (a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap();
    difference.abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn merged_weights_equal_those_of_peft() {
    let Some(dir) = shared() else {
        eprintln!("skipped: no ../shared/data/peft-adapters beside the checkout, and MEKIKI_SHARED does not name it");
        return;
    };
    let base = safetensors::load(dir.join("base/model.safetensors"), &Device::Cpu).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.join("adapter_config.json").is_file() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let adapter = Adapter::load(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let merged: BTreeMap<&String, Option<Tensor>> =
            base.iter().map(|(key, weight)| (key, adapter.apply(key, weight).unwrap_or_else(|error| panic!("{name}: {error}")))).collect();
        adapter.finish().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(merged.values().flatten().count() >= 4, "{name}");
        let expected = path.join("merged_subset.safetensors");
        if expected.is_file() {
            for (key, expected) in safetensors::load(expected, &Device::Cpu).unwrap() {
                let got = merged[&key].as_ref().unwrap_or(&base[&key]);
                let gap = gap(got, &expected);
                assert!(gap <= 1e-6, "{name}: {key} differs by {gap}");
                seen += 1;
            }
        }
        let copy = tempfile::tempdir().unwrap();
        adapter.save(copy.path()).unwrap();
        let again = Adapter::load(copy.path()).unwrap();
        assert_eq!(again.config(), adapter.config(), "{name}");
        let (a, b) = (copy.path().join("adapter_model.safetensors"), path.join("adapter_model.safetensors"));
        let (a, b) = (safetensors::load(a, &Device::Cpu).unwrap(), safetensors::load(b, &Device::Cpu).unwrap());
        assert_eq!(a.len(), b.len(), "{name}");
        for (key, tensor) in &b {
            assert!(tensor.dims() == a[key].dims() && tensor.dtype() == a[key].dtype() && gap(tensor, &a[key]) == 0.0, "{name}: {key}");
        }
    }
    assert_eq!(seen, 35, "seven adapters with five tensors each");
}

/// `tests/fixtures/adapter/make.py` computed these in double precision.
#[test]
fn the_committed_adapter_merges_as_its_script_computed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapter");
    let adapter = Adapter::load(&dir).unwrap();
    let expected = safetensors::load(dir.join("merged.safetensors"), &Device::Cpu).unwrap();
    let mut changed = 0;
    for (name, base) in safetensors::load(dir.join("base.safetensors"), &Device::Cpu).unwrap() {
        if let Some(merged) = adapter.apply(&name, &base).unwrap() {
            assert!(gap(&merged, &expected[&name]) < 1e-6, "{name}");
            changed += 1;
        }
    }
    adapter.finish().unwrap();
    assert_eq!(changed, expected.len());
}

fn config(json: &str) -> String {
    format!(
        "{{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"target_modules\":[\"q_proj\"]{}{json}}}",
        if json.is_empty() { "" } else { "," }
    )
}

fn folder(config: &str, tensors: &[(&str, Tensor)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("adapter_config.json"), config).unwrap();
    let tensors = tensors.iter().map(|(name, tensor)| (format!("base_model.model.{name}"), tensor.clone())).collect();
    safetensors::save(&tensors, dir.path().join("adapter_model.safetensors")).unwrap();
    dir
}

const Q: &str = "model.language_model.layers.0.self_attn.q_proj";

/// r = 2, in = 3, out = 2.
fn low_rank() -> Vec<(String, Tensor)> {
    let a = tensor(&[1.0, 2.0, 3.0, 0.5, 0.0, -1.0], &[2, 3]);
    let b = tensor(&[1.0, 0.0, 2.0, -2.0], &[2, 2]);
    vec![(format!("{Q}.lora_A.weight"), a), (format!("{Q}.lora_B.weight"), b)]
}

fn load(json: &str, more: &[(&str, Tensor)]) -> Result<Adapter, AdapterError> {
    let parts = low_rank();
    let mut tensors: Vec<(&str, Tensor)> = parts.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
    tensors.extend(more.iter().cloned());
    Adapter::load(folder(&config(json), &tensors).path())
}

fn merged(adapter: &Adapter, name: &str) -> Vec<f32> {
    let base = tensor(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[2, 3]);
    adapter.apply(name, &base).unwrap().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn each_way_of_scaling_is_the_one_of_its_definition() {
    // B·A = [1 2 3; 2-1 4 6+2] = [1 2 3; 1 4 8]
    let expected = |scale: f32| vec![1.0 + scale, 2.0 * scale, 3.0 * scale, scale, 1.0 + 4.0 * scale, 8.0 * scale];
    let close = |got: Vec<f32>, expected: &[f32]| {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} for {expected:?}");
    };
    let disk = "model.layers.0.self_attn.q_proj.weight";
    close(merged(&load("", &[]).unwrap(), disk), &expected(2.0));
    close(merged(&load("\"use_rslora\":true", &[]).unwrap(), disk), &expected(4.0 / 2.0_f32.sqrt()));
    let pattern = "\"r\":8,\"rank_pattern\":{\"k_proj\":3,\"q_proj\":2},\"alpha_pattern\":{\"^model.*self_attn.q_proj\":6,\"q_proj\":1}";
    close(merged(&load(pattern, &[]).unwrap(), disk), &expected(3.0));
    close(merged(&load("\"alpha_pattern\":{\"proj\":9,\"layers.1.*\":9}", &[]).unwrap(), disk), &expected(2.0));
    let magnitude = (format!("{Q}.lora_magnitude_vector"), tensor(&[2.0, 3.0], &[2]));
    let dora = load("\"use_dora\":true", &[(&magnitude.0, magnitude.1.clone())]).unwrap();
    let plain = expected(2.0);
    let rows = plain.chunks(3).zip([2.0, 3.0]).flat_map(|(row, m)| {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter().map(move |v| v * m / length).collect::<Vec<f32>>()
    });
    close(merged(&dora, disk), &rows.collect::<Vec<f32>>());
    let layer = dora.layer(disk).unwrap();
    assert_eq!((layer.rank(), layer.scale, layer.magnitude.is_some()), (2, 2.0, true));
}

#[test]
fn every_tensor_finds_its_place_or_is_named() {
    let head = tensor(&[0.0; 4], &[2, 2]);
    let adapter = load("\"modules_to_save\":[\"lm_head\"]", &[("lm_head.weight", head.clone())]).unwrap();
    assert_eq!(adapter.unplaced().len(), 2);
    let base = tensor(&[0.0; 6], &[2, 3]);
    assert!(adapter.apply("model.layers.1.self_attn.q_proj.weight", &base).unwrap().is_none());
    assert!(adapter.apply("model.layers.0.self_attn.q_proj.bias", &base).unwrap().is_none());
    adapter.apply("model.layers.0.self_attn.q_proj.weight", &base).unwrap().unwrap();
    let error = adapter.finish().unwrap_err().to_string();
    assert!(error.contains("base_model.model.lm_head.weight") && error.contains('1'), "{error}");
    assert_eq!(gap(adapter.whole("lm_head.weight").unwrap(), &head), 0.0);
    adapter.finish().unwrap();
    let small = tensor(&[0.0; 4], &[2, 2]);
    assert!(adapter.apply("model.layers.0.self_attn.q_proj.weight", &small).unwrap_err().to_string().contains("[2, 3]"));
    let bytes = base.to_dtype(DType::U8).unwrap();
    assert!(adapter.apply("model.layers.0.self_attn.q_proj.weight", &bytes).unwrap_err().to_string().contains("quantised"));
    let half = adapter.apply("model.layers.0.self_attn.q_proj.weight", &base.to_dtype(DType::BF16).unwrap()).unwrap().unwrap();
    assert_eq!(half.dtype(), DType::BF16);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (json, named) in [
        ("\"peft_type\":\"IA3\"", "IA3"),
        ("\"layer_replication\":[[0,1]]", "layer_replication"),
        ("\"fan_in_fan_out\":true", "fan_in_fan_out"),
        ("\"target_parameters\":[\"experts\"]", "target_parameters"),
        ("\"trainable_token_indices\":[1]", "trainable_token_indices"),
        ("\"init_lora_weights\":\"pissa_niter_4\"", "pissa"),
        ("\"alpha_pattern\":{\"(?!x)q_proj\":3}", "(?!x)q_proj"),
        ("\"r\":0", "r: expected a rank"),
        ("\"r\":3", "3 rows"),
        ("\"lora_alpha\":\"8\"", "lora_alpha"),
        ("\"rank_pattern\":[1]", "rank_pattern"),
        ("\"use_dora\":true", "lora_magnitude_vector"),
    ] {
        let error = load(json, &[]).unwrap_err().to_string();
        assert!(error.contains(named), "{json}: {error}");
    }
    let one = tensor(&[1.0], &[1]);
    let conv = (tensor(&[1.0; 8], &[2, 1, 2, 2]), tensor(&[1.0; 4], &[2, 2, 1, 1]), tensor(&[1.0; 2], &[2]));
    let c = "model.visual.patch_embed.proj";
    for (json, name, tensor, named) in [
        ("\"bias\":\"all\"", format!("{Q}.bias"), &one, "biases"),
        ("", format!("{Q}.lora_B.bias"), &one, "lora_B.bias"),
        ("", "model.language_model.embed_tokens.lora_embedding_A".to_owned(), &one, "embedding"),
        ("", "model.norm.weight".to_owned(), &one, "model.norm.weight"),
        ("", "model.layers.1.q.lora_A.weight".to_owned(), &one, "lora_B.weight"),
        ("", format!("{Q}.lora_magnitude_vector"), &conv.2, "use_dora"),
    ] {
        let error = load(json, &[(&name, tensor.clone())]).unwrap_err().to_string();
        assert!(error.contains(named), "{name}: {error}");
    }
    let names = [format!("{c}.lora_A.weight"), format!("{c}.lora_B.weight"), format!("{c}.lora_magnitude_vector")];
    let plain = load("", &[(&names[0], conv.0.clone()), (&names[1], conv.1.clone())]).unwrap();
    let kernel = tensor(&[0.0; 8], &[2, 1, 2, 2]);
    let merged = plain.apply("visual.patch_embed.proj.weight", &kernel).unwrap().unwrap();
    assert_eq!((merged.dims(), gap(&merged, &tensor(&[4.0; 8], &[2, 1, 2, 2]))), (&[2, 1, 2, 2][..], 0.0));
    let mut config = AdapterConfig::lora(2, 4.0, vec!["proj".into()]);
    config.use_dora = true;
    let layer = LowRank { a: conv.0, b: conv.1, scale: 2.0, magnitude: Some(conv.2) };
    let error = Adapter::new(config, [(c.to_owned(), layer)].into(), BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("convolution"), "{error}");
    let names = fs::read_dir(folder("{}", &[]).path()).unwrap().count();
    assert_eq!(names, 2);
    assert!(Adapter::load(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn wrong_shapes_and_numbers_are_errors() {
    let bad = |a: Tensor, b: Tensor| {
        let (name_a, name_b) = (format!("{Q}.lora_A.weight"), format!("{Q}.lora_B.weight"));
        Adapter::load(folder(&config(""), &[(&name_a, a), (&name_b, b)]).path()).unwrap_err().to_string()
    };
    let (a, b) = (tensor(&[1.0; 6], &[2, 3]), tensor(&[1.0; 4], &[2, 2]));
    assert!(bad(a.clone(), tensor(&[1.0; 6], &[2, 3])).contains("lora_B.weight"));
    assert!(bad(tensor(&[1.0; 2], &[2]), b.clone()).contains("lora_A.weight"));
    assert!(bad(tensor(&[], &[2, 0]), b.clone()).contains("lora_A.weight"));
    assert!(bad(tensor(&[1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0], &[2, 3]), b.clone()).contains("NaN"));
    assert!(bad(a.clone(), tensor(&[f32::INFINITY; 4], &[2, 2])).contains("inf"));
    assert!(bad(a.to_dtype(DType::U32).unwrap(), b).contains("U32"));
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("adapter_config.json"), config("")).unwrap();
    let tensors = [("model.q_proj.lora_A.weight".to_owned(), a)].into();
    safetensors::save(&tensors, outside.path().join("adapter_model.safetensors")).unwrap();
    assert!(Adapter::load(outside.path()).unwrap_err().to_string().contains("base_model.model."));
}

#[test]
fn what_is_trained_here_is_written_as_peft_writes_it() {
    let module = peft_module("model.layers.0.self_attn.q_proj.weight");
    assert_eq!(module, Q);
    let parts = low_rank();
    let layer = LowRank { a: parts[0].1.clone(), b: parts[1].1.to_dtype(DType::BF16).unwrap(), scale: 2.0, magnitude: None };
    let mut config = AdapterConfig::lora(2, 4.0, vec!["q_proj".into()]);
    config.modules_to_save = vec!["lm_head".into()];
    config.rank_pattern = vec![("q_proj".into(), 2)];
    let saved = [("lm_head.weight".to_owned(), tensor(&[1.0, 2.0], &[1, 2]))].into();
    let adapter = Adapter::new(config, [(module, layer)].into(), saved).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapter.save(&dir.path().join("new")).unwrap();
    let again = Adapter::load(&dir.path().join("new")).unwrap();
    assert_eq!(again.config(), adapter.config());
    let disk = "model.language_model.layers.0.self_attn.q_proj.weight";
    assert_eq!(merged(&again, disk), merged(&adapter, disk));
    assert_eq!(again.layers()[Q].b.dtype(), DType::BF16);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("new/adapter_config.json")).unwrap()).unwrap();
    assert_eq!((&json["peft_type"], &json["lora_alpha"], &json["bias"]), (&"LORA".into(), &4.into(), &"none".into()));
    assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 2, "no temporary file is left");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn broken_files_are_errors_and_never_panic(at in 0_usize..2000, byte: u8, cut in 0_usize..2000, what in 0_u8..4) {
        let parts = low_rank();
        let tensors: Vec<(&str, Tensor)> = parts.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        let dir = folder(&config("\"use_rslora\":false"), &tensors);
        let path = dir.path().join(if what < 2 { "adapter_model.safetensors" } else { "adapter_config.json" });
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.len();
        if what % 2 == 0 {
            let at = at % whole;
            bytes[at] = byte;
        } else {
            bytes.truncate(cut % whole);
        }
        fs::write(&path, &bytes).unwrap();
        match Adapter::load(dir.path()) {
            Ok(adapter) => {
                prop_assert!(what % 2 == 0, "a truncated file was read");
                let _ = adapter.apply("model.layers.0.self_attn.q_proj.weight", &tensor(&[1.0; 6], &[2, 3]));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
