//! What `eval` and `compare` share: samples with a known truth, and predictions of them.

pub(super) mod figures;
pub(super) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::context::{Context, absolute};
use super::output::Failure;
use super::plan::{self, Folders};
use super::predict::{self, DeviceName, Eye, Means};
use crate::config::Project;
use crate::domain::{Label, PredictionSource, SampleId, Split};
use crate::eval::Pair;
use crate::imaging;
use crate::import::{self, BadRow, Columns, TruthOptions};
use crate::store::Store;

/// Approved samples that are read at a time.
const PAGE: usize = 1000;
/// The most bad rows and failed samples that are listed in lines; in JSON all are.
const MOST_LISTED: usize = 20;

/// On which samples predictions are measured.
#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    /// Measure against this file instead of the approved labels.
    ///
    /// One JSON object a line, with the sample's id and the fields: `{"id": "raw-0002", "judgement": "defective", "position":
    /// "U8"}`. Fields may be missing; other keys are left alone.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Only measure on the samples that a filter lets through.
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// Only measure on the samples of one split.
    #[arg(long, value_enum, default_value_t = SplitName::All)]
    split: SplitName,
    /// How many samples are predicted together, where predictions are missing.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Option<u32>,
    /// What computes missing predictions.
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    /// Of the test split.
    Test,
    /// Of the validation split.
    Validation,
    /// Of the split that is trained on.
    Train,
    /// Of all.
    All,
}

impl SplitName {
    fn split(self) -> Option<Split> {
        match self {
            Self::Test => Some(Split::Test),
            Self::Validation => Some(Split::Validation),
            Self::Train => Some(Split::Train),
            Self::All => None,
        }
    }
}

impl MeasureArgs {
    /// What missing predictions may be made with.
    pub(super) fn means(&self) -> Means {
        Means { batch: self.batch, device: self.device }
    }
}

/// A sample with what is true of it.
pub(super) struct Known {
    pub(super) id: SampleId,
    pub(super) label: Label,
    pub(super) split: Split,
    /// Whether `--split` lets it through; the others serve to fit temperatures.
    pub(super) measured: bool,
}

/// The samples that are measured on.
pub(super) struct Truths {
    pub(super) known: Vec<Known>,
    /// What they are known from: `approved samples`, or the file.
    from: String,
    bad: Vec<BadRow>,
    /// Approved samples that schema and rules no longer let through.
    lapsed: Vec<String>,
}

impl Truths {
    /// Reads approved labels or the truth file, as far as the filter lets them through. Fails where none is to be measured.
    pub(super) fn read(project: &Project, store: &Store, args: &MeasureArgs) -> Result<Self, Failure> {
        let wanted = match &args.filter {
            Some(text) => Some(store.ids(&plan::filter(project, text)?)?.into_iter().collect::<BTreeSet<SampleId>>()),
            None => None,
        };
        let mut truths = match &args.truth {
            Some(file) => Self::of_file(project, store, &absolute(file))?,
            None => Self::approved(project, store)?,
        };
        if truths.known.is_empty() {
            return Err(Failure::new(match (&args.truth, truths.bad.first()) {
                (Some(_), Some(bad)) => format!("{}: no row can be measured against; the first that is wrong: {bad}", truths.from),
                (Some(_), None) => format!("{}: expected a line for each sample, got none", truths.from),
                (None, _) => "there is nothing to measure against: no sample is approved, and no truth file is given; approve samples \
                              with 'mekiki review' or 'mekiki approve', or name a file with --truth FILE"
                    .to_owned(),
            }));
        }
        let all = truths.known.len();
        truths.known.retain(|known| wanted.as_ref().is_none_or(|wanted| wanted.contains(&known.id)));
        for known in &mut truths.known {
            known.measured = args.split.split().is_none_or(|split| split == known.split);
        }
        if !truths.known.iter().any(|known| known.measured) {
            return Err(Failure::new(format_args!(
                "none of the {all} samples with a known truth ({}) is left by --where and --split",
                truths.from
            )));
        }
        Ok(truths)
    }

    fn approved(project: &Project, store: &Store) -> Result<Self, Failure> {
        let mut truths = Self { known: Vec::new(), from: "approved samples".to_owned(), bad: Vec::new(), lapsed: Vec::new() };
        let mut after = None;
        loop {
            let approved = store.approved(after, PAGE)?;
            truths.known.extend(approved.samples.into_iter().map(|sample| Known {
                id: sample.sample().id.clone(),
                label: sample.label().clone(),
                split: project.splits.split_of(&sample.sample().group),
                measured: false,
            }));
            truths.lapsed.extend(approved.problems.into_iter().map(|problem| format!("{}: {}", problem.sample, problem.text)));
            after = approved.next;
            if after.is_none() {
                return Ok(truths);
            }
        }
    }

    fn of_file(project: &Project, store: &Store, file: &Path) -> Result<Self, Failure> {
        let folders = Folders::of(project, store)?;
        let columns = Columns::new(project.schema(), project.import.columns.clone())?;
        let size = |id: &SampleId| {
            let view = store.sample(id).map_err(|error| error.to_string())?;
            let path = folders.locate(&view.sample.query).map_err(|error| error.message())?;
            imaging::dimensions(&path).map_err(|error| error.to_string())
        };
        let known = |id: &SampleId| store.has(id).unwrap_or(false);
        let options = TruthOptions { schema: project.schema(), columns: &columns, known: &known, size: &size };
        let truth = import::read_truth(file, &options)?;
        let known = truth
            .labels
            .into_iter()
            .map(|(id, label)| {
                let split = project.splits.split_of(&store.sample(&id)?.sample.group);
                Ok(Known { id, label, split, measured: false })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self { known, from: file.display().to_string(), bad: truth.bad, lapsed: Vec::new() })
    }

    /// The samples that are measured.
    pub(super) fn measured(&self) -> impl Iterator<Item = &Known> {
        self.known.iter().filter(|known| known.measured)
    }

    /// Whether anything was wrong with what the truth is known from.
    pub(super) fn has_problems(&self) -> bool {
        !self.bad.is_empty()
    }

    fn splits(&self) -> BTreeMap<&'static str, u64> {
        let count = |split| self.measured().filter(|known| known.split == split).count() as u64;
        Split::ALL.into_iter().map(|split| (split.name(), count(split))).collect()
    }

    pub(super) fn json(&self) -> Json {
        json!({
            "from": self.from, "samples": self.measured().count(), "splits": self.splits(), "bad": self.bad.len(), "errors": self.bad,
            "lapsed": self.lapsed,
        })
    }

    /// What was measured on, and what was wrong with it.
    pub(super) fn print(&self, context: &Context) {
        let splits: Vec<String> =
            self.splits().iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{count} {name}")).collect();
        context.out.line(format_args!("measured on {} samples ({}), truth: {}", self.measured().count(), splits.join(", "), self.from));
        let bad = self.bad.iter().map(ToString::to_string);
        let lapsed = self.lapsed.iter().map(|text| format!("approved, but no longer allowed: {text}"));
        list(context, bad.chain(lapsed));
    }
}

/// Prints the first of some problems.
fn list(context: &Context, lines: impl Iterator<Item = String>) {
    let mut more = 0;
    for (index, line) in lines.enumerate() {
        if index < MOST_LISTED {
            context.out.line(line);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        context.out.line(format_args!("… and {more} more"));
    }
}

/// What became of predictions that were missing.
#[derive(Default)]
pub(super) struct Made {
    predicted: u64,
    failed: Vec<(SampleId, String)>,
    /// Why none were made, where there is no checkpoint.
    none: Option<String>,
}

impl Made {
    /// Makes the predictions of these samples that are missing, where the checkpoint is there.
    pub(super) fn missing(
        context: &Context,
        project: &Project,
        store: &mut Store,
        eye: &Eye,
        sources: &[&PredictionSource],
        ids: &[SampleId],
        means: Means,
    ) -> Result<Self, Failure> {
        let mut wanted = Vec::new();
        for source in sources.iter().copied() {
            let mut left = Vec::new();
            for id in ids {
                if store.said(id, source)?.is_none() {
                    left.push(id.clone());
                }
            }
            wanted.push((source.clone(), left));
        }
        wanted.retain(|(_, left)| !left.is_empty());
        match eye.folder() {
            _ if wanted.is_empty() => Ok(Self::default()),
            Err(reason) => Ok(Self { none: Some(reason.message()), ..Self::default() }),
            Ok(_) => {
                let done = predict::missing(context, project, store, eye, &wanted, means)?;
                Ok(Self { predicted: done.predicted, failed: done.failed, none: None })
            }
        }
    }

    /// Adds what became of others.
    pub(super) fn and(&mut self, other: Self) {
        self.predicted += other.predicted;
        self.failed.extend(other.failed);
        self.none = self.none.take().or(other.none);
    }

    /// Whether samples could not be predicted.
    pub(super) fn has_problems(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Why predictions are missing, for a message.
    pub(super) fn reason(&self) -> String {
        match (&self.none, self.failed.first()) {
            (Some(reason), _) => reason.clone(),
            (None, Some((id, error))) => format!("{id}: {error}"),
            (None, None) => "none of these samples is predicted".to_owned(),
        }
    }

    pub(super) fn json(&self) -> Json {
        let failed: Vec<Json> = self.failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
        json!({ "predicted": self.predicted, "failed": failed, "no_checkpoint": self.none })
    }

    pub(super) fn print(&self, context: &Context) {
        if self.predicted > 0 {
            context.out.line(format_args!("{} missing predictions were made", self.predicted));
        }
        list(context, self.failed.iter().map(|(id, error)| format!("{id}: {error}")));
    }
}

/// The samples that a source has predicted, each beside its truth.
pub(super) fn pairs<'a>(store: &Store, source: &PredictionSource, known: impl Iterator<Item = &'a Known>) -> Result<Vec<Pair>, Failure> {
    let mut pairs = Vec::new();
    for known in known {
        if let Some(said) = store.said(&known.id, source)? {
            pairs.push(Pair { id: known.id.clone(), truth: known.label.clone(), said });
        }
    }
    Ok(pairs)
}

/// What made predictions.
pub(super) fn source_json(source: &PredictionSource) -> Json {
    json!({
        "model": source.model, "adapter": source.adapter, "instruction": source.instruction, "exemplar": source.exemplar, "kind": source.kind,
    })
}

/// The samples of which both have a prediction, side by side.
pub(super) fn both(first: &[Pair], second: &[Pair]) -> Vec<(Pair, Pair)> {
    let by_id: BTreeMap<&SampleId, &Pair> = second.iter().map(|pair| (&pair.id, pair)).collect();
    first.iter().filter_map(|pair| Some((pair.clone(), (*by_id.get(&pair.id)?).clone()))).collect()
}
