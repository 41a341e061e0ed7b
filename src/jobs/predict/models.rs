//! Which checkpoint a name stands for, and what computes.
//!
//! A model is called by its folder: by its path below the project's `models`, by the folder's own name elsewhere. The
//! first checkpoint that predicts under a name owns it; another one of that name, or one that was put in its place, is
//! called `name@` and the beginning of its fingerprint, so that each keeps its own predictions.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use candle_core::Device;
use candle_core::utils::{cuda_is_available, metal_is_available};

use crate::domain::RelativePath;
use crate::imaging::{self, hash_bytes};
use crate::model::device::cuda;
use crate::store::{KnownCheckpoint, Store, StoreError};

/// The folder of a project's models.
pub const MODELS: &str = "models";
/// The folder of a project's adapters; they may stand among the models too.
const ADAPTERS: &str = "adapters";
/// The largest small file of a checkpoint that is looked at as a whole, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;
/// How many pieces of a file of weights are looked at, and how long each is in bytes.
const PIECES: (u64, u64) = (256, 4096);

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compute {
    /// The fastest that this program was built for and finds.
    #[default]
    Best,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

impl Compute {
    /// The device; fails where it was named and is not there.
    pub fn device(self) -> Result<Device, String> {
        let failed = |error: candle_core::Error| format!("--device: {error}; --device cpu works everywhere");
        match self {
            Self::Cuda => cuda(0).map_err(failed),
            Self::Metal => Device::new_metal(0).map_err(failed),
            // A driver that does not start is no reason not to predict at all.
            Self::Best if cuda_is_available() => Ok(cuda(0).unwrap_or(Device::Cpu)),
            Self::Best if metal_is_available() => Ok(Device::new_metal(0).unwrap_or(Device::Cpu)),
            Self::Best | Self::Cpu => Ok(Device::Cpu),
        }
    }
}

/// A model or an adapter with the name under which its predictions are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// Where a project's models and adapters lie.
#[derive(Debug, Clone)]
pub struct Shelf {
    project: PathBuf,
}

/// Which of the two is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Model,
    Adapter,
}

impl What {
    /// The file by which a folder is known to be one.
    fn mark(self) -> &'static str {
        match self {
            Self::Model => "config.json",
            Self::Adapter => "adapter_config.json",
        }
    }
}

impl Shelf {
    /// The shelf of the project in this folder.
    pub fn new(project: &Path) -> Self {
        Self { project: project.to_owned() }
    }

    /// The folder of the project's models.
    pub fn models(&self) -> PathBuf {
        self.project.join(MODELS)
    }

    /// A model by the name or the folder that a person typed; `None` when there is no such folder.
    pub fn model(&self, store: &Store, named: &str) -> Result<Option<Named>, StoreError> {
        self.find(store, named, What::Model)
    }

    /// An adapter by the name or the folder that a person typed; `None` when there is no such folder.
    pub fn adapter(&self, store: &Store, named: &str) -> Result<Option<Named>, StoreError> {
        self.find(store, named, What::Adapter)
    }

    fn find(&self, store: &Store, named: &str, what: What) -> Result<Option<Named>, StoreError> {
        // Where a name is known, it is meant before a folder of the place where the program was started.
        if let Some(known) = store.checkpoint(named)?.filter(|known| known.folder.is_dir())
            && called(store, &self.plain(&known.folder), &known.folder)? == named
        {
            return Ok(Some(Named { name: named.to_owned(), folder: known.folder }));
        }
        let folder = self.below(named, what).or_else(|| Some(std::path::absolute(named).ok()?).filter(|folder| folder.is_dir()));
        let Some(folder) = folder else { return Ok(None) };
        Ok(Some(Named { name: called(store, &self.plain(&folder), &folder)?, folder }))
    }

    /// The folder of this name in the project; of `name@…`, that of the name.
    fn below(&self, named: &str, what: What) -> Option<PathBuf> {
        let folders: &[&str] = if what == What::Model { &[MODELS] } else { &[ADAPTERS, MODELS] };
        let names = [Some(named), named.rsplit_once('@').map(|(plain, _)| plain)].into_iter().flatten();
        names.filter_map(|name| RelativePath::new(name).ok()).find_map(|path| {
            folders.iter().find_map(|folder| imaging::locate(&self.project.join(folder), &path).ok().filter(|folder| folder.is_dir()))
        })
    }

    /// What a folder is called when no other of that name is known.
    fn plain(&self, folder: &Path) -> String {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let whole = real(folder);
        let below = [MODELS, ADAPTERS].into_iter().find_map(|of| whole.strip_prefix(real(&self.project.join(of))).ok());
        let name = below.filter(|below| below.components().next().is_some()).or_else(|| whole.file_name().map(Path::new));
        name.map_or_else(|| MODELS.to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The names of all models of the project, and of those that have predicted in it and are still there.
    pub fn all_models(&self, store: &Store) -> Result<Vec<String>, StoreError> {
        self.all(store, What::Model, &[MODELS])
    }

    /// The names of all adapters.
    pub fn all_adapters(&self, store: &Store) -> Result<Vec<String>, StoreError> {
        self.all(store, What::Adapter, &[ADAPTERS, MODELS])
    }

    fn all(&self, store: &Store, what: What, folders: &[&str]) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for folder in folders.iter().filter_map(|folder| fs::read_dir(self.project.join(folder)).ok()).flatten().flatten() {
            let folder = folder.path();
            if folder.join(what.mark()).is_file() {
                found.push(called(store, &self.plain(&folder), &folder)?);
            }
        }
        for name in store.checkpoint_names()? {
            if store.checkpoint(&name)?.is_some_and(|known| known.folder.join(what.mark()).is_file()) {
                found.push(name);
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// The name of a checkpoint that would be called `plain` if no other were known by that name.
fn called(store: &Store, plain: &str, folder: &Path) -> Result<String, StoreError> {
    let Some(known) = store.checkpoint(plain)? else { return Ok(plain.to_owned()) };
    if known.folder == folder && known.stamp == stamp(folder) {
        return Ok(plain.to_owned());
    }
    let fingerprint = fingerprint(folder);
    Ok(if fingerprint == known.fingerprint { plain.to_owned() } else { format!("{plain}@{}", fingerprint.get(..8).unwrap_or_default()) })
}

/// Remembers which checkpoint has predicted under a name.
pub fn keep(store: &mut Store, named: &Named) -> Result<(), StoreError> {
    let stamp = stamp(&named.folder);
    let known = store.checkpoint(&named.name)?;
    let fingerprint = match &known {
        Some(known) if known.stamp == stamp && known.folder == named.folder => return Ok(()),
        _ => fingerprint(&named.folder),
    };
    store.keep_checkpoint(&named.name, &KnownCheckpoint { folder: named.folder.clone(), fingerprint, stamp })
}

/// The files that make a checkpoint what it is, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let counts = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let small = ["config.json", "adapter_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];
        path.is_file() && (small.contains(&name.as_str()) || name.starts_with("chat_template") || name.ends_with(".safetensors"))
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(counts).collect();
    files.sort();
    files
}

/// What changes when a file is written: names, sizes, times.
fn stamp(folder: &Path) -> String {
    let about = |path: &PathBuf| {
        let about = fs::metadata(path).ok()?;
        let time = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(format!("{} {} {time}\n", path.file_name()?.to_string_lossy(), about.len()))
    };
    hash_bytes(files(folder).iter().filter_map(about).collect::<String>().as_bytes()).to_string()
}

/// What tells a checkpoint from any other: its small files, and pieces from all over its weights. Two that were trained
/// from the same one differ almost everywhere.
fn fingerprint(folder: &Path) -> String {
    let mut all = Vec::new();
    for path in files(folder) {
        all.extend_from_slice(path.file_name().unwrap_or_default().as_encoded_bytes());
        // What cannot be read is an error when it is loaded.
        if let Ok(hash) = piecewise(&path) {
            all.extend_from_slice(hash.as_bytes());
        }
    }
    hash_bytes(&all).to_string()
}

fn piecewise(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = length.to_le_bytes().to_vec();
    let (count, size) = PIECES;
    if path.extension().is_some_and(|extension| extension == "safetensors") && length > count * size {
        for piece in 0..count {
            file.seek(SeekFrom::Start((length - size) / (count - 1) * piece))?;
            file.by_ref().take(size).read_to_end(&mut bytes)?;
        }
    } else {
        file.take(LARGEST_TEXT).read_to_end(&mut bytes)?;
    }
    Ok(hash_bytes(&bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{pins, project};

    fn checkpoint(folder: &Path, weights: &[u8]) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("config.json"), "{}").unwrap();
        fs::write(folder.join("model.safetensors"), weights).unwrap();
        folder.to_owned()
    }

    #[test]
    fn each_checkpoint_has_a_name_of_its_own() {
        let (dir, mut store) = project(pins(), 1);
        let shelf = Shelf::new(dir.path());
        let weights = |last: u8| [vec![7; 3 << 20], vec![last; 4096]].concat();
        checkpoint(&dir.path().join("models/demo"), &weights(1));
        let demo = shelf.model(&store, "demo").unwrap().unwrap();
        assert_eq!(demo.name, "demo");
        keep(&mut store, &demo).unwrap();
        // The same files elsewhere are the same model; others of the same size are another one, and so on.
        let elsewhere = tempfile::tempdir().unwrap();
        let copy = checkpoint(&elsewhere.path().join("a/demo"), &weights(1));
        let other = checkpoint(&elsewhere.path().join("b/demo"), &weights(2));
        let third = checkpoint(&elsewhere.path().join("c/demo"), &weights(3));
        let name = |store: &Store, folder: &Path| shelf.model(store, folder.to_str().unwrap()).unwrap().unwrap();
        assert_eq!(name(&store, &copy).name, "demo");
        let second = name(&store, &other);
        assert!(second.name.starts_with("demo@") && second.name.len() == 13, "{}", second.name);
        keep(&mut store, &second).unwrap();
        assert_ne!(name(&store, &third).name, second.name);
        assert_eq!(shelf.model(&store, &second.name).unwrap().unwrap().folder, other, "it is found by its name");
        assert_eq!(shelf.all_models(&store).unwrap(), ["demo".to_owned(), second.name.clone()]);
        // Trained on in its place, it is another one too.
        checkpoint(&dir.path().join("models/demo"), &weights(9));
        let trained = shelf.model(&store, "demo").unwrap().unwrap();
        assert!(trained.name.starts_with("demo@") && trained.name != second.name);
        assert_eq!(shelf.model(&store, &trained.name).unwrap().unwrap(), trained);
        assert_eq!(shelf.model(&store, "nowhere").unwrap(), None);
        assert_eq!(shelf.adapter(&store, "demo").unwrap().unwrap().folder, dir.path().join("models/demo"));
    }
}
