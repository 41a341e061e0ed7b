//! What each reviewer can undo and redo: the derived table `history`.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::writing::Writing;
use super::{OperationKind, StoreError};
use crate::domain::ReviewerName;

/// One of a reviewer's two stacks in the table `history`; on top of each is its largest operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stack {
    /// Decisions that stand.
    Undo,
    /// Undos that stand.
    Redo,
}

impl Writing<'_> {
    /// A new decision: it can be undone, and what was undone before can no longer be redone.
    pub(super) fn remember(&self, reviewer: &ReviewerName, op: i64) -> Result<(), StoreError> {
        self.prepare_cached("DELETE FROM history WHERE reviewer = ?1 AND stack = ?2")?
            .execute(params![reviewer.as_str(), Stack::Redo as i64])?;
        push(self, reviewer, Stack::Undo, op)
    }
}

/// What a step does to the stacks: `top` leaves its own, and what it becomes goes to the other one.
pub(super) struct Change {
    from: Stack,
    top: i64,
    to: Option<(Stack, i64)>,
}

impl Change {
    /// `undone` is what `top` undoes. A step that touched no sample leaves nothing to take back.
    pub(super) fn of(stack: Stack, op: i64, top: i64, undone: Option<i64>, samples: usize) -> Self {
        let to = match stack {
            Stack::Undo => Some((Stack::Redo, op)),
            Stack::Redo => undone.map(|undone| (Stack::Undo, undone)),
        };
        Self { from: stack, top, to: to.filter(|_| samples > 0) }
    }

    pub(super) fn apply(&self, connection: &Connection, reviewer: &ReviewerName) -> Result<(), StoreError> {
        connection.prepare_cached("DELETE FROM history WHERE reviewer = ?1 AND stack = ?2 AND op = ?3")?.execute(params![
            reviewer.as_str(),
            self.from as i64,
            self.top
        ])?;
        self.to.map_or(Ok(()), |(stack, op)| push(connection, reviewer, stack, op))
    }
}

fn push(connection: &Connection, reviewer: &ReviewerName, stack: Stack, op: i64) -> Result<(), StoreError> {
    connection.prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3)")?.execute(params![reviewer.as_str(), stack as i64, op])?;
    Ok(())
}

/// The operation that the next step takes back.
pub(super) fn top(connection: &Connection, reviewer: &ReviewerName, stack: Stack) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT max(op) FROM history WHERE reviewer = ?1 AND stack = ?2")?;
    Ok(statement.query_row(params![reviewer.as_str(), stack as i64], |row| row.get(0))?)
}

/// What an operation undoes.
pub(super) fn undone_by(connection: &Connection, op: i64) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT undoes FROM operations WHERE seq = ?1")?;
    Ok(statement.query_row([op], |row| row.get(0)).optional()?.flatten())
}

/// Both stacks of every reviewer as the whole log makes them, each in order.
pub(super) type Stacks = BTreeMap<(String, i64), Vec<i64>>;

/// Replays the log.
pub(super) fn replay(connection: &Connection) -> Result<Stacks, StoreError> {
    let mut stacks = Stacks::new();
    let mut statement = connection.prepare(
        "SELECT o.seq, o.reviewer, o.kind, o.samples, o.undoes, u.undoes FROM operations o LEFT JOIN operations u ON u.seq = o.undoes \
         ORDER BY o.seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (op, samples, top, undone): (i64, i64, Option<i64>, Option<i64>) = (row.get(0)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let reviewer: String = row.get(1)?;
        let mut on = |stack: Stack, change: &dyn Fn(&mut Vec<i64>)| change(stacks.entry((reviewer.clone(), stack as i64)).or_default());
        let from = match OperationKind::parse(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)? {
            OperationKind::Import => continue,
            OperationKind::Decide | OperationKind::Batch => {
                on(Stack::Redo, &Vec::clear);
                on(Stack::Undo, &|stack| stack.push(op));
                continue;
            }
            OperationKind::Undo => Stack::Undo,
            OperationKind::Redo => Stack::Redo,
        };
        on(from, &|stack| stack.truncate(stack.len().saturating_sub(1)));
        if let Some((to, op)) = Change::of(from, op, top.unwrap_or_default(), undone, samples as usize).to {
            on(to, &|stack| stack.push(op));
        }
    }
    stacks.retain(|_, stack| !stack.is_empty());
    Ok(stacks)
}

/// Both stacks of every reviewer as they are stored.
pub(super) fn stored(connection: &Connection) -> Result<Stacks, StoreError> {
    let mut stacks = Stacks::new();
    let mut statement = connection.prepare("SELECT reviewer, stack, op FROM history ORDER BY reviewer, stack, op")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        stacks.entry((row.get(0)?, row.get(1)?)).or_default().push(row.get(2)?);
    }
    Ok(stacks)
}

/// Replaces what is stored.
pub(super) fn store(connection: &Connection, stacks: &Stacks) -> Result<(), StoreError> {
    connection.execute("DELETE FROM history", [])?;
    let mut insert = connection.prepare("INSERT INTO history VALUES (?1, ?2, ?3)")?;
    for ((reviewer, stack), ops) in stacks {
        ops.iter().try_for_each(|op| insert.execute(params![reviewer, stack, op]).map(|_| ()))?;
    }
    Ok(())
}
