//! Typing a field's value: addresses and numbers that end by themselves, type-ahead, text.

use super::{TextInput, Typing};
use crate::domain::{BoundingBox, Field, FieldKind, LOC_STEPS, Value, fold_text};

/// What is being typed into the field that has the focus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Editor {
    /// An address or a number, which is complete as soon as it can be no other. While nothing is typed, keys that
    /// begin no value keep their meaning.
    Entry(String),
    /// The beginning or a part of an option.
    TypeAhead(TextInput),
    /// A line of text.
    Text(TextInput),
}

/// What a text typed into an entry amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// No value begins so.
    Dead,
    /// It is this value and can become no other.
    Complete(Value),
    /// More can follow; what stands there may already be a value.
    Open(Option<Value>),
}

impl Editor {
    /// What opens by itself when the field is asked for.
    pub fn asking(field: &Field) -> Option<Self> {
        matches!(field.kind, FieldKind::Address { .. } | FieldKind::Integer { .. }).then(|| Self::Entry(String::new()))
    }

    /// What opens when the reviewer wants to type the field's value.
    pub fn typing_into(field: &Field, value: Option<&Value>) -> Option<Self> {
        match &field.kind {
            FieldKind::Choice { .. } | FieldKind::MultiChoice { .. } => Some(Self::TypeAhead(TextInput::default())),
            FieldKind::Integer { .. } | FieldKind::Address { .. } => Some(Self::Entry(String::new())),
            FieldKind::Text { .. } => Some(Self::Text(TextInput::new(&value.map(|value| field.render(value)).unwrap_or_default()))),
            FieldKind::Box { .. } => None,
        }
    }

    /// Whether keys keep their meaning where the editor does not take them.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Entry(typed) if typed.is_empty())
    }

    /// Which characters it takes.
    pub fn takes(&self, field: &Field) -> Typing {
        match self {
            Self::Entry(typed) => Typing::These(continuations(field, typed)),
            Self::TypeAhead(_) | Self::Text(_) => Typing::Anything,
        }
    }
}

/// The options that a typed text may mean, best first: those that begin with it, then those that hold it.
pub fn matching_options<'a>(field: &'a Field, text: &str) -> Vec<&'a String> {
    let options: &[String] = match &field.kind {
        FieldKind::Choice { options } | FieldKind::MultiChoice { options, .. } => options,
        _ => &[],
    };
    let wanted = fold_text(text);
    let begins = |option: &&String| fold_text(option).starts_with(&wanted);
    let holds = |option: &&String| !begins(option) && fold_text(option).contains(&wanted);
    options.iter().filter(begins).chain(options.iter().filter(holds)).collect()
}

/// What a typed entry amounts to.
pub fn typed_value(field: &Field, typed: &str) -> Typed {
    let value = field.parse(typed).ok().filter(|value| *value != Value::Address(None));
    match (value, continuations(field, typed).is_empty()) {
        (Some(value), true) => Typed::Complete(value),
        (None, true) => Typed::Dead,
        (value, false) => Typed::Open(value),
    }
}

/// The characters with which some value goes on.
fn continuations(field: &Field, typed: &str) -> Vec<char> {
    match &field.kind {
        FieldKind::Integer { min, max, .. } => {
            let digits = ('0'..='9').chain((typed.is_empty() && *min < 0).then_some('-'));
            digits.filter(|digit| begins_a_number(&format!("{typed}{digit}"), *min, *max)).collect()
        }
        FieldKind::Address { grid, .. } => {
            let typed = typed.to_lowercase();
            let mut next: Vec<char> = grid
                .addresses()
                .filter_map(|address| grid.render(address).to_lowercase().strip_prefix(&typed)?.chars().next())
                .flat_map(|c| std::iter::once(c).chain(c.to_uppercase()))
                .collect();
            next.sort_unstable();
            next.dedup();
            next
        }
        _ => Vec::new(),
    }
}

/// Whether some number from `min` to `max` is written beginning so.
fn begins_a_number(typed: &str, min: i64, max: i64) -> bool {
    let (negative, digits) = typed.strip_prefix('-').map_or((false, typed), |digits| (true, digits));
    let zero_leads = digits.len() > 1 && digits.starts_with('0');
    let (low, high) = if negative { (-i128::from(max), -i128::from(min)) } else { (i128::from(min), i128::from(max)) };
    match digits.parse::<i128>() {
        Ok(0) => !zero_leads && !negative && low <= 0 && high >= 0,
        Ok(number) if !zero_leads && digits.len() < 20 => {
            (0..20).map(|tail| 10_i128.pow(tail)).any(|power| number * power <= high && (number + 1) * power > low)
        }
        Ok(_) => false,
        Err(_) => negative && digits.is_empty() && high > 0,
    }
}

/// The box that a new box begins as: the middle of the picture.
pub(super) fn first_box() -> Option<BoundingBox> {
    let (near, far) = (LOC_STEPS * 3 / 8, LOC_STEPS * 5 / 8);
    BoundingBox::new(near, near, far, far)
}

/// The box moved by a step, or with its far sides moved; it stays on the picture and keeps an extent.
pub(super) fn shifted(area: BoundingBox, by: [i32; 2], grown: [i32; 2]) -> Option<BoundingBox> {
    let [y1, x1, y2, x2] = area.steps().map(i32::from);
    let most = i32::from(LOC_STEPS) - 1;
    let side = |low: i32, high: i32, by: i32, grown: i32| {
        let by = by.clamp(-low, most - high);
        let (low, high) = (low + by, high + by);
        (low as u16, (high + grown).clamp((low + 1).min(most), most) as u16)
    };
    let ((x1, x2), (y1, y2)) = (side(x1, x2, by[0], grown[0]), side(y1, y2, by[1], grown[1]));
    BoundingBox::new(y1, x1, y2, x2)
}
