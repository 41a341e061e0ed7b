//! From conversations to tokens and pixels, as the checkpoint's own processor does it.

mod chat;
mod patches;
mod resize;
mod tokens;

use std::path::Path;

pub use chat::ChatTemplate;
pub(super) use chat::DEFAULT_TEMPLATE;
pub use patches::{Grid, ImageProcessor, PixelPatches};
pub use resize::{resize_bicubic, smart_resize};
pub use tokens::Tokens;

use super::ModelError;
use super::qwen_vl::Config;
use crate::conversation::Turn;

/// The token that a chat template writes for an image.
pub(super) const IMAGE_PAD: &str = "<|image_pad|>";

/// Everything that stands between a conversation and the network.
#[derive(Debug)]
pub struct Processor {
    /// Pixels.
    pub images: ImageProcessor,
    /// The text of a conversation.
    pub chat: ChatTemplate,
    /// Tokens of a text.
    pub tokens: Tokens,
    image_token: u32,
}

/// A conversation as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Token ids, every image's placeholder repeated once per token of the image.
    pub ids: Vec<u32>,
    /// Where in `ids` each image stands, in order.
    pub images: Vec<std::ops::Range<usize>>,
}

impl Processor {
    /// Reads a checkpoint folder's processor, chat template and tokenizer.
    pub fn load(dir: &Path, config: &Config) -> Result<Self, ModelError> {
        let tokens = Tokens::load(dir)?;
        let wanted = config.image_token;
        if tokens.id(IMAGE_PAD) != Some(wanted) {
            let got = tokens.id(IMAGE_PAD).map_or_else(|| "none".to_owned(), |id| id.to_string());
            let reason = format!("expected {IMAGE_PAD} to be token {wanted} as config.json says, got {got}");
            return Err(ModelError::File { path: dir.join("tokenizer.json"), reason });
        }
        Ok(Self { images: ImageProcessor::load(dir, config)?, chat: ChatTemplate::load(dir)?, tokens, image_token: wanted })
    }

    /// The tokens of turns whose images have these grids, in the order in which they are shown. With `answer_next`, the
    /// model is to speak next; without, the last turn is complete.
    pub fn prompt(&self, turns: &[Turn], grids: &[Grid], answer_next: bool) -> Result<Prompt, ModelError> {
        self.expand(&self.tokens.encode(&self.chat.render(turns, answer_next)?)?, grids)
    }

    /// Repeats each placeholder once per token of its image.
    pub fn expand(&self, ids: &[u32], grids: &[Grid]) -> Result<Prompt, ModelError> {
        let placeholders = ids.iter().filter(|id| **id == self.image_token).count();
        if placeholders != grids.len() {
            return Err(ModelError::Prompt(format!("{placeholders} image placeholders for {} images", grids.len())));
        }
        let mut prompt = Prompt { ids: Vec::with_capacity(ids.len()), images: Vec::with_capacity(grids.len()) };
        let mut grids = grids.iter();
        for id in ids {
            match grids.as_slice().first().filter(|_| *id == self.image_token) {
                None => prompt.ids.push(*id),
                Some(grid) => {
                    grids.next();
                    let start = prompt.ids.len();
                    prompt.ids.resize(start + self.images.tokens(*grid), self.image_token);
                    prompt.images.push(start..prompt.ids.len());
                }
            }
        }
        Ok(prompt)
    }
}
