//! What a pass in [`crate::model::qwen_vl::Mode::Train`] keeps until its gradients are known: the results of the operations,
//! and what their hand-written gradients hold on to. Numbers of values, not bytes; a value takes what the network computes in,
//! unless said otherwise.
//!
//! The counts follow the network's code operation by operation; `tests/train_memory.rs` holds them to what is allocated.

use super::Load;
use crate::model::processor::Grid;
use crate::model::qwen_vl::{Activation, Config, Tower};
use crate::train::batch::PAD;

/// Scores that the tower computes at once, at most; see the vision tower.
const MOST_SCORES: usize = 1 << 29;

/// A batch of conversations of one kind, as large as they get.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    rows: usize,
    /// Tokens of a row, padding included.
    tokens: usize,
    /// Tokens that are learnt from, of all rows.
    answers: usize,
    /// Tokens with something known of them, of all rows.
    dense: usize,
    /// Different images: how many of each grid.
    images: Vec<(Grid, usize)>,
}

impl Batch {
    pub(super) fn new(load: &Load, rows: usize) -> Self {
        let images = load.images.iter().map(|shown| (shown.grid, shown.different.map_or(rows, |most| rows.min(most)))).collect();
        Self { rows, tokens: load.tokens.next_multiple_of(PAD), answers: rows * load.answer, dense: rows * load.dense, images }
    }

    fn patches(&self) -> usize {
        self.images.iter().map(|(grid, count)| grid.patches() * count).sum()
    }

    fn places(&self) -> usize {
        self.rows * self.tokens
    }

    /// Attention scores of one layer of the text model.
    fn scores(&self, config: &Config) -> usize {
        self.rows * config.text.heads * self.tokens * self.tokens
    }

    /// Attention scores of one layer of the tower, and of the largest piece that is computed at once.
    fn seen(&self, config: &Config) -> (usize, usize) {
        let each = self.images.iter().map(|(grid, count)| {
            let one = config.vision.heads * grid.patches() * grid.patches();
            (one * count, (one * count).min(MOST_SCORES.max(one)))
        });
        each.fold((0, 0), |(all, most), (scores, piece)| (all + scores, most.max(piece)))
    }
}

/// Kept of the text model's layers; of layers that are computed `again`, their inputs.
pub(super) fn layers(config: &Config, batch: &Batch, again: bool) -> usize {
    let each = if again { batch.places() * config.text.hidden } else { layer(config, batch) };
    config.text.layers * each
}

/// Kept of one layer.
fn layer(config: &Config, batch: &Batch) -> usize {
    let text = &config.text;
    let (queries, keys) = (text.heads * text.head_dim, text.kv_heads * text.head_dim);
    let normed = usize::from(text.qk_norm);
    // Two norms, two changes, two sums; projected (and normed), turned, attended and brought back; gate, up and their product.
    let each = 6 * text.hidden + (4 + normed) * queries + (4 + normed) * keys + 3 * text.intermediate;
    batch.places() * each + batch.scores(config)
}

/// Kept around the layers: embeddings, images in their places, angles, the last norm.
pub(super) fn around(config: &Config, batch: &Batch, tracked: bool) -> usize {
    let text = &config.text;
    let levels = if let Tower::Qwen3 { deepstack, .. } = &config.vision.tower { deepstack.len().min(text.layers) } else { 0 };
    // Tokens and images placed among them, as two results where one of them is trained; a sum for each level.
    let placed = if tracked { 2 } else { 1 } + levels;
    batch.places() * ((placed + 1) * text.hidden + text.head_dim)
}

/// Kept to say what comes before a token: once on the processor, for each row of scores on a GPU, and not at all where our own
/// kernel (bf16) knows it.
pub(super) fn mask(config: &Config, batch: &Batch, cuda: bool, value: u64) -> usize {
    match (cuda, value) {
        (false, _) => batch.tokens * batch.tokens,
        (true, 2) => 0,
        (true, _) => batch.scores(config),
    }
}

/// Kept of the vision tower when it is trained; `whole` says whether its patch embedding is, and of blocks that are computed
/// `again` their inputs are.
pub(super) fn tower(config: &Config, batch: &Batch, whole: bool, again: bool) -> usize {
    let vision = &config.vision;
    let (width, patches) = (vision.hidden, batch.patches());
    let mut all = patches * if whole { 2 * width + 3 * vision.patch * vision.patch } else { width };
    all += if again { vision.depth * patches * width } else { blocks(config, batch).sum() };
    // Of each merger: norm, the first layer and its activation.
    all + (1 + levels(config)) * patches * 3 * width + features(config, batch)
}

/// Kept of each of the tower's blocks.
fn blocks(config: &Config, batch: &Batch) -> impl Iterator<Item = usize> {
    let vision = &config.vision;
    let (width, inner, patches) = (vision.hidden, vision.intermediate, batch.patches());
    let mlp = match (&vision.tower, vision.activation) {
        (Tower::Qwen25 { .. }, _) | (_, Activation::QuickGelu) => 4,
        _ => 2,
    };
    let joined = 16 * width + mlp * inner;
    let scores = batch.seen(config).0;
    (0..vision.depth).map(move |layer| {
        let windowed = match &vision.tower {
            Tower::Qwen25 { full_layers, window } if !full_layers.contains(&layer) => Some((window / vision.patch).pow(2)),
            _ => None,
        };
        match windowed {
            None => patches * joined + scores,
            // Windows are attended by operations that each keep what they make; scores are computed in f32.
            Some(window) => patches * (joined + 10 * width) + 6 * patches * vision.heads * window,
        }
    })
}

/// What the tower hands to the text model.
pub(super) fn features(config: &Config, batch: &Batch) -> usize {
    let unit = config.vision.merge * config.vision.merge;
    // Where there are several grids, their features are joined.
    let copies = if batch.images.len() > 1 { 2 } else { 1 };
    copies * (1 + levels(config)) * batch.patches() / unit * config.text.hidden
}

fn levels(config: &Config) -> usize {
    if let Tower::Qwen3 { deepstack, .. } = &config.vision.tower { deepstack.len() } else { 0 }
}

/// Kept of head and losses, in bytes: logits in the network's type and in f32, and their logarithms.
pub(super) fn head(config: &Config, batch: &Batch, value: usize) -> usize {
    let cast = if value == 4 { 0 } else { 4 };
    batch.answers * (config.text.vocab * (value + cast + 4) + config.text.hidden * value) + batch.dense * config.text.hidden * value
}

/// What comes and goes on top while gradients are computed, in bytes: the largest of the steps. A mask of what an adapter does
/// not see is made again, and so is all that a block keeps where blocks are computed `again`.
pub(super) fn passing(config: &Config, batch: &Batch, value: usize, (tower, dropout, again): (bool, bool, bool)) -> usize {
    let text = &config.text;
    let places = batch.places();
    // Logarithms, shares and gradients of the logits, in f32.
    let head = batch.answers * config.text.vocab * 5 * 4;
    let wide = if dropout { 13 } else { 8 };
    let attention = 2 * batch.scores(config) + 4 * places * text.heads * text.head_dim;
    let mlp = places * text.intermediate * wide / 2;
    let stream = places * 2 * text.hidden;
    let inner = config.vision.intermediate.max(3 * config.vision.hidden);
    let seen = if tower { 2 * batch.seen(config).1 + batch.patches() * inner * wide / 2 } else { 0 };
    // Besides what it keeps: a copy of its input, and the gradient that has arrived at its end.
    let layer = if again { layer(config, batch) + 2 * places * text.hidden } else { 0 };
    let block = if again && tower { blocks(config, batch).max().unwrap_or(0) + 2 * batch.patches() * config.vision.hidden } else { 0 };
    head.max((attention.max(mlp) + stream + layer) * value).max((seen + block) * value)
}

/// What comes and goes while a frozen tower looks at the images, in values.
pub(super) fn looking(config: &Config, batch: &Batch) -> usize {
    let vision = &config.vision;
    let patches = batch.patches();
    3 * batch.seen(config).1
        + patches * (8 * vision.hidden + 2 * vision.intermediate + 3 * vision.patch * vision.patch)
        + features(config, batch)
}
