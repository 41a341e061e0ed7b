//! A run's turn in its project: nobody else trains there meanwhile, and everybody may know how it stands.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use candle_core::Device;
use uuid::Uuid;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::TrainArgs;
use crate::model::device;
use crate::model::qwen_vl::Config;
use crate::train::lock::{self, Lock, Stand, Training};
use crate::train::memory;

/// Between two looks whether the run is asked to stop.
const LOOK: Duration = Duration::from_millis(250);
/// How long models that predict may take to give their memory back.
const PATIENCE: Duration = Duration::from_secs(10);

/// A turn; outside of a project nobody waits for one.
pub(super) struct Turn {
    lock: Option<Lock>,
}

impl Turn {
    /// Takes the project's training lock.
    pub(super) fn take(context: &Context, args: &TrainArgs, out: &Path, log: &Path) -> Result<Self, Failure> {
        let Some(project) = context.project_there()? else { return Ok(Self { lock: None }) };
        let who = context.who()?;
        let training = Training {
            id: args.apart.detached.clone().unwrap_or_else(|| Uuid::now_v7().to_string()),
            name: out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned()),
            folder: out.to_owned(),
            log: log.to_owned(),
            base: None,
            adapter: args.lora.lora,
            reviewer: who.reviewer.to_string(),
            host: who.host,
            pid: std::process::id(),
            started_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
            steps: 0,
            needs: None,
            beside: true,
            stand: Stand::Preparing,
        };
        Ok(Self { lock: Some(Lock::take(&project.dir, training)?) })
    }

    /// Says how much memory the run takes, and how many steps it has. Where a model that predicts cannot stay beside it, those
    /// who have one are waited for a moment, and the answer is yes.
    pub(super) fn announce(
        &mut self,
        base: Option<&Path>,
        config: &Config,
        (needs, steps): (u64, u64),
        device: &Device,
        alone: bool,
    ) -> Result<bool, Failure> {
        let Some(lock) = &mut self.lock else { return Ok(false) };
        let value = if device.is_cpu() { 4 } else { 2 };
        let weights = memory::Values::of(config, None).map(|values| value * values.trained).ok();
        let beside = !alone && lock::fits_beside(needs, weights, device::free(device));
        lock.change(|training| {
            (training.needs, training.beside, training.steps) = (Some(needs), beside, steps);
            training.base = base.map(Path::to_owned);
        })?;
        let started = Instant::now();
        let lacks = || device::free(device).is_some_and(|free| needs > free);
        while !beside && lacks() && started.elapsed() < PATIENCE {
            std::thread::sleep(LOOK);
        }
        Ok(!beside)
    }

    /// Sets the flag when the run is asked to stop from elsewhere.
    pub(super) fn heed(&self, context: &Context, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
        let (Some(lock), Some(project)) = (&self.lock, context.project_there()?) else { return Ok(()) };
        let (id, stop) = (lock.training().id.clone(), Arc::clone(stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                stop.fetch_or(lock::is_asked_to_stop(&project.dir, &id), Ordering::Relaxed);
            }
        });
        Ok(())
    }

    /// Says how the run stands.
    pub(super) fn say(&mut self, stand: Stand) -> Result<(), Failure> {
        match &stand {
            Stand::Preparing | Stand::Running => tracing::info!("training begun"),
            Stand::Finished { steps } => tracing::info!(steps, "training ended"),
            Stand::Stopped { steps } => tracing::warn!(steps, "training stopped"),
            Stand::Failed { problem } => tracing::error!(problem, "training failed"),
        }
        if let Some(lock) = &mut self.lock {
            lock.change(|training| training.stand = stand)?;
        }
        Ok(())
    }

    /// Ends the turn; what went wrong is its last word.
    pub(super) fn end(mut self, result: &Result<Outcome, Failure>) {
        if let Err(failure) = result {
            // Whoever looks finds that the process has ended, at least.
            let _ = self.say(Stand::Failed { problem: failure.message() });
        }
    }
}
