//! The text of an answer: rendered exactly, parsed with patience.

use std::fmt;
use std::ops::Range;

use crate::domain::{Field, FieldId, Label, Value, ValueError, fold_text};

/// An answer's text with one `{field}` on a line, for example `- quantity of pins->{quantity} pcs`. Lines without a
/// placeholder are written as they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerTemplate {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Fixed(String),
    Value { before: String, field: Field, after: String },
}

/// By field, line by line: the bytes that its value takes in an answer's text.
pub type Spans = Vec<(FieldId, Range<usize>)>;

/// Why a text is no answer template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateProblem {
    /// The line of the template, from 1.
    pub line: usize,
    /// What was expected there.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answer line {}: expected {}, got {:?}", self.line, self.expected, self.got)
    }
}

/// What was understood of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedAnswer {
    /// The fields that were read.
    pub label: Label,
    /// What was wrong, field by field.
    pub problems: Vec<AnswerProblem>,
}

/// One thing that was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerProblem {
    /// No line speaks of the field.
    Missing(FieldId),
    /// The line's value is none of the field's.
    Value(FieldId, ValueError),
    /// The field was said before; the first time counts.
    Repeated(FieldId),
    /// A line that speaks of no field.
    Unknown(String),
}

impl AnswerTemplate {
    /// Reads a template; `fields` are those that may stand in it, each at most once.
    ///
    /// Required fields must all be there, and what stands before the values must tell the lines apart.
    pub fn new(text: &str, fields: &[Field]) -> Result<Self, TemplateProblem> {
        let problem = |line: usize, expected: &str, got: &str| TemplateProblem { line, expected: expected.to_owned(), got: got.to_owned() };
        let mut lines: Vec<Line> = Vec::new();
        for (index, line) in text.trim_end_matches('\n').split('\n').enumerate() {
            let number = index + 1;
            if line.chars().any(char::is_control) {
                return Err(problem(number, "printable text", line));
            }
            let Some((before, rest)) = line.split_once('{') else {
                lines.push(Line::Fixed(line.to_owned()));
                continue;
            };
            let Some((id, after)) = rest.split_once('}') else {
                return Err(problem(number, "a closing }", line));
            };
            let Some(field) = fields.iter().find(|field| field.id.as_str() == id) else {
                let known: Vec<&str> = fields.iter().map(|field| field.id.as_str()).collect();
                return Err(problem(number, &format!("one of {{{}}}", known.join("}, {")), id));
            };
            if after.contains('{') {
                return Err(problem(number, "one {field} on a line", line));
            }
            if key_of(before).is_empty() {
                return Err(problem(number, "words before the value, by which the line is known", line));
            }
            for earlier in &lines {
                if let Line::Value { before: other, field: other_field, .. } = earlier {
                    if other_field.id == field.id {
                        return Err(problem(number, "each field once", id));
                    }
                    if other.starts_with(before) || before.starts_with(other.as_str()) || key_of(other) == key_of(before) {
                        return Err(problem(number, "words before the value that no other line begins with", before));
                    }
                }
            }
            lines.push(Line::Value { before: before.to_owned(), field: field.clone(), after: after.to_owned() });
        }
        let template = Self { lines };
        match fields.iter().find(|field| field.required && !template.fields().any(|known| known.id == field.id)) {
            Some(field) => Err(problem(template.lines.len(), &format!("a line with {{{}}}", field.id), "none")),
            None => Ok(template),
        }
    }

    /// The fields of the template, line by line.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.lines.iter().filter_map(|line| match line {
            Line::Value { field, .. } => Some(field),
            Line::Fixed(_) => None,
        })
    }

    /// The answer's exact text, without a line break at its end. An optional field without a value has no line.
    /// Fails with the first required field that has no value.
    pub fn render(&self, label: &Label) -> Result<String, FieldId> {
        self.render_with(|field| label.get(&field.id))
    }

    pub(super) fn render_with<'v>(&self, value_of: impl Fn(&Field) -> Option<&'v Value>) -> Result<String, FieldId> {
        self.write(value_of).map(|(text, _)| text)
    }

    fn write<'v>(&self, value_of: impl Fn(&Field) -> Option<&'v Value>) -> Result<(String, Spans), FieldId> {
        let mut text = String::new();
        let mut spans = Vec::new();
        for line in &self.lines {
            let value = match line {
                Line::Fixed(_) => None,
                Line::Value { field, .. } => match value_of(field) {
                    None if field.required => return Err(field.id.clone()),
                    None => continue,
                    value => value,
                },
            };
            if !text.is_empty() {
                text.push('\n');
            }
            match (line, value) {
                (Line::Value { before, field, after }, Some(value)) => {
                    text.push_str(before);
                    let start = text.len();
                    text.push_str(&field.render(value));
                    spans.push((field.id.clone(), start..text.len()));
                    text.push_str(after);
                }
                (Line::Fixed(written) | Line::Value { before: written, .. }, _) => text.push_str(written),
            }
        }
        Ok((text, spans))
    }

    /// The answer's exact text with the bytes that each value takes in it, line by line.
    pub fn render_spans(&self, label: &Label) -> Result<(String, Spans), FieldId> {
        self.write(|field| label.get(&field.id))
    }

    /// Reads an answer back: exactly where it is exact, else forgiving other bullets, `:` for `->`, case, spaces and
    /// missing or extra lines. Nothing is guessed: what cannot be read is reported by field.
    pub fn parse(&self, text: &str) -> ParsedAnswer {
        let mut values: Vec<(&Field, Value)> = Vec::new();
        let mut problems = Vec::new();
        let mut spoken: Vec<&FieldId> = Vec::new();
        for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
            let Some((field, written)) = self.match_line(line) else {
                if !self.lines.iter().any(|known| matches!(known, Line::Fixed(fixed) if fold_text(fixed) == fold_text(line))) {
                    problems.push(AnswerProblem::Unknown(line.trim().to_owned()));
                }
                continue;
            };
            if spoken.contains(&&field.id) {
                problems.push(AnswerProblem::Repeated(field.id.clone()));
                continue;
            }
            spoken.push(&field.id);
            match field.parse(&written) {
                Ok(value) => values.push((field, value)),
                Err(error) => problems.push(AnswerProblem::Value(field.id.clone(), error)),
            }
        }
        problems.extend(
            self.fields()
                .filter(|field| field.required && !spoken.contains(&&field.id))
                .map(|field| AnswerProblem::Missing(field.id.clone())),
        );
        ParsedAnswer { label: Label::from_values(values), problems }
    }

    /// The field a line speaks of, and the text of its value.
    fn match_line(&self, line: &str) -> Option<(&Field, String)> {
        self.values()
            .find_map(|(before, field, after)| {
                let value = line.strip_prefix(before)?.strip_suffix(after)?;
                Some((field, value.to_owned()))
            })
            .or_else(|| {
                let (key, value) = split_line(line)?;
                self.values().find(|(before, ..)| key_of(before) == key).map(|(_, field, after)| {
                    let value = value.trim();
                    let bare = strip_suffix_ignoring_case(value, after.trim()).unwrap_or(value);
                    (field, bare.trim().to_owned())
                })
            })
    }

    fn values(&self) -> impl Iterator<Item = (&str, &Field, &str)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Value { before, field, after } => Some((before.as_str(), field, after.as_str())),
            Line::Fixed(_) => None,
        })
    }
}

const SEPARATORS: [&str; 7] = ["->", "→", "=>", "：", ":", "=", "－＞"];

/// The words before the value, without bullet and separator, folded.
fn key_of(before: &str) -> String {
    let bare = before.trim_end();
    let bare = SEPARATORS.iter().find_map(|separator| bare.strip_suffix(separator)).unwrap_or(bare);
    fold_text(without_bullet(bare))
}

fn split_line(line: &str) -> Option<(String, &str)> {
    let bare = without_bullet(line);
    let (at, separator) = SEPARATORS.iter().filter_map(|separator| bare.find(separator).map(|at| (at, separator))).min()?;
    Some((fold_text(&bare[..at]), &bare[at + separator.len()..]))
}

fn without_bullet(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '*' | '•' | '·' | '・' | '–' | '—'))
}

fn strip_suffix_ignoring_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let tail = text.get(at..)?;
    (!suffix.is_empty() && tail.eq_ignore_ascii_case(suffix)).then(|| &text[..at])
}

impl AnswerProblem {
    /// Whether a field has no value because of it; what is merely too much has none.
    pub fn is_of_field(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Value(..))
    }
}

impl fmt::Display for AnswerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(field) => write!(f, "{field}: no line speaks of it"),
            Self::Value(field, error) => write!(f, "{field}: {error}"),
            Self::Repeated(field) => write!(f, "{field}: said more than once"),
            Self::Unknown(line) => write!(f, "a line that speaks of no field: {line:?}"),
        }
    }
}
