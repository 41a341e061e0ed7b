//! The filter language: `judgement=defective confidence<0.8 state=undecided disagree sort=confidence`.
//!
//! Terms stand side by side and must all hold. A term is a flag (`disagree`, or `!disagree` for its opposite) or a
//! word, a comparison and values: `=` and `!=` take several values with commas between, `<` and `>` one number.
//! Values with spaces or commas stand in double quotes. A field without a value is `field=`.

use std::fmt;

use super::{Field, FieldId, FieldKind, Kind, Schema, Split, State, Value};

/// Which samples, and in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// All of these must hold.
    pub terms: Vec<Term>,
    /// The order; import order without it.
    pub sort: Sort,
}

/// One condition on a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// What is looked at.
    pub subject: Subject,
    /// What it must be.
    pub comparison: Comparison,
}

/// What a term looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A field's value: the label's where there is one, else the prediction's.
    Field(FieldId),
    /// A field of the label (`label.FIELD`).
    Label(FieldId),
    /// A field of the prediction (`predicted.FIELD`).
    Predicted(FieldId),
    /// The confidence in the whole answer, or in one field (`confidence.FIELD`).
    Confidence(Option<FieldId>),
    /// Undecided, approved or rejected.
    State,
    /// The kind of conversation that the plan makes of the sample.
    Kind,
    /// Who decided last.
    Reviewer,
    /// The sample's id; `*` stands for any text.
    Id,
    /// The sample's group; `*` stands for any text.
    Group,
    /// The sample's image type.
    Type,
    /// The split of the sample's group.
    Split,
    /// The group of samples that look alike.
    Cluster,
    /// How far the sample lies from its like, 0 to 1.
    Outlier,
    /// A yes or no.
    Flag(Flag),
}

/// What a sample may or may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Has a complete label, imported or decided: no required field is without a value.
    Labelled,
    /// Has a prediction of the model in use.
    Predicted,
    /// Label and prediction differ in some field.
    Disagree,
    /// Marked for a second look.
    Flagged,
    /// Has a remark.
    Commented,
    /// Equals, or nearly equals, a sample before it.
    Duplicate,
}

/// How a term compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// Is one of these field values; `None` is "no value".
    OneOf(Vec<Option<Value>>),
    /// Is none of these field values.
    NoneOf(Vec<Option<Value>>),
    /// Is one of these words or patterns.
    Like(Vec<String>),
    /// Is none of these words or patterns.
    Unlike(Vec<String>),
    /// Is less than this.
    Less(f64),
    /// Is more than this.
    More(f64),
    /// The flag is (`true`) or is not (`false`) set.
    Is(bool),
}

/// An order of samples; ties are broken by import order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// Largest first.
    pub descending: bool,
}

/// What samples are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// Import order.
    #[default]
    Import,
    /// The sample's id.
    Id,
    /// The prediction's confidence.
    Confidence,
    /// How much probability the prediction puts against the label.
    Disagreement,
    /// When it was last decided on.
    Decided,
    /// How far it lies from its like.
    Outlier,
}

/// The words of the language that are no field ids.
#[derive(Debug, Clone, Copy)]
pub struct FilterWord {
    /// As it is typed.
    pub word: &'static str,
    /// What it means, for help and completion.
    pub help: &'static str,
}

const SORT_KEYS: [(&str, SortKey); 6] = [
    ("import", SortKey::Import),
    ("id", SortKey::Id),
    ("confidence", SortKey::Confidence),
    ("disagreement", SortKey::Disagreement),
    ("decided", SortKey::Decided),
    ("outlier", SortKey::Outlier),
];

const FLAGS: [(&str, Flag); 6] = [
    ("labelled", Flag::Labelled),
    ("predicted", Flag::Predicted),
    ("disagree", Flag::Disagree),
    ("flagged", Flag::Flagged),
    ("commented", Flag::Commented),
    ("duplicate", Flag::Duplicate),
];

impl FilterWord {
    /// Every word.
    pub const ALL: [Self; 18] = [
        Self { word: "state", help: "undecided, approved or rejected" },
        Self { word: "confidence", help: "the prediction's confidence, 0 to 1; confidence.FIELD for one field" },
        Self { word: "kind", help: "zero-shot or one-shot, as the plan has it" },
        Self { word: "reviewer", help: "who decided last" },
        Self { word: "id", help: "the sample's id; * stands for any text" },
        Self { word: "group", help: "the sample's group; * stands for any text" },
        Self { word: "type", help: "the image type" },
        Self { word: "split", help: "train, validation or test" },
        Self { word: "labelled", help: "has a complete label" },
        Self { word: "predicted", help: "has a prediction; predicted.FIELD= for its value" },
        Self { word: "disagree", help: "label and prediction differ" },
        Self { word: "flagged", help: "marked for a second look" },
        Self { word: "commented", help: "has a remark" },
        Self { word: "cluster", help: "the number of a group of samples that look alike, from 0; empty for none (see mekiki similar)" },
        Self { word: "outlier", help: "how far the sample lies from its like, 0 to 1; 0.5 is three deviations" },
        Self { word: "duplicate", help: "equals, or nearly equals, a sample before it" },
        Self { word: "label", help: "label.FIELD= for the label's value" },
        Self { word: "sort", help: "import, id, confidence, disagreement, decided or outlier; with - in front the largest first" },
    ];

    /// Whether the word is taken, so that no field may have it as its id.
    pub fn is_reserved(word: &str) -> bool {
        Self::ALL.iter().any(|known| known.word == word)
    }
}

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// The character at which the term begins, from 1.
    pub column: usize,
    /// What was expected there.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter, character {}: expected {}, got {:?}", self.column, self.expected, super::printable(&self.got))
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Reads a filter as a person types it.
    pub fn parse(schema: &Schema, text: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for raw in raw_terms(text)? {
            if raw.word == "sort" {
                filter.sort = parse_sort(&raw)?;
            } else {
                filter.terms.push(parse_term(schema, &raw)?);
            }
        }
        Ok(filter)
    }
}

/// A term as it was typed, quotes taken away.
struct RawTerm {
    column: usize,
    negated: bool,
    word: String,
    /// The operator and the values behind it.
    rest: Option<(&'static str, Vec<String>)>,
}

impl RawTerm {
    fn error(&self, expected: impl Into<String>, got: impl Into<String>) -> FilterError {
        FilterError { column: self.column, expected: expected.into(), got: got.into() }
    }

    fn text(&self) -> String {
        match &self.rest {
            Some((operator, values)) => format!("{}{operator}{}", self.word, values.join(",")),
            None => self.word.clone(),
        }
    }
}

fn raw_terms(text: &str) -> Result<Vec<RawTerm>, FilterError> {
    let mut terms = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, _)) = chars.peek().copied() else { return Ok(terms) };
        let negated = chars.next_if(|(_, c)| *c == '!').is_some();
        let mut word = String::new();
        while let Some((_, c)) = chars.next_if(|(_, c)| !c.is_whitespace() && !matches!(c, '=' | '<' | '>' | '!')) {
            word.push(c);
        }
        let operator = match chars.next_if(|(_, c)| !c.is_whitespace()).map(|(_, c)| c) {
            None => None,
            Some('=') => Some("="),
            Some('<') => Some("<"),
            Some('>') => Some(">"),
            Some(_) if chars.next_if(|(_, c)| *c == '=').is_some() => Some("!="),
            Some(other) => {
                return Err(FilterError { column: start + 1, expected: "=, !=, < or >".to_owned(), got: format!("{word}{other}") });
            }
        };
        let rest = match operator {
            None => None,
            Some(operator) => {
                let mut values = vec![String::new()];
                let mut quoted = false;
                while let Some((_, c)) = chars.next_if(|(_, c)| quoted || !c.is_whitespace()) {
                    match c {
                        '"' => quoted = !quoted,
                        ',' if !quoted => values.push(String::new()),
                        c => {
                            if let Some(last) = values.last_mut() {
                                last.push(c);
                            }
                        }
                    }
                }
                if quoted {
                    return Err(FilterError {
                        column: start + 1, expected: "a closing \"".to_owned(), got: format!("{word}{operator}…")
                    });
                }
                Some((operator, values))
            }
        };
        terms.push(RawTerm { column: start + 1, negated, word, rest });
    }
}

fn parse_sort(raw: &RawTerm) -> Result<Sort, FilterError> {
    let expected = "sort=import, id, confidence, disagreement, decided or outlier, with - in front for the largest first";
    let Some(("=", values)) = &raw.rest else { return Err(raw.error(expected, raw.text())) };
    let [value] = values.as_slice() else { return Err(raw.error(expected, raw.text())) };
    let (name, descending) = value.strip_prefix('-').map_or((value.as_str(), false), |name| (name, true));
    SORT_KEYS
        .iter()
        .find(|(known, _)| *known == name && !raw.negated)
        .map(|(_, key)| Sort { key: *key, descending })
        .ok_or_else(|| raw.error(expected, raw.text()))
}

fn parse_term(schema: &Schema, raw: &RawTerm) -> Result<Term, FilterError> {
    let Some((operator, values)) = &raw.rest else {
        return FLAGS
            .iter()
            .find(|(word, _)| *word == raw.word)
            .map(|(_, flag)| Term { subject: Subject::Flag(*flag), comparison: Comparison::Is(!raw.negated) })
            .ok_or_else(|| raw.error(known_words(schema, &raw.word), raw.word.clone()));
    };
    if raw.negated {
        return Err(raw.error("! only before a flag; write != for a value", format!("!{}", raw.text())));
    }
    let (head, tail) = raw.word.split_once('.').map_or((raw.word.as_str(), None), |(head, tail)| (head, Some(tail)));
    let field = |id: &str| schema.field_named(id).ok_or_else(|| raw.error(known_words(schema, id), id.to_owned()));
    let words = |allowed: &[&str]| -> Result<Comparison, FilterError> {
        let bad = values.iter().find(|value| !allowed.is_empty() && !allowed.contains(&value.as_str()));
        match (*operator, bad) {
            (_, Some(bad)) => Err(raw.error(format!("one of {}", allowed.join(", ")), bad.clone())),
            ("=", None) => Ok(Comparison::Like(values.clone())),
            ("!=", None) => Ok(Comparison::Unlike(values.clone())),
            _ => Err(raw.error(format!("{0}= or {0}!=", raw.word), raw.text())),
        }
    };
    let (subject, comparison) = match (head, tail) {
        ("confidence", tail) => {
            let of = tail.map(field).transpose()?.map(|field| field.id.clone());
            (Subject::Confidence(of), number(raw, operator, values, "a number from 0 to 1")?)
        }
        ("outlier", None) => (Subject::Outlier, number(raw, operator, values, "a number from 0 to 1")?),
        ("cluster", None) => match values.iter().find(|value| !value.is_empty() && value.parse::<u32>().is_err()) {
            Some(bad) => return Err(raw.error("the number of a cluster, from 0", bad.clone())),
            None => (Subject::Cluster, words(&[])?),
        },
        ("label", Some(tail)) => (Subject::Label(field(tail)?.id.clone()), field_test(raw, field(tail)?, operator, values)?),
        ("predicted", Some(tail)) => (Subject::Predicted(field(tail)?.id.clone()), field_test(raw, field(tail)?, operator, values)?),
        ("state", None) => (Subject::State, words(&State::ALL.map(State::name))?),
        ("kind", None) => (Subject::Kind, words(&[Kind::ZeroShot.name(), Kind::OneShot.name()])?),
        ("split", None) => (Subject::Split, words(&Split::ALL.map(Split::name))?),
        ("type", None) => (Subject::Type, words(&schema.image_types().iter().map(String::as_str).collect::<Vec<_>>())?),
        ("reviewer", None) => (Subject::Reviewer, words(&[])?),
        ("id", None) => (Subject::Id, words(&[])?),
        ("group", None) => (Subject::Group, words(&[])?),
        (id, None) => (Subject::Field(field(id)?.id.clone()), field_test(raw, field(id)?, operator, values)?),
        (_, Some(_)) => return Err(raw.error(known_words(schema, &raw.word), raw.word.clone())),
    };
    Ok(Term { subject, comparison })
}

fn field_test(raw: &RawTerm, field: &Field, operator: &str, values: &[String]) -> Result<Comparison, FilterError> {
    if operator == "<" || operator == ">" {
        return if matches!(field.kind, FieldKind::Integer { .. }) {
            number(raw, operator, values, "a number")
        } else {
            Err(raw.error(format!("{0}= or {0}!= ({0} is no number)", raw.word), raw.text()))
        };
    }
    let values = values
        .iter()
        .map(|value| if value.is_empty() { Ok(None) } else { field.parse(value).map(Some) })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| raw.error(error.expected, error.got))?;
    Ok(if operator == "=" { Comparison::OneOf(values) } else { Comparison::NoneOf(values) })
}

fn number(raw: &RawTerm, operator: &str, values: &[String], expected: &str) -> Result<Comparison, FilterError> {
    let parsed = match values {
        [value] => value.parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    };
    match (operator, parsed) {
        ("<", Some(number)) => Ok(Comparison::Less(number)),
        (">", Some(number)) => Ok(Comparison::More(number)),
        ("<" | ">", None) => Err(raw.error(expected, values.join(","))),
        _ => Err(raw.error(format!("{0}< or {0}>", raw.word), raw.text())),
    }
}

fn known_words(schema: &Schema, got: &str) -> String {
    let known: Vec<&str> =
        schema.fields().iter().map(|field| field.id.as_str()).chain(FilterWord::ALL.iter().map(|word| word.word)).collect();
    let near = known.iter().min_by_key(|word| distance(word, got)).filter(|word| distance(word, got) <= 2);
    match near {
        Some(near) => format!("a filter word (did you mean {near}?)"),
        None => format!("one of {}", known.join(", ")),
    }
}

/// Edits between two short words (Levenshtein), for suggestions.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}
