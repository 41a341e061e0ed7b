//! The project file `mekiki.toml`: fields, rules, instructions, answers, pools, plan. And the user's own settings, which
//! alone say where servers are.
//!
//! Contract: imports `domain` and `conversation`. A project file is untrusted: what is wrong with it is reported with
//! line, key, what was expected and what stands there, all of it at once, and nothing of it is used until all is right.

mod build;
mod edit;
mod place;
mod raw;
mod settings;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub use edit::{add_pool_images, remove_pool_image};
pub use settings::{ServerSettings, UserSettings};
pub use template::{Language, Template};

use crate::conversation::{Recipe, SamplingPlan};
use crate::domain::{Label, Schema, SplitPlan, Symmetries, printable};

/// The project file's name.
pub const FILE_NAME: &str = "mekiki.toml";

/// The largest project file that is read, in bytes.
const MOST_BYTES: u64 = 8 << 20;

/// A project as its file describes it.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's folder, absolute.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// What a model is asked and what it should say.
    pub recipe: Recipe,
    /// Which samples become one-shot.
    pub plan: SamplingPlan,
    /// Train, validation, test.
    pub splits: SplitPlan,
    /// How imports read their sources.
    pub import: ImportSettings,
    /// The model that is asked when none is named.
    pub model: Option<String>,
    /// The alias of the server that is asked instead; its address stands in the user's settings.
    pub server: Option<String>,
    /// Where the four corner cells of the grid lie on an image (top left, top right, bottom right, bottom left; the
    /// cells' centres, as shares of width and height), by image type. `exemplar make` draws its star by them.
    pub corners: BTreeMap<String, [[f64; 2]; 4]>,
    /// What training may do to pictures.
    pub train: TrainSettings,
}

impl Project {
    /// The project's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.recipe.schema
    }

    /// Whether a pool image of this group may be shown while training: its split is train.
    pub fn is_train(&self, group: &str) -> bool {
        self.splits.split_of(group) == crate::domain::Split::Train
    }
}

/// What imports take from the project file.
#[derive(Debug, Clone, Default)]
pub struct ImportSettings {
    /// Which column of a source holds what, where the names differ: our word, their column.
    pub columns: BTreeMap<String, String>,
    /// Values of fields of which sources say nothing.
    pub defaults: Label,
}

/// What training may do to a project's pictures without making their labels untrue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrainSettings {
    /// Which mirrored and turned pictures are shown.
    pub symmetries: Symmetries,
    /// Whether the light of pictures is varied.
    pub light: Light,
}

/// Whether the pictures' light, focus and noise are varied while training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// As between photographs.
    #[default]
    Varied,
    /// They are shown as they are: drawings, masks, pictures of two colours.
    Fixed,
}

/// Why a project cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no project file.
    #[error("{0} has no mekiki.toml; 'mekiki init {0} --template pins' starts a project, 'mekiki demo' makes one to try")]
    NoProject(PathBuf),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{}", list(.0))]
    Problems(Vec<ConfigProblem>),
}

/// One thing that is wrong with a project file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key, for example `fields[2].options`; empty at the top of the file.
    pub key: String,
    /// What was expected there, and what stands there.
    pub message: String,
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", printable(&self.key))?;
        }
        write!(f, "{}", printable(&self.message))
    }
}

fn list(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the project of a folder.
pub fn load(dir: &Path) -> Result<Project, ConfigError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Io { path, source }
    };
    let file = dir.join(FILE_NAME);
    if !file.is_file() {
        return Err(ConfigError::NoProject(dir.to_owned()));
    }
    let dir = dir.canonicalize().map_err(io(dir))?;
    if std::fs::metadata(&file).map_err(io(&file))?.len() > MOST_BYTES {
        let message = format!("expected at most {MOST_BYTES} bytes, got more");
        return Err(ConfigError::Problems(vec![ConfigProblem { file, line: 1, key: String::new(), message }]));
    }
    let text = std::fs::read_to_string(&file).map_err(io(&file))?;
    parse(&text, &file, &dir)
}

/// Reads a project file's text; `file` is for messages.
pub fn parse(text: &str, file: &Path, dir: &Path) -> Result<Project, ConfigError> {
    build::build(text, dir).map_err(|problems| {
        let named = |(line, key, message)| ConfigProblem { file: file.to_owned(), line, key, message };
        ConfigError::Problems(problems.into_iter().map(named).collect())
    })
}
