//! What of a model is trained: all of it, or factors beside frozen weights.

use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Args;

use super::super::context::absolute;
use super::super::numbers::{positive, share};
use super::super::output::Failure;
use crate::train::{Full, Lora, LoraPlan, Precision, TrainError, Trainable};

/// LoRA: small factors are trained beside frozen weights, and saved as an adapter in PEFT's format.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "LoRA")]
pub(super) struct LoraArgs {
    /// Train an adapter (LoRA) over the checkpoint that --from names, or over the project's model, instead of all weights.
    #[arg(long)]
    pub(super) lora: bool,
    /// The rank of the adapter's factors; 16, when not given.
    #[arg(long, value_name = "N", requires = "lora", value_parser = clap::value_parser!(u32).range(1..=4096))]
    rank: Option<u32>,
    /// The adapter counts for alpha / rank; twice the rank, when not given.
    #[arg(long, value_name = "A", requires = "lora", value_parser = positive)]
    alpha: Option<f64>,
    /// The adapter counts for alpha / √rank instead.
    #[arg(long, requires = "lora")]
    rslora: bool,
    /// The share of a layer's inputs that the adapter does not see in a step; 0, when not given.
    #[arg(long, value_name = "SHARE", requires = "lora", value_parser = share)]
    dropout: Option<f64>,
    /// The end of the names of layers that are adapted, such as q_proj; several by commas; all linear layers, when not given.
    #[arg(long, value_name = "NAME", requires = "lora", value_delimiter = ',')]
    target: Vec<String>,
    /// Adapt the vision tower too.
    #[arg(long, requires = "lora")]
    vision: bool,
    /// A module that is trained whole and saved with the adapter, such as merger; several by commas.
    #[arg(long, value_name = "MODULE", requires = "lora", value_delimiter = ',')]
    whole: Vec<String>,
    /// Go on from this adapter, with its ranks and layers.
    #[arg(
        long,
        value_name = "DIR",
        requires = "lora",
        conflicts_with_all = ["rank", "alpha", "rslora", "dropout", "target", "vision", "whole"]
    )]
    adapter: Option<PathBuf>,
}

impl LoraArgs {
    /// The plan's part.
    pub(super) fn plan(&self) -> Result<Option<LoraPlan>, Failure> {
        if !self.lora {
            return Ok(None);
        }
        if let Some(adapter) = &self.adapter {
            return Ok(Some(Lora::plan_of(&absolute(adapter))?));
        }
        let default = LoraPlan::default();
        let rank = self.rank.map_or(default.rank, |rank| rank as usize);
        Ok(Some(LoraPlan {
            rank,
            alpha: self.alpha.unwrap_or(2.0 * rank as f64),
            rslora: self.rslora,
            dropout: self.dropout.unwrap_or(default.dropout),
            targets: self.target.clone(),
            vision: self.vision,
            whole: self.whole.clone(),
        }))
    }

    /// What is trained over a checkpoint's folder.
    pub(super) fn trainable(
        &self,
        base: &Path,
        plan: Option<&LoraPlan>,
        seed: u64,
        device: &Device,
        precision: Precision,
    ) -> Result<Box<dyn Trainable>, TrainError> {
        let dtype = precision.dtype();
        Ok(match (plan, &self.adapter) {
            (None, _) => Box::new(Full::load(base, device, dtype)?),
            (Some(_), Some(adapter)) => Box::new(Lora::resume(base, &absolute(adapter), seed, device, dtype)?),
            (Some(plan), None) => Box::new(Lora::new(base, plan, seed, device, dtype)?),
        })
    }
}
