//! The training set on disk: planned, written back, listed in a manifest, one file per format.
//!
//! Contract: imports `domain`, `conversation` and `imaging`. Takes approved samples only, in import order, and streams
//! them; a crash at any moment leaves the old set or the new one; removes only files that its manifest lists with the
//! hash they still have; what is not ours is kept. Prints nothing.

mod card;
mod csv;
mod error;
mod existing;
mod format;
mod images;
mod manifest;
mod messages;
mod paligemma;
mod parquet;
mod place;
mod prepare;
mod provenance;
mod row;
mod staging;
mod tally;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use error::ExportError;
pub use format::Format;

use crate::conversation::{Recipe, SamplingPlan};
use crate::domain::{ApprovedSample, SampleId, Split, SplitPlan};
use existing::Existing;
use manifest::Manifest;
use place::Place;
use prepare::{Composer, Folders, Obstacle};
use provenance::Ledger;
use staging::Staging;
use tally::Tally;

/// What is to be written, and where.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What a model is asked and what it should say.
    pub recipe: &'a Recipe,
    /// Which samples become one-shot.
    pub plan: SamplingPlan,
    /// Train, validation, test.
    pub splits: &'a SplitPlan,
    /// How the set is written.
    pub format: Format,
    /// The set's folder: absent, empty, or one that an export of this project wrote.
    pub out: &'a Path,
    /// The absolute path of an image folder; 0 is the project's own.
    pub folders: &'a dyn Fn(i64) -> Option<PathBuf>,
    /// The name of the model that made the prediction with this number, for the provenance of accepted predictions.
    pub models: &'a dyn Fn(i64) -> Option<String>,
    /// Whether query images may be hard links to their sources instead of copies.
    pub hard_links: bool,
    /// Who writes, for example `mekiki 0.1.0`.
    pub tool: &'a str,
    /// The project's name.
    pub project: &'a str,
}

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Conversations in the set.
    pub conversations: u64,
    /// Those of them that begin with an exemplar.
    pub one_shot: u64,
    /// The others.
    pub zero_shot: u64,
    /// Conversations by split; every split is named.
    pub splits: BTreeMap<Split, u64>,
    /// The set's folder.
    pub path: PathBuf,
    /// Conversations that were not in the set before.
    pub added: u64,
    /// Conversations that say or show something else than before.
    pub replaced: u64,
    /// Conversations that were in the set before and are not any more.
    pub withdrawn: u64,
    /// Conversations whose bytes are what they were.
    pub unchanged: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Approved samples that are not in the set, and why.
    pub refused: Vec<Refusal>,
}

/// An approved sample that could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The sample.
    pub sample: SampleId,
    /// What speaks against it, and what to do.
    pub reason: String,
}

/// Samples that are prepared together; only so many are in memory.
const BATCH: usize = 128;

/// Writes approved samples, given in import order, as a training set, or brings the set that is there up to date.
///
/// Samples whose images cannot be vouched for are left out and reported. Everything else that is wrong ends the export
/// and leaves the old set as it was. `progress` hears how many samples are done.
pub fn export<E: Display>(
    request: &Request<'_>,
    approved: impl Iterator<Item = Result<ApprovedSample, E>>,
    progress: &dyn Fn(u64),
) -> Result<Report, ExportError> {
    let place = Place::take(request.out)?;
    let existing = Existing::open(place.out(), request)?;
    let staging = Staging::begin(place.staging(), existing.as_ref(), request.hard_links)?;
    let mut folders = Folders::new(request.folders);
    let composer = Composer::open(request, &staging, &mut folders)?;
    let mut ledger = Ledger::begin(&staging, existing.as_ref(), request.recipe)?;
    let mut writer = request.format.writer(request, &staging)?;
    let mut tally = Tally::new(&request.recipe.schema);
    let mut refused = Vec::new();
    let mut samples = Batches { approved, folders, holds_images: request.format.images() != format::Images::None, last: None };
    let (mut ready, mut done) = (Vec::new(), 0);
    loop {
        let raw = samples.next_batch()?;
        if raw.is_empty() && ready.is_empty() {
            break;
        }
        let mut next = Vec::new();
        // The next batch is read, hashed and copied while this one is written.
        rayon::in_place_scope(|scope| {
            let (next, composer, folders) = (&mut next, &composer, samples.folders.known());
            scope.spawn(move |_| raw.into_par_iter().map(|sample| composer.prepare(sample, folders)).collect_into_vec(next));
            for prepared in ready.drain(..) {
                match prepared {
                    Ok(rows) => {
                        for row in rows {
                            tally.count(&row);
                            ledger.enter(&row, request.models)?;
                            writer.write(row)?;
                        }
                    }
                    Err(Obstacle::Refused(refusal)) => refused.push(refusal),
                    Err(Obstacle::Fatal(error)) => return Err(error),
                }
                done += 1;
                progress(done);
            }
            Ok(())
        })?;
        ready = next;
    }
    if tally.conversations() == 0 && (existing.is_none() || !refused.is_empty()) {
        return Err(ExportError::Nothing { refused });
    }
    let writes = writer.finish()?;
    staging.list(writes);
    let (changes, provenance) = ledger.finish()?;
    staging.list([provenance]);
    let mut warnings = tally.warnings(request.splits);
    warnings.extend(composer.warnings());
    warnings.extend(existing.iter().flat_map(Existing::warnings));
    if !existing.as_ref().is_some_and(Existing::keeps_card) {
        staging.write(card::FILE, card::text(request, &tally).as_bytes())?;
    }
    let manifest = Manifest::new(request, &tally, staging.files());
    let same = existing.as_ref().is_some_and(|existing| existing.is(&manifest));
    if !same {
        staging.write_manifest(&manifest)?;
        place.publish(existing.as_ref())?;
    }
    Ok(Report {
        conversations: tally.conversations(),
        one_shot: tally.one_shot(),
        zero_shot: tally.conversations() - tally.one_shot(),
        splits: tally.splits(),
        path: place.out().to_owned(),
        added: changes.added,
        replaced: changes.replaced,
        withdrawn: changes.withdrawn,
        unchanged: changes.unchanged,
        warnings,
        refused,
    })
}

/// Approved samples, a batch at a time, with the folders that their images lie in.
struct Batches<'a, I> {
    approved: I,
    folders: Folders<'a>,
    holds_images: bool,
    last: Option<u64>,
}

impl<I: Iterator<Item = Result<ApprovedSample, E>>, E: Display> Batches<'_, I> {
    fn next_batch(&mut self) -> Result<Vec<ApprovedSample>, ExportError> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Some(next) = self.approved.next()
        {
            let approved = next.map_err(|error| ExportError::Samples(error.to_string()))?;
            let sample = approved.sample();
            if self.last.is_some_and(|last| last >= sample.ordinal) {
                return Err(ExportError::Samples(format!("expected samples in import order, got {} after a later one", sample.id)));
            }
            self.last = Some(sample.ordinal);
            for image in std::iter::once(&sample.query).chain(&sample.reference).filter(|_| self.holds_images) {
                self.folders.resolve(image.folder)?;
            }
            batch.push(approved);
        }
        Ok(batch)
    }
}
