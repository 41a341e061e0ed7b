//! Prompts read into a cache, beginning with what is known of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::images::{Image, Seen};
use super::scorer::room;
use super::{PredictError, Predictor};
use crate::conversation::{Conversation, ImageRole};
use crate::domain::ContentHash;
use crate::imaging;
use crate::model::ModelError;
use crate::model::qwen_vl::{Cache, ImageEmbedding, Segment};

/// A prompt in tokens, and its images, ready for the tower.
#[derive(Debug, Clone)]
pub struct Prepared {
    ids: Vec<u32>,
    images: Vec<Arc<Image>>,
    /// Where each image stands in `ids`.
    places: Vec<std::ops::Range<usize>>,
    /// Where the parts end that other prompts share, and what identifies everything up to there.
    shared: Vec<(usize, ContentHash)>,
}

impl Prepared {
    /// The tokens of a part, with those of its images that are needed.
    fn segment(&self, part: std::ops::Range<usize>, embeddings: &BTreeMap<ContentHash, ImageEmbedding>) -> Segment {
        let images = self.images.iter().zip(&self.places).filter(|(_, place)| part.start <= place.start && place.end <= part.end);
        let images = images.filter_map(|(image, _)| embeddings.get(&image.hash).cloned()).collect();
        Segment { ids: self.ids[part].to_vec(), images }
    }
}

impl Predictor {
    /// The tokens of a conversation, and where it can be cut.
    pub(super) fn tokenise(&self, conversation: &Conversation, images: Vec<Arc<Image>>) -> Result<Prepared, PredictError> {
        let grids: Vec<_> = images.iter().map(|image| image.grid()).collect();
        let prompt = self.processor.prompt(&conversation.turns, &grids, true)?;
        let ids = self.grammar.prompt(&prompt.ids)?.to_vec();
        let most = self.model.config().text.max_positions;
        if ids.len() > most {
            return Err(ModelError::Prompt(format!("{} tokens; the model was made for at most {most}", ids.len())).into());
        }
        let mut shared = Vec::new();
        if self.settings.prefixes > 0 {
            let roles = conversation.images().map(|image| image.role);
            for (nth, (role, place)) in roles.zip(&prompt.images).enumerate() {
                if matches!(role, ImageRole::Reference | ImageRole::Query) && place.start > 0 {
                    shared.push((place.start, identity(&ids[..place.start], &images[..nth])));
                }
            }
        }
        Ok(Prepared { ids, images, places: prompt.images, shared })
    }

    /// Reads all prompts: one row of the cache for each, with room for answers.
    pub(super) fn read(&self, prompts: &[Prepared]) -> Result<Cache, ModelError> {
        let mut known: BTreeMap<ContentHash, Arc<Cache>> = BTreeMap::new();
        {
            let mut kept = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, key) in prompts.iter().flat_map(|prompt| &prompt.shared) {
                if let Some(cache) = kept.get(key) {
                    known.insert(*key, cache);
                }
            }
        }
        // How far each prompt is known; images behind that must be seen.
        let reached = |prompt: &Prepared| prompt.shared.iter().rev().find(|(_, key)| known.contains_key(key)).map_or(0, |(end, _)| *end);
        let needed = prompts.iter().flat_map(|prompt| {
            let start = reached(prompt);
            prompt.images.iter().zip(&prompt.places).filter(move |(_, place)| place.start >= start).map(|(image, _)| image)
        });
        let start = Instant::now();
        let embeddings = self.embed(needed)?;
        self.spend(start, |spent| &mut spent.tower)?;
        let start = Instant::now();
        let levels = prompts.iter().map(|prompt| prompt.shared.len()).max().unwrap_or(0);
        for level in 0..levels {
            self.read_level(prompts, level, &mut known, &embeddings)?;
        }
        let ends = |prompt: &Prepared| prompt.shared.last().map_or(0, |(end, _)| *end);
        let longest = prompts.iter().map(ends).max().unwrap_or(0) + prompts.iter().map(|p| p.ids.len() - ends(p)).max().unwrap_or(0);
        let parents: Vec<Option<&Arc<Cache>>> = prompts.iter().map(|p| p.shared.last().and_then(|(_, key)| known.get(key))).collect();
        let mut cache = self.continued(&parents, longest + room(&self.settings.guessing, prompts.len()))?;
        self.spend(start, |spent| &mut spent.shared)?;
        let start = Instant::now();
        let segments: Vec<Segment> = prompts.iter().map(|p| p.segment(ends(p)..p.ids.len(), &embeddings)).collect();
        self.model.forward(&mut cache, &segments)?;
        self.spend(start, |spent| &mut spent.prompts)?;
        Ok(cache)
    }

    /// Reads the shared parts of one level that are not known yet, each once, and keeps them.
    fn read_level(
        &self,
        prompts: &[Prepared],
        level: usize,
        known: &mut BTreeMap<ContentHash, Arc<Cache>>,
        embeddings: &BTreeMap<ContentHash, ImageEmbedding>,
    ) -> Result<(), ModelError> {
        let mut missing: BTreeMap<ContentHash, &Prepared> = BTreeMap::new();
        for prompt in prompts {
            // What is not known may still lie before something that is.
            let needed = prompt.shared.get(level).filter(|_| prompt.shared[level..].iter().all(|(_, key)| !known.contains_key(key)));
            if let Some((_, key)) = needed {
                missing.entry(*key).or_insert(prompt);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let start = |prompt: &Prepared| level.checked_sub(1).map_or(0, |before| prompt.shared[before].0);
        let segments: Vec<Segment> =
            missing.values().map(|prompt| prompt.segment(start(prompt)..prompt.shared[level].0, embeddings)).collect();
        let parents: Vec<Option<&Arc<Cache>>> =
            missing.values().map(|prompt| level.checked_sub(1).and_then(|before| known.get(&prompt.shared[before].1))).collect();
        let used = parents.iter().flatten().map(|cache| cache.len()).max().unwrap_or(0);
        let mut together = self.continued(&parents, used + segments.iter().map(|segment| segment.ids.len()).max().unwrap_or(0))?;
        self.model.forward(&mut together, &segments)?;
        let mut kept = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, (key, prompt)) in missing.into_iter().enumerate() {
            let alone = Arc::new(Cache::join(&[(&together, row)], prompt.shared[level].0)?);
            kept.insert(key, alone.clone(), alone.bytes());
            known.insert(key, alone);
        }
        Ok(())
    }

    /// A cache whose rows go on where these ended; all of them, or none, have read something.
    fn continued(&self, parents: &[Option<&Arc<Cache>>], capacity: usize) -> Result<Cache, ModelError> {
        let parts: Vec<(&Cache, usize)> = parents.iter().flatten().map(|cache| (cache.as_ref(), 0)).collect();
        match parts.len() {
            0 => self.model.cache(parents.len(), capacity),
            there if there == parents.len() => Cache::join(&parts, capacity),
            there => Err(ModelError::Prompt(format!("{there} of {} prompts have a beginning", parents.len()))),
        }
    }

    /// What the tower makes of images, those that it has not seen yet all at once.
    fn embed<'a>(&self, images: impl Iterator<Item = &'a Arc<Image>>) -> Result<BTreeMap<ContentHash, ImageEmbedding>, ModelError> {
        let mut found = BTreeMap::new();
        let mut fresh = BTreeMap::new();
        {
            let mut kept = self.embeddings.lock().unwrap_or_else(PoisonError::into_inner);
            for image in images {
                match (&image.seen, kept.get(&image.hash)) {
                    (Seen::Known(embedding), _) => drop(found.insert(image.hash, embedding.clone())),
                    (Seen::Fresh(_), Some(embedding)) => drop(found.insert(image.hash, embedding)),
                    (Seen::Fresh(pixels), None) => drop(fresh.insert(image.hash, pixels.clone())),
                }
            }
        }
        if fresh.is_empty() {
            return Ok(found);
        }
        let (hashes, pixels): (Vec<ContentHash>, Vec<_>) = fresh.into_iter().unzip();
        for (hash, embedding) in hashes.into_iter().zip(self.model.embed_placed(&pixels)?) {
            let embedding = embedding.to_keep()?;
            let tensors = std::iter::once(&embedding.main).chain(&embedding.deepstack);
            let bytes = tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum();
            self.embeddings.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, embedding.clone(), bytes);
            found.insert(hash, embedding);
        }
        Ok(found)
    }
}

/// What tells a beginning from another: its tokens and its images.
fn identity(ids: &[u32], images: &[Arc<Image>]) -> ContentHash {
    let mut bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    for image in images {
        bytes.extend_from_slice(image.hash.to_string().as_bytes());
        let grid = image.grid();
        bytes.extend([grid.height, grid.width].into_iter().flat_map(usize::to_le_bytes));
    }
    imaging::hash_bytes(&bytes)
}
