//! Everything that decides how a run goes, as it is written beside what it made.

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// How a run goes. The same plan, data and device make the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides the order of the examples, their augmentation and new parameters.
    pub seed: u64,
    /// Optimiser steps, at most.
    pub steps: u64,
    /// Seconds after which the run ends; the learning rate falls by whichever of steps and time is further.
    pub time_limit: Option<f64>,
    /// Conversations of one optimiser step.
    pub batch: usize,
    /// Conversations that are computed at once; gradients are summed until there are `batch`.
    pub micro_batch: usize,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises to its largest.
    pub warm_up: u64,
    /// The learning rate at the end, as a share of the largest.
    pub floor: f64,
    /// Decoupled weight decay; of matrices only, not of norms and biases.
    pub weight_decay: f64,
    /// How slowly the moments forget: of the gradient, and of its square.
    pub betas: [f64; 2],
    /// The longest gradient (global norm) that a step follows.
    pub clip: f64,
    /// The share of one-shot conversations, 0..=1.
    pub one_shot_share: f64,
    /// The loss on the query's vision tokens; none without.
    pub dense: Option<DensePlan>,
    /// Whether pictures vary in light, blur, noise and, where places move along, in geometry.
    pub augment: bool,
    /// What the network computes in; weights and the optimiser's state are f32 in any case.
    pub dtype: Precision,
    /// Whether blocks keep nothing but their inputs and are computed again for their gradients: a third more time, and a
    /// fraction of the memory.
    #[serde(default)]
    pub recompute: Recompute,
    /// Factors beside frozen weights; without, every weight is trained.
    pub lora: Option<LoraPlan>,
    /// Steps between two lines of the log.
    pub log_every: u64,
    /// Steps between two evaluations.
    pub evaluate_every: u64,
    /// Held-out conversations of each kind that an evaluation looks at, at most.
    pub evaluate_on: usize,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
}

/// The loss on the query's vision tokens: which of the known things lies there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DensePlan {
    /// Its weight beside the loss on the answer, at the start.
    pub weight: f64,
    /// The weight of a token on which nothing lies.
    pub nothing: f64,
    /// The share of the run after which the weight begins to fall, to 0 at the end.
    pub hold: f64,
}

/// What the network computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits with f32's range.
    Bf16,
}

/// When blocks are computed again instead of keeping what is inside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// From the moment at which memory does not suffice.
    #[default]
    Auto,
    /// From the start.
    Always,
    /// Not at all.
    Never,
}

/// Low-rank factors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraPlan {
    /// The rank of the factors.
    pub rank: usize,
    /// What the factors are multiplied with is `alpha / rank`.
    pub alpha: f64,
    /// Multiply with `alpha / √rank` instead (rsLoRA).
    #[serde(default)]
    pub rslora: bool,
    /// The share of a layer's inputs that the factors do not see in a step, 0..1.
    pub dropout: f64,
    /// Ends of the names of the linear layers that get factors, as PEFT has them: `q_proj`, `down_proj`, …; all linear layers
    /// when empty.
    pub targets: Vec<String>,
    /// Whether layers of the vision tower get factors too.
    pub vision: bool,
    /// Modules that are trained and saved whole, PEFT's `modules_to_save`: `lm_head`, `merger`, …
    #[serde(default)]
    pub whole: Vec<String>,
}

impl Default for LoraPlan {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, rslora: false, dropout: 0.0, targets: Vec::new(), vision: false, whole: Vec::new() }
    }
}

impl Precision {
    /// candle's name for it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl Default for DensePlan {
    fn default() -> Self {
        Self { weight: 1.0, nothing: 0.05, hold: 0.5 }
    }
}

impl Plan {
    /// Training from scratch.
    pub fn scratch() -> Self {
        Self {
            seed: 1,
            steps: 8000,
            time_limit: None,
            batch: 256,
            micro_batch: 256,
            learning_rate: 1e-3,
            warm_up: 200,
            floor: 0.02,
            weight_decay: 0.05,
            betas: [0.9, 0.98],
            clip: 1.0,
            one_shot_share: 0.5,
            dense: Some(DensePlan::default()),
            augment: true,
            dtype: Precision::Bf16,
            recompute: Recompute::Auto,
            lora: None,
            log_every: 20,
            evaluate_every: 500,
            evaluate_on: 256,
            checkpoint_every: 1000,
        }
    }

    /// An adapter over a checkpoint that has learnt to see.
    pub fn lora() -> Self {
        Self {
            steps: 1000,
            batch: 16,
            micro_batch: 4,
            learning_rate: 2e-4,
            warm_up: 30,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            dense: None,
            lora: Some(LoraPlan::default()),
            evaluate_every: 100,
            checkpoint_every: 200,
            ..Self::scratch()
        }
    }

    /// How far a run is, 0..=1, after so many steps and seconds.
    pub fn progress(&self, steps: u64, seconds: f64) -> f64 {
        let by_steps = steps as f64 / self.steps.max(1) as f64;
        let by_time = self.time_limit.map_or(0.0, |limit| seconds / limit.max(1e-9));
        by_steps.max(by_time).min(1.0)
    }

    /// The learning rate of a step (from 0) at a share of the run: it rises evenly, then falls along a cosine.
    pub fn learning_rate_at(&self, step: u64, progress: f64) -> f64 {
        let rising = ((step + 1) as f64 / self.warm_up.max(1) as f64).min(1.0);
        let falling = self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.learning_rate * rising * falling
    }

    /// The dense loss's weight at a share of the run.
    pub fn dense_weight_at(&self, progress: f64) -> f64 {
        self.dense.map_or(0.0, |dense| {
            let left = ((1.0 - progress) / (1.0 - dense.hold).max(1e-9)).clamp(0.0, 1.0);
            dense.weight * left
        })
    }
}
