//! Timers as data: the deadline of each key.
//!
//! A machine usually has a dozen timers, and thousands under heavy load. A few deadlines are kept in one short list,
//! because scanning it is faster than searching a tree. Beyond `FEW` deadlines, the latest ones are stored in trees, in
//! O(log n).

use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of deadlines in the list.
const FEW: usize = 32;

/// A set of deadlines, one for each key, ordered by time and then by key.
#[derive(Clone, Debug)]
pub struct Deadlines<K> {
    /// The deadlines in descending order, so that the next one is removed from the end.
    few: Vec<(Instant, K)>,
    more: BTreeMap<K, Instant>,
    more_by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Default for Deadlines<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Two sets are equal if they hold the same deadlines, whether in the list or in the trees.
impl<K: Ord + Clone> PartialEq for Deadlines<K> {
    fn eq(&self, other: &Self) -> bool {
        let sorted = |set: &Self| {
            let all: BTreeSet<(Instant, K)> =
                set.few.iter().chain(&set.more_by_time).cloned().collect();
            all
        };
        sorted(self) == sorted(other)
    }
}

impl<K: Ord + Clone> Eq for Deadlines<K> {}

impl<K: Ord + Clone> Deadlines<K> {
    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            few: Vec::new(),
            more: BTreeMap::new(),
            more_by_time: BTreeSet::new(),
        }
    }

    fn place(&self, key: &K) -> Option<usize> {
        // A timer that is set again usually has just been due, so its key is near the end of the list.
        self.few.iter().rposition(|(_, other)| other == key)
    }

    fn insert(&mut self, key: K, at: Instant) {
        let entry = (at, key);
        let place = self.few.partition_point(|other| *other > entry);
        self.few.insert(place, entry);
        if self.few.len() > FEW {
            let (at, key) = self.few.remove(0);
            self.more.insert(key.clone(), at);
            self.more_by_time.insert((at, key));
        }
    }

    /// Sets `key` to `at` if `replaces` returns true for its current deadline.
    fn set_if(&mut self, key: K, at: Instant, replaces: impl FnOnce(Instant) -> bool) {
        if let Some(place) = self.place(&key) {
            if !replaces(self.few[place].0) {
                return;
            }
            self.few.remove(place);
        } else if let Some(old) = self.more.get(&key).copied() {
            if !replaces(old) {
                return;
            }
            self.cancel(&key);
        }
        self.insert(key, at);
    }

    /// Sets `key` to `at`, replacing an earlier deadline of the same key.
    pub fn set(&mut self, key: K, at: Instant) {
        self.set_if(key, at, |old| old != at);
    }

    /// Sets `key` to `at` unless its current deadline is earlier.
    pub fn set_earlier(&mut self, key: K, at: Instant) {
        self.set_if(key, at, |old| at < old);
    }

    /// Sets `key` to `at` if it has no deadline.
    pub fn set_if_unset(&mut self, key: K, at: Instant) {
        self.set_if(key, at, |_| false);
    }

    /// Removes the deadline of `key`. Returns whether there was such a deadline.
    pub fn cancel(&mut self, key: &K) -> bool {
        if let Some(place) = self.place(key) {
            self.few.remove(place);
            return true;
        }
        match self.more.remove(key) {
            Some(at) => self.more_by_time.remove(&(at, key.clone())),
            None => false,
        }
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn of(&self, key: &K) -> Option<Instant> {
        match self.place(key) {
            Some(place) => Some(self.few[place].0),
            None => self.more.get(key).copied(),
        }
    }

    fn first(&self) -> Option<&(Instant, K)> {
        match (self.few.last(), self.more_by_time.first()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| *at)
    }

    /// Removes and returns the earliest key whose deadline is at or before `now`, with that deadline.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let first = self.first().filter(|(at, _)| *at <= now)?;
        if self.few.last() == Some(first) {
            return self.few.pop();
        }
        let (at, key) = self.more_by_time.pop_first()?;
        self.more.remove(&key);
        Some((at, key))
    }

    /// The number of deadlines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.few.len() + self.more.len()
    }

    /// Whether there are no deadlines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.more.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_index_equals_a_brute_force_search(
            moves in prop::collection::vec((0_u8..60, 0_u64..50, any::<bool>()), 0..200),
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
