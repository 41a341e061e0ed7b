//! What a batch's answers and vision tokens are worth.

use candle_core::{D, DType, Device, Tensor, Var};

use super::batch::{Batch, dense_weights};
use super::{Plan, TrainError};
use crate::model::qwen_vl::{Model, cross_entropy};

/// A linear layer that says of a hidden state what lies there: the dense loss's own, dropped when training ends.
pub(super) struct Head {
    pub(super) weight: Var,
    pub(super) bias: Var,
}

impl Head {
    /// One output for nothing and one for each class.
    pub(super) fn new(hidden: usize, classes: usize, device: &Device) -> Result<Self, TrainError> {
        Ok(Self { weight: Var::zeros((classes + 1, hidden), DType::F32, device)?, bias: Var::zeros(classes + 1, DType::F32, device)? })
    }
}

/// The losses of a batch, on the device.
pub(super) struct Loss {
    /// What is minimised.
    pub(super) total: Tensor,
    /// Cross-entropy of the answers' tokens, their mean.
    pub(super) answer: Tensor,
    /// Cross-entropy of what lies on the queries' tokens, their weighted mean.
    pub(super) dense: Option<Tensor>,
}

/// Computes a batch; `dense` is the weight of the dense loss.
pub(super) fn loss(model: &Model, head: Option<&Head>, batch: &Batch, plan: &Plan, dense: f64) -> Result<Loss, TrainError> {
    let hidden = model.read(&batch.whole, &model.features(&batch.pictures)?)?;
    let answer = answer_loss(model, &hidden, batch)?;
    let seen = match head {
        Some(head) if dense > 0.0 && !batch.dense_places.is_empty() => Some(dense_loss(model, head, &hidden, batch, plan)?),
        _ => None,
    };
    let total = match &seen {
        Some(seen) => (&answer + (seen * dense)?)?,
        None => answer.clone(),
    };
    Ok(Loss { total, answer: answer.detach(), dense: seen.map(|seen| seen.detach()) })
}

fn answer_loss(model: &Model, hidden: &Tensor, batch: &Batch) -> Result<Tensor, TrainError> {
    let count = batch.targets.len();
    let logits = model.logits(&model.pick(hidden, &batch.places)?)?;
    let targets = Tensor::new(batch.targets.as_slice(), model.device())?;
    let weights = Tensor::full(1.0 / count.max(1) as f32, count, model.device())?;
    Ok(cross_entropy(&logits, &targets, &weights)?)
}

fn dense_loss(model: &Model, head: &Head, hidden: &Tensor, batch: &Batch, plan: &Plan) -> Result<Tensor, TrainError> {
    let seen = model.pick(hidden, &batch.dense_places)?;
    let logits = seen.matmul(&head.weight.as_tensor().to_dtype(seen.dtype())?.t()?)?.to_dtype(DType::F32)?;
    let logits = logits.broadcast_add(head.bias.as_tensor())?;
    let mut weights = dense_weights(plan, &batch.dense_targets);
    let all: f32 = weights.iter().sum();
    for weight in &mut weights {
        *weight /= all.max(1e-6);
    }
    let targets = Tensor::new(batch.dense_targets.as_slice(), model.device())?;
    let weights = Tensor::from_vec(weights, batch.dense_targets.len(), model.device())?;
    Ok(cross_entropy(&logits, &targets, &weights)?)
}

/// How many of a batch's answers are right at every token, each token said after the right ones before it (teacher
/// forcing), the answers' summed cross-entropy, and how many answers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Score {
    pub(super) right: u64,
    pub(super) answers: u64,
    pub(super) loss: f64,
}

/// Looks at a batch without learning from it.
pub(super) fn score(model: &Model, batch: &Batch) -> Result<Score, TrainError> {
    let hidden = model.read(&batch.whole, &model.features(&batch.pictures)?)?;
    let logits = model.logits(&model.pick(&hidden, &batch.places)?)?;
    let said: Vec<u32> = logits.argmax(D::Minus1)?.to_vec1()?;
    let count = batch.targets.len();
    let targets = Tensor::new(batch.targets.as_slice(), model.device())?;
    let weights = Tensor::full(1.0 / count.max(1) as f32, count, model.device())?;
    let mean: f32 = cross_entropy(&logits, &targets, &weights)?.to_scalar()?;
    let right = batch.answers.iter().filter(|answer| said[(*answer).clone()] == batch.targets[(*answer).clone()]).count();
    Ok(Score { right: right as u64, answers: batch.rows() as u64, loss: f64::from(mean) * batch.rows() as f64 })
}
