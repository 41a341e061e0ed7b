//! A whole order of samples, kept by whoever pages through it.

use super::sample::seq_of;
use super::{SampleView, Store, StoreError};
use crate::domain::{Filter, SampleId};

/// The samples of a filter in its order, as they stood when it was asked: eight bytes each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    places: Vec<i64>,
}

impl Order {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The samples' numbers, in order.
    pub(super) fn places(&self) -> &[i64] {
        &self.places
    }

    /// The same samples, those with the smallest key first; equal ones stay as they stand.
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(usize) -> K) {
        let mut keyed: Vec<(K, i64)> = self.places.iter().enumerate().map(|(index, place)| (key(index), *place)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.places = keyed.into_iter().map(|(_, place)| place).collect();
    }

    /// The same samples in groups, that of the smallest key first; within a group those with the smallest second key, equal
    /// ones as they stand. Returns each group's first place, length and key.
    pub fn group_by_key<K: Ord, W: Ord>(&mut self, key: impl Fn(usize) -> K, within: impl Fn(usize) -> W) -> Vec<(usize, usize, K)> {
        let keyed = self.places.iter().enumerate().map(|(index, place)| (key(index), within(index), *place));
        let mut keyed: Vec<(K, W, i64)> = keyed.collect();
        keyed.sort_by(|(a, first, _), (b, second, _)| (a, first).cmp(&(b, second)));
        self.places.clear();
        let mut groups: Vec<(usize, usize, K)> = Vec::new();
        for (index, (key, _, place)) in keyed.into_iter().enumerate() {
            self.places.push(place);
            match groups.last_mut() {
                Some((_, len, known)) if *known == key => *len += 1,
                _ => groups.push((index, 1, key)),
            }
        }
        groups
    }

    pub(super) fn replace(&mut self, places: Vec<i64>) {
        self.places = places;
    }

    /// Keeps the samples at the places that `wanted` lets through.
    pub fn retain(&mut self, mut wanted: impl FnMut(usize) -> bool) {
        let mut index = 0;
        self.places.retain(|_| {
            index += 1;
            wanted(index - 1)
        });
    }
}

impl Store {
    /// Every sample that the filter lets through, in its order.
    pub fn order(&self, filter: &Filter) -> Result<Order, StoreError> {
        let _snapshot = self.snapshot()?;
        self.places_of(filter)
    }

    /// As [`Store::order`], within the caller's snapshot.
    pub(super) fn places_of(&self, filter: &Filter) -> Result<Order, StoreError> {
        let places = self.reader().places(filter, &[], None, i64::MAX as usize)?;
        Ok(Order { places: places.into_iter().map(|place| place.seq).collect() })
    }

    /// At most `count` samples of an order from a place on.
    pub fn views(&self, order: &Order, from: usize, count: usize) -> Result<Vec<SampleView>, StoreError> {
        let _snapshot = self.snapshot()?;
        order.places.iter().skip(from).take(count).map(|seq| self.sample_at(*seq)).collect()
    }

    /// The sample at a place of an order, if it has so many.
    pub fn id_at(&self, order: &Order, place: u32) -> Result<Option<SampleId>, StoreError> {
        let Some(seq) = order.places.get(place as usize) else { return Ok(None) };
        let id: String = self.connection.prepare_cached("SELECT id FROM samples WHERE seq = ?1")?.query_row([seq], |row| row.get(0))?;
        SampleId::new(id).map(Some).map_err(StoreError::damaged("a sample's id"))
    }

    /// The place of a sample in an order.
    pub fn place_in(&self, order: &Order, id: &SampleId) -> Result<Option<usize>, StoreError> {
        match seq_of(&self.connection, id) {
            Ok(seq) => Ok(order.places.iter().position(|place| *place == seq)),
            Err(StoreError::UnknownSample(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
