//! A set and a map for a few elements, kept as a sorted list, because a short list is faster to search than a tree.
//!
//! Elements of a set that arrive in order, and are removed from the front, cost O(log n) each. An element that arrives
//! out of order moves at most half of the other elements. Entries of a map that arrive out of order, or are removed,
//! move all entries behind them.

use std::collections::VecDeque;

/// Maximum number of elements for which an empty list keeps memory.
const KEPT: usize = 16;

/// Number of entries by which a map grows at least. Maps hold the states of links, which are large, and links rarely
/// change.
const SPARE: usize = 2;

/// A set in the order of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T> {
    items: VecDeque<T>,
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SortedSet<T> {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: VecDeque::new(),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.items.clear();
        self.items.shrink_to(KEPT);
    }

    /// Removes and returns the least element.
    pub fn pop_first(&mut self) -> Option<T> {
        let first = self.items.pop_front();
        if self.items.is_empty() && self.items.capacity() > KEPT {
            self.items = VecDeque::new();
        }
        first
    }
}

impl<T: Ord> SortedSet<T> {
    /// Adds an element. Returns whether the element is new.
    pub fn insert(&mut self, item: T) -> bool {
        let place = match self.items.back() {
            Some(last) if *last >= item => self.items.binary_search(&item),
            Some(_) | None => Err(self.items.len()),
        };
        match place {
            Ok(_) => false,
            Err(at) => {
                self.items.insert(at, item);
                true
            }
        }
    }

    /// Removes an element. Returns whether the element was present.
    pub fn remove(&mut self, item: &T) -> bool {
        match self.items.binary_search(item) {
            Ok(at) => self.items.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// Whether the set holds an element.
    #[must_use]
    pub fn contains(&self, item: &T) -> bool {
        self.items.binary_search(item).is_ok()
    }
}

/// A map in the order of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The entries in order, with mutable values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.cmp(key))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.place(key).ok()?;
        Some(&self.entries[at].1)
    }

    /// The value of a key, for changes.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.place(key).ok()?;
        Some(&mut self.entries[at].1)
    }

    /// Inserts an entry. Returns the value that was replaced.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => Some(core::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                let len = self.entries.len();
                if len == self.entries.capacity() {
                    self.entries.reserve_exact(SPARE.max(len / 4));
                }
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes an entry. Returns the value of the entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.place(key).ok()?;
        let removed = self.entries.remove(at).1;
        let len = self.entries.len();
        if self.entries.capacity() > 2 * (len + SPARE) {
            self.entries.shrink_to(len + SPARE);
        }
        Some(removed)
    }

    /// All entries in one full turn, starting with the entry that follows a key.
    pub fn after(&self, key: &K) -> impl Iterator<Item = (&K, &V)> {
        let at = self.entries.partition_point(|(other, _)| other <= key);
        let (before, after) = self.entries.split_at(at);
        let round = after.iter().chain(before);
        round.map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn it_is_a_tree_set_in_another_shape(
            moves in prop::collection::vec((0_u8..40, 0_u8..4), 0..200),
        ) {
            let (mut sorted, mut tree) = (SortedSet::new(), BTreeSet::new());
            for (item, what) in moves {
                match what {
                    0 | 1 => prop_assert_eq!(sorted.insert(item), tree.insert(item)),
                    2 => prop_assert_eq!(sorted.remove(&item), tree.remove(&item)),
                    _ => prop_assert_eq!(sorted.pop_first(), tree.pop_first()),
                }
                prop_assert_eq!(sorted.contains(&item), tree.contains(&item));
                prop_assert_eq!(sorted.len(), tree.len());
                prop_assert!(sorted.iter().eq(tree.iter()));
            }
        }

        #[test]
        fn a_map_is_a_tree_map_in_another_shape(
            moves in prop::collection::vec((0_u8..20, any::<u8>(), 0_u8..3), 0..100),
        ) {
            let (mut sorted, mut tree) = (SortedMap::new(), BTreeMap::new());
            for (key, value, what) in moves {
                if what < 2 {
                    prop_assert_eq!(sorted.insert(key, value), tree.insert(key, value));
                } else {
                    prop_assert_eq!(sorted.remove(&key), tree.remove(&key));
                }
                prop_assert_eq!(sorted.get(&key), tree.get(&key));
                prop_assert_eq!(sorted.len(), tree.len());
                prop_assert!(sorted.iter().eq(tree.iter()));
                let round: Vec<_> = sorted.after(&key).map(|(key, _)| *key).collect();
                let after = tree.range(key..).filter(|(other, _)| **other != key);
                let expected: Vec<_> = after.chain(tree.range(..=key)).map(|(key, _)| *key).collect();
                prop_assert_eq!(round, expected);
            }
        }
    }
}
