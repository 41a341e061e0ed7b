//! Which sizes there are.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::ModelError;
use crate::model::checkpoint::read_text;
use crate::model::qwen_vl::Config;

/// The shape of a new checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Some 260,000 parameters, for tests.
    Tiny,
    /// 4.9 million parameters, less than 10 MB in bf16: a Qwen3-VL that a laptop computes.
    Small,
    /// Qwen3-VL-2B.
    B2,
    /// Qwen3-VL-4B.
    B4,
    /// Qwen3-VL-8B.
    B8,
    /// That of a `config.json`.
    File(PathBuf),
}

/// Sides of a Qwen3-VL.
struct Sides {
    vocab: usize,
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: [usize; 2],
    head_dim: usize,
    theta: f64,
    sections: [usize; 3],
    tied: bool,
    vision: [usize; 4],
    positions: usize,
    deepstack: &'static [usize],
}

const TINY: Sides = Sides {
    vocab: 512,
    hidden: 48,
    intermediate: 96,
    layers: 3,
    heads: [4, 2],
    head_dim: 16,
    theta: 10_000.0,
    sections: [4, 2, 2],
    tied: true,
    vision: [3, 32, 64, 2],
    positions: 64,
    deepstack: &[0, 1, 2],
};

const SMALL: Sides = Sides {
    vocab: 1024,
    hidden: 192,
    intermediate: 448,
    layers: 6,
    heads: [6, 2],
    head_dim: 32,
    theta: 10_000.0,
    sections: [6, 5, 5],
    tied: true,
    vision: [6, 128, 512, 4],
    positions: 784,
    deepstack: &[1, 3],
};

const B2: Sides = Sides {
    vocab: 151_936,
    hidden: 2048,
    intermediate: 6144,
    layers: 28,
    heads: [16, 8],
    head_dim: 128,
    theta: 5_000_000.0,
    sections: [24, 20, 20],
    tied: true,
    vision: [24, 1024, 4096, 16],
    positions: 2304,
    deepstack: &[5, 11, 17],
};

const B4: Sides = Sides { hidden: 2560, intermediate: 9728, layers: 36, heads: [32, 8], ..B2 };

const B8: Sides = Sides {
    hidden: 4096,
    intermediate: 12_288,
    layers: 36,
    heads: [32, 8],
    tied: false,
    vision: [27, 1152, 4304, 16],
    deepstack: &[8, 16, 24],
    ..B2
};

impl Shape {
    /// The shape of this name; anything else is the path of a `config.json`.
    pub fn parse(text: &str) -> Self {
        match text {
            "tiny" => Self::Tiny,
            "small" => Self::Small,
            "2b" => Self::B2,
            "4b" => Self::B4,
            "8b" => Self::B8,
            path => Self::File(PathBuf::from(path)),
        }
    }

    /// Where the shape stands, for messages.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            _ => PathBuf::from("config.json"),
        }
    }

    /// Whether parameters are written as bf16, which the large ones are.
    pub(super) fn half(&self) -> bool {
        matches!(self, Self::B2 | Self::B4 | Self::B8)
    }

    /// The `config.json`; token ids are still to be put in.
    pub(super) fn config(&self) -> Result<Value, ModelError> {
        match self {
            Self::Tiny => Ok(config(&TINY, "float32")),
            Self::Small => Ok(config(&SMALL, "float32")),
            Self::B2 => Ok(config(&B2, "bfloat16")),
            Self::B4 => Ok(config(&B4, "bfloat16")),
            Self::B8 => Ok(config(&B8, "bfloat16")),
            Self::File(path) => of_file(path),
        }
    }

    /// The image processor's settings: the family's own, and fewer pixels for the small shapes.
    pub(super) fn images(&self, config: &Config) -> Value {
        let [least, most] = match self {
            Self::Tiny => [2 * 32 * 32, 48 * 32 * 32],
            Self::Small => [4 * 32 * 32, 448 * 192],
            _ => [64 * 32 * 32, 16_384 * 32 * 32],
        };
        json!({
            "image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor",
            "patch_size": config.vision.patch, "temporal_patch_size": config.vision.temporal_patch, "merge_size": config.vision.merge,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "size": { "shortest_edge": least, "longest_edge": most },
        })
    }
}

fn of_file(path: &Path) -> Result<Value, ModelError> {
    let wrong = |reason: String| ModelError::File { path: path.to_owned(), reason };
    let value: Value = serde_json::from_str(&read_text(path)?).map_err(|error| wrong(format!("no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(wrong("expected a JSON object".to_owned())) }
}

fn config(sides: &Sides, dtype: &str) -> Value {
    let [depth, width, inner, heads] = sides.vision;
    json!({
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "dtype": dtype,
        "tie_word_embeddings": sides.tied, "image_token_id": 1,
        "text_config": {
            "model_type": "qwen3_vl_text", "vocab_size": sides.vocab, "hidden_size": sides.hidden, "intermediate_size": sides.intermediate,
            "num_hidden_layers": sides.layers, "num_attention_heads": sides.heads[0], "num_key_value_heads": sides.heads[1],
            "head_dim": sides.head_dim, "hidden_act": "silu", "attention_bias": false, "rms_norm_eps": 1e-6,
            "max_position_embeddings": 32_768, "tie_word_embeddings": sides.tied,
            "rope_parameters": { "rope_type": "default", "rope_theta": sides.theta, "mrope_section": sides.sections, "mrope_interleaved": true },
        },
        "vision_config": {
            "model_type": "qwen3_vl_vision", "depth": depth, "hidden_size": width, "intermediate_size": inner, "num_heads": heads,
            "hidden_act": "gelu_pytorch_tanh", "in_channels": 3, "patch_size": 16, "temporal_patch_size": 2, "spatial_merge_size": 2,
            "out_hidden_size": sides.hidden, "num_position_embeddings": sides.positions, "deepstack_visual_indexes": sides.deepstack,
        },
    })
}
