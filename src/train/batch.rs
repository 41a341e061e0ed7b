//! Conversations with what is to be learnt from them, laid out for the network.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use super::example::{Example, Region, Shown};
use super::{Plan, TrainError};
use crate::conversation::{Conversation, ImageRole, Role};
use crate::domain::{ContentHash, Kind};
use crate::model::ModelError;
use crate::model::processor::{Grid, Processor};
use crate::model::qwen_vl::{Config, Pictures, Whole, WholeRow};

/// Rows are made up to a multiple of so many tokens: few lengths occur, and sums over rows divide well.
pub(super) const PAD: usize = 16;
/// The share of a token's cell that something must cover to be what lies there.
const COVERS: f32 = 0.08;

/// One conversation in tokens.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) kind: Kind,
    ids: Vec<u32>,
    /// The answer with the token that ends its turn.
    answer: Range<usize>,
    images: Vec<Arc<Shown>>,
    /// First token of the query, and what lies on each of its tokens: 0 for nothing, else a class plus 1.
    dense: Option<(usize, Vec<u32>)>,
}

/// A conversation as tokens, its answer at the end.
pub(super) struct Spoken {
    pub(super) ids: Vec<u32>,
    /// The answer with the token that ends its turn.
    pub(super) answer: Range<usize>,
    /// Where each image stands.
    pub(super) images: Vec<Range<usize>>,
}

impl Spoken {
    /// The tokens of a conversation whose images have these grids.
    pub(super) fn new(processor: &Processor, config: &Config, conversation: &Conversation, grids: &[Grid]) -> Result<Self, TrainError> {
        let wrong = |what: &str| TrainError::Model(ModelError::Prompt(what.to_owned()));
        let turns = &conversation.turns;
        let Some((last, asked)) = turns.split_last().filter(|(last, _)| last.role == Role::Assistant) else {
            return Err(wrong("an example that does not end with an answer"));
        };
        let whole = processor.prompt(turns, grids, false)?;
        let prompt = processor.prompt(asked, grids, true)?;
        let said = processor.tokens.encode(&last.text())?;
        let start = prompt.ids.len();
        let end = start + said.len();
        if whole.ids.get(..start) != Some(&prompt.ids) || whole.ids.get(start..end) != Some(&said) {
            return Err(wrong("the chat template does not write an answer where the prompt ends"));
        }
        if whole.ids.len() > config.text.max_positions {
            let message = format!("{} tokens; the model was made for at most {}", whole.ids.len(), config.text.max_positions);
            return Err(wrong(&message));
        }
        let answer = start..(end + 1).min(whole.ids.len());
        // What follows the answer teaches nothing.
        let mut ids = whole.ids;
        ids.truncate(answer.end);
        Ok(Self { ids, answer, images: whole.images })
    }
}

impl Row {
    /// The tokens of an example.
    pub(super) fn new(processor: &Processor, config: &Config, example: Example) -> Result<Self, TrainError> {
        let sizes = example.images.iter().map(|shown| processor.images.grid(shown.image.width(), shown.image.height()));
        let grids = sizes.collect::<Result<Vec<Grid>, _>>()?;
        let Spoken { ids, answer, images } = Spoken::new(processor, config, &example.conversation, &grids)?;
        let query = example.conversation.images().position(|image| image.role == ImageRole::Query);
        let dense = example.regions.as_deref().zip(query).and_then(|(regions, query)| {
            let (grid, place) = (grids.get(query)?, images.get(query)?);
            let merge = config.vision.merge;
            Some((place.start, cells(regions, grid.height / merge, grid.width / merge)))
        });
        Ok(Self { kind: example.conversation.kind, ids, answer, images: example.images, dense })
    }
}

/// What lies on each cell of a grid over the whole picture: the region that covers most of the cell, where it covers enough.
/// A region that is smaller than that lies where its middle is.
fn cells(regions: &[Region], rows: usize, columns: usize) -> Vec<u32> {
    let overlap = |from: f32, to: f32, low: f32, high: f32| (to.min(high) - from.max(low)).max(0.0);
    let mut cells = vec![0; rows * columns];
    let mut best = vec![0.0_f32; rows * columns];
    for region in regions {
        let [x1, y1, x2, y2] = region.area;
        let middle = |low: f32, high: f32, count: usize| ((f32::midpoint(low, high) * count as f32) as usize).min(count.saturating_sub(1));
        let centre = middle(y1, y2, rows) * columns + middle(x1, x2, columns);
        for (nth, cell) in cells.iter_mut().enumerate() {
            let (row, column) = ((nth / columns) as f32, (nth % columns) as f32);
            let across = overlap(x1 * columns as f32, x2 * columns as f32, column, column + 1.0);
            let down = overlap(y1 * rows as f32, y2 * rows as f32, row, row + 1.0);
            let covered = across * down;
            let enough = covered >= COVERS || nth == centre;
            if enough && (*cell == 0 || covered > best[nth]) {
                *cell = region.class as u32 + 1;
                best[nth] = covered;
            }
        }
    }
    cells
}

/// Conversations of one kind, ready to be computed.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) pictures: Pictures,
    pub(super) whole: Whole,
    /// Places whose hidden states say the answers' tokens, row by row, and those tokens.
    pub(super) places: Vec<u32>,
    pub(super) targets: Vec<u32>,
    /// Which of `places` are a row's.
    pub(super) answers: Vec<Range<usize>>,
    /// Places of the queries' tokens, and what lies there.
    pub(super) dense_places: Vec<u32>,
    pub(super) dense_targets: Vec<u32>,
}

impl Batch {
    /// Lays rows out; every image that occurs is resized once.
    pub(super) fn new(processor: &Processor, config: &Config, rows: &[Row]) -> Result<Self, TrainError> {
        let mut nth: HashMap<ContentHash, usize> = HashMap::new();
        let mut distinct: Vec<&RgbImage> = Vec::new();
        let mut shown = Vec::with_capacity(rows.len());
        for row in rows {
            let images = row.images.iter().map(|image| {
                *nth.entry(image.hash).or_insert_with(|| {
                    distinct.push(&image.image);
                    distinct.len() - 1
                })
            });
            shown.push(WholeRow { ids: row.ids.clone(), images: images.collect() });
        }
        let resized = distinct.into_par_iter().map(|image| {
            let size = processor.images.size(image.width(), image.height())?;
            Ok(if size == image.dimensions() { Cow::Borrowed(image) } else { Cow::Owned(processor.images.resized(image)?) })
        });
        let resized = resized.collect::<Result<Vec<Cow<'_, RgbImage>>, ModelError>>()?;
        let pictures = Pictures::new(&processor.images, &resized.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        let whole = Whole::new(config, &shown, pictures.grids().to_vec(), PAD)?;
        let tokens = whole.tokens();
        let mut batch = Self {
            pictures,
            whole,
            places: Vec::new(),
            targets: Vec::new(),
            answers: Vec::with_capacity(rows.len()),
            dense_places: Vec::new(),
            dense_targets: Vec::new(),
        };
        for (nth, row) in rows.iter().enumerate() {
            let start = batch.places.len();
            for at in row.answer.clone() {
                // The token before says this one.
                batch.places.push((nth * tokens + at - 1) as u32);
                batch.targets.push(row.ids[at]);
            }
            batch.answers.push(start..batch.places.len());
            if let Some((first, cells)) = &row.dense {
                batch.dense_places.extend((nth * tokens + first) as u32..(nth * tokens + first + cells.len()) as u32);
                batch.dense_targets.extend_from_slice(cells);
            }
        }
        Ok(batch)
    }

    /// Conversations.
    pub(super) fn rows(&self) -> usize {
        self.whole.rows()
    }
}

/// What the places of the dense loss weigh: nothing lies on most of them.
pub(super) fn dense_weights(plan: &Plan, targets: &[u32]) -> Vec<f32> {
    let nothing = plan.dense.map_or(0.0, |dense| dense.nothing) as f32;
    targets.iter().map(|class| if *class == 0 { nothing } else { 1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_what_covers_them_most() {
        let region = |class, area| Region { class, area };
        // A box over the right half of the first cell and a little of the second; a speck in the last cell.
        let cells = cells(&[region(2, [0.125, 0.0, 0.27, 0.5]), region(4, [0.9, 0.9, 0.91, 0.91])], 2, 4);
        assert_eq!(cells, [3, 3, 0, 0, 0, 0, 0, 5]);
        // Where two overlap, the one that covers more.
        let both = super::cells(&[region(0, [0.0, 0.0, 0.2, 1.0]), region(1, [0.1, 0.0, 0.5, 1.0])], 1, 2);
        assert_eq!(both, [2, 0]);
    }
}
