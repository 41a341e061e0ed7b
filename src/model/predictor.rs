//! Predicting samples: from conversations and image files to every field's value with its confidence.
//!
//! The turns are those of [`crate::conversation::Recipe::prompt`], so that what is predicted on is what is trained on. What prompts have
//! in common is read once: keys and values are kept of everything before the reference image, and of everything before
//! the query image, by the tokens and images that stand there; what the vision tower makes of an image is kept by the
//! image's hash. Both are bounded and forget what was used longest ago. The walk over the allowed answers
//! ([`super::decide`]) runs as one forward pass of all samples per step.

mod at_once;
mod images;
mod prompts;
mod rows;
mod scorer;
mod source;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use prompts::Prepared;
pub use scorer::Guessing;

use super::ModelError;
use super::adapter::{Adapter, AdapterError};
use super::checkpoint::{Checkpoint, read_text};
use super::decide::{self, DecideError, Decision, Frame, Grammar, GrammarError, HfVocabulary, Vocabulary};
use super::processor::Processor;
use super::qwen_vl::{Cache, ImageEmbedding, Model};
use crate::conversation::{Conversation, Part, Recipe, Role, Turn};
use crate::domain::ContentHash;
use crate::imaging::{ByteCache, ImageError};

/// The threads that decide answers beside an accelerator.
const DECIDING: usize = 4;

/// Why a model cannot be made ready, or a sample not predicted.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The checkpoint or a computation.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The schema's answers cannot be decided with this tokenizer.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// No decision was reached.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// An image of the conversation cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image cannot be shown to the model.
    #[error("{path}: {source}")]
    Shown {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ModelError,
    },
}

/// What a predictor may use, and how thoroughly it looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Bytes of keys and values that are kept of prompts' beginnings; with 0, every prompt is read whole.
    pub prefixes: usize,
    /// Bytes of images as the vision tower sees them that are kept.
    pub images: usize,
    /// How the answers are walked.
    pub decide: decide::Settings,
    /// How much is read with what is asked.
    pub guessing: Guessing,
    /// Whether to wait for the device behind every stage, so that [`Predictor::spent`] tells which one took how long;
    /// otherwise what is asked of a device is paid for where its results are needed.
    pub apart: bool,
}

/// How long the stages took, all batches together. Images are made ready beside the others, on other threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Reading, decoding and resizing images.
    pub images: Duration,
    /// Tokens of the prompts.
    pub tokens: Duration,
    /// The vision tower.
    pub tower: Duration,
    /// What prompts have in common: reading it, and laying it out for a batch.
    pub shared: Duration,
    /// The rest of the prompts.
    pub prompts: Duration,
    /// Deciding the answers.
    pub answers: Duration,
    /// What deciding asked for.
    pub effort: decide::Effort,
    /// The forward passes that it took.
    pub passes: usize,
    /// The tokens that they read, those that were foreseen in vain included.
    pub read: usize,
}

impl Settings {
    /// What fits a device: little on the CPU, where a review beside it is to stay below some 300 MB; more on an accelerator.
    pub fn of(device: &Device) -> Self {
        let (prefixes, images) = if device.is_cpu() { (96 << 20, 48 << 20) } else { (12 << 30, 2 << 30) };
        let guessing = if device.is_cpu() { Guessing::CPU } else { Guessing::ACCELERATOR };
        Self { prefixes, images, decide: decide::Settings::default(), guessing, apart: false }
    }
}

/// What is asked of a sample.
#[derive(Debug, Clone)]
pub struct Item {
    /// The turns that ask, as [`Recipe::prompt`] makes them.
    pub conversation: Conversation,
    /// The files of the conversation's images, in their order; of a difference, the query's.
    pub images: Vec<PathBuf>,
}

/// A model with everything that stands between a conversation and a prediction.
#[derive(Debug)]
pub struct Predictor {
    model: Model,
    processor: Processor,
    grammar: Grammar,
    settings: Settings,
    embeddings: Mutex<ByteCache<ContentHash, ImageEmbedding>>,
    prefixes: Mutex<ByteCache<ContentHash, Arc<Cache>>>,
    spent: Mutex<Spent>,
    /// The tokens of all values.
    candidates: Vec<u32>,
    /// Threads that decide, where the others make images ready for an accelerator.
    pool: Option<ThreadPool>,
}

impl Predictor {
    /// Loads a checkpoint's folder, an adapter over it where one is named, and makes the recipe's answers decidable.
    pub fn load(
        dir: &Path,
        device: &Device,
        dtype: DType,
        adapter: Option<&Path>,
        recipe: &Recipe,
        settings: Settings,
    ) -> Result<Self, PredictError> {
        let checkpoint = Checkpoint::open(dir)?;
        let config = checkpoint.config()?;
        let processor = Processor::load(dir, &config)?;
        let path = dir.join("tokenizer.json");
        let tokenizer = read_text(&path)?
            .parse()
            .map_err(|error: tokenizers::Error| ModelError::File { path: path.clone(), reason: format!("no tokenizer: {error}") })?;
        let vocabulary = HfVocabulary::new(tokenizer);
        if vocabulary.len() as usize > config.text.vocab {
            let reason = format!("expected at most the {} tokens that config.json says, got {}", config.text.vocab, vocabulary.len());
            return Err(ModelError::File { path, reason }.into());
        }
        let frame = frame(&processor, &vocabulary)?;
        let grammar = Grammar::new(&recipe.schema, &recipe.answer, Arc::new(vocabulary), frame)?;
        let model = match adapter {
            None => Model::new(&config, &checkpoint, device, dtype)?,
            Some(adapter) => source::adapted(&config, &checkpoint, &Adapter::load(adapter)?, device, dtype)?,
        };
        let pool = if device.is_cpu() {
            None
        } else {
            ThreadPoolBuilder::new().num_threads(DECIDING).thread_name(|_| "deciding".to_owned()).build().ok()
        };
        Ok(Self {
            model,
            processor,
            embeddings: Mutex::new(ByteCache::new(settings.images)),
            prefixes: Mutex::new(ByteCache::new(settings.prefixes)),
            spent: Mutex::default(),
            candidates: grammar.tokens(),
            grammar,
            pool,
            settings,
        })
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens and pixels of conversations.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// All allowed answers.
    pub fn grammar(&self) -> &Grammar {
        &self.grammar
    }

    /// Predicts a batch: one answer for each item, in their order.
    pub fn predict(&self, items: &[Item]) -> Vec<Result<Decision, PredictError>> {
        self.predict_prepared(self.prepare(items))
    }

    /// Predicts items whose images are ready. Where the device's memory does not suffice, half of them at a time.
    fn predict_prepared(&self, prepared: Vec<Result<Prepared, PredictError>>) -> Vec<Result<Decision, PredictError>> {
        let mut answers: Vec<Option<Result<Decision, PredictError>>> = Vec::with_capacity(prepared.len());
        let mut ready = Vec::new();
        for (place, item) in prepared.into_iter().enumerate() {
            match item {
                Ok(prompt) => {
                    answers.push(None);
                    ready.push((place, prompt));
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let (places, prompts): (Vec<usize>, Vec<Prepared>) = ready.into_iter().unzip();
        for (place, answer) in places.into_iter().zip(self.decide(&prompts)) {
            answers[place] = Some(answer);
        }
        answers.into_iter().flatten().collect()
    }

    fn decide(&self, prompts: &[Prepared]) -> Vec<Result<Decision, PredictError>> {
        if prompts.is_empty() {
            return Vec::new();
        }
        match self.decide_together(prompts) {
            Ok(answers) => answers,
            // Fewer at once may fit, and what is wrong with one is no failure of the others.
            Err(_) if prompts.len() > 1 => {
                self.forget_prefixes();
                let (first, second) = prompts.split_at(prompts.len() / 2);
                let mut answers = self.decide(first);
                answers.extend(self.decide(second));
                answers
            }
            Err(error) => vec![Err(error.into())],
        }
    }

    fn decide_together(&self, prompts: &[Prepared]) -> Result<Vec<Result<Decision, PredictError>>, ModelError> {
        let cache = self.read(prompts)?;
        let start = Instant::now();
        let (mut tree, nodes) = scorer::Tree::new(&self.model, cache, &self.candidates, self.settings.guessing);
        let decided = decide::decide_on(self.pool.as_ref(), &mut tree, &self.grammar, &nodes, &self.settings.decide)?;
        self.spend(start, |spent| &mut spent.answers)?;
        {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.effort += decided.effort;
            spent.passes += tree.passes();
            spent.read += tree.tokens();
        }
        Ok(decided.answers.into_iter().map(|answer| answer.map_err(PredictError::from)).collect())
    }

    /// How long the stages have taken so far.
    pub fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is kept of images and prompts, and how long the stages took.
    pub fn forget(&self) {
        self.forget_prefixes();
        self.embeddings.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Spent::default();
    }

    fn forget_prefixes(&self) {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Adds the time since `start` to a stage.
    fn note(&self, start: Instant, stage: impl FnOnce(&mut Spent) -> &mut Duration) {
        *stage(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner)) += start.elapsed();
    }

    /// The same for a stage that the device has part in.
    fn spend(&self, start: Instant, stage: impl FnOnce(&mut Spent) -> &mut Duration) -> Result<(), ModelError> {
        if self.settings.apart {
            self.model.device().synchronize()?;
        }
        self.note(start, stage);
        Ok(())
    }
}

/// What the chat template writes around an answer.
fn frame(processor: &Processor, vocabulary: &HfVocabulary) -> Result<Frame, ModelError> {
    let wrong = |what: &str| ModelError::Prompt(format!("the chat template: {what}"));
    let turn = |role, text: &str| Turn { role, parts: vec![Part::Text(text.to_owned())] };
    // A text that templates do not change.
    let answer = "Answer";
    let asked = processor.chat.render(&[turn(Role::User, "Question")], true)?;
    let whole = processor.chat.render(&[turn(Role::User, "Question"), turn(Role::Assistant, answer)], false)?;
    let after = whole.strip_prefix(&asked).and_then(|rest| rest.strip_prefix(answer));
    let after = after.ok_or_else(|| wrong("expected an answer to stand where the prompt ends"))?;
    let special = |text: &str| -> Result<Vec<String>, ModelError> {
        let tokens = processor.tokens.encode(text)?;
        let names = tokens.into_iter().filter(|token| vocabulary.is_added(*token)).filter_map(|token| vocabulary.bytes(token));
        Ok(names.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect())
    };
    let opening = special(&asked)?.pop().and_then(|name| asked.rfind(&name));
    let before = opening.map(|at| asked[at..].to_owned()).ok_or_else(|| wrong("expected a special token before the answer"))?;
    let ending = special(after)?.into_iter().next().and_then(|name| after.find(&name).map(|at| at + name.len()));
    Ok(Frame { before, after: ending.map_or(after, |end| &after[..end]).to_owned() })
}
