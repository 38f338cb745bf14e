//! A replicated map: the latest write of each key wins.
//!
//! Deleted keys are kept with the version of the deletion, so that an older write does not restore them.
//!
//! Bounds: [`KEYS_MAX`] keys and [`MAP_BYTES_MAX`] bytes for writes of this node's applications. Writes of other nodes
//! may use twice as much, so that there is nearly always room for them. At most [`DELETED_MAX`] deleted keys are kept;
//! the oldest deletion is dropped first.

use super::applied::{AppliedUpdate, ELEMENT_BYTES, Rule, share};
use super::entry::{MapChange, MapEntry};
use crate::channel::message::{Update, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of keys that an application may write into one map.
pub const KEYS_MAX: usize = 16_384;
/// Maximum number of deleted keys kept in one map.
const DELETED_MAX: usize = 4_096;
/// Maximum number of bytes of values that an application may write into one map.
pub const MAP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A current write, with its digest, which is costly for large values.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    entry: MapEntry,
    digest: u64,
}

/// Keys and their current writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReplicatedMap {
    entries: BTreeMap<Arc<str>, Held>,
    /// Deleted keys by the version of the deletion; one version may have deleted several keys.
    deleted: BTreeSet<(Version, Arc<str>)>,
    /// Bytes of the values.
    bytes: usize,
    /// Bytes of the keys.
    key_bytes: usize,
    /// The highest clock of all writes received.
    clock: u64,
    hash: u64,
}

impl ReplicatedMap {
    /// Applies the writes of an update. Writes for which there is no room are skipped, and the others are applied.
    ///
    /// The map may grow by `room` bytes. A write of a value that is larger than the current one is skipped above that.
    pub(super) fn apply(&mut self, update: &Update, rule: Rule, room: usize) -> AppliedUpdate {
        let bytes_max = self.memory().saturating_add(room);
        let version = update.version();
        self.clock = self.clock.max(version.clock);
        let mut changes = Vec::new();
        let mut full = false;
        for (write, value) in update.writes() {
            let entry = MapEntry {
                version: version.clone(),
                over: write.over.clone(),
                value: value.map(|value| shared(update, value)),
            };
            let current = self.entries.get(&write.key);
            if current.is_some_and(|current| rule.keeps(&current.entry.version, &entry.version)) {
                continue;
            }
            let grows = length(&entry).saturating_sub(current.map_or(0, |it| length(&it.entry)));
            let has_room = current.is_some()
                || self.entries.len() < 2 * (KEYS_MAX + DELETED_MAX)
                    && self.bytes < 2 * MAP_BYTES_MAX;
            let needs = match current {
                Some(_) => grows,
                None => grows + write.key.len() + ELEMENT_BYTES,
            };
            if !has_room || needs > 0 && self.memory() + needs > bytes_max {
                full = true;
                continue;
            }
            let replaced = self.put(&write.key, entry.clone());
            changes.push(MapChange {
                key: Arc::clone(&write.key),
                entry,
                replaced,
            });
        }
        while self.deleted.len() > DELETED_MAX {
            let Some((_, key)) = self.deleted.pop_first() else {
                break;
            };
            if let Some(held) = self.entries.remove(&key) {
                self.hash = self.hash.wrapping_sub(share(held.digest));
                self.key_bytes -= key.len();
            }
        }
        match (changes.is_empty(), full) {
            (false, _) => AppliedUpdate::Changed(changes),
            (true, false) => AppliedUpdate::Old,
            (true, true) => AppliedUpdate::Full,
        }
    }

    fn put(&mut self, key: &Arc<str>, entry: MapEntry) -> Option<MapEntry> {
        let digest = entry.digest(key);
        self.hash = self.hash.wrapping_add(share(digest));
        self.bytes += length(&entry);
        if entry.value.is_none() {
            self.deleted
                .insert((entry.version.clone(), Arc::clone(key)));
        }
        let replaced = self.entries.insert(Arc::clone(key), Held { entry, digest });
        let Some(Held { entry, digest }) = replaced else {
            self.key_bytes += key.len();
            return None;
        };
        self.hash = self.hash.wrapping_sub(share(digest));
        self.bytes -= length(&entry);
        if entry.value.is_none() {
            self.deleted
                .remove(&(entry.version.clone(), Arc::clone(key)));
        }
        Some(entry)
    }

    /// The memory of the map, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.key_bytes + self.entries.len() * ELEMENT_BYTES
    }

    /// The number of keys, including deleted ones.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The current write of a key, even if the write is a deletion.
    pub(crate) fn entry(&self, key: &str) -> Option<&MapEntry> {
        self.entries.get(key).map(|held| &held.entry)
    }

    /// Whether the writes of an update are the current ones.
    pub(super) fn holds(&self, update: &Update) -> bool {
        let version = update.version();
        let mut writes = update.writes();
        writes.all(|(write, _)| {
            let current = self.entry(&write.key);
            current.is_some_and(|current| current.version == version)
        })
    }

    /// A key with its current write, even if the write is a deletion.
    pub(super) fn key_and_entry(&self, key: &str) -> Option<(&Arc<str>, &MapEntry)> {
        let (key, held) = self.entries.get_key_value(key)?;
        Some((key, &held.entry))
    }

    /// All keys with their current writes and digests, including deletions, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &Arc<str>, &MapEntry)> {
        let held = self.entries.iter();
        held.map(|(key, held)| (held.digest, key, &held.entry))
    }

    /// The keys that have a value, with their current writes, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&Arc<str>, &MapEntry)> {
        self.entries()
            .map(|(_, key, entry)| (key, entry))
            .filter(|(_, entry)| entry.value.is_some())
    }

    /// Whether an application may write `bytes` more bytes under `keys` more keys.
    pub(crate) fn has_room(&self, keys: usize, bytes: usize) -> bool {
        self.entries.len() - self.deleted.len() + keys <= KEYS_MAX
            && self.bytes + bytes <= MAP_BYTES_MAX
    }

    /// The clock of the next write, which is higher than every clock received (Lamport, CACM 1978).
    pub(crate) const fn next_clock(&self) -> u64 {
        self.clock + 1
    }

    /// Order-free hash of the entries.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }
}

/// The value of a write of an update. The only value of an update shares its memory.
fn shared(update: &Update, value: &[u8]) -> Arc<[u8]> {
    if value.len() == update.payload.len() {
        Arc::clone(&update.payload)
    } else {
        Arc::from(value)
    }
}

/// The length of the value of a write, in bytes.
fn length(entry: &MapEntry) -> usize {
    entry.value.as_ref().map_or(0, |value| value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, deletion, write};
    use proptest::prelude::*;

    fn update(sequence: u64, keys: &[&str]) -> Arc<Update> {
        write(sequence, keys, 1)
    }

    #[test]
    fn writes_of_an_update_that_fit_are_applied_without_the_others() {
        let mut map = ReplicatedMap::default();
        let full = 2 * (KEYS_MAX + DELETED_MAX);
        for sequence in 1..=full {
            let key = format!("k{sequence}");
            map.apply(
                &update(sequence as u64, &[&key]),
                Rule::LaterWins,
                usize::MAX,
            );
        }
        let over = update(1 << 40, &["k1", "new"]);
        let AppliedUpdate::Changed(changes) = map.apply(&over, Rule::LaterWins, usize::MAX) else {
            panic!("a key that is there has room");
        };
        assert_eq!(changes.len(), 1);
        assert_eq!(&*changes[0].key, "k1");
        assert_eq!(map.entry("new"), None);
        let over = update(1 << 41, &["new"]);
        assert_eq!(
            map.apply(&over, Rule::LaterWins, usize::MAX),
            AppliedUpdate::Full
        );
    }

    #[test]
    fn a_deleted_key_is_not_brought_back_by_an_older_write() {
        let mut map = ReplicatedMap::default();
        map.apply(&update(1, &["k"]), Rule::LaterWins, usize::MAX);
        map.apply(&deletion(3, "k"), Rule::LaterWins, usize::MAX);
        assert_eq!(
            map.apply(&update(2, &["k"]), Rule::LaterWins, usize::MAX),
            AppliedUpdate::Old
        );
        assert_eq!(map.values().count(), 0);
        assert_eq!(map.entry("k").map(|entry| entry.version.sequence), Some(3));
        assert_eq!(map.next_clock(), 4);
    }

    #[test]
    fn an_element_is_an_update_with_the_same_effect() {
        let mut map = ReplicatedMap::default();
        map.apply(&update(5, &["one", "two"]), Rule::LaterWins, usize::MAX);
        map.apply(&deletion(6, "two"), Rule::LaterWins, usize::MAX);
        let mut copy = ReplicatedMap::default();
        for (_, key, entry) in map.entries() {
            copy.apply(
                &entry.to_update(&channel("kv"), key),
                Rule::LaterWins,
                usize::MAX,
            );
        }
        assert_eq!(copy, map);
    }

    #[test]
    fn a_write_above_the_room_is_skipped_even_if_its_key_exists() {
        let mut map = ReplicatedMap::default();
        map.apply(&write(1, &["k"], 10), Rule::LaterWins, usize::MAX);
        let larger = write(2, &["k"], 1_000);
        assert_eq!(
            map.apply(&larger, Rule::LaterWins, 500),
            AppliedUpdate::Full
        );
        let smaller = write(3, &["k"], 5);
        let applied = map.apply(&smaller, Rule::LaterWins, 0);
        assert!(matches!(applied, AppliedUpdate::Changed(_)), "{applied:?}");
        assert_eq!(map.memory(), 5 + 1 + ELEMENT_BYTES);
    }

    proptest! {
        /// Maps that received the same writes are equal, whatever the order, and the hash equals the sum over the
        /// entries.
        #[test]
        fn the_order_of_writes_does_not_matter(
            writes in prop::collection::vec((0_u8..6, any::<bool>()), 0..40),
            seed in any::<u64>(),
        ) {
            let mut updates: Vec<_> = writes
                .iter()
                .zip(1..)
                .map(|((key, deletes), sequence)| {
                    let key = format!("k{key}");
                    if *deletes { deletion(sequence, &key) } else { update(sequence, &[&key]) }
                })
                .collect();
            let (mut one, mut other) = (ReplicatedMap::default(), ReplicatedMap::default());
            for update in &updates {
                one.apply(update, Rule::LaterWins, usize::MAX);
            }
            crate::random::Random::from_seed(seed).shuffle(&mut updates);
            for update in &updates {
                other.apply(update, Rule::LaterWins, usize::MAX);
            }
            let sum = one
                .entries()
                .fold(0_u64, |sum, (_, key, entry)| sum.wrapping_add(share(entry.digest(key))));
            prop_assert_eq!(one.hash(), sum);
            prop_assert_eq!(one, other);
        }
    }
}
