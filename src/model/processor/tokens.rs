//! Tokens of a text.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::domain::printable;
use crate::model::ModelError;
use crate::model::checkpoint::read_text;

/// A checkpoint's tokenizer.
#[derive(Debug)]
pub struct Tokens(Tokenizer);

impl Tokens {
    /// Reads a folder's `tokenizer.json`.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("tokenizer.json");
        Self::parse(&read_text(&path)?, &path)
    }

    /// Reads the text of a `tokenizer.json`; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let wrong = |error: &dyn std::fmt::Display| {
            let reason = format!("no tokenizer: {}", printable(&error.to_string()));
            ModelError::File { path: path.to_owned(), reason }
        };
        let mut tokenizer: Tokenizer = text.parse().map_err(|error: tokenizers::Error| wrong(&error))?;
        // A conversation is never cut and never filled up.
        tokenizer.with_truncation(None).map_err(|error| wrong(&error))?;
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }

    /// The tokens of a text, in which the names of special tokens are those tokens.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.0.encode_fast(text, false).map_err(|error| ModelError::Prompt(format!("no tokens: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of tokens, special ones left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.0.decode(ids, true).map_err(|error| ModelError::Prompt(format!("no text: {error}")))
    }

    /// The token of this name.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    /// How many tokens there are.
    pub fn count(&self) -> usize {
        self.0.get_vocab_size(true)
    }
}
