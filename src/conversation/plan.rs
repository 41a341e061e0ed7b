//! Which samples become one-shot conversations.

use crate::domain::{Kind, SampleId, stable_hash};

/// How many conversations of which kind are made of the samples. A sample's kind depends on its place in import order
/// or on its id, never on which other samples are approved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SamplingPlan {
    /// The first so many imported samples become one-shot, the rest zero-shot.
    First(u64),
    /// This share of the samples (0 to 1), drawn by their ids, becomes one-shot.
    Fraction(f64),
    /// All of one kind.
    All(Kind),
    /// Both kinds of each sample.
    Both,
}

impl SamplingPlan {
    /// The kinds of conversation that are made of a sample; `ordinal` is its place in import order, from 0.
    pub fn kinds(self, seed: u64, ordinal: u64, id: &SampleId) -> &'static [Kind] {
        let one_shot = match self {
            Self::Both => return &[Kind::OneShot, Kind::ZeroShot],
            Self::All(kind) => kind == Kind::OneShot,
            Self::First(count) => ordinal < count,
            Self::Fraction(share) => (stable_hash(seed, &["kind", id.as_str()]) >> 11) as f64 / ((1_u64 << 53) as f64) < share,
        };
        if one_shot { &[Kind::OneShot] } else { &[Kind::ZeroShot] }
    }
}
