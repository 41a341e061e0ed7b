//! Checkpoints of random parameters: the stand-in until a trained one exists.
//!
//! What is written is a Hugging Face folder that transformers loads too: `config.json`, safetensors (in several files
//! beyond 4 GB), a byte-level BPE tokenizer learnt from the given texts, the image processor's settings and the chat
//! template. The same shape, texts and seed make the same folder.

mod shape;
mod tokenizer;
mod weights;

use std::path::Path;

use serde_json::{Value, json};

pub use shape::Shape;

use super::ModelError;
use super::qwen_vl::{Config, parameters};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Parameters.
    pub parameters: u64,
    /// Bytes of all parameters.
    pub bytes: u64,
    /// Tokens that the tokenizer knows.
    pub tokens: u32,
    /// Files of parameters.
    pub files: usize,
}

/// Writes a checkpoint into an empty folder. `texts` are what the tokenizer learns from; `done` is told of the bytes
/// written so far and of all.
pub fn write(dir: &Path, shape: &Shape, seed: u64, texts: &[String], done: &dyn Fn(u64, u64)) -> Result<Written, ModelError> {
    let path = dir.join("config.json");
    let mut config = shape.config()?;
    let vocabulary = Config::parse(&config.to_string(), &shape.path())?.text.vocab;
    let (tokenizer, tokens) = tokenizer::learn(texts, vocabulary).map_err(|reason| ModelError::File { path: shape.path(), reason })?;
    let token = |name: &str| tokens.iter().find(|(known, _)| *known == name).map(|(_, id)| *id);
    for (key, name) in tokenizer::IN_CONFIG {
        config[key] = json!(token(name));
    }
    let text = pretty(&config);
    let parsed = Config::parse(&text, &path)?;
    let shapes = parameters(&parsed)?;
    save(&path, &text)?;
    save(&dir.join("tokenizer.json"), &tokenizer)?;
    save(&dir.join("tokenizer_config.json"), &pretty(&tokenizer::settings()))?;
    save(&dir.join("preprocessor_config.json"), &pretty(&shape.images(&parsed)))?;
    save(&dir.join("chat_template.jinja"), super::processor::DEFAULT_TEMPLATE)?;
    let (bytes, files) = weights::write(dir, &shapes, shape.half(), seed, done)?;
    let count = |shape: &[usize]| shape.iter().map(|side| *side as u64).product::<u64>();
    let known = tokens.iter().map(|(_, id)| id + 1).max().unwrap_or(0);
    Ok(Written { parameters: shapes.iter().map(|(_, shape)| count(shape)).sum(), bytes, tokens: known, files })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn save(path: &Path, text: &str) -> Result<(), ModelError> {
    std::fs::write(path, text).map_err(|source| ModelError::Io { path: path.to_owned(), source })
}
