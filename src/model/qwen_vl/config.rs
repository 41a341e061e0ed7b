//! `config.json` of the Qwen-VL family, as older and current transformers write it.

use std::path::Path;

use serde_json::{Map, Value};

use crate::domain::printable;
use crate::model::ModelError;

/// The largest size that any width, count or token id of a config may have.
const LARGEST: u64 = 1 << 24;
/// The most layers of a tower or a text model.
const MOST_LAYERS: u64 = 512;

/// Which member of the family a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2-VL.
    Qwen2,
    /// Qwen2.5-VL.
    Qwen25,
    /// Qwen3-VL.
    Qwen3,
}

/// A nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x)
    Silu,
    /// x · sigmoid(1.702 x)
    QuickGelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU with the error function.
    Gelu,
}

/// The text model's rotation (M-RoPE).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotation {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many of a head's frequencies turn by time, height and width.
    pub sections: [usize; 3],
    /// Whether the sections alternate (Qwen3-VL) or follow each other.
    pub interleaved: bool,
}

/// The text model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Tokens.
    pub vocab: usize,
    /// Width.
    pub hidden: usize,
    /// Width inside the MLP.
    pub intermediate: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added to the variance.
    pub rms_eps: f64,
    /// How positions turn queries and keys.
    pub rotation: Rotation,
    /// Whether queries and keys are normalised per head.
    pub qk_norm: bool,
    /// Whether query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
    /// Positions that the model was made for.
    pub max_positions: usize,
}

/// What differs between the vision towers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tower {
    /// Layer norm, plain MLP.
    Qwen2,
    /// RMS norm, gated MLP, attention within windows but for some layers.
    Qwen25 {
        /// A window's side in pixels.
        window: usize,
        /// Layers that see the whole image.
        full_layers: Vec<usize>,
    },
    /// Layer norm, plain MLP, learned positions, features of inner layers.
    Qwen3 {
        /// Side of the square grid of learned positions.
        side: usize,
        /// Layers whose output also goes to the text model's first layers.
        deepstack: Vec<usize>,
    },
}

/// The vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Layers.
    pub depth: usize,
    /// Width.
    pub hidden: usize,
    /// Width inside the MLP.
    pub intermediate: usize,
    /// Heads.
    pub heads: usize,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Frames in a patch: a still image is repeated.
    pub temporal_patch: usize,
    /// Patches along each side of what becomes one token.
    pub merge: usize,
    /// Width of the text model.
    pub out_hidden: usize,
    /// Rotary base.
    pub rope_theta: f64,
    /// The MLP's nonlinearity.
    pub activation: Activation,
    /// What differs.
    pub tower: Tower,
}

impl VisionConfig {
    /// Values of one flattened patch: `3 · temporal_patch · patch · patch`.
    pub fn patch_values(&self) -> usize {
        3 * self.temporal_patch * self.patch * self.patch
    }
}

/// A whole checkpoint's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which member of the family.
    pub family: Family,
    /// The text model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// The token that stands for a piece of an image.
    pub image_token: u32,
    /// Whether the output head is the embedding table.
    pub tied: bool,
}

impl Config {
    /// Reads a `config.json`'s text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| ModelError::File { path: path.to_owned(), reason: format!("no JSON: {error}") })?;
        let Value::Object(root) = &value else {
            return Err(ModelError::File { path: path.to_owned(), reason: "expected a JSON object".to_owned() });
        };
        let root = Keys { path, above: String::new(), map: root };
        let family = match root.text("model_type", "")?.as_str() {
            "qwen2_vl" => Family::Qwen2,
            "qwen2_5_vl" => Family::Qwen25,
            "qwen3_vl" => Family::Qwen3,
            _ => return Err(root.wrong("model_type", "qwen2_vl, qwen2_5_vl or qwen3_vl")),
        };
        // Older checkpoints keep the text model's keys at the top.
        let text = root.inner("text_config")?.unwrap_or(Keys { path, above: String::new(), map: root.map });
        let vision = root.inner("vision_config")?.ok_or_else(|| root.wrong("vision_config", "an object"))?;
        let text_config = text_config(family, &text)?;
        let config = Self {
            family,
            vision: vision_config(family, &vision, text_config.hidden)?,
            image_token: root.size("image_token_id", Some(151_655), LARGEST)? as u32,
            tied: root.flag("tie_word_embeddings", false)? || text.flag("tie_word_embeddings", false)?,
            text: text_config,
        };
        if config.vision.out_hidden != config.text.hidden {
            let expected = format!("the text model's width {}", config.text.hidden);
            return Err(vision.wrong(if family == Family::Qwen2 { "hidden_size" } else { "out_hidden_size" }, &expected));
        }
        if config.image_token as usize >= config.text.vocab {
            return Err(root.wrong("image_token_id", &format!("a token below the vocabulary's {}", config.text.vocab)));
        }
        Ok(config)
    }
}

fn text_config(family: Family, keys: &Keys<'_>) -> Result<TextConfig, ModelError> {
    let qwen3 = family == Family::Qwen3;
    let hidden = keys.size("hidden_size", None, LARGEST)?;
    let heads = keys.size("num_attention_heads", None, LARGEST)?;
    let kv_heads = keys.size("num_key_value_heads", Some(heads), LARGEST)?;
    if heads % kv_heads != 0 {
        return Err(keys.wrong("num_key_value_heads", &format!("a divisor of the {heads} query heads")));
    }
    let head_dim = keys.size("head_dim", Some(if qwen3 { 128 } else { hidden / heads }), 4096)?;
    if head_dim % 2 != 0 || (!qwen3 && head_dim * heads != hidden) {
        return Err(keys.wrong("num_attention_heads", &format!("heads of an even width that make up {hidden}")));
    }
    if keys.text("hidden_act", "silu")? != "silu" {
        return Err(keys.wrong("hidden_act", "silu"));
    }
    if !qwen3 && keys.flag("use_sliding_window", false)? {
        return Err(keys.wrong("use_sliding_window", "false"));
    }
    let rope = match keys.inner("rope_parameters")? {
        Some(rope) => Some(rope),
        None => keys.inner("rope_scaling")?,
    };
    let default_theta = if qwen3 { 500_000.0 } else { 1_000_000.0 };
    let mut rope_theta = keys.number("rope_theta", default_theta)?;
    let mut sections = if qwen3 { [24, 20, 20] } else { [16, 24, 24] };
    if let Some(rope) = &rope {
        rope_theta = rope.number("rope_theta", rope_theta)?;
        let kind = if rope.map.contains_key("rope_type") { "rope_type" } else { "type" };
        if !matches!(rope.text(kind, "default")?.as_str(), "default" | "mrope") {
            return Err(rope.wrong(kind, "default or mrope"));
        }
        if rope.map.contains_key("mrope_section") {
            let found = rope.sizes("mrope_section", &[])?;
            sections = found.try_into().map_err(|_| rope.wrong("mrope_section", "three numbers"))?;
        }
        if rope.map.contains_key("mrope_interleaved") && rope.flag("mrope_interleaved", qwen3)? != qwen3 {
            return Err(rope.wrong("mrope_interleaved", if qwen3 { "true" } else { "false" }));
        }
    }
    if !qwen3 && sections.iter().sum::<usize>() != head_dim / 2 {
        let expected = format!("three numbers whose sum is half a head's width, {}", head_dim / 2);
        return Err(rope.as_ref().unwrap_or(keys).wrong("mrope_section", &expected));
    }
    let attention_bias = keys.flag("attention_bias", false)?;
    Ok(TextConfig {
        vocab: keys.size("vocab_size", None, LARGEST)?,
        hidden,
        intermediate: keys.size("intermediate_size", None, LARGEST)?,
        layers: keys.size("num_hidden_layers", None, MOST_LAYERS)?,
        heads,
        kv_heads,
        head_dim,
        rms_eps: keys.number("rms_norm_eps", if qwen3 { 1e-6 } else { 1e-5 })?,
        rotation: Rotation { theta: rope_theta, sections, interleaved: qwen3 },
        qk_norm: qwen3,
        qkv_bias: !qwen3 || attention_bias,
        output_bias: qwen3 && attention_bias,
        max_positions: keys.size("max_position_embeddings", Some(32_768), LARGEST)?,
    })
}

fn vision_config(family: Family, keys: &Keys<'_>, text_hidden: usize) -> Result<VisionConfig, ModelError> {
    let hidden = keys.size(if family == Family::Qwen2 { "embed_dim" } else { "hidden_size" }, None, LARGEST)?;
    let heads = keys.size("num_heads", Some(16), LARGEST)?;
    if hidden % heads != 0 || (hidden / heads) % 4 != 0 {
        return Err(keys.wrong("num_heads", &format!("a number that divides {hidden} into multiples of 4")));
    }
    let channels = if keys.map.contains_key("in_channels") { "in_channels" } else { "in_chans" };
    if keys.size(channels, Some(3), LARGEST)? != 3 {
        return Err(keys.wrong(channels, "3"));
    }
    let depth = keys.size("depth", None, MOST_LAYERS)?;
    let layers = |key: &str, default: &[usize]| {
        let found = keys.sizes(key, default)?;
        if found.iter().any(|layer| *layer >= depth) || found.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(keys.wrong(key, &format!("rising layer numbers below {depth}")));
        }
        Ok(found)
    };
    let (act, tower) = match family {
        Family::Qwen2 => ("quick_gelu", Tower::Qwen2),
        Family::Qwen25 => (
            "silu",
            Tower::Qwen25 {
                window: keys.size("window_size", Some(112), LARGEST)?,
                full_layers: layers("fullatt_block_indexes", &[7, 15, 23, 31])?,
            },
        ),
        Family::Qwen3 => {
            let positions = keys.size("num_position_embeddings", Some(2304), LARGEST)?;
            let side = positions.isqrt();
            if side * side != positions {
                return Err(keys.wrong("num_position_embeddings", "a square number"));
            }
            ("gelu_pytorch_tanh", Tower::Qwen3 { side, deepstack: layers("deepstack_visual_indexes", &[8, 16, 24])? })
        }
    };
    let intermediate = if family == Family::Qwen2 {
        (hidden as f64 * keys.number("mlp_ratio", 4.0)?) as usize
    } else {
        keys.size("intermediate_size", None, LARGEST)?
    };
    let rope_theta = match keys.inner("rope_parameters")? {
        Some(rope) => rope.number("rope_theta", 10_000.0)?,
        None => 10_000.0,
    };
    let config = VisionConfig {
        depth,
        hidden,
        intermediate,
        heads,
        patch: keys.size("patch_size", Some(if family == Family::Qwen3 { 16 } else { 14 }), 256)?,
        temporal_patch: keys.size("temporal_patch_size", Some(2), 16)?,
        merge: keys.size("spatial_merge_size", Some(2), 16)?,
        out_hidden: match family {
            Family::Qwen2 => keys.size("hidden_size", Some(text_hidden), LARGEST)?,
            Family::Qwen25 | Family::Qwen3 => keys.size("out_hidden_size", Some(3584), LARGEST)?,
        },
        rope_theta,
        activation: match keys.text("hidden_act", act)?.as_str() {
            "silu" => Activation::Silu,
            "quick_gelu" => Activation::QuickGelu,
            "gelu_pytorch_tanh" => Activation::GeluTanh,
            "gelu" => Activation::Gelu,
            _ => return Err(keys.wrong("hidden_act", "silu, quick_gelu, gelu_pytorch_tanh or gelu")),
        },
        tower,
    };
    if let Tower::Qwen25 { window, .. } = &config.tower
        && *window < config.merge * config.patch
    {
        return Err(keys.wrong("window_size", &format!("at least {}", config.merge * config.patch)));
    }
    Ok(config)
}

/// An object of the file, with the way to it.
struct Keys<'a> {
    path: &'a Path,
    above: String,
    map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn found(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, expected: &str) -> ModelError {
        let mut got = self.map.get(key).map_or_else(|| "nothing".to_owned(), |value| printable(&value.to_string()).into_owned());
        if let Some((at, _)) = got.char_indices().nth(80) {
            got.truncate(at);
        }
        ModelError::Config { path: self.path.to_owned(), key: format!("{}{key}", self.above), expected: expected.to_owned(), got }
    }

    fn inner(&self, key: &str) -> Result<Option<Self>, ModelError> {
        match self.found(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { path: self.path, above: format!("{}{key}.", self.above), map })),
            Some(_) => Err(self.wrong(key, "an object")),
        }
    }

    fn text(&self, key: &str, default: &str) -> Result<String, ModelError> {
        match self.found(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.wrong(key, "a text")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.found(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A number above 0.
    fn number(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        match self.found(key) {
            None => Ok(default),
            Some(value) => value.as_f64().filter(|n| *n > 0.0 && *n < 1e12).ok_or_else(|| self.wrong(key, "a number between 0 and 1e12")),
        }
    }

    /// A count from 1 to `most`.
    fn size(&self, key: &str, default: Option<usize>, most: u64) -> Result<usize, ModelError> {
        match (self.found(key), default) {
            (None, Some(default)) if default > 0 => Ok(default),
            (found, _) => found
                .and_then(Value::as_u64)
                .filter(|n| (1..=most).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| self.wrong(key, &format!("a whole number from 1 to {most}"))),
        }
    }

    fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, ModelError> {
        match self.found(key) {
            None => Ok(default.to_vec()),
            Some(Value::Array(items)) if items.len() as u64 <= MOST_LAYERS => items
                .iter()
                .map(|item| {
                    item.as_u64().filter(|n| *n <= LARGEST).map(|n| n as usize).ok_or_else(|| self.wrong(key, "a list of whole numbers"))
                })
                .collect(),
            Some(_) => Err(self.wrong(key, "a list of whole numbers")),
        }
    }
}
