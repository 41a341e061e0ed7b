//! What an accelerator is told before a long run.

use candle_core::Device;

use super::TrainError;

/// Lets the device keep memory that is free for the moment. Otherwise it gives all of it back whenever the host waits for a
/// result, and takes it anew for every step.
#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "there is no safe form of this setting: the device lives, and the value is of the setting's type")]
pub(super) fn keep_memory(device: &Device) -> Result<(), TrainError> {
    use candle_core::cuda_backend::WrapErr;
    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    let Device::Cuda(device) = device else { return Ok(()) };
    let stream = device.cuda_stream();
    let mut most = u64::MAX;
    let setting = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // Safety: the device is that of a living context, and the setting's value is 64 bits wide.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
        result::mem_pool::set_attribute(pool, setting, (&raw mut most).cast()).w()?;
        // One stream does all the work, in order: nothing has to be noted of who waits for whom.
        device.disable_event_tracking();
    }
    Ok(())
}

/// Nothing has to be said to other devices.
#[cfg(not(feature = "cuda"))]
#[expect(clippy::unnecessary_wraps, reason = "the other form can fail")]
pub(super) fn keep_memory(_device: &Device) -> Result<(), TrainError> {
    Ok(())
}

/// Bytes of the device's memory that are taken, by this program and others.
#[cfg(feature = "cuda")]
pub(super) fn memory(device: &Device) -> Option<u64> {
    use candle_core::cuda_backend::cudarc::driver::result;

    let Device::Cuda(device) = device else { return None };
    device.cuda_stream().context().bind_to_thread().ok()?;
    let (free, total) = result::mem_get_info().ok()?;
    Some((total - free) as u64)
}

/// Other devices do not tell.
#[cfg(not(feature = "cuda"))]
pub(super) fn memory(_device: &Device) -> Option<u64> {
    None
}
