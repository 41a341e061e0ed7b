//! A run on disk: everything that is needed to go on as if nothing had happened.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::stream::Position;
use super::{Plan, TrainError, error};
use crate::model::ModelError;

/// The folder's name, below the run's.
const NAME: &str = "checkpoint";

/// What is kept besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The plan that the run began with.
    pub(super) plan: Plan,
    /// Variables with their shapes, in the order of the vectors.
    pub(super) variables: Vec<(String, Vec<usize>)>,
    /// Steps made.
    pub(super) steps: u64,
    /// Seconds spent.
    pub(super) seconds: f64,
    /// Conversations seen.
    pub(super) samples: u64,
    /// Conversations that are computed at once.
    pub(super) micro_batch: usize,
    /// Where the examples go on.
    pub(super) position: Position,
    /// The best evaluation's step and score.
    pub(super) best: Option<(u64, f64)>,
}

/// The vectors of an optimiser and the best weights so far.
pub(super) struct Vectors {
    pub(super) weights: Tensor,
    pub(super) first: Tensor,
    pub(super) second: Tensor,
    pub(super) best: Option<Tensor>,
}

/// Writes a checkpoint beside the one that is there, and then takes its place: whenever the program is killed, one of them
/// is whole.
pub(super) fn save(run: &Path, state: &State, vectors: &Vectors) -> Result<PathBuf, TrainError> {
    let (there, new, old) = (run.join(NAME), run.join(format!("{NAME}.new")), run.join(format!("{NAME}.old")));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::Model(ModelError::Io { path, source })
    };
    let gone = |dir: &Path| if dir.exists() { fs::remove_dir_all(dir).map_err(io(dir)) } else { Ok(()) };
    gone(&new)?;
    fs::create_dir_all(&new).map_err(io(&new))?;
    let mut tensors: HashMap<&str, Tensor> = HashMap::new();
    let all = [("weights", Some(&vectors.weights)), ("first", Some(&vectors.first)), ("second", Some(&vectors.second))];
    for (name, tensor) in all.into_iter().chain([("best", vectors.best.as_ref())]) {
        if let Some(tensor) = tensor {
            tensors.insert(name, tensor.to_device(&Device::Cpu)?);
        }
    }
    candle_core::safetensors::save(&tensors, new.join("state.safetensors"))?;
    let text = serde_json::to_string_pretty(state).map_err(|problem| error::broken(&problem.to_string()))?;
    fs::write(new.join("state.json"), text).map_err(io(&new))?;
    for name in ["state.safetensors", "state.json"] {
        let file = fs::File::open(new.join(name)).map_err(io(&new))?;
        file.sync_all().map_err(io(&new))?;
    }
    gone(&old)?;
    if there.exists() {
        fs::rename(&there, &old).map_err(io(&there))?;
    }
    fs::rename(&new, &there).map_err(io(&new))?;
    gone(&old)?;
    Ok(there)
}

/// A run's checkpoint, where there is one.
pub(super) fn there(run: &Path) -> Option<PathBuf> {
    [NAME.to_owned(), format!("{NAME}.old")].into_iter().map(|name| run.join(name)).find(|dir| dir.is_dir())
}

/// Reads a run's checkpoint; `None` where there is none.
pub(super) fn load(run: &Path, device: &Device) -> Result<Option<(State, Vectors)>, TrainError> {
    let Some(dir) = there(run) else { return Ok(None) };
    let path = dir.join("state.json");
    let text = fs::read_to_string(&path).map_err(|source| ModelError::Io { path: path.clone(), source })?;
    let wrong = |path: &Path, reason: String| TrainError::Model(ModelError::File { path: path.to_owned(), reason });
    let state: State = serde_json::from_str(&text).map_err(|problem| wrong(&path, format!("no state of a run: {problem}")))?;
    let path = dir.join("state.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu)?;
    let mut tensor =
        |name: &str| -> Result<Option<Tensor>, TrainError> { tensors.remove(name).map(|tensor| Ok(tensor.to_device(device)?)).transpose() };
    let mut wanted = |name: &str| tensor(name)?.ok_or_else(|| wrong(&path, format!("no tensor {name}")));
    let (weights, first, second) = (wanted("weights")?, wanted("first")?, wanted("second")?);
    let best = tensor("best")?;
    Ok(Some((state, Vectors { weights, first, second, best })))
}

/// Removes a run's checkpoint: the run has ended.
pub(super) fn remove(run: &Path) -> Result<(), TrainError> {
    let dir = run.join(NAME);
    match fs::remove_dir_all(&dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(ModelError::Io { path: dir, source }.into()),
        _ => Ok(()),
    }
}
