//! Operations whose gradient is written by hand.
//!
//! candle differentiates every step of a computation on its own and keeps what each of them made. An operation of this
//! module is computed as a whole, out of sight of the graph, and says itself what its arguments' gradients are: fewer
//! kernels, less memory, and no gradient of what is frozen. Arguments that lead to no variable cost nothing.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor};

/// Gradients of `N` arguments from the gradient of the result; `None` for an argument that needs none.
type Backward<const N: usize> = Box<dyn Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync>;

pub(super) struct Known<const N: usize> {
    /// What the operation makes, until the graph has it.
    value: Mutex<Option<Tensor>>,
    backward: Backward<N>,
}

impl<const N: usize> Known<N> {
    fn new(value: &Tensor, backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static) -> Self {
        Self { value: Mutex::new(Some(value.clone())), backward: Box::new(backward) }
    }

    /// The value, at the start of its memory and without gaps.
    fn value(&self) -> Result<Tensor> {
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        let value = value.ok_or_else(|| candle_core::Error::Msg("a value was asked for twice".to_owned()))?;
        if value.is_contiguous() && value.layout().start_offset() == 0 { Ok(value) } else { value.force_contiguous() }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => Err(elsewhere()),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => Err(elsewhere()),
        }
    }

    fn on_metal(&self) -> Result<(MetalStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Metal(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => Err(elsewhere()),
        }
    }

    fn backward(&self, gradient: &Tensor) -> Result<[Option<Tensor>; N]> {
        (self.backward)(&gradient.detach().contiguous()?)
    }
}

fn elsewhere() -> candle_core::Error {
    candle_core::Error::Msg("a value lies on another device than its arguments".to_owned())
}

impl CustomOp1 for Known<1> {
    fn name(&self) -> &'static str {
        "known"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let [first] = self.backward(gradient)?;
        Ok(first)
    }
}

impl CustomOp2 for Known<2> {
    fn name(&self) -> &'static str {
        "known"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [first, second] = self.backward(gradient)?;
        Ok((first, second))
    }
}

impl CustomOp3 for Known<3> {
    fn name(&self) -> &'static str {
        "known"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.on_metal()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [first, second, third] = self.backward(gradient)?;
        Ok((first, second, third))
    }
}

/// `value` as a function of its arguments whose gradients `backward` makes of the value's. The value and what `backward`
/// holds must be computed of detached tensors.
pub(super) fn known<const N: usize>(
    arguments: [&Tensor; N],
    value: Tensor,
    backward: impl Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static,
) -> Result<Tensor>
where
    Known<N>: Apply<N>,
{
    if arguments.iter().any(|argument| argument.track_op()) { Known::new(&value, backward).apply(arguments) } else { Ok(value) }
}

/// How an operation of so many arguments enters the graph.
pub(super) trait Apply<const N: usize> {
    fn apply(self, arguments: [&Tensor; N]) -> Result<Tensor>;
}

impl Apply<1> for Known<1> {
    fn apply(self, [first]: [&Tensor; 1]) -> Result<Tensor> {
        first.apply_op1(self)
    }
}

impl Apply<2> for Known<2> {
    fn apply(self, [first, second]: [&Tensor; 2]) -> Result<Tensor> {
        first.apply_op2(second, self)
    }
}

impl Apply<3> for Known<3> {
    fn apply(self, [first, second, third]: [&Tensor; 3]) -> Result<Tensor> {
        first.apply_op3(second, third, self)
    }
}
