//! What a network computes on.

use candle_core::{Device, Result};

/// An NVIDIA GPU, set up for one stream of work.
///
/// All threads share the one stream, so that whatever is asked for later sees what was asked for before, and nothing
/// has to be tracked. Memory that tensors give back is kept for the next ones: by default the driver returns
/// it to the system whenever somebody waits for a result.
pub fn cuda(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    of_one_stream(&device)?;
    Ok(device)
}

/// Bytes of a GPU's memory that are taken, by this program and others; other devices do not tell.
pub fn memory(device: &Device) -> Option<u64> {
    of_gpu(device).map(|(free, whole)| whole - free)
}

/// Bytes of a GPU's memory that can be had, and all of them.
fn of_gpu(device: &Device) -> Option<(u64, u64)> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        device.cuda_stream().context().bind_to_thread().ok()?;
        let (free, whole) = candle_core::cuda_backend::cudarc::driver::result::mem_get_info().ok()?;
        return Some((free as u64, whole as u64));
    }
    let _ = device;
    None
}

/// Bytes of memory that a GPU has; other devices do not tell.
pub fn whole_memory(device: &Device) -> Option<u64> {
    of_gpu(device).map(|(_, whole)| whole)
}

/// The most memory that was taken since the program began. A GPU's is [`memory`] as it is now: what [`cuda`] was given, it
/// keeps. On the processor it is what the program had of it, where the system tells.
pub fn peak_memory(device: &Device) -> Option<u64> {
    if !device.is_cpu() {
        return memory(device);
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// The most bytes that tensors took of a GPU at once; other devices do not tell.
pub fn peak_tensors(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        return most_in_use(device);
    }
    let _ = device;
    None
}

#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "the driver's figures have no safe form in candle")]
fn most_in_use(device: &candle_core::CudaDevice) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    let context = device.cuda_stream().context().clone();
    let mut most = 0_u64;
    // Safety: the attribute is a u64.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).ok()?;
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        result::mem_pool::get_attribute(pool, attribute, (&raw mut most).cast()).ok()?;
    }
    Some(most)
}

/// Bytes of memory that can be had: of a GPU's, or of the machine's; `None` where that is not told.
pub fn free(device: &Device) -> Option<u64> {
    if device.is_cpu() { host().map(|(_, free)| free) } else { of_gpu(device).map(|(free, _)| free) }
}

/// Bytes of the machine's memory, and how many of them can be had: of the container's limit where that is less.
pub fn host() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let (total, free) = (of("MemTotal")?, of("MemAvailable")?);
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    match (number("/sys/fs/cgroup/memory.max"), number("/sys/fs/cgroup/memory.current")) {
        (Some(most), Some(used)) if most < total => Some((most, free.min(most.saturating_sub(used)))),
        _ => Some((total, free)),
    }
}

/// Gives the memory that tensors have given back to the driver, so that other programs can have it.
pub fn give_back(device: &Device) {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(_) = device {
        // What cannot be given back now goes with this process.
        let _ = trim(device);
    }
    let _ = device;
}

#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "the driver's memory pools have no safe form in candle")]
fn trim(device: &Device) -> Result<()> {
    use candle_core::cuda_backend::cudarc::driver::result;

    device.synchronize()?;
    let context = device.as_cuda_device()?.cuda_stream().context().clone();
    let told = |error| candle_core::Error::Cuda(Box::new(error));
    context.bind_to_thread().map_err(told)?;
    // Safety: the pool is the device's own, which lives as long as the driver does.
    unsafe {
        let pool = result::device::get_default_mem_pool(context.cu_device()).map_err(told)?;
        result::mem_pool::trim_to(pool, 0).map_err(told)
    }
}

#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "the driver's settings have no safe form in candle")]
fn of_one_stream(device: &Device) -> Result<()> {
    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    let device = device.as_cuda_device()?;
    let context = device.cuda_stream().context().clone();
    let told = |error| candle_core::Error::Cuda(Box::new(error));
    let mut all = u64::MAX;
    // Safety: there is one stream, in whose order memory is taken, used and given back; the attribute is a u64.
    unsafe {
        device.disable_event_tracking();
        let pool = result::device::get_default_mem_pool(context.cu_device()).map_err(told)?;
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast()).map_err(told)?;
    }
    Ok(())
}
