//! AdamW over all variables as one flat vector: a dozen kernels a step, however many variables there are, and a state that
//! is three tensors. Nothing is read back from the device.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};

use super::Plan;

/// Added to the root of the second moment.
const EPS: f64 = 1e-8;
/// Sums over all values are made in two steps, so many values first.
const ROW: usize = 1024;

/// The optimiser with its state.
pub(super) struct AdamW {
    variables: Vec<Var>,
    /// Values of all variables; the vectors have zeros behind them up to a multiple of [`ROW`].
    values: usize,
    /// All variables' values: the master copy.
    pub(super) weights: Tensor,
    /// Mean of the gradients.
    pub(super) first: Tensor,
    /// Mean of their squares.
    pub(super) second: Tensor,
    /// 1 where weights decay, else 0.
    decays: Tensor,
    /// Steps made.
    pub(super) steps: u64,
    /// Whether a step has begun and has not come to its end.
    moving: bool,
}

impl AdamW {
    /// An optimiser of f32 variables on one device. Matrices decay, vectors do not.
    pub(super) fn new(variables: Vec<Var>, device: &Device) -> Result<Self> {
        let values: usize = variables.iter().map(|var| var.elem_count()).sum();
        let length = values.next_multiple_of(ROW);
        let zeros = || Tensor::zeros(length, DType::F32, device);
        let mut this =
            Self { values, weights: zeros()?, first: zeros()?, second: zeros()?, decays: zeros()?, steps: 0, moving: false, variables };
        let flat = this.variables.iter().map(|var| var.as_detached_tensor().flatten_all()).collect::<Result<Vec<_>>>()?;
        this.weights = this.joined(flat, device)?;
        let decays = this.variables.iter().map(|var| {
            let decays = if var.rank() > 1 { 1.0_f32 } else { 0.0 };
            Tensor::full(decays, var.elem_count(), device)
        });
        this.decays = this.joined(decays.collect::<Result<Vec<_>>>()?, device)?;
        Ok(this)
    }

    fn joined(&self, mut parts: Vec<Tensor>, device: &Device) -> Result<Tensor> {
        let fill = self.values.next_multiple_of(ROW) - self.values;
        if fill > 0 {
            parts.push(Tensor::zeros(fill, DType::F32, device)?);
        }
        Tensor::cat(&parts, 0)
    }

    /// The gradients of all variables as one vector; nothing where a variable took no part.
    pub(super) fn gradient(&self, gradients: &GradStore) -> Result<Tensor> {
        let each = self.variables.iter().map(|var| match gradients.get(var) {
            Some(gradient) => gradient.detach().contiguous()?.flatten_all(),
            None => var.as_detached_tensor().zeros_like()?.flatten_all(),
        });
        self.joined(each.collect::<Result<Vec<_>>>()?, self.weights.device())
    }

    /// Follows a gradient; returns its length (a scalar on the device).
    pub(super) fn step(&mut self, gradient: &Tensor, rate: f64, plan: &Plan) -> Result<Tensor> {
        let length = gradient.sqr()?.reshape(((), ROW))?.sum(1)?.sum_all()?.sqrt()?;
        let shrink = ((&length + 1e-12)?.recip()? * plan.clip)?.minimum(1.0)?;
        let gradient = gradient.broadcast_mul(&shrink)?;
        self.moving = true;
        self.steps += 1;
        let [slow, slower] = plan.betas;
        self.first = ((&self.first * slow)? + (&gradient * (1.0 - slow))?)?;
        self.second = ((&self.second * slower)? + (gradient.sqr()? * (1.0 - slower))?)?;
        let corrected = |beta: f64| 1.0 - beta.powf(self.steps as f64);
        let root = ((&self.second / corrected(slower))?.sqrt()? + EPS)?;
        let change = ((&self.first * (rate / corrected(slow)))? / root)?;
        let kept = self.decays.affine(-rate * plan.weight_decay, 1.0)?;
        self.weights = ((&self.weights * kept)? - change)?;
        self.hand_out(&self.weights)?;
        self.moving = false;
        Ok(length)
    }

    /// Whether weights and moments belong together: not after a step that failed in the middle.
    pub(super) fn is_whole(&self) -> bool {
        !self.moving
    }

    /// Gives the variables these values.
    pub(super) fn hand_out(&self, weights: &Tensor) -> Result<()> {
        let mut start = 0;
        for var in &self.variables {
            let count = var.elem_count();
            var.set(&weights.narrow(0, start, count)?.reshape(var.shape())?)?;
            start += count;
        }
        Ok(())
    }
}
