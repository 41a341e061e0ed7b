//! The arithmetic: low-rank changes checked, and merged into weights.

use candle_core::{DType, Tensor};

use super::config::Scales;
use super::names::Parts;
use super::{AdapterConfig, AdapterError, is_float};

/// One module's low-rank change, in the types of its file, on the CPU.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[r, in]`; of a convolution `[r, in, …]`, as its kernel.
    pub a: Tensor,
    /// `[out, r]`; of a convolution `[out, r, 1, …]`.
    pub b: Tensor,
    /// What `B·A` is multiplied with: `alpha / r`, or `alpha / √r`.
    pub scale: f64,
    /// `[out]`, for DoRA: the length of each row of the merged weight.
    pub magnitude: Option<Tensor>,
}

/// Puts a module's parts together and checks them against the settings.
pub(super) fn assemble(config: &AdapterConfig, scales: &Scales, module: &str, parts: Parts) -> Result<LowRank, AdapterError> {
    let missing = |part: &str| AdapterError::Tensor {
        tensor: format!("{module}.{part}"),
        expected: "a tensor beside the module's others".into(),
        got: "none".into(),
    };
    let (a, b) = match (parts.a, parts.b) {
        (Some(a), Some(b)) => (a, b),
        (None, _) => return Err(missing("lora_A.weight")),
        (_, None) => return Err(missing("lora_B.weight")),
    };
    if config.use_dora && parts.magnitude.is_none() {
        return Err(missing("lora_magnitude_vector"));
    }
    if !config.use_dora && parts.magnitude.is_some() {
        return Err(AdapterError::Tensor {
            tensor: format!("{module}.lora_magnitude_vector"),
            expected: "use_dora in adapter_config.json".into(),
            got: "none".into(),
        });
    }
    let (rank, alpha) = (scales.rank(module), scales.alpha(module));
    let got = a.dims().first().copied().unwrap_or(0);
    if got != rank {
        let expected = format!("{rank} rows, the rank by adapter_config.json");
        return Err(AdapterError::Tensor { tensor: format!("{module}.lora_A.weight"), expected, got: shape(&a) });
    }
    let scale = if config.use_rslora { alpha / (rank as f64).sqrt() } else { alpha / rank as f64 };
    Ok(LowRank { a, b, scale, magnitude: parts.magnitude })
}

impl LowRank {
    /// The rank.
    pub fn rank(&self) -> usize {
        self.a.dims().first().copied().unwrap_or(0)
    }

    /// Checks shapes, types and numbers.
    pub(super) fn check(&self, module: &str) -> Result<(), AdapterError> {
        let wrong = |part: &str, expected: String, tensor: &Tensor| {
            Err(AdapterError::Tensor { tensor: format!("{module}.{part}"), expected, got: shape(tensor) })
        };
        let rank = self.rank();
        if self.a.rank() < 2 || self.a.elem_count() == 0 {
            return wrong("lora_A.weight", "[r, in]".into(), &self.a);
        }
        let kernel_of_one = self.b.dims().iter().skip(2).all(|side| *side == 1);
        if self.b.rank() != self.a.rank() || self.b.dims()[1] != rank || self.b.elem_count() == 0 || !kernel_of_one {
            return wrong("lora_B.weight", format!("[out, {rank}]"), &self.b);
        }
        if let Some(magnitude) = &self.magnitude {
            if self.a.rank() != 2 {
                return Err(AdapterError::Unsupported(format!("DoRA on a convolution ({module})")));
            }
            if magnitude.dims() != [self.b.dims()[0]] {
                return wrong("lora_magnitude_vector", format!("[{}]", self.b.dims()[0]), magnitude);
            }
            check_finite(&format!("{module}.lora_magnitude_vector"), magnitude)?;
        }
        if !self.scale.is_finite() {
            return Err(AdapterError::Config { key: "lora_alpha".into(), expected: "a finite number".into(), got: self.scale.to_string() });
        }
        check_finite(&format!("{module}.lora_A.weight"), &self.a)?;
        check_finite(&format!("{module}.lora_B.weight"), &self.b)
    }

    /// `W + scale · B·A`, each row brought to its magnitude for DoRA. `base`: `[out, in]`, or a convolution's `[out, in, …]`.
    pub(super) fn merged(&self, module: &str, base: &Tensor) -> Result<Tensor, AdapterError> {
        let name = format!("{module}.weight");
        if !is_float(base.dtype()) {
            return Err(AdapterError::Unsupported(format!("a quantised base ({name} is {:?})", base.dtype())));
        }
        let expected = [&self.b.dims()[..1], &self.a.dims()[1..]].concat();
        if base.dims() != expected {
            return Err(AdapterError::Tensor { tensor: name, expected: format!("{expected:?}, as the adapter's"), got: shape(base) });
        }
        let merged = self.compute(base).map_err(|source| AdapterError::Compute { tensor: name.clone(), source })?;
        if self.magnitude.is_some() {
            // A row of zeros has no direction that a magnitude could lengthen.
            check_finite(&name, &merged)?;
        }
        Ok(merged)
    }

    fn compute(&self, base: &Tensor) -> candle_core::Result<Tensor> {
        let device = base.device();
        let float = |tensor: &Tensor| tensor.to_device(device)?.to_dtype(DType::F32);
        let (a, b) = (float(&self.a)?.flatten_from(1)?, float(&self.b)?.flatten_from(1)?);
        let change = (b.matmul(&a)? * self.scale)?;
        let mut merged = (float(base)?.flatten_from(1)? + change)?;
        if let Some(magnitude) = &self.magnitude {
            let lengths = merged.sqr()?.sum_keepdim(1)?.sqrt()?;
            merged = merged.broadcast_mul(&float(magnitude)?.unsqueeze(1)?.broadcast_div(&lengths)?)?;
        }
        merged.reshape(base.shape())?.to_dtype(base.dtype())
    }
}

/// A whole tensor in the place of the base's.
pub(super) fn replaced(name: &str, saved: &Tensor, base: &Tensor) -> Result<Tensor, AdapterError> {
    if saved.dims() != base.dims() {
        return Err(AdapterError::Tensor {
            tensor: name.to_owned(),
            expected: format!("{:?}, as the base's", base.dims()),
            got: shape(saved),
        });
    }
    if !is_float(base.dtype()) {
        return Err(AdapterError::Unsupported(format!("a quantised base ({name} is {:?})", base.dtype())));
    }
    let moved = saved.to_device(base.device()).and_then(|saved| saved.to_dtype(base.dtype()));
    moved.map_err(|source| AdapterError::Compute { tensor: name.to_owned(), source })
}

/// Refuses integers, and numbers that are none.
pub(super) fn check_finite(name: &str, tensor: &Tensor) -> Result<(), AdapterError> {
    let wrong = |got: String| AdapterError::Tensor { tensor: name.to_owned(), expected: "finite floating-point numbers".into(), got };
    if !is_float(tensor.dtype()) {
        return Err(wrong(format!("{:?}", tensor.dtype())));
    }
    let numbers = tensor.flatten_all().and_then(|flat| flat.to_dtype(DType::F32)).and_then(|flat| flat.to_vec1::<f32>());
    let numbers = numbers.map_err(|source| AdapterError::Compute { tensor: name.to_owned(), source })?;
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(wrong(format!("{} at place {at}", numbers[at]))),
        None => Ok(()),
    }
}

fn shape(tensor: &Tensor) -> String {
    format!("{:?}", tensor.dims())
}
