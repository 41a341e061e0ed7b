//! The samples under review: an order that stays as it was asked for, of which some rows are here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Counts, Entry, Group, Query, RequestId};
use crate::domain::{self, SampleId};

/// Rows that are asked for together.
pub const PAGE: usize = 200;
/// Rows that are kept on either side of the cursor.
const KEPT: usize = 4_000;

/// The queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// What was asked for.
    pub query: Query,
    /// The number of this order.
    pub order: RequestId,
    /// How many rows there are; `None` until the first page is here.
    pub total: Option<usize>,
    /// The row that the cursor is on.
    pub cursor: usize,
    /// Samples by state.
    pub counts: Option<Counts>,
    /// The groups of the order, once they are known; none where it is not divided.
    pub groups: Vec<Group>,
    /// Whether predictions have arrived that the order does not know.
    pub outdated: bool,
    rows: BTreeMap<usize, Arc<Entry>>,
    places: BTreeMap<SampleId, usize>,
    awaited: BTreeMap<RequestId, usize>,
}

/// What is known here about the next undecided sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Near {
    /// It is this row.
    Row(usize),
    /// It lies beyond this row; so many more are wanted.
    Beyond(usize, u32),
    /// There is none.
    Nowhere,
}

impl Queue {
    /// A queue of which nothing is here yet.
    pub fn new(query: Query, order: RequestId) -> Self {
        Self {
            query,
            order,
            total: None,
            cursor: 0,
            counts: None,
            groups: Vec::new(),
            outdated: false,
            rows: BTreeMap::new(),
            places: BTreeMap::new(),
            awaited: BTreeMap::new(),
        }
    }

    /// How many rows there are, as far as is known.
    pub fn len(&self) -> usize {
        self.total.unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row, if it is here.
    pub fn row(&self, index: usize) -> Option<&Arc<Entry>> {
        self.rows.get(&index)
    }

    /// The row under the cursor, if it is here.
    pub fn current(&self) -> Option<&Arc<Entry>> {
        self.row(self.cursor)
    }

    /// The rows that are here, in order.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Arc<Entry>)> {
        self.rows.iter().map(|(index, entry)| (*index, entry))
    }

    /// The group that a row belongs to.
    pub fn group_of(&self, index: usize) -> Option<&Group> {
        let next = self.groups.partition_point(|group| group.from <= index);
        self.groups.get(next.checked_sub(1)?).filter(|group| index - group.from < group.len)
    }

    /// Where a sample stands, if its row is here.
    pub fn place_of(&self, sample: &SampleId) -> Option<usize> {
        self.places.get(sample).copied()
    }

    /// Puts the cursor on a row; past the end is the last one.
    pub fn put_cursor(&mut self, index: usize) {
        self.cursor = index.min(self.len().saturating_sub(1));
    }

    /// The pages around the cursor that are neither here nor on their way; what lies far off is forgotten.
    pub fn missing_pages(&mut self) -> Vec<usize> {
        self.forget_far_rows();
        let last = if self.total.is_none() { 0 } else { self.len().saturating_sub(1) };
        let pages = [self.cursor, self.cursor + PAGE / 2, self.cursor.saturating_sub(PAGE / 2)].map(|row| row.min(last) / PAGE);
        let wanted: BTreeSet<usize> = pages.into_iter().filter(|page| !self.awaited.values().any(|awaited| awaited == page)).collect();
        let is_here = |page: &usize| self.total.is_some() && (self.is_empty() || self.rows.contains_key(&(page * PAGE)));
        wanted.into_iter().filter(|page| !is_here(page)).collect()
    }

    /// A page is on its way.
    pub fn await_page(&mut self, request: RequestId, page: usize) {
        self.awaited.insert(request, page);
    }

    /// Takes rows that were asked for; `false` for any others.
    pub fn take(&mut self, request: RequestId, from: usize, total: usize, rows: Vec<Entry>) -> bool {
        if self.awaited.remove(&request).is_none_or(|page| page * PAGE != from) {
            return false;
        }
        self.total = Some(total);
        for (index, entry) in (from..total).zip(rows) {
            self.places.insert(entry.id.clone(), index);
            self.rows.insert(index, Arc::new(entry));
        }
        self.put_cursor(self.cursor);
        true
    }

    /// Shows a sample as it is now, where its row is here. Its place stays.
    pub fn replace(&mut self, entry: &Arc<Entry>) {
        if let Some(row) = self.places.get(&entry.id).and_then(|index| self.rows.get_mut(index))
            && row.revision <= entry.revision
        {
            *row = Arc::clone(entry);
        }
    }

    /// The n-th undecided sample from a row, as far as the rows that are here tell.
    pub fn undecided(&self, from: usize, backward: bool, nth: u32, busy: &dyn Fn(&SampleId) -> bool) -> Near {
        let len = self.len();
        let (mut left, mut last) = (nth.max(1), from);
        for step in 1..=len {
            let index = if backward { (from + len - step % len) % len } else { (from + step) % len };
            let Some(entry) = self.row(index) else { return Near::Beyond(last, left) };
            if index != from && entry.state == domain::State::Undecided && !busy(&entry.id) {
                left -= 1;
                if left == 0 {
                    return Near::Row(index);
                }
            }
            last = index;
        }
        Near::Nowhere
    }

    fn forget_far_rows(&mut self) {
        let kept = self.cursor.saturating_sub(KEPT) / PAGE * PAGE..(self.cursor + KEPT) / PAGE * PAGE;
        if self.rows.len() > 4 * KEPT {
            self.rows.retain(|index, _| kept.contains(index));
            self.places.retain(|_, index| kept.contains(index));
        }
    }
}
