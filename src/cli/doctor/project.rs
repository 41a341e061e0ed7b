//! The project: its file, its store, its models.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::plan::Folders;
use super::machine::Device;
use super::{Section, bytes, models};
use crate::config::{self, ConfigError, FILE_NAME, Project};
use crate::domain::{Exemplar, Filter, Kind};
use crate::store::{Store, StoreError};

/// A write-ahead log larger than this is told of.
const LARGE_LOG: u64 = 256 << 20;

/// What there is to say of the folder's project.
pub(super) fn look(dir: &Path, devices: &[Device]) -> Vec<Section> {
    let mut section = Section::new("project");
    let project = match config::load(dir) {
        Ok(project) => project,
        Err(ConfigError::NoProject(_)) => {
            section.line("none", format_args!("no {FILE_NAME} in {}; -C names a project's folder", dir.display()));
            section.set("found", false);
            return vec![section];
        }
        Err(error) => {
            section.set("found", true);
            section.set("error", error.to_string());
            for problem in error.to_string().lines() {
                section.wrong(problem, format_args!("correct {FILE_NAME}"));
            }
            return vec![section];
        }
    };
    section.line("name", &project.name);
    section.line("file", project.dir.join(FILE_NAME).display());
    section.line("fields", project.schema().fields().iter().map(|field| field.id.as_str()).collect::<Vec<_>>().join(", "));
    section.set("found", true);
    section.set("name", project.name.clone());
    section.set("file", json!(project.dir.join(FILE_NAME)));
    if let Some(alias) = &project.server {
        section.line("server", alias);
    }
    section.set("server", json!(project.server));
    let (store, images) = store(&project);
    vec![section, store, models::look(&project, &images, devices)]
}

/// The store, and the images of its first sample's conversation.
fn store(project: &Project) -> (Section, Vec<PathBuf>) {
    let mut section = Section::new("store");
    let store = match Store::open_read_only(&project.dir, project.schema()) {
        Ok(store) => store,
        Err(StoreError::Missing(_)) => {
            section.line("none", "'mekiki import SOURCE' makes it");
            section.set("found", false);
            return (section, Vec::new());
        }
        Err(error) => {
            section.set("error", error.to_string());
            let help = match &error {
                StoreError::ReadOnly(_) => "any command that changes something, such as 'mekiki stats', brings it up to date",
                StoreError::Network { .. } => "move the project to a local disk",
                _ => "a copy of .mekiki/store.sqlite from a backup helps where the file is damaged",
            };
            section.wrong(error, help);
            return (section, Vec::new());
        }
    };
    match store.about(&project.dir) {
        Ok(about) => {
            section.line("file", format_args!("{}, {}", about.path.display(), bytes(about.bytes.0)));
            section.line("version", format_args!("{} (newest: {})", about.version.0, about.version.1));
            let system = about.file_system.as_deref().unwrap_or("not told by this system");
            section.line("journal", format_args!("{}, {} not yet written back; file system {system}", about.journal, bytes(about.bytes.1)));
            section.line("samples", about.samples);
            for (reviewer, count, left) in &about.claims {
                section.line("claims", format_args!("{reviewer} holds {count} samples for {} more seconds", left / 1000));
            }
            if about.journal != "wal" {
                section.wrong(format_args!("the store's journal is {}, not wal", about.journal), "no other program should change the store's settings; 'sqlite3 .mekiki/store.sqlite \"PRAGMA journal_mode=wal\"' sets it right");
            }
            if about.bytes.1 > LARGE_LOG {
                section.hint(
                    format_args!("{} wait to be written back", bytes(about.bytes.1)),
                    "a process that reads for long holds them up; they go when the last one closes the project",
                );
            }
            section.set("found", true);
            section.set("path", json!(about.path));
            section.set("version", about.version.0);
            section.set("journal", about.journal);
            section.set("bytes", about.bytes.0);
            section.set("wal_bytes", about.bytes.1);
            section.set("file_system", json!(about.file_system));
            section.set("samples", about.samples);
            let claims =
                about.claims.iter().map(|(reviewer, count, left)| json!({ "reviewer": reviewer, "samples": count, "left_ms": left }));
            section.set("claims", claims.collect::<Vec<_>>());
        }
        Err(error) => section.wrong(error, "a copy of .mekiki/store.sqlite from a backup helps where the file is damaged"),
    }
    if project.dir.join(".mekiki").metadata().is_ok()
        && rustix::fs::access(project.dir.join(".mekiki"), rustix::fs::Access::WRITE_OK).is_err()
    {
        section.wrong(
            "this account may not write to the store",
            format_args!("ask for write access to {} for your group", project.dir.join(".mekiki").display()),
        );
    }
    let images = images(project, &store);
    if let Some(Err(problem)) = &images {
        section
            .wrong(format_args!("the first sample cannot be asked about: {problem}"), "see its images and the pools ('mekiki pool list')");
    }
    (section, images.and_then(Result::ok).unwrap_or_default())
}

/// The files of a one-shot conversation about the first sample, or of a zero-shot one where there is no exemplar; `None` without samples.
fn images(project: &Project, store: &Store) -> Option<Result<Vec<PathBuf>, String>> {
    let filter = Filter::parse(project.schema(), "").ok()?;
    let row = store.page(&filter, None, 1).ok()?.rows.into_iter().next()?;
    let view = store.sample(&row.id).ok()?;
    let folders = Folders::of(project, store).ok()?;
    let recipe = &project.recipe;
    let image_type = view.image_type(&recipe.schema, &view.label);
    let whole = [Kind::OneShot, Kind::ZeroShot].map(|kind| recipe.prompt(&view.sample, image_type, kind, Exemplar::Right));
    let [one_shot, zero_shot] = whole;
    let conversation = match one_shot.or(zero_shot) {
        Ok(conversation) => conversation,
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(conversation.images().map(|image| folders.locate(&image.image).map_err(|failure| failure.message())).collect())
}
