//! A checkpoint's network with an adapter merged in.

use candle_core::{DType, Device};

use super::PredictError;
use crate::model::adapter::{Adapter, Merged};
use crate::model::checkpoint::Checkpoint;
use crate::model::qwen_vl::{Config, Model};

/// The network of a checkpoint and an adapter, of which every tensor must find its place.
pub(super) fn adapted(
    config: &Config,
    checkpoint: &Checkpoint,
    adapter: &Adapter,
    device: &Device,
    dtype: DType,
) -> Result<Model, PredictError> {
    let model = Model::new(config, &Merged { base: checkpoint, adapter }, device, dtype)?;
    adapter.finish()?;
    Ok(model)
}
