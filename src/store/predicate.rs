//! A filter's terms as SQL conditions on a row of `current` (named `c`).

use super::StoreError;
use super::code::{find_code, find_word};
use super::layout::Part;
use super::reader::Reader;
use crate::domain::{Comparison, FieldId, Flag, Kind, Split, State, Subject, Term, Value};

/// SQL with `?` for its parameters, in order. Numbers stand in the SQL itself, so that only texts are parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sql {
    pub text: String,
    pub parameters: Vec<String>,
}

impl Sql {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), parameters: Vec::new() }
    }

    /// Adds to the end.
    pub(super) fn push(&mut self, other: &Self) {
        self.text.push_str(&other.text);
        self.parameters.extend_from_slice(&other.parameters);
    }
}

/// A condition, and how an index can find the rows that meet it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Predicate {
    pub sql: Sql,
    pub lookup: Lookup,
}

/// How the rows of a condition can be found without looking at all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Lookup {
    /// They cannot.
    Scan,
    /// By an index that leads with (or, for ranges, is ordered by) this column. `one`: all have the same value in it.
    Column { name: String, one: bool },
    /// They are among the `seq` that this statement gives in ascending order.
    Among(Sql),
}

impl Predicate {
    /// The rows that have nothing in a column.
    pub(super) fn null(column: &str) -> Self {
        Self { sql: Sql::plain(format!("c.{column} IS NULL")), lookup: Lookup::Scan }
    }

    /// Whether only rows with something in this column, one that samples are sorted by, can meet it: they are
    /// compared by size, or told from empty ones, and never told to be empty.
    pub(super) fn is_on(&self, column: &str) -> bool {
        matches!(&self.lookup, Lookup::Column { name, .. } if name == column)
    }
}

impl Reader<'_> {
    pub(super) fn translate(&self, term: &Term) -> Result<Predicate, StoreError> {
        match &term.subject {
            Subject::Field(field) => self.field(Part::Effective, field, &term.comparison),
            Subject::Label(field) => self.field(Part::Label, field, &term.comparison),
            Subject::Predicted(field) => self.field(Part::Predicted, field, &term.comparison),
            Subject::Confidence(None) => Ok(range("confidence", &term.comparison, 1e6)),
            Subject::Confidence(Some(field)) => {
                Ok(self.layout.column(Part::Confidence, field).map_or_else(never, |column| range(column, &term.comparison, 1e6)))
            }
            Subject::State => Ok(words("state", &term.comparison, |word| Ok(State::parse(word).map(|state| state as i64)))?),
            Subject::Type => words("image_type", &term.comparison, |word| {
                Ok(self.schema.image_types().iter().position(|known| known == word).map(|index| index as i64))
            }),
            Subject::Reviewer => words("reviewer", &term.comparison, |word| find_word(self.connection, word)),
            Subject::Kind => Ok(one_of(&term.comparison, |word| {
                Sql::plain(Kind::parse(word).map_or_else(|| "0".to_owned(), |kind| self.plan.has_kind(kind)))
            })),
            Subject::Split => Ok(one_of(&term.comparison, |word| {
                let split = Split::ALL.iter().position(|split| split.name() == word).unwrap_or(Split::ALL.len());
                Sql::plain(format!("split_of((SELECT grp FROM samples WHERE seq = c.seq)) = {split}"))
            })),
            Subject::Cluster => words("cluster", &term.comparison, |word| Ok(word.parse().ok())),
            Subject::Outlier => Ok(range("outlier", &term.comparison, 1e6)),
            Subject::Id => Ok(pattern("id", &term.comparison)),
            Subject::Group => Ok(pattern("grp", &term.comparison)),
            Subject::Flag(flag) => Ok(is_set(*flag, term.comparison == Comparison::Is(true))),
        }
    }

    fn field(&self, part: Part, field: &FieldId, comparison: &Comparison) -> Result<Predicate, StoreError> {
        let (Some(column), Some(known)) = (self.layout.column(part, field), self.schema.field(field)) else { return Ok(never()) };
        let codes = |values: &[Option<Value>]| -> Result<Vec<Option<i64>>, StoreError> {
            // A value that no sample has stands as a number that no sample has.
            let number = |value| Ok::<_, StoreError>(find_code(self.connection, known, value)?.unwrap_or(i64::MIN));
            values.iter().map(|value| value.as_ref().map(number).transpose()).collect()
        };
        match comparison {
            Comparison::OneOf(values) => Ok(member(column, &codes(values)?, true)),
            Comparison::NoneOf(values) => Ok(member(column, &codes(values)?, false)),
            other => Ok(range(column, other, 1.0)),
        }
    }
}

/// A column of interned or enumerated words; an empty word is "nobody".
fn words(column: &str, comparison: &Comparison, number: impl Fn(&str) -> Result<Option<i64>, StoreError>) -> Result<Predicate, StoreError> {
    let codes = |words: &[String]| -> Result<Vec<Option<i64>>, StoreError> {
        let code = |word: &String| if word.is_empty() { Ok(None) } else { Ok(Some(number(word)?.unwrap_or(i64::MIN))) };
        words.iter().map(code).collect()
    };
    match comparison {
        Comparison::Like(words) => Ok(member(column, &codes(words)?, true)),
        Comparison::Unlike(words) => Ok(member(column, &codes(words)?, false)),
        _ => Ok(never()),
    }
}

/// A condition that no row meets: a field that the schema does not have, a comparison that makes no sense.
fn never() -> Predicate {
    scan(Sql::plain("0"))
}

fn scan(sql: Sql) -> Predicate {
    Predicate { sql, lookup: Lookup::Scan }
}

/// Whether a column holds one of the numbers (or, not `inside`, none of them); `None` is "no value".
fn member(column: &str, codes: &[Option<i64>], inside: bool) -> Predicate {
    let numbers: Vec<String> = codes.iter().flatten().map(ToString::to_string).collect();
    let empty = codes.contains(&None);
    let text = match (numbers.as_slice(), inside) {
        ([], true) => format!("c.{column} IS NULL"),
        ([], false) => format!("c.{column} IS NOT NULL"),
        ([number], true) if !empty => format!("c.{column} = {number}"),
        (numbers, inside) => {
            let list = numbers.join(", ");
            match (inside, empty) {
                (true, true) => format!("(c.{column} IN ({list}) OR c.{column} IS NULL)"),
                (true, false) => format!("c.{column} IN ({list})"),
                (false, true) => format!("(c.{column} NOT IN ({list}) AND c.{column} IS NOT NULL)"),
                (false, false) => format!("(c.{column} NOT IN ({list}) OR c.{column} IS NULL)"),
            }
        }
    };
    let lookup = match (inside, codes.len(), empty) {
        (true, 1, _) => Lookup::Column { name: column.to_owned(), one: true },
        (true, _, false) => Lookup::Column { name: column.to_owned(), one: false },
        _ => Lookup::Scan,
    };
    Predicate { sql: Sql::plain(text), lookup }
}

/// Whether a column is less or more than a number, which is given in units of which the column holds `scale`.
fn range(column: &str, comparison: &Comparison, scale: f64) -> Predicate {
    let text = match comparison {
        // Millionths are rounded, so that 0.8 means the 0.8 that is stored; numbers of a field are compared exactly.
        Comparison::Less(number) if scale > 1.0 => format!("c.{column} < {}", (number * scale).round() as i64),
        Comparison::More(number) if scale > 1.0 => format!("c.{column} > {}", (number * scale).round() as i64),
        Comparison::Less(number) => format!("c.{column} < {}", number.ceil() as i64),
        Comparison::More(number) => format!("c.{column} > {}", number.floor() as i64),
        _ => return never(),
    };
    Predicate { sql: Sql::plain(text), lookup: Lookup::Column { name: column.to_owned(), one: false } }
}

fn is_set(flag: Flag, on: bool) -> Predicate {
    let (column, sql) = match (flag, on) {
        (Flag::Labelled, on) => return scan(Sql::plain(format!("c.labelled = {}", i64::from(on)))),
        (Flag::Flagged, true) => ("flagged", "c.flagged = 1"),
        (Flag::Commented, true) => ("commented", "c.commented = 1"),
        (Flag::Disagree, true) => ("disagreement", "c.disagreement IS NOT NULL"),
        (Flag::Predicted, true) => ("confidence", "c.confidence IS NOT NULL"),
        (Flag::Duplicate, true) => ("duplicate", "c.duplicate = 1"),
        (Flag::Duplicate, false) => return scan(Sql::plain("c.duplicate = 0")),
        (Flag::Flagged, false) => return scan(Sql::plain("c.flagged = 0")),
        (Flag::Commented, false) => return scan(Sql::plain("c.commented = 0")),
        (Flag::Disagree, false) => return scan(Sql::plain("c.disagreement IS NULL")),
        (Flag::Predicted, false) => return scan(Sql::plain("c.confidence IS NULL")),
    };
    let one = matches!(flag, Flag::Flagged | Flag::Commented | Flag::Duplicate);
    Predicate { sql: Sql::plain(sql), lookup: Lookup::Column { name: column.to_owned(), one } }
}

/// Each word as a condition; any of them must hold, or none.
fn one_of(comparison: &Comparison, condition: impl Fn(&str) -> Sql) -> Predicate {
    let (words, prefix) = match comparison {
        Comparison::Like(words) => (words, "("),
        Comparison::Unlike(words) => (words, "NOT ("),
        _ => return never(),
    };
    let mut sql = Sql::plain(prefix);
    for (index, word) in words.iter().enumerate() {
        sql.text.push_str(if index == 0 { "" } else { " OR " });
        sql.push(&condition(word));
    }
    sql.text.push(')');
    scan(sql)
}

/// A text column of `samples` against patterns in which `*` stands for any text.
fn pattern(column: &str, comparison: &Comparison) -> Predicate {
    let value = format!("(SELECT {column} FROM samples WHERE seq = c.seq)");
    let Predicate { sql, .. } = one_of(comparison, |word| Sql { text: format!("{value} GLOB ?"), parameters: vec![glob(word)] });
    let lookup = match comparison {
        Comparison::Like(words) => among(column, words).map_or(Lookup::Scan, Lookup::Among),
        _ => Lookup::Scan,
    };
    Predicate { sql, lookup }
}

/// SQLite's GLOB knows `?` and `[` too; here they mean themselves.
fn glob(pattern: &str) -> String {
    pattern.replace('[', "[[]").replace('?', "[?]")
}

/// The rows that may match: by the index of the column when every pattern has a fixed beginning, by the trigrams of
/// the fixed parts of an id otherwise. `None` when a pattern leaves too little to go by.
fn among(column: &str, patterns: &[String]) -> Option<Sql> {
    if patterns.iter().all(|pattern| !pattern.starts_with('*') && !pattern.is_empty()) {
        let text = vec![format!("SELECT seq FROM samples WHERE {column} BETWEEN ? AND ?"); patterns.len()].join(" UNION ALL ");
        // From the fixed beginning itself to the last text that begins so.
        let bounds = |pattern: &String| match pattern.split_once('*') {
            Some((head, _)) => [head.to_owned(), format!("{head}{}", char::MAX)],
            None => [pattern.clone(), pattern.clone()],
        };
        return Some(Sql { text, parameters: patterns.iter().flat_map(bounds).collect() });
    }
    if column != "id" {
        return None;
    }
    let words: Option<Vec<String>> = patterns.iter().map(|pattern| trigrams(pattern)).collect();
    let parameters = vec![words?.iter().map(|all| format!("({all})")).collect::<Vec<_>>().join(" OR ")];
    Some(Sql { text: "SELECT rowid FROM sample_ids WHERE sample_ids MATCH ?".to_owned(), parameters })
}

/// The full-text expression "has all trigrams of the pattern's fixed parts".
fn trigrams(pattern: &str) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for part in pattern.split('*') {
        let chars: Vec<char> = part.chars().collect();
        all.extend(chars.windows(3).map(|three| format!("\"{}\"", three.iter().collect::<String>().replace('"', "\"\""))));
    }
    (!all.is_empty()).then(|| all.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_themselves_but_for_stars() {
        assert_eq!(glob("a[b]?*"), "a[[]b][?]*");
        assert_eq!(trigrams("*0123*").unwrap(), r#""012" AND "123""#);
        assert_eq!(trigrams("*\"ab*").unwrap(), r#""""ab""#);
        assert_eq!(trigrams("*01*"), None);
    }

    #[test]
    fn numbers_compare_as_typed() {
        let text = |comparison, scale| range("x", &comparison, scale).sql.text;
        assert_eq!(text(Comparison::Less(0.8), 1e6), "c.x < 800000");
        assert_eq!(text(Comparison::Less(2.5), 1.0), "c.x < 3");
        assert_eq!(text(Comparison::More(2.5), 1.0), "c.x > 2");
        assert_eq!(text(Comparison::Less(1e300), 1.0), format!("c.x < {}", i64::MAX));
    }
}
