//! The approved samples of a store, written as a training set.

use std::path::Path;

use super::Folders;
use crate::config::Project;
use crate::conversation::SamplingPlan;
use crate::domain::{ApprovedSample, Split};
use crate::export::{self, ExportError, Format, Report, Request};
use crate::store::{Store, StoreError};

/// How many approved samples are read from the store at a time.
const PAGE: usize = 1000;

/// How a training set is written.
#[derive(Debug, Clone, Copy)]
pub struct Exporting<'a> {
    /// The set's folder.
    pub out: &'a Path,
    /// Its format.
    pub format: Format,
    /// Which samples become one-shot.
    pub sampling: SamplingPlan,
    /// Only the samples of this split; all of them, when not given.
    pub split: Option<Split>,
    /// Whether images may be links to where they lie.
    pub hard_links: bool,
}

/// What became of the approved samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What was written.
    pub report: Report,
    /// Samples that are not in it, and why: those whose approval does not hold any more, then those whose images do not.
    pub refused: Vec<(String, String)>,
}

/// Writes a training set, or brings the one that is there up to date. `progress` hears how many samples are done.
pub fn export(
    project: &Project,
    store: &Store,
    folders: &Folders,
    wanted: Exporting<'_>,
    progress: &dyn Fn(u64),
) -> Result<Set, ExportError> {
    let mut refused = Vec::new();
    let request = Request {
        recipe: &project.recipe,
        plan: wanted.sampling,
        splits: &project.splits,
        format: wanted.format,
        out: wanted.out,
        folders: &|folder| folders.iter().find(|(number, _)| *number == folder).map(|(_, path)| path.clone()),
        models: &|prediction| store.model_of(prediction).ok().flatten(),
        hard_links: wanted.hard_links,
        tool: concat!("mekiki ", env!("CARGO_PKG_VERSION")),
        project: &project.name,
    };
    let in_split = |sample: &ApprovedSample| wanted.split.is_none_or(|split| project.splits.split_of(&sample.sample().group) == split);
    let approved = Approvals::new(store, &mut refused).filter(|sample| sample.as_ref().map_or(true, in_split));
    let report = export::export(&request, approved, progress)?;
    refused.extend(report.refused.iter().map(|refusal| (refusal.sample.to_string(), refusal.reason.clone())));
    tracing::info!(
        path = %report.path.display(), conversations = report.conversations, added = report.added, replaced = report.replaced,
        withdrawn = report.withdrawn, refused = refused.len(), "training set written"
    );
    Ok(Set { report, refused })
}

/// The approved samples of a store in import order, a page at a time. Those whose approval no longer holds under the
/// schema of today are put aside, each with what speaks against it.
struct Approvals<'a> {
    store: &'a Store,
    page: std::vec::IntoIter<ApprovedSample>,
    /// The ordinal behind which the next page begins.
    after: Option<u64>,
    /// Whether there is no next page.
    ended: bool,
    broken: &'a mut Vec<(String, String)>,
}

impl<'a> Approvals<'a> {
    fn new(store: &'a Store, broken: &'a mut Vec<(String, String)>) -> Self {
        Self { store, page: Vec::new().into_iter(), after: None, ended: false, broken }
    }
}

impl Iterator for Approvals<'_> {
    type Item = Result<ApprovedSample, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(sample) = self.page.next() {
                return Some(Ok(sample));
            }
            if self.ended {
                return None;
            }
            match self.store.approved(self.after, PAGE) {
                Ok(approved) => {
                    self.broken.extend(approved.problems.into_iter().map(|problem| (problem.sample.to_string(), problem.text)));
                    self.page = approved.samples.into_iter();
                    (self.after, self.ended) = (approved.next, approved.next.is_none());
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
