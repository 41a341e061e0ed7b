//! `mekiki predict`: runs a model over the project's samples.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{DType, Device};
use serde_json::json;

use super::super::context::{Context, absolute};
use super::super::output::{Failure, Outcome};
use super::super::plan::{self, Folders};
use super::{DeviceName, PredictArgs};
use crate::config::Project;
use crate::domain::{Exemplar, Kind, PredictionSource, RelativePath, SampleId};
use crate::imaging;
use crate::model::decide::Decision;
use crate::model::device::cuda;
use crate::model::predictor::{Item, PredictError, Predictor, Settings};
use crate::store::{PredictedFields, Store, StoreError};

/// The folder of a project's models.
pub(in crate::cli) const MODELS: &str = "models";
/// The most failed samples that are listed.
pub(super) const MOST_LISTED: usize = 20;

pub(super) fn run(context: &Context, args: &PredictArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let filter = plan::filter(&project, args.filter.as_deref().unwrap_or_default())?;
    let eye = Eye::named(&project, args.model.as_deref(), args.adapter.as_deref())?;
    eye.folder()?;
    let kind = args.kind.kind();
    let source = eye.source(&project, kind, args.exemplar.exemplar());
    let waiting = store.without_prediction(&filter, &source)?;
    let means = Means { batch: args.batch, device: args.device };
    let Done { predicted, failed, per_second, device } = missing(context, &project, &mut store, &eye, &[(source, waiting)], means)?;
    let name = &eye.name;
    let listed: Vec<_> = failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "predicted": predicted, "failed": failed.len(), "per_second": per_second, "device": device, "model": name, "errors": listed,
    }))?;
    for (id, error) in failed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if failed.len() > MOST_LISTED {
        context.out.line(format_args!("… and {} more", failed.len() - MOST_LISTED));
    }
    match (predicted, failed.len()) {
        (0, 0) => context.out.line(format_args!("nothing to predict: {name} has predicted all of these samples ({kind})")),
        (_, failed) => context
            .out
            .line(format_args!("{predicted} samples predicted by {name} ({kind}), {failed} failed, {per_second:.1} a second on {device}")),
    }
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Problems })
}

/// A model as the user names it, with the adapter over it. Its predictions can be looked at without its checkpoint.
pub(in crate::cli) struct Eye {
    /// The model's name.
    pub(in crate::cli) name: String,
    adapter: Option<PathBuf>,
    /// Where the checkpoint is, or why there is none.
    dir: Result<PathBuf, String>,
}

impl Eye {
    /// The model of that name below the project's models, or of that folder; the project's own when none is named.
    pub(in crate::cli) fn named(project: &Project, model: Option<&str>, adapter: Option<&Path>) -> Result<Self, Failure> {
        let name = model
            .or(project.model.as_deref())
            .ok_or_else(|| Failure::usage("name a model with --model, or in mekiki.toml with [model] name"))?;
        let adapter = adapter.map(absolute);
        Ok(match checkpoint(project, name, model.is_some()) {
            Ok((name, dir)) => Self { name, adapter, dir: Ok(dir) },
            Err(reason) => Self { name: name.to_owned(), adapter, dir: Err(reason) },
        })
    }

    /// The checkpoint's folder.
    pub(in crate::cli) fn folder(&self) -> Result<&Path, Failure> {
        self.dir.as_deref().map_err(Failure::new)
    }

    /// What its predictions are stored under.
    pub(in crate::cli) fn source(&self, project: &Project, kind: Kind, exemplar: Exemplar) -> PredictionSource {
        PredictionSource {
            model: self.name.clone(),
            adapter: self.adapter.as_deref().map(folder_name),
            instruction: project.recipe.instructions.identity(),
            // Nothing but one-shot shows an exemplar, so that zero-shot predictions are one source.
            exemplar: if kind == Kind::OneShot { exemplar } else { Exemplar::Right },
            kind,
        }
    }
}

/// What predicting may use.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct Means {
    /// Samples that are predicted together; what fits the device, when not given.
    pub(in crate::cli) batch: Option<u32>,
    /// What computes; the fastest there is, when not given.
    pub(in crate::cli) device: Option<DeviceName>,
}

/// What predicting did.
pub(in crate::cli) struct Done {
    pub(in crate::cli) predicted: u64,
    /// Samples without a prediction, and why.
    pub(in crate::cli) failed: Vec<(SampleId, String)>,
    pub(in crate::cli) per_second: f64,
    pub(in crate::cli) device: &'static str,
}

/// Predicts samples under their sources, which are the eye's with the project's instructions, and stores what comes.
/// The checkpoint is loaded once, and only when there is something to predict.
pub(in crate::cli) fn missing(
    context: &Context,
    project: &Project,
    store: &mut Store,
    eye: &Eye,
    wanted: &[(PredictionSource, Vec<SampleId>)],
    means: Means,
) -> Result<Done, Failure> {
    let device = device(means.device)?;
    let mut done = Done { predicted: 0, failed: Vec::new(), per_second: 0.0, device: device_name(&device) };
    let started = Instant::now();
    let total: usize = wanted.iter().map(|(_, ids)| ids.len()).sum();
    if total > 0 {
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let settings = Settings::of(&device);
        let predictor = Predictor::load(eye.folder()?, &device, dtype, eye.adapter.as_deref(), &project.recipe, settings)?;
        let batch = means.batch.map_or(if device.is_cpu() { 8 } else { 32 }, |batch| batch as usize);
        let progress = context.out.progress(total as u64, "predicting");
        for (source, waiting) in wanted {
            let reader = Store::open_read_only(&project.dir, project.schema())?;
            let asker = Asker { folders: Folders::of(project, &reader)?, project, source };
            let mut work = Work { store, source, done: &mut done };
            let (asked, answered) = std::sync::mpsc::channel();
            let batches = waiting.chunks(batch).map(move |ids| {
                let mut items = Vec::with_capacity(ids.len());
                let unasked = ids.iter().map(|id| asker.item(&reader, id).map(|item| items.push(item)).err().map(|error| error.message()));
                // The receiver outlives the work; what it does not take is not needed.
                let _ = asked.send(ids.iter().cloned().zip(unasked).collect::<Vec<Asked>>());
                items
            });
            let mut broken = None;
            predictor.predict_all(batches, |answers| {
                let taken = answered.recv().map_err(|_| Failure::new("the work ended early")).and_then(|ids| work.take(ids, answers));
                progress.set(work.done.predicted + work.done.failed.len() as u64);
                broken = taken.err();
                broken.is_none()
            });
            if let Some(error) = broken {
                return Err(error);
            }
        }
    }
    done.per_second = done.predicted as f64 / started.elapsed().as_secs_f64().max(1e-9);
    Ok(done)
}

/// Makes questions of samples.
pub(super) struct Asker<'a> {
    pub(super) folders: Folders,
    pub(super) project: &'a Project,
    pub(super) source: &'a PredictionSource,
}

impl Asker<'_> {
    pub(super) fn item(&self, store: &Store, id: &SampleId) -> Result<Item, Failure> {
        let view = store.sample(id)?;
        let recipe = &self.project.recipe;
        let image_type = plan::image_type(&recipe.schema, &view);
        let conversation = recipe.prompt(&view.sample, image_type, self.source.kind, self.source.exemplar)?;
        let images = conversation.images().map(|image| self.folders.locate(&image.image)).collect::<Result<_, _>>()?;
        Ok(Item { conversation, images })
    }
}

/// A sample, and why it cannot be asked about.
type Asked = (SampleId, Option<String>);

/// What has been done.
struct Work<'a> {
    store: &'a mut Store,
    source: &'a PredictionSource,
    done: &'a mut Done,
}

impl Work<'_> {
    /// Stores a batch; the answers are those of the samples that could be asked about.
    fn take(&mut self, asked: Vec<Asked>, answers: Vec<Result<Decision, PredictError>>) -> Result<(), Failure> {
        let mut answers = answers.into_iter();
        let mut stored: Vec<(SampleId, PredictedFields)> = Vec::with_capacity(asked.len());
        for (id, unasked) in asked {
            match unasked {
                Some(error) => self.done.failed.push((id, error)),
                None => match answers.next() {
                    Some(Ok(decision)) => stored.push((id, decision.fields)),
                    Some(Err(error)) => self.done.failed.push((id, error.to_string())),
                    None => self.done.failed.push((id, "it was not answered".to_owned())),
                },
            }
        }
        // A source that has said nothing yet is none.
        if stored.is_empty() {
            return Ok(());
        }
        self.store.add_predictions(self.source, &stored).map_err(|error: StoreError| Failure::from(error))?;
        self.done.predicted += stored.len() as u64;
        Ok(())
    }
}

/// A model's name and folder: one below the project's models, or, of a `typed` name, any folder; else why there is none.
fn checkpoint(project: &Project, name: &str, typed: bool) -> Result<(String, PathBuf), String> {
    let models = project.dir.join(MODELS);
    let below = RelativePath::new(name).ok().and_then(|path| imaging::locate(&models, &path).ok()).filter(|dir| dir.is_dir());
    let hint = "make one to try with 'mekiki model new'";
    match below {
        Some(dir) => Ok((name.to_owned(), dir)),
        None if typed && Path::new(name).is_dir() => Ok((folder_name(&absolute(Path::new(name))), absolute(Path::new(name)))),
        None if typed => Err(format!("--model {name}: no such folder, neither here nor in {}; {hint}", models.display())),
        None => Err(format!(
            "{}: the project's model {name} has no folder there; put a checkpoint into it, name another with --model, or {hint} {}",
            models.display(),
            models.join(name).display()
        )),
    }
}

pub(in crate::cli) fn folder_name(dir: &Path) -> String {
    dir.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// As `--device` names it.
pub(in crate::cli) fn device_name(device: &Device) -> &'static str {
    match (device.is_cpu(), device.is_cuda()) {
        (true, _) => "cpu",
        (_, true) => "cuda",
        _ => "metal",
    }
}

/// What computes: what is named, else the fastest that is there.
pub(in crate::cli) fn device(named: Option<DeviceName>) -> Result<Device, Failure> {
    let failed = |error: candle_core::Error| Failure::new(format_args!("--device: {error}; --device cpu works everywhere"));
    match named {
        Some(DeviceName::Cuda) => cuda(0).map_err(failed),
        Some(DeviceName::Metal) => Device::new_metal(0).map_err(failed),
        // A driver that does not start is no reason not to predict at all.
        None if cuda_is_available() => Ok(cuda(0).unwrap_or(Device::Cpu)),
        None if metal_is_available() => Ok(Device::new_metal(0).unwrap_or(Device::Cpu)),
        Some(DeviceName::Cpu) | None => Ok(Device::Cpu),
    }
}
