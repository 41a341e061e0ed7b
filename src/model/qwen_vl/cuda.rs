//! Kernels for what stands between the matrix products of a forward or a backward pass on an NVIDIA GPU, in bf16.
//!
//! candle's own operations go over memory once each, and several times where an operand is laid out in another way;
//! these take what belongs together at once (`kernels.cu`, `backward.cu`). They are compiled by the driver's compiler when a device is
//! first used; where that is not there, candle's operations do the work.
#![expect(unsafe_code, reason = "launching a kernel: what it reads and writes is checked here, on the host")]

mod backward;

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use half::bf16;

use super::Activation;

const SOURCE: &str = concat!(include_str!("kernels.cu"), include_str!("backward.cu"));
const THREADS: u32 = 256;
/// Values that a thread takes at a time: 16 bytes.
const EIGHT: usize = 8;
/// The widest row that one block normalises.
const WIDEST: usize = 1024 * EIGHT;

/// What a kernel is given.
enum Given {
    /// A place in the device's memory, or none.
    Pointer(u64),
    Count(u64),
    Size(u32),
    Factor(f32),
}

/// The kernels on one device.
#[derive(Debug)]
pub(super) struct Kernels {
    device: CudaDevice,
    code: &'static str,
}

/// What the heads of queries, keys and values become, see [`Kernels::text_heads`].
pub(super) struct Heads<'a> {
    /// `[tokens, heads · width]` of queries, keys and values.
    pub(super) projected: [&'a Tensor; 3],
    /// Weights of the norms of queries and keys, and what is added to the variance.
    pub(super) norms: Option<[&'a Tensor; 2]>,
    pub(super) eps: f32,
    /// `[tokens, width / 2]`, f32
    pub(super) cos: &'a Tensor,
    pub(super) sin: &'a Tensor,
    /// A layer's keys and values, `[rows, kv heads, capacity, width]`, and the first slot that is written.
    pub(super) cache: (&'a Tensor, &'a Tensor),
    pub(super) start: usize,
    /// Heads of the queries.
    pub(super) count: usize,
}

/// The intermediate code, made once for the first device's generation.
fn code(device: &CudaDevice) -> Option<&'static str> {
    static CODE: OnceLock<Option<String>> = OnceLock::new();
    CODE.get_or_init(|| {
        let (major, minor) = device.cuda_stream().context().compute_capability().ok()?;
        let options = vec![format!("--gpu-architecture=compute_{major}{minor}")];
        compile_ptx_with_opts(SOURCE, CompileOptions { options, ..CompileOptions::default() }).ok().map(|code| code.to_src())
    })
    .as_deref()
}

impl Kernels {
    /// The kernels for tensors like this one; none where they do not serve.
    pub(super) fn of(x: &Tensor) -> Option<Self> {
        let Device::Cuda(device) = x.device() else { return None };
        if x.dtype() != DType::BF16 {
            return None;
        }
        Some(Self { device: device.clone(), code: code(device)? })
    }

    fn launch(&self, name: &str, blocks: (usize, usize, usize), threads: u32, given: &[Given]) -> Result<()> {
        let dim = |n: usize| u32::try_from(n).map_err(|_| candle_core::Error::Msg(format!("{name}: {n} blocks")));
        let kernel = self.device.get_or_load_custom_func(name, "mekiki", self.code)?;
        let mut builder = kernel.builder();
        for value in given {
            match value {
                Given::Pointer(value) | Given::Count(value) => builder.arg(value),
                Given::Size(value) => builder.arg(value),
                Given::Factor(value) => builder.arg(value),
            };
        }
        let grid_dim = (dim(blocks.0)?, dim(blocks.1)?, dim(blocks.2)?);
        // Safety: every caller below hands the kernel pointers to contiguous memory of the sizes that it goes over, all of it
        // taken and given back in the order of the one stream that the kernel is put on.
        unsafe { builder.launch(LaunchConfig { grid_dim, block_dim: (threads, 1, 1), shared_mem_bytes: 0 }) }.w()?;
        Ok(())
    }

    /// One thread for each of `count` pieces.
    fn launch_flat(&self, name: &str, count: usize, given: &[Given]) -> Result<()> {
        self.launch(name, (count.div_ceil(THREADS as usize), 1, 1), THREADS, given)
    }

    /// Where a contiguous tensor's values lie.
    fn pointer<T: CudaDType>(x: &Tensor) -> Result<u64> {
        let (storage, layout) = x.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { bail!("expected a tensor on the GPU") };
        if !layout.is_contiguous() {
            bail!("expected a contiguous tensor, got {:?} in strides of {:?}", layout.shape(), layout.stride());
        }
        let slice = storage.as_cuda_slice::<T>()?;
        let (pointer, _) = slice.device_ptr(slice.stream());
        Ok(pointer + (layout.start_offset() * size_of::<T>()) as u64)
    }

    fn at(x: &Tensor) -> Result<Given> {
        Ok(Given::Pointer(Self::pointer::<bf16>(x)?))
    }

    fn maybe(x: Option<&Tensor>) -> Result<Given> {
        x.map_or(Ok(Given::Pointer(0)), |x| Self::at(x))
    }

    fn at_f32(x: &Tensor) -> Result<Given> {
        Ok(Given::Pointer(Self::pointer::<f32>(x)?))
    }

    fn at_u32(x: &Tensor) -> Result<Given> {
        Ok(Given::Pointer(Self::pointer::<u32>(x)?))
    }

    /// A tensor whose values are written before anybody reads them.
    pub(super) fn room(&self, shape: &[usize], dtype: DType) -> Result<Tensor> {
        // Safety: the values are plain numbers, and the kernels below write every one that is read.
        unsafe { Tensor::empty(shape, dtype, &Device::Cuda(self.device.clone())) }
    }

    /// `activation(x + bias)` of `[rows, columns]`.
    pub(super) fn bias_activate(&self, x: &Tensor, bias: Option<&Tensor>, activation: Option<Activation>) -> Result<Tensor> {
        let columns = x.dims().last().copied().unwrap_or(0);
        if columns % EIGHT != 0 || bias.is_some_and(|bias| bias.dims() != [columns]) {
            bail!("rows of {columns} values");
        }
        let out = self.room(x.dims(), DType::BF16)?;
        let count = x.elem_count() / EIGHT;
        let given = [
            Self::at(x)?,
            Self::maybe(bias)?,
            Self::at(&out)?,
            Given::Count(count as u64),
            Given::Size((columns / EIGHT) as u32),
            which(activation),
        ];
        self.launch_flat("bias_activate", count, &given)?;
        Ok(out)
    }

    /// `activation(gate) · up`
    pub(super) fn gated(&self, gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
        let count = gate.elem_count() / EIGHT;
        if gate.dims() != up.dims() || count * EIGHT != gate.elem_count() {
            bail!("{:?} times {:?}", gate.dims(), up.dims());
        }
        let out = self.room(gate.dims(), DType::BF16)?;
        let given = [Self::at(gate)?, Self::at(up)?, Self::at(&out)?, Given::Count(count as u64), which(Some(activation))];
        self.launch_flat("gated", count, &given)?;
        Ok(out)
    }

    /// Whether rows of so many values can be normalised.
    pub(super) fn fits(columns: usize) -> bool {
        columns.is_multiple_of(EIGHT) && columns <= WIDEST
    }

    /// `x + change + bias of the change`, and its norm. Without a change, the sum is `x` itself.
    pub(super) fn add_norm(
        &self,
        x: &Tensor,
        change: Option<(&Tensor, Option<&Tensor>)>,
        (weight, bias, eps): (&Tensor, Option<&Tensor>, f32),
    ) -> Result<(Tensor, Tensor)> {
        let (rows, columns) = x.dims2()?;
        let narrow = |x: Option<&Tensor>| x.is_none_or(|x| x.dims() == [columns]);
        let fits = change.is_none_or(|(change, _)| change.dims() == x.dims());
        if !Self::fits(columns) || !fits || !narrow(Some(weight)) || !narrow(bias) || !narrow(change.and_then(|(_, bias)| bias)) {
            bail!("a norm of rows of {columns} values");
        }
        let sum = if change.is_some() { self.room(x.dims(), DType::BF16)? } else { x.clone() };
        let out = self.room(x.dims(), DType::BF16)?;
        let given = [
            Self::at(x)?,
            Self::maybe(change.map(|(change, _)| change))?,
            Self::maybe(change.and_then(|(_, bias)| bias))?,
            Self::at(weight)?,
            Self::maybe(bias)?,
            Self::at(&sum)?,
            Self::at(&out)?,
            Given::Size(columns as u32),
            Given::Factor(eps),
        ];
        let threads = columns.div_ceil(EIGHT).next_multiple_of(32) as u32;
        self.launch("add_norm", (rows, 1, 1), threads, &given)?;
        Ok((sum, out))
    }

    /// The tower's queries, keys and values `[rows, 3 · heads · width]` with their bias, queries and keys turned by the angles
    /// `[patches, width / 2]` (f32) of their patch. Writes into `out`, of the same shape.
    pub(super) fn tower_heads(
        &self,
        x: &Tensor,
        bias: Option<&Tensor>,
        (cos, sin): (&Tensor, &Tensor),
        heads: usize,
        out: &Tensor,
    ) -> Result<()> {
        let (rows, columns) = x.dims2()?;
        let (patches, half) = cos.dims2()?;
        if columns != 6 * heads * half || half % EIGHT != 0 || out.dims() != x.dims() || rows % patches != 0 || sin.dims() != cos.dims() {
            bail!("heads of {half} angles in rows of {columns} values");
        }
        let count = rows * 3 * heads * half / EIGHT;
        let given = [
            Self::at(x)?,
            Self::maybe(bias)?,
            Self::at_f32(cos)?,
            Self::at_f32(sin)?,
            Self::at(out)?,
            Given::Count(count as u64),
            Given::Size(heads as u32),
            Given::Size(half as u32),
            Given::Size(patches as u32),
        ];
        self.launch_flat("tower_heads", count, &given)
    }

    /// Cosines and sines `[tokens, frequencies]`, f32, of positions `[tokens · 3]`; `axes` says which of the three turns a
    /// frequency.
    pub(super) fn angles(&self, positions: &Tensor, frequencies: &Tensor, axes: &Tensor) -> Result<(Tensor, Tensor)> {
        let (tokens, half) = (positions.elem_count() / 3, frequencies.elem_count());
        if axes.elem_count() != half {
            bail!("{half} frequencies and {} axes", axes.elem_count());
        }
        let (cos, sin) = (self.room(&[tokens, half], DType::F32)?, self.room(&[tokens, half], DType::F32)?);
        let given = [
            Self::at_u32(positions)?,
            Self::at_f32(frequencies)?,
            Self::at_u32(axes)?,
            Self::at_f32(&cos)?,
            Self::at_f32(&sin)?,
            Given::Size((tokens * half) as u32),
            Given::Size(half as u32),
        ];
        self.launch_flat("angles", tokens * half, &given)?;
        Ok((cos, sin))
    }

    /// Norms and turns the heads of queries and keys, and writes keys and values into the cache. Returns the queries as
    /// `[rows, tokens, heads, width]`, or `[rows, heads, tokens, width]` where they are wanted by head.
    pub(super) fn text_heads(&self, heads: &Heads<'_>, by_head: bool) -> Result<Tensor> {
        let (rows, kv_heads, capacity, width) = heads.cache.0.dims4()?;
        let [query, key, value] = heads.projected;
        let (places, half) = heads.cos.dims2()?;
        let tokens = places / rows;
        let shaped = query.dims() == [places, heads.count * width]
            && key.dims() == [places, kv_heads * width]
            && value.dims() == key.dims()
            && heads.sin.dims() == heads.cos.dims()
            && heads.cache.1.dims() == heads.cache.0.dims();
        if !shaped || tokens * rows != places || width != 2 * half || half % 2 != 0 || heads.start + tokens > capacity {
            bail!("heads of {half} angles for {places} tokens");
        }
        let shape = if by_head { [rows, heads.count, tokens, width] } else { [rows, tokens, heads.count, width] };
        let out = self.room(&shape, DType::BF16)?;
        let warps = places * (heads.count + 2 * kv_heads);
        let given = [
            Self::at(query)?,
            Self::at(key)?,
            Self::at(value)?,
            Self::maybe(heads.norms.map(|[query, _]| query))?,
            Self::maybe(heads.norms.map(|[_, key]| key))?,
            Self::at_f32(heads.cos)?,
            Self::at_f32(heads.sin)?,
            Self::at(&out)?,
            Self::at(heads.cache.0)?,
            Self::at(heads.cache.1)?,
            Given::Count(warps as u64),
            Given::Size(tokens as u32),
            Given::Size(heads.count as u32),
            Given::Size(kv_heads as u32),
            Given::Size(width as u32),
            Given::Size(capacity as u32),
            Given::Size(heads.start as u32),
            Given::Size(u32::from(by_head)),
            Given::Factor(heads.eps),
        ];
        self.launch_flat("text_heads", warps * 32, &given)?;
        Ok(out)
    }

    /// Softmax of `scale · scores`, `[rows, heads, tokens, keys]`, each token over the keys of its ranges: those from
    /// `ends[p - 1]` to `ends[p]` in `ranges` (first key, key behind the last; ascending) for the place `p = row · tokens + token`.
    pub(super) fn softmax_of_ranges(&self, scores: &Tensor, ends: &Tensor, ranges: &Tensor, scale: f32) -> Result<Tensor> {
        let (rows, heads, tokens, keys) = scores.dims4()?;
        if ends.elem_count() != rows * tokens {
            bail!("{} places for {rows} rows of {tokens} tokens", ends.elem_count());
        }
        let out = self.room(scores.dims(), DType::BF16)?;
        let given = [
            Self::at(scores)?,
            Self::at(&out)?,
            Self::at_u32(ends)?,
            Self::at_u32(ranges)?,
            Given::Size(heads as u32),
            Given::Size(tokens as u32),
            Given::Size(keys as u32),
            Given::Factor(scale),
        ];
        self.launch("softmax_of_ranges", (rows * heads * tokens, 1, 1), 128, &given)?;
        Ok(out)
    }

    /// The logarithm of the sum of the exponentials, `[rows]` in f32, of `[rows, columns]`.
    pub(super) fn log_sum_exp(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, columns) = x.dims2()?;
        if !columns.is_multiple_of(EIGHT) {
            bail!("rows of {columns} values");
        }
        let out = self.room(&[rows], DType::F32)?;
        let given = [Self::at(x)?, Self::at_f32(&out)?, Given::Size((columns / EIGHT) as u32)];
        self.launch("log_sum_exp", (rows, 1, 1), THREADS, &given)?;
        Ok(out)
    }

    /// Lays rows of caches out in one: for each tensor pair of `jobs`, `filled` slots of `[heads, slots, width]` go to
    /// the beginning of a row of `[rows, heads, capacity, width]`, and what lies behind them up to `used` is cleared.
    pub(super) fn lay_out(&self, jobs: &[Job<'_>], used: usize) -> Result<()> {
        let Some(first) = jobs.first() else { return Ok(()) };
        let (_, heads, capacity, width) = first.to.dims4()?;
        let mut numbers: Vec<i64> = Vec::with_capacity(jobs.len() * 4);
        for job in jobs {
            let (rows, from_heads, slots, from_width) = job.from.dims4()?;
            let (to_rows, ..) = job.to.dims4()?;
            let fits = job.to.dims()[1..] == [heads, capacity, width] && (from_heads, from_width) == (heads, width);
            if !fits || width % EIGHT != 0 || job.filled > slots || used > capacity || job.from_row >= rows || job.to_row >= to_rows {
                bail!("{} slots of {:?} into {:?}", job.filled, job.from.dims(), job.to.dims());
            }
            let from = Self::pointer::<bf16>(job.from)? + (job.from_row * heads * slots * width * size_of::<bf16>()) as u64;
            let to = Self::pointer::<bf16>(job.to)? + (job.to_row * heads * capacity * width * size_of::<bf16>()) as u64;
            numbers.extend([from.cast_signed(), to.cast_signed(), slots as i64, job.filled as i64]);
        }
        let numbers = Tensor::new(numbers, &Device::Cuda(self.device.clone()))?;
        let eighths = width / EIGHT;
        let chunks = (used * eighths).div_ceil(4 * THREADS as usize).max(1);
        let given = [
            Given::Pointer(Self::pointer::<i64>(&numbers)?),
            Given::Size(used as u32),
            Given::Size(capacity as u32),
            Given::Size(eighths as u32),
        ];
        self.launch("lay_out", (chunks, heads, jobs.len()), THREADS, &given)
    }
}

/// A row to be laid out, see [`Kernels::lay_out`].
pub(super) struct Job<'a> {
    pub(super) from: &'a Tensor,
    pub(super) from_row: usize,
    pub(super) to: &'a Tensor,
    pub(super) to_row: usize,
    pub(super) filled: usize,
}

fn which(activation: Option<Activation>) -> Given {
    Given::Size(match activation {
        None => 0,
        Some(Activation::Silu) => 1,
        Some(Activation::QuickGelu) => 2,
        Some(Activation::GeluTanh) => 3,
        Some(Activation::Gelu) => 4,
    })
}
