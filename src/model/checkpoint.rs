//! Hugging Face folders: `config.json` and safetensors, one file or many.
//!
//! Tensors are read one by one when they are asked for, so that a file that changes or ends early is an error and not a
//! signal. Names are those of current transformers (`model.language_model.…`, `model.visual.…`, `lm_head.weight`); older
//! names are understood.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::ModelError;
use super::qwen_vl::{Config, LowRank};
use crate::domain::printable;

/// The largest safetensors header, in bytes, as the format's own library has it.
const LARGEST_HEADER: u64 = 100_000_000;
/// The largest JSON or text file of a checkpoint, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;
/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// Where a network finds its parameters, by their names in current transformers.
pub trait Source {
    /// The parameter of this name and shape, in whatever type and on whatever device it lies.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError>;

    /// Low-rank factors that are added to a weight at run time.
    fn low_rank(&self, name: &str) -> Result<Option<LowRank>, ModelError> {
        let _ = name;
        Ok(None)
    }
}

/// Parameters in memory: what a trainer holds.
impl<S: BuildHasher> Source for HashMap<String, Tensor, S> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let path = || PathBuf::from("parameters in memory");
        let tensor =
            self.get(name).ok_or_else(|| ModelError::MissingTensor { path: path(), name: name.to_owned(), expected: shape.to_vec() })?;
        if tensor.dims() != shape {
            let got = tensor.dims().to_vec();
            return Err(ModelError::Shape { path: path(), name: name.to_owned(), expected: shape.to_vec(), got });
        }
        Ok(tensor.clone())
    }
}

/// One tensor of a file.
#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: DType,
    shape: Vec<usize>,
    /// First byte in the file.
    start: u64,
    /// Bytes.
    bytes: usize,
}

/// A checkpoint folder whose headers have been read and checked.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    files: Vec<PathBuf>,
    entries: BTreeMap<String, Entry>,
}

impl Checkpoint {
    /// Reads the headers of `model.safetensors`, or of all files that `model.safetensors.index.json` names.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let files = if !index.exists() || single.exists() { vec![single] } else { files_of_index(dir, &index)? };
        Self::of_files(dir, files)
    }

    /// Reads the headers of one safetensors file, an adapter's for example.
    pub fn of_file(path: &Path) -> Result<Self, ModelError> {
        Self::of_files(path, vec![path.to_owned()])
    }

    fn of_files(dir: &Path, files: Vec<PathBuf>) -> Result<Self, ModelError> {
        let mut entries = BTreeMap::new();
        for (file, path) in files.iter().enumerate() {
            for (name, entry) in header(path, file)? {
                let name = canonical(&name);
                if entries.insert(name.clone(), entry).is_some() {
                    let reason = format!("tensor {} is there twice", printable(&name));
                    return Err(ModelError::File { path: path.clone(), reason });
                }
            }
        }
        Ok(Self { dir: dir.to_owned(), files, entries })
    }

    /// The checkpoint's shape.
    pub fn config(&self) -> Result<Config, ModelError> {
        let path = self.dir.join("config.json");
        Config::parse(&read_text(&path)?, &path)
    }

    /// Every tensor with its shape, in name order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Parameters: numbers in all tensors.
    pub fn parameters(&self) -> u64 {
        self.entries.values().map(|entry| entry.shape.iter().map(|side| *side as u64).product::<u64>()).sum()
    }

    /// The type in which most of the bytes are kept; `None` without tensors.
    pub fn dtype(&self) -> Option<DType> {
        let mut types: Vec<(DType, u64)> = Vec::new();
        for entry in self.entries.values() {
            match types.iter_mut().find(|(known, _)| *known == entry.dtype) {
                Some((_, bytes)) => *bytes += entry.bytes as u64,
                None => types.push((entry.dtype, entry.bytes as u64)),
            }
        }
        types.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(dtype, _)| dtype)
    }

    /// Bytes of all tensors as they lie in the files.
    pub fn bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.bytes as u64).sum()
    }

    fn read(&self, entry: &Entry) -> Result<Tensor, ModelError> {
        let path = &self.files[entry.file];
        let io = |source| ModelError::Io { path: path.clone(), source };
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(entry.start)).map_err(io)?;
        let mut bytes = vec![0; entry.bytes];
        file.read_exact(&mut bytes).map_err(io)?;
        Ok(Tensor::from_raw_buffer(&bytes, entry.dtype, &entry.shape, &Device::Cpu)?)
    }
}

impl Source for Checkpoint {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let entry = self.entries.get(name).ok_or_else(|| ModelError::MissingTensor {
            path: self.dir.clone(),
            name: name.to_owned(),
            expected: shape.to_vec(),
        })?;
        if entry.shape != shape {
            return Err(ModelError::Shape {
                path: self.files[entry.file].clone(),
                name: name.to_owned(),
                expected: shape.to_vec(),
                got: entry.shape.clone(),
            });
        }
        self.read(entry)
    }
}

/// The name that current transformers gives a tensor.
fn canonical(name: &str) -> String {
    let moved = [("visual.", "model.visual."), ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head.")];
    for (older, newer) in moved {
        if let Some(rest) = name.strip_prefix(older) {
            return format!("{newer}{rest}");
        }
    }
    match name.strip_prefix("model.") {
        Some(rest) if ["embed_tokens.", "layers.", "norm."].iter().any(|part| rest.starts_with(part)) => {
            format!("model.language_model.{rest}")
        }
        _ => name.to_owned(),
    }
}

/// A text file of a checkpoint, its size limited.
pub(crate) fn read_text(path: &Path) -> Result<String, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mut text = String::new();
    file.take(LARGEST_TEXT + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > LARGEST_TEXT {
        return Err(ModelError::File { path: path.to_owned(), reason: format!("larger than {LARGEST_TEXT} bytes") });
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn files_of_index(dir: &Path, index: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let wrong = |reason| ModelError::File { path: index.to_owned(), reason };
    let text = read_text(index)?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| wrong(format!("no index of safetensors: {error}")))?;
    let names: std::collections::BTreeSet<&String> = parsed.weight_map.values().collect();
    let files = names.into_iter().map(|name| {
        let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "..";
        if plain { Ok(dir.join(name)) } else { Err(wrong(format!("{} is no file of this folder", printable(name)))) }
    });
    files.collect()
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The entries of one safetensors file. Nothing is allocated before the file is known to be long enough.
fn header(path: &Path, file: usize) -> Result<Vec<(String, Entry)>, ModelError> {
    let io = |source| ModelError::Io { path: path.to_owned(), source };
    let wrong = |reason: String| ModelError::File { path: path.to_owned(), reason: format!("no safetensors file: {reason}") };
    let mut handle = File::open(path).map_err(io)?;
    let total = handle.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    handle.read_exact(&mut length).map_err(|_| wrong(format!("expected at least 8 bytes, got {total}")))?;
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER || length + 8 > total {
        return Err(wrong(format!("a header of {length} bytes in a file of {total}")));
    }
    let mut text = vec![0; length as usize];
    handle.read_exact(&mut text).map_err(io)?;
    let parsed: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text).map_err(|error| wrong(format!("header: {error}")))?;
    let data = length + 8;
    let mut entries = Vec::with_capacity(parsed.len());
    for (name, value) in parsed {
        if name == "__metadata__" {
            continue;
        }
        let shown = printable(&name).into_owned();
        let raw: RawEntry = serde_json::from_value(value).map_err(|error| wrong(format!("{shown}: {error}")))?;
        let dtype = match raw.dtype.as_str() {
            "F32" => DType::F32,
            "BF16" => DType::BF16,
            "F16" => DType::F16,
            "F64" => DType::F64,
            "I64" => DType::I64,
            "U32" => DType::U32,
            "U8" => DType::U8,
            other => return Err(wrong(format!("{shown}: expected dtype F32, BF16 or F16, got {}", printable(other)))),
        };
        let (start, end) = raw.data_offsets;
        let elements = raw.shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
        let wanted = elements.and_then(|n| n.checked_mul(dtype.size_in_bytes()));
        let there = end.checked_sub(start);
        if raw.shape.len() > MOST_DIMENSIONS || wanted.is_none() || wanted.map(|n| n as u64) != there {
            let got = there.map_or_else(|| "an end before its start".to_owned(), |n| format!("{n} bytes"));
            return Err(wrong(format!("{shown}: expected {} of shape {:?}, got {got}", raw.dtype, raw.shape)));
        }
        if data.checked_add(end).is_none_or(|end| end > total) {
            let missing = end.saturating_sub(total - data);
            return Err(wrong(format!("{shown}: the file ends {missing} bytes before the tensor does")));
        }
        entries.push((name, Entry { file, dtype, shape: raw.shape, start: data + start, bytes: (end - start) as usize }));
    }
    Ok(entries)
}
