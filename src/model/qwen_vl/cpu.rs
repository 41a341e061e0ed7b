//! f32 loops for the processor that the program runs on: between matrix products, candle's own go over memory more often
//! and compute exponentials one by one. They write into tensors that nobody else holds.
//!
//! The bodies are plain loops in `#[inline(always)]` functions, which `pulp` compiles for AVX2 and AVX-512 too.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::Activation;

/// Values that one thread takes at a time.
const CHUNK: usize = 1 << 13;
/// Values that are reduced side by side.
const LANES: usize = 16;

/// e^x to 2e-7 of its value; below -87 it stays where it is there, next to 0.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: after adding it, the lowest bits are the sum's nearest whole number.
    const SHIFT: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let whole = shifted - SHIFT;
    let rest = x - whole * 0.693_145_75 - whole * 1.428_606_8e-6;
    let series = 1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    series * power
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn map(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for value in values {
        *value = f(*value);
    }
}

#[inline(always)]
fn activate_in(values: &mut [f32], activation: Activation) {
    match activation {
        Activation::Silu => map(values, |x| x * sigmoid(x)),
        Activation::QuickGelu => map(values, |x| x * sigmoid(1.702 * x)),
        // (1 + tanh u) / 2 = sigmoid 2u
        Activation::GeluTanh => map(values, |x| x * sigmoid(1.595_769_1 * (x + 0.044_715 * x * x * x))),
        // The error function after Abramowitz and Stegun, 7.1.26.
        Activation::Gelu => map(values, |x| {
            let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
            let t = 1.0 / (1.0 + 0.327_591_1 * z);
            let tail = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4)))) * exp(-z * z);
            let erf = 1.0 - tail;
            0.5 * x * (1.0 + erf.copysign(x))
        }),
    }
}

/// The values of a whole contiguous tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else { bail!("expected contiguous f32") };
    Ok(&values[start..end])
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else { bail!("expected contiguous f32") };
    Ok(&mut values[start..end])
}

/// Applies an activation, in place.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<()> {
    x.inplace_op1(&Activate(activation))
}

struct Activate(Activation);

impl InplaceOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let arch = Arch::new();
        values_mut(storage, layout)?.par_chunks_mut(CHUNK).for_each(|values| arch.dispatch(|| activate_in(values, self.0)));
        Ok(())
    }
}

/// Adds a bias to each row, and applies an activation, in place.
pub(super) fn bias(x: &Tensor, bias: &Tensor, activation: Option<Activation>) -> Result<()> {
    x.inplace_op2(bias, &Bias(activation))
}

struct Bias(Option<Activation>);

impl InplaceOp2 for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        let bias = values(bias, bias_layout)?;
        let arch = Arch::new();
        let rows = (CHUNK / bias.len().max(1)).max(1) * bias.len();
        values_mut(storage, layout)?.par_chunks_mut(rows.max(1)).for_each(|rows| {
            arch.dispatch(|| {
                for row in rows.chunks_exact_mut(bias.len()) {
                    for (value, bias) in row.iter_mut().zip(bias) {
                        *value += bias;
                    }
                }
                if let Some(activation) = self.0 {
                    activate_in(rows, activation);
                }
            });
        });
        Ok(())
    }
}

/// `x = x + other`, in place.
pub(super) fn add(x: &Tensor, other: &Tensor) -> Result<()> {
    x.inplace_op2(other, &Pairs(Pair::Add))
}

/// `x = x · other`, in place.
pub(super) fn multiply(x: &Tensor, other: &Tensor) -> Result<()> {
    x.inplace_op2(other, &Pairs(Pair::Multiply))
}

#[derive(Clone, Copy)]
enum Pair {
    Add,
    Multiply,
}

struct Pairs(Pair);

impl InplaceOp2 for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout, other: &CpuStorage, other_layout: &Layout) -> Result<()> {
        let (values, others) = (values_mut(storage, layout)?, values(other, other_layout)?);
        if values.len() != others.len() {
            bail!("expected {} values, got {}", values.len(), others.len())
        }
        let arch = Arch::new();
        values.par_chunks_mut(CHUNK).zip(others.par_chunks(CHUNK)).for_each(|(values, others)| {
            arch.dispatch(|| match self.0 {
                Pair::Add => values.iter_mut().zip(others).for_each(|(value, other)| *value += other),
                Pair::Multiply => values.iter_mut().zip(others).for_each(|(value, other)| *value *= other),
            });
        });
        Ok(())
    }
}

/// Softmax over the last dimension of `scores · scale + mask`, in place: `scores` is `[batch, …, tokens, keys]`, `mask`
/// `[1 or batch, 1, tokens, keys]`.
pub(super) fn softmax(scores: &Tensor, scale: f32, mask: Option<&Tensor>) -> Result<()> {
    match mask {
        None => scores.inplace_op1(&Softmax(scale)),
        Some(mask) => scores.inplace_op2(mask, &Softmax(scale)),
    }
}

struct Softmax(f32);

#[inline(always)]
fn reduce(values: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (lane, value) in lanes.iter_mut().zip(group) {
            *lane = f(*lane, *value);
        }
    }
    let lanes = lanes.into_iter().reduce(&f).unwrap_or(start);
    rest.iter().fold(lanes, |all, value| f(all, *value))
}

#[inline(always)]
fn softmax_row(row: &mut [f32], scale: f32, mask: Option<&[f32]>) {
    match mask {
        Some(mask) => row.iter_mut().zip(mask).for_each(|(value, mask)| *value = *value * scale + mask),
        None => map(row, |value| value * scale),
    }
    let highest = reduce(row, f32::NEG_INFINITY, f32::max);
    map(row, |value| exp(value - highest));
    let share = 1.0 / reduce(row, 0.0, |a, b| a + b);
    map(row, |value| value * share);
}

impl Softmax {
    /// `mask_row` gives the mask of a row.
    fn rows<'a>(&self, values: &mut [f32], keys: usize, mask_row: impl Fn(usize) -> Option<&'a [f32]> + Sync) {
        let arch = Arch::new();
        let rows = (CHUNK / keys.max(1)).max(1);
        values.par_chunks_mut((rows * keys).max(1)).enumerate().for_each(|(nth, values)| {
            arch.dispatch(|| {
                for (row, values) in values.chunks_exact_mut(keys).enumerate() {
                    softmax_row(values, self.0, mask_row(nth * rows + row));
                }
            });
        });
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let keys = layout.dims().last().copied().unwrap_or(1);
        self.rows(values_mut(storage, layout)?, keys, |_| None);
        Ok(())
    }
}

impl InplaceOp2 for Softmax {
    fn name(&self) -> &'static str {
        "masked-softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout, mask: &CpuStorage, mask_layout: &Layout) -> Result<()> {
        let (batches, _, tokens, keys) = mask_layout.shape().dims4()?;
        let mask = values(mask, mask_layout)?;
        let batch = layout.dims().first().copied().unwrap_or(1);
        let values = values_mut(storage, layout)?;
        let rows_per_batch = values.len() / keys.max(1) / batch.max(1);
        if (batches != 1 && batches != batch) || rows_per_batch % tokens.max(1) != 0 {
            bail!("a mask of {:?} for scores of {:?}", mask_layout.dims(), layout.dims())
        }
        self.rows(values, keys, |row| {
            let of_batch = if batches == 1 { 0 } else { row / rows_per_batch };
            let start = (of_batch * tokens + row % tokens) * keys;
            mask.get(start..start + keys)
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};

    use super::*;

    fn wave(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 % 10_007) as f32 / 10_007.0 - 0.5) * 30.0).collect()
    }

    #[test]
    fn as_the_definitions_say() {
        let xs = wave(5000);
        for x in &xs {
            let exact = f64::from(*x).exp();
            assert!((f64::from(exp(*x)) / exact - 1.0).abs() < 4e-7, "{x}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        let x = Tensor::new(xs.clone(), &Device::Cpu).unwrap();
        for (activation, exact) in
            [(Activation::Silu, x.silu().unwrap()), (Activation::GeluTanh, x.gelu().unwrap()), (Activation::Gelu, x.gelu_erf().unwrap())]
        {
            let got = x.copy().unwrap();
            activate(&got, activation).unwrap();
            let worst: f32 = (got - exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(worst < 4e-6, "{activation:?}: {worst}");
        }
    }

    #[test]
    fn softmax_with_and_without_a_mask() {
        let scores = Tensor::from_vec(wave(2 * 3 * 4 * 19), (2, 3, 4, 19), &Device::Cpu).unwrap();
        for batches in [1, 2] {
            let mask = (0..batches * 4 * 19).map(|i| if i % 5 == 0 { f32::NEG_INFINITY } else { 0.0 }).collect();
            let mask = Tensor::from_vec(mask, (batches, 1, 4, 19), &Device::Cpu).unwrap();
            for mask in [None, Some(&mask)] {
                let mut scaled = (&scores * 0.25).unwrap();
                if let Some(mask) = mask {
                    scaled = scaled.broadcast_add(mask).unwrap();
                }
                let exact = candle_nn::ops::softmax(&scaled, D::Minus1).unwrap();
                let got = scores.copy().unwrap();
                softmax(&got, 0.25, mask).unwrap();
                let worst: f32 = (got - exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
                assert!(worst < 1e-6, "{worst}");
            }
        }
    }
}
