//! Names of modules: peft's, and those of checkpoints on disk.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;

use super::{AdapterConfig, AdapterError};

/// What stands before every name in an adapter's file.
const PREFIX: &str = "base_model.model.";

/// A tensor's name in an adapter's file.
pub(super) fn tensor(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// One name for a tensor, however a checkpoint or an adapter calls it: Qwen2-VL has `model.layers.0…` and `visual…` on disk
/// where adapters say `model.language_model.layers.0…` and `model.visual…`; adapters older than that say the first.
pub(super) fn canonical(name: &str) -> String {
    let bare = name.strip_prefix("model.").unwrap_or(name);
    let bare = bare.strip_prefix("language_model.").unwrap_or(bare);
    // `language_model.model.layers` of Qwen2-VL's middle age.
    bare.strip_prefix("model.").unwrap_or(bare).to_owned()
}

/// The module name under which peft files a checkpoint's weight: `model.language_model.layers.0.self_attn.q_proj` for
/// `model.layers.0.self_attn.q_proj.weight`.
pub fn peft_module(weight: &str) -> String {
    let name = canonical(weight);
    let name = name.strip_suffix(".weight").unwrap_or(&name);
    if name.starts_with("visual.") {
        format!("model.{name}")
    } else if name == "lm_head" {
        name.to_owned()
    } else {
        format!("model.language_model.{name}")
    }
}

/// The parts of one adapted module, as they are found.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) a: Option<Tensor>,
    pub(super) b: Option<Tensor>,
    pub(super) magnitude: Option<Tensor>,
}

/// Everything of a file, by module.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) layers: BTreeMap<String, Parts>,
    pub(super) saved: BTreeMap<String, Tensor>,
}

/// Sorts a file's tensors; one of an unknown kind is refused.
pub(super) fn sort(config: &AdapterConfig, tensors: HashMap<String, Tensor>) -> Result<Sorted, AdapterError> {
    let mut sorted = Sorted::default();
    let mut tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (full, tensor) in tensors {
        let Some(name) = full.strip_prefix(PREFIX) else {
            let expected = format!("a name that begins with {PREFIX}");
            return Err(AdapterError::Tensor { tensor: full, expected, got: "one that does not, which peft would leave out".into() });
        };
        let part = [".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"]
            .iter()
            .find_map(|part| name.strip_suffix(part).map(|module| (module.to_owned(), *part)));
        if let Some((module, part)) = part {
            let parts = sorted.layers.entry(module).or_default();
            match part {
                ".lora_A.weight" => parts.a = Some(tensor),
                ".lora_B.weight" => parts.b = Some(tensor),
                _ => parts.magnitude = Some(tensor),
            }
            continue;
        }
        let what = if name.contains("lora_embedding_") {
            format!("LoRA on an embedding ({full})")
        } else if name.contains("lora_B.bias") {
            format!("a bias in the low-rank part ({full})")
        } else if is_saved(config, name) {
            sorted.saved.insert(name.to_owned(), tensor);
            continue;
        } else if name.strip_suffix(".bias").is_some() {
            format!("trained biases ({full})")
        } else {
            format!("a tensor of an unknown kind ({full})")
        };
        return Err(AdapterError::Unsupported(what));
    }
    Ok(sorted)
}

/// Whether a whole tensor is one that peft saves beside the low-rank ones.
fn is_saved(config: &AdapterConfig, name: &str) -> bool {
    let Some(module) = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias")) else { return false };
    // peft saves these unasked where the vocabulary was resized or they are targets.
    let embedding =
        name.strip_suffix(".weight").is_some() && ["embed_tokens", "lm_head"].iter().any(|known| module.rsplit('.').next() == Some(known));
    let listed = config.modules_to_save.iter().any(|saved| {
        // A saved module may hold others.
        module.match_indices(saved.as_str()).any(|(at, _)| {
            let end = at + saved.len();
            (at == 0 || module[..at].ends_with('.')) && (end == module.len() || module[end..].starts_with('.'))
        })
    });
    listed || embedding
}

#[cfg(test)]
mod tests {
    use super::{canonical, peft_module};

    #[test]
    fn one_name_for_every_way_of_writing() {
        let layer = "layers.3.self_attn.q_proj.weight";
        for prefix in ["model.", "model.language_model.", "language_model.model.", "language_model."] {
            assert_eq!(canonical(&format!("{prefix}{layer}")), layer);
            assert_eq!(peft_module(&format!("{prefix}{layer}")), "model.language_model.layers.3.self_attn.q_proj");
        }
        for prefix in ["", "model."] {
            assert_eq!(peft_module(&format!("{prefix}visual.blocks.0.attn.qkv.weight")), "model.visual.blocks.0.attn.qkv");
        }
        assert_eq!(peft_module("lm_head.weight"), "lm_head");
        assert_eq!(canonical("lm_head.weight"), "lm_head.weight");
    }
}
