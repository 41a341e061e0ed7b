//! The predictions that are missing, made: what `mekiki predict` and others who need predictions call.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::super::context::Context;
use super::super::output::Failure;
use crate::config::Project;
use crate::domain::{Exemplar, Filter, Kind, PredictionSource};
use crate::jobs::predict::{Compute, Made, Named, Office, Predicting, Seers, Shelf, Work};
use crate::review::{Job, JobState};
use crate::store::Store;

/// What is to be predicted, and with what.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Wanted {
    /// Which samples.
    pub filter: Filter,
    /// The model, by name or folder; the project's, when not given.
    pub model: Option<String>,
    /// The adapter on it, by name or folder.
    pub adapter: Option<PathBuf>,
    /// Zero-shot or one-shot.
    pub kind: Kind,
    /// Which exemplar a one-shot question shows.
    pub exemplar: Exemplar,
    /// The most samples that are predicted together; what fits the device, when not given.
    pub batch: Option<usize>,
    /// What computes.
    pub compute: Compute,
}

/// What was predicted.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Predicted {
    /// With what.
    pub source: PredictionSource,
    /// How many samples, here and elsewhere.
    pub made: Made,
    /// Samples a second.
    pub per_second: f64,
    /// What computed: `cpu`, `cuda` or `metal`.
    pub device: &'static str,
}

/// Predicts the samples of a filter that a source has said nothing of yet, and stores what it says as it comes.
pub(in crate::cli) fn missing(context: &Context, project: &Project, store: &Store, wanted: &Wanted) -> Result<Predicted, Failure> {
    let model = model(project, store, wanted.model.as_deref())?;
    let adapter = wanted.adapter.as_deref().map(|named| {
        let found = Shelf::new(&project.dir).adapter(store, &named.to_string_lossy())?;
        found.ok_or_else(|| Failure::new(format_args!("--adapter {}: expected the folder of an adapter, found none", named.display())))
    });
    let adapter = adapter.transpose()?;
    let source = PredictionSource {
        model: model.name,
        adapter: adapter.map(|adapter| adapter.name),
        instruction: project.recipe.instructions.identity(),
        // Nothing but one-shot shows an exemplar, so that zero-shot predictions are one source.
        exemplar: if wanted.kind == Kind::OneShot { wanted.exemplar } else { Exemplar::Right },
        kind: wanted.kind,
    };
    let device = match wanted.compute.device().map_err(Failure::new)? {
        device if device.is_cpu() => "cpu",
        device if device.is_cuda() => "cuda",
        _ => "metal",
    };
    let mut folders = store.folders()?;
    folders.retain(|(number, _)| *number != 0);
    folders.push((0, project.dir.clone()));
    let project = Arc::new(project.clone());
    let schema = Arc::clone(project.schema());
    let office = Office::new(project.dir.clone(), schema, &context.who()?, false, Arc::new(|| {}));
    let seers = Seers { project, folders: Arc::new(folders), compute: wanted.compute, batch: wanted.batch, screen: false };

    let started = Instant::now();
    let order = store.order(&wanted.filter)?;
    let (reports, jobs) = channel::<Job>();
    let predicting = Predicting::start(office, source.clone(), seers, Arc::new(move |job| drop(reports.send(job))))?;
    let task = predicting.add(source.model.clone(), Work::Order(Arc::new(order)));
    let progress = context.out.progress(0, "predicting");
    let mut by = String::new();
    while let Ok(job) = jobs.recv() {
        if let Some(total) = job.total {
            progress.set_total(total);
        }
        progress.set(job.done);
        if job.title != by && job.title != source.model {
            context.out.line(format_args!("another process predicts with this model and is asked: {}", job.title));
        }
        by = job.title;
        if matches!(job.state, JobState::Done | JobState::Cancelled | JobState::Failed) {
            break;
        }
    }
    drop(progress);
    let made = predicting.outcome(task).unwrap_or_default();
    if let Some(problem) = &made.problem {
        return Err(Failure::new(problem));
    }
    let per_second = (made.made + made.elsewhere) as f64 / started.elapsed().as_secs_f64().max(1e-9);
    Ok(Predicted { source, made, per_second, device })
}

/// A model by its name or its folder; the project's, when none is named.
pub(in crate::cli) fn model(project: &Project, store: &Store, named: Option<&str>) -> Result<Named, Failure> {
    let shelf = Shelf::new(&project.dir);
    let models = shelf.models();
    let hint = "make one to try with 'mekiki model new'";
    match (named, &project.model) {
        (Some(named), _) => shelf
            .model(store, named)?
            .ok_or_else(|| Failure::new(format_args!("--model {named}: no such folder, neither here nor in {}; {hint}", models.display()))),
        (None, Some(name)) => shelf.model(store, name)?.ok_or_else(|| {
            Failure::new(format_args!(
                "{}: the project's model {name} has no folder there; put a checkpoint into it, name another with --model, or {hint} {}",
                models.display(),
                models.join(name).display()
            ))
        }),
        (None, None) => Err(Failure::usage("name a model with --model, or in mekiki.toml with [model] name")),
    }
}
