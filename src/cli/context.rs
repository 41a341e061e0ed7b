//! What every command needs: where the project is, who acts, how to print.

use std::path::{Path, PathBuf};

use super::output::{Failure, Output};
use super::plan;
use super::trace::Level;
use crate::config::{self, ConfigError, Project};
use crate::domain::ReviewerName;
use crate::store::{Store, StoreError, Who};

/// The options that stand before or behind every command.
#[derive(Debug)]
pub(super) struct Context {
    dir: PathBuf,
    reviewer: Option<String>,
    /// How much is written down of what happens, where that was said.
    pub(super) verbose: Option<Level>,
    /// How to print.
    pub(super) out: Output,
}

impl Context {
    pub(super) fn new(dir: Option<PathBuf>, reviewer: Option<String>, json: bool, verbose: Option<Level>) -> Self {
        Self { dir: dir.unwrap_or_else(|| PathBuf::from(".")), reviewer, verbose, out: Output::new(json) }
    }

    /// The folder that `-C` names, or the current one.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The project that `-C` names, or that of the current folder.
    pub(super) fn project(&self) -> Result<Project, Failure> {
        Ok(config::load(&self.dir)?)
    }

    /// The project, where there is one.
    pub(super) fn project_there(&self) -> Result<Option<Project>, Failure> {
        match config::load(&self.dir) {
            Err(ConfigError::NoProject(_)) => Ok(None),
            loaded => Ok(Some(loaded?)),
        }
    }

    /// The project and its store, which is made where a project file has none yet. Where nothing may be written, it is open
    /// for looking: whatever would change it says so.
    pub(super) fn open(&self) -> Result<(Project, Store), Failure> {
        let project = self.project()?;
        let mut store = match Store::open(&project.dir, project.schema()) {
            Err(StoreError::Missing(_)) => Store::create(&project.dir, project.schema())?,
            Err(StoreError::ReadOnly(_)) => Store::open_read_only(&project.dir, project.schema())?,
            opened => opened?,
        };
        store.set_plan(plan::of(&project))?;
        Ok((project, store))
    }

    /// Who acts: `--reviewer`, else the login name.
    pub(super) fn who(&self) -> Result<Who, Failure> {
        let name = self.reviewer.clone().unwrap_or_else(login_name);
        let reviewer = ReviewerName::new(name).map_err(|error| Failure::usage(format_args!("--reviewer: {error}")))?;
        Ok(Who { reviewer, uid: rustix::process::getuid().as_raw(), user: login_name(), host: host_name() })
    }
}

/// A path that the user typed, made absolute; `-C` names the project and does not move it.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn login_name() -> String {
    whoami::username().unwrap_or_else(|_| format!("uid-{}", rustix::process::getuid().as_raw()))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
