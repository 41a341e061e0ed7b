//! The shape of a DINOv2 or SigLIP checkpoint, and how it wants its pictures.

use std::path::Path;

use serde_json::Value;

use crate::domain::printable;
use crate::model::ModelError;
use crate::model::checkpoint::read_text;

/// What differs between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    DinoV2,
    Siglip,
}

/// A vision transformer's shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VitConfig {
    pub family: Family,
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub patch: usize,
    /// Patches along a side for which positions were learnt.
    pub learned: usize,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    pub eps: f64,
    /// gelu, exact or by tanh.
    pub tanh: bool,
    /// Side of the picture in pixels.
    pub side: usize,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

/// An object of a file.
struct Keys<'a> {
    path: &'a Path,
    value: &'a Value,
}

impl Keys<'_> {
    fn wrong(&self, key: &str, expected: impl Into<String>) -> ModelError {
        let got = self.value.get(key).map_or_else(|| "nothing".to_owned(), |got| printable(&got.to_string()).chars().take(80).collect());
        ModelError::Config { path: self.path.to_owned(), key: key.to_owned(), expected: expected.into(), got }
    }

    fn size(&self, key: &str, default: usize, most: u64) -> Result<usize, ModelError> {
        match self.value.get(key).filter(|value| !value.is_null()) {
            None => Ok(default),
            Some(value) => value
                .as_u64()
                .filter(|n| (1..=most).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| self.wrong(key, format!("a whole number from 1 to {most}"))),
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        match self.value.get(key).filter(|value| !value.is_null()) {
            None => Ok(default),
            Some(value) => value.as_f64().filter(|n| *n > 0.0 && *n < 1e6).ok_or_else(|| self.wrong(key, "a number above 0")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(default)
    }
}

impl VitConfig {
    /// Reads `config.json` (given) and `preprocessor_config.json` (in `dir`, where there is one).
    pub(super) fn parse(config: &Value, path: &Path, dir: &Path) -> Result<Self, ModelError> {
        let family = if config.get("model_type").and_then(Value::as_str) == Some("dinov2") { Family::DinoV2 } else { Family::Siglip };
        let keys = Keys { path, value: config.get("vision_config").filter(|inner| inner.is_object()).unwrap_or(config) };
        let dino = family == Family::DinoV2;
        let hidden = keys.size("hidden_size", 768, 1 << 14)?;
        let heads = keys.size("num_attention_heads", 12, 1 << 10)?;
        if !hidden.is_multiple_of(heads) {
            return Err(keys.wrong("num_attention_heads", format!("a number that divides {hidden}")));
        }
        if keys.size("num_channels", 3, 1 << 10)? != 3 {
            return Err(keys.wrong("num_channels", "3"));
        }
        if dino && keys.flag("use_swiglu_ffn", false) {
            return Err(keys.wrong("use_swiglu_ffn", "false: DINOv2 giant is not supported"));
        }
        if !dino && !keys.flag("vision_use_head", true) {
            return Err(keys.wrong("vision_use_head", "true"));
        }
        let act = keys.value.get("hidden_act").and_then(Value::as_str).unwrap_or(if dino { "gelu" } else { "gelu_pytorch_tanh" });
        let tanh = match act {
            "gelu" => false,
            "gelu_pytorch_tanh" => true,
            _ => return Err(keys.wrong("hidden_act", "gelu or gelu_pytorch_tanh")),
        };
        let patch = keys.size("patch_size", if dino { 14 } else { 16 }, 256)?;
        let image = keys.size("image_size", 224, 4096)?;
        if image < patch {
            return Err(keys.wrong("image_size", format!("at least {patch}, the side of a patch")));
        }
        let inner = if dino {
            (hidden as f64 * keys.number("mlp_ratio", 4.0)?).clamp(1.0, 1e6) as usize
        } else {
            keys.size("intermediate_size", 3072, 1 << 16)?
        };
        let read = Self {
            family,
            hidden,
            layers: keys.size("num_hidden_layers", 12, 256)?,
            heads,
            inner,
            patch,
            learned: image / patch,
            qkv_bias: !dino || keys.flag("qkv_bias", true),
            eps: keys.number("layer_norm_eps", 1e-6)?,
            tanh,
            side: image,
            mean: if dino { [0.485, 0.456, 0.406] } else { [0.5; 3] },
            std: if dino { [0.229, 0.224, 0.225] } else { [0.5; 3] },
        };
        read.with_pictures(dir)
    }

    /// As the checkpoint's own processor has it, but for cropping.
    fn with_pictures(mut self, dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("preprocessor_config.json");
        if !path.exists() {
            return Ok(self);
        }
        let value: Value = serde_json::from_str(&read_text(&path)?)
            .map_err(|error| ModelError::File { path: path.clone(), reason: format!("no JSON: {error}") })?;
        let keys = Keys { path: &path, value: &value };
        for (key, numbers) in [("image_mean", &mut self.mean), ("image_std", &mut self.std)] {
            if let Some(found) = value.get(key).filter(|found| !found.is_null()) {
                let found = found.as_array().map(|all| all.iter().filter_map(Value::as_f64).map(|n| n as f32).collect::<Vec<_>>());
                let found =
                    found.and_then(|all| <[f32; 3]>::try_from(all).ok()).filter(|all| key == "image_mean" || all.iter().all(|n| *n > 0.0));
                *numbers = found.ok_or_else(|| keys.wrong(key, "three numbers, those of image_std above 0"))?;
            }
        }
        let crop = value.get("crop_size").filter(|_| keys.flag("do_center_crop", false));
        let side = crop.or_else(|| value.get("size")).and_then(|size| {
            let inside = || ["height", "shortest_edge"].iter().find_map(|key| size.get(key)).and_then(Value::as_u64);
            size.as_u64().or_else(inside)
        });
        if let Some(side) = side {
            let fits = (self.patch as u64..=4096).contains(&side);
            // SigLIP's positions are for one size only.
            if !fits || (self.family == Family::Siglip && side as usize / self.patch != self.learned) {
                return Err(
                    keys.wrong("size", format!("a side of at most 4096 pixels that fits {} patches of {}", self.learned, self.patch))
                );
            }
            self.side = side as usize;
        }
        Ok(self)
    }

    /// Patches along a side of the picture.
    pub(super) fn across(&self) -> usize {
        self.side / self.patch
    }

    /// Numbers in the output.
    pub(super) fn output(&self) -> usize {
        if self.family == Family::DinoV2 { 2 * self.hidden } else { self.hidden }
    }
}
