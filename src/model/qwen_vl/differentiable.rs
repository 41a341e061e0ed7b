//! The network's operations with gradients written by hand, for training.
//!
//! Forward they are candle's fused kernels, and kernels of our own where these serve (an NVIDIA GPU, bf16). Backward they avoid what is slow on an accelerator: sums over rows are products
//! with ones, means that are needed at every place of a row are products with a constant matrix, and nothing as large as
//! the attention scores is ever broadcast.

mod attention;

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops;

#[cfg(feature = "cuda")]
use super::cuda::Kernels;
use super::gradient::known;
pub(super) use attention::{Looks, attend, attend_joined, causal, sees_without_mask};

/// Into how many parts sums over rows are cut at most, so that many cores share them.
const PARTS: usize = 256;

/// `[rows, width]` summed over the rows, `[width]`.
fn sum_rows(x: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let parts = gcd(rows, PARTS);
    let ones = Tensor::ones((parts, 1, rows / parts), x.dtype(), x.device())?;
    let sums = ones.matmul(&x.reshape((parts, rows / parts, width))?)?.reshape((parts, width))?;
    sums.to_dtype(DType::F32)?.sum(0)?.to_dtype(x.dtype())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `row` `[width]` at each of so many rows, for an operation with as large a tensor. candle's kernels for operands of other
/// strides take ten times as long as those for plain ones; a product with ones lays the row out faster than both.
fn across(row: &Tensor, rows: usize) -> Result<Tensor> {
    let width = row.elem_count();
    if row.device().is_cpu() {
        return row.reshape((1, width))?.broadcast_as((rows, width));
    }
    Tensor::ones((rows, 1), row.dtype(), row.device())?.matmul(&row.reshape((1, width))?)
}

/// `column` `[rows, 1]` at each of so many columns, likewise.
fn along(column: &Tensor, width: usize) -> Result<Tensor> {
    if column.device().is_cpu() {
        return column.broadcast_as((column.dim(0)?, width));
    }
    column.matmul(&Tensor::ones((1, width), column.dtype(), column.device())?)
}

/// `x · weightᵀ + bias` of `[rows, inputs]`. A frozen weight costs no gradient.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (input, factor) = (x.detach(), weight.detach());
    let value = input.matmul(&factor.t()?)?;
    let (back, moves) = (x.track_op(), weight.track_op());
    let both = move |gradient: &Tensor| -> Result<[Option<Tensor>; 2]> {
        Ok([if back { Some(gradient.matmul(&factor)?) } else { None }, if moves { Some(gradient.t()?.matmul(&input)?) } else { None }])
    };
    let Some(bias) = bias else { return known([x, weight], value, both) };
    let shifts = bias.track_op();
    let value = shifted(&value, &bias.detach())?;
    known([x, weight, bias], value, move |gradient| {
        let [x, weight] = both(gradient)?;
        Ok([x, weight, if shifts { Some(sum_rows(gradient)?) } else { None }])
    })
}

/// `x + bias` of `[rows, width]`.
fn shifted(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(kernels) = Kernels::of_pieces(&[x, bias]) {
        return kernels.bias_activate(x, Some(bias), None);
    }
    x + across(bias, x.dim(0)?)?
}

/// Layer norm, or RMS norm without a bias, over the last dimension.
pub(super) fn norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let input = x.detach().contiguous()?;
    let (factor, shift) = (weight.detach(), bias.map(Tensor::detach));
    let normalise = move |input: &Tensor, factor: &Tensor, shift: Option<&Tensor>| match shift {
        Some(shift) => ops::layer_norm(input, factor, shift, eps),
        None => ops::rms_norm(input, factor, eps),
    };
    let value = normalise(&input, &factor, shift.as_ref())?;
    let centred = bias.is_some();
    let moves = weight.track_op();
    let backward = move |gradient: &Tensor| -> Result<[Option<Tensor>; 3]> {
        let shape = input.shape().clone();
        let rows = shape.elem_count() / width;
        let (x, gradient) = (input.reshape((rows, width))?, gradient.reshape((rows, width))?);
        #[cfg(feature = "cuda")]
        if let Some((change, product)) = Kernels::norm_backward(&x, &factor, &gradient, (eps, centred, moves))? {
            let product = product.map(|product| sum_rows(&product)).transpose()?;
            return Ok([Some(change.reshape(shape)?), product, if centred && moves { Some(sum_rows(&gradient)?) } else { None }]);
        }
        let ones = factor.ones_like()?;
        let zeros = if centred { Some(factor.zeros_like()?) } else { None };
        let normed = normalise(&x, &ones, zeros.as_ref())?;
        // The inverse of the deviation, from what the norm did: the mean of x · normed is v / √(v + eps) for a variance v.
        let column = Tensor::ones((width, 1), x.dtype(), x.device())?;
        let mean = ((&x * &normed)?.matmul(&column)?.to_dtype(DType::F32)? / width as f64)?;
        let square = mean.sqr()?;
        let variance = ((&square + (&mean * (&square + 4.0 * f64::from(eps))?.sqrt()?)?)? / 2.0)?;
        let inverse = (variance + f64::from(eps))?.sqrt()?.recip()?.to_dtype(x.dtype())?;
        let product = (&gradient * &normed)?;
        // Means over a row of what is multiplied by the weight, at each place of the row.
        let spread = (along(&factor.reshape((width, 1))?, width)?.contiguous()? / width as f64)?;
        let common = (product.matmul(&spread)? * &normed)?;
        let mut change = ((&gradient * across(&factor, rows)?)? - common)?;
        if centred {
            change = (change - gradient.matmul(&spread)?)?;
        }
        Ok([
            Some((change * along(&inverse, width)?)?.reshape(shape)?),
            if moves { Some(sum_rows(&product)?) } else { None },
            if centred && moves { Some(sum_rows(&gradient)?) } else { None },
        ])
    };
    match bias {
        Some(bias) => known([x, weight, bias], value, backward),
        None => known([x, weight], value, move |gradient| {
            let [x, weight, _] = backward(gradient)?;
            Ok([x, weight])
        }),
    }
}

/// `there` `[rows, width]` added to each of several parts of `x` `[parts · rows, width]`.
pub(super) fn add_to_each(x: &Tensor, there: &Tensor, parts: usize) -> Result<Tensor> {
    let shape = there.dims2()?;
    let split = (parts, shape.0 * shape.1);
    let value = (x.detach().reshape(split)? + across(&there.detach().flatten_all()?, parts)?)?.reshape(x.shape())?;
    let moves = there.track_op();
    known([x, there], value, move |gradient| {
        let ones = Tensor::ones((1, parts), gradient.dtype(), gradient.device())?;
        let sum = if moves { Some(ones.matmul(&gradient.reshape(split)?)?.reshape(shape)?) } else { None };
        Ok([Some(gradient.clone()), sum])
    })
}

/// GELU by tanh.
pub(super) fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    let input = x.detach();
    known([x], input.gelu()?, move |gradient| {
        #[cfg(feature = "cuda")]
        if let Some(change) = Kernels::gelu_tanh_backward(&input, gradient)? {
            return Ok([Some(change)]);
        }
        let slope = (2.0 / std::f64::consts::PI).sqrt();
        let square = input.sqr()?;
        let tanh = (&input * square.affine(slope * 0.044_715, slope)?)?.tanh()?;
        let inner = (&input * square.affine(slope * 3.0 * 0.044_715, slope)?)?;
        let steep = (tanh.sqr()?.affine(-0.5, 0.5)? * inner)?;
        Ok([Some((gradient * (tanh.affine(0.5, 0.5)? + steep)?)?)])
    })
}

/// `silu(gate) · up`
pub(super) fn gated_silu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gate_value, up_value) = (gate.detach(), up.detach());
    let value = active_times(&gate_value, &up_value)?;
    known([gate, up], value, move |gradient| {
        #[cfg(feature = "cuda")]
        if let Some([gate, up]) = Kernels::gated_silu_backward(&gate_value, &up_value, gradient)? {
            return Ok([Some(gate), Some(up)]);
        }
        let open = ops::sigmoid(&gate_value)?;
        // As large as what is kept already, and computed faster than read back.
        let active = (&gate_value * &open)?;
        // d silu = σ + silu · (1 − σ)
        let slope = (&open + (&active * open.affine(-1.0, 1.0)?)?)?;
        Ok([Some(((gradient * &up_value)? * slope)?), Some((gradient * &active)?)])
    })
}

fn active_times(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Some(kernels) = Kernels::of_pieces(&[gate, up]) {
        return kernels.gated(gate, up, super::Activation::Silu);
    }
    gate.silu()? * up
}

/// Minus the logarithm of the probability of each row's class, summed with the rows' weights: logits `[rows, classes]` in
/// f32, weights `[rows]` in f32.
pub fn cross_entropy(logits: &Tensor, classes: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (rows, count) = logits.dims2()?;
    let all = ops::log_softmax(&logits.detach(), D::Minus1)?;
    let there = all.gather(&classes.reshape((rows, 1))?, 1)?.reshape(rows)?;
    let value = (there * weights)?.sum_all()?.neg()?;
    let (classes, weights) = (classes.clone(), weights.clone());
    known([logits], value, move |gradient| {
        let each = Tensor::arange(0, count as u32, all.device())?.reshape((1, count))?;
        let one_hot = classes.reshape((rows, 1))?.broadcast_eq(&each)?.to_dtype(DType::F32)?;
        let scale = weights.broadcast_mul(&gradient.reshape(1)?)?.reshape((rows, 1))?;
        Ok([Some((all.exp()? - one_hot)?.broadcast_mul(&scale)?)])
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn wave(shape: &[usize], speed: f32) -> Var {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|at| (at as f32 * speed + 0.3).sin()).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Both forms have one value, and give each variable one gradient.
    fn alike(what: &str, variables: &[&Var], one: Tensor, other: Tensor) {
        let apart = |one: &Tensor, other: &Tensor| -> f32 {
            assert_eq!(one.dims(), other.dims(), "{what}");
            let size: f32 = other.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            let apart: f32 = (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            apart / size.max(1e-3)
        };
        assert!(apart(&one, &other) < 1e-5, "{what}");
        let way = wave(one.dims(), 1.7).detach();
        let [one, other] = [one, other].map(|y| (y * &way).unwrap().sum_all().unwrap().backward().unwrap());
        for (nth, var) in variables.iter().enumerate() {
            let apart = apart(one.get(var).unwrap(), other.get(var).unwrap());
            assert!(apart < 5e-5, "{what}: argument {nth} differs by {apart}");
        }
    }

    #[test]
    fn layers_are_as_candle_differentiates_them() {
        let (x, weight, bias) = (wave(&[12, 10], 0.71), wave(&[6, 10], 1.3), wave(&[6], 0.9));
        let plain = x.matmul(&weight.t().unwrap()).unwrap();
        alike("linear", &[&x, &weight], linear(&x, &weight, None).unwrap(), plain.clone());
        let (one, other) = (linear(&x, &weight, Some(&bias)).unwrap(), plain.broadcast_add(&bias).unwrap());
        alike("linear with a bias", &[&x, &weight, &bias], one, other);
        let (scale, shift) = (wave(&[10], 1.1), wave(&[10], 0.4));
        // Small inputs, for which what is added to the variance counts.
        for size in [1.0, 1e-3] {
            let x = Var::from_tensor(&(x.as_tensor() * size).unwrap()).unwrap();
            let other = ops::rms_norm_slow(&x, &scale, 1e-6).unwrap();
            alike("RMS norm", &[&x, &scale], norm(&x, &scale, None, 1e-6).unwrap(), other);
            let other = ops::layer_norm_slow(&x, &scale, &shift, 1e-6).unwrap();
            alike("layer norm", &[&x, &scale, &shift], norm(&x, &scale, Some(&shift), 1e-6).unwrap(), other);
        }
        let (many, few) = (wave(&[12, 5], 0.6), wave(&[4, 5], 1.2));
        let other = many.reshape((3, 4, 5)).unwrap().broadcast_add(&few).unwrap().reshape((12, 5)).unwrap();
        alike("what is added to each", &[&many, &few], add_to_each(&many, &few, 3).unwrap(), other);
        let heads = wave(&[2, 3, 4, 10], 0.37);
        let other = ops::rms_norm_slow(&heads, &scale, 1e-6).unwrap();
        alike("RMS norm of heads", &[&heads, &scale], norm(&heads, &scale, None, 1e-6).unwrap(), other);
    }

    #[test]
    fn activations_are_as_candle_differentiates_them() {
        let (x, up) = (wave(&[8, 9], 0.71), wave(&[8, 9], 1.3));
        let wide = (x.as_tensor() * 3.0).unwrap();
        alike("GELU", &[&x], gelu_tanh(&wide).unwrap(), wide.gelu().unwrap());
        alike("gate", &[&x, &up], gated_silu(&wide, &up).unwrap(), (wide.silu().unwrap() * up.as_tensor()).unwrap());
    }

    fn turn(x: &Tensor, looks: &Looks) -> Tensor {
        let cos = Tensor::cat(&[&looks.cos, &looks.cos], 2).unwrap().unsqueeze(1).unwrap();
        let sin = Tensor::cat(&[&looks.sin, &looks.sin], 2).unwrap().unsqueeze(1).unwrap();
        let half = x.dim(3).unwrap() / 2;
        let other = Tensor::cat(&[&x.narrow(3, half, half).unwrap().neg().unwrap(), &x.narrow(3, 0, half).unwrap()], 3).unwrap();
        (x.broadcast_mul(&cos).unwrap() + other.broadcast_mul(&sin).unwrap()).unwrap()
    }

    /// Attention step by step, keys and values repeated for the heads that share them.
    fn plain_attention(query: &Tensor, key: &Tensor, value: &Tensor, looks: &Looks) -> Tensor {
        let (batch, tokens, heads, width) = query.dims4().unwrap();
        let shared = heads / key.dim(2).unwrap();
        let swapped = |x: &Tensor| x.transpose(1, 2).unwrap().contiguous().unwrap();
        let repeat = |x: Tensor| {
            let (batch, kv_heads, tokens, width) = x.dims4().unwrap();
            let x = x.unsqueeze(2).unwrap().broadcast_as((batch, kv_heads, shared, tokens, width)).unwrap();
            x.contiguous().unwrap().reshape((batch, heads, tokens, width)).unwrap()
        };
        let (query, key) = (turn(&swapped(query), looks), repeat(turn(&swapped(key), looks)));
        let scores = (query.matmul(&key.t().unwrap()).unwrap() / (width as f64).sqrt()).unwrap();
        let scores = match &looks.mask {
            Some(mask) => scores.broadcast_add(&mask.reshape((1, 1, tokens, tokens)).unwrap()).unwrap(),
            None => scores,
        };
        let seen = ops::softmax(&scores, 3).unwrap().matmul(&repeat(swapped(value))).unwrap();
        swapped(&seen).reshape((batch, tokens, heads * width)).unwrap()
    }

    #[test]
    fn attention_is_as_candle_differentiates_it() {
        let (batch, tokens, width) = (2, 5, 8);
        let angles = wave(&[batch, tokens, width / 2], 0.8).detach();
        let mut looks = Looks { cos: angles.cos().unwrap(), sin: angles.sin().unwrap(), causal: false, mask: None };
        let (query, key, value) =
            (wave(&[batch, tokens, 4, width], 0.71), wave(&[batch, tokens, 2, width], 1.3), wave(&[batch, tokens, 2, width], 0.9));
        for masked in [false, true] {
            looks.mask = masked.then(|| causal(tokens, 1, DType::F32, &Device::Cpu).unwrap());
            let one = attend(&query, &key, &value, &looks).unwrap();
            alike("attention", &[&query, &key, &value], one, plain_attention(&query, &key, &value, &looks));
        }
        let (heads, joined) = (3, wave(&[batch * tokens, 3 * 3 * width], 0.57));
        looks.mask = None;
        let part = |nth| {
            let all = joined.reshape((batch, tokens, 3, heads, width)).unwrap();
            all.narrow(2, nth, 1).unwrap().squeeze(2).unwrap().contiguous().unwrap()
        };
        let other = plain_attention(&part(0), &part(1), &part(2), &looks).reshape((batch * tokens, heads * width)).unwrap();
        alike("joined attention", &[&joined], attend_joined(&joined, batch, heads, &looks).unwrap(), other);
    }

    #[test]
    fn cross_entropy_is_as_candle_differentiates_it() {
        let logits = wave(&[4, 6], 0.9);
        let classes = Tensor::new(&[1_u32, 5, 0, 3], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[0.5_f32, 0.25, 0.05, 0.2], &Device::Cpu).unwrap();
        let all = ops::log_softmax(logits.as_tensor(), 1).unwrap();
        let there = all.gather(&classes.reshape((4, 1)).unwrap(), 1).unwrap().reshape(4).unwrap();
        let other = (there * &weights).unwrap().sum_all().unwrap().neg().unwrap();
        alike("cross-entropy", &[&logits], cross_entropy(&logits, &classes, &weights).unwrap(), other);
    }

    #[test]
    fn what_is_frozen_gets_no_gradient() {
        let (x, weight) = (wave(&[3, 4], 0.7), wave(&[2, 4], 0.9));
        let sum = |y: Tensor| y.sum_all().unwrap().backward().unwrap();
        let gradients = sum(linear(&x.detach(), &weight, None).unwrap());
        assert!(gradients.get(&weight).is_some() && gradients.get(&x).is_none());
        assert!(!linear(&x.detach(), &weight.detach(), None).unwrap().track_op());
    }
}
