//! Adapters in PEFT's format: LoRA, rsLoRA and DoRA, read, laid over a checkpoint's weights, and written.
//!
//! A folder holds `adapter_config.json` and `adapter_model.safetensors`. Of each adapted module there are
//! `lora_A.weight` `[r, in]`, `lora_B.weight` `[out, r]` and, for DoRA, `lora_magnitude_vector` `[out]`; modules in
//! `modules_to_save` carry whole weights. Which modules are adapted is read off the tensor names, never off
//! `target_modules`: that may be a regular expression with lookaheads.
//!
//! Every tensor must find a place: [`Adapter::finish`] fails and names those that nobody asked for. What would change
//! the result and is not known here is refused by name when the adapter is read.

mod config;
mod merge;
mod names;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

pub use config::{AdapterConfig, Targets};
pub use merge::LowRank;
pub use names::peft_module;
pub use source::Merged;

/// The settings' file name.
const CONFIG: &str = "adapter_config.json";
/// The weights' file name.
const WEIGHTS: &str = "adapter_model.safetensors";
/// A larger settings file is none.
const MOST_CONFIG_BYTES: u64 = 1 << 20;
/// A larger weights file would not be an adapter of the models supported.
const MOST_WEIGHT_BYTES: u64 = 16 << 30;

/// Why an adapter cannot be read, laid over a model, or written.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is larger than any adapter's.
    #[error("{}: expected at most {most} bytes, got {got}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        most: u64,
        /// Its size.
        got: u64,
    },
    /// The settings are not what peft writes.
    #[error("adapter_config.json: {key}: expected {expected}, got {got}")]
    Config {
        /// The key.
        key: String,
        /// What was expected.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// Something that would change the result and that is not supported.
    #[error("the adapter uses {0}, which is not supported")]
    Unsupported(String),
    /// The weights' file is broken.
    #[error("{}: not a whole safetensors file: {reason}", .path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor has another shape, type or content than it must.
    #[error("{tensor}: expected {expected}, got {got}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What was expected.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Tensors that nothing in the model is called for.
    #[error("the model has no place for {} of the adapter's tensors: {}", .0.len(), listed(.0))]
    Unplaced(Vec<String>),
    /// The arithmetic failed.
    #[error("{tensor}: {source}")]
    Compute {
        /// The tensor.
        tensor: String,
        /// What candle says.
        source: candle_core::Error,
    },
}

/// The first few names.
fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 5 {
        text.push_str(", …");
    }
    text
}

/// An adapter's settings and tensors.
#[derive(Debug)]
pub struct Adapter {
    config: AdapterConfig,
    /// By module, as peft names it below `base_model.model.`.
    layers: BTreeMap<String, LowRank>,
    /// Whole tensors of `modules_to_save`, by the same names with `.weight` or `.bias`.
    saved: BTreeMap<String, Tensor>,
    /// By canonical name: the key in `layers` (without `.weight`) or in `saved`.
    places: BTreeMap<String, Place>,
    placed: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
enum Place {
    Layer(String),
    Saved(String),
}

impl Adapter {
    /// Reads an adapter's folder; its tensors lie on the CPU in the file's own types.
    pub fn load(dir: &Path) -> Result<Self, AdapterError> {
        let config = AdapterConfig::parse(&read(&dir.join(CONFIG), MOST_CONFIG_BYTES)?)?;
        let path = dir.join(WEIGHTS);
        let bytes = read(&path, MOST_WEIGHT_BYTES)?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| AdapterError::Weights { path, reason: error.to_string() })?;
        let mut parts = names::sort(&config, tensors)?;
        let scales = config.scales()?;
        let mut layers = BTreeMap::new();
        for (module, part) in std::mem::take(&mut parts.layers) {
            let layer = merge::assemble(&config, &scales, &module, part)?;
            layers.insert(module, layer);
        }
        Self::new(config, layers, parts.saved)
    }

    /// An adapter of these layers, by peft's module names ([`peft_module`]), and whole tensors by names that end in
    /// `.weight` or `.bias`.
    pub fn new(config: AdapterConfig, layers: BTreeMap<String, LowRank>, saved: BTreeMap<String, Tensor>) -> Result<Self, AdapterError> {
        for (module, layer) in &layers {
            layer.check(module)?;
        }
        for (name, tensor) in &saved {
            merge::check_finite(name, tensor)?;
        }
        let adapted = layers.keys().map(|module| (names::canonical(&format!("{module}.weight")), Place::Layer(module.clone())));
        let whole = saved.keys().map(|name| (names::canonical(name), Place::Saved(name.clone())));
        let mut places = BTreeMap::new();
        for (name, place) in adapted.chain(whole) {
            if places.insert(name.clone(), place).is_some() {
                return Err(AdapterError::Tensor { tensor: name, expected: "one change of each weight".into(), got: "two".into() });
            }
        }
        if places.is_empty() {
            return Err(AdapterError::Config { key: WEIGHTS.into(), expected: "at least one tensor".into(), got: "none".into() });
        }
        Ok(Self { config, layers, saved, places, placed: Mutex::default() })
    }

    /// The settings.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// The low-rank layers by peft's module names.
    pub fn layers(&self) -> &BTreeMap<String, LowRank> {
        &self.layers
    }

    /// The weight of this name in the checkpoint, for example `model.layers.0.self_attn.q_proj.weight`, with the adapter
    /// merged in: computed in f32, returned in the base's own type and on its device. `None` where the adapter does not
    /// change it.
    pub fn apply(&self, name: &str, base: &Tensor) -> Result<Option<Tensor>, AdapterError> {
        match self.places.get(&names::canonical(name)) {
            None => Ok(None),
            Some(Place::Saved(key)) => {
                self.place(name);
                merge::replaced(key, &self.saved[key], base).map(Some)
            }
            Some(Place::Layer(module)) => {
                self.place(name);
                self.layers[module].merged(module, base).map(Some)
            }
        }
    }

    /// Whether the adapter changes the weight of this name.
    pub fn changes(&self, name: &str) -> bool {
        self.places.contains_key(&names::canonical(name))
    }

    /// The low-rank change of a weight, for applying it at run time; whoever asks takes charge of it.
    pub fn layer(&self, name: &str) -> Option<&LowRank> {
        let Place::Layer(module) = self.places.get(&names::canonical(name))? else { return None };
        self.place(name);
        self.layers.get(module)
    }

    /// A whole tensor that replaces the one of this name, also where the checkpoint ties it to another and so has none,
    /// for example `lm_head.weight`; whoever asks takes charge of it.
    pub fn whole(&self, name: &str) -> Option<&Tensor> {
        let Place::Saved(key) = self.places.get(&names::canonical(name))? else { return None };
        self.place(name);
        self.saved.get(key)
    }

    fn place(&self, name: &str) {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).insert(names::canonical(name));
    }

    /// What has found no place in a model so far, by peft's names.
    pub fn unplaced(&self) -> Vec<String> {
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.places.iter().filter(|(name, _)| !placed.contains(*name));
        left.map(|(_, place)| match place {
            Place::Layer(module) => names::tensor(&format!("{module}.lora_A.weight")),
            Place::Saved(name) => names::tensor(name),
        })
        .collect()
    }

    /// Says that the model is whole: fails where a tensor has found no place in it.
    pub fn finish(&self) -> Result<(), AdapterError> {
        let unplaced = self.unplaced();
        if unplaced.is_empty() { Ok(()) } else { Err(AdapterError::Unplaced(unplaced)) }
    }

    /// Writes the folder as peft does. Each file is complete or not there.
    pub fn save(&self, dir: &Path) -> Result<(), AdapterError> {
        std::fs::create_dir_all(dir).map_err(|source| AdapterError::File { path: dir.to_owned(), source })?;
        let path = dir.join(WEIGHTS);
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        for (module, layer) in &self.layers {
            let parts =
                [("lora_A.weight", Some(&layer.a)), ("lora_B.weight", Some(&layer.b)), ("lora_magnitude_vector", layer.magnitude.as_ref())];
            for (part, tensor) in parts {
                if let Some(tensor) = tensor {
                    tensors.insert(names::tensor(&format!("{module}.{part}")), tensor.clone());
                }
            }
        }
        tensors.extend(self.saved.iter().map(|(name, tensor)| (names::tensor(name), tensor.clone())));
        let format = Some([("format".to_owned(), "pt".to_owned())].into());
        let bytes = safetensors::serialize(&tensors, format)
            .map_err(|error| AdapterError::Weights { path: path.clone(), reason: error.to_string() })?;
        write(dir, &path, &bytes)?;
        write(dir, &dir.join(CONFIG), self.config.to_json().as_bytes())
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, AdapterError> {
    let failed = |source| AdapterError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let got = file.metadata().map_err(failed)?.len();
    if got > most {
        return Err(AdapterError::TooLarge { path: path.to_owned(), most, got });
    }
    let mut bytes = Vec::with_capacity(got as usize);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn write(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let failed = |source| AdapterError::File { path: path.to_owned(), source };
    // As other files: whoever else works on the project reads it too.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map(|_| ()).map_err(|error| failed(error.error))
}

/// Whether a base weight of this type can be changed: a quantised one cannot.
fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}
