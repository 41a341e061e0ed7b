//! How long conversations get, seen from the examples themselves.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::{Load, ShownImage};
use crate::conversation::ImageRole;
use crate::domain::Kind;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Config;
use crate::train::batch::Spoken;
use crate::train::{Examples, Outline, TrainError};

/// So many examples are drawn of a source without an end.
const DRAWN: u64 = 256;

/// The longest conversation of each kind, one-shot first: of all examples of a source that has so many and no more, of the
/// first 256 of any other.
pub fn survey(examples: &dyn Examples, processor: &Processor, config: &Config) -> Result<Vec<Load>, TrainError> {
    let parts = examples.parts();
    if !parts.is_empty() {
        let mut all: BTreeMap<Kind, Load> = BTreeMap::new();
        for part in parts {
            for load in survey(part, processor, config)? {
                let longer = all.remove(&load.kind).map_or_else(|| load.clone(), |known| known.max(&load));
                all.insert(load.kind, longer);
            }
        }
        return Ok(in_order(all));
    }
    let count = examples.round().unwrap_or(DRAWN);
    let each: Vec<(Load, Vec<Option<String>>)> =
        (0..count).into_par_iter().map(|nth| one(examples.outline(nth)?, processor, config)).collect::<Result<_, TrainError>>()?;
    let mut longest: BTreeMap<Kind, Load> = BTreeMap::new();
    let mut seen: BTreeMap<(Kind, usize), BTreeSet<Option<&str>>> = BTreeMap::new();
    for (load, pictures) in &each {
        let longer = longest.remove(&load.kind).map_or_else(|| load.clone(), |known| known.max(load));
        longest.insert(load.kind, longer);
        for (nth, picture) in pictures.iter().enumerate() {
            seen.entry((load.kind, nth)).or_default().insert(picture.as_deref());
        }
    }
    for (kind, load) in &mut longest {
        let conversations = each.iter().filter(|(load, _)| load.kind == *kind).count();
        for (nth, shown) in load.images.iter_mut().enumerate() {
            // As many pictures as conversations are no pool.
            let few = seen.get(&(*kind, nth)).filter(|pictures| !pictures.contains(&None) && pictures.len() < conversations);
            shown.different = few.map(BTreeSet::len);
        }
    }
    Ok(in_order(longest))
}

fn in_order(mut loads: BTreeMap<Kind, Load>) -> Vec<Load> {
    [Kind::OneShot, Kind::ZeroShot].into_iter().filter_map(|kind| loads.remove(&kind)).collect()
}

/// One example, and what tells its pictures from others.
fn one(outline: Outline, processor: &Processor, config: &Config) -> Result<(Load, Vec<Option<String>>), TrainError> {
    let grids = outline.images.iter().map(|shown| processor.images.grid(shown.size.0, shown.size.1)).collect::<Result<Vec<_>, _>>()?;
    let spoken = Spoken::new(processor, config, &outline.conversation, &grids)?;
    let query = outline.conversation.images().position(|image| image.role == ImageRole::Query);
    let dense = query.and_then(|query| spoken.images.get(query)).map_or(0, std::ops::Range::len);
    let load = Load {
        kind: outline.conversation.kind,
        tokens: spoken.ids.len(),
        answer: spoken.answer.len(),
        dense,
        images: grids.into_iter().map(|grid| ShownImage { grid, different: None }).collect(),
    };
    Ok((load, outline.images.into_iter().map(|shown| shown.picture).collect()))
}
