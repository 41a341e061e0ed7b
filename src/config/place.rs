//! From a key to the line on which it stands, and back.

use std::fmt::Write;
use std::ops::Range;

use toml_edit::{Document, Item, Table, TableLike, Value};

/// A step into a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Where things stand in a project file that parses as TOML.
pub(super) struct Places {
    document: Document<String>,
}

/// Either half of TOML's item types.
#[derive(Clone, Copy)]
enum Node<'a> {
    Item(&'a Item),
    Value(&'a Value),
    Table(&'a Table),
}

impl<'a> Node<'a> {
    fn span(self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Value(value) => value.span(),
            Self::Table(table) => table.span(),
        }
    }

    fn table(self) -> Option<&'a dyn TableLike> {
        match self {
            Self::Item(item) => item.as_table_like(),
            Self::Value(value) => value.as_inline_table().map(|table| table as &dyn TableLike),
            Self::Table(table) => Some(table),
        }
    }

    fn element(self, index: usize) -> Option<Self> {
        if let Self::Item(Item::ArrayOfTables(tables)) = self {
            return tables.get(index).map(Self::Table);
        }
        let array = match self {
            Self::Item(item) => item.as_array(),
            Self::Value(value) => value.as_array(),
            Self::Table(_) => None,
        };
        array.and_then(|array| array.get(index)).map(Self::Value)
    }

    /// Whether the offset lies in it or in something inside: an array of tables has no span of its own, and a table's
    /// span is its header.
    fn holds(self, offset: usize) -> bool {
        self.span().is_some_and(|span| span.contains(&offset))
            || self
                .table()
                .is_some_and(|table| table.iter().any(|(name, item)| at_key(table, name, offset) || Node::Item(item).holds(offset)))
            || (0..self.elements()).any(|index| self.element(index).is_some_and(|inner| inner.holds(offset)))
    }

    fn elements(self) -> usize {
        match self {
            Self::Item(Item::ArrayOfTables(tables)) => tables.len(),
            Self::Item(item) => item.as_array().map_or(0, toml_edit::Array::len),
            Self::Value(value) => value.as_array().map_or(0, toml_edit::Array::len),
            Self::Table(_) => 0,
        }
    }
}

impl Places {
    /// Parses the text; a TOML error comes back as line and message.
    pub(super) fn new(text: &str) -> Result<Self, (usize, String)> {
        let failed = |error: toml_edit::TomlError| {
            let line = error.span().map_or(1, |span| line_at(text, span.start));
            (line, error.message().to_owned())
        };
        Ok(Self { document: Document::parse(text.to_owned()).map_err(failed)? })
    }

    /// The line of the deepest part of the path that is there, and the whole path written as a key.
    pub(super) fn line(&self, path: &[Step<'_>]) -> (usize, String) {
        let mut node = Node::Item(self.document.as_item());
        let mut span = None;
        for step in path {
            let next = match step {
                Step::Key(key) => node.table().and_then(|table| table.get_key_value(key)).map(|(key, item)| (key.span(), Node::Item(item))),
                Step::Index(index) => node.element(*index).map(|node| (None, node)),
            };
            let Some((key_span, inner)) = next else { break };
            node = inner;
            span = key_span.or_else(|| node.span()).or(span);
        }
        (span.map_or(1, |span| line_at(self.document.raw(), span.start)), write_path(path))
    }

    /// The key that stands at the byte offset, or whose value does.
    pub(super) fn key_at(&self, offset: usize) -> String {
        let mut node = Node::Item(self.document.as_item());
        let mut path = String::new();
        loop {
            if let Some((name, item)) = node
                .table()
                .and_then(|table| table.iter().find(|(name, item)| at_key(table, name, offset) || Node::Item(item).holds(offset)))
            {
                path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                node = Node::Item(item);
            } else if let Some((index, inner)) =
                (0..node.elements()).find_map(|index| Some((index, node.element(index).filter(|inner| inner.holds(offset))?)))
            {
                path = format!("{path}[{index}]");
                node = inner;
            } else {
                return path;
            }
        }
    }
}

fn at_key(table: &dyn TableLike, name: &str, offset: usize) -> bool {
    table.get_key_value(name).and_then(|(key, _)| key.span()).is_some_and(|span| span.contains(&offset))
}

/// The line of a byte offset, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn write_path(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |mut written, step| {
        match step {
            Step::Key(key) if written.is_empty() => written.push_str(key),
            // Writing to a String cannot fail.
            Step::Key(key) => {
                let _ = write!(written, ".{key}");
            }
            Step::Index(index) => {
                let _ = write!(written, "[{index}]");
            }
        }
        written
    })
}
