//! The registry of formats.

use super::row::{Line, Row};
use super::staging::{Listed, Staging};
use super::{ExportError, Request, csv, messages, paligemma, parquet};
use crate::conversation::{Recipe, SamplingPlan};
use crate::domain::Kind;

/// How a training set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An image folder with `metadata.jsonl`, for datasets, TRL, Unsloth, LLaMA-Factory, ms-swift and axolotl.
    Messages,
    /// The same columns in Parquet, with the images in it.
    Parquet,
    /// `image`, `prefix` and `suffix` for PaliGemma.
    PaliGemma,
    /// A table of the labels.
    Csv,
}

/// Which images a format holds, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    /// All, as files.
    Files,
    /// All, in the rows.
    Embedded,
    /// The query, as a file.
    QueryFile,
    /// None.
    None,
}

/// What puts rows into the set, in their order.
pub(super) trait Writer {
    fn write(&mut self, row: Row) -> Result<(), ExportError>;
    /// Closes the files that were written.
    fn finish(self: Box<Self>) -> Result<Vec<Listed>, ExportError>;
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Messages, Self::Parquet, Self::PaliGemma, Self::Csv];

    /// `messages`, `parquet`, `paligemma` or `csv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Parquet => "parquet",
            Self::PaliGemma => "paligemma",
            Self::Csv => "csv",
        }
    }

    /// The format that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text)
    }

    /// Which images it holds.
    pub(super) fn images(self) -> Images {
        match self {
            Self::Messages => Images::Files,
            Self::Parquet => Images::Embedded,
            Self::PaliGemma => Images::QueryFile,
            Self::Csv => Images::None,
        }
    }

    /// The plan as far as the format knows kinds: PaliGemma and tables have one row per sample.
    pub(super) fn plan(self, plan: SamplingPlan) -> SamplingPlan {
        match self {
            Self::Messages | Self::Parquet => plan,
            Self::PaliGemma | Self::Csv => SamplingPlan::All(Kind::ZeroShot),
        }
    }

    /// What a row puts into text files; the first line tells one conversation from another.
    pub(super) fn lines(self, recipe: &Recipe, row: &Row) -> Vec<Line> {
        match self {
            Self::Messages => messages::lines(recipe, row),
            Self::Parquet => vec![messages::main_line(recipe, row)],
            Self::PaliGemma => vec![paligemma::line(recipe, row)],
            Self::Csv => vec![csv::line(recipe, row)],
        }
    }

    /// What writes the rows.
    pub(super) fn writer<'a>(self, request: &Request<'a>, staging: &'a Staging<'a>) -> Result<Box<dyn Writer + 'a>, ExportError> {
        Ok(match self {
            Self::Messages => Box::new(messages::Files::begin(request.project, staging)?),
            Self::Parquet => Box::new(parquet::Shards::begin(request, staging)?),
            Self::PaliGemma => Box::new(Texts::new(staging, Vec::new())),
            Self::Csv => Box::new(Texts::new(staging, csv::header(&request.recipe.schema))),
        })
    }
}

/// Text files that rows are appended to.
pub(super) struct Texts<'a> {
    staging: &'a Staging<'a>,
    /// What each file begins with.
    header: Vec<u8>,
    open: std::collections::BTreeMap<String, super::staging::HashedFile>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(staging: &'a Staging<'a>, header: Vec<u8>) -> Self {
        Self { staging, header, open: std::collections::BTreeMap::new() }
    }

    /// The names of the files so far.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }

    /// Takes a file away again.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), ExportError> {
        self.open.remove(name).map_or(Ok(()), super::staging::HashedFile::remove)
    }
}

impl Writer for Texts<'_> {
    fn write(&mut self, row: Row) -> Result<(), ExportError> {
        for line in row.lines {
            if !self.open.contains_key(&line.file) {
                let mut file = self.staging.create(&line.file)?;
                file.append(&self.header)?;
                self.open.insert(line.file.clone(), file);
            }
            if let Some(file) = self.open.get_mut(&line.file) {
                file.append(&line.bytes)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Listed>, ExportError> {
        self.open.into_values().map(super::staging::HashedFile::finish).collect()
    }
}
