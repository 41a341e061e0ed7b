//! One row of any source as named cells, borrowed from the source's text where that is possible.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// The value of one column in one row: any JSON, or an embedded image.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Cell<'a> {
    #[default]
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Cell<'a>>),
    Map(Record<'a>),
    /// The bytes of an image file, and the name it once had.
    Image(&'a [u8], Option<&'a str>),
}

/// Named cells. Of two with one name the later counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record<'a>(pub Vec<(Cow<'a, str>, Cell<'a>)>);

impl<'a> Record<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Cell<'a>> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, cell)| cell)
    }

    /// The first of the columns that says something: neither null nor empty.
    pub(super) fn first<'n>(&self, columns: impl Iterator<Item = &'n str>) -> Option<(&'n str, &Cell<'a>)> {
        columns.filter_map(|column| Some((column, self.get(column)?))).find(|(_, cell)| !cell.is_empty())
    }
}

impl<'a> Cell<'a> {
    /// Whether nothing is said: null or blank text. An empty list says "none of them".
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }

    /// Text, number or truth value as text; whole numbers without a point.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Number(number) => Cow::Owned(number.to_string()),
            _ => return None,
        })
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Four numbers, as boxes are written.
    pub(super) fn four(&self) -> Option<[f64; 4]> {
        match self {
            Self::List(cells) => cells.iter().map(Cell::number).collect::<Option<Vec<_>>>()?.try_into().ok(),
            _ => None,
        }
    }

    /// The cell of a name, when this is a map.
    pub(super) fn get(&self, name: &str) -> Option<&Cell<'a>> {
        match self {
            Self::Map(record) => record.get(name),
            _ => None,
        }
    }
}

impl fmt::Display for Cell<'_> {
    /// As in JSON, except that text stands without quotation marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separated = |open: &str, close: &str, parts: &mut dyn Iterator<Item = String>| {
            write!(f, "{open}{}{close}", parts.collect::<Vec<_>>().join(", "))
        };
        match self {
            Self::Null => f.write_str("null"),
            Self::Image(bytes, _) => write!(f, "{} bytes", bytes.len()),
            Self::List(cells) => separated("[", "]", &mut cells.iter().map(ToString::to_string)),
            Self::Map(record) => separated("{", "}", &mut record.0.iter().map(|(name, cell)| format!("{name}: {cell}"))),
            scalar => f.write_str(&scalar.text().unwrap_or_default()),
        }
    }
}

/// A string that is borrowed from the input unless it holds escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cell<'de>, E> {
        Ok(i64::try_from(number).map_or(Cell::Number(number as f64), Cell::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = seq.next_element()? {
            cells.push(cell);
        }
        Ok(Cell::List(cells))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        let mut cells = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            cells.push((name, map.next_value()?));
        }
        Ok(Cell::Map(Record(cells)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Cell<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}
