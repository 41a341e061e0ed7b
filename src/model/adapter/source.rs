//! Parameters with an adapter merged in.

use candle_core::Tensor;

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
        let failed = |error: &dyn std::fmt::Display| ModelError::Prompt(format!("the adapter: {error}"));
        Ok(self.adapter.apply(name, &base).map_err(|error| failed(&error))?.unwrap_or(base))
    }
}
