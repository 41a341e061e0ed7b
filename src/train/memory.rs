//! How much memory a run takes, before it starts: a table of terms that follow from the checkpoint's shape, the plan and the
//! longest conversations.
//!
//! Two moments decide. While gradients are computed, everything that the pass has made is there (`activations`); while the
//! optimiser steps, nothing of the pass is left, but several vectors of all trained values are. The rest is what lies still.

mod activations;
mod advice;
mod cards;
mod survey;

use serde::Serialize;

pub use advice::{Advice, advice, settled};
pub use cards::{CARDS, Card};
pub use survey::survey;

use super::lora::Choice;
use super::{LoraPlan, Plan, Precision, Recompute, TrainError};
use crate::domain::Kind;
use crate::model::processor::Grid;
use crate::model::qwen_vl::{Config, parameters};
use activations::Batch;

/// What a CUDA program takes before it computes: context, kernels, cuBLAS's workspace. Assumed, not measured: the difference
/// between what a short run's log says and the other terms is the figure to put here.
pub const CONTEXT: u64 = 640 << 20;
/// What the allocator's pool holds besides what is asked of it, as a share. Assumed as well: where it is wrong, long runs are
/// off by the same share as short ones.
pub const POOL: f64 = 0.03;

/// An image of the longest conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ShownImage {
    /// Its patches.
    #[serde(serialize_with = "sides")]
    pub grid: Grid,
    /// How many different ones there are, where a pool is drawn from: what stands in a batch several times is computed once.
    pub different: Option<usize>,
}

fn sides<S: serde::Serializer>(grid: &Grid, serializer: S) -> Result<S::Ok, S::Error> {
    [grid.height, grid.width].serialize(serializer)
}

/// The longest conversation of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Load {
    /// The kind.
    pub kind: Kind,
    /// Tokens, those of images and of the answer included.
    pub tokens: usize,
    /// Tokens of the answer.
    pub answer: usize,
    /// Tokens of the query, where a dense loss looks at them.
    pub dense: usize,
    /// Its images.
    pub images: Vec<ShownImage>,
}

impl Load {
    /// The longer of two conversations of a kind in every respect.
    #[must_use]
    pub fn max(mut self, other: &Self) -> Self {
        self.tokens = self.tokens.max(other.tokens);
        self.answer = self.answer.max(other.answer);
        self.dense = self.dense.max(other.dense);
        for (nth, shown) in other.images.iter().enumerate() {
            match self.images.get_mut(nth) {
                Some(known) if known.grid.patches() < shown.grid.patches() => *known = *shown,
                Some(_) => {}
                None => self.images.push(*shown),
            }
        }
        self
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// How much of it.
    pub bytes: u64,
    /// How it comes about.
    pub says: String,
}

/// What a batch of one kind takes while its gradients are computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// The longest conversation.
    pub load: Load,
    /// The terms that depend on it.
    pub terms: Vec<Term>,
}

/// How much memory a run takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Memory {
    /// What is there all the time.
    pub still: Vec<Term>,
    /// What comes on top while gradients are computed, of each kind that the plan has.
    pub passes: Vec<Pass>,
    /// What comes on top while the optimiser steps.
    pub step: Term,
    /// The most that is there at once, in bytes.
    pub peak: u64,
}

/// Numbers of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Values {
    /// Those that are trained.
    pub trained: u64,
    /// Those that are not.
    pub frozen: u64,
    /// Whether some of the trained ones are the vision tower's.
    #[serde(skip)]
    tower: bool,
    /// Whether the table of tokens is trained.
    #[serde(skip)]
    embedding: bool,
}

impl Values {
    /// What a plan trains of a checkpoint.
    pub fn of(config: &Config, lora: Option<&LoraPlan>) -> Result<Self, TrainError> {
        let all = parameters(config)?;
        let count = |shape: &[usize]| shape.iter().map(|side| *side as u64).product::<u64>();
        let total = all.iter().map(|(_, shape)| count(shape)).sum();
        let Some(lora) = lora else { return Ok(Self { trained: total, frozen: 0, tower: true, embedding: true }) };
        let choice = Choice::new(config, &all, lora)?;
        let mut values = Self { trained: 0, frozen: total, tower: false, embedding: false };
        for (name, shape) in &all {
            let whole = choice.whole.contains(name);
            if whole {
                values.trained += count(shape);
                values.frozen -= count(shape);
                values.embedding |= name.ends_with("embed_tokens.weight");
            } else if choice.adapted.contains(name) {
                values.trained += (lora.rank * shape.iter().sum::<usize>()) as u64;
            } else {
                continue;
            }
            values.tower |= name.starts_with("model.visual.");
        }
        Ok(values)
    }
}

/// How much memory a plan takes with these longest conversations, one of each kind at most; `cuda` adds what the driver and
/// its libraries take.
pub fn memory(config: &Config, plan: &Plan, loads: &[Load], cuda: bool) -> Result<Memory, TrainError> {
    let values = Values::of(config, plan.lora.as_ref())?;
    let Values { trained, frozen, .. } = values;
    let value: u64 = if plan.dtype == Precision::F32 { 4 } else { 2 };
    let micro = plan.micro_batch.clamp(1, plan.batch.max(1));
    let parts = plan.batch.div_ceil(micro) as u64;
    let term = |name, bytes: u64, says: String| Term { name, bytes, says };
    let mut still = vec![
        term("trained weights", 4 * trained, format!("{trained} values in f32")),
        term("optimiser", 16 * trained, "master copy, two moments, decay, each in f32".to_owned()),
        term("best weights", 4 * trained, "those of the best evaluation, in f32".to_owned()),
    ];
    if frozen > 0 {
        still.insert(0, term("frozen weights", value * frozen, format!("{frozen} values of {value} bytes")));
    }
    if cuda {
        still.push(term("CUDA", CONTEXT, "context, kernels and libraries".to_owned()));
    }
    let mut passes = Vec::new();
    for load in loads {
        passes.push(pass(config, plan, load, values, (value, parts), cuda));
    }
    // Gradient and its clipped copy; old and new moments with what is between them.
    let most = if parts > 1 { 6 } else { 5 };
    let step = term("step", most * 4 * trained, format!("{most} vectors of all trained values"));
    let sum = |terms: &[Term]| terms.iter().map(|term| term.bytes).sum::<u64>();
    let passing = passes.iter().map(|pass| sum(&pass.terms)).max().unwrap_or(0);
    let asked = sum(&still) + passing.max(step.bytes);
    let peak = if cuda { asked + ((asked - CONTEXT) as f64 * POOL) as u64 } else { asked };
    Ok(Memory { still, passes, step, peak })
}

fn pass(config: &Config, plan: &Plan, load: &Load, values: Values, (value, parts): (u64, u64), cuda: bool) -> Pass {
    let Values { trained, tower, embedding, .. } = values;
    let load = Load { dense: if plan.dense.is_some() { load.dense } else { 0 }, ..load.clone() };
    let micro = plan.micro_batch.clamp(1, plan.batch.max(1));
    let batch = Batch::new(&load, micro);
    let bytes = |count: usize| count as u64 * value;
    let mut terms = Vec::new();
    let mut term = |name, bytes: u64, says: String| terms.push(Term { name, bytes, says });
    if value != 4 {
        term("cast weights", value * trained, "the trained ones, as the pass computes with them".to_owned());
    }
    let sums = if parts > 1 { " and their sum so far" } else { "" };
    term("gradients", 4 * trained * parts.min(2), format!("in f32{sums}"));
    let again = plan.recompute == Recompute::Always;
    let around = activations::around(config, &batch, embedding) + activations::mask(config, &batch, cuda, value);
    let text = activations::layers(config, &batch, again) + around;
    let kept = if again { ", of each layer its input" } else { "" };
    term("text model", bytes(text), format!("{micro} conversations of {} tokens{kept}", load.tokens));
    if tower {
        term("vision tower", bytes(activations::tower(config, &batch, plan.lora.is_none(), again)), "of all different images".to_owned());
    } else {
        term("image features", bytes(activations::features(config, &batch)), "the tower is frozen and keeps nothing else".to_owned());
    }
    term("answers", activations::head(config, &batch, value as usize) as u64, format!("logits of {} tokens each", load.answer));
    let dropout = plan.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
    let passing = activations::passing(config, &batch, value as usize, (tower, dropout, again)) as u64;
    // A frozen tower looks before anything else is there.
    let looking = if tower { 0 } else { bytes(activations::looking(config, &batch)) };
    let rest = bytes(text) + activations::head(config, &batch, value as usize) as u64;
    let step = if again { "the largest step's own results, with a layer that is computed again" } else { "the largest step's own results" };
    term("in passing", passing.max(looking.saturating_sub(rest)), step.to_owned());
    Pass { load, terms }
}
