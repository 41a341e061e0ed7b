//! What the worker needs of a model, whatever it is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

use crate::domain::{PredictionSource, SampleId};
use crate::store::{PredictedFields, Store};

/// A model that is ready to be asked.
pub trait Eye: Sync {
    /// A sample with everything that the model is shown.
    type Ready: Send;

    /// Reads, decodes and resizes what belongs to samples; one answer for each, in their order.
    fn prepare(&self, store: &Store, source: &PredictionSource, samples: &[SampleId]) -> Vec<Result<Self::Ready, String>>;

    /// Predicts all of them at once; one answer for each, in their order. It fails as a whole.
    fn answer(&self, ready: &[Self::Ready]) -> Result<Vec<Result<PredictedFields, String>>, Trouble>;

    /// Gives back what memory can be made anew.
    fn relieve(&self);

    /// The most samples that are predicted together.
    fn most(&self) -> usize;

    /// How many batches are under way at once, so that it has work while the answers of one are decided. From two on,
    /// what somebody waits for is computed beside them.
    fn lanes(&self) -> usize;

    /// Bytes of memory in use.
    fn memory(&self) -> Option<u64>;
}

/// Makes models ready.
pub trait Loads: Send + 'static {
    /// A model that is ready.
    type Eye: Eye;

    /// Loads the model and the adapter of a source, and gives back the memory when it is dropped.
    fn load(&mut self, source: &PredictionSource) -> Result<Self::Eye, String>;
}

/// Why a batch was not predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Fewer at once may fit.
    OutOfMemory(String),
    /// What is wrong with one may not be wrong with the others.
    Failed(String),
}

/// Lets work be done that may panic; what it said then.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let said = payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
        format!("the model stopped with a fault of the program: {}", said.unwrap_or_else(|| "no reason was given".to_owned()))
    })
}

/// Asks a model about a batch, beside the batches of other lanes; where memory does not suffice or something is wrong with
/// the whole, alone (`crowd` is held by every lane that asks) and half of it at a time. `shrink` learns how many may be too
/// many. An error is a fault after which the model cannot be asked any more.
pub(super) fn ask<E: Eye>(
    eye: &E,
    ready: Vec<E::Ready>,
    crowd: &RwLock<()>,
    shrink: &mut dyn FnMut(usize),
) -> Result<Vec<Result<PredictedFields, String>>, String> {
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    let beside = crowd.read().unwrap_or_else(PoisonError::into_inner);
    let answers = guarded(|| eye.answer(&ready))?;
    drop(beside);
    match answers {
        Ok(answers) => Ok(answers),
        Err(trouble) => {
            let _alone = crowd.write().unwrap_or_else(PoisonError::into_inner);
            ask_less(eye, ready, trouble, shrink)
        }
    }
}

/// Goes on after a trouble with all of them.
fn ask_less<E: Eye>(
    eye: &E,
    mut ready: Vec<E::Ready>,
    mut trouble: Trouble,
    shrink: &mut dyn FnMut(usize),
) -> Result<Vec<Result<PredictedFields, String>>, String> {
    let count = ready.len();
    let (Trouble::OutOfMemory(why) | Trouble::Failed(why)) = &trouble;
    let half = (count / 2).max(1);
    tracing::warn!(samples = count, why, "a batch failed");
    if let Trouble::OutOfMemory(_) = trouble {
        eye.relieve();
        tracing::warn!(most = half, "out of memory; batches are smaller from now on");
        shrink(half);
        if count == 1 {
            match guarded(|| eye.answer(&ready))? {
                Ok(answers) => return Ok(answers),
                Err(again) => trouble = again,
            }
        }
    }
    if count == 1 {
        let (Trouble::OutOfMemory(text) | Trouble::Failed(text)) = trouble;
        return Ok(vec![Err(text)]);
    }
    let second = ready.split_off(count / 2);
    let mut answers = Vec::with_capacity(count);
    for half in [ready, second] {
        answers.extend(match guarded(|| eye.answer(&half))? {
            Ok(answers) => answers,
            Err(trouble) => ask_less(eye, half, trouble, shrink)?,
        });
    }
    Ok(answers)
}
