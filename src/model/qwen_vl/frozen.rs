//! Linear layers whose weights are not trained, with or without trained factors beside them.
//!
//! candle's own product computes a gradient of both its sides and keeps it, also of a weight that nobody moves, and every
//! sum on the way keeps its terms. Here a layer is one operation: what it remembers are its inputs and its factors.

use candle_core::backend::BackendStorage;
use candle_core::op::{Add, Mul};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape, Storage, StorageRef, Tensor, bail,
};

use super::LowRank;
use crate::domain::{spread, stable_hash};

/// A share of a layer's inputs that its factors do not see; the others count for more in their place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// How many of the inputs, 0..1.
    pub share: f64,
    /// Decides which: the same seed leaves out the same ones.
    pub seed: u64,
}

/// How far apart the rows' shifts lie, in turns of the unit interval.
const TURNS: f64 = 64.0;

impl Dropout {
    /// `[rows, columns]`: 0 where an input is left out, else `1 / (1 - share)`.
    ///
    /// A place is left out where the fraction of `v[column] + 64 · a[row] · b[column]` is below the share. Any two places are
    /// independent of each other, and nothing but three short rows of numbers is drawn and moved to the device.
    fn mask(self, rows: usize, columns: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let drawn = |name: &str, count: usize, place: &dyn Fn(f64) -> f64| -> Vec<f32> {
            spread(stable_hash(self.seed, &["dropout", name])).take(count).map(|share| place(share) as f32).collect()
        };
        let rows = Tensor::from_vec(drawn("a", rows, &|share| share * TURNS), (rows, 1), device)?;
        // No column stands still.
        let (columns, start) = (drawn("b", columns, &|share| share + 1.0), drawn("v", columns, &|share| share));
        let there = rows.broadcast_mul(&Tensor::new(columns, device)?)?.broadcast_add(&Tensor::new(start, device)?)?;
        let kept = (&there - there.floor()?)?.ge(self.share)?;
        kept.to_dtype(dtype)? * (1.0 / (1.0 - self.share))
    }
}

/// `x · weightᵀ + bias`, of which only `x` is given a gradient.
pub(super) struct Frozen {
    /// `[outputs, inputs]`
    pub(super) weight: Tensor,
    /// `[outputs]`
    pub(super) bias: Option<Tensor>,
}

/// The same with `scale · (x · aᵀ) · bᵀ` added, of which `x`, `a` and `b` are given gradients.
struct WithFactors {
    frozen: Frozen,
    scale: f64,
    /// What the factors do not see of `x`.
    dropout: Option<Dropout>,
}

impl Frozen {
    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(self, x: &Tensor, low_rank: Option<&LowRank>) -> Result<Tensor> {
        match low_rank {
            None => x.apply_op1(self),
            Some(LowRank { a, b, scale, dropout }) => x.apply_op3(a, b, WithFactors { frozen: self, scale: *scale, dropout: *dropout }),
        }
    }

    fn product<S: BackendStorage>(&self, x: &S, at: &Layout, of: Of<S>) -> Result<(S, Shape)> {
        let (rows, inputs) = at.shape().dims2()?;
        let outputs = self.weight.dim(0)?;
        let weight = self.weight.t()?;
        let (storage, layout) = weight.storage_and_layout();
        let mut y = x.matmul(of(&storage)?, (1, rows, outputs, inputs), at, layout)?;
        let shape = Shape::from((rows, outputs));
        if let Some(bias) = &self.bias {
            let (storage, layout) = bias.storage_and_layout();
            y = y.binary_impl::<Add>(of(&storage)?, &Layout::contiguous(&shape), &layout.broadcast_as(&shape)?)?;
        }
        Ok((y, shape))
    }
}

/// Takes the storage of one kind of device.
type Of<S> = for<'a> fn(&'a StorageRef<'_>) -> Result<&'a S>;

fn cpu<'a>(storage: &'a StorageRef<'_>) -> Result<&'a CpuStorage> {
    if let Storage::Cpu(storage) = &**storage { Ok(storage) } else { bail!("a layer on another device than its inputs, the CPU") }
}

fn cuda<'a>(storage: &'a StorageRef<'_>) -> Result<&'a CudaStorage> {
    if let Storage::Cuda(storage) = &**storage { Ok(storage) } else { bail!("a layer on another device than its inputs, CUDA") }
}

fn metal<'a>(storage: &'a StorageRef<'_>) -> Result<&'a MetalStorage> {
    if let Storage::Metal(storage) = &**storage { Ok(storage) } else { bail!("a layer on another device than its inputs, Metal") }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        self.product(x, at, cpu)
    }

    fn cuda_fwd(&self, x: &CudaStorage, at: &Layout) -> Result<(CudaStorage, Shape)> {
        self.product(x, at, cuda)
    }

    fn metal_fwd(&self, x: &MetalStorage, at: &Layout) -> Result<(MetalStorage, Shape)> {
        self.product(x, at, metal)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.detach().contiguous()?.matmul(&self.weight)?))
    }
}

impl WithFactors {
    fn sum<S: BackendStorage>(&self, x: (&S, &Layout), a: (&S, &Layout), b: (&S, &Layout), of: Of<S>) -> Result<(S, Shape)> {
        let (rows, inputs) = x.1.shape().dims2()?;
        let (outputs, rank) = b.1.shape().dims2()?;
        let (y, shape) = self.frozen.product(x.0, x.1, of)?;
        let mask = self.mask(rows, inputs)?;
        let seen = match &mask {
            None => None,
            Some(mask) => {
                let (storage, layout) = mask.storage_and_layout();
                Some(x.0.binary_impl::<Mul>(of(&storage)?, x.1, layout)?)
            }
        };
        let whole = Layout::contiguous((rows, inputs));
        let (seen, at) = seen.as_ref().map_or(x, |seen| (seen, &whole));
        let narrow = Layout::contiguous((rows, rank));
        let inner = seen.matmul(a.0, (1, rows, rank, inputs), at, &a.1.transpose(0, 1)?)?.affine(&narrow, self.scale, 0.0)?;
        let change = inner.matmul(b.0, (1, rows, outputs, rank), &narrow, &b.1.transpose(0, 1)?)?;
        let wide = Layout::contiguous(&shape);
        Ok((y.binary_impl::<Add>(&change, &wide, &wide)?, shape))
    }

    fn mask(&self, rows: usize, inputs: usize) -> Result<Option<Tensor>> {
        let weight = &self.frozen.weight;
        self.dropout.map(|dropout| dropout.mask(rows, inputs, weight.dtype(), weight.device())).transpose()
    }
}

impl CustomOp3 for WithFactors {
    fn name(&self) -> &'static str {
        "frozen-linear-with-factors"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.sum((x, lx), (a, la), (b, lb), cpu)
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        a: &CudaStorage,
        la: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.sum((x, lx), (a, la), (b, lb), cuda)
    }

    fn metal_fwd(
        &self,
        x: &MetalStorage,
        lx: &Layout,
        a: &MetalStorage,
        la: &Layout,
        b: &MetalStorage,
        lb: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.sum((x, lx), (a, la), (b, lb), metal)
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // The factors' inputs are drawn and multiplied again: rows of the rank's width cost less to compute than to keep.
        let (rows, inputs) = x.dims2()?;
        let mask = self.mask(rows, inputs)?;
        let tracked = x.track_op();
        let (x, a, b, gradient) = (x.detach(), a.detach(), b.detach(), gradient.detach().contiguous()?);
        let seen = match &mask {
            Some(mask) => x.mul(mask)?,
            None => x,
        };
        let inner = seen.matmul(&a.t()?)?;
        let of_b = (gradient.t()?.matmul(&inner)? * self.scale)?;
        let of_inner = (gradient.matmul(&b)? * self.scale)?;
        let of_a = of_inner.t()?.matmul(&seen)?;
        drop((seen, inner));
        // A gradient of what no variable leads to would only be kept.
        let of_x = if tracked {
            let through = of_inner.matmul(&a)?;
            let through = match &mask {
                Some(mask) => through.mul(mask)?,
                None => through,
            };
            Some((gradient.matmul(&self.frozen.weight)? + through)?)
        } else {
            None
        };
        Ok((of_x, Some(of_a), Some(of_b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_leaves_out_its_share_and_keeps_the_mean() {
        let dropout = Dropout { share: 0.25, seed: 3 };
        let mask = dropout.mask(400, 300, DType::F32, &Device::Cpu).unwrap();
        let values: Vec<Vec<f32>> = mask.to_vec2().unwrap();
        let kept = 1.0 / 0.75;
        assert!(values.iter().flatten().all(|value| *value == 0.0 || (*value - kept).abs() < 1e-6));
        let mean = |values: &mut dyn Iterator<Item = f32>| {
            let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + f64::from(value)));
            sum / count
        };
        assert!((mean(&mut values.iter().flatten().copied()) - 1.0).abs() < 0.01);
        for row in &values {
            assert!((mean(&mut row.iter().copied()) - 1.0).abs() < 0.2);
        }
        for column in 0..300 {
            assert!((mean(&mut values.iter().map(|row| row[column])) - 1.0).abs() < 0.35);
        }
        // What neighbours lose has nothing to do with each other.
        let lost = |row: usize, column: usize| values[row][column] == 0.0;
        let both = (0..399).flat_map(|row| (0..299).map(move |column| (row, column)));
        let (mut across, mut down) = (0, 0);
        for (row, column) in both {
            across += usize::from(lost(row, column) && lost(row, column + 1));
            down += usize::from(lost(row, column) && lost(row + 1, column));
        }
        for count in [across, down] {
            let share = count as f64 / (399.0 * 299.0);
            assert!((share - 0.0625).abs() < 0.01, "{share}");
        }
        let again = dropout.mask(400, 300, DType::F32, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(again, values);
        let other = Dropout { seed: 4, ..dropout }.mask(400, 300, DType::F32, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_ne!(other, values);
    }

    #[test]
    fn one_operation_is_as_good_as_many() {
        let wave = |shape: (usize, usize), speed: f32| {
            let values: Vec<f32> = (0..shape.0 * shape.1).map(|at| (at as f32 * speed).sin()).collect();
            candle_core::Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
        };
        let (x, a, b) = (wave((7, 5), 0.7), wave((2, 5), 1.3), wave((4, 2), 0.9));
        let (weight, bias, way) = (wave((4, 5), 0.4).detach(), wave((1, 4), 2.1).detach().squeeze(0).unwrap(), wave((7, 4), 1.7).detach());
        for dropout in [None, Some(Dropout { share: 0.3, seed: 11 })] {
            let factors = LowRank { a: a.as_tensor().clone(), b: b.as_tensor().clone(), scale: 1.5, dropout };
            let one = Frozen { weight: weight.clone(), bias: Some(bias.clone()) }.forward(&x, Some(&factors)).unwrap();
            let seen = match dropout {
                Some(dropout) => (x.as_tensor() * dropout.mask(7, 5, DType::F32, &Device::Cpu).unwrap()).unwrap(),
                None => x.as_tensor().clone(),
            };
            let change = (seen.matmul(&a.t().unwrap()).unwrap().matmul(&b.t().unwrap()).unwrap() * 1.5).unwrap();
            let many = (x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap() + change).unwrap();
            let gradients = [one, many].map(|y| (y * &way).unwrap().sum_all().unwrap().backward().unwrap());
            for var in [&x, &a, &b] {
                let [one, many] = gradients.each_ref().map(|gradients| gradients.get(var).unwrap());
                let apart: f32 = (one - many).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
                assert!(apart < 1e-5, "{apart}");
            }
        }
    }
}
