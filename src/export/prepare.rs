//! From an approved sample to its rows: composed, its images read, vouched for and put into the set. Runs on all cores.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::format::Images;
use super::images::{Loaded, Placed, Trouble, load};
use super::row::Row;
use super::staging::Staging;
use super::{ExportError, Refusal, Request};
use crate::conversation::{ComposeError, Conversation, ImageRole, PoolImage, Recipe, SamplingPlan};
use crate::domain::{ApprovedSample, ContentHash, ImageRef, RelativePath, Sample, Split, SplitPlan};
use crate::imaging::{Limits, decode_bytes, encode_png, hash_bytes, shown_difference};

/// Words in a text that readers of a training set take for an image or for the end of a turn.
const MARKERS: [&str; 5] = ["<image>", "<video>", "<audio>", "<|im_start|>", "<|im_end|>"];

/// The image folders that are in use.
pub(super) struct Folders<'a> {
    ask: &'a dyn Fn(i64) -> Option<PathBuf>,
    known: HashMap<i64, PathBuf>,
}

impl<'a> Folders<'a> {
    pub(super) fn new(ask: &'a dyn Fn(i64) -> Option<PathBuf>) -> Self {
        Self { ask, known: HashMap::new() }
    }

    /// Makes sure that a folder is there.
    pub(super) fn resolve(&mut self, folder: i64) -> Result<&Path, ExportError> {
        if !self.known.contains_key(&folder) {
            let path = (self.ask)(folder);
            let real = path.as_ref().and_then(|path| path.canonicalize().ok()).filter(|path| path.is_dir());
            self.known.insert(folder, real.ok_or(ExportError::Folder { folder, path })?);
        }
        Ok(&self.known[&folder])
    }

    /// The folders that were resolved.
    pub(super) fn known(&self) -> &HashMap<i64, PathBuf> {
        &self.known
    }
}

/// Why a sample has no rows.
pub(super) enum Obstacle {
    /// The sample is left out.
    Refused(Refusal),
    /// The export ends.
    Fatal(ExportError),
}

/// Makes rows of samples.
pub(super) struct Composer<'a> {
    recipe: &'a Recipe,
    plan: SamplingPlan,
    splits: &'a SplitPlan,
    format: super::Format,
    staging: &'a Staging<'a>,
    /// The pool's images by their path.
    pool: HashMap<RelativePath, Loaded>,
    /// The pool's images by what they hold.
    pool_hashes: HashMap<ContentHash, RelativePath>,
    /// Files in `pool/` that are written or being written.
    shared: Mutex<HashSet<String>>,
    /// Images that were written anew: why, how many, and the first of them.
    recoded: Mutex<BTreeMap<&'static str, (u64, String)>>,
}

impl<'a> Composer<'a> {
    /// Reads the pools, and refuses images that are measured on.
    pub(super) fn open(request: &Request<'a>, staging: &'a Staging<'a>, folders: &mut Folders<'_>) -> Result<Self, ExportError> {
        let recipe = request.recipe;
        let leak =
            |image: &PoolImage, what: String, split: Split| ExportError::Leak { image: image.image.to_string(), what, split: split.name() };
        for image in &recipe.pool.images {
            if let Some(group) = &image.group
                && let split = request.splits.split_of(group)
                && split != Split::Train
            {
                return Err(leak(image, format!("group {group}"), split));
            }
        }
        let images = request.format.images();
        let mut pool = HashMap::new();
        if matches!(images, Images::Files | Images::Embedded) && !recipe.pool.images.is_empty() {
            let root = folders.resolve(0)?;
            let paths: HashSet<&RelativePath> = recipe.pool.images.iter().map(|image| &image.image).collect();
            pool =
                paths.into_par_iter().map(|path| load_pool(root, path).map(|loaded| (path.clone(), loaded))).collect::<Result<_, _>>()?;
        }
        let used: &[&str] = match images {
            Images::Files => &["images", "pool"],
            Images::QueryFile => &["images"],
            Images::Embedded | Images::None => &[],
        };
        used.iter().try_for_each(|folder| staging.folder(folder))?;
        let pool_hashes = pool.iter().map(|(path, loaded)| (loaded.source_hash, path.clone())).collect();
        let (plan, splits) = (request.format.plan(request.plan), request.splits);
        let (shared, recoded) = (Mutex::default(), Mutex::default());
        Ok(Self { recipe, plan, splits, format: request.format, staging, pool, pool_hashes, shared, recoded })
    }

    /// What a person should know of the images.
    pub(super) fn warnings(&self) -> Vec<String> {
        let recoded = self.recoded.lock().unwrap_or_else(PoisonError::into_inner);
        recoded.iter().map(|(why, (count, first))| format!("{count} images written anew as PNG, such as {first}: {why}")).collect()
    }

    /// The rows of a sample: one, or one of each kind.
    pub(super) fn prepare(&self, approved: ApprovedSample, folders: &HashMap<i64, PathBuf>) -> Result<Vec<Row>, Obstacle> {
        let approved = Arc::new(approved);
        let sample = approved.sample();
        let split = self.splits.split_of(&sample.group);
        self.refuse_leak(&approved, split)?;
        let kinds = self.plan.kinds(self.recipe.seed, sample.ordinal, &sample.id);
        let conversations = kinds.iter().map(|kind| match self.recipe.conversation(&approved, *kind) {
            Ok(conversation) => Ok(conversation),
            Err(source @ ComposeError::NoValue(_)) => Err(refused(sample, source.to_string())),
            Err(source) => Err(Obstacle::Fatal(ExportError::Compose { sample: sample.id.clone(), source })),
        });
        let conversations = conversations.collect::<Result<Vec<_>, _>>()?;
        for turn in conversations.iter().flat_map(|conversation| &conversation.turns) {
            if let Some(marker) = MARKERS.into_iter().find(|marker| turn.text().contains(marker)) {
                return Err(refused(sample, format!("its text holds {marker}, which readers take for a mark of their own; reword it")));
            }
        }
        let mut own = OwnImages { composer: self, approved: &approved, folders, query: None, reference: None, difference: None };
        let rows = conversations.into_iter().map(|conversation| {
            let images = own.images(&conversation)?;
            Ok(self.row(approved.clone(), split, conversation, images))
        });
        rows.collect()
    }

    fn row(&self, approved: Arc<ApprovedSample>, split: Split, conversation: Conversation, images: Vec<Placed>) -> Row {
        let id = format!("{:06}-{}", approved.sample().ordinal, conversation.kind);
        let image_type = approved.image_type(&self.recipe.schema).to_owned();
        let digest = ContentHash::from_bytes([0; 32]);
        let mut row = Row { id, approved, split, image_type, conversation, images, lines: Vec::new(), digest };
        row.lines = self.format.lines(self.recipe, &row);
        let mut said = row.lines.first().map(|line| line.bytes.clone()).unwrap_or_default();
        said.extend(split.name().bytes());
        row.images.iter().for_each(|image| said.extend(image.hash.to_string().bytes()));
        row.digest = hash_bytes(&said);
        row
    }

    /// A validation or test sample whose picture is in a pool.
    fn refuse_leak(&self, approved: &ApprovedSample, split: Split) -> Result<(), Obstacle> {
        let hashes = &approved.provenance().images;
        let id = &approved.sample().id;
        let made_of = self
            .recipe
            .pool
            .images
            .iter()
            .find(|image| split != Split::Train && image.sample.as_ref() == Some(id))
            .map(|image| &image.image);
        let shown = std::iter::once(&hashes.query).chain(&hashes.reference).find_map(|hash| self.pool_hashes.get(hash)).or(made_of);
        match shown {
            Some(image) if split != Split::Train => Err(Obstacle::Fatal(ExportError::Leak {
                image: image.to_string(),
                what: format!("the picture of sample {id}"),
                split: split.name(),
            })),
            _ => Ok(()),
        }
    }

    /// Remembers an image that is not the source's own bytes any more.
    fn note(&self, name: &str, loaded: &Loaded) {
        if let Some(why) = loaded.recoded {
            let mut recoded = self.recoded.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, first) = recoded.entry(why).or_insert_with(|| (0, name.to_owned()));
            *count += 1;
            if name < first.as_str() {
                name.clone_into(first);
            }
        }
    }

    /// Puts an image into the set.
    fn place(&self, name: String, loaded: &Loaded, may_link: bool) -> Result<Placed, Obstacle> {
        let bytes = match self.format.images() {
            Images::Embedded => Some(loaded.bytes.clone()),
            Images::None => None,
            Images::Files | Images::QueryFile => {
                let link = (may_link && loaded.recoded.is_none()).then_some(loaded.path.as_path());
                self.staging.put(&name, &loaded.bytes, loaded.hash, loaded.file.as_ref(), link).map_err(Obstacle::Fatal)?;
                None
            }
        };
        Ok(Placed { name, hash: loaded.hash, bytes })
    }

    /// Puts an image that several conversations may show into the set, once, under a name made of what it holds.
    fn place_shared(&self, loaded: &Loaded) -> Result<Placed, Obstacle> {
        let name = format!("pool/{}.{}", &loaded.hash.to_string()[..16], loaded.extension);
        let is_new = self.shared.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        if is_new {
            self.note(&name, loaded);
        }
        if is_new || self.format.images() == Images::Embedded {
            self.place(name, loaded, false)
        } else {
            Ok(Placed { name, hash: loaded.hash, bytes: None })
        }
    }
}

/// A sample's own images, read when first asked for.
struct OwnImages<'a> {
    composer: &'a Composer<'a>,
    approved: &'a ApprovedSample,
    folders: &'a HashMap<i64, PathBuf>,
    query: Option<(Loaded, Placed)>,
    reference: Option<(Loaded, Placed)>,
    difference: Option<Placed>,
}

impl OwnImages<'_> {
    /// The images of a conversation, as far as the format holds them.
    fn images(&mut self, conversation: &Conversation) -> Result<Vec<Placed>, Obstacle> {
        match self.composer.format.images() {
            Images::None => return Ok(Vec::new()),
            Images::QueryFile => return Ok(vec![self.query()?.1.clone()]),
            Images::Files | Images::Embedded => {}
        }
        let shown = conversation.images().map(|part| match part.role {
            ImageRole::Query => Ok(self.query()?.1.clone()),
            ImageRole::Reference if self.approved.sample().reference.is_some() => Ok(self.reference()?.1.clone()),
            ImageRole::Exemplar | ImageRole::Reference => self.composer.place_shared(self.pooled(&part.image)?),
            ImageRole::Difference => self.difference(&conversation.picks.reference),
        });
        shown.collect()
    }

    fn pooled(&self, image: &ImageRef) -> Result<&Loaded, Obstacle> {
        let missing = || refused(self.approved.sample(), format!("pool image {} was not read", image.path));
        self.composer.pool.get(&image.path).ok_or_else(missing)
    }

    fn query(&mut self) -> Result<&(Loaded, Placed), Obstacle> {
        if self.query.is_none() {
            let (sample, hashes) = (self.approved.sample(), &self.approved.provenance().images);
            let loaded = self.read("query", &sample.query, Some(hashes.query))?;
            let name = format!("images/{:06}_0.{}", sample.ordinal, loaded.extension);
            self.composer.note(&name, &loaded);
            let placed = self.composer.place(name, &loaded, true)?;
            return Ok(self.query.insert((loaded, placed)));
        }
        self.query.as_ref().ok_or_else(|| refused(self.approved.sample(), "no query image".to_owned()))
    }

    fn reference(&mut self) -> Result<&(Loaded, Placed), Obstacle> {
        let sample = self.approved.sample();
        match (&self.reference, &sample.reference) {
            (None, Some(image)) => {
                let loaded = self.read("reference", image, self.approved.provenance().images.reference)?;
                let placed = self.composer.place_shared(&loaded)?;
                Ok(self.reference.insert((loaded, placed)))
            }
            _ => self.reference.as_ref().ok_or_else(|| refused(sample, "no reference image".to_owned())),
        }
    }

    /// The computed difference of query and reference.
    fn difference(&mut self, reference: &ImageRef) -> Result<Placed, Obstacle> {
        if let Some(placed) = &self.difference {
            return Ok(placed.clone());
        }
        let sample = self.approved.sample();
        let decode = |loaded: &Loaded| {
            decode_bytes(&loaded.bytes, &loaded.path, Limits::default()).map_err(|error| refused(sample, error.to_string()))
        };
        let query = decode(&self.query()?.0)?;
        let reference = if sample.reference.is_some() { decode(&self.reference()?.0)? } else { decode(self.pooled(reference)?)? };
        let bytes = encode_png(&shown_difference(&query, &reference).into()).map_err(|error| refused(sample, error.to_string()))?;
        let (hash, name) = (hash_bytes(&bytes), format!("images/{:06}_1.png", sample.ordinal));
        let loaded =
            Loaded { hash, source_hash: hash, bytes: Arc::new(bytes), extension: "png", file: None, path: PathBuf::new(), recoded: None };
        Ok(self.difference.insert(self.composer.place(name, &loaded, false)?).clone())
    }

    fn read(&self, role: &str, image: &ImageRef, approved: Option<ContentHash>) -> Result<Loaded, Obstacle> {
        let sample = self.approved.sample();
        let folder = self.folders.get(&image.folder).ok_or_else(|| refused(sample, format!("image folder {} is unknown", image.folder)))?;
        load(folder, &image.path, approved).map_err(|trouble| {
            refused(
                sample,
                match trouble {
                    Trouble::Changed(path) => {
                        format!(
                            "{role} image {} has changed since it was approved; put the old one back, or approve the sample again",
                            path.display()
                        )
                    }
                    Trouble::Image(error) => format!("{role} image {error}; mend it, or undo the approval"),
                },
            )
        })
    }
}

fn load_pool(root: &Path, path: &RelativePath) -> Result<Loaded, ExportError> {
    let failed = |source| ExportError::Pool { image: path.to_string(), source };
    let loaded = load(root, path, None).map_err(|trouble| match trouble {
        Trouble::Image(source) => failed(source),
        Trouble::Changed(path) => failed(crate::imaging::ImageError::Outside { path, folder: root.to_owned() }),
    })?;
    // Nobody has approved it: it is looked at in full, once.
    decode_bytes(&loaded.bytes, &loaded.path, Limits::default()).map_err(failed)?;
    Ok(loaded)
}

fn refused(sample: &Sample, reason: String) -> Obstacle {
    Obstacle::Refused(Refusal { sample: sample.id.clone(), reason })
}
