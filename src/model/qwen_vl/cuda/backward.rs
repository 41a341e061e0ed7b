//! Kernels of a backward pass (`backward.cu`). Each says `None` where it does not serve, and candle's operations do the work.

use candle_core::{DType, Result, Tensor};

use super::{EIGHT, Given, Kernels, THREADS};

impl Kernels {
    /// The kernels for tensors that lie without gaps, in pieces of 16 bytes.
    pub(in crate::model::qwen_vl) fn of_pieces(tensors: &[&Tensor]) -> Option<Self> {
        let (first, others) = tensors.split_first()?;
        let in_pieces = |x: &Tensor| {
            let (_, layout) = x.storage_and_layout();
            layout.is_contiguous() && layout.start_offset() % EIGHT == 0 && x.elem_count() % EIGHT == 0 && x.dtype() == DType::BF16
        };
        (in_pieces(first) && others.iter().all(|x| in_pieces(x))).then(|| Self::of(first))?
    }

    /// Of a norm over rows of `[rows, columns]`: the gradient of its input from that of its result, and, where it is wanted, the
    /// gradient times the normed values. `centred` is a layer norm, else an RMS norm.
    pub(in crate::model::qwen_vl) fn norm_backward(
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
        (eps, centred, product): (f32, bool, bool),
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        let (rows, columns) = x.dims2()?;
        let serves = Self::fits(columns) && weight.dims() == [columns] && gradient.dims() == x.dims();
        let Some(kernels) = Self::of_pieces(&[x, weight, gradient]).filter(|_| serves && rows > 0) else { return Ok(None) };
        let out = kernels.room(x.dims(), DType::BF16)?;
        let product = if product { Some(kernels.room(x.dims(), DType::BF16)?) } else { None };
        let given = [
            Self::at(x)?,
            Self::at(weight)?,
            Self::at(gradient)?,
            Self::at(&out)?,
            Self::maybe(product.as_ref())?,
            Given::Size(columns as u32),
            Given::Factor(eps),
            Given::Size(u32::from(centred)),
        ];
        kernels.launch("norm_backward", (rows, 1, 1), (columns / EIGHT).next_multiple_of(32) as u32, &given)?;
        Ok(Some((out, product)))
    }

    /// Gradients of gate and up from that of `silu(gate) · up`.
    pub(in crate::model::qwen_vl) fn gated_silu_backward(gate: &Tensor, up: &Tensor, gradient: &Tensor) -> Result<Option<[Tensor; 2]>> {
        let alike = gate.dims() == up.dims() && gate.dims() == gradient.dims();
        let Some(kernels) = Self::of_pieces(&[gate, up, gradient]).filter(|_| alike) else { return Ok(None) };
        let out = [kernels.room(gate.dims(), DType::BF16)?, kernels.room(gate.dims(), DType::BF16)?];
        let count = gate.elem_count() / EIGHT;
        let given =
            [Self::at(gate)?, Self::at(up)?, Self::at(gradient)?, Self::at(&out[0])?, Self::at(&out[1])?, Given::Count(count as u64)];
        kernels.launch_flat("gated_silu_backward", count, &given)?;
        Ok(Some(out))
    }

    /// The gradient of `x` from that of its GELU by tanh.
    pub(in crate::model::qwen_vl) fn gelu_tanh_backward(x: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(kernels) = Self::of_pieces(&[x, gradient]).filter(|_| x.dims() == gradient.dims()) else { return Ok(None) };
        let out = kernels.room(x.dims(), DType::BF16)?;
        let count = x.elem_count() / EIGHT;
        kernels.launch_flat(
            "gelu_tanh_backward",
            count,
            &[Self::at(x)?, Self::at(gradient)?, Self::at(&out)?, Given::Count(count as u64)],
        )?;
        Ok(Some(out))
    }

    /// Softmax over the last dimension of scores `[…, keys]`; with `causal` of so many tokens, line `n` sees the first
    /// `n % tokens + 1` keys.
    pub(in crate::model::qwen_vl) fn softmax_of_lines(&self, scores: &Tensor, causal: Option<usize>) -> Result<Tensor> {
        let keys = scores.dims().last().copied().unwrap_or(1);
        let out = self.room(scores.dims(), DType::BF16)?;
        let given = [
            Self::at(scores)?,
            Self::at(&out)?,
            Given::Size(causal.unwrap_or(1) as u32),
            Given::Size(keys as u32),
            Given::Size(u32::from(causal.is_some())),
        ];
        let threads = if keys > 256 { THREADS } else { 64 };
        self.launch("softmax_of_lines", (scores.elem_count() / keys, 1, 1), threads, &given)?;
        Ok(out)
    }
}
