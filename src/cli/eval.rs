//! `mekiki eval`: what a model's predictions are worth.

mod controls;
mod lines;
mod plots;
mod temperatures;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::context::{Context, absolute};
use super::measure::{Made, MeasureArgs, Truths, figures, pairs, source_json};
use super::output::{Failure, Outcome};
use super::predict::{ExemplarName, Eye};
use crate::domain::{Exemplar, Kind, PredictionSource, SampleId, Split};
use crate::eval::{Report, report};
use controls::Control;

/// Measure a model's predictions on approved samples, or against a truth file; predictions that are missing are made.
///
/// Zero-shot and one-shot stand beside each other. A one-shot report always has its controls: the same questions with an
/// exemplar that names another address, and with none, which is the zero-shot question. A model that answers all three
/// alike does not look at its exemplar. Boxes count as right from an overlap of 0.5.
#[derive(Debug, Args)]
pub(super) struct EvalArgs {
    /// What is asked.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Kinds::Both)]
    kind: Kinds,
    /// Which exemplar the one-shot questions of the report show; the others are its controls.
    #[arg(long, value_enum, default_value_t = ExemplarName::Right)]
    exemplar: ExemplarName,
    /// The model, as `predict` takes it; the project's, when not given. Predictions that are stored under its name are
    /// measured without its checkpoint, too.
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// The folder of an adapter (PEFT) that is laid over the model.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    #[command(flatten)]
    measure: MeasureArgs,
    /// Fit a temperature for each field on the validation split and keep it in the project: from then on, confidences
    /// everywhere are what the model deserves.
    #[arg(long)]
    fit_temperature: bool,
    /// Write the figures as SVG and PNG files into this folder.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kinds {
    /// Instruction, reference and query.
    ZeroShot,
    /// An exemplar with its answer first.
    OneShot,
    /// One beside the other.
    Both,
}

impl Kinds {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::ZeroShot => &[Kind::ZeroShot],
            Self::OneShot => &[Kind::OneShot],
            Self::Both => &[Kind::ZeroShot, Kind::OneShot],
        }
    }
}

/// One kind, measured.
struct Measured {
    kind: Kind,
    source: PredictionSource,
    report: Report,
    /// Measured samples without a prediction.
    missing: usize,
    controls: Vec<Control>,
}

pub(super) fn run(context: &Context, args: &EvalArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let eye = Eye::named(&project, &store, args.model.as_deref(), args.adapter.as_deref())?;
    let truths = Truths::read(&project, &store, &args.measure)?;
    let fits = |split| args.fit_temperature && split == Split::Validation;
    let ids: Vec<SampleId> =
        truths.known.iter().filter(|known| known.measured || fits(known.split)).map(|known| known.id.clone()).collect();
    let main = |kind| eye.source(&project, kind, args.exemplar.exemplar());
    let asked: Vec<PredictionSource> = args.kind.kinds().iter().map(|kind| main(*kind)).collect();
    let mut made = Made::missing(context, &project, &mut store, &eye, &asked.iter().collect::<Vec<_>>(), &ids, args.measure.means())?;
    let measured_ids: Vec<SampleId> = truths.measured().map(|known| known.id.clone()).collect();
    let mut others: Vec<(Exemplar, PredictionSource)> = Vec::new();
    if let Some(one_shot) = asked.iter().find(|source| source.kind == Kind::OneShot) {
        others = controls::sources(&store, one_shot, &eye.source(&project, Kind::ZeroShot, Exemplar::Right), &measured_ids)?;
        let sources: Vec<&PredictionSource> = others.iter().map(|(_, source)| source).collect();
        made.and(Made::missing(context, &project, &mut store, &eye, &sources, &measured_ids, args.measure.means())?);
    }
    let fitted = if args.fit_temperature { temperatures::fit_all(&mut store, &asked, &truths)? } else { Vec::new() };
    let mut measured = Vec::new();
    let mut absent = Vec::new();
    for source in &asked {
        let pairs = pairs(&store, source, truths.measured())?;
        if pairs.is_empty() {
            absent.push(source.kind);
            continue;
        }
        measured.push(Measured {
            kind: source.kind,
            report: report(project.schema(), &pairs, &store.temperatures(source)?),
            missing: measured_ids.len() - pairs.len(),
            controls: if source.kind == Kind::OneShot {
                controls::measure(&project, &store, &pairs, &others, &truths)?
            } else {
                Vec::new()
            },
            source: source.clone(),
        });
    }
    if measured.is_empty() {
        return Err(Failure::new(format_args!("there are no predictions of {} to measure: {}", eye.name, made.reason())));
    }
    let written = match &args.plots {
        Some(dir) => plots::write(&project, &absolute(dir), &measured)?,
        None => Vec::new(),
    };
    let mut object = Map::new();
    for known in &measured {
        object.insert(known.kind.name().to_owned(), Json::Object(kind_json(&project, known)));
    }
    object.insert("truth".to_owned(), truths.json());
    object.insert("made".to_owned(), made.json());
    object.insert("temperatures".to_owned(), json!(fitted.iter().map(temperatures::FittedField::json).collect::<Vec<_>>()));
    object.insert("plots".to_owned(), json!(written));
    context.out.object(&object)?;
    if !context.out.is_json() {
        truths.print(context);
        made.print(context);
        for kind in &absent {
            context.out.line(format_args!("no {kind} predictions of {}: {}", eye.name, made.reason()));
        }
        for known in measured.iter().filter(|known| known.missing > 0) {
            context.out.line(format_args!("{} samples without a {} prediction: {}", known.missing, known.kind, made.reason()));
        }
        lines::print(context, &project, &measured);
        lines::temperatures(context, args.fit_temperature, &fitted);
        if let Some(dir) = &args.plots {
            context.out.line(format_args!("{} plots written into {}", written.len(), dir.display()));
        }
    }
    let gaps = measured.iter().any(|known| known.missing > 0);
    Ok(if gaps || made.has_problems() || truths.has_problems() { Outcome::Problems } else { Outcome::Done })
}

fn kind_json(project: &crate::config::Project, known: &Measured) -> Map<String, Json> {
    let mut told = figures::report(project, &known.report);
    told.insert("source".to_owned(), source_json(&known.source));
    told.insert("missing".to_owned(), json!(known.missing));
    if known.kind == Kind::OneShot {
        let controls = known.controls.iter().map(|control| (control.exemplar.name().to_owned(), control.json()));
        told.insert("controls".to_owned(), Json::Object(controls.collect()));
    }
    told
}
