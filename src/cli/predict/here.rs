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
use crate::model::predictor::{Item, PredictError, Predictor, Settings};
use crate::store::{PredictedFields, Store, StoreError};

/// The folder of a project's models.
pub(in crate::cli) const MODELS: &str = "models";
/// The most failed samples that are listed.
const MOST_LISTED: usize = 20;

pub(super) fn run(context: &Context, args: &PredictArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let filter = plan::filter(&project, args.filter.as_deref().unwrap_or_default())?;
    let (name, dir) = model(&project, args.model.as_deref())?;
    let adapter = args.adapter.as_deref().map(absolute);
    let kind = args.kind.kind();
    let source = PredictionSource {
        model: name.clone(),
        adapter: adapter.as_deref().map(folder_name),
        instruction: project.recipe.instructions.identity(),
        // Nothing but one-shot shows an exemplar, so that zero-shot predictions are one source.
        exemplar: if kind == Kind::OneShot { args.exemplar.exemplar() } else { Exemplar::Right },
        kind,
    };
    let waiting = store.without_prediction(&filter, &source)?;
    let device = device(args.device)?;
    let device_name = if device.is_cpu() {
        "cpu"
    } else if device.is_cuda() {
        "cuda"
    } else {
        "metal"
    };
    let mut work = Work { store: &mut store, source: &source, predicted: 0, failed: Vec::new() };
    let started = Instant::now();
    if !waiting.is_empty() {
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let predictor = Predictor::load(&dir, &device, dtype, adapter.as_deref(), &project.recipe, Settings::of(&device))?;
        let batch = args.batch.map_or(if device.is_cpu() { 8 } else { 32 }, |batch| batch as usize);
        let progress = context.out.progress(waiting.len() as u64, "predicting");
        let reader = Store::open_read_only(&project.dir, project.schema())?;
        let asker = Asker { folders: Folders::of(&project, &reader)?, project: &project, source: &source };
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
            progress.set(work.predicted + work.failed.len() as u64);
            broken = taken.err();
            broken.is_none()
        });
        if let Some(error) = broken {
            return Err(error);
        }
    }
    let (predicted, failed) = (work.predicted, work.failed);
    let per_second = predicted as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let listed: Vec<_> = failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "predicted": predicted, "failed": failed.len(), "per_second": per_second, "device": device_name, "model": name, "errors": listed,
    }))?;
    for (id, error) in failed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if failed.len() > MOST_LISTED {
        context.out.line(format_args!("… and {} more", failed.len() - MOST_LISTED));
    }
    match (predicted, failed.len()) {
        (0, 0) => context.out.line(format_args!("nothing to predict: {name} has predicted all of these samples ({kind})")),
        (_, failed) => context.out.line(format_args!(
            "{predicted} samples predicted by {name} ({kind}), {failed} failed, {per_second:.1} a second on {device_name}"
        )),
    }
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Problems })
}

/// Makes questions of samples.
struct Asker<'a> {
    folders: Folders,
    project: &'a Project,
    source: &'a PredictionSource,
}

impl Asker<'_> {
    fn item(&self, store: &Store, id: &SampleId) -> Result<Item, Failure> {
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
    predicted: u64,
    failed: Vec<(SampleId, String)>,
}

impl Work<'_> {
    /// Stores a batch; the answers are those of the samples that could be asked about.
    fn take(&mut self, asked: Vec<Asked>, answers: Vec<Result<Decision, PredictError>>) -> Result<(), Failure> {
        let mut answers = answers.into_iter();
        let mut stored: Vec<(SampleId, PredictedFields)> = Vec::with_capacity(asked.len());
        for (id, unasked) in asked {
            match unasked {
                Some(error) => self.failed.push((id, error)),
                None => match answers.next() {
                    Some(Ok(decision)) => stored.push((id, decision.fields)),
                    Some(Err(error)) => self.failed.push((id, error.to_string())),
                    None => self.failed.push((id, "it was not answered".to_owned())),
                },
            }
        }
        self.store.add_predictions(self.source, &stored).map_err(|error: StoreError| Failure::from(error))?;
        self.predicted += stored.len() as u64;
        Ok(())
    }
}

/// A model's name and folder: one below the project's models, or any folder that the user names.
pub(in crate::cli) fn model(project: &Project, named: Option<&str>) -> Result<(String, PathBuf), Failure> {
    let models = project.dir.join(MODELS);
    let below = |name: &str| {
        let path = RelativePath::new(name).ok()?;
        imaging::locate(&models, &path).ok().filter(|dir| dir.is_dir())
    };
    let hint = "make one to try with 'mekiki model new'";
    match (named, &project.model) {
        (Some(named), _) => match below(named) {
            Some(dir) => Ok((named.to_owned(), dir)),
            None if Path::new(named).is_dir() => Ok((folder_name(&absolute(Path::new(named))), absolute(Path::new(named)))),
            None => Err(Failure::new(format_args!("--model {named}: no such folder, neither here nor in {}; {hint}", models.display()))),
        },
        (None, Some(name)) => match below(name) {
            Some(dir) => Ok((name.clone(), dir)),
            None => Err(Failure::new(format_args!(
                "{}: the project's model {name} has no folder there; put a checkpoint into it, name another with --model, or {hint} {}",
                models.display(),
                models.join(name).display()
            ))),
        },
        (None, None) => Err(Failure::usage("name a model with --model, or in mekiki.toml with [model] name")),
    }
}

pub(in crate::cli) fn folder_name(dir: &Path) -> String {
    dir.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(in crate::cli) fn device(named: Option<DeviceName>) -> Result<Device, Failure> {
    let failed = |error: candle_core::Error| Failure::new(format_args!("--device: {error}; --device cpu works everywhere"));
    match named {
        Some(DeviceName::Cuda) => Device::new_cuda(0).map_err(failed),
        Some(DeviceName::Metal) => Device::new_metal(0).map_err(failed),
        // A driver that does not start is no reason not to predict at all.
        None if cuda_is_available() => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
        None if metal_is_available() => Ok(Device::new_metal(0).unwrap_or(Device::Cpu)),
        Some(DeviceName::Cpu) | None => Ok(Device::Cpu),
    }
}
