//! Bounded collections. The name and the return value of a type's methods state what happens when a collection is full.

use std::collections::{BTreeMap, VecDeque};

/// A queue that drops and returns its oldest element when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropOldest<T> {
    items: VecDeque<T>,
    bound: usize,
}

impl<T> DropOldest<T> {
    /// An empty queue of at most `bound` elements (at least 1).
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self {
            items: VecDeque::new(),
            bound: bound.max(1),
        }
    }

    /// Appends an element. Returns the oldest element if the queue was full.
    pub fn push(&mut self, item: T) -> Option<T> {
        let dropped = if self.items.len() == self.bound {
            self.items.pop_front()
        } else {
            None
        };
        self.items.push_back(item);
        dropped
    }

    /// Removes the oldest element and returns it.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// The elements, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.items.iter()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

/// A map that rejects new keys when it is full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectNew<K, V> {
    items: BTreeMap<K, V>,
    bound: usize,
}

impl<K: Ord, V> RejectNew<K, V> {
    /// An empty map of at most `bound` keys.
    #[must_use]
    pub const fn new(bound: usize) -> Self {
        Self {
            items: BTreeMap::new(),
            bound,
        }
    }

    /// Inserts or replaces a value.
    ///
    /// # Errors
    /// Returns the value if the key is new and the map is full. The map is then unchanged.
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, V> {
        if self.items.len() >= self.bound && !self.items.contains_key(&key) {
            return Err(value);
        }
        Ok(self.items.insert(key, value))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key)
    }

    /// The value of a key, mutable.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.items.get_mut(key)
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.items.remove(key)
    }

    /// The pairs in key order.
    pub fn iter(&self) -> std::collections::btree_map::Iter<'_, K, V> {
        self.items.iter()
    }

    /// Keeps only the pairs that satisfy `keep`.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.items.retain(keep);
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_hands_back_its_oldest() {
        let mut queue = DropOldest::new(2);
        assert_eq!(
            (queue.push(1), queue.push(2), queue.push(3)),
            (None, None, Some(1))
        );
        assert_eq!(queue.iter().copied().collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_full_map_rejects_new_keys_but_replaces_old_ones() {
        let mut map = RejectNew::new(1);
        assert_eq!(map.insert('a', 1), Ok(None));
        assert_eq!(map.insert('b', 2), Err(2));
        assert_eq!(map.insert('a', 3), Ok(Some(1)));
    }
}
