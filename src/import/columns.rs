//! Which column of a source holds what.

use std::collections::BTreeMap;

use super::ImportError;
use crate::domain::Schema;

/// What a row tells of a sample beside its fields, and the columns it is looked for in when nothing else is said.
///
/// A query column that holds a list names the query first and then the reference.
const ROLES: [(&str, &[&str]); 5] = [
    ("id", &["id"]),
    ("query", &["query", "image", "file_name", "images", "file_names"]),
    ("reference", &["reference"]),
    ("group", &["group", "board", "lot"]),
    ("type", &["type"]),
];

/// The default column of any box field, beside its id.
const BOX: &str = "bbox";

/// From our word (`id`, `query`, `reference`, `group`, `type`, `bbox` or a field's id) to the source's column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns(BTreeMap<String, String>);

impl Columns {
    /// A mapping from pairs of our word and their column; a word that means nothing to the schema is an error.
    pub fn new(schema: &Schema, pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, ImportError> {
        let fields = schema.fields().iter().map(|field| field.id.as_str());
        let known: Vec<&str> = ROLES.iter().map(|(role, _)| *role).chain([BOX]).chain(fields).collect();
        let mapping: BTreeMap<String, String> = pairs.into_iter().collect();
        match mapping.keys().find(|word| !known.contains(&word.as_str())) {
            Some(word) => Err(ImportError::Unknown { what: "column", name: word.clone(), known: known.join(", ") }),
            None => Ok(Self(mapping)),
        }
    }

    /// The columns in which a role (`id`, `query`, …) may be found, best first.
    pub(super) fn of_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a str> {
        let usual = ROLES.iter().find(|(known, _)| *known == role).map_or(&[][..], |(_, columns)| *columns);
        let (mapped, usual) = self.0.get(role).map_or((None, usual), |column| (Some(column.as_str()), &[][..]));
        mapped.into_iter().chain(usual.iter().copied())
    }

    /// The columns in which a field may be found, best first.
    pub(super) fn of_field<'a>(&'a self, id: &'a str, is_box: bool) -> impl Iterator<Item = &'a str> {
        let own = self.0.get(id).map(String::as_str);
        let shared = (is_box && own.is_none()).then(|| self.0.get(BOX).map_or(BOX, String::as_str));
        std::iter::once(own.unwrap_or(id)).chain(shared)
    }

    /// Fails when a mapped column is not among those of a source with a header.
    pub(super) fn check(&self, header: &[&str]) -> Result<(), ImportError> {
        match self.0.values().find(|column| !header.contains(&column.as_str())) {
            Some(column) => Err(ImportError::Unknown { what: "column", name: column.clone(), known: header.join(", ") }),
            None => Ok(()),
        }
    }
}
