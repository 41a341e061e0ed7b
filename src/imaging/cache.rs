//! What was made lately, kept in memory up to a number of bytes.

use std::hash::Hash;

use lru::LruCache;

/// The most recently used values whose weights together stay below a cap.
///
/// It holds no lock: workers share it behind their own.
#[derive(Debug)]
pub struct ByteCache<K: Hash + Eq, V> {
    values: LruCache<K, (V, usize)>,
    bytes: usize,
    cap: usize,
}

impl<K: Hash + Eq, V: Clone> ByteCache<K, V> {
    /// An empty cache of at most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { values: LruCache::unbounded(), bytes: 0, cap }
    }

    /// The value of a key, which counts as used now.
    pub fn get(&mut self, key: &K) -> Option<V> {
        self.values.get(key).map(|(value, _)| value.clone())
    }

    /// Whether there is a value of this key; it does not count as used.
    pub fn contains(&self, key: &K) -> bool {
        self.values.contains(key)
    }

    /// Keeps a value that weighs `bytes`; the least recently used ones go. A value above the cap is not kept.
    pub fn insert(&mut self, key: K, value: V, bytes: usize) {
        if let Some((_, old)) = self.values.pop(&key) {
            self.bytes -= old;
        }
        if bytes > self.cap {
            return;
        }
        self.bytes += bytes;
        self.values.put(key, (value, bytes));
        while self.bytes > self.cap {
            let Some((_, (_, old))) = self.values.pop_lru() else { break };
            self.bytes -= old;
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }

    /// The bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = ByteCache::new(10);
        cache.insert("a", 1, 4);
        cache.insert("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.insert("c", 3, 4);
        assert!(cache.contains(&"a") && !cache.contains(&"b") && cache.contains(&"c"));
        assert_eq!(cache.bytes(), 8);
        cache.insert("a", 4, 6);
        assert_eq!((cache.get(&"a"), cache.bytes()), (Some(4), 10));
        cache.insert("huge", 5, 11);
        assert!(!cache.contains(&"huge") && cache.contains(&"a"));
        cache.clear();
        assert_eq!((cache.get(&"a"), cache.bytes()), (None, 0));
    }
}
