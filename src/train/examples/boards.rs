//! Pin boards without end, drawn when they are asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::RgbImage;

use super::truth::Truth;
use super::{Classes, ExamplesError};
use crate::boards::{self, BoardMix, BoardSpec, BoardType, COLUMNS, DefectMode, Dice, NATIVE_WIDTH, ROWS};
use crate::conversation::{ImageRole, Pool, PoolImage, Purpose, Recipe};
use crate::domain::{Address, Exemplar, ImageRef, Kind, Label, RelativePath, Sample, SampleId, SampleOrigin, stable_hash};
use crate::train::augment::{Photometry, shifted};
use crate::train::{Example, Examples, Region, Shown, TrainError};

/// Which boards are drawn, and how they are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardsPlan {
    /// Decides everything; boards of `mekiki boards` with the same seed are others.
    pub seed: u64,
    /// The defects that occur, each equally often.
    pub modes: Vec<DefectMode>,
    /// The share of boards with a defect, 0..=1.
    pub defective: f32,
    /// Picture width in pixels.
    pub width: u32,
    /// The share of one-shot conversations, 0..=1.
    pub one_shot: f32,
    /// How many references and how many exemplars there are for each image type at a time.
    pub pool: u64,
    /// After how many examples the references and exemplars are others.
    pub renewed: u64,
    /// How many boards are kept in memory and shown again, each time in another light and a little shifted; each takes
    /// `width`² · 1.3 bytes. With 0, every example is a new board.
    pub kept: usize,
    /// How the light and the file of each picture vary.
    pub photometry: Photometry,
}

impl Default for BoardsPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            // The last one is kept for learning from few samples.
            modes: DefectMode::ALL[..DefectMode::ALL.len() - 1].to_vec(),
            defective: 0.6,
            width: NATIVE_WIDTH,
            one_shot: 0.5,
            pool: 10,
            renewed: 4096,
            kept: 0,
            photometry: Photometry::LIGHT,
        }
    }
}

/// How far a board that is shown again is moved, in pixels of a picture of the native width.
const FARTHEST: i32 = 3;
/// How many generations of references and exemplars are held at once: examples are made by many threads, some ahead.
const GENERATIONS: usize = 3;

/// Generated boards as a source of examples.
pub struct Boards {
    plan: BoardsPlan,
    recipe: Recipe,
    classes: Classes,
    /// What the sets of queries and pools are drawn by: no set of `mekiki boards` has it.
    seed: u64,
    generations: Mutex<VecDeque<Arc<Generation>>>,
    kept: Vec<OnceLock<Arc<Kept>>>,
}

/// The references and exemplars of a while.
struct Generation {
    number: u64,
    recipe: Recipe,
    specs: Vec<(RelativePath, BoardSpec)>,
    shown: Vec<OnceLock<Arc<Shown>>>,
}

/// A drawn board and its truth.
struct Kept {
    image: RgbImage,
    defect: Option<(DefectMode, Address)>,
    area: Option<[f32; 4]>,
    board_type: BoardType,
}

impl Boards {
    /// Boards by a plan, asked and answered by a recipe of the pins template. Fails where the recipe's schema has no
    /// words for a board's truth.
    pub fn new(plan: BoardsPlan, recipe: Recipe) -> Result<Self, TrainError> {
        let classes = Classes::of(&recipe.schema);
        let kept = (0..plan.kept).map(|_| OnceLock::new()).collect();
        let seed = stable_hash(plan.seed, &["boards to train on"]);
        let boards = Self { plan, recipe, classes, seed, generations: Mutex::default(), kept };
        for board_type in BoardType::ALL {
            let modes = boards.plan.modes.iter().map(|mode| Some((*mode, Address { row: 0, column: 0 })));
            for defect in modes.chain([None]) {
                boards.label(board_type, defect)?;
            }
        }
        Ok(boards)
    }

    /// What is said of a board, in the words of the schema.
    fn label(&self, board_type: BoardType, defect: Option<(DefectMode, Address)>) -> Result<Label, ExamplesError> {
        let truth = Truth {
            image_type: board_type.id(),
            // The pins that the product has by its drawing: a missing one is a defect.
            quantity: Some((ROWS * COLUMNS) as i64),
            mode: defect.map(|(mode, _)| mode.id()),
            address: defect.map(|(_, address)| address),
            area: None,
        };
        truth.label(&self.recipe.schema)
    }

    /// Board number `index`, drawn or out of memory.
    fn board(&self, index: u64) -> Arc<Kept> {
        let draw = |index| {
            let mix = BoardMix { modes: &self.plan.modes, defective: self.plan.defective, width: self.plan.width };
            let spec = BoardSpec::random(self.seed, index, &mix);
            let drawn = boards::draw(&spec);
            Arc::new(Kept { image: drawn.image, defect: spec.defect, area: drawn.defect_box, board_type: spec.board_type })
        };
        match index.checked_rem(self.kept.len() as u64) {
            Some(place) => self.kept[place as usize].get_or_init(|| draw(place)).clone(),
            None => draw(index),
        }
    }

    fn generation(&self, number: u64) -> Result<Arc<Generation>, TrainError> {
        let find = |held: &VecDeque<Arc<Generation>>| held.iter().find(|generation| generation.number == number).cloned();
        let mut held = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = find(&held) {
            return Ok(found);
        }
        let made = Arc::new(Generation::new(number, self.seed, &self.plan, &self.recipe)?);
        held.push_back(made.clone());
        if held.len() > GENERATIONS {
            held.pop_front();
        }
        Ok(made)
    }
}

impl Generation {
    fn new(number: u64, seed: u64, plan: &BoardsPlan, recipe: &Recipe) -> Result<Self, ExamplesError> {
        let mut images = Vec::new();
        let mut specs = Vec::new();
        for board_type in BoardType::ALL {
            for purpose in [Purpose::Reference, Purpose::Exemplar] {
                let first = stable_hash(seed, &["star", board_type.id(), &number.to_string()]);
                for index in 0..plan.pool {
                    // 11 shares no factor with 27, so that stars come to every pin before one comes back.
                    let pin = (first % 27 + index * 11) as usize % (ROWS * COLUMNS);
                    let star =
                        (purpose == Purpose::Exemplar).then_some(Address { row: (pin / COLUMNS) as u8, column: (pin % COLUMNS) as u8 });
                    let path = RelativePath::new(format!("generated/{number}/{}-{}-{index}", purpose.name(), board_type.id()))?;
                    let seed = stable_hash(seed, &["pool", path.as_str()]);
                    specs.push((path.clone(), BoardSpec { seed, board_type, defect: None, star, width: plan.width }));
                    let image_type = board_type.id().to_owned();
                    images.push(PoolImage { purpose, image_type, image: path, address: star, sample: None, group: None });
                }
            }
        }
        let shown = specs.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { number, recipe: Recipe { pool: Pool { images }, ..recipe.clone() }, specs, shown })
    }

    fn shown(&self, image: &ImageRef, photometry: Photometry) -> Result<Arc<Shown>, ExamplesError> {
        let place = self.specs.iter().position(|(path, _)| *path == image.path);
        let place = place.ok_or_else(|| ExamplesError::NoImage(image.path.to_string()))?;
        let spec = &self.specs[place].1;
        let shown = self.shown[place].get_or_init(|| {
            let mut image = boards::draw(spec).image;
            photometry.apply(&mut image, &mut Dice::new(spec.seed, "light of a pool image"));
            Shown::new(image)
        });
        Ok(shown.clone())
    }
}

impl Examples for Boards {
    fn classes(&self) -> &[String] {
        self.classes.names()
    }

    fn example(&self, nth: u64) -> Result<Example, TrainError> {
        let board = self.board(nth);
        let generation = self.generation(nth / self.plan.renewed.max(1))?;
        let mut dice = Dice::new(self.seed ^ stable_hash(nth, &["example"]), "example");
        let kind = if dice.chance(self.plan.one_shot) { Kind::OneShot } else { Kind::ZeroShot };
        let mut image = board.image.clone();
        let mut moved = [0.0; 2];
        if !self.kept.is_empty() {
            let reach = FARTHEST * self.plan.width as i32 / NATIVE_WIDTH as i32;
            let by: [i32; 2] = std::array::from_fn(|_| dice.pick(2 * reach.max(0) as usize + 1) as i32 - reach);
            image = shifted(&image, by);
            moved = by.map(|by| by as f32);
        }
        self.plan.photometry.apply(&mut image, &mut dice);
        let (width, height) = (image.width() as f32, image.height() as f32);
        let query = Shown::new(image);

        let label = self.label(board.board_type, board.defect)?;
        let sample = Sample {
            id: SampleId::new(format!("generated {nth}")).map_err(ExamplesError::from)?,
            ordinal: nth,
            image_type: board.board_type.id().to_owned(),
            query: ImageRef { folder: 0, path: RelativePath::new(format!("generated/query/{nth}")).map_err(ExamplesError::from)? },
            reference: None,
            group: "generated".to_owned(),
            origin: SampleOrigin::Generated,
            imported: label.clone(),
        };
        let recipe = &generation.recipe;
        let mut conversation = recipe.prompt(&sample, &sample.image_type, kind, Exemplar::Right)?;
        conversation.turns.push(recipe.answer_turn(&label)?);
        let mut images = Vec::with_capacity(4);
        for part in conversation.images() {
            images.push(match part.role {
                ImageRole::Query => query.clone(),
                ImageRole::Reference | ImageRole::Exemplar => generation.shown(&part.image, self.plan.photometry)?,
                ImageRole::Difference => {
                    let reference = ImageRef { folder: 0, path: conversation.picks.reference.path.clone() };
                    let reference = generation.shown(&reference, self.plan.photometry)?;
                    Shown::difference(&query, &reference)
                }
            });
        }
        let class = self.classes.of_label(&label);
        let region = class.zip(board.area).map(|(class, [x1, y1, x2, y2])| {
            let share = |value: f32, moved: f32, side: f32| ((value + moved) / side).clamp(0.0, 1.0);
            Region {
                class,
                area: [share(x1, moved[0], width), share(y1, moved[1], height), share(x2, moved[0], width), share(y2, moved[1], height)],
            }
        });
        Ok(Example { conversation, images, regions: Some(region.into_iter().collect()) })
    }
}
