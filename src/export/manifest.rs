//! The list of what an export wrote: by it the next one knows its own files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tally::Tally;
use super::{ExportError, Request};
use crate::conversation::SamplingPlan;
use crate::domain::{ContentHash, RelativePath, Split, printable};

/// The manifest's name in the set. It does not list itself.
pub(super) const FILE: &str = "manifest.json";

/// The version of the manifest that is written and read.
const VERSION: u32 = 1;

/// The largest manifest that is read, in bytes: some millions of files.
const MOST_BYTES: u64 = 1 << 30;

/// What the set is, and the BLAKE3 hash of every file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    training_set: u32,
    pub(super) project: String,
    pub(super) format: String,
    tool: String,
    instruction: String,
    plan: String,
    seed: u64,
    split_seed: u64,
    conversations: u64,
    one_shot: u64,
    zero_shot: u64,
    splits: BTreeMap<Split, u64>,
    pub(super) files: BTreeMap<RelativePath, ContentHash>,
}

impl Manifest {
    pub(super) fn new(request: &Request<'_>, tally: &Tally<'_>, files: BTreeMap<RelativePath, ContentHash>) -> Self {
        Self {
            training_set: VERSION,
            project: request.project.to_owned(),
            format: request.format.name().to_owned(),
            tool: request.tool.to_owned(),
            instruction: request.recipe.instructions.identity(),
            plan: plan(request.plan),
            seed: request.recipe.seed,
            split_seed: request.splits.seed,
            conversations: tally.conversations(),
            one_shot: tally.one_shot(),
            zero_shot: tally.conversations() - tally.one_shot(),
            splits: tally.splits(),
            files,
        }
    }

    /// Its text: one line per file, so that a version-control diff shows which changed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the manifest of a folder; `None` where there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, ExportError> {
        let path = dir.join(FILE);
        let text = match File::open(&path) {
            Ok(file) => {
                let mut text = Vec::new();
                file.take(MOST_BYTES).read_to_end(&mut text).map_err(ExportError::io(&path))?;
                text
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ExportError::io(&path)(error)),
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| ExportError::Manifest { path: path.clone(), got: printable(&error.to_string()).into_owned() })?;
        if manifest.training_set == VERSION {
            Ok(Some(manifest))
        } else {
            let got = format!("version {} of it, where this program knows {VERSION}", manifest.training_set);
            Err(ExportError::Manifest { path, got })
        }
    }
}

/// The plan in words: `first 500 one-shot`.
pub(super) fn plan(plan: SamplingPlan) -> String {
    match plan {
        SamplingPlan::First(count) => format!("first {count} one-shot"),
        SamplingPlan::Fraction(share) => format!("fraction {share} one-shot"),
        SamplingPlan::All(kind) => format!("all {kind}"),
        SamplingPlan::Both => "both kinds of each sample".to_owned(),
    }
}
