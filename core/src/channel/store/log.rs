//! The retained messages of one channel: the latest of each origin.
//!
//! Bounds: [`RETAINED_MAX`] messages and [`RETAINED_BYTES_MAX`] bytes per origin, of which the oldest is dropped first;
//! [`ORIGINS_MAX`] origins and [`CHANNEL_BYTES_MAX`] bytes per channel, above which further origins are refused.

use super::applied::{AppliedUpdate, share};
use crate::channel::message::Update;
use crate::identity::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Maximum number of retained messages of one origin.
pub const RETAINED_MAX: usize = 64;
/// Maximum number of bytes of retained messages of one origin; the latest message is always retained.
pub const RETAINED_BYTES_MAX: usize = 256 * 1024;
/// Maximum number of origins with retained messages on one channel.
const ORIGINS_MAX: usize = 1_024;
/// Bytes of retained messages on one channel above which further origins are refused.
const CHANNEL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Retained messages by origin, epoch and sequence number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MessageLog {
    origins: BTreeMap<NodeId, BTreeMap<(u64, u64), Arc<Update>>>,
    bytes: usize,
    hash: u64,
}

impl MessageLog {
    /// Adds a message. Returns [`AppliedUpdate::Old`] if the message is known or would be dropped at once.
    pub(super) fn insert(&mut self, update: &Arc<Update>) -> AppliedUpdate {
        let key = (update.id.epoch, update.id.sequence);
        let known = self.origins.contains_key(&update.id.origin);
        if !known && (self.origins.len() >= ORIGINS_MAX || self.bytes >= CHANNEL_BYTES_MAX) {
            return AppliedUpdate::Full;
        }
        let retained = self.origins.entry(update.id.origin.clone()).or_default();
        if retained.contains_key(&key) {
            return AppliedUpdate::Old;
        }
        // A message that would be dropped at once was either retained earlier, or is too old to be retained.
        let newer = retained
            .range(key..)
            .map(|(_, update)| update.payload.len());
        let (count, bytes) = newer.fold((0, update.payload.len()), |(count, bytes), len| {
            (count + 1, bytes + len)
        });
        if count >= RETAINED_MAX || count > 0 && bytes > RETAINED_BYTES_MAX {
            return AppliedUpdate::Old;
        }
        retained.insert(key, Arc::clone(update));
        self.hash = self.hash.wrapping_add(share(update.digest()));
        self.bytes += update.payload.len();
        let mut held: usize = retained.values().map(|update| update.payload.len()).sum();
        while retained.len() > 1 && (retained.len() > RETAINED_MAX || held > RETAINED_BYTES_MAX) {
            let Some((_, dropped)) = retained.pop_first() else {
                break;
            };
            held -= dropped.payload.len();
            self.bytes -= dropped.payload.len();
            self.hash = self.hash.wrapping_sub(share(dropped.digest()));
        }
        AppliedUpdate::Message
    }

    /// The messages by origin, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.origins.values().flat_map(BTreeMap::values)
    }

    /// Order-free hash of the retained messages.
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }
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
        assert_eq!(log.bytes, RETAINED_BYTES_MAX + 1);
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
