//! A checkpoint's parameters with an adapter merged in.

use candle_core::{DType, Device, Tensor};

use super::PredictError;
use crate::model::ModelError;
use crate::model::adapter::Adapter;
use crate::model::checkpoint::{Checkpoint, Source};
use crate::model::qwen_vl::{Config, Model};

struct Adapted<'a> {
    checkpoint: &'a Checkpoint,
    adapter: &'a Adapter,
}

impl Source for Adapted<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let base = self.checkpoint.tensor(name, shape)?;
        let failed = |error: &dyn std::fmt::Display| ModelError::Prompt(format!("the adapter: {error}"));
        Ok(self.adapter.apply(name, &base).map_err(|error| failed(&error))?.unwrap_or(base))
    }
}

/// The network of a checkpoint and an adapter, of which every tensor must find its place.
pub(super) fn adapted(
    config: &Config,
    checkpoint: &Checkpoint,
    adapter: &Adapter,
    device: &Device,
    dtype: DType,
) -> Result<Model, PredictError> {
    let model = Model::new(config, &Adapted { checkpoint, adapter }, device, dtype)?;
    adapter.finish()?;
    Ok(model)
}
