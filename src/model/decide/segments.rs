//! Where one field's tokens end and the next one's begin, found in whole answers.
//!
//! A byte-pair tokenizer that leaves a token boundary at some place would have written both sides the same without each other.
//! So a cut between two fields holds for all their values at once when the token before it is one that no value of the
//! earlier field changes, and the token behind it one that no value of the later field changes: the two tokens come
//! about by the same merges in every answer, and in one answer nothing merged across. This takes one tokenisation for
//! each value, not for each pair.

use std::ops::Range;

use super::{GrammarError, Vocabulary};
use crate::conversation::AnswerTemplate;
use crate::domain::{Field, Label, Value};

use super::Frame;

/// Makes tokens of whole answers.
pub(super) struct Writer<'a> {
    pub(super) vocabulary: &'a dyn Vocabulary,
    pub(super) template: &'a AnswerTemplate,
    pub(super) fields: &'a [Field],
    pub(super) frame: &'a Frame,
}

/// A whole answer between the frame's texts, in tokens.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: String,
    /// By field: the bytes of its value in the text.
    pub(super) spans: Vec<Range<usize>>,
    pub(super) tokens: Vec<u32>,
    /// By token: where its bytes begin in the text.
    starts: Vec<usize>,
}

impl Written {
    /// The token that holds the byte, the last one at the text's end.
    fn token_at(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }

    /// The byte at which a token begins.
    pub(super) fn byte_of(&self, token: usize) -> usize {
        self.starts.get(token).copied().unwrap_or(self.text.len())
    }

    /// From the token that holds the first byte of the field's value to the one that holds its delimiter.
    pub(super) fn tokens_of(&self, field: usize) -> Range<usize> {
        let span = &self.spans[field];
        self.token_at(span.start)..self.token_at(span.end) + 1
    }
}

impl Writer<'_> {
    pub(super) fn write(&self, values: &[Value]) -> Result<Written, GrammarError> {
        let label = Label::from_values(self.fields.iter().zip(values.iter().cloned()));
        let (answer, spans) = self.template.render_spans(&label).map_err(|field| GrammarError::Tangled { fields: field.to_string() })?;
        let text = format!("{}{answer}{}", self.frame.before, self.frame.after);
        let tokens = self.vocabulary.encode(&text).map_err(|reason| GrammarError::Tokenizer { text: text.clone(), reason })?;
        let mut spelled = Vec::with_capacity(text.len());
        let starts = tokens
            .iter()
            .map(|token| {
                let start = spelled.len();
                spelled.extend_from_slice(self.vocabulary.bytes(*token).unwrap_or_default());
                start
            })
            .collect();
        if spelled != text.as_bytes() {
            return Err(GrammarError::Lossy { expected: text, got: String::from_utf8_lossy(&spelled).into_owned() });
        }
        let shift = self.frame.before.len();
        let spans = spans.into_iter().map(|(_, span)| span.start + shift..span.end + shift).collect();
        Ok(Written { text, spans, tokens, starts })
    }
}

/// Some values of consecutive fields, the rest of the answer as in the base.
pub(super) struct Variant {
    pub(super) values: Vec<Value>,
    pub(super) tokens: Vec<u32>,
    /// The values' own tokens, delimiter included.
    pub(super) own: Range<usize>,
}

/// Consecutive fields that are decided together: one, where the tokenizer permits.
pub(super) struct Run {
    pub(super) fields: Range<usize>,
    pub(super) variants: Vec<Variant>,
    /// The tokens of the base that some variant changes.
    changed: Range<usize>,
    /// The tokens of the base that the values take, delimiter included.
    pub(super) own: Range<usize>,
}

/// The most values that fields have together when they cannot be kept apart.
const MOST_JOINED: usize = 10_000;

impl Run {
    pub(super) fn new(
        writer: &Writer<'_>,
        base: &Written,
        values: &[Value],
        run: Range<usize>,
        options: &[Vec<Value>],
    ) -> Result<Self, GrammarError> {
        let mut combined: Vec<Vec<Value>> = vec![Vec::new()];
        for field in run.clone() {
            let longer = |known: &Vec<Value>, value: &Value| known.iter().chain([value]).cloned().collect();
            combined = combined.iter().flat_map(|known| options[field].iter().map(move |value| longer(known, value))).collect();
        }
        let (mut front, mut back) = (base.tokens.len(), base.tokens.len());
        let (mut own_front, mut own_back) = (base.tokens.len(), base.tokens.len());
        let mut all = values.to_vec();
        let mut variants = Vec::with_capacity(combined.len());
        for combination in combined {
            all[run.clone()].clone_from_slice(&combination);
            let written = writer.write(&all)?;
            let own = written.tokens_of(run.start).start..written.tokens_of(run.end - 1).end;
            let same = |(a, b): &(&u32, &u32)| a == b;
            let shorter = written.tokens.len().min(base.tokens.len());
            let before = base.tokens.iter().zip(&written.tokens).take_while(same).count();
            let behind = base.tokens.iter().rev().zip(written.tokens.iter().rev()).take_while(same).count().min(shorter - before);
            if written.tokens != base.tokens {
                (front, back) = (front.min(before), back.min(behind));
            }
            (own_front, own_back) = (own_front.min(own.start), own_back.min(written.tokens.len() - own.end));
            variants.push(Variant { values: combination, tokens: written.tokens, own });
        }
        let end = base.tokens.len().saturating_sub(back);
        // Values that change nothing, such as a single one, still own their tokens.
        let changed = if front >= end { base.tokens_of(run.start).start..base.tokens_of(run.end - 1).end } else { front..end };
        let own = own_front.min(changed.start)..base.tokens.len() - own_back;
        Ok(Self { fields: run, variants, changed, own })
    }

    /// The place in the base, if any, where this run's tokens can be cut from the next one's: as late as possible.
    fn cut_before(&self, next: &Self) -> Option<usize> {
        let latest = next.changed.start.checked_sub(1)?.min(next.own.start);
        let earliest = (self.changed.end + 1).max(self.own.end);
        (earliest <= latest).then_some(latest)
    }

    /// Lengthens each variant's own tokens, up to the end of its segment, until none begins another. `tail` is how
    /// many tokens lie behind the segment.
    fn tell_apart(&mut self, tail: usize) -> bool {
        let start = self.own.start;
        let mut ends: Vec<usize> = self.variants.iter().map(|variant| variant.own.end).collect();
        let mut order: Vec<usize> = (0..ends.len()).collect();
        loop {
            let own = |index: usize, ends: &[usize]| &self.variants[index].tokens[start..ends[index]];
            order.sort_by(|a, b| own(*a, &ends).cmp(own(*b, &ends)));
            let begun: Vec<usize> =
                order.windows(2).filter(|pair| own(pair[1], &ends).starts_with(own(pair[0], &ends))).map(|pair| pair[0]).collect();
            if begun.is_empty() {
                break;
            }
            for index in begun {
                if ends[index] + tail >= self.variants[index].tokens.len() {
                    return false;
                }
                ends[index] += 1;
            }
        }
        for (variant, end) in self.variants.iter_mut().zip(ends) {
            variant.own.end = end;
        }
        true
    }
}

/// The runs of an answer with the cuts behind each, the end of the base behind the last.
pub(super) fn runs(
    writer: &Writer<'_>,
    base: &Written,
    values: &[Value],
    options: &[Vec<Value>],
    open: impl Fn(usize) -> bool,
) -> Result<Vec<(Run, usize)>, GrammarError> {
    let count = options.len();
    let mut runs: Vec<Run> = (0..count).map(|field| Run::new(writer, base, values, field..field + 1, options)).collect::<Result<_, _>>()?;
    loop {
        let mut joined = None;
        let mut cuts = Vec::with_capacity(runs.len());
        for index in 0..runs.len() {
            let cut = match runs.get(index + 1) {
                Some(next) => runs[index].cut_before(next),
                None => Some(base.tokens.len()),
            };
            let is_open = runs[index].fields.clone().any(&open);
            match cut {
                Some(cut) if is_open || runs[index].tell_apart(base.tokens.len() - cut) => cuts.push(cut),
                _ => {
                    joined = Some(index);
                    break;
                }
            }
        }
        let Some(index) = joined else {
            return Ok(runs.into_iter().zip(cuts).collect());
        };
        let both = runs[index].fields.start..runs.get(index + 1).map_or(runs[index].fields.end, |next| next.fields.end);
        let many = both.clone().map(|field| options[field].len()).try_fold(1, usize::checked_mul).is_none_or(|many| many > MOST_JOINED);
        if index + 1 == runs.len() || many || both.clone().any(&open) {
            let names: Vec<&str> = writer.fields[both].iter().map(|field| field.id.as_str()).collect();
            return Err(GrammarError::Tangled { fields: names.join(", ") });
        }
        runs[index] = Run::new(writer, base, values, both, options)?;
        runs.remove(index + 1);
    }
}
