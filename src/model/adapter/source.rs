//! Parameters with an adapter merged in.

use candle_core::{DType, Tensor};

use super::Adapter;
use crate::model::ModelError;
use crate::model::checkpoint::Source;

/// The parameters of a checkpoint as an adapter changes them. When the network is made of them, [`Adapter::finish`] says
/// whether every tensor of the adapter has found its place.
pub struct Merged<'a> {
    /// The checkpoint.
    pub base: &'a dyn Source,
    /// What is laid over it.
    pub adapter: &'a Adapter,
}

impl Source for Merged<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let base = self.base.tensor(name, shape)?;
        if !self.adapter.changes(name) {
            return Ok(base);
        }
        // A 16-bit sum would round away what the adapter changes; the network takes it down to its own type, once.
        let base = if matches!(base.dtype(), DType::F16 | DType::BF16) { base.to_dtype(DType::F32)? } else { base };
        let failed = |error: &dyn std::fmt::Display| ModelError::Prompt(format!("the adapter: {error}"));
        Ok(self.adapter.apply(name, &base).map_err(|error| failed(&error))?.unwrap_or(base))
    }
}
