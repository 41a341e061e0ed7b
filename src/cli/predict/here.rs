//! `mekiki predict`: runs a model over the project's samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use candle_core::Device;
use serde_json::json;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::super::plan::{self, Folders};
use super::{DeviceName, PredictArgs};
use crate::config::Project;
use crate::domain::{Exemplar, Kind, PredictionSource, SampleId};
use crate::jobs::predict::{Named, Office, Predicting, Seers, Shelf, Work, keep};
use crate::model::predictor::Item;
use crate::review::{Job, JobState};
use crate::store::Store;

/// The most failed samples that are listed.
pub(super) const MOST_LISTED: usize = 20;
/// Where a model comes from that is not there.
const HINT: &str = "make one to try with 'mekiki model new'";

pub(super) fn run(context: &Context, args: &PredictArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let filter = plan::filter(&project, args.filter.as_deref().unwrap_or_default())?;
    let eye = Eye::named(&project, &store, args.model.as_deref(), args.adapter.as_deref())?;
    eye.folder()?;
    let kind = args.kind.kind();
    let source = eye.source(&project, kind, args.exemplar.exemplar());
    let waiting = store.without_prediction(&filter, &source)?;
    let means = Means { batch: args.batch, device: args.device };
    let done = missing(context, &project, &mut store, &eye, &[(source, waiting)], means)?;
    let Done { predicted, elsewhere, failures, failed, per_second, device } = done;
    let name = &eye.name;
    let listed: Vec<_> = failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "predicted": predicted, "elsewhere": elsewhere, "failed": failures, "per_second": per_second, "device": device, "model": name,
        "errors": listed,
    }))?;
    for (id, error) in failed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if failures > MOST_LISTED as u64 {
        context.out.line(format_args!("… and {} more", failures - MOST_LISTED as u64));
    }
    let all = predicted + elsewhere;
    if all + failures == 0 {
        context.out.line(format_args!("nothing to predict: {name} has predicted all of these samples ({kind})"));
    } else {
        let others = if elsewhere > 0 { format!(", {elsewhere} of them by another process") } else { String::new() };
        context.out.line(format_args!(
            "{all} samples predicted by {name} ({kind}){others}, {failures} failed, {per_second:.1} a second on {device}"
        ));
    }
    Ok(if failures == 0 { Outcome::Done } else { Outcome::Problems })
}

/// A model as the user names it, with the adapter over it. Its predictions can be looked at without its checkpoint.
pub(in crate::cli) struct Eye {
    /// The model's name.
    pub(in crate::cli) name: String,
    adapter: Option<Named>,
    /// Where the checkpoint is, or why there is none.
    dir: Result<PathBuf, String>,
}

impl Eye {
    /// The model of that name below the project's models, or of that folder; the project's own when none is named.
    pub(in crate::cli) fn named(project: &Project, store: &Store, model: Option<&str>, adapter: Option<&Path>) -> Result<Self, Failure> {
        let name = model
            .or(project.model.as_deref())
            .ok_or_else(|| Failure::usage("name a model with --model, or in mekiki.toml with [model] name"))?;
        let shelf = Shelf::new(&project.dir);
        let models = shelf.models();
        let (name, dir) = match shelf.model(store, name)? {
            Some(found) => (found.name, Ok(found.folder)),
            None if model.is_some() => {
                (name.to_owned(), Err(format!("--model {name}: no such folder, neither here nor in {}; {HINT}", models.display())))
            }
            None => {
                let there = models.join(name);
                let advice = format!("put a checkpoint into it, name another with --model, or {HINT} {}", there.display());
                (name.to_owned(), Err(format!("{}: the project's model {name} has no folder there; {advice}", models.display())))
            }
        };
        let adapter = adapter.map(|named| {
            let found = shelf.adapter(store, &named.to_string_lossy())?;
            found.ok_or_else(|| Failure::new(format_args!("--adapter {}: expected the folder of an adapter, found none", named.display())))
        });
        Ok(Self { name, adapter: adapter.transpose()?, dir })
    }

    /// The checkpoint's folder.
    pub(in crate::cli) fn folder(&self) -> Result<&Path, Failure> {
        self.dir.as_deref().map_err(Failure::new)
    }

    /// What its predictions are stored under.
    pub(in crate::cli) fn source(&self, project: &Project, kind: Kind, exemplar: Exemplar) -> PredictionSource {
        PredictionSource {
            model: self.name.clone(),
            adapter: self.adapter.as_ref().map(|adapter| adapter.name.clone()),
            instruction: project.recipe.instructions.identity(),
            // Nothing but one-shot shows an exemplar, so that zero-shot predictions are one source.
            exemplar: if kind == Kind::OneShot { exemplar } else { Exemplar::Right },
            kind,
        }
    }

    /// Lets the worker find the checkpoint and the adapter by their names.
    fn keep(&self, store: &mut Store) -> Result<(), Failure> {
        keep(store, &Named { name: self.name.clone(), folder: self.folder()?.to_owned() })?;
        if let Some(adapter) = &self.adapter {
            keep(store, adapter)?;
        }
        Ok(())
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
    /// Samples predicted here.
    pub(in crate::cli) predicted: u64,
    /// Samples that another process predicted meanwhile.
    pub(in crate::cli) elsewhere: u64,
    /// How many samples have no prediction.
    pub(in crate::cli) failures: u64,
    /// The first of them, and why.
    pub(in crate::cli) failed: Vec<(SampleId, String)>,
    pub(in crate::cli) per_second: f64,
    pub(in crate::cli) device: &'static str,
}

/// Predicts samples under their sources, which are the eye's with the project's instructions, and stores what comes. The
/// checkpoint is loaded once, and only when there is something to predict; where another process predicts with it, that
/// one is asked.
pub(in crate::cli) fn missing(
    context: &Context,
    project: &Project,
    store: &mut Store,
    eye: &Eye,
    wanted: &[(PredictionSource, Vec<SampleId>)],
    means: Means,
) -> Result<Done, Failure> {
    let compute = DeviceName::compute(means.device);
    let device = device_name(&device(means.device)?);
    let mut done = Done { predicted: 0, elsewhere: 0, failures: 0, failed: Vec::new(), per_second: 0.0, device };
    let total: usize = wanted.iter().map(|(_, ids)| ids.len()).sum();
    let Some((first, _)) = wanted.iter().find(|(_, ids)| !ids.is_empty()) else { return Ok(done) };
    eye.keep(store)?;
    let folders = plan::folders(project, store)?;
    let office = Office::new(project.dir.clone(), Arc::clone(project.schema()), &context.who()?, false, Arc::new(|| {}));
    let batch = means.batch.map(|batch| batch as usize);
    let seers = Seers { project: Arc::new(project.clone()), folders: Arc::new(folders), compute, batch, screen: false };
    let started = Instant::now();
    let (reports, jobs) = channel::<Job>();
    let predicting = Predicting::start(office, first.clone(), seers, Arc::new(move |job| drop(reports.send(job))))?;
    let progress = context.out.progress(total as u64, "predicting");
    let (mut before, mut by) = (0, String::new());
    for (source, ids) in wanted.iter().filter(|(_, ids)| !ids.is_empty()) {
        predicting.use_source(source.clone());
        let task = predicting.add(source.model.clone(), Work::Samples(ids.clone()));
        while let Ok(job) = jobs.recv() {
            if job.id != task {
                continue;
            }
            progress.set(before + job.done);
            if job.title != by && job.title != source.model {
                context.out.line(format_args!("another process predicts with this model and is asked: {}", job.title));
            }
            by = job.title;
            if matches!(job.state, JobState::Done | JobState::Cancelled | JobState::Failed) {
                break;
            }
        }
        let made = predicting.outcome(task).unwrap_or_default();
        if let Some(problem) = &made.problem {
            return Err(Failure::new(problem));
        }
        before += ids.len() as u64;
        done.predicted += made.made;
        done.elsewhere += made.elsewhere;
        done.failures += made.failed;
        done.failed.extend(made.listed);
    }
    drop(progress);
    done.per_second = (done.predicted + done.elsewhere) as f64 / started.elapsed().as_secs_f64().max(1e-9);
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
        let image_type = view.image_type(&recipe.schema, &view.label);
        let conversation = recipe.prompt(&view.sample, image_type, self.source.kind, self.source.exemplar)?;
        let images = conversation.images().map(|image| self.folders.locate(&image.image)).collect::<Result<_, _>>()?;
        Ok(Item { conversation, images })
    }
}

/// What computes, when this was named or not.
pub(in crate::cli) fn device(named: Option<DeviceName>) -> Result<Device, Failure> {
    DeviceName::compute(named).device().map_err(Failure::new)
}

/// `cpu`, `cuda` or `metal`.
pub(in crate::cli) fn device_name(device: &Device) -> &'static str {
    match device {
        device if device.is_cpu() => "cpu",
        device if device.is_cuda() => "cuda",
        _ => "metal",
    }
}
