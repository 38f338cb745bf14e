//! The retained messages of one channel: the latest of each origin.
//!
//! Bounds: [`RETAINED_MAX`] messages and [`RETAINED_BYTES_MAX`] bytes per origin, of which the oldest is dropped first;
//! [`ORIGINS_MAX`] origins per channel, above which further origins are refused. The caller bounds the bytes of all
//! channels together, and drops the largest messages first: the retained messages then depend on the set of all
//! messages alone, and not on their order of arrival.

use super::applied::{AppliedUpdate, ELEMENT_BYTES, share};
use crate::channel::message::Update;
use crate::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Maximum number of retained messages of one origin.
pub const RETAINED_MAX: usize = 64;
/// Maximum number of bytes of retained messages of one origin; the latest message is always retained.
pub const RETAINED_BYTES_MAX: usize = 256 * 1024;
/// Maximum number of origins with retained messages on one channel.
const ORIGINS_MAX: usize = 1_024;
/// Epoch and sequence number of a message.
type MessageKey = (u64, u64);

/// A retained message.
#[derive(Clone, Debug, PartialEq)]
struct Retained {
    update: Arc<Update>,
    /// [`Update::digest`], which is costly for large payloads.
    digest: u64,
}

/// Retained messages by origin, epoch and sequence number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MessageLog {
    origins: BTreeMap<NodeId, BTreeMap<MessageKey, Retained>>,
    /// All messages by their size.
    sizes: BTreeSet<(usize, NodeId, MessageKey)>,
    /// The memory of all messages, in bytes.
    bytes: usize,
    hash: u64,
}

impl MessageLog {
    /// Adds a message. Returns [`AppliedUpdate::Old`] if the message is known or would be dropped at once.
    pub(super) fn insert(&mut self, update: &Arc<Update>) -> AppliedUpdate {
        let key = (update.id.epoch, update.id.sequence);
        let known = self.origins.contains_key(&update.id.origin);
        if !known && self.origins.len() >= ORIGINS_MAX {
            return AppliedUpdate::Full;
        }
        let retained = self.origins.entry(update.id.origin.clone()).or_default();
        if retained.contains_key(&key) {
            return AppliedUpdate::Old;
        }
        // A message that would be dropped at once was either retained earlier, or is too old to be retained.
        let newer = retained
            .range(key..)
            .map(|(_, newer)| newer.update.payload.len());
        let (count, bytes) = newer.fold((0, update.payload.len()), |(count, bytes), len| {
            (count + 1, bytes + len)
        });
        if count >= RETAINED_MAX || count > 0 && bytes > RETAINED_BYTES_MAX {
            return AppliedUpdate::Old;
        }
        let mut held = update.payload.len();
        held += retained
            .values()
            .map(|it| it.update.payload.len())
            .sum::<usize>();
        let mut dropped = Vec::new();
        let mut count = retained.len() + 1;
        for (oldest, it) in retained.iter() {
            if count <= RETAINED_MAX && held <= RETAINED_BYTES_MAX {
                break;
            }
            held -= it.update.payload.len();
            count -= 1;
            dropped.push(*oldest);
        }
        for oldest in dropped {
            self.remove(&update.id.origin, oldest);
        }
        self.add(update, key);
        AppliedUpdate::Message
    }

    fn add(&mut self, update: &Arc<Update>, key: MessageKey) {
        let digest = update.digest();
        let origin = update.id.origin.clone();
        self.hash = self.hash.wrapping_add(share(digest));
        self.bytes += size(update);
        self.sizes.insert((size(update), origin.clone(), key));
        let retained = Retained {
            update: Arc::clone(update),
            digest,
        };
        self.origins
            .entry(origin)
            .or_default()
            .insert(key, retained);
    }

    fn remove(&mut self, origin: &NodeId, key: MessageKey) {
        let Some(retained) = self.origins.get_mut(origin) else {
            return;
        };
        let Some(dropped) = retained.remove(&key) else {
            return;
        };
        if retained.is_empty() {
            self.origins.remove(origin);
        }
        let size = size(&dropped.update);
        self.bytes -= size;
        self.sizes.remove(&(size, origin.clone(), key));
        self.hash = self.hash.wrapping_sub(share(dropped.digest));
    }

    /// The memory of the messages, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory of the messages of one origin, in bytes.
    pub(crate) fn bytes_of(&self, origin: &NodeId) -> usize {
        let retained = self.origins.get(origin).into_iter().flatten();
        retained.map(|(_, it)| size(&it.update)).sum()
    }

    /// The largest message, of one origin if one is given.
    pub(crate) fn largest(&self, origin: Option<&NodeId>) -> Option<LargestMessage> {
        let Some(origin) = origin else {
            return self.sizes.last().cloned();
        };
        let retained = self.origins.get(origin)?.iter();
        retained
            .map(|(key, it)| (size(&it.update), origin.clone(), *key))
            .max()
    }

    /// Drops a message.
    pub(super) fn drop_message(&mut self, (_, origin, key): &LargestMessage) {
        self.remove(origin, *key);
    }

    /// Whether a message is retained.
    pub(crate) fn holds(&self, update: &Update) -> bool {
        let key = (update.id.epoch, update.id.sequence);
        self.message(&update.id.origin, key).is_some()
    }

    /// The message of an origin with this epoch and sequence number.
    pub(super) fn message(&self, origin: &NodeId, key: MessageKey) -> Option<&Arc<Update>> {
        Some(&self.origins.get(origin)?.get(&key)?.update)
    }

    /// The messages by origin, oldest first, with their digests.
    pub(super) fn digests(&self) -> impl Iterator<Item = (u64, &Arc<Update>)> {
        let retained = self.origins.values().flat_map(BTreeMap::values);
        retained.map(|it| (it.digest, &it.update))
    }

    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// The messages by origin, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.digests().map(|(_, update)| update)
    }

    /// Order-free hash of the retained messages.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }
}

/// A message by its size, its origin, and its epoch and sequence number.
pub(crate) type LargestMessage = (usize, NodeId, MessageKey);

/// The memory of a message, in bytes.
fn size(update: &Update) -> usize {
    update.payload.len() + ELEMENT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::message;
    use proptest::prelude::*;

    #[test]
    fn the_latest_messages_of_an_origin_are_retained() {
        let mut log = MessageLog::default();
        for sequence in 1..=RETAINED_MAX as u64 + 5 {
            assert_eq!(
                log.insert(&message("a", sequence, 1)),
                AppliedUpdate::Message
            );
        }
        assert_eq!(log.iter().count(), RETAINED_MAX);
        assert_eq!(
            log.insert(&message("a", 3, 1)),
            AppliedUpdate::Old,
            "it was dropped"
        );
        assert_eq!(
            log.insert(&message("a", 9, 1)),
            AppliedUpdate::Old,
            "it is retained"
        );
    }

    #[test]
    fn a_message_above_the_bytes_of_an_origin_replaces_all_others() {
        let mut log = MessageLog::default();
        log.insert(&message("a", 1, 10));
        log.insert(&message("a", 2, RETAINED_BYTES_MAX + 1));
        let sequences: Vec<u64> = log.iter().map(|update| update.id.sequence).collect();
        assert_eq!(sequences, [2]);
        assert_eq!(log.bytes(), RETAINED_BYTES_MAX + 1 + ELEMENT_BYTES);
    }

    #[test]
    fn a_full_log_refuses_further_origins_only() {
        let mut log = MessageLog::default();
        for origin in 0..ORIGINS_MAX {
            log.insert(&message(&format!("n{origin}"), 1, 1));
        }
        assert_eq!(log.insert(&message("late", 1, 1)), AppliedUpdate::Full);
        assert_eq!(log.insert(&message("n7", 2, 1)), AppliedUpdate::Message);
    }

    proptest! {
        /// Nodes that received the same messages retain the same messages, whatever the order.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            sequences in prop::collection::btree_set(1_u64..90, 0..80),
            seed in any::<u64>(),
        ) {
            let mut sequences: Vec<u64> = sequences.into_iter().collect();
            let (mut one, mut other) = (MessageLog::default(), MessageLog::default());
            for sequence in &sequences {
                one.insert(&message("a", *sequence, 1));
            }
            crate::random::Random::from_seed(seed).shuffle(&mut sequences);
            for sequence in &sequences {
                other.insert(&message("a", *sequence, 1));
            }
            prop_assert_eq!(one.hash(), other.hash());
            prop_assert_eq!(one, other);
        }
    }
}
