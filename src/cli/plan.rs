//! What commands that read the store share: the project's plan, filters, image folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::output::Failure;
use crate::config::Project;
use crate::conversation::SamplingPlan;
use crate::domain::{Filter, ImageRef, Kind};
use crate::imaging;
use crate::jobs;
use crate::store::{Plan, Store};

/// The part of a project's plan that filters look at.
pub(super) fn of(project: &Project) -> Plan {
    Plan { sampling: project.plan, seed: project.recipe.seed, splits: project.splits.clone() }
}

/// Reads a filter that the user typed.
pub(super) fn filter(project: &Project, text: &str) -> Result<Filter, Failure> {
    Filter::parse(project.schema(), text).map_err(Failure::usage)
}

/// Where images lie, as the work takes it: the project's own folder, and those that imports named.
pub(super) fn folders(project: &Project, store: &Store) -> Result<jobs::Folders, Failure> {
    let mut folders = store.folders()?;
    folders.retain(|(number, _)| *number != 0);
    folders.push((0, project.dir.clone()));
    Ok(folders)
}

/// The same, to be asked for images.
pub(super) struct Folders {
    folders: BTreeMap<i64, PathBuf>,
}

impl Folders {
    /// The folders of a project.
    pub(super) fn of(project: &Project, store: &Store) -> Result<Self, Failure> {
        Ok(Self { folders: folders(project, store)?.into_iter().collect() })
    }

    /// The folder of this number.
    pub(super) fn get(&self, folder: i64) -> Option<&PathBuf> {
        self.folders.get(&folder)
    }

    /// The file of an image; fails when it is missing or leads out of its folder.
    pub(super) fn locate(&self, image: &ImageRef) -> Result<PathBuf, Failure> {
        let folder =
            self.get(image.folder).ok_or_else(|| Failure::new(format_args!("{}: its folder is not known to the project", image.path)))?;
        Ok(imaging::locate(folder, &image.path)?)
    }
}

/// The plan that flags ask for: `--one-shot N`, `--one-shot all|none|both`, `--one-shot 30%`.
pub(super) fn sampling(text: &str) -> Result<SamplingPlan, String> {
    let share = |text: &str| {
        text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent)).map(|percent: f64| SamplingPlan::Fraction(percent / 100.0))
    };
    match text {
        "all" => Some(SamplingPlan::All(Kind::OneShot)),
        "none" => Some(SamplingPlan::All(Kind::ZeroShot)),
        "both" => Some(SamplingPlan::Both),
        text => text.strip_suffix('%').map_or_else(|| text.parse().ok().map(SamplingPlan::First), share),
    }
    .ok_or_else(|| "expected a number of samples, a share such as 30%, all, none or both".to_owned())
}
