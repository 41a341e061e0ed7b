//! Finding the samples of a filter, in its order, by whichever index leaves the least to look at.
//!
//! SQLite's own planner does not know how the reviewer's values are distributed, nor that a page needs only the first
//! hundred rows of an order. So each index that could serve is asked how many rows it would leave, up to
//! [`FEW`]; the one with the fewest drives. Where all leave many, the order of the page drives, since matches are then
//! found quickly on the way.

use std::fmt::Write as _;

use rusqlite::params_from_iter;
use rusqlite::types::Value as Cell;

use super::layout::{Index, sort_column};
use super::predicate::{Lookup, Predicate, Sql};
use super::reader::Reader;
use super::{Store, StoreError};
use crate::domain::{Filter, Sort, SortKey};

/// So many rows are looked up one by one, and sorted, in about 10 ms. Tests reach the other side of it.
const FEW: i64 = if cfg!(test) { 8 } else { 20_000 };

/// Where a page ended: the next one begins behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// `None` among the samples that have nothing to be sorted by; they come last.
    key: Option<Key>,
    pub(super) seq: i64,
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    Number(i64),
    Text(String),
}

/// What leads to the rows.
#[derive(Debug, Clone, PartialEq)]
enum Access {
    /// All rows, by `seq`.
    Table,
    /// All rows, by id.
    Ids,
    Index(String),
    Among(Sql),
}

impl Access {
    /// `c`, and for the order of ids `s`.
    fn from(&self, by_id: bool) -> String {
        let current = match self {
            Self::Index(name) => format!("current c INDEXED BY {name}"),
            Self::Table | Self::Ids | Self::Among(_) => "current c NOT INDEXED".to_owned(),
        };
        match (self, by_id) {
            (Self::Ids, _) => format!("samples s CROSS JOIN {current} ON c.seq = s.seq"),
            (_, true) => format!("{current} CROSS JOIN samples s ON s.seq = c.seq"),
            (_, false) => current,
        }
    }
}

impl Store {
    /// The number of samples that the filter lets through.
    pub fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let _snapshot = self.snapshot()?;
        self.reader().count(filter)
    }
}

impl Reader<'_> {
    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let predicates = self.predicates(filter)?;
        // An index that holds all that is asked for is counted without a look at the table, however many there are.
        let access = match (self.driver(&predicates, SortKey::Import)?, predicates.as_slice()) {
            (Some((access, rows)), predicates) if rows < FEW || predicates.len() == 1 => access,
            _ => Access::Table,
        };
        let mut sql = Sql::plain(format!("SELECT count(*) FROM {} WHERE 1", access.from(false)));
        conditions(&mut sql, &predicates, &access);
        let mut statement = self.connection.prepare(&sql.text)?;
        Ok(statement.query_row(params_from_iter(&sql.parameters), |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    /// At most `limit` places of samples that meet the filter and the `extra` conditions, in the filter's order, from
    /// behind `after`.
    pub(super) fn places(
        &self,
        filter: &Filter,
        extra: &[Predicate],
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<Cursor>, StoreError> {
        let mut predicates = self.predicates(filter)?;
        predicates.extend_from_slice(extra);
        let sort = filter.sort;
        let access = self.driver(&predicates, sort.key)?.map_or_else(|| self.all_by(sort.key), |(access, _)| access);
        let mut places = Vec::new();
        if after.is_none_or(|cursor| cursor.key.is_some()) {
            places = self.stretch(&predicates, &access, sort, after, limit)?;
        }
        let keyless =
            !matches!(sort.key, SortKey::Import | SortKey::Id) && !predicates.iter().any(|known| known.is_on(sort_column(sort.key)));
        if keyless && places.len() < limit {
            // The same access again: within an index of the key, those without one stand together in import order.
            predicates.push(Predicate::null(sort_column(sort.key)));
            let by_import = Sort { key: SortKey::Import, descending: sort.descending };
            let after = after.filter(|cursor| cursor.key.is_none());
            let rest = self.stretch(&predicates, &access, by_import, after, limit - places.len())?;
            places.extend(rest.into_iter().map(|place| Cursor { key: None, ..place }));
        }
        Ok(places)
    }

    /// Places in one order, in which every sample has a key.
    fn stretch(
        &self,
        predicates: &[Predicate],
        access: &Access,
        sort: Sort,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Vec<Cursor>, StoreError> {
        let by_id = sort.key == SortKey::Id;
        let key = format!("{}.{}", if by_id { "s" } else { "c" }, sort_column(sort.key));
        let mut sql = Sql::plain(format!("SELECT {key}, c.seq FROM {} WHERE {key} IS NOT NULL", access.from(by_id)));
        conditions(&mut sql, predicates, access);
        let (beyond, direction) = if sort.descending { ("<", "DESC") } else { (">", "ASC") };
        let mut parameters: Vec<Cell> = sql.parameters.into_iter().map(Cell::Text).collect();
        if let Some(Cursor { key: at, seq }) = after {
            let _ = write!(sql.text, " AND ({key}, c.seq) {beyond} (?, {seq})");
            parameters.push(match at {
                Some(Key::Text(text)) => Cell::Text(text.clone()),
                Some(Key::Number(number)) => Cell::Integer(*number),
                None => Cell::Integer(*seq),
            });
        }
        let _ = write!(sql.text, " ORDER BY {key} {direction}, c.seq {direction} LIMIT {limit}");
        let mut statement = self.connection.prepare(&sql.text)?;
        let places = statement.query_map(params_from_iter(parameters), |row| {
            let key = if by_id { Key::Text(row.get(0)?) } else { Key::Number(row.get(0)?) };
            Ok(Cursor { key: Some(key), seq: row.get(1)? })
        })?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    fn predicates(&self, filter: &Filter) -> Result<Vec<Predicate>, StoreError> {
        filter.terms.iter().map(|term| self.translate(term)).collect()
    }

    /// All samples in an order.
    fn all_by(&self, key: SortKey) -> Access {
        match self.layout.indexes.iter().find(|index| index.lead.is_none() && index.order == key) {
            Some(index) => Access::Index(index.name.clone()),
            None if key == SortKey::Id => Access::Ids,
            None => Access::Table,
        }
    }

    /// The access by one of the conditions that leaves the fewest rows, and how many (counted up to [`FEW`]). One that
    /// leaves more serves only in the order of the page.
    fn driver(&self, predicates: &[Predicate], key: SortKey) -> Result<Option<(Access, i64)>, StoreError> {
        let mut best: Option<(Access, i64, bool)> = None;
        for predicate in predicates {
            let Some((access, ordered)) = self.access(predicate, key) else { continue };
            let rows = self.rows(predicate, &access)?;
            let better = best.as_ref().is_none_or(|(_, fewest, best_ordered)| (rows, !ordered) < (*fewest, !best_ordered));
            if better && (ordered || rows < FEW) {
                best = Some((access, rows, ordered));
            }
        }
        Ok(best.map(|(access, rows, _)| (access, rows)))
    }

    /// The best access to the rows of one condition, and whether they come in order.
    fn access(&self, predicate: &Predicate, key: SortKey) -> Option<(Access, bool)> {
        match &predicate.lookup {
            Lookup::Scan => None,
            Lookup::Among(among) => Some((Access::Among(among.clone()), false)),
            Lookup::Column { name, one } => {
                let indexes = self.layout.indexes.iter().filter(|index| index.first_column() == name);
                let ordered = |index: &Index| index.order == key && (*one || index.lead.is_none());
                indexes.map(|index| (Access::Index(index.name.clone()), ordered(index))).max_by_key(|(_, ordered)| *ordered)
            }
        }
    }

    /// How many rows an access leaves, counted up to [`FEW`].
    fn rows(&self, predicate: &Predicate, access: &Access) -> Result<i64, StoreError> {
        let Sql { text, parameters } = match access {
            Access::Among(among) => among.clone(),
            _ => Sql { text: format!("SELECT 1 FROM {} WHERE {}", access.from(false), predicate.sql.text), ..predicate.sql.clone() },
        };
        let mut statement = self.connection.prepare(&format!("SELECT count(*) FROM ({text} LIMIT {FEW})"))?;
        Ok(statement.query_row(params_from_iter(&parameters), |row| row.get(0))?)
    }
}

/// ` AND …` for the access itself and for each condition.
fn conditions(sql: &mut Sql, predicates: &[Predicate], access: &Access) {
    if let Access::Among(among) = access {
        sql.text.push_str(" AND c.seq IN (");
        sql.push(among);
        sql.text.push(')');
    }
    for predicate in predicates {
        sql.text.push_str(" AND ");
        sql.push(&predicate.sql);
    }
}

#[cfg(test)]
mod tests;
