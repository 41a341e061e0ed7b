//! A loaded model that predicts samples of the project.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::eye::{Eye, Loads, Trouble};
use super::models::{Compute, Named, Shelf, keep};
use crate::config::Project;
use crate::conversation::Recipe;
use crate::domain::{PredictionSource, SampleId};
use crate::jobs::{Folders, save};
use crate::model::device::{give_back, memory};
use crate::model::predictor::{Item, Predictor, Prepared, Settings};
use crate::store::{PredictedFields, Store};

/// How many samples are predicted together on the processor: with the demo's model 4 are quickest (14 a second) and take 370 MB.
/// Beside a screen, where 300 MB are to do for all, it is one (11 a second, 160 MB).
const MOST_ON_CPU: usize = 4;
const MOST_BESIDE_A_SCREEN: usize = 1;
/// How many are predicted together elsewhere.
const MOST: usize = 32;
/// How many batches an accelerator has under way.
const LANES: usize = 2;
/// How much more patient the threads are than those of the screen.
const NICE: i32 = 10;

/// Loads models of a project.
#[derive(Debug, Clone)]
pub struct Seers {
    /// The project.
    pub project: Arc<Project>,
    /// Where its images lie.
    pub folders: Arc<Folders>,
    /// What computes.
    pub compute: Compute,
    /// The most samples that are predicted together; what fits the device, when not given.
    pub batch: Option<usize>,
    /// Somebody sits at a screen: it comes first.
    pub screen: bool,
}

/// A loaded model.
pub struct Seer {
    predictor: Predictor,
    project: Arc<Project>,
    folders: Arc<Folders>,
    /// The recipe with instructions of other versions.
    recipes: Mutex<BTreeMap<String, Option<Arc<Recipe>>>>,
    pool: ThreadPool,
    most: usize,
    device: Device,
    /// Goes last: behind everything that lies in the device's memory.
    _room: Room,
}

/// A device that gets back what a model has taken of it.
struct Room(Device);

impl Drop for Room {
    fn drop(&mut self) {
        give_back(&self.0);
    }
}

impl Seers {
    fn named(&self, store: &Store, source: &PredictionSource) -> Result<(Named, Option<Named>), String> {
        let shelf = Shelf::new(&self.project.dir);
        let told = |error: crate::store::StoreError| error.to_string();
        let fits = |found: Option<Named>, name: &str, what: &str| match found {
            None => Err(format!("{}: no {what} {name} there; put its folder into it, or use another one", shelf.models().display())),
            Some(found) if found.name != name => {
                let folder = found.folder.display();
                Err(format!("{folder} holds another {what} than the one that predicted as {name}; use it as {}", found.name))
            }
            Some(found) => Ok(found),
        };
        let model = fits(shelf.model(store, &source.model).map_err(told)?, &source.model, "model")?;
        let adapter = source.adapter.as_ref().map(|name| fits(shelf.adapter(store, name).map_err(told)?, name, "adapter"));
        Ok((model, adapter.transpose()?))
    }
}

impl Loads for Seers {
    type Eye = Seer;

    fn load(&mut self, source: &PredictionSource) -> Result<Seer, String> {
        let mut store = Store::open(&self.project.dir, self.project.schema()).map_err(|error| error.to_string())?;
        let (model, adapter) = self.named(&store, source)?;
        let device = self.compute.device()?;
        let pool = pool(self.screen)?;
        let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
        let folder = adapter.as_ref().map(|adapter| adapter.folder.as_path());
        let load = || Predictor::load(&model.folder, &device, dtype, folder, &self.project.recipe, Settings::of(&device));
        let predictor = pool.install(load).map_err(|error| error.to_string())?;
        for named in std::iter::once(&model).chain(&adapter) {
            keep(&mut store, named).map_err(|error| error.to_string())?;
        }
        Ok(Seer {
            predictor,
            project: Arc::clone(&self.project),
            folders: Arc::clone(&self.folders),
            recipes: Mutex::new(BTreeMap::new()),
            pool,
            most: self.batch.unwrap_or(match (device.is_cpu(), self.screen) {
                (true, true) => MOST_BESIDE_A_SCREEN,
                (true, false) => MOST_ON_CPU,
                (false, _) => MOST,
            }),
            _room: Room(device.clone()),
            device,
        })
    }
}

/// The threads that compute: where somebody sits at a screen, one core stays his, and the others are his first.
fn pool(screen: bool) -> Result<ThreadPool, String> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = ThreadPoolBuilder::new().thread_name(|nth| format!("predicting: {nth}"));
    let pool = if screen {
        pool.num_threads(all.saturating_sub(1).max(1)).start_handler(|_| {
            // Of this thread alone. Where it is not allowed, it goes without.
            let _ = rustix::process::nice(NICE);
        })
    } else {
        pool.num_threads(all)
    };
    pool.build().map_err(|error| error.to_string())
}

impl Seer {
    /// What predicts.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The recipe with the instructions of a source; `None` when they are not in the project any more.
    fn recipe(&self, identity: &str) -> Option<Arc<Recipe>> {
        let mut recipes = self.recipes.lock().unwrap_or_else(PoisonError::into_inner);
        recipes.entry(identity.to_owned()).or_insert_with(|| with_instructions(&self.project.recipe, identity)).clone()
    }

    fn item(&self, store: &Store, source: &PredictionSource, id: &SampleId) -> Result<Item, String> {
        let recipe = self.recipe(&source.instruction);
        let recipe = recipe.ok_or_else(|| format!("the instructions {} are not in mekiki.toml any more", source.instruction))?;
        let view = store.sample(id).map_err(|error| error.to_string())?;
        let image_type = view.image_type(&recipe.schema, &view.label);
        let conversation = recipe.prompt(&view.sample, image_type, source.kind, source.exemplar).map_err(|error| error.to_string())?;
        let images = conversation.images().map(|image| save::locate(&self.folders, &image.image)).collect::<Result<_, _>>()?;
        Ok(Item { conversation, images })
    }
}

/// The recipe with another version of its instructions.
fn with_instructions(recipe: &Recipe, identity: &str) -> Option<Arc<Recipe>> {
    let mut recipe = recipe.clone();
    if recipe.instructions.identity() != identity {
        let (version, language) = identity.rsplit_once('/')?;
        let there = recipe.instructions.texts.iter().any(|text| text.version == version && text.language == language);
        if !there {
            return None;
        }
        (recipe.instructions.version, recipe.instructions.language) = (version.to_owned(), language.to_owned());
    }
    Some(Arc::new(recipe))
}

impl Eye for Seer {
    type Ready = Prepared;

    fn prepare(&self, store: &Store, source: &PredictionSource, samples: &[SampleId]) -> Vec<Result<Prepared, String>> {
        let items: Vec<Result<Item, String>> = samples.iter().map(|id| self.item(store, source, id)).collect();
        let there: Vec<Item> = items.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
        let mut prepared = self.pool.install(|| self.predictor.prepare(&there)).into_iter();
        let ready = |item: Result<Item, String>| {
            item?;
            let made = prepared.next().ok_or_else(|| "it was not read".to_owned())?;
            made.map_err(|error| error.to_string())
        };
        items.into_iter().map(ready).collect()
    }

    fn answer(&self, ready: &[Prepared]) -> Result<Vec<Result<PredictedFields, String>>, Trouble> {
        let answers = || self.predictor.predict_at_once(ready);
        // Beside an accelerator, whoever asks it must not be given images to resize while he waits for an answer.
        match if self.device.is_cpu() { self.pool.install(answers) } else { answers() } {
            Ok(answers) => {
                Ok(answers.into_iter().map(|answer| answer.map(|decision| decision.fields).map_err(|error| error.to_string())).collect())
            }
            Err(error) if error.is_out_of_memory() => Err(Trouble::OutOfMemory(error.to_string())),
            Err(error) => Err(Trouble::Failed(error.to_string())),
        }
    }

    fn relieve(&self) {
        self.predictor.forget();
    }

    fn most(&self) -> usize {
        self.most.max(1)
    }

    fn lanes(&self) -> usize {
        if self.device.is_cpu() { 1 } else { LANES }
    }

    fn memory(&self) -> Option<u64> {
        // NVML counts GPUs that this process may not see: the driver is asked about the one that computes.
        memory(&self.device).or_else(of_process)
    }
}

/// Bytes of this process that lie in memory.
fn of_process() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}
