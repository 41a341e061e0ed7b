//! Printed circuits with generated defects: drawn circuits, and real ones whose own defects were taken away.

use std::sync::Arc;

use super::images::{Images, Locate};
use super::order::shuffled;
use super::truth::Truth;
use super::{Classes, ExamplesError};
use crate::boards::{Circuit, CircuitMode, Dice};
use crate::conversation::{ImageRole, Recipe};
use crate::domain::{
    Address, ApprovedSample, BoundingBox, Exemplar, FieldKind, ImageRef, Kind, RelativePath, Sample, SampleId, SampleOrigin, Symmetry,
    Value, stable_hash,
};
use crate::train::{Example, Examples, Region, Shown, TrainError};

/// Which circuits are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitsPlan {
    /// Decides everything.
    pub seed: u64,
    /// The share of circuits with a defect, 0..=1.
    pub defective: f32,
    /// The side of drawn circuits in pixels.
    pub side: u32,
    /// The largest shift of real circuits, as a share of each side.
    pub shift: f32,
    /// The share of one-shot conversations, 0..=1; the exemplars are the project's.
    pub one_shot: f32,
    /// The most bytes of decoded pictures that are kept.
    pub memory: usize,
}

impl Default for CircuitsPlan {
    fn default() -> Self {
        Self { seed: 1, defective: 0.84, side: 192, shift: 0.08, one_shot: 0.5, memory: 2 << 30 }
    }
}

/// How often another defect is tried where one finds no place.
const TRIES: u64 = 6;

/// Circuits with generated defects as a source of examples. Their truth is known, so that they need no approval; of
/// approved samples only the pictures are used.
pub struct Circuits {
    plan: CircuitsPlan,
    recipe: Recipe,
    classes: Classes,
    images: Images,
    /// What the defects are drawn on; empty where the circuits are drawn as well.
    samples: Vec<ApprovedSample>,
}

impl Circuits {
    /// Drawn circuits, asked and answered by a recipe of the pcb template. `locate` finds the exemplars' files.
    pub fn drawn(plan: CircuitsPlan, recipe: Recipe, locate: Locate) -> Result<Self, TrainError> {
        let classes = Classes::of(&recipe.schema);
        let images = Images::new(locate, plan.memory);
        let circuits = Self { plan, recipe, classes, images, samples: Vec::new() };
        let image_type = circuits.image_type(None);
        for mode in CircuitMode::ALL {
            let (address, area) = (Some(Address { row: 0, column: 0 }), BoundingBox::new(0, 0, 9, 9));
            Truth { image_type, quantity: None, mode: Some(mode.id()), address, area }.label(&circuits.recipe.schema)?;
        }
        Truth { image_type, quantity: None, mode: None, address: None, area: None }.label(&circuits.recipe.schema)?;
        Ok(circuits)
    }

    /// The circuits of approved samples that have an own reference: pairs of real pictures, their defects taken away and
    /// others drawn on. The caller chooses samples of the training split.
    pub fn on(plan: CircuitsPlan, recipe: Recipe, samples: Vec<ApprovedSample>, locate: Locate) -> Result<Self, TrainError> {
        let samples: Vec<_> = samples.into_iter().filter(|approved| approved.sample().reference.is_some()).collect();
        if samples.is_empty() {
            return Err(ExamplesError::None.into());
        }
        Ok(Self { samples, ..Self::drawn(plan, recipe, locate)? })
    }

    fn image_type<'a>(&'a self, approved: Option<&'a ApprovedSample>) -> &'a str {
        let schema = &self.recipe.schema;
        let first = schema.image_types().first().map_or("", String::as_str);
        approved.map_or(first, |approved| approved.image_type(schema))
    }

    /// Two pictures of one good circuit: what it should look like, and another.
    fn pair(&self, nth: u64, dice: &mut Dice) -> Result<(Circuit, Circuit), TrainError> {
        let Some(approved) = self.sample(nth) else {
            let circuit = Circuit::draw(dice.bits(), self.plan.side);
            let again = circuit.retaken(dice.bits());
            return Ok((circuit, again));
        };
        let (sample, hashes) = (approved.sample(), &approved.provenance().images);
        let Some(own) = &sample.reference else { return Err(ExamplesError::NoImage(sample.id.to_string()).into()) };
        let reference = Circuit::of_image(&*self.images.get(own, hashes.reference)?);
        let query = self.images.get(&sample.query, Some(hashes.query))?;
        let label = approved.label();
        let area = label.iter().find_map(|(_, value)| if let Value::Box(Some(area)) = value { Some(*area) } else { None });
        // A real second picture is better than a made one; without a box, where its defect is cannot be known.
        let other = match (self.classes.of_label(label), area) {
            (None, _) => Some(Circuit::of_image(&query)),
            (Some(_), Some(area)) => {
                let [x1, y1, x2, y2] = area.to_pixels(query.width(), query.height());
                let area = [x1.floor() as u32, y1.floor() as u32, x2.ceil() as u32, y2.ceil() as u32];
                Circuit::of_image(&query).healed(&reference, area)
            }
            (Some(_), None) => None,
        };
        let (mut reference, mut query) = match (other, dice.pick(4)) {
            (Some(other), 0 | 1) => (reference, other),
            (Some(other), 2) => (other, reference),
            _ => {
                let again = reference.retaken(dice.bits());
                (reference, again)
            }
        };
        let symmetry = Symmetry::numbered(dice.pick(8));
        let (width, height) = query.size();
        let by = [width, height].map(|side| (dice.around(self.plan.shift) * side as f32).round() as i32);
        for circuit in [&mut reference, &mut query] {
            *circuit = circuit.turned(symmetry).shifted(by);
        }
        Ok((reference, query))
    }

    fn sample(&self, nth: u64) -> Option<&ApprovedSample> {
        let count = self.samples.len() as u64;
        (count > 0).then(|| &self.samples[shuffled(self.plan.seed, nth, count) as usize])
    }

    /// A defect on the circuit, the modes each equally often where they find a place.
    fn spoil(query: &Circuit, dice: &mut Dice) -> Option<(CircuitMode, Circuit, [u32; 4])> {
        let (first, seed) = (dice.pick(CircuitMode::ALL.len()) as u64, dice.bits());
        (0..TRIES).find_map(|step| {
            let mode = CircuitMode::ALL[((first + step) % CircuitMode::ALL.len() as u64) as usize];
            query.spoilt(mode, seed.wrapping_add(step)).map(|(spoilt, area)| (mode, spoilt, area))
        })
    }
}

impl Examples for Circuits {
    fn classes(&self) -> &[String] {
        self.classes.names()
    }

    fn example(&self, nth: u64) -> Result<Example, TrainError> {
        let mut dice =
            Dice::new(self.plan.seed ^ stable_hash(nth, &["circuit", if self.samples.is_empty() { "drawn" } else { "real" }]), "circuit");
        let kind = if dice.chance(self.plan.one_shot) { Kind::OneShot } else { Kind::ZeroShot };
        let (reference, query) = self.pair(nth, &mut dice)?;
        let (width, height) = query.size();
        let found = if dice.chance(self.plan.defective) { Self::spoil(&query, &mut dice) } else { None };
        let area = found.as_ref().map(|(_, _, area)| *area);
        let bounding = area.and_then(|area| {
            let [x1, y1, x2, y2] = area.map(f64::from);
            BoundingBox::from_pixels(x1, y1, x2, y2, width, height)
        });
        let schema = &self.recipe.schema;
        let grid =
            schema.fields().iter().find_map(|field| if let FieldKind::Address { grid, .. } = &field.kind { Some(grid) } else { None });
        let address = bounding.zip(grid).map(|(area, grid)| {
            let (x, y) = area.centre();
            grid.cell_at(x, y)
        });
        let image_type = self.image_type(self.sample(nth)).to_owned();
        let mode = found.as_ref().map(|(mode, ..)| mode.id());
        let label = Truth { image_type: &image_type, quantity: None, mode, address, area: bounding }.label(schema)?;
        let reference = Shown::new(reference.to_image());
        let query = Shown::new(found.map_or(query, |(_, spoilt, _)| spoilt).to_image());
        let named = |role: &str| -> Result<ImageRef, ExamplesError> {
            Ok(ImageRef { folder: 0, path: RelativePath::new(format!("generated/{role}/{nth}"))? })
        };
        let sample = Sample {
            id: SampleId::new(format!("generated {nth}")).map_err(ExamplesError::from)?,
            ordinal: nth,
            image_type: image_type.clone(),
            query: named("query")?,
            reference: Some(named("reference")?),
            group: "generated".to_owned(),
            origin: SampleOrigin::Generated,
            imported: label.clone(),
        };
        let mut conversation = self.recipe.prompt(&sample, &image_type, kind, Exemplar::Right)?;
        conversation.turns.push(self.recipe.answer_turn(&label)?);
        let images = conversation.images().map(|part| match part.role {
            ImageRole::Query => Ok(query.clone()),
            ImageRole::Reference => Ok(reference.clone()),
            ImageRole::Exemplar => Ok(Shown::new(self.images.get(&part.image, None)?.as_ref().clone())),
            ImageRole::Difference => Ok(Shown::difference(&query, &reference)),
        });
        let images = images.collect::<Result<Vec<Arc<Shown>>, TrainError>>()?;
        let region = self.classes.of_label(&label).zip(area).map(|(class, [x1, y1, x2, y2])| {
            let share = |value: u32, side: u32| value as f32 / side as f32;
            Region { class, area: [share(x1, width), share(y1, height), share(x2, width), share(y2, height)] }
        });
        Ok(Example { conversation, images, regions: Some(region.into_iter().collect()) })
    }
}
