//! What is learnt from, and what evaluations look at: generated boards, or a project's approved samples.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::super::context::Context;
use super::super::output::Failure;
use super::super::plan::Folders;
use super::TrainArgs;
use crate::boards::DefectMode;
use crate::config::{self, FILE_NAME, Language, Light, Project, Template};
use crate::conversation::{Recipe, SamplingPlan};
use crate::domain::{ApprovedSample, FieldKind, ImageRef, Kind, Schema, Split, Value, stable_hash};
use crate::imaging::{self, ImageError};
use crate::store::Store;
use crate::train::{
    Approved, ApprovedPlan, Boards, BoardsPlan, Circuits, CircuitsPlan, DataSet, Examples, Held, Locate, Mixed, Photometry,
};

/// How many approved samples are read from the store at a time.
const PAGE: usize = 1000;

/// Examples, and what should be known of them before a run begins.
pub(super) struct Source {
    pub(super) examples: Arc<dyn Examples>,
    pub(super) held: Option<Held>,
    /// What they are, for the model's card.
    pub(super) data: DataSet,
    /// For the person who trains.
    pub(super) warnings: Vec<String>,
}

/// The examples that the options ask for. Approved samples are those of the training split; evaluations look at those of the
/// validation split, or at other boards.
pub(super) fn source(context: &Context, args: &TrainArgs) -> Result<Source, Failure> {
    match (args.boards, args.approved_share) {
        (Some(seed), None) => {
            let recipe = match context.project_there()? {
                Some(project) => project.recipe,
                None => config::parse(&Template::Pins.text("boards", Language::En), FILE_NAME.as_ref(), Path::new("."))?.recipe,
            };
            let held = held_boards(args, seed, recipe.clone())?;
            let data = DataSet { says: drawn(args, seed), hash: None };
            Ok(Source { examples: Arc::new(boards(args, seed, recipe)?), held: Some(held), data, warnings: Vec::new() })
        }
        (None, _) => {
            let Samples { learn, circuits, held, data, warnings, .. } = samples(context, args)?;
            let Some([real, drawn]) = circuits else { return Ok(Source { examples: Arc::new(learn), held, data, warnings }) };
            let part = args.circuits / 2.0;
            let all: Vec<(Box<dyn Examples>, f64)> =
                vec![(Box::new(learn), 1.0 - args.circuits), (Box::new(real), part), (Box::new(drawn), part)];
            let says = format!("{} ({:.0} %) and printed circuits with generated defects", data.says, 100.0 * (1.0 - args.circuits));
            Ok(Source { examples: Arc::new(Mixed::new(args.seed, all)?), held, data: DataSet { says, ..data }, warnings })
        }
        (Some(seed), Some(share)) => {
            let Samples { project, learn, held, data, warnings, .. } = samples(context, args)?;
            let says = format!("{} ({:.0} %) and {}", data.says, 100.0 * share, drawn(args, seed));
            let data = DataSet { says, ..data };
            let held = match held {
                Some(held) => held,
                None => held_boards(args, seed, project.recipe.clone())?,
            };
            let generated = boards(args, seed, project.recipe)?;
            let both: Vec<(Box<dyn Examples>, f64)> = vec![(Box::new(learn), share), (Box::new(generated), 1.0 - share)];
            Ok(Source { examples: Arc::new(Mixed::new(args.seed, both)?), held: Some(held), data, warnings })
        }
    }
}

/// A defect, and how many times as often as the others it is drawn.
pub(super) fn often(text: &str) -> Result<(DefectMode, u8), String> {
    let (id, times) = text.split_once('=').ok_or("expected a defect mode and a number, such as burr=4")?;
    let mode = DefectMode::ALL.into_iter().find(|mode| mode.id() == id);
    let mode = mode.ok_or_else(|| format!("expected one of {}, got {id:?}", DefectMode::ALL.map(DefectMode::id).join(", ")))?;
    let times = times.parse().ok().filter(|times| (1..=100).contains(times));
    Ok((mode, times.ok_or("expected a whole number from 1 to 100 behind the =")?))
}

fn boards_plan(args: &TrainArgs, seed: u64) -> BoardsPlan {
    let plan = BoardsPlan::default();
    let more = |(mode, times): &(DefectMode, u8)| {
        // A mode that does not occur yet is drawn as well.
        let there = u8::from(plan.modes.contains(mode));
        std::iter::repeat_n(*mode, usize::from(times.saturating_sub(there)))
    };
    let modes = plan.modes.iter().copied().chain(args.often.iter().flat_map(more)).collect();
    BoardsPlan {
        seed,
        modes,
        width: args.width,
        one_shot: args.one_shot_share as f32,
        kept: args.keep as usize,
        photometry: if args.no_augment { Photometry::NONE } else { Photometry::LIGHT },
        ..plan
    }
}

fn boards(args: &TrainArgs, seed: u64, recipe: Recipe) -> Result<Boards, Failure> {
    Ok(Boards::new(boards_plan(args, seed), recipe)?)
}

fn held_boards(args: &TrainArgs, seed: u64, recipe: Recipe) -> Result<Held, Failure> {
    let seed = stable_hash(seed, &["held out"]);
    let mut plan = BoardsPlan { kept: 0, photometry: Photometry::NONE, ..boards_plan(args, seed) };
    // What occurs more often in training is measured as often as everything else.
    plan.modes.sort_unstable();
    plan.modes.dedup();
    // Half of them are of one kind: enough of either come up.
    Ok(Held { examples: Arc::new(Boards::new(plan, recipe)?), count: 4 * u64::from(args.evaluate_on) })
}

struct Samples {
    project: Project,
    learn: Approved,
    /// Of the approved samples with other defects, and drawn.
    circuits: Option<[Circuits; 2]>,
    held: Option<Held>,
    data: DataSet,
    warnings: Vec<String>,
}

fn samples(context: &Context, args: &TrainArgs) -> Result<Samples, Failure> {
    let (project, store) = context.open()?;
    let mut warnings = Vec::new();
    let all = approved(&store, &mut warnings)?;
    let total = all.len();
    let split_of = |approved: &ApprovedSample| project.splits.split_of(&approved.sample().group);
    let (learnt, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|approved| split_of(approved) == Split::Train);
    let held: Vec<_> = others.into_iter().filter(|approved| split_of(approved) == Split::Validation).collect();
    if learnt.is_empty() {
        let advice = "approve some with 'mekiki review' or 'mekiki approve', or learn from generated boards with --boards SEED";
        return Err(Failure::new(match total {
            0 => format!("no approved samples to learn from; {advice}"),
            _ => format!("none of the {total} approved samples is in the training split; {advice}"),
        }));
    }
    warnings.extend(missing(project.schema(), &learnt));
    if held.is_empty() {
        warnings
            .push("no approved sample is in the validation split: nothing is evaluated on the way, and the last weights are kept".into());
    }
    let photometry = match (args.no_augment, project.train.light) {
        (false, Light::Varied) => Photometry::MILD,
        _ => Photometry::NONE,
    };
    let data = data(&project, &learnt)?;
    let plan = ApprovedPlan { seed: args.seed, kinds: kinds(args.one_shot_share), photometry, ..ApprovedPlan::default() };
    let plan =
        if args.no_augment { ApprovedPlan { shift: 0.0, ..plan } } else { ApprovedPlan { symmetries: project.train.symmetries, ..plan } };
    let make = |plan: ApprovedPlan, samples: Vec<ApprovedSample>| -> Result<Approved, Failure> {
        let locate = locate(Folders::of(&project, &store)?);
        Ok(Approved::new(plan, samples, &project.recipe, project.corners.clone(), locate)?)
    };
    let held = if held.is_empty() {
        None
    } else {
        let plain = make(ApprovedPlan::plain(SamplingPlan::Both), held)?;
        Some(Held { count: plain.round(), examples: Arc::new(plain) })
    };
    let circuits = if args.circuits > 0.0 {
        let plan = CircuitsPlan { seed: args.seed, one_shot: args.one_shot_share as f32, ..CircuitsPlan::default() };
        let of_samples = locate(Folders::of(&project, &store)?);
        let real = Circuits::on(plan.clone(), project.recipe.clone(), learnt.clone(), of_samples)?;
        let of_pool = locate(Folders::of(&project, &store)?);
        Some([real, Circuits::drawn(plan, project.recipe.clone(), of_pool)?])
    } else {
        None
    };
    let learn = make(plan, learnt)?;
    Ok(Samples { project, learn, circuits, held, data, warnings })
}

/// Which kinds of conversation are made of samples where this share of them is to be one-shot.
pub(super) fn kinds(one_shot: f64) -> SamplingPlan {
    match one_shot {
        0.0 => SamplingPlan::All(Kind::ZeroShot),
        0.5 => SamplingPlan::Both,
        1.0 => SamplingPlan::All(Kind::OneShot),
        share => SamplingPlan::Fraction(share),
    }
}

fn drawn(args: &TrainArgs, seed: u64) -> String {
    format!("generated pin boards, seed {seed}, {} pixels wide", args.width)
}

/// What tells a set of samples from any other: which they are, what they show, what they say.
fn data(project: &Project, samples: &[ApprovedSample]) -> Result<DataSet, Failure> {
    let mut list = String::new();
    for approved in samples {
        let images = &approved.provenance().images;
        let reference = images.reference.map(|hash| hash.to_string());
        let answer = project.recipe.answer_turn(approved.label())?.text();
        let line = serde_json::json!([approved.sample().id.as_str(), images.query.to_string(), reference, answer]);
        list.push_str(&line.to_string());
        list.push('\n');
    }
    let says = format!(
        "{} approved samples of the project {} (training split), instructions {}",
        samples.len(),
        project.name,
        project.recipe.instructions.identity()
    );
    Ok(DataSet { says, hash: Some(imaging::hash_bytes(list.as_bytes())) })
}

fn locate(folders: Folders) -> Locate {
    Box::new(move |image: &ImageRef| match folders.get(image.folder) {
        Some(folder) => imaging::locate(folder, &image.path),
        None => Err(ImageError::Io {
            path: image.path.as_str().into(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, "its folder is not known to the project"),
        }),
    })
}

pub(super) fn approved(store: &Store, warnings: &mut Vec<String>) -> Result<Vec<ApprovedSample>, Failure> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.approved(after, PAGE)?;
        all.extend(page.samples);
        warnings.extend(page.problems.into_iter().map(|problem| format!("{}: left out: {}", problem.sample, problem.text)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

/// A line for each field of which some value is never seen while training: it cannot be learnt.
fn missing(schema: &Schema, learnt: &[ApprovedSample]) -> Vec<String> {
    let lines = schema.fields().iter().filter_map(|field| {
        let FieldKind::Choice { options } = &field.kind else { return None };
        let seen: BTreeSet<&str> = learnt
            .iter()
            .filter_map(|approved| match approved.label().get(&field.id) {
                Some(Value::Choice(option)) => Some(option.as_str()),
                _ => None,
            })
            .collect();
        let unseen: Vec<&str> = options.iter().map(String::as_str).filter(|option| !seen.contains(option)).collect();
        (!unseen.is_empty()).then(|| format!("{}: no training sample shows {}; it cannot be learnt from them", field.id, unseen.join(", ")))
    });
    lines.collect()
}
