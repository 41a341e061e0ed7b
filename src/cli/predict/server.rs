//! `mekiki predict --server`: asks a model behind a server about the project's samples.

use std::time::Instant;

use serde_json::json;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use super::super::plan::{self, Folders};
use super::super::settings;
use super::PredictArgs;
use super::here::{Asker, MOST_LISTED};
use crate::domain::{Exemplar, Kind, PredictionSource, SampleId};
use crate::model::server::{Client, Guidance, Said, ServerError};
use crate::store::{PredictedFields, Store};

/// What has been done.
struct Work<'a> {
    store: &'a mut Store,
    source: &'a PredictionSource,
    predicted: u64,
    failed: Vec<(SampleId, String)>,
}

impl Work<'_> {
    /// Stores what came, and keeps what failed.
    fn take(&mut self, answers: Vec<(SampleId, Result<Said, ServerError>)>) -> Result<(), Failure> {
        let mut stored: Vec<(SampleId, PredictedFields)> = Vec::with_capacity(answers.len());
        for (id, answer) in answers {
            match answer {
                Ok(said) => stored.push((id, said.fields)),
                Err(error) => self.failed.push((id, error.to_string())),
            }
        }
        if !stored.is_empty() {
            self.store.add_predictions(self.source, &stored)?;
        }
        self.predicted += stored.len() as u64;
        Ok(())
    }
}

pub(super) fn run(context: &Context, args: &PredictArgs, alias: &str) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let filter = plan::filter(&project, args.filter.as_deref().unwrap_or_default())?;
    let client = Client::connect(settings::endpoint(alias, args.model.as_deref())?, &project.recipe)?;
    let kind = args.kind.kind();
    let source = PredictionSource {
        model: format!("{alias}:{}", client.model()),
        adapter: None,
        instruction: project.recipe.instructions.identity(),
        // Nothing but one-shot shows an exemplar, so that zero-shot predictions are one source.
        exemplar: if kind == Kind::OneShot { args.exemplar.exemplar() } else { Exemplar::Right },
        kind,
    };
    let waiting = store.without_prediction(&filter, &source)?;
    let started = Instant::now();
    let reader = Store::open_read_only(&project.dir, project.schema())?;
    let asker = Asker { folders: Folders::of(&project, &reader)?, project: &project, source: &source };
    let progress = context.out.progress(waiting.len() as u64, "predicting");
    let mut work = Work { store: &mut store, source: &source, predicted: 0, failed: Vec::new() };
    let mut unasked = Vec::new();
    let items = waiting.iter().filter_map(|id| match asker.item(&reader, id) {
        Ok(item) => Some((id.clone(), item)),
        Err(error) => {
            unasked.push((id.clone(), error.message()));
            None
        }
    });
    let mut broken = None;
    let ended = client.predict_all(items, |answers| {
        broken = work.take(answers).err();
        progress.set(work.predicted + work.failed.len() as u64);
        broken.is_none()
    });
    drop(progress);
    let Work { predicted, mut failed, .. } = work;
    failed.extend(unasked);
    if let Some(error) = broken {
        return Err(error);
    }
    if let Err(error) = ended {
        let kept = if predicted > 0 { format!("; {predicted} samples were predicted before and are kept") } else { String::new() };
        return Err(Failure::new(format_args!("{error}{kept}")));
    }
    let per_second = predicted as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let listed: Vec<_> = failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "predicted": predicted, "failed": failed.len(), "per_second": per_second, "device": "server", "model": source.model,
        "guidance": client.guidance().name(), "confidence": client.tells_confidence(), "errors": listed,
    }))?;
    for (id, error) in failed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if failed.len() > MOST_LISTED {
        context.out.line(format_args!("… and {} more", failed.len() - MOST_LISTED));
    }
    if predicted == 0 && failed.is_empty() {
        context.out.line(format_args!("nothing to predict: {} has predicted all of these samples ({kind})", source.model));
        return Ok(Outcome::Done);
    }
    context.out.line(format_args!(
        "{predicted} samples predicted by {} ({kind}, {}), {} failed, {per_second:.1} a second",
        source.model,
        client.found().flavour.name(),
        failed.len()
    ));
    if client.guidance() == Guidance::None {
        context.out.line("the server was not told what answers look like: each that could not be read counts as failed");
    }
    if predicted > 0 && !client.tells_confidence() {
        context.out.line("the server tells no probabilities: the confidence of these predictions is not known and counts as 0");
    }
    Ok(if failed.is_empty() { Outcome::Done } else { Outcome::Problems })
}
