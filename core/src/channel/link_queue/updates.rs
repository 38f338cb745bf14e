//! Broadcasts waiting to be sent on one link.
//!
//! Bound: [`WAITING_BYTES_MAX`] bytes and one payload more. At the bound, updates of maps are dropped if later waiting
//! updates supersede all of their writes; if this is not enough, the oldest updates are dropped. The channels of
//! dropped oldest updates are recorded, and reconciled once the queue is empty.

use super::cost::{WAITING_BYTES_MAX, cost};
use crate::channel::message::{ChannelName, Kind, Update, UpdateId};
use crate::identity::NodeId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Waiting broadcasts, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct UpdateQueue {
    /// Each broadcast, and whether it is a repair: requested by the neighbour by digest, or missing from the
    /// neighbour's state.
    updates: VecDeque<(Arc<Update>, bool)>,
    bytes: usize,
    /// The waiting broadcasts that are not repairs.
    waiting: BTreeSet<UpdateId>,
    /// Channels of dropped broadcasts.
    needs_resync: BTreeSet<ChannelName>,
}

impl UpdateQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// Whether a further broadcast is accepted without dropping another broadcast.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < WAITING_BYTES_MAX
    }

    /// The broadcasts with payloads of more than `bytes` bytes that another node than `me` made.
    pub(super) fn relayed_above<'a>(
        &'a self,
        bytes: usize,
        me: &'a NodeId,
    ) -> impl Iterator<Item = &'a Update> {
        let any = self.bytes > bytes;
        let waiting = any.then_some(&self.updates).into_iter().flatten();
        waiting
            .map(|(update, _)| update.as_ref())
            .filter(move |update| update.payload.len() > bytes && update.id.origin != *me)
    }

    /// Adds a broadcast, unless it is already waiting. Returns the channels of broadcasts dropped to make room.
    pub(super) fn push(&mut self, update: &Arc<Update>, repair: bool) -> BTreeSet<ChannelName> {
        let mut dropped = BTreeSet::new();
        if !repair && !self.waiting.insert(update.id.clone()) {
            return dropped;
        }
        self.bytes += cost(&update.payload);
        self.updates.push_back((Arc::clone(update), repair));
        // The new payload itself may exceed the bound.
        let bound = WAITING_BYTES_MAX + cost(&update.payload);
        if self.bytes >= bound {
            self.drop_superseded();
        }
        while self.bytes >= bound {
            let Some((oldest, _)) = self.pop() else {
                break;
            };
            dropped.insert(oldest.id.channel.clone());
        }
        self.needs_resync.extend(dropped.iter().cloned());
        dropped
    }

    /// The oldest broadcast, and whether it is a repair.
    pub(super) fn front(&self) -> Option<(&Update, bool)> {
        let (update, repair) = self.updates.front()?;
        Some((update, *repair))
    }

    /// Removes the oldest broadcast and returns it.
    pub(super) fn pop(&mut self) -> Option<(Arc<Update>, bool)> {
        let (update, repair) = self.updates.pop_front()?;
        self.bytes -= cost(&update.payload);
        if !repair {
            self.waiting.remove(&update.id);
        }
        Some((update, repair))
    }

    /// Drops updates of maps if later waiting updates supersede all of their writes.
    pub(super) fn drop_superseded(&mut self) {
        let mut written: BTreeSet<(ChannelName, Arc<str>)> = BTreeSet::new();
        let mut kept = VecDeque::with_capacity(self.updates.len());
        while let Some((update, repair)) = self.updates.pop_back() {
            let mut needed = update.body.kind() != Kind::Map;
            for (entry, _) in update.writes() {
                needed |= written.insert((update.id.channel.clone(), Arc::clone(&entry.key)));
            }
            if needed {
                kept.push_front((update, repair));
            } else {
                self.bytes -= cost(&update.payload);
                if !repair {
                    self.waiting.remove(&update.id);
                }
            }
        }
        self.updates = kept;
    }

    /// Drops a broadcast that the neighbour holds. A repair of this broadcast is still sent.
    pub(super) fn remove(&mut self, id: &UpdateId) {
        if !self.waiting.remove(id) {
            return;
        }
        let bytes = &mut self.bytes;
        self.updates.retain(|(update, repair)| {
            let keep = *repair || update.id != *id;
            if !keep {
                *bytes -= cost(&update.payload);
            }
            keep
        });
    }

    /// Removes and returns the channels of dropped broadcasts, once the queue is empty.
    pub(super) fn take_needs_resync(&mut self) -> BTreeSet<ChannelName> {
        if self.updates.is_empty() {
            core::mem::take(&mut self.needs_resync)
        } else {
            BTreeSet::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, message, update_id, write};
    use proptest::prelude::*;

    fn sequences(queue: &UpdateQueue) -> Vec<u64> {
        queue
            .updates
            .iter()
            .map(|(update, _)| update.id.sequence)
            .collect()
    }

    #[test]
    fn a_broadcast_waits_once_and_repairs_wait_beside_it() {
        let mut queue = UpdateQueue::default();
        queue.push(&message("a", 1, 1), false);
        queue.push(&message("a", 1, 1), false);
        queue.push(&message("a", 1, 1), true);
        assert_eq!(sequences(&queue), [1, 1]);
        queue.remove(&message("a", 1, 1).id);
        assert_eq!(queue.front().map(|(_, repair)| repair), Some(true));
        assert!(queue.pop().is_some() && queue.is_empty());
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn superseded_writes_are_dropped_before_any_other_broadcast() {
        let mut queue = UpdateQueue::default();
        let half = WAITING_BYTES_MAX / 2;
        assert!(queue.push(&write(1, &["k"], half), false).is_empty());
        assert!(queue.push(&write(2, &["k"], half), false).is_empty());
        assert!(queue.push(&write(3, &["k"], half), false).is_empty());
        assert_eq!(
            sequences(&queue),
            [3],
            "the third write supersedes the others"
        );
        assert!(queue.take_needs_resync().is_empty());
    }

    #[test]
    fn the_oldest_broadcast_is_dropped_and_its_channel_reconciled_once_the_queue_is_empty() {
        let mut queue = UpdateQueue::default();
        queue.push(&message("a", 1, WAITING_BYTES_MAX / 2), false);
        queue.push(&write(2, &["x"], WAITING_BYTES_MAX - 1_000), false);
        let dropped = queue.push(&write(3, &["y"], 1), false);
        assert_eq!(dropped, BTreeSet::from([channel("chat")]));
        assert_eq!(sequences(&queue), [2, 3]);
        assert!(queue.take_needs_resync().is_empty(), "broadcasts wait");
        while queue.pop().is_some() {}
        assert_eq!(queue.take_needs_resync(), dropped);
        assert!(queue.take_needs_resync().is_empty());
    }

    proptest! {
        /// After any sequence of broadcasts, the byte count equals the cost of the waiting broadcasts and is within the
        /// bound.
        #[test]
        fn the_bytes_are_counted(
            moves in prop::collection::vec((1_u64..20, 0_usize..500_000, any::<bool>(), 0_u8..4), 0..60),
        ) {
            let mut queue = UpdateQueue::default();
            for (sequence, bytes, repair, what) in moves {
                match what {
                    0 => drop(queue.pop()),
                    1 => queue.remove(&update_id("kv", "a", sequence)),
                    _ => drop(queue.push(&write(sequence, &[&format!("k{}", sequence % 5)], bytes), repair)),
                }
                let counted: usize = queue.updates.iter().map(|(update, _)| cost(&update.payload)).sum();
                prop_assert_eq!(queue.bytes, counted);
                prop_assert!(counted < WAITING_BYTES_MAX + cost(&[0; 500_000]));
                let named: BTreeSet<_> = queue.updates.iter().filter(|(_, repair)| !repair).map(|(update, _)| update.id.clone()).collect();
                prop_assert_eq!(&named, &queue.waiting);
            }
        }
    }
}
