//! Where every conversation comes from, line by line; by it an export also knows what has changed since the last.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::iter::Peekable;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::ExportError;
use super::existing::Existing;
use super::row::{Line, Row};
use super::staging::{HashedFile, Listed, Staging};
use crate::conversation::{ImageRole, Recipe};
use crate::domain::{ContentHash, FieldKind, Kind, Schema, ValueOrigin};

const FILE: &str = "provenance/provenance.jsonl";

/// A conversation's line. Its images say by their roles what was drawn.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    sample: &'a str,
    ordinal: u64,
    kind: Kind,
    split: &'static str,
    group: &'a str,
    reviewer: &'a str,
    time: String,
    operation: &'a str,
    instruction: &'a str,
    images: Vec<Json>,
    values: Map<String, Json>,
    digest: ContentHash,
}

/// What is read back of a line.
#[derive(Deserialize)]
struct Known {
    ordinal: u64,
    kind: Kind,
    digest: ContentHash,
}

impl Known {
    /// Its place in the set.
    fn place(&self) -> (u64, bool) {
        place(self.ordinal, self.kind)
    }
}

/// How a set differs from the one before.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Changes {
    pub(super) added: u64,
    pub(super) replaced: u64,
    pub(super) withdrawn: u64,
    pub(super) unchanged: u64,
}

/// The file, compared with the old one while it is written: both are in import order.
pub(super) struct Ledger<'a> {
    file: HashedFile,
    old: Option<Peekable<OldEntries>>,
    schema: &'a Schema,
    instruction: String,
    changes: Changes,
}

struct OldEntries(Lines<BufReader<File>>);

impl Iterator for OldEntries {
    type Item = Known;

    fn next(&mut self) -> Option<Known> {
        // The file has the hash that the manifest lists: a line that cannot be read was written by another version.
        self.0.by_ref().map_while(Result::ok).find_map(|line| serde_json::from_str(&line).ok())
    }
}

impl<'a> Ledger<'a> {
    pub(super) fn begin(staging: &Staging<'_>, existing: Option<&Existing>, recipe: &'a Recipe) -> Result<Self, ExportError> {
        let old = match existing.and_then(|existing| existing.listed(FILE)) {
            Some(path) => Some(OldEntries(BufReader::new(File::open(&path).map_err(ExportError::io(&path))?).lines()).peekable()),
            None => None,
        };
        staging.folder("provenance")?;
        Ok(Self {
            file: staging.create(FILE)?,
            old,
            schema: &recipe.schema,
            instruction: recipe.instructions.identity(),
            changes: Changes::default(),
        })
    }

    /// Writes a conversation's line.
    pub(super) fn enter(&mut self, row: &Row, models: &dyn Fn(i64) -> Option<String>) -> Result<(), ExportError> {
        let (sample, provenance) = (row.approved.sample(), row.approved.provenance());
        let before = self.withdraw_before(place(sample.ordinal, row.conversation.kind));
        match before {
            Some(known) if known.digest == row.digest => self.changes.unchanged += 1,
            Some(_) => self.changes.replaced += 1,
            None => self.changes.added += 1,
        }
        let origin = |origin: &ValueOrigin| match origin {
            ValueOrigin::Typed => json!("typed"),
            ValueOrigin::Imported => json!("imported"),
            ValueOrigin::Prediction(id) => json!({ "prediction": id, "model": models(*id) }),
        };
        let entry = Entry {
            id: &row.id,
            sample: sample.id.as_str(),
            ordinal: sample.ordinal,
            kind: row.conversation.kind,
            split: row.split.name(),
            group: &sample.group,
            reviewer: provenance.reviewer.as_str(),
            time: instant(provenance.time_ms),
            operation: &provenance.operation,
            instruction: &self.instruction,
            images: images(row, self.schema),
            values: provenance.origins.iter().map(|(field, from)| (field.to_string(), origin(from))).collect(),
            digest: row.digest,
        };
        self.file.append(&Line::json(FILE, &entry).bytes)
    }

    /// Closes the file.
    pub(super) fn finish(mut self) -> Result<(Changes, Listed), ExportError> {
        self.changes.withdrawn += self.old.take().map_or(0, |old| old.count() as u64);
        Ok((self.changes, self.file.finish()?))
    }

    /// Counts old conversations that stood before this place as withdrawn; the one that stood there, if any.
    fn withdraw_before(&mut self, place: (u64, bool)) -> Option<Known> {
        let old = self.old.as_mut()?;
        while old.next_if(|known| known.place() < place).is_some() {
            self.changes.withdrawn += 1;
        }
        old.next_if(|known| known.place() == place)
    }
}

/// A conversation's place in the set: by sample, one-shot first.
fn place(ordinal: u64, kind: Kind) -> (u64, bool) {
    (ordinal, kind == Kind::ZeroShot)
}

/// What is shown: role, source below its image folder, file in the set, the exemplar's address.
fn images(row: &Row, schema: &Schema) -> Vec<Json> {
    let grid = schema.fields().iter().find_map(|field| if let FieldKind::Address { grid, .. } = &field.kind { Some(grid) } else { None });
    let star = row.conversation.picks.exemplar.as_ref().and_then(|exemplar| exemplar.address);
    let address = star.zip(grid).map(|(address, grid)| grid.render(address));
    let shown = row.conversation.images().zip(&row.images).map(|(part, placed)| {
        let mut image = json!({ "role": part.role, "folder": part.image.folder, "source": part.image.path.as_str(), "file": placed.name });
        if let (ImageRole::Exemplar, Some(address)) = (part.role, &address) {
            image["address"] = address.as_str().into();
        }
        image
    });
    shown.collect()
}

/// A time as `2026-01-31T12:00:00Z`.
pub(super) fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}
