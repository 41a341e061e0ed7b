//! Pictures that were ordered, and those that have come.

use std::collections::BTreeMap;

use lru::LruCache;

use crate::conversation::ImageRole;
use crate::graphics::{self, Arrived, Key};

/// What a picture shows, and how.
pub type Wanted = graphics::Wanted<ImageRole>;
/// A picture that is ordered.
pub type Order = graphics::Order<ImageRole>;

/// The most bytes of encoded pictures that are kept here.
const MOST_BYTES: usize = 96 << 20;

/// The pictures.
pub(super) struct Gallery {
    there: LruCache<Key, Arrived>,
    bytes: usize,
    ordered: BTreeMap<u64, Key>,
    last_order: Vec<u64>,
    last_number: u64,
}

impl Gallery {
    pub(super) fn new() -> Self {
        Self { there: LruCache::unbounded(), bytes: 0, ordered: BTreeMap::new(), last_order: Vec::new(), last_number: 0 }
    }

    /// Takes a picture; `false` when nobody waits for it any more.
    pub(super) fn take(&mut self, arrived: Arrived) -> bool {
        let Some(key) = self.ordered.remove(&arrived.number) else { return false };
        self.bytes += weight(&arrived);
        if let Some(old) = self.there.put(key, arrived) {
            self.bytes -= weight(&old);
        }
        while self.bytes > MOST_BYTES && self.there.len() > 1 {
            if let Some((_, old)) = self.there.pop_lru() {
                self.bytes -= weight(&old);
            }
        }
        true
    }

    /// The picture of a wish, if it is here.
    pub(super) fn get(&mut self, wanted: &Wanted) -> Option<Arrived> {
        self.there.get(&Key::of(wanted)).cloned()
    }

    /// The orders for all that is wanted and not here; `None` when they are the same as before.
    pub(super) fn orders(&mut self, wanted: Vec<Wanted>) -> Option<Vec<Order>> {
        let mut orders: Vec<Order> = Vec::new();
        let mut kept = BTreeMap::new();
        for wanted in wanted {
            let key = Key::of(&wanted);
            if self.there.contains(&key) || kept.values().any(|known| *known == key) {
                continue;
            }
            let known = self.ordered.iter().find(|(_, known)| **known == key).map(|(number, _)| *number);
            let number = known.unwrap_or_else(|| {
                self.last_number += 1;
                self.last_number
            });
            kept.insert(number, key);
            orders.push(Order { number, wanted });
        }
        self.ordered = kept;
        let numbers: Vec<u64> = orders.iter().map(|order| order.number).collect();
        // What was ordered before and stands in the same place needs no new list.
        let same = self.last_order.ends_with(&numbers);
        self.last_order = numbers;
        (!same).then_some(orders)
    }
}

fn weight(arrived: &Arrived) -> usize {
    arrived.outcome.as_ref().map_or(0, |made| made.picture.weight())
}
