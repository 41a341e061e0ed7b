//! Small language models and tokenizers for the tests of deciding.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mekiki::config::{self, Project};
use mekiki::domain::{Field, Label, Value};
use mekiki::model::decide::{Asked, Foresee, Frame, Grammar, HfVocabulary, Node, Scored, Scorer, Step, Vocabulary};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer, TokenizerBuilder};

pub fn project(text: &str) -> Project {
    config::parse(text, Path::new("mekiki.toml"), Path::new("/p")).unwrap_or_else(|error| panic!("{error}"))
}

/// A project of these fields and rules, in the project file's words.
pub fn schema(fields: &str, rules: &str, answer: &str) -> Project {
    project(&format!(
        "[project]\nname = \"t\"\nimage_types = [\"A\"]\n{fields}\n{rules}\n[answers]\nquery = \"\"\"\n{answer}\n\"\"\"\n\
         [instructions]\nversion = \"1\"\nlanguage = \"en\"\n[[instructions.texts]]\nversion = \"1\"\nlanguage = \"en\"\nquery = \"?\"\n"
    ))
}

/// Byte-level BPE of so many tokens, learnt from the texts; without `words`, merges run over everything, spaces and
/// line breaks included.
pub fn bpe(texts: &[String], size: usize, words: bool) -> HfVocabulary {
    let level = ByteLevel::new(false, false, words);
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(0)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut built = TokenizerBuilder::<BPE, tokenizers::normalizers::NFC, ByteLevel, ByteLevel, ByteLevel>::new()
        .with_model(BPE::default())
        .with_pre_tokenizer(Some(level))
        .with_decoder(Some(ByteLevel::default()))
        .build()
        .unwrap();
    built.train(&mut trainer, texts.iter()).unwrap();
    let mut tokenizer: Tokenizer = Tokenizer::from_bytes(built.to_string(false).unwrap().as_bytes()).unwrap();
    tokenizer
        .add_special_tokens([
            AddedToken::from("<|im_start|>", true),
            AddedToken::from("<|im_end|>", true),
            AddedToken::from("<|image_pad|>", true),
        ])
        .unwrap();
    HfVocabulary::new(tokenizer)
}

pub fn frame() -> Frame {
    Frame { before: "<|im_start|>assistant\n".into(), after: "<|im_end|>".into() }
}

pub fn grammar(project: &Project, vocabulary: &HfVocabulary) -> Grammar {
    Grammar::new(&project.recipe.schema, &project.recipe.answer, Arc::new(vocabulary.clone()), frame())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A language model whose next token depends on the three before it, by a hash.
pub struct HashModel {
    pub size: u32,
    pub seed: u64,
    /// How far logits reach: the larger, the surer.
    pub reach: f32,
    nodes: Vec<Vec<u32>>,
    released: BTreeSet<Node>,
    known: Mutex<HashMap<Vec<u32>, Vec<f32>>>,
}

impl HashModel {
    pub fn new(vocabulary: &HfVocabulary, seed: u64, reach: f32) -> Self {
        Self { size: vocabulary.len(), seed, reach, nodes: Vec::new(), released: BTreeSet::new(), known: Mutex::default() }
    }

    pub fn prompt(&mut self, tokens: &[u32]) -> Node {
        self.nodes.push(tokens.to_vec());
        Node(self.nodes.len() as u64 - 1)
    }

    /// Nodes made by steps that were never released.
    pub fn left(&self, prompts: usize) -> usize {
        self.nodes.len() - prompts - self.released.len()
    }

    /// Log-probabilities of every token behind these.
    pub fn logs(&self, tokens: &[u32]) -> Vec<f32> {
        let context = tokens[tokens.len().saturating_sub(3)..].to_vec();
        if let Some(known) = self.known.lock().unwrap().get(&context) {
            return known.clone();
        }
        let logit = |token: u32| {
            let mut hash = self.seed ^ 0x9e37_79b9_7f4a_7c15;
            for part in context.iter().chain([&token]) {
                hash = (hash ^ u64::from(*part)).wrapping_mul(0xff51_afd7_ed55_8ccd);
                hash ^= hash >> 32;
            }
            (hash >> 40) as f32 / (1 << 24) as f32 * self.reach
        };
        let logits: Vec<f32> = (0..self.size).map(logit).collect();
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
        let logs: Vec<f32> = logits.iter().map(|logit| logit - top - sum.ln()).collect();
        self.known.lock().unwrap().insert(context, logs.clone());
        logs
    }

    /// Σ log p of tokens `from..to` of a sequence.
    pub fn score(&self, tokens: &[u32], from: usize, to: usize) -> f64 {
        (from..to).map(|at| f64::from(self.logs(&tokens[..at])[tokens[at] as usize])).sum()
    }
}

impl Scorer for HashModel {
    type Error = Infallible;

    fn step(&mut self, steps: &[Step], _: &Foresee<'_>) -> Result<Vec<Scored>, Infallible> {
        let mut scored = Vec::new();
        for step in steps {
            assert!(!step.tokens.is_empty() && !step.wants.is_empty(), "{step:?}");
            assert!(!self.released.contains(&step.parent), "a released node is named");
            assert!(step.wants.is_sorted_by_key(|want| want.after) && step.wants.iter().all(|want| want.after < step.tokens.len()));
            let before = self.nodes[step.parent.0 as usize].clone();
            let all = [before.as_slice(), &step.tokens].concat();
            let answers = step.wants.iter().map(|want| {
                let logs = self.logs(&all[..=before.len() + want.after]);
                match &want.of {
                    Asked::Tokens(tokens) => tokens.iter().map(|token| (*token, logs[*token as usize])).collect(),
                    Asked::Top(most) => {
                        let mut order: Vec<u32> = (0..self.size).collect();
                        order.sort_by(|a, b| logs[*b as usize].total_cmp(&logs[*a as usize]));
                        order.truncate(*most);
                        order.into_iter().map(|token| (token, logs[token as usize])).collect()
                    }
                }
            });
            let answers = answers.collect();
            self.nodes.push(all);
            scored.push(Scored { node: Node(self.nodes.len() as u64 - 1), answers });
        }
        Ok(scored)
    }

    fn release(&mut self, nodes: &[Node]) {
        for node in nodes {
            assert!(self.released.insert(*node), "a node is released twice");
        }
    }
}

/// Every complete label of listed fields, rules or not.
pub fn labels(fields: &[Field]) -> Vec<Vec<Value>> {
    let mut all: Vec<Vec<Value>> = vec![Vec::new()];
    for field in fields {
        let values = field.values().unwrap();
        all = all.iter().flat_map(|known| values.iter().map(move |value| known.iter().chain([value]).cloned().collect())).collect();
    }
    all
}

pub fn label(fields: &[Field], values: &[Value]) -> Label {
    Label::from_values(fields.iter().zip(values.iter().cloned()))
}
