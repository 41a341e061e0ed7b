//! What an optimiser moves, and the network that is made of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};

use super::TrainError;
use crate::model::ModelError;
use crate::model::checkpoint::{Checkpoint, Source};
use crate::model::qwen_vl::{Config, Mode, Model, parameters};

/// Named variables, and the network that they make.
pub trait Trainable {
    /// The variables (f32, on the device) with their names, always in the same order.
    fn variables(&self) -> &[(String, Var)];

    /// The network of these variables. With a `step` (the number of the micro-batch, by which dropout draws) it is one to
    /// learn with, in [`Mode::Train`]: casts to the type that is computed in are part of the graph, so that it serves one
    /// backward pass. With `None` it is one to look with: [`Mode::Infer`], nothing is dropped, no gradient passes.
    fn network(&self, step: Option<u64>) -> Result<Model, TrainError>;

    /// Writes into an empty folder what [`crate::model::predictor::Predictor`] loads.
    fn save(&self, dir: &Path) -> Result<(), TrainError>;
}

/// Every weight of a network.
#[derive(Debug)]
pub struct Full {
    config: Config,
    /// The checkpoint from which everything but the weights is copied.
    base: PathBuf,
    variables: Vec<(String, Var)>,
    device: Device,
    dtype: DType,
}

impl Full {
    /// Takes over the weights of a checkpoint's folder; `dtype` is what the network computes in.
    pub fn load(base: &Path, device: &Device, dtype: DType) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::open(base)?;
        let config = checkpoint.config()?;
        let variables = parameters(&config)?.into_iter().map(|(name, shape)| {
            let tensor = checkpoint.tensor(&name, &shape)?.to_device(device)?.to_dtype(DType::F32)?;
            Ok((name, Var::from_tensor(&tensor)?))
        });
        let variables = variables.collect::<Result<_, TrainError>>()?;
        Ok(Self { config, base: base.to_owned(), variables, device: device.clone(), dtype })
    }
}

impl Trainable for Full {
    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    fn network(&self, step: Option<u64>) -> Result<Model, TrainError> {
        let learns = step.is_some();
        let tensor = |var: &Var| if learns { var.as_tensor().clone() } else { var.as_detached_tensor() };
        let tensors: HashMap<String, Tensor> = self.variables.iter().map(|(name, var)| (name.clone(), tensor(var))).collect();
        let mut model = Model::new(&self.config, &tensors, &self.device, self.dtype)?;
        model.set_mode(if learns { Mode::Train } else { Mode::Infer });
        Ok(model)
    }

    fn save(&self, dir: &Path) -> Result<(), TrainError> {
        copy_but_weights(&self.base, dir)?;
        let tensors = self.variables.iter().map(|(name, var)| {
            let tensor = var.as_tensor().detach().to_dtype(DType::BF16)?.to_device(&Device::Cpu)?;
            Ok((name.clone(), tensor))
        });
        let tensors: Vec<(String, Tensor)> = tensors.collect::<Result<_, TrainError>>()?;
        // transformers asks in which framework's form tensors are written.
        let format = Some([("format".to_owned(), "pt".to_owned())].into());
        let (path, part) = (dir.join("model.safetensors"), dir.join("model.safetensors.part"));
        safetensors::serialize_to_file(tensors.iter().map(|(name, tensor)| (name, tensor)), format, &part)
            .map_err(|problem| ModelError::File { path: part.clone(), reason: problem.to_string() })?;
        Ok(std::fs::rename(&part, &path).map_err(|source| ModelError::Io { path, source })?)
    }
}

/// The files of a Hugging Face folder besides its weights.
const BESIDE_WEIGHTS: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "chat_template.json",
];

/// Copies tokenizer, template and settings of a checkpoint; `config.json` then says bf16, as the weights are written.
fn copy_but_weights(from: &Path, to: &Path) -> Result<(), TrainError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Io { path, source }
    };
    std::fs::create_dir_all(to).map_err(io(to))?;
    for name in BESIDE_WEIGHTS {
        let (source, target) = (from.join(name), to.join(name));
        if !source.exists() {
            continue;
        }
        if name != "config.json" {
            std::fs::copy(&source, &target).map_err(io(&source))?;
            continue;
        }
        let text = std::fs::read_to_string(&source).map_err(io(&source))?;
        let wrong = |error: serde_json::Error| ModelError::File { path: source.clone(), reason: format!("no JSON: {error}") };
        let mut config: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
        config["dtype"] = "bfloat16".into();
        std::fs::write(&target, format!("{config:#}\n")).map_err(io(&target))?;
    }
    Ok(())
}
