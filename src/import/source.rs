//! What a source is, and which file in it lists the samples.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::cell::Cell;
use super::images::Images;
use super::run::Opened;
use super::{Format, ImportError, Options};

/// Bytes of a file from whose content its format is told.
const HEAD_BYTES: u64 = 64 << 10;

/// Names without extension that say "this file lists the samples", best first.
const USUAL_NAMES: [&str; 2] = ["samples", "metadata"];

/// Finds the file that lists the samples, tells its format, and where its images are.
pub(super) fn open(source: &Path, options: &Options<'_>) -> Result<(Format, Opened, Images), ImportError> {
    let io = |path: &Path, source| ImportError::Io { path: path.to_owned(), source };
    if fs::metadata(source).map_err(|error| io(source, error))?.is_dir() {
        let by_layout = options.format == Some(Format::Folder);
        return match if by_layout { None } else { manifest_in_folder(source, options.format)? } {
            Some(file) => open_file(&file, options),
            None if by_layout || (options.format.is_none() && super::folder::has_layout(source)) => {
                let opened = Opened { name: source.display().to_string(), path: source.to_owned(), file: None, bytes: 0 };
                Ok((Format::Folder, opened, Images::new(options, source, None)?))
            }
            None => Err(no_manifest(source, options.format)),
        };
    }
    open_file(source, options)
}

fn open_file(path: &Path, options: &Options<'_>) -> Result<(Format, Opened, Images), ImportError> {
    let io = |source| ImportError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let head = head(&mut file).map_err(io)?;
    let beside = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let (name, file, bytes, head, archive) = if head.starts_with(b"PK") {
        let mut archive = Archive::open(path)?;
        let manifest = manifest_of(path, archive.names(), options.format)?.ok_or_else(|| no_manifest(path, options.format))?;
        let (mut file, bytes) = archive.manifest(path, &manifest, options.project)?;
        let head = self::head(&mut file).map_err(io)?;
        (format!("{}/{manifest}", path.display()), file, bytes, head, Some(archive))
    } else {
        let bytes = file.metadata().map_err(io)?.len();
        (path.display().to_string(), file, bytes, head, None)
    };
    let format = options.format.or_else(|| sniff(&name, &head)).ok_or_else(|| ImportError::UnknownFormat { path: path.to_owned() })?;
    let opened = Opened { name, path: path.to_owned(), file: Some(file), bytes };
    Ok((format, opened, Images::new(options, beside, archive)?))
}

fn head(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// The extension of a file's name, in small letters.
pub(super) fn extension(name: &str) -> String {
    Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// A file's format, from its name and the beginning of its content.
fn sniff(name: &str, head: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match extension(name).as_str() {
        _ if head.starts_with(b"PAR1") => Some(Format::Parquet),
        "csv" | "tsv" => Some(if text.lines().next().is_some_and(|line| line.contains("bbox_str")) { Format::Rows } else { Format::Csv }),
        "jsonl" | "ndjson" => Some(sniff_lines(text)),
        "json" if text.starts_with('[') => Some(Format::LabelStudio),
        "json" => {
            let first = text.lines().next().and_then(|line| serde_json::from_str::<Cell<'_>>(line).ok());
            Some(match first {
                Some(row @ Cell::Map(_)) if row.get("annotations").is_none() => sniff_lines(text),
                _ => Format::Coco,
            })
        }
        _ => None,
    }
}

/// Which of the formats with one JSON object a line this is.
fn sniff_lines(text: &str) -> Format {
    let says = |row: &Cell<'_>, columns: [&str; 2]| columns.iter().all(|column| row.get(column).is_some());
    let told = text.lines().filter_map(|line| serde_json::from_str::<Cell<'_>>(line).ok()).find_map(|row| {
        let original = row.get("bbox_str").is_some() || says(&row, ["dir", "image"]);
        let paligemma = says(&row, ["prefix", "suffix"]);
        if original { Some(Format::Rows) } else { paligemma.then_some(Format::PaliGemma) }
    });
    told.unwrap_or(Format::Jsonl)
}

/// The file in a folder that lists its samples: at the top, or in the one folder that is there.
fn manifest_in_folder(folder: &Path, format: Option<Format>) -> Result<Option<PathBuf>, ImportError> {
    let list = |folder: &Path| -> std::io::Result<(Vec<String>, Vec<PathBuf>)> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(name) = entry.file_name().into_string() {
                files.push(name);
            }
        }
        Ok((files, folders))
    };
    let io = |source| ImportError::Io { path: folder.to_owned(), source };
    let (files, folders) = list(folder).map_err(io)?;
    if let Some(name) = manifest_of(folder, files, format)? {
        return Ok(Some(folder.join(name)));
    }
    let [only] = folders.as_slice() else { return Ok(None) };
    let (files, _) = list(only).map_err(io)?;
    Ok(manifest_of(only, files, format)?.map(|name| only.join(name)))
}

/// Of all files of a folder or archive, the one that lists the samples.
fn manifest_of(path: &Path, names: Vec<String>, format: Option<Format>) -> Result<Option<String>, ImportError> {
    let extensions = extensions(format);
    let hidden = |name: &str| name.starts_with('.') || name.starts_with("__MACOSX");
    let names: Vec<String> = names.into_iter().filter(|name| !hidden(name)).collect();
    let at_top = |name: &&String| !name.contains('/');
    let tops: BTreeSet<&str> = names.iter().filter_map(|name| Some(name.split_once('/')?.0)).collect();
    let good = |name: &&String| extensions.contains(&extension(name).as_str());
    let mut candidates: Vec<&String> = names.iter().filter(at_top).filter(good).collect();
    if candidates.is_empty() && tops.len() == 1 {
        candidates = names.iter().filter(good).filter(|name| name.matches('/').count() == 1).collect();
    }
    let stem = |name: &str| Path::new(name).file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let usual = USUAL_NAMES.iter().find_map(|usual| candidates.iter().find(|name| stem(name).as_deref() == Some(usual)));
    match (usual, candidates.as_slice()) {
        (Some(one), _) | (None, [one]) => Ok(Some((*one).clone())),
        (None, []) => Ok(None),
        (None, many) => {
            let mut names: Vec<&str> = many.iter().map(|name| name.as_str()).collect();
            names.sort_unstable();
            Err(ImportError::SeveralManifests { path: path.to_owned(), names: names.join(", ") })
        }
    }
}

/// The extensions of files that may list samples.
fn extensions(format: Option<Format>) -> BTreeSet<&'static str> {
    match format {
        Some(format) => format.extensions().iter().copied().collect(),
        None => Format::ALL.into_iter().flat_map(Format::extensions).copied().collect(),
    }
}

fn no_manifest(path: &Path, format: Option<Format>) -> ImportError {
    let kinds: Vec<String> = extensions(format).iter().map(|extension| format!("*.{extension}")).collect();
    ImportError::NoManifest { path: path.to_owned(), expected: format!("a file that lists the samples ({})", kinds.join(", ")) }
}
