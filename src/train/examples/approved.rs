//! A project's approved samples, each shown in many ways that leave its label true.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use super::images::{Images, Locate};
use super::order::shuffled;
use super::places::{Change, Places};
use super::{Classes, ExamplesError};
use crate::boards::Dice;
use crate::conversation::{ImageRole, Recipe, SamplingPlan};
use crate::domain::{ApprovedSample, Exemplar, ImageRef, Kind, Label, Symmetries, Symmetry, stable_hash};
use crate::imaging::ByteCache;
use crate::train::augment::{Photometry, shifted, turned};
use crate::train::{Example, Examples, Outline, OutlinedImage, Shown, TrainError};

/// How approved samples are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovedPlan {
    /// Decides order and changes.
    pub seed: u64,
    /// Which kinds of conversation are made of each sample.
    pub kinds: SamplingPlan,
    /// Which mirrored and turned pictures leave labels true.
    pub symmetries: Symmetries,
    /// The largest shift, as a share of each side; query and their own reference go together.
    pub shift: f32,
    /// How the light of each picture varies.
    pub photometry: Photometry,
    /// The most bytes of decoded pictures that are kept.
    pub memory: usize,
}

impl Default for ApprovedPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            kinds: SamplingPlan::Both,
            symmetries: Symmetries::None,
            shift: 0.01,
            photometry: Photometry::MILD,
            memory: 2 << 30,
        }
    }
}

impl ApprovedPlan {
    /// Samples as they are: what a model is measured by.
    pub fn plain(kinds: SamplingPlan) -> Self {
        Self { kinds, shift: 0.0, photometry: Photometry::NONE, ..Self::default() }
    }
}

/// After how many examples a pool image is shown in another light: within a batch it is one picture.
const RENEWED: u64 = 4096;
/// The bytes of pool images that are held as they are shown.
const POOL_MEMORY: usize = 256 << 20;
/// How many draws from the pools a sample meets: the one that prediction and export make, then others.
const DRAWS: u64 = 8;

/// Approved samples as a source of examples. The caller chooses which: those of the training split to learn from, others
/// to measure by.
pub struct Approved {
    plan: ApprovedPlan,
    /// One for each draw.
    recipes: Vec<Recipe>,
    classes: Classes,
    places: Places,
    samples: Vec<ApprovedSample>,
    /// What is made of the samples: place in `samples`, and kind.
    items: Vec<(usize, Kind)>,
    images: Images,
    /// Pool images as they are shown for a while.
    pool: Mutex<ByteCache<(ImageRef, Symmetry, u64), Arc<Shown>>>,
}

impl Approved {
    /// Samples of a project with its recipe. `corners` says where the grid's corner cells lie, as in the project file;
    /// `locate` finds image files.
    pub fn new(
        plan: ApprovedPlan,
        samples: Vec<ApprovedSample>,
        recipe: &Recipe,
        corners: BTreeMap<String, [[f64; 2]; 4]>,
        locate: Locate,
    ) -> Result<Self, TrainError> {
        let kinds = |approved: &ApprovedSample| plan.kinds.kinds(recipe.seed, approved.sample().ordinal, &approved.sample().id);
        let items: Vec<(usize, Kind)> =
            samples.iter().enumerate().flat_map(|(place, approved)| kinds(approved).iter().map(move |kind| (place, *kind))).collect();
        if items.is_empty() {
            return Err(ExamplesError::None.into());
        }
        let images = Images::new(locate, plan.memory);
        let places = Places { corners, even: plan.symmetries == Symmetries::Square };
        let classes = Classes::of(&recipe.schema);
        let recipes = (0..DRAWS).map(|draw| Recipe { seed: recipe.seed.wrapping_add(draw << 32), ..recipe.clone() }).collect();
        Ok(Self { plan, recipes, classes, places, samples, items, images, pool: Mutex::new(ByteCache::new(POOL_MEMORY)) })
    }

    /// How many examples there are before one comes again.
    pub fn round(&self) -> u64 {
        self.items.len() as u64
    }

    /// A change that leaves the label true, and the label after it.
    fn change(&self, label: &Label, size: (u32, u32), dice: &mut Dice) -> (Change, Label) {
        let schema = &self.recipes[0].schema;
        let symmetry = match self.plan.symmetries {
            Symmetries::None => Symmetry::default(),
            // Only a square picture has the same sides when it is transposed.
            Symmetries::Square => Symmetry::numbered(dice.pick(if size.0 == size.1 { 8 } else { 4 })),
        };
        // Whole pixels, so that fine structures stay as they are.
        let shift = [size.0, size.1].map(|side| (dice.around(self.plan.shift) * side as f32).round() / side as f32);
        [Change { symmetry, shift }, Change { symmetry, shift: [0.0; 2] }]
            .into_iter()
            .find_map(|change| Some((change, self.places.label(schema, label, change)?)))
            .unwrap_or_else(|| (Change::default(), label.clone()))
    }

    /// A pool image as it is shown around example `nth`.
    fn pooled(&self, image: &ImageRef, symmetry: Symmetry, nth: u64) -> Result<Arc<Shown>, TrainError> {
        let while_ = nth / RENEWED;
        let key = (image.clone(), symmetry, while_);
        let held = || self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(&key) {
            return Ok(found);
        }
        let plain = self.images.get(image, None)?;
        let mut pixels = turned(&plain, symmetry);
        self.plan
            .photometry
            .apply(&mut pixels, &mut Dice::new(stable_hash(self.plan.seed ^ while_, &[image.path.as_str()]), "light of a pool image"));
        let shown = Shown::new(pixels);
        held().insert(key, shown.clone(), shown.image.len());
        Ok(shown)
    }
}

impl Examples for Approved {
    fn classes(&self) -> &[String] {
        self.classes.names()
    }

    fn example(&self, nth: u64) -> Result<Example, TrainError> {
        let (place, kind) = self.items[shuffled(self.plan.seed, nth, self.round()) as usize];
        let approved = &self.samples[place];
        let (sample, hashes) = (approved.sample(), &approved.provenance().images);
        let recipe = &self.recipes[(nth / self.round() % DRAWS) as usize];
        let mut dice = Dice::new(self.plan.seed ^ stable_hash(nth, &["approved"]), "approved");

        let query = self.images.get(&sample.query, Some(hashes.query))?;
        let (change, label) = self.change(approved.label(), query.dimensions(), &mut dice);
        let make = |image: &RgbImage, dice: &mut Dice| {
            let pixels = turned(image, change.symmetry);
            let sides = [pixels.width(), pixels.height()];
            let by = std::array::from_fn(|axis| (change.shift[axis] * sides[axis] as f32).round() as i32);
            let mut pixels = shifted(&pixels, by);
            self.plan.photometry.apply(&mut pixels, dice);
            Shown::new(pixels)
        };
        let query = make(&query, &mut dice);
        let image_type = approved.image_type(&recipe.schema).to_owned();
        let mut conversation = recipe.prompt(sample, &image_type, kind, Exemplar::Right)?;
        conversation.turns.push(recipe.answer_turn(&label)?);
        let reference = match &sample.reference {
            Some(own) => {
                let plain = self.images.get(own, hashes.reference)?;
                make(&plain, &mut dice)
            }
            None => self.pooled(&conversation.picks.reference, change.symmetry, nth)?,
        };
        let images = conversation.images().map(|part| match part.role {
            ImageRole::Query => Ok(query.clone()),
            ImageRole::Reference => Ok(reference.clone()),
            ImageRole::Exemplar => self.pooled(&part.image, Symmetry::default(), nth),
            ImageRole::Difference => Ok(Shown::difference(&query, &reference)),
        });
        let images = images.collect::<Result<Vec<_>, TrainError>>()?;
        let regions = self.places.regions(&recipe.schema, &self.classes, approved.label(), &image_type, change);
        Ok(Example { conversation, images, regions })
    }

    fn round(&self) -> Option<u64> {
        Some(Self::round(self))
    }

    fn outline(&self, nth: u64) -> Result<Outline, TrainError> {
        let (place, kind) = self.items[shuffled(self.plan.seed, nth, self.round()) as usize];
        let approved = &self.samples[place];
        let (sample, recipe) = (approved.sample(), &self.recipes[0]);
        let mut conversation = recipe.prompt(sample, approved.image_type(&recipe.schema), kind, Exemplar::Right)?;
        conversation.turns.push(recipe.answer_turn(approved.label())?);
        let still = self.plan.symmetries == Symmetries::None;
        let images = conversation.images().map(|part| {
            // Pool images are shown to many; a reference that is mirrored along with its query to fewer.
            let shared = match part.role {
                ImageRole::Exemplar => true,
                ImageRole::Reference => still && sample.reference.is_none(),
                ImageRole::Query | ImageRole::Difference => false,
            };
            Ok(OutlinedImage { size: self.images.size(&part.image)?, picture: shared.then(|| part.image.path.to_string()) })
        });
        let images = images.collect::<Result<_, TrainError>>()?;
        Ok(Outline { conversation, images })
    }
}
