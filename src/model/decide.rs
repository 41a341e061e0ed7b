//! Deciding the fields of an answer: only allowed answers can come out, and every value carries its probability.
//!
//! A [`Grammar`] is made once from schema, answer template and vocabulary. [`decide`] walks it for a batch of samples
//! over a [`Scorer`], which is the model. Forced tokens are fed in chunks together with the first decision that
//! follows; every call of [`Scorer::step`] is one forward pass and one synchronisation for the whole batch. With what is
//! asked goes what is likely to be asked next, by what was asked and decided before (`place.rs`), so that a model can read
//! it in the same pass; a sample goes on by itself as long as its questions have been answered so.
//!
//! # Which probabilities these are
//!
//! - Complete answers are tokenised whole. A value's tokens run from the token that holds its first byte to the token
//!   that holds the first byte behind it, its delimiter (`1\n` is no beginning of `12\n`), and further where two values
//!   would still be beginnings of one another.
//! - `P(value) = exp Σ log p(token)`, divided by the same sum over all values that the field may have after the earlier
//!   fields as they were decided; full-vocabulary log-probabilities, no length normalisation, nothing renormalised at
//!   single tokens. `outside` is one minus that sum before the division.
//! - A field is conditional on the fields before it. Where one of those was decided with less than
//!   [`Settings::expand_below`], its two likeliest values are both followed, and what is shown of later fields is the
//!   mixture of the branches, weighted with their probability: `Σ w·P(value | branch) / Σ w`. The value itself is the
//!   likeliest of the main branch, that of the decided earlier fields, so that the answer keeps the rules; in a
//!   mixture another value can carry more mass.
//! - Values whose shared mass is bounded by [`Settings::tolerance`] of the allowed mass are not told apart any further:
//!   they share their bound evenly. With a tolerance of 0 every path is walked.
//! - Where the tokenizer merges across the text between two fields, so that neither has tokens of its own, they are
//!   decided together over all pairs, and each one's share is summed from the pairs.
//! - Wide integers, boxes, many-optioned multi-choices and texts are decoded greedily over the tokens that keep the text
//!   valid. Theirs is the probability of the one path found, renormalised at each token over the tokens allowed
//!   there; `outside` is the mass that was not allowed along the path. They are shown alone, without alternatives.
//! - Every field of the answer is written, also one that is not required: a prediction proposes a value for each.

mod branch;
mod grammar;
mod open;
mod place;
mod probabilities;
pub(super) mod rules;
mod segments;
mod trie;
mod vocabulary;
mod walk;

use crate::domain::FieldId;

pub use grammar::{Frame, Grammar};
pub use vocabulary::{HfVocabulary, Vocabulary};
pub use walk::{Decided, Decision, Effort, decide, decide_on};

/// A place in the tree of tokens that a [`Scorer`] has seen; the scorer gives the numbers out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub u64);

/// Tokens to run behind a node, and what is to be known of the positions they fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What has been seen before these tokens.
    pub parent: Node,
    /// At least one token.
    pub tokens: Vec<u32>,
    /// At least one, in ascending order of [`Want::after`].
    pub wants: Vec<Want>,
}

/// A question about the next token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Index into the step's tokens: the question is what follows that one.
    pub after: usize,
    /// Of which tokens.
    pub of: Asked,
}

/// The tokens whose log-probabilities are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// These, answered in this order.
    Tokens(Vec<u32>),
    /// So many of the likeliest of the whole vocabulary.
    Top(usize),
}

/// What a step found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The place behind the step's tokens.
    pub node: Node,
    /// One list for each want: token and the natural logarithm of its probability, by a softmax over the full
    /// vocabulary in f32.
    pub answers: Vec<Vec<(u32, f32)>>,
}

/// A token that is likely to be asked about, or to lead to one that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Foreseen {
    /// The token before it, among those before it in its list; none for those right behind the step's tokens.
    pub parent: Option<usize>,
    /// The token.
    pub token: u32,
    /// Whether a question about what follows it is likely, too.
    pub asks: bool,
    /// How likely it is, 0 to 1; never more than its parent.
    pub likely: f32,
}

/// How much of what may be asked is worth knowing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appetite {
    /// About so many tokens.
    pub most: usize,
    /// What is likelier than this.
    pub least: f32,
}

/// Tells what is likely to be asked next, given one of the steps (by its index) that is asked now; likeliest first.
pub type Foresee<'a> = dyn Fn(usize, Appetite) -> Vec<Foreseen> + 'a;

/// A language model that has read the prompts.
///
/// Nodes form a tree: each [`Step`] appends its tokens behind its parent and makes a new node; several steps may name
/// one parent, which is a fork. A batched model keeps one cache of the prompt for each sample and, for each node, the
/// keys and values of its own tokens; the steps of one call are the rows of one padded forward pass.
///
/// A model may read more than it is asked about in the same pass (see [`Foresee`]), and then knows answers without a pass.
pub trait Scorer: Sync {
    /// What can go wrong in the model.
    type Error: std::error::Error;

    /// Runs all steps, in one forward pass where memory allows, and answers in their order. This is the only place where a model
    /// has to wait for its device.
    fn step(&mut self, steps: &[Step], foresee: &Foresee<'_>) -> Result<Vec<Scored>, Self::Error>;

    /// The answers to all these steps, where they are known without asking a device.
    fn known(&self, _steps: &[Step]) -> Option<Vec<Scored>> {
        None
    }

    /// No step will name these as a parent again. What lies below them still sees their tokens.
    fn release(&mut self, nodes: &[Node]);
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Two values of a field are followed where the likelier has less than this; 0 follows one always.
    pub expand_below: f32,
    /// The most branches of one sample; the lightest are dropped, the main one never.
    pub branches: usize,
    /// The share of the allowed mass that need not be told apart, 0 to 1.
    pub tolerance: f64,
    /// The most steps that one sample asks for in one call.
    pub rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { expand_below: 0.9, branches: 4, tolerance: 1e-6, rows: 64 }
    }
}

/// Why an answer cannot be made decidable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The tokenizer failed.
    #[error("the tokenizer cannot write {text:?}: {reason}")]
    Tokenizer {
        /// What it was given.
        text: String,
        /// What it said.
        reason: String,
    },
    /// The tokens of an answer do not spell the answer.
    #[error("the tokenizer changes the answer {expected:?} into {got:?}; write it in Unicode's composed form (NFC)")]
    Lossy {
        /// The answer.
        expected: String,
        /// What its tokens spell.
        got: String,
    },
    /// No answer keeps the rules.
    #[error("the rules between the fields leave no answer")]
    NoAnswer,
    /// The tokenizer merges fields into one another.
    #[error("the tokenizer merges the fields {fields} into one another, and together they have too many values")]
    Tangled {
        /// The fields' ids, joined by commas.
        fields: String,
    },
    /// Nothing stands before the first decision.
    #[error("no token stands before the first decision; begin the frame with the special token that opens the turn")]
    NoOpening,
    /// The prompt does not end as the grammar's frame says.
    #[error("expected a prompt that ends with {expected:?}, got one that does not")]
    Prompt {
        /// The frame's opening text.
        expected: String,
    },
}

/// Why no decision was reached for a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The model answered another question than was asked.
    #[error("{field}: the model did not answer what it was asked")]
    Answer {
        /// The field that was being decided.
        field: FieldId,
    },
    /// A log-probability was no number.
    #[error("{field}: the model gave a probability that is not a number")]
    NotFinite {
        /// The field that was being decided.
        field: FieldId,
    },
    /// Every value was ruled out, or those that were found are merged by the tokenizer with the text around them.
    #[error("{field}: no value was found that fits the earlier fields and the text around it")]
    NoValue {
        /// The field.
        field: FieldId,
    },
}
