//! Fields too wide to list: decoded greedily over the tokens that keep the text a beginning of a valid value.

use std::collections::BTreeSet;

use super::{Asked, Node, Scored, Step, Vocabulary, Want};
use crate::domain::{BoundingBox, Field, FieldKind, LOC_STEPS, Value};

/// An open field and the text that follows its value.
#[derive(Debug, Clone)]
pub(super) struct Open {
    field: Field,
    /// What stands before the decoding begins, back to the value before it, and its tokens.
    lead: Vec<u8>,
    lead_tokens: Vec<u32>,
    /// Fixed text between the lead and the value that some tokenizations melt with the value: it is decoded with it.
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The special token that follows the tail, where the field is the answer's last.
    ending: Option<u32>,
    /// The tokens that can be part of a value or of what follows it; texts look at the whole vocabulary.
    tokens: Option<Vec<u32>>,
}

/// What a text is, as the beginning of a value with its tail.
enum Reading {
    /// Nothing valid begins so.
    Dead,
    /// Not decided yet.
    Begun,
    /// This value, and no other.
    Done(Value),
}

/// Likeliest tokens asked for at once in a text.
const TOP: usize = 64;

impl Open {
    /// `lead` is fed before the decoding begins; `head` and `tail` are the fixed texts around the value.
    pub(super) fn new(field: &Field, [lead, head, tail]: [&[u8]; 3], ending: Option<u32>, vocabulary: &dyn Vocabulary) -> Self {
        let letters: Option<String> = match &field.kind {
            FieldKind::Integer { .. } => Some("-0123456789".to_owned()),
            FieldKind::Box { none } => Some(format!("<loc0123456789>{}", none.as_deref().unwrap_or_default())),
            FieldKind::MultiChoice { options, none } => Some(format!("{}{none}, ", options.concat())),
            FieldKind::Text { .. } | FieldKind::Choice { .. } | FieldKind::Address { .. } => None,
        };
        let tokens = letters.map(|letters| {
            let known = |byte: &u8| letters.as_bytes().contains(byte) || tail.contains(byte) || head.contains(byte);
            let fits = |token: &u32| vocabulary.bytes(*token).is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(known));
            (0..vocabulary.len()).filter(fits).collect()
        });
        let lead_tokens = std::str::from_utf8(lead).ok().and_then(|lead| vocabulary.encode(lead).ok()).unwrap_or_default();
        let [lead, head, tail] = [lead, head, tail].map(<[u8]>::to_vec);
        Self { field: field.clone(), lead, lead_tokens, head, tail, ending, tokens }
    }

    fn read(&self, text: &[u8]) -> Reading {
        let Some(text) = text.strip_prefix(self.head.as_slice()) else {
            return if self.head.starts_with(text) { Reading::Begun } else { Reading::Dead };
        };
        let mut done = None;
        for (at, _) in text.iter().enumerate() {
            let (value, rest) = text.split_at(at);
            if (self.tail.starts_with(rest))
                && let Some(value) = self.whole(value)
            {
                if done.is_some() {
                    return Reading::Begun;
                }
                done = Some(value);
            }
        }
        match (self.begins(text), done) {
            (false, None) => Reading::Dead,
            (false, Some(value)) => Reading::Done(value),
            (true, _) => Reading::Begun,
        }
    }

    /// The value when the answer ends behind the text.
    fn ended(&self, text: &[u8]) -> Option<Value> {
        self.whole(text.strip_prefix(self.head.as_slice())?.strip_suffix(self.tail.as_slice())?)
    }

    /// The value whose exact text this is.
    fn whole(&self, text: &[u8]) -> Option<Value> {
        let text = std::str::from_utf8(text).ok()?;
        self.field.parse(text).ok().filter(|value| self.field.allows(value) && self.field.render(value) == text)
    }

    /// Whether some value's text begins with this, or is this.
    fn begins(&self, text: &[u8]) -> bool {
        let none_begins = |none: &Option<String>| none.as_ref().is_some_and(|none| none.as_bytes().starts_with(text));
        match &self.field.kind {
            FieldKind::Integer { min, max, .. } => integer_begins(text, *min, *max),
            FieldKind::Box { none } => box_begins(text) || none_begins(none),
            FieldKind::MultiChoice { options, none } => choices_begin(text, options) || none.as_bytes().starts_with(text),
            FieldKind::Text { max_chars } => text_begins(text, *max_chars),
            FieldKind::Choice { .. } | FieldKind::Address { .. } => false,
        }
    }

    /// The tokens worth asking for behind the text; `None` for the likeliest of all.
    fn candidates(&self, text: &[u8], vocabulary: &dyn Vocabulary, all: bool) -> Option<Vec<u32>> {
        let fits = |token: &u32| self.fits(text, *token, vocabulary);
        match &self.tokens {
            Some(tokens) => Some(tokens.iter().copied().filter(fits).chain(self.ending.filter(|_| self.ended(text).is_some())).collect()),
            None if all => Some((0..vocabulary.len()).filter(fits).chain(self.ending.filter(|_| self.ended(text).is_some())).collect()),
            None => None,
        }
    }

    /// Whether the tokenizer writes a text as it stands, and what stands before it as before: it may compose characters
    /// into others.
    fn lasts(&self, text: &[u8], vocabulary: &dyn Vocabulary) -> bool {
        if !matches!(self.field.kind, FieldKind::Text { .. }) {
            return true;
        }
        let Ok(whole) = String::from_utf8([self.lead.as_slice(), text].concat()) else { return true };
        vocabulary.encode(&whole).is_ok_and(|tokens| {
            let spelled: Vec<u8> = tokens.iter().flat_map(|token| vocabulary.bytes(*token).unwrap_or_default()).copied().collect();
            spelled == whole.as_bytes() && tokens.starts_with(&self.lead_tokens)
        })
    }

    fn fits(&self, text: &[u8], token: u32, vocabulary: &dyn Vocabulary) -> bool {
        let Some(bytes) = vocabulary.bytes(token).filter(|bytes| !bytes.is_empty()) else { return false };
        let special = vocabulary.is_added(token) && !matches!(self.field.kind, FieldKind::Box { .. });
        !special && !matches!(self.read(&[text, bytes].concat()), Reading::Dead)
    }
}

/// Whether the decimal text of some number from `min` to `max` begins with this.
fn integer_begins(text: &[u8], min: i64, max: i64) -> bool {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    if digits.is_empty() {
        return !negative || min < 0;
    }
    if digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) || (digits[0] == b'0' && (digits.len() > 1 || negative)) {
        return false;
    }
    let number = digits.iter().fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    let (least, most) = if negative { (-i128::from(max), -i128::from(min)) } else { (i128::from(min), i128::from(max)) };
    let mut width = 1_i128;
    (digits.len()..=19).any(|_| {
        let (from, to) = (number * width, number * width + width - 1);
        width *= 10;
        from <= most && to >= least && (number != 0 || width == 10)
    })
}

fn box_begins(text: &[u8]) -> bool {
    let mut steps: Vec<u16> = Vec::new();
    let mut rest = text;
    while steps.len() < 4 {
        let Some(digits) = rest.strip_prefix(b"<loc") else {
            return b"<loc".starts_with(rest);
        };
        // The second corner is not before the first.
        let least = if steps.len() < 2 { 0 } else { steps[steps.len() - 2] };
        let count = digits.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let number = digits[..count].iter().fold(0_u16, |number, digit| number * 10 + u16::from(digit - b'0'));
        let width = 10_u16.pow(4 - count as u32);
        let (from, to) = (u32::from(number) * u32::from(width), (u32::from(number) + 1) * u32::from(width) - 1);
        if from >= u32::from(LOC_STEPS) || to < u32::from(least) {
            return false;
        }
        match (count, digits.get(count)) {
            (_, None) => return true,
            (4, Some(b'>')) => {
                steps.push(number);
                rest = &digits[5..];
            }
            _ => return false,
        }
    }
    rest.is_empty() && matches!(steps.as_slice(), [y1, x1, y2, x2] if BoundingBox::new(*y1, *x1, *y2, *x2).is_some())
}

/// Options in the schema's order with `, ` between, the last perhaps cut off.
fn choices_begin(text: &[u8], options: &[String]) -> bool {
    let mut rest = text;
    let mut left = options;
    loop {
        // No option has a comma in it.
        let Some(comma) = rest.iter().position(|byte| *byte == b',') else {
            return left.iter().any(|option| option.as_bytes().starts_with(rest));
        };
        let Some(at) = left.iter().position(|option| option.as_bytes() == &rest[..comma]) else { return false };
        left = &left[at + 1..];
        rest = match &rest[comma + 1..] {
            [] => return !left.is_empty(),
            [b' ', rest @ ..] => rest,
            _ => return false,
        };
    }
}

/// One line without spaces at its beginning; a character may be cut off at its end.
fn text_begins(text: &[u8], max_chars: usize) -> bool {
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    let whole = usize::from(valid.len() < text.len());
    !valid.starts_with(char::is_whitespace)
        && valid.chars().count() + whole <= max_chars
        && !valid.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// A place on the way, and the way there.
#[derive(Debug, Clone)]
struct Place {
    parent: Node,
    feed: Vec<u32>,
    text: Vec<u8>,
    /// Σ log of each token's share among the allowed.
    log: f64,
    /// Σ log of the mass allowed at each token.
    allowed: f64,
    /// The value, where the last token settled it.
    value: Option<Value>,
}

/// A depth-first walk, likeliest token first, that turns back at dead ends.
#[derive(Debug)]
pub(super) struct Decode {
    stack: Vec<Place>,
    asked: Option<Place>,
    /// Whether all tokens are asked for, since the likeliest ones held no allowed one.
    all: bool,
    left: usize,
}

/// A value that was decoded: log-probability among the allowed tokens, and of what was allowed.
#[derive(Debug, Clone)]
pub(super) struct Decoded {
    pub(super) value: Value,
    pub(super) log: f64,
    pub(super) allowed: f64,
}

/// Steps beyond the longest text before the walk gives up.
const SPARE_STEPS: usize = 500;

impl Decode {
    pub(super) fn new(open: &Open, node: Node, feed: Vec<u32>) -> Self {
        let longest = match &open.field.kind {
            FieldKind::Text { max_chars } => max_chars.saturating_mul(4),
            FieldKind::MultiChoice { options, .. } => options.iter().map(|option| option.len() + 2).sum(),
            _ => 40,
        };
        let start = Place { parent: node, feed, text: Vec::new(), log: 0.0, allowed: 0.0, value: None };
        Self { stack: vec![start], asked: None, all: false, left: longest + open.head.len() + open.tail.len() + SPARE_STEPS }
    }

    /// The nodes that steps go on from.
    pub(super) fn nodes(&self, nodes: &mut BTreeSet<Node>) {
        nodes.extend(self.stack.iter().map(|place| place.parent));
    }

    /// The next value that was reached, if the walk stands at one; it goes on behind it when asked again.
    pub(super) fn reached(&mut self) -> Option<Decoded> {
        let top = self.stack.pop_if(|place| place.value.is_some())?;
        top.value.map(|value| Decoded { value, log: top.log, allowed: top.allowed })
    }

    /// The next step; `None` when there is nowhere left to go.
    pub(super) fn ask(&mut self, open: &Open, vocabulary: &dyn Vocabulary) -> Option<Step> {
        loop {
            let place = self.stack.pop()?;
            if !open.lasts(&place.text, vocabulary) {
                continue;
            }
            self.left = self.left.checked_sub(1)?;
            let of = match open.candidates(&place.text, vocabulary, self.all) {
                Some(tokens) if tokens.is_empty() => continue,
                Some(tokens) => Asked::Tokens(tokens),
                None => Asked::Top(TOP),
            };
            let step = Step {
                parent: place.parent,
                tokens: place.feed.clone(),
                wants: vec![Want { after: place.feed.len().saturating_sub(1), of }],
            };
            self.asked = Some(place);
            return Some(step);
        }
    }

    pub(super) fn take(&mut self, open: &Open, vocabulary: &dyn Vocabulary, scored: &Scored) {
        let (Some(place), Some(answer)) = (self.asked.take(), scored.answers.last()) else { return };
        let listed = open.tokens.is_some() || self.all;
        let mut next: Vec<(Place, f64)> = Vec::new();
        let (mut fitting, mut other) = (0.0, 0.0);
        for (token, log) in answer {
            let mass = f64::from(*log).exp();
            let value = if Some(*token) == open.ending {
                let Some(value) = open.ended(&place.text) else {
                    other += mass;
                    continue;
                };
                Some(value)
            } else if open.fits(&place.text, *token, vocabulary) {
                None
            } else {
                other += mass;
                continue;
            };
            let ended = value.is_some();
            let text = [place.text.as_slice(), if ended { &[] } else { vocabulary.bytes(*token).unwrap_or_default() }].concat();
            let value = value.or_else(|| match open.read(&text) {
                Reading::Done(value) => Some(value),
                Reading::Dead | Reading::Begun => None,
            });
            fitting += mass;
            next.push((Place { parent: scored.node, feed: vec![*token], text, value, ..place.clone() }, f64::from(*log)));
        }
        if next.is_empty() && !listed {
            self.all = true;
            self.stack.push(Place { parent: place.parent, ..place });
            return;
        }
        self.all = false;
        // Of a text all tokens are allowed but those seen to be wrong; of others only those that fit.
        let allowed = if listed { fitting } else { 1.0 - other };
        let allowed = allowed.clamp(f64::MIN_POSITIVE, 1.0).ln();
        next.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        self.stack.extend(next.into_iter().map(|(place, log)| Place {
            log: place.log + (log - allowed).min(0.0),
            allowed: place.allowed + allowed,
            ..place
        }));
    }
}
