//! Duplicate detection: the broadcasts and messages received from each sender.
//!
//! Senders number their broadcasts and messages, from 1 in each epoch. A [`ReplayWindow`] tracks the latest [`WINDOW`]
//! numbers of an epoch individually and counts all lower numbers as received, like the replay window of IPsec (RFC
//! 4303).
//!
//! Bounds: [`TRACKED_MAX`] origins of broadcasts in all channels together, and as many senders of messages; data from
//! further origins and senders is refused. For each origin or sender, [`EPOCHS_MAX`] epochs are tracked, and the oldest
//! is dropped first.

use super::message::{ChannelName, UpdateId};
use crate::identity::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of tracked origins of broadcasts, in all channels together, and of tracked senders of messages. Data
/// from further origins and senders is refused.
pub const TRACKED_MAX: usize = 131_072;

/// Maximum number of tracked numbers of one epoch.
const WINDOW: usize = 512;
/// Maximum number of tracked epochs of one sender.
const EPOCHS_MAX: usize = 3;

/// Outcome of noting a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// The number was not received before.
    New,
    /// The number was received before.
    Duplicate,
    /// The maximum number of senders is tracked.
    Full,
}

/// The numbers received from one sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ReplayWindow {
    /// The epochs, in the order in which they were first received.
    epochs: Vec<Epoch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Epoch {
    epoch: u64,
    /// This number and all lower ones count as received.
    floor: u64,
    above: BTreeSet<u64>,
}

impl ReplayWindow {
    /// Whether a number was received, or is below the window.
    fn contains(&self, epoch: u64, number: u64) -> bool {
        self.epochs.iter().any(|known| {
            known.epoch == epoch && (number <= known.floor || known.above.contains(&number))
        })
    }

    /// Notes a number; returns false if it was received before.
    fn insert(&mut self, epoch: u64, number: u64) -> bool {
        if self.contains(epoch, number) {
            return false;
        }
        let at = self.track(epoch);
        let known = &mut self.epochs[at];
        known.above.insert(number);
        while known.above.len() > WINDOW {
            known.floor = known.above.pop_first().unwrap_or(known.floor);
        }
        known.advance();
        true
    }

    /// The sender resends no number below `floor`.
    fn raise(&mut self, epoch: u64, floor: u64) {
        let at = self.track(epoch);
        let known = &mut self.epochs[at];
        known.floor = known.floor.max(floor.saturating_sub(1));
        known.above = known.above.split_off(&known.floor.saturating_add(1));
        known.advance();
    }

    /// Returns the index of an epoch; starts to track the epoch if necessary.
    fn track(&mut self, epoch: u64) -> usize {
        let found = self.epochs.iter().position(|known| known.epoch == epoch);
        found.unwrap_or_else(|| {
            if self.epochs.len() >= EPOCHS_MAX {
                self.epochs.remove(0);
            }
            self.epochs.push(Epoch {
                epoch,
                floor: 0,
                above: BTreeSet::new(),
            });
            self.epochs.len() - 1
        })
    }
}

impl Epoch {
    /// Raises the floor past all received numbers that follow it without a gap.
    fn advance(&mut self) {
        while let Some(next) = self.floor.checked_add(1)
            && self.above.remove(&next)
        {
            self.floor = next;
        }
    }
}

/// The broadcasts and messages received.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dedup {
    broadcasts: BTreeMap<ChannelName, BTreeMap<NodeId, ReplayWindow>>,
    /// The number of origins of broadcasts, in all channels together.
    origins: usize,
    messages: BTreeMap<NodeId, ReplayWindow>,
}

impl Dedup {
    /// Whether a broadcast was received.
    pub(super) fn has_broadcast(&self, id: &UpdateId) -> bool {
        self.broadcasts
            .get(&id.channel)
            .and_then(|origins| origins.get(&id.origin))
            .is_some_and(|window| window.contains(id.epoch, id.sequence))
    }

    /// Notes a broadcast, numbered within `epoch` of its origin.
    pub(super) fn note_broadcast(&mut self, id: &UpdateId, epoch: u64) -> Noted {
        let origins = self.broadcasts.get(&id.channel);
        let known = origins.is_some_and(|origins| origins.contains_key(&id.origin));
        if !known && self.origins >= TRACKED_MAX {
            return Noted::Full;
        }
        self.origins += usize::from(!known);
        let origins = self.broadcasts.entry(id.channel.clone()).or_default();
        let window = origins.entry(id.origin.clone()).or_default();
        if window.insert(epoch, id.sequence) {
            Noted::New
        } else {
            Noted::Duplicate
        }
    }

    /// Forgets the broadcasts of a channel that the node no longer keeps.
    pub(super) fn forget(&mut self, channel: &ChannelName) {
        let origins = self.broadcasts.remove(channel);
        self.origins -= origins.map_or(0, |origins| origins.len());
    }

    /// The origins of broadcasts received on a channel, in order.
    pub(super) fn origins(&self, channel: &ChannelName) -> impl Iterator<Item = &NodeId> {
        let origins = self.broadcasts.get(channel);
        origins.into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether a sender of messages is tracked.
    pub(super) fn accepts_sender(&self, sender: &NodeId) -> bool {
        self.messages.contains_key(sender) || self.messages.len() < TRACKED_MAX
    }

    /// Whether a message was received.
    pub(super) fn has_message(&self, sender: &NodeId, epoch: u64, number: u64) -> bool {
        let window = self.messages.get(sender);
        window.is_some_and(|window| window.contains(epoch, number))
    }

    /// Notes a message; the sender of the message resends no number below `floor`.
    pub(super) fn note_message(&mut self, sender: &NodeId, epoch: u64, number: u64, floor: u64) {
        let window = self.messages.entry(sender.clone()).or_default();
        window.raise(epoch, floor);
        window.insert(epoch, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, id, update_id};
    use proptest::prelude::*;

    #[test]
    fn a_number_is_new_once_in_each_epoch() {
        let mut window = ReplayWindow::default();
        assert!(window.insert(1, 3));
        assert!(!window.insert(1, 3));
        assert!(window.insert(2, 3));
        assert!(window.insert(1, u64::MAX) && !window.insert(1, u64::MAX));
        window.raise(1, u64::MAX);
        assert!(window.contains(1, 77));
        assert!(!window.contains(2, 77));
    }

    #[test]
    fn the_oldest_epoch_is_forgotten_first() {
        let mut window = ReplayWindow::default();
        for epoch in 1..=4 {
            window.insert(epoch, 1);
        }
        assert!(!window.contains(1, 1));
        assert!((2..=4).all(|epoch| window.contains(epoch, 1)));
    }

    #[test]
    fn a_forgotten_channel_leaves_no_state() {
        let mut dedup = Dedup::default();
        let one = update_id("c", "a", 1);
        dedup.note_broadcast(&one, 1);
        dedup.forget(&one.channel);
        assert_eq!(dedup, Dedup::default());
    }

    #[test]
    fn a_broadcast_is_new_once_on_each_channel() {
        let mut dedup = Dedup::default();
        assert_eq!(
            dedup.note_broadcast(&update_id("one", "a", 1), 1),
            Noted::New
        );
        assert_eq!(
            dedup.note_broadcast(&update_id("two", "a", 1), 1),
            Noted::New
        );
        assert_eq!(
            dedup.note_broadcast(&update_id("one", "a", 1), 1),
            Noted::Duplicate
        );
        assert!(dedup.has_broadcast(&update_id("two", "a", 1)));
        assert!(!dedup.has_broadcast(&update_id("two", "a", 2)));
        assert_eq!(dedup.origins(&channel("one")).count(), 1);
        assert_eq!(dedup.origins, 2);
    }

    #[test]
    fn a_message_below_the_floor_counts_as_received() {
        let mut dedup = Dedup::default();
        let sender = id("a");
        assert!(dedup.accepts_sender(&sender));
        dedup.note_message(&sender, 1, 9, 7);
        assert!(dedup.has_message(&sender, 1, 6) && dedup.has_message(&sender, 1, 9));
        assert!(!dedup.has_message(&sender, 1, 8) && !dedup.has_message(&sender, 2, 9));
    }

    #[test]
    fn further_origins_are_refused_and_known_ones_are_not() {
        let mut dedup = Dedup::default();
        for origin in 0..TRACKED_MAX {
            dedup.note_broadcast(&update_id("one", &format!("n{origin}"), 1), 1);
        }
        let further = update_id("two", "further", 1);
        assert_eq!(dedup.note_broadcast(&further, 1), Noted::Full);
        assert!(!dedup.has_broadcast(&further));
        assert_eq!(
            dedup.note_broadcast(&update_id("one", "n7", 2), 1),
            Noted::New
        );
    }

    proptest! {
        /// Numbers that are close together are distinguished exactly, and the window stays within its bound.
        #[test]
        fn close_numbers_are_distinguished(numbers in prop::collection::vec(1_u64..400, 0..600)) {
            let mut window = ReplayWindow::default();
            let mut plain = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(window.insert(9, number), plain.insert(number));
                prop_assert!(window.epochs[0].above.len() <= WINDOW);
            }
        }
    }
}
