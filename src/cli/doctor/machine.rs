//! What this program was built with, and what this machine has.

use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde_json::json;

use super::{Section, bytes, within};

/// How long the driver may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Something that computes.
#[derive(Debug, Clone)]
pub(super) struct Device {
    /// What a person calls it.
    pub(super) name: String,
    /// Whether this build can compute on it.
    pub(super) usable: bool,
    /// Whether it is the processor, which computes in f32; others compute in bf16.
    pub(super) cpu: bool,
    /// Bytes of memory that are free, where that is known.
    pub(super) free: Option<u64>,
}

/// What this program was built with.
pub(super) fn build() -> Section {
    let mut section = Section::new("build");
    let features = [("cuda", cfg!(feature = "cuda")), ("metal", cfg!(feature = "metal")), ("flash-attn", cfg!(feature = "flash-attn"))];
    let built: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    section.line("version", env!("CARGO_PKG_VERSION"));
    section.line("features", if built.is_empty() { "none (predicts on the processor)".to_owned() } else { built.join(", ") });
    section.set("version", env!("CARGO_PKG_VERSION"));
    section.set("features", built);
    section
}

/// The devices, the processor last.
pub(super) fn look() -> (Vec<Device>, Section) {
    let mut section = Section::new("machine");
    let mut devices = gpus(&mut section);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = crate::model::device::host();
    section.line("processor", format_args!("{threads} threads"));
    section.set("threads", threads);
    match memory {
        Some((total, free)) => {
            section.line("memory", format_args!("{} free of {}", bytes(free), bytes(total)));
            section.set("memory", json!({ "total": total, "free": free }));
        }
        None => section.line("memory", "not told by this system"),
    }
    devices.push(Device { name: "processor".to_owned(), usable: true, cpu: true, free: memory.map(|(_, free)| free) });
    (devices, section)
}

/// What NVIDIA's driver tells, which needs no CUDA build.
fn gpus(section: &mut Section) -> Vec<Device> {
    let usable = cfg!(feature = "cuda");
    let found = within(LIMIT, || ask_driver().map_err(|error| said(&error)));
    let (driver, gpus) = match found {
        Some(Ok(found)) => found,
        Some(Err(None)) => {
            section.line("GPU", "no NVIDIA driver here (no NVML library)");
            if usable {
                section.wrong(
                    "this build computes with CUDA, and there is no driver",
                    "use a build without the feature cuda, or install NVIDIA's driver",
                );
            }
            section.set("gpus", json!([]));
            return Vec::new();
        }
        Some(Err(Some(error))) => {
            section.wrong(
                format_args!("NVIDIA's driver is there and says: {error}"),
                "see whether nvidia-smi works; after an update of the driver the machine must start anew",
            );
            section.set("gpus", json!([]));
            return Vec::new();
        }
        None => {
            section.wrong(
                format_args!("NVIDIA's driver has not answered for {} seconds", LIMIT.as_secs()),
                "see whether nvidia-smi works; a GPU may have fallen off its bus ('dmesg' says so)",
            );
            section.set("gpus", json!([]));
            return Vec::new();
        }
    };
    section.line("driver", &driver);
    for (index, gpu) in gpus.iter().enumerate() {
        section.line(
            format_args!("GPU {index}"),
            format_args!(
                "{}, {} free of {}, compute capability {}.{}",
                gpu.name,
                bytes(gpu.free),
                bytes(gpu.total),
                gpu.capability.0,
                gpu.capability.1
            ),
        );
    }
    let listed: Vec<_> = gpus
        .iter()
        .map(|gpu| json!({ "name": gpu.name, "total": gpu.total, "free": gpu.free, "capability": format!("{}.{}", gpu.capability.0, gpu.capability.1) }))
        .collect();
    section.set("driver", driver);
    section.set("gpus", listed);
    if gpus.is_empty() {
        section.line("GPU", "the driver sees none");
    } else if !usable {
        section.hint(
            "this build computes on the processor, and there is a GPU",
            "build with 'cargo build --release --features cuda' to predict on it",
        );
    }
    let device = |(index, gpu): (usize, Gpu)| Device { name: format!("GPU {index}"), usable, cpu: false, free: Some(gpu.free) };
    gpus.into_iter().enumerate().map(device).collect()
}

struct Gpu {
    name: String,
    total: u64,
    free: u64,
    capability: (i32, i32),
}

fn ask_driver() -> Result<(String, Vec<Gpu>), NvmlError> {
    let nvml = Nvml::init()?;
    let cuda = nvml.sys_cuda_driver_version()?;
    let driver = format!("{}, CUDA up to {}.{}", nvml.sys_driver_version()?, cuda / 1000, cuda % 1000 / 10);
    let gpus = (0..nvml.device_count()?).map(|index| {
        let device = nvml.device_by_index(index)?;
        let (memory, capability) = (device.memory_info()?, device.cuda_compute_capability()?);
        Ok(Gpu { name: device.name()?, total: memory.total, free: memory.free, capability: (capability.major, capability.minor) })
    });
    Ok((driver, gpus.collect::<Result<_, NvmlError>>()?))
}

/// What is wrong with a driver; `None` where there is none.
fn said(error: &NvmlError) -> Option<String> {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => None,
        other => Some(other.to_string()),
    }
}
