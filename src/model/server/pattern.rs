//! All allowed answers as one pattern, for servers that keep a model to a regular expression, a grammar, a list or a JSON
//! schema. The pattern spells the trained answer text, its line breaks included, and keeps the rules between the fields.
//!
//! Fields that are too wide to list (texts, boxes, several choices, wide integers) are kept to their form only: where a
//! rule restricts one of them, or an integer has bounds within its number of digits, reading the answer finds out.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::conversation::AnswerTemplate;
use crate::domain::{BoundingBox, Field, FieldKind, Label, Schema, Value};
use crate::model::decide::rules::Rules;

/// The most places of a pattern that follow the rules; beyond it the rules are left to the reader of the answer.
const MOST_PLACES: usize = 4000;
/// The most answers that are listed.
pub(super) const MOST_LISTED: usize = 5000;

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// This text.
    Text(String),
    /// One of these.
    Any(Vec<Pattern>),
    /// These, one after the other.
    All(Vec<Pattern>),
    /// This or nothing.
    Maybe(Box<Pattern>),
    /// So many decimal digits.
    Digits(usize, usize),
    /// So many characters other than line breaks and tabs.
    Line(usize, usize),
}

/// Makes the pattern of all answers.
struct Maker<'a> {
    fields: &'a [Field],
    rules: Option<&'a Rules>,
    /// The text before each value, and behind the last.
    between: &'a [String],
    places: usize,
}

/// What answers may look like; `None` where the schema has no answer at all.
pub(super) fn pattern(schema: &Schema, template: &AnswerTemplate) -> Option<Pattern> {
    let fields: Vec<Field> = template.fields().cloned().collect();
    let rules = Rules::new(schema, &fields);
    let between = between(template, &fields)?;
    let mut maker = Maker { fields: &fields, rules: Some(&rules), between: &between, places: 0 };
    let mut decided = vec![None; fields.len()];
    let found = maker.rest(0, &mut decided);
    if maker.places <= MOST_PLACES {
        return found;
    }
    Maker { fields: &fields, rules: None, between: &between, places: 0 }.rest(0, &mut vec![None; fields.len()])
}

/// The texts between the values: before each, and behind the last. They are the same in every answer.
pub(super) fn between(template: &AnswerTemplate, fields: &[Field]) -> Option<Vec<String>> {
    let label = Label::from_values(fields.iter().map(|field| Some((field, any_value(field)?))).collect::<Option<Vec<_>>>()?);
    let (text, spans) = template.render_spans(&label).ok()?;
    let mut at = 0;
    let mut between: Vec<String> = Vec::with_capacity(spans.len() + 1);
    for (_, span) in spans {
        between.push(text[at..span.start].to_owned());
        at = span.end;
    }
    between.push(text[at..].to_owned());
    Some(between)
}

/// Some value of a field.
fn any_value(field: &Field) -> Option<Value> {
    match &field.kind {
        FieldKind::Text { .. } => Some(Value::Text("x".to_owned())),
        FieldKind::Box { .. } => BoundingBox::new(0, 0, 1, 1).map(|area| Value::Box(Some(area))),
        FieldKind::MultiChoice { .. } => Some(Value::Choices(std::collections::BTreeSet::new())),
        FieldKind::Integer { min, .. } => Some(Value::Integer(*min)),
        FieldKind::Choice { .. } | FieldKind::Address { .. } => field.values()?.into_iter().next(),
    }
}

impl Maker<'_> {
    /// What may follow from a field on; `None` where the rules leave nothing.
    fn rest(&mut self, at: usize, decided: &mut Vec<Option<u16>>) -> Option<Pattern> {
        let fields = self.fields;
        let Some(field) = fields.get(at) else { return Some(Pattern::Text(self.between[at].clone())) };
        self.places += 1;
        if self.places > MOST_PLACES {
            return None;
        }
        // Values that no rule tells apart share what follows.
        let mut classes: Vec<(Option<u16>, Vec<Pattern>)> = Vec::new();
        for (class, value) in self.values(at, field) {
            match classes.iter_mut().find(|(known, _)| *known == class) {
                Some((_, values)) => values.push(value),
                None => classes.push((class, vec![value])),
            }
        }
        let mut branches: Vec<(Vec<Pattern>, Pattern)> = Vec::new();
        for (class, values) in classes {
            decided[at] = class;
            if self.rules.is_none_or(|rules| rules.completable(decided))
                && let Some(rest) = self.rest(at + 1, decided)
            {
                match branches.iter_mut().find(|(_, known)| *known == rest) {
                    Some((known, _)) => known.extend(values),
                    None => branches.push((values, rest)),
                }
            }
        }
        decided[at] = None;
        let mut branches: Vec<Pattern> = branches.into_iter().map(|(values, rest)| all([any(values), rest])).collect();
        let lead = Pattern::Text(self.between[at].clone());
        match branches.len() {
            0 => None,
            1 => branches.pop().map(|only| all([lead, only])),
            _ => Some(all([lead, any(branches)])),
        }
    }

    /// What a field's value may look like, with the class that the rules put it in.
    fn values(&self, at: usize, field: &Field) -> Vec<(Option<u16>, Pattern)> {
        let class = |value: &Value| self.rules.and_then(|rules| rules.class(at, value));
        if let Some(values) = field.values() {
            return values.iter().map(|value| (class(value), Pattern::Text(field.render(value)))).collect();
        }
        let named = self.rules.into_iter().flat_map(|rules| rules.named(at));
        let mut values: Vec<_> = named.map(|value| (class(value), Pattern::Text(field.render(value)))).collect();
        values.dedup();
        values.push((self.rules.and_then(|rules| rules.unnamed(at)), open(field)));
        values
    }
}

/// The form of a field that is too wide to list.
fn open(field: &Field) -> Pattern {
    let text = |text: &str| Pattern::Text(text.to_owned());
    let or_none = |form: Pattern, none: &Option<String>| match none {
        Some(none) => any(vec![text(none), form]),
        None => form,
    };
    match &field.kind {
        FieldKind::Integer { min, max, .. } => {
            let digits = min.unsigned_abs().max(max.unsigned_abs()).to_string().len();
            let number = Pattern::Digits(1, digits);
            if *min < 0 { all([Pattern::Maybe(Box::new(text("-"))), number]) } else { number }
        }
        FieldKind::Text { max_chars } => Pattern::Line(usize::from(field.required), *max_chars),
        FieldKind::Box { none } => {
            let step = any(vec![
                all([text("0"), Pattern::Digits(3, 3)]),
                all([text("10"), any(vec![text("0"), text("1")]), Pattern::Digits(1, 1)]),
                all([text("102"), any(["0", "1", "2", "3"].map(text).to_vec())]),
            ]);
            or_none(Pattern::All((0..4).flat_map(|_| [text("<loc"), step.clone(), text(">")]).collect()), none)
        }
        FieldKind::MultiChoice { options, none } => {
            let later = |option: &String| Pattern::Maybe(Box::new(text(&format!(", {option}"))));
            let from = |first: usize| {
                let rest = options[first + 1..].iter().map(later);
                Pattern::All(std::iter::once(text(&options[first])).chain(rest).collect())
            };
            any(std::iter::once(text(none)).chain((0..options.len()).map(from)).collect())
        }
        FieldKind::Choice { .. } | FieldKind::Address { .. } => any(Vec::new()),
    }
}

/// One of these; one alone is itself.
fn any(mut patterns: Vec<Pattern>) -> Pattern {
    match (patterns.len(), patterns.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            patterns.extend(last);
            Pattern::Any(patterns)
        }
    }
}

/// One after the other; neighbouring texts are one.
fn all(parts: impl IntoIterator<Item = Pattern>) -> Pattern {
    let mut joined: Vec<Pattern> = Vec::new();
    for part in parts {
        let inner = if let Pattern::All(inner) = part { inner } else { vec![part] };
        for part in inner {
            match (joined.last_mut(), part) {
                (Some(Pattern::Text(before)), Pattern::Text(text)) => before.push_str(&text),
                (_, part) => joined.push(part),
            }
        }
    }
    match joined.len() {
        1 => joined.swap_remove(0),
        _ => Pattern::All(joined),
    }
}

impl Pattern {
    /// As a regular expression of the kind that every engine reads: groups, `|`, `?`, classes and counts.
    pub(super) fn regex(&self) -> String {
        let mut out = String::new();
        self.write_regex(&mut out);
        out
    }

    fn write_regex(&self, out: &mut String) {
        match self {
            Self::Text(text) => {
                for c in text.chars() {
                    match c {
                        '\n' => out.push_str("\\n"),
                        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                            out.push('\\');
                            out.push(c);
                        }
                        c => out.push(c),
                    }
                }
            }
            Self::Any(patterns) => grouped(out, "(", "|", ")", patterns, Self::write_regex),
            Self::All(patterns) => patterns.iter().for_each(|pattern| pattern.write_regex(out)),
            Self::Maybe(pattern) => {
                out.push('(');
                pattern.write_regex(out);
                out.push_str(")?");
            }
            Self::Digits(least, most) => count(out, "[0-9]", *least, *most),
            Self::Line(least, most) => count(out, r"[^\n\r\t]", *least, *most),
        }
    }

    /// As a grammar in llama.cpp's GBNF.
    pub(super) fn gbnf(&self) -> String {
        let mut out = "root ::= ".to_owned();
        self.write_gbnf(&mut out);
        out.push('\n');
        out
    }

    fn write_gbnf(&self, out: &mut String) {
        match self {
            Self::Text(text) => {
                out.push('"');
                for c in text.chars() {
                    match c {
                        '\n' => out.push_str("\\n"),
                        '"' | '\\' => {
                            out.push('\\');
                            out.push(c);
                        }
                        c => out.push(c),
                    }
                }
                out.push('"');
            }
            Self::Any(patterns) => grouped(out, "(", " | ", ")", patterns, Self::write_gbnf),
            Self::All(patterns) => grouped(out, "", " ", "", patterns, Self::write_gbnf),
            Self::Maybe(pattern) => {
                out.push('(');
                pattern.write_gbnf(out);
                out.push_str(")?");
            }
            Self::Digits(least, most) => count(out, "[0-9]", *least, *most),
            Self::Line(least, most) => count(out, r"[^\n\r\t]", *least, *most),
        }
    }

    /// Every answer, where there are at most [`MOST_LISTED`].
    pub(super) fn listed(&self) -> Option<Vec<String>> {
        let bounded = |texts: Vec<String>| (texts.len() <= MOST_LISTED).then_some(texts);
        match self {
            Self::Text(text) => Some(vec![text.clone()]),
            Self::Any(patterns) => {
                let mut texts = Vec::new();
                for pattern in patterns {
                    texts.extend(pattern.listed()?);
                    if texts.len() > MOST_LISTED {
                        return None;
                    }
                }
                Some(texts)
            }
            Self::All(patterns) => patterns.iter().try_fold(vec![String::new()], |before, pattern| {
                let next = pattern.listed()?;
                if before.len() * next.len() > MOST_LISTED {
                    return None;
                }
                bounded(before.iter().flat_map(|head| next.iter().map(move |tail| format!("{head}{tail}"))).collect())
            }),
            Self::Maybe(pattern) => {
                let mut texts = pattern.listed()?;
                texts.push(String::new());
                Some(texts)
            }
            Self::Digits(..) | Self::Line(..) => None,
        }
    }

    /// The most bytes that a text has.
    pub(super) fn longest(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Any(patterns) => patterns.iter().map(Self::longest).max().unwrap_or(0),
            Self::All(patterns) => patterns.iter().map(Self::longest).sum(),
            Self::Maybe(pattern) => pattern.longest(),
            Self::Digits(_, most) => *most,
            Self::Line(_, most) => most.saturating_mul(4),
        }
    }
}

fn grouped(out: &mut String, open: &str, between: &str, close: &str, patterns: &[Pattern], write: fn(&Pattern, &mut String)) {
    out.push_str(open);
    for (index, pattern) in patterns.iter().enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        write(pattern, out);
    }
    out.push_str(close);
}

fn count(out: &mut String, class: &str, least: usize, most: usize) {
    out.push_str(class);
    // Writing to a string cannot fail.
    let _ = match (least, most) {
        (1, 1) => Ok(()),
        (least, most) if least == most => write!(out, "{{{least}}}"),
        (least, most) => write!(out, "{{{least},{most}}}"),
    };
}

/// A JSON schema of an object with every field, in the answer's order. The rules are left to the reader.
pub(super) fn json_schema(template: &AnswerTemplate) -> Json {
    let mut properties = Map::new();
    for field in template.fields() {
        let one_of = |texts: Vec<String>| json!({ "type": "string", "enum": texts });
        let form = match &field.kind {
            FieldKind::Integer { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            FieldKind::Text { max_chars } => json!({ "type": "string", "maxLength": max_chars }),
            FieldKind::MultiChoice { options, .. } => json!({ "type": "array", "items": one_of(options.clone()), "uniqueItems": true }),
            FieldKind::Box { .. } => json!({ "type": "string", "pattern": format!("^{}$", open(field).regex()) }),
            FieldKind::Choice { .. } | FieldKind::Address { .. } => {
                one_of(field.values().unwrap_or_default().iter().map(|value| field.render(value)).collect())
            }
        };
        properties.insert(field.id.to_string(), form);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::server::testing::{choice, field, is, pins};

    fn answer(values: [&str; 5]) -> String {
        let [image_type, quantity, judgement, mode, position] = values;
        format!(
            "- image type->{image_type}\n- quantity of pins->{quantity} pcs\n- your judgement->{judgement}\n- defect mode->{mode}\n- defect position->{position}"
        )
    }

    #[test]
    fn allowed_answers_match_and_no_others() {
        let (schema, template) = pins();
        let pattern = pattern(&schema, &template).unwrap();
        let regex = regex::Regex::new(&format!("^(?:{})$", pattern.regex())).unwrap();
        for good in [["CYLN_DST", "27", "defective", "scratch", "U3"], ["CYLN_RAW", "0", "passed", "passed", "none"]] {
            assert!(regex.is_match(&answer(good)), "{good:?} {}", pattern.regex());
        }
        for bad in [
            ["CYLN_XXX", "27", "defective", "scratch", "U3"],
            ["CYLN_DST", "x", "defective", "scratch", "U3"],
            ["CYLN_DST", "27", "defective", "scratch", "X3"],
            // What the rules forbid.
            ["CYLN_DST", "27", "passed", "scratch", "none"],
            ["CYLN_DST", "27", "passed", "passed", "U3"],
        ] {
            assert!(!regex.is_match(&answer(bad)), "{bad:?}");
        }
        assert!(pattern.longest() >= answer(["CYLN_DST", "27", "defective", "scratch", "U3"]).len());
        assert!(pattern.longest() < 400);
        assert!(pattern.gbnf().starts_with("root ::= \"- image type->"));
        assert_eq!(pattern.listed(), None);
    }

    #[test]
    fn few_answers_are_listed_and_keep_the_rules() {
        let fields = vec![choice("judgement", &["passed", "defective"]), choice("mode", &["passed", "a.b", "\"c\""])];
        let rule = crate::domain::Rule { when: vec![is("judgement", "passed", true)], then: vec![is("mode", "passed", true)] };
        let schema = Schema::new(fields.clone(), vec![rule], vec!["t".to_owned()], None).unwrap();
        let template = AnswerTemplate::new("j: {judgement}\nm: {mode}.", &fields).unwrap();
        let pattern = pattern(&schema, &template).unwrap();
        let listed = pattern.listed().unwrap();
        assert_eq!(listed, ["j: passed\nm: passed.", "j: defective\nm: passed.", "j: defective\nm: a.b.", "j: defective\nm: \"c\"."]);
        let regex = regex::Regex::new(&format!("^(?:{})$", pattern.regex())).unwrap();
        assert!(listed.iter().all(|text| regex.is_match(text)) && !regex.is_match("j: defective\nm: aXb."));
        assert!(pattern.gbnf().contains(r#""\"c\"""#), "{}", pattern.gbnf());
        let schema = json_schema(&template);
        assert_eq!(schema["properties"]["judgement"]["enum"][1], "defective");
    }

    #[test]
    fn open_fields_are_kept_to_their_form() {
        let matches = |kind: FieldKind, text: &str| {
            let field = field("f", kind);
            let regex = regex::Regex::new(&format!("^(?:{})$", open(&field).regex())).unwrap();
            assert!(!regex.is_match(text) || field.parse(text).is_ok(), "{text}");
            regex.is_match(text)
        };
        let marks = || FieldKind::MultiChoice { options: ["a", "b c", "d"].map(String::from).to_vec(), none: "none".to_owned() };
        for good in ["none", "a", "a, b c, d", "b c, d", "a, d"] {
            assert!(matches(marks(), good), "{good}");
        }
        for bad in ["", "d, a", "a,d", "a, a", "none, a"] {
            assert!(!matches(marks(), bad), "{bad}");
        }
        let area = || FieldKind::Box { none: Some("none".to_owned()) };
        for (text, good) in
            [("<loc0000><loc0001><loc1023><loc1019>", true), ("<loc0000><loc0001><loc1024><loc1019>", false), ("none", true)]
        {
            assert_eq!(matches(area(), text), good, "{text}");
        }
        assert!(matches(FieldKind::Integer { min: -5, max: 40_000, unit: None }, "-5"));
        assert!(!matches(FieldKind::Text { max_chars: 3 }, "a\nb") && matches(FieldKind::Text { max_chars: 3 }, "傷あり"));
    }
}
