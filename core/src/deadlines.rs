//! Timers as data: which key is due when, in O(log n).

use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A set of deadlines, one a key, ordered by time and then by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Sets `key` to `at`, replacing an earlier deadline of the same key.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.by_key.insert(key.clone(), at) {
            if old == at {
                return;
            }
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// Sets `key` to `at` unless it is already due earlier.
    pub fn set_earlier(&mut self, key: K, at: Instant) {
        if self.by_key.get(&key).is_none_or(|old| at < *old) {
            self.set(key, at);
        }
    }

    /// Sets `key` to `at` unless it has a deadline.
    pub fn set_if_unset(&mut self, key: K, at: Instant) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at);
        }
    }

    /// Removes the deadline of `key`; whether there was one.
    pub fn cancel(&mut self, key: &K) -> bool {
        match self.by_key.remove(key) {
            Some(at) => self.by_time.remove(&(at, key.clone())),
            None => false,
        }
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn of(&self, key: &K) -> Option<Instant> {
        self.by_key.get(key).copied()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key whose deadline is at or before `now`, with that deadline.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()? > now {
            return None;
        }
        let (at, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some((at, key))
    }

    /// The number of deadlines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_index_equals_a_brute_force_search(
            moves in prop::collection::vec((0_u8..8, 0_u64..50, any::<bool>()), 0..60),
        ) {
            let mut deadlines = Deadlines::new();
            let mut plain = BTreeMap::new();
            for (key, at, set) in moves {
                if set {
                    deadlines.set(key, Instant::from_nanos(at));
                    plain.insert(key, at);
                } else {
                    prop_assert_eq!(deadlines.cancel(&key), plain.remove(&key).is_some());
                }
                prop_assert_eq!(deadlines.next(), plain.values().min().map(|at| Instant::from_nanos(*at)));
            }
            let mut popped = Vec::new();
            while let Some((_, key)) = deadlines.pop_due(Instant::from_nanos(25)) {
                popped.push(key);
            }
            let mut due: Vec<_> = plain.iter().filter(|(_, at)| **at <= 25).map(|(k, at)| (*at, *k)).collect();
            due.sort_unstable();
            prop_assert_eq!(popped, due.into_iter().map(|(_, k)| k).collect::<Vec<_>>());
        }
    }
}
