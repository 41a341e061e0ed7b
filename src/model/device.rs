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
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        device.cuda_stream().context().bind_to_thread().ok()?;
        let (free, total) = candle_core::cuda_backend::cudarc::driver::result::mem_get_info().ok()?;
        return Some((total - free) as u64);
    }
    let _ = device;
    None
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
