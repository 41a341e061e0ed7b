//! The selection of the contact sheet and the list: it survives paging, new predictions and other orders.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entry, Queue, RequestId};
use crate::domain::SampleId;

/// The most samples in one selection.
pub const MOST_SELECTED: usize = 10_000;

/// What becomes of the selection when every row has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Every row is selected.
    All,
    /// Every row changes sides.
    Invert,
}

/// The selection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sheet {
    picked: BTreeMap<SampleId, Arc<Entry>>,
    /// Where a range begins that ends at the cursor.
    pub anchor: Option<usize>,
    /// All rows have been asked for, and what for.
    pub awaited: Option<(RequestId, Whole)>,
}

/// Rows of a range are not here yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeNotHere;

impl Sheet {
    /// Whether a row is selected, or lies in the range being drawn.
    pub fn is_selected(&self, index: usize, sample: &SampleId, cursor: usize) -> bool {
        self.picked.contains_key(sample) || self.range(cursor).is_some_and(|range| range.contains(&index))
    }

    /// How many samples are selected, without a range that is not yet ended.
    pub fn len(&self) -> usize {
        self.picked.len()
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.picked.is_empty()
    }

    /// The selected samples.
    pub fn picked(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.picked.values()
    }

    fn range(&self, cursor: usize) -> Option<std::ops::RangeInclusive<usize>> {
        self.anchor.map(|anchor| anchor.min(cursor)..=anchor.max(cursor))
    }

    /// Selects a row, or takes it out.
    pub fn toggle(&mut self, entry: &Arc<Entry>) {
        if self.picked.remove(&entry.id).is_none() {
            self.picked.insert(entry.id.clone(), Arc::clone(entry));
        }
    }

    /// Ends a range and takes its rows in.
    pub fn end_range(&mut self, queue: &Queue) -> Result<(), RangeNotHere> {
        let Some(range) = self.range(queue.cursor) else { return Ok(()) };
        let rows: Option<Vec<_>> = range.map(|index| queue.row(index).cloned()).collect();
        let rows = rows.ok_or(RangeNotHere)?;
        self.picked.extend(rows.into_iter().map(|entry| (entry.id.clone(), entry)));
        self.anchor = None;
        Ok(())
    }

    /// Takes every row of the queue in, or makes every row change sides.
    pub fn whole(&mut self, whole: Whole, rows: impl IntoIterator<Item = Arc<Entry>>) {
        for entry in rows {
            match whole {
                Whole::All => drop(self.picked.insert(entry.id.clone(), entry)),
                Whole::Invert => self.toggle(&entry),
            }
        }
        (self.anchor, self.awaited) = (None, None);
    }

    /// Selects nothing.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes samples out: their decision is durable.
    pub fn remove(&mut self, samples: &[SampleId]) {
        for sample in samples {
            self.picked.remove(sample);
        }
    }

    /// Knows a selected sample as it is now. Who is selected does not change.
    pub fn replace(&mut self, entry: &Arc<Entry>) {
        if let Some(picked) = self.picked.get_mut(&entry.id)
            && picked.revision <= entry.revision
        {
            *picked = Arc::clone(entry);
        }
    }
}
