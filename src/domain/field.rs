//! One structured field of an answer: what it may hold, and how its values are written.

use std::collections::BTreeSet;

use super::{BoundingBox, FieldId, Grid, Value, ValueError, fold_text};

/// A field of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its id in files, filters and JSON.
    pub id: FieldId,
    /// What a person reads beside it, in any language.
    pub title: String,
    /// What it may hold.
    pub kind: FieldKind,
    /// Whether a sample without it can be approved.
    pub required: bool,
}

/// The kinds of field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// Exactly one of the options.
    Choice {
        /// The options, in the order in which digits choose them.
        options: Vec<String>,
    },
    /// Any number of the options, joined by commas.
    MultiChoice {
        /// The options, in the order in which digits choose them.
        options: Vec<String>,
        /// How "none of them" is written.
        none: String,
    },
    /// A whole number.
    Integer {
        /// The smallest allowed.
        min: i64,
        /// The largest allowed.
        max: i64,
        /// What is counted, for example `pcs`; tolerated behind a number when reading.
        unit: Option<String>,
    },
    /// One line of text.
    Text {
        /// The most characters allowed.
        max_chars: usize,
    },
    /// A cell of a grid.
    Address {
        /// The rows and columns.
        grid: Grid,
        /// How "nowhere" is written; without it an address is always needed.
        none: Option<String>,
    },
    /// A box on the query image.
    Box {
        /// How "no box" is written; without it a box is always needed.
        none: Option<String>,
    },
}

impl FieldKind {
    /// The kind's name in project files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "choice",
            Self::MultiChoice { .. } => "multi-choice",
            Self::Integer { .. } => "integer",
            Self::Text { .. } => "text",
            Self::Address { .. } => "address",
            Self::Box { .. } => "box",
        }
    }
}

/// The most values that [`Field::values`] lists; an integer field with wider bounds is open.
const MOST_LISTED: i64 = 1000;

impl Field {
    /// The value in its one canonical form. [`Field::parse`] reads it back unchanged.
    pub fn render(&self, value: &Value) -> String {
        match (value, &self.kind) {
            (Value::Choice(text) | Value::Text(text), _) => text.clone(),
            (Value::Choices(chosen), FieldKind::MultiChoice { options, none }) => {
                if chosen.is_empty() {
                    none.clone()
                } else {
                    // In the order of the schema, so that one set has one form.
                    options.iter().filter(|option| chosen.contains(*option)).map(String::as_str).collect::<Vec<_>>().join(", ")
                }
            }
            (Value::Integer(number), _) => number.to_string(),
            (Value::Address(Some(address)), FieldKind::Address { grid, .. }) => grid.render(*address),
            (Value::Address(None), FieldKind::Address { none: Some(none), .. })
            | (Value::Box(None), FieldKind::Box { none: Some(none) }) => none.clone(),
            (Value::Box(Some(area)), _) => area.to_string(),
            (Value::Choices(_) | Value::Address(_) | Value::Box(None), _) => "?".to_owned(),
        }
    }

    /// The value that a text stands for: written canonically, or with the small differences that [`fold_text`]
    /// takes away (an integer may carry its unit).
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        let found = match &self.kind {
            FieldKind::Choice { options } => find_option(options, text).map(Value::Choice),
            FieldKind::MultiChoice { options, none } => parse_choices(options, none, text).map(Value::Choices),
            FieldKind::Integer { min, max, unit } => {
                parse_integer(text, unit.as_deref()).filter(|number| (min..=max).contains(&number)).map(Value::Integer)
            }
            FieldKind::Text { max_chars } => {
                let text = text.trim();
                let good =
                    text.chars().count() <= *max_chars && !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
                (good && !(self.required && text.is_empty())).then(|| Value::Text(text.to_owned()))
            }
            FieldKind::Address { grid, none } => {
                let folded = fold_text(text);
                if none.as_ref().is_some_and(|none| fold_text(none) == folded) {
                    Some(Value::Address(None))
                } else {
                    grid.parse(text.trim()).or_else(|| grid.parse(&folded)).map(|address| Value::Address(Some(address)))
                }
            }
            FieldKind::Box { none } => {
                if none.as_ref().is_some_and(|none| fold_text(none) == fold_text(text)) {
                    Some(Value::Box(None))
                } else {
                    BoundingBox::parse(text).map(|area| Value::Box(Some(area)))
                }
            }
        };
        found.ok_or_else(|| ValueError { expected: self.expectation(), got: text.to_owned() })
    }

    /// Whether the value is one of this field's.
    pub fn allows(&self, value: &Value) -> bool {
        match (&self.kind, value) {
            (FieldKind::Choice { options }, Value::Choice(option)) => options.contains(option),
            (FieldKind::MultiChoice { options, .. }, Value::Choices(chosen)) => chosen.iter().all(|option| options.contains(option)),
            (FieldKind::Integer { min, max, .. }, Value::Integer(number)) => (min..=max).contains(&number),
            (FieldKind::Text { .. }, Value::Text(text)) => self.parse(text).as_ref() == Ok(value),
            (FieldKind::Address { grid, none }, Value::Address(address)) => {
                address.map_or(none.is_some(), |address| grid.contains(address))
            }
            (FieldKind::Box { none }, Value::Box(area)) => area.is_some() || none.is_some(),
            _ => false,
        }
    }

    /// Every allowed value in the schema's order; `None` where they are too many to list (text, boxes, several
    /// choices, wide integers).
    pub fn values(&self) -> Option<Vec<Value>> {
        match &self.kind {
            FieldKind::Choice { options } => Some(options.iter().cloned().map(Value::Choice).collect()),
            FieldKind::Integer { min, max, .. } if max.saturating_sub(*min) < MOST_LISTED => {
                Some((*min..=*max).map(Value::Integer).collect())
            }
            FieldKind::Address { grid, none } => {
                let nowhere = none.iter().map(|_| Value::Address(None));
                Some(nowhere.chain(grid.addresses().map(|address| Value::Address(Some(address)))).collect())
            }
            FieldKind::Integer { .. } | FieldKind::MultiChoice { .. } | FieldKind::Text { .. } | FieldKind::Box { .. } => None,
        }
    }

    /// What the field takes, for error messages: `one of scratch, dent`.
    pub fn expectation(&self) -> String {
        let or_none = |what: String, none: &Option<String>| match none {
            Some(none) => format!("{what}, or {none}"),
            None => what,
        };
        match &self.kind {
            FieldKind::Choice { options } => format!("one of {}", options.join(", ")),
            FieldKind::MultiChoice { options, none } => format!("some of {} with commas between, or {none}", options.join(", ")),
            FieldKind::Integer { min, max, unit } => {
                format!("a whole number from {min} to {max}{}", unit.as_ref().map(|unit| format!(" ({unit})")).unwrap_or_default())
            }
            FieldKind::Text { max_chars } => format!("one line of at most {max_chars} characters"),
            FieldKind::Address { grid, none } => {
                or_none(format!("an address of a row {} and a column {}", grid.rows.join(", "), grid.columns.join(", ")), none)
            }
            FieldKind::Box { none } => or_none("a box <locY1><locX1><locY2><locX2> with steps 0000 to 1023".to_owned(), none),
        }
    }
}

fn find_option(options: &[String], text: &str) -> Option<String> {
    if let Some(exact) = options.iter().find(|option| *option == text) {
        return Some(exact.clone());
    }
    let folded = fold_text(text);
    options.iter().find(|option| fold_text(option) == folded).cloned()
}

fn parse_choices(options: &[String], none: &str, text: &str) -> Option<BTreeSet<String>> {
    if fold_text(text) == fold_text(none) {
        return Some(BTreeSet::new());
    }
    text.split([',', '、']).map(|part| find_option(options, part)).collect()
}

fn parse_integer(text: &str, unit: Option<&str>) -> Option<i64> {
    // A minus sign is not a hyphen here, so the text is not folded before its digits are read.
    let text = text.trim().trim_end_matches(['.', ',', ';', '。']).trim_end();
    let text = match unit {
        Some(unit) => text.strip_suffix(unit).map_or(text, str::trim_end),
        None => text,
    };
    text.parse().ok().or_else(|| {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
        let (number, rest) = text.split_at(digits);
        // `27 pins` for `27 pcs`: one foreign unit word does not change the number.
        let one_word = rest.trim().chars().all(char::is_alphabetic);
        number.parse().ok().filter(|_| unit.is_some() && one_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::pins_grid;

    fn field(kind: FieldKind) -> Field {
        Field { id: FieldId::new("f").unwrap(), title: "f".into(), kind, required: true }
    }

    #[test]
    fn tolerates_what_models_write() {
        let mode = field(FieldKind::Choice { options: ["passed", "pin-hole"].map(String::from).to_vec() });
        assert_eq!(mode.parse(" Pin_Hole."), Ok(Value::Choice("pin-hole".into())));
        let quantity = field(FieldKind::Integer { min: 0, max: 99, unit: Some("pcs".into()) });
        for text in ["27", "27 pcs", "27pcs.", " 27 pins"] {
            assert_eq!(quantity.parse(text), Ok(Value::Integer(27)), "{text}");
        }
        for text in ["", "pcs", "127", "2 7", "-27", "27 x 3", "9223372036854775808"] {
            assert!(quantity.parse(text).is_err(), "{text}");
        }
        let position = field(FieldKind::Address { grid: pins_grid(), none: Some("none".into()) });
        assert_eq!(position.parse("None"), Ok(Value::Address(None)));
        assert_eq!(position.parse("u-3"), position.parse("U3"));
        assert!(position.parse("Z3").is_err());
        let marks = field(FieldKind::MultiChoice { options: ["a b", "c"].map(String::from).to_vec(), none: "none".into() });
        assert_eq!(marks.render(&marks.parse("C, A_B").unwrap()), "a b, c");
    }

    #[test]
    fn a_number_without_a_unit_takes_no_words() {
        let bare = field(FieldKind::Integer { min: -5, max: 99, unit: None });
        assert!(bare.parse("27 pins").is_err());
        assert_eq!(bare.parse("-5"), Ok(Value::Integer(-5)));
    }
}
