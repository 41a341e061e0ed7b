//! A model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, `transformers serve`): this is how predicting grows
//! past one machine.
//!
//! The turns are those of [`crate::conversation::Recipe::prompt`], with the images inline; the server's own chat template and
//! image processor make tokens of them. Where the server can be told what answers look like, it is told so in a form that
//! keeps the trained answer text; what comes back is read with [`crate::conversation::AnswerTemplate::parse`], and an answer that cannot be
//! read is an error of that sample. Everything that a server sends is untrusted: its size is limited, and no text of it
//! is shown before it is made safe. Where a server is, and the key for it, come from the user alone; neither is ever
//! part of a message.
//!
//! # Which probabilities these are
//!
//! A server tells, for each token that it chose, the logarithm of its probability, and those of the likeliest others.
//!
//! - `P(said value)` is `exp Σ log p` over the tokens from the one that holds the value's first byte to the one that holds the
//!   first byte behind it: the same path as in [`super::decide`].
//! - Each other token that was listed at one of these places has the mass of the path up to there times its own probability. It
//!   goes to the allowed values that could still have begun so, in equal parts where there are several. So an
//!   alternative's probability is an upper bound where its own later tokens are uncertain.
//! - Allowed are the values that the rules leave after the fields before, as they were said. Probabilities are divided by their
//!   sum; `outside` is one minus that sum: what led nowhere allowed, and what was not listed at all.
//! - Where a server masks what its guidance forbids before it takes the logarithms, as vLLM 0.20 does, each token's
//!   probability is one among the allowed tokens: `outside` is then near 0 and says nothing, and the values' shares differ from
//!   those of [`super::decide`] in as far as the model would have left the format. Without guidance both are the model's own.
//! - A field with too many values to list has the probability of what was said, alone, and `outside` 0, which is not known.
//! - Without log-probabilities, where the tokens do not spell the text, and where the answer was not written exactly as
//!   it is trained (JSON among others), nothing is known: the list of probabilities is empty and the confidence counts as 0.

mod client;
mod confidence;
mod dialect;
mod error;
mod message;
mod pattern;
mod reply;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use client::{Client, Found};
pub use dialect::Flavour;
pub use error::ServerError;
pub use reqwest::Url;
pub use run::Answered;

pub use crate::conversation::Guidance;
use crate::domain::{FieldId, FieldPrediction};

/// A server, and how it is asked.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What the user calls it.
    pub alias: String,
    /// Its address up to and with `/v1`.
    pub url: Url,
    /// The model; the only one that it has, when not named.
    pub model: Option<String>,
    /// The key, with the name of the variable that it came from.
    pub key: Option<Key>,
    /// How many samples are asked about at once; at least 1.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How answers are kept to their format.
    pub guidance: Guidance,
    /// How many alternatives are asked for at each token; with 0 there are no confidences.
    pub logprobs: u8,
}

/// A key. It is never shown.
#[derive(Clone)]
pub struct Key {
    variable: String,
    secret: String,
}

impl Key {
    /// The key that an environment variable holds; `read` gives variables by name.
    pub fn read(alias: &str, variable: &str, read: impl Fn(&str) -> Option<String>) -> Result<Self, ServerError> {
        let secret = read(variable).map(|secret| secret.trim().to_owned()).filter(|secret| !secret.is_empty());
        match secret.filter(|secret| secret.chars().all(|c| c.is_ascii_graphic())) {
            Some(secret) => Ok(Self { variable: variable.to_owned(), secret }),
            None => Err(ServerError::NoKey { alias: alias.to_owned(), variable: variable.to_owned() }),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.variable)
    }
}

/// What a server's model said of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// By field; the module's text says what the probabilities are.
    pub fields: BTreeMap<FieldId, FieldPrediction>,
    /// The answer's text, as it came.
    pub answer: String,
}
