//! All allowed answers of a schema, in tokens, field by field.

use std::sync::Arc;

use super::open::Open;
use super::place::Places;
use super::rules::Rules;
use super::segments::{Run, Variant, Writer, Written, runs};
use super::{GrammarError, Vocabulary};
use crate::conversation::AnswerTemplate;
use crate::domain::{BoundingBox, Field, FieldKind, Schema, Value};

/// What stands around an answer in the conversation, from the special token before it to the one behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// From the last special token to the answer, for example `<|im_start|>assistant\n`.
    pub before: String,
    /// What ends the turn, for example `<|im_end|>`.
    pub after: String,
}

/// All allowed answers, ready to be walked.
pub struct Grammar {
    pub(super) template: AnswerTemplate,
    pub(super) fields: Vec<Field>,
    pub(super) vocabulary: Arc<dyn Vocabulary + Send + Sync>,
    pub(super) rules: Rules,
    pub(super) groups: Vec<Group>,
    pub(super) places: Places,
    frame: Frame,
    /// The tokens of the frame's opening text by itself, with which prompts end.
    opening: Vec<u32>,
    /// A value for each field, and the answer they make.
    values: Vec<Value>,
    base: Written,
}

/// Fields that are decided together: one, unless the tokenizer merges it with the next.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The first field's place; the others follow.
    pub(super) first: usize,
    /// The tokens before the first that any value changes or takes.
    pub(super) lead: Vec<u32>,
    /// Where the lead begins and the segment ends, in the base.
    start: usize,
    end: usize,
    pub(super) choices: Choices,
}

#[derive(Debug, Clone)]
pub(super) enum Choices {
    Listed(Vec<Arc<Candidate>>),
    Open(Box<Open>),
}

/// Values of a group's fields.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) values: Vec<Value>,
    /// By field of the group: the class by which rules know the value.
    pub(super) classes: Vec<Option<u16>>,
    /// The tokens behind the lead, to the end of the segment.
    pub(super) tokens: Vec<u32>,
    /// How many of them tell the value: through its delimiter, and no beginning of another candidate's.
    pub(super) own: usize,
}

/// A multi-choice of at most so many options has its subsets listed.
const MOST_SUBSET_OPTIONS: usize = 9;

impl Grammar {
    /// Tokenises every value in a whole answer and cuts the answers between the fields.
    pub fn new(
        schema: &Schema,
        template: &AnswerTemplate,
        vocabulary: Arc<dyn Vocabulary + Send + Sync>,
        frame: Frame,
    ) -> Result<Self, GrammarError> {
        let template = template.clone();
        let fields: Vec<Field> = template.fields().cloned().collect();
        let rules = Rules::new(schema, &fields);
        if !rules.completable(&vec![None; fields.len()]) {
            return Err(GrammarError::NoAnswer);
        }
        let listed: Vec<Option<Vec<Value>>> = fields.iter().map(listed).collect();
        let options: Vec<Vec<Value>> =
            fields.iter().zip(&listed).map(|(field, values)| values.clone().unwrap_or_else(|| probes(field))).collect();
        let values: Option<Vec<Value>> = options.iter().map(|options| options.first().cloned()).collect();
        let values = values.ok_or(GrammarError::NoAnswer)?;
        let writer = Writer { vocabulary: &*vocabulary, template: &template, fields: &fields, frame: &frame };
        let base = writer.write(&values)?;
        let opening = encode(&*vocabulary, &frame.before)?;
        let mut start = 0;
        let mut groups = Vec::new();
        for (run, end) in runs(&writer, &base, &values, &options, |field| listed[field].is_none())? {
            let choices = if listed[run.fields.start].is_some() {
                Choices::Listed(candidates(&rules, &run, base.tokens.len() - end))
            } else {
                let ending = encode(&*vocabulary, &frame.after)?.first().copied().filter(|token| vocabulary.is_added(*token));
                let field = &fields[run.fields.start];
                let begun = base.byte_of(run.own.start);
                let [lead, head, tail] = around(&base, run.fields.start, begun, &frame, ending);
                if tail.is_empty() && ending.is_none() {
                    return Err(GrammarError::Tangled { fields: field.id.to_string() });
                }
                Choices::Open(Box::new(Open::new(field, [lead, head, tail], ending, &*vocabulary)))
            };
            let lead = base.tokens[start..run.own.start].to_vec();
            if lead.is_empty() && groups.is_empty() {
                return Err(GrammarError::NoOpening);
            }
            groups.push(Group { first: run.fields.start, lead, start, end, choices });
            start = end;
        }
        Ok(Self { template, fields, vocabulary, rules, groups, places: Places::default(), frame, opening, values, base })
    }

    /// The part of a prompt's tokens that a model reads before the walk begins: all but the frame's opening text,
    /// which is walked with the answer, so that both are tokenised as they are when trained on.
    pub fn prompt<'t>(&self, tokens: &'t [u32]) -> Result<&'t [u32], GrammarError> {
        tokens.strip_suffix(self.opening.as_slice()).ok_or_else(|| GrammarError::Prompt { expected: self.frame.before.clone() })
    }

    /// All tokens of listed values, in ascending order: most questions are about some of them.
    pub fn tokens(&self) -> Vec<u32> {
        let listed = |group: &Group| if let Choices::Listed(candidates) = &group.choices { candidates.clone() } else { Vec::new() };
        let candidates: Vec<Arc<Candidate>> = self.groups.iter().flat_map(listed).collect();
        let mut tokens: Vec<u32> = candidates.iter().flat_map(|candidate| candidate.tokens[..candidate.own].iter().copied()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    /// How many fields have their values listed and how many are open, and the most that are decided together.
    pub fn shape(&self) -> (usize, usize, usize) {
        let open = self.groups.iter().filter(|group| matches!(group.choices, Choices::Open(_))).count();
        let ends = self.groups.iter().skip(1).map(|group| group.first).chain([self.fields.len()]);
        let widest = self.groups.iter().zip(ends).map(|(group, end)| end - group.first).max().unwrap_or(0);
        (self.fields.len() - open, open, widest)
    }

    /// An open field's value as a candidate; `None` where its tokens do not keep to the field's segment.
    pub(super) fn candidate(&self, group: &Group, value: &Value) -> Option<Arc<Candidate>> {
        let mut values = self.values.clone();
        *values.get_mut(group.first)? = value.clone();
        let writer = Writer { vocabulary: &*self.vocabulary, template: &self.template, fields: &self.fields, frame: &self.frame };
        let written = writer.write(&values).ok()?;
        let (start, tail) = (group.start + group.lead.len(), self.base.tokens.len() - group.end);
        let end = written.tokens.len().checked_sub(tail)?;
        let added = |tokens: &[u32]| tokens.iter().filter(|token| self.vocabulary.is_added(**token)).count();
        let kept = start <= end
            && written.tokens.starts_with(&self.base.tokens[..start])
            && written.tokens.ends_with(&self.base.tokens[group.end..])
            // A box may be spelled with location tokens; a text may not smuggle in the end of a turn.
            && (matches!(value, Value::Box(_)) || added(&written.tokens) == added(&self.base.tokens));
        let own = written.tokens_of(group.first).end.min(end).checked_sub(start)?;
        let classes = vec![self.rules.class(group.first, value)];
        kept.then(|| Arc::new(Candidate { classes, values: vec![value.clone()], tokens: written.tokens[start..end].to_vec(), own }))
    }
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammar").field("frame", &self.frame).field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

fn encode(vocabulary: &dyn Vocabulary, text: &str) -> Result<Vec<u32>, GrammarError> {
    vocabulary.encode(text).map_err(|reason| GrammarError::Tokenizer { text: text.to_owned(), reason })
}

fn candidates(rules: &Rules, run: &Run, tail: usize) -> Vec<Arc<Candidate>> {
    let start = run.own.start;
    let candidate = |variant: &Variant| {
        Arc::new(Candidate {
            values: variant.values.clone(),
            classes: run.fields.clone().zip(&variant.values).map(|(field, value)| rules.class(field, value)).collect(),
            tokens: variant.tokens[start..variant.tokens.len() - tail].to_vec(),
            own: variant.own.end - start,
        })
    };
    run.variants.iter().map(candidate).collect()
}

/// What the text holds around a field's value: from the value before it, or the answer's start, to `begun`; from there
/// to the value; and on to the next value, or to the answer's end.
fn around<'a>(base: &'a Written, field: usize, begun: usize, frame: &Frame, ending: Option<u32>) -> [&'a [u8]; 3] {
    let span = &base.spans[field];
    let begun = begun.min(span.start);
    let start = field.checked_sub(1).map_or(frame.before.len(), |before| base.spans[before].end);
    let end = match base.spans.get(field + 1) {
        Some(next) => next.start,
        None if ending.is_some() => base.text.len() - frame.after.len(),
        None => base.text.len(),
    };
    let text = base.text.as_bytes();
    [&text[start.min(begun)..begun], &text[begun..span.start], &text[span.end..end]]
}

/// A field's values where they can be listed.
fn listed(field: &Field) -> Option<Vec<Value>> {
    match &field.kind {
        FieldKind::MultiChoice { options, .. } if options.len() <= MOST_SUBSET_OPTIONS => {
            let subset =
                |bits: usize| options.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, option)| option.clone()).collect();
            Some((0..1 << options.len()).map(|bits| Value::Choices(subset(bits))).collect())
        }
        _ => field.values(),
    }
}

/// Values of an open field that find out how a tokenizer treats its edges.
fn probes(field: &Field) -> Vec<Value> {
    let words = ["a", "A b", "7", "x 12", "傷", "ok.", "no!", "a -> b", "傷。", "it's", "…", "？", "「傷」", "é", "🙂", ""];
    let marks = (b'!'..=b'~').map(char::from).filter(char::is_ascii_punctuation);
    let texts: Vec<String> =
        words.into_iter().map(str::to_owned).chain(marks.flat_map(|c| [format!("{c}a"), format!("a{c}"), c.to_string()])).collect();
    let boxes = [[0, 0, 1023, 1023], [123, 456, 789, 999], [7, 8, 9, 10], [500, 500, 500, 500]];
    let probes: Vec<Value> = match &field.kind {
        FieldKind::Text { .. } => texts.into_iter().map(Value::Text).collect(),
        FieldKind::Integer { min, max, .. } => {
            let inside = [0, 1, 5, 7, 10, 12, 42, 99, 100, 123, 999, 1000, 12_345, -1, -12, -999];
            [*min, *max, min.saturating_add(1), max.saturating_sub(1)].into_iter().chain(inside).map(Value::Integer).collect()
        }
        FieldKind::Box { .. } => {
            let boxes = boxes.iter().filter_map(|[y1, x1, y2, x2]| BoundingBox::new(*y1, *x1, *y2, *x2));
            boxes.map(Some).chain([None]).map(Value::Box).collect()
        }
        FieldKind::MultiChoice { options, .. } => {
            let sets =
                options.iter().enumerate().flat_map(|(at, option)| [options[at..=at].to_vec(), vec![options[0].clone(), option.clone()]]);
            sets.chain([Vec::new(), options.clone()]).map(|set| Value::Choices(set.into_iter().collect())).collect()
        }
        FieldKind::Choice { .. } | FieldKind::Address { .. } => Vec::new(),
    };
    let mut kept: Vec<Value> = Vec::new();
    for probe in probes {
        if field.allows(&probe) && !kept.contains(&probe) {
            kept.push(probe);
        }
    }
    kept
}
