//! The registry of formats.

use std::fmt;

use super::run::{Halt, Run};
use super::{coco, csv, folder, jsonl, label_studio, paligemma, parquet, rows};

/// The formats that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The original rows, JSONL or CSV: `dir`, `position`, `type`, `image`, `bbox_str`.
    Rows,
    /// One JSON object a line, by columns.
    Jsonl,
    /// Comma- or tab-separated values with a header, by columns.
    Csv,
    /// Hugging Face Parquet: images as bytes or paths, by columns.
    Parquet,
    /// PaliGemma JSONL: `image`, `prefix`, `suffix`.
    PaliGemma,
    /// A folder of the MVTec kind: `train/good`, `test/<defect>`, `ground_truth`.
    Folder,
    /// COCO JSON: images, annotations, categories.
    Coco,
    /// Label Studio's JSON export.
    LabelStudio,
}

/// How a format is read from an opened source.
type Reader = fn(&mut Run<'_>) -> Result<(), Halt>;

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] =
        [Self::Rows, Self::Jsonl, Self::Csv, Self::Parquet, Self::PaliGemma, Self::Folder, Self::Coco, Self::LabelStudio];

    /// Name, file extensions and reader: one line a format.
    const fn entry(self) -> (&'static str, &'static [&'static str], Reader) {
        match self {
            Self::Rows => ("rows", &["jsonl", "ndjson", "csv", "tsv"], rows::read),
            Self::Jsonl => ("jsonl", &["jsonl", "ndjson"], jsonl::read),
            Self::Csv => ("csv", &["csv", "tsv"], csv::read),
            Self::Parquet => ("parquet", &["parquet"], parquet::read),
            Self::PaliGemma => ("paligemma", &["jsonl", "ndjson"], paligemma::read),
            Self::Folder => ("folder", &[], folder::read),
            Self::Coco => ("coco", &["json"], coco::read),
            Self::LabelStudio => ("label-studio", &["json"], label_studio::read),
        }
    }

    /// The name that a person writes.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The format that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == text)
    }

    /// All names, with commas between.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The extensions of files in this format, best first.
    pub(super) fn extensions(self) -> &'static [&'static str] {
        self.entry().1
    }

    /// Reads an opened source.
    pub(super) fn read(self, run: &mut Run<'_>) -> Result<(), Halt> {
        self.entry().2(run)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
