//! Duplicate and loss detection: the broadcasts and messages received from each sender.
//!
//! Senders number their broadcasts and messages, from 1 in each epoch. A [`ReplayWindow`] tracks the latest [`WINDOW`]
//! numbers of an epoch individually and counts all lower numbers as received, like the replay window of IPsec (RFC
//! 4303).
//!
//! A number between two received ones is missing. A missing number is lost, as part of a [`MissedRange`], when enough later
//! messages of its origin were received that no node retains it, or when no neighbour offered it for a while. Numbers
//! below the first one received of an origin are not missing: they are from before this node knew the origin.
//!
//! Bounds: [`TRACKED_MAX`] origins of broadcasts in all channels together, and as many senders of messages; data from
//! further origins and senders is refused. For each origin or sender, [`EPOCHS_MAX`] epochs are tracked, and the oldest
//! is dropped first. All windows together have [`RANGES_MAX`] ranges of numbers; above this, a window gives up its gaps:
//! the missing numbers count as received.

use super::message::{ChannelName, UpdateId};
use crate::identity::NodeId;
use crate::number_ranges::NumberRanges;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Maximum number of tracked origins of broadcasts, in all channels together, and of tracked senders of messages. Data
/// from further origins and senders is refused.
pub const TRACKED_MAX: usize = 32_768;

/// Maximum number of tracked numbers of one epoch.
const WINDOW: usize = 512;
/// Maximum number of tracked epochs of one sender.
const EPOCHS_MAX: usize = 3;
/// Maximum number of ranges of tracked numbers, of all windows together.
const RANGES_MAX: usize = 65_536;
/// Number of ranges that a window may have while more than half of all ranges are taken.
const RANGES_FEW: usize = 8;

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
    above: NumberRanges,
    /// This number and all lower ones are received, lost, or from before this node knew the origin.
    settled: u64,
}

/// Consecutive broadcasts of one origin that were not received and are not expected any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MissedRange {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Whether the broadcasts are the first ones after a restart of the origin. The number of those that were lost before
    /// the restart is not known then.
    pub(super) restarted: bool,
}

impl ReplayWindow {
    /// Whether a number was received, or is below the window.
    fn contains(&self, epoch: u64, number: u64) -> bool {
        self.epochs.iter().any(|known| {
            known.epoch == epoch && (number <= known.floor || known.above.contains(number))
        })
    }

    /// Notes a number; returns false if it was received before.
    fn insert(&mut self, epoch: u64, number: u64) -> bool {
        if self.contains(epoch, number) {
            return false;
        }
        let at = self.track(epoch, number);
        let known = &mut self.epochs[at];
        known.above.insert(number);
        if let Some(excess) = known.above.len().checked_sub(WINDOW + 1)
            && let Some(dropped) = known.above.nth(excess)
        {
            known.floor = dropped;
            known.above.remove_up_to(dropped);
        }
        known.advance();
        true
    }

    /// The sender resends no number below `floor`.
    fn raise(&mut self, epoch: u64, floor: u64) {
        let at = self.track(epoch, floor);
        let known = &mut self.epochs[at];
        known.floor = known.floor.max(floor.saturating_sub(1));
        known.above.remove_up_to(known.floor);
        known.advance();
    }

    /// Returns the index of an epoch; starts to track the epoch if necessary. `number` is received then.
    fn track(&mut self, epoch: u64, number: u64) -> usize {
        let found = self.epochs.iter().position(|known| known.epoch == epoch);
        found.unwrap_or_else(|| {
            // An origin that is known and restarts begins at 1 again. Otherwise this node joins its numbers here.
            let restarts = !self.epochs.is_empty() && self.epochs.iter().all(|it| it.epoch < epoch);
            if self.epochs.len() >= EPOCHS_MAX {
                self.epochs.remove(0);
            }
            // Most senders have one epoch.
            self.epochs.reserve_exact(1);
            self.epochs.push(Epoch {
                epoch,
                floor: 0,
                above: NumberRanges::default(),
                settled: if restarts {
                    0
                } else {
                    number.saturating_sub(1)
                },
            });
            self.epochs.len() - 1
        })
    }

    /// The missing numbers that `later` received numbers follow. Each is returned once.
    fn take_losses(&mut self, later: usize) -> Vec<MissedRange> {
        let mut losses = Vec::new();
        for at in 0..self.epochs.len() {
            let epoch = self.epochs[at].epoch;
            let newer = self.epochs.iter().filter(|it| it.epoch > epoch);
            let newer = newer.fold(0, |sum: usize, it| sum.saturating_add(it.received()));
            let is_first = !self.epochs.iter().any(|it| it.epoch < epoch);
            let later = later.saturating_sub(newer);
            while let Some((first, last)) = self.epochs[at].take_loss(later) {
                losses.push(MissedRange {
                    epoch,
                    first,
                    last,
                    restarted: first == 1 && !is_first,
                });
            }
        }
        losses.sort_unstable();
        losses
    }

    /// The number of ranges of numbers.
    fn ranges(&self) -> usize {
        self.epochs.iter().map(|it| it.above.ranges()).sum()
    }

    /// All missing numbers below the highest one of each epoch count as received. Returns the number of ranges that were
    /// given up.
    fn give_up_gaps(&mut self) -> usize {
        let ranges = self.ranges();
        for epoch in &mut self.epochs {
            epoch.floor = epoch.above.last().unwrap_or(epoch.floor);
            epoch.above = NumberRanges::default();
        }
        ranges
    }

    /// Whether a number is missing that is not lost yet.
    fn is_incomplete(&self) -> bool {
        self.epochs.iter().any(|it| it.ahead().next().is_some())
    }
}

impl Epoch {
    /// Raises the floor past all received numbers that follow it without a gap.
    fn advance(&mut self) {
        let next = self.floor.checked_add(1);
        if let Some(last) = next.and_then(|next| self.above.take_range_at(next)) {
            self.floor = last;
        }
    }

    /// The number of received numbers.
    fn received(&self) -> usize {
        let below = usize::try_from(self.floor).unwrap_or(usize::MAX);
        below.saturating_add(self.above.len())
    }

    /// The received numbers that follow a missing one.
    fn ahead(&self) -> impl Iterator<Item = u64> {
        let next = self.settled.checked_add(1);
        next.into_iter().flat_map(|next| self.above.from(next))
    }

    /// The first missing numbers, if `later` received numbers follow them.
    fn take_loss(&mut self, later: usize) -> Option<(u64, u64)> {
        self.settled = self.settled.max(self.floor);
        while let Some(next) = self.settled.checked_add(1)
            && self.above.contains(next)
        {
            self.settled = next;
        }
        let next = self.ahead().next()?;
        if self.ahead().take(later).count() < later {
            return None;
        }
        let lost = (self.settled + 1, next - 1);
        self.settled = next - 1;
        Some(lost)
    }
}

/// The broadcasts and messages received.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dedup {
    broadcasts: BTreeMap<ChannelName, BTreeMap<NodeId, ReplayWindow>>,
    /// The number of origins of broadcasts, in all channels together.
    origins: usize,
    /// The origins of messages of which numbers are missing, each with the time of its latest message.
    incomplete: BTreeMap<ChannelName, BTreeMap<NodeId, Instant>>,
    messages: BTreeMap<NodeId, ReplayWindow>,
    /// The number of ranges of all windows.
    ranges: usize,
}

/// Changes a window, and keeps the number of `ranges` of all windows within its bound.
fn change<T>(
    window: &mut ReplayWindow,
    ranges: &mut usize,
    change: impl FnOnce(&mut ReplayWindow) -> T,
) -> T {
    let before = window.ranges();
    let result = change(window);
    let after = window.ranges();
    *ranges = *ranges + after - before;
    if *ranges > RANGES_MAX || *ranges > RANGES_MAX / 2 && after > RANGES_FEW {
        *ranges -= window.give_up_gaps();
    }
    result
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
        let is_new = change(window, &mut self.ranges, |window| {
            window.insert(epoch, id.sequence)
        });
        if is_new { Noted::New } else { Noted::Duplicate }
    }

    /// Forgets the broadcasts of a channel that the node no longer keeps.
    pub(super) fn forget(&mut self, channel: &ChannelName) {
        let origins = self.broadcasts.remove(channel);
        self.incomplete.remove(channel);
        let origins = origins.unwrap_or_default();
        self.origins -= origins.len();
        self.ranges -= origins.values().map(ReplayWindow::ranges).sum::<usize>();
    }

    /// The broadcasts of an origin that are lost because `later` received broadcasts of the origin follow them. Each is
    /// returned once.
    pub(super) fn take_losses(
        &mut self,
        channel: &ChannelName,
        origin: &NodeId,
        later: usize,
        now: Instant,
    ) -> Vec<MissedRange> {
        let origins = self.broadcasts.get_mut(channel);
        let Some(window) = origins.and_then(|origins| origins.get_mut(origin)) else {
            return Vec::new();
        };
        let losses = window.take_losses(later);
        if window.is_incomplete() {
            let incomplete = self.incomplete.entry(channel.clone()).or_default();
            incomplete.insert(origin.clone(), now);
        } else if let Some(incomplete) = self.incomplete.get_mut(channel) {
            incomplete.remove(origin);
        }
        losses
    }

    /// The missing broadcasts of the origins from which no message arrived since `until`: they are lost because no
    /// neighbour offered them since then.
    pub(super) fn take_missing(
        &mut self,
        channel: &ChannelName,
        until: Instant,
    ) -> Vec<(NodeId, MissedRange)> {
        let (Some(incomplete), Some(origins)) = (
            self.incomplete.get_mut(channel),
            self.broadcasts.get_mut(channel),
        ) else {
            return Vec::new();
        };
        let at_rest = incomplete.extract_if(.., |_, latest| *latest <= until);
        let mut missing = Vec::new();
        for (origin, _) in at_rest {
            if let Some(window) = origins.get_mut(&origin) {
                let losses = window.take_losses(0).into_iter();
                missing.extend(losses.map(|loss| (origin.clone(), loss)));
            }
        }
        missing
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
        change(window, &mut self.ranges, |window| {
            window.raise(epoch, floor);
            window.insert(epoch, number)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::tests::sample::{channel, id, update_id};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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

    #[test]
    fn messages_of_further_senders_are_refused_and_those_of_known_ones_are_not() {
        let mut dedup = Dedup::default();
        for sender in 0..TRACKED_MAX {
            dedup.note_message(&id(&format!("n{sender}")), 1, 1, 1);
        }
        assert!(!dedup.accepts_sender(&id("further")));
        assert!(dedup.accepts_sender(&id("n7")));
    }

    #[test]
    fn windows_with_many_gaps_give_them_up_and_those_with_few_keep_them() {
        let mut dedup = Dedup::default();
        let few = |origin: u64, sequence| update_id("chat", &format!("few{origin}"), sequence);
        for origin in 0..1_000_u64 {
            dedup.note_broadcast(&few(origin, 1), 1);
            dedup.note_broadcast(&few(origin, 3), 1);
            for number in 1..=200 {
                let gaps = update_id("chat", &format!("gaps{origin}"), 2 * number);
                dedup.note_broadcast(&gaps, 1);
                dedup.note_message(&id("sender"), origin, 2 * number, 1);
                assert!(dedup.ranges <= RANGES_MAX);
            }
        }
        let windows = dedup.broadcasts.values().flat_map(BTreeMap::values);
        let counted = windows.chain(dedup.messages.values());
        assert_eq!(dedup.ranges, counted.map(ReplayWindow::ranges).sum());
        assert!(dedup.ranges > RANGES_MAX / 2);
        assert!(!dedup.has_broadcast(&few(999, 2)) && dedup.has_broadcast(&few(999, 3)));
        assert!(dedup.has_broadcast(&update_id("chat", "gaps999", 7)));
        dedup.forget(&channel("chat"));
        dedup.messages.clear();
        assert!(dedup.ranges < WINDOW * EPOCHS_MAX);
    }

    /// The losses of a window, as ranges of numbers, after each number was received in turn.
    fn lost(window: &mut ReplayWindow, numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
        let mut lost = Vec::new();
        for number in numbers {
            window.insert(2, number);
            let losses = window.take_losses(4).into_iter();
            lost.extend(losses.map(|loss| (loss.first, loss.last)));
        }
        lost
    }

    #[test]
    fn missing_numbers_are_lost_once_enough_later_ones_are_received() {
        let mut window = ReplayWindow::default();
        assert_eq!(lost(&mut window, [1, 2, 3]), []);
        // A cut; the later ones arrive in another order.
        assert_eq!(lost(&mut window, [22, 23, 20]), []);
        assert!(window.is_incomplete());
        assert_eq!(lost(&mut window, [21]), [(4, 19)]);
        assert!(!window.is_incomplete());
        assert_eq!(lost(&mut window, [25, 24]), [], "it was late");
        assert_eq!(
            lost(&mut window, [27, 29, 30, 31, 32]),
            [(26, 26), (28, 28)]
        );
        assert_eq!(lost(&mut window, [26, 28]), [], "they were returned before");
    }

    #[test]
    fn numbers_from_before_the_first_one_received_are_not_lost() {
        let mut window = ReplayWindow::default();
        assert_eq!(lost(&mut window, [50, 52, 49, 51, 48, 53, 54]), []);
        window.insert(1, 7);
        window.insert(1, 9);
        let earlier = window.take_losses(4);
        let loss = MissedRange {
            epoch: 1,
            first: 8,
            last: 8,
            restarted: false,
        };
        assert_eq!(earlier, [loss], "all numbers of a later epoch follow it");
        window.insert(2, u64::MAX);
        assert_eq!(window.take_losses(0).len(), 1);
        assert_eq!(window.take_losses(0), []);
    }

    #[test]
    fn after_a_restart_of_the_origin_all_numbers_below_the_first_are_lost() {
        let mut window = ReplayWindow::default();
        for (epoch, number) in [(1, 5), (1, 6), (3, 1), (7, 4), (7, 6)] {
            window.insert(epoch, number);
        }
        assert_eq!(window.take_losses(3), [], "two numbers follow");
        let loss = |first, last, restarted| MissedRange {
            epoch: 7,
            first,
            last,
            restarted,
        };
        assert_eq!(window.take_losses(0), [loss(1, 3, true), loss(5, 5, false)]);
    }

    #[test]
    fn the_missing_broadcasts_of_a_channel_are_taken_once() {
        let (mut dedup, now) = (Dedup::default(), Instant::from_millis(7));
        let chat = channel("chat");
        for (origin, sequence) in [("a", 1), ("a", 4), ("b", 1), ("b", 2)] {
            dedup.note_broadcast(&update_id("chat", origin, sequence), 1);
            assert_eq!(dedup.take_losses(&chat, &id(origin), 64, now), []);
        }
        assert_eq!(dedup.incomplete[&chat], [(id("a"), now)].into());
        let before = Instant::from_millis(6);
        assert_eq!(dedup.take_missing(&chat, before), []);
        let loss = MissedRange {
            epoch: 1,
            first: 2,
            last: 3,
            restarted: false,
        };
        assert_eq!(dedup.take_missing(&chat, now), [(id("a"), loss)]);
        assert_eq!(dedup.take_missing(&chat, now), []);
        dedup.note_broadcast(&update_id("chat", "a", 6), 1);
        dedup.take_losses(&chat, &id("a"), 64, now);
        dedup.forget(&chat);
        assert_eq!(dedup, Dedup::default());
    }

    proptest! {
        /// In any order of arrival, each number from the first one received is received or lost. A number is lost once, and
        /// only while it is missing.
        #[test]
        fn each_number_is_received_or_lost(numbers in prop::collection::vec(1_u64..200, 1..150), later in 1_usize..9) {
            let mut window = ReplayWindow::default();
            let (mut received, mut lost) = (BTreeSet::new(), BTreeSet::new());
            for number in &numbers {
                let known = window.epochs.first().map_or(0, |it| it.settled);
                if window.insert(9, *number) {
                    received.insert(*number);
                }
                for loss in window.take_losses(later) {
                    for gone in loss.first..=loss.last {
                        prop_assert!(gone > known && !received.contains(&gone));
                        prop_assert!(received.range(gone..).count() >= later);
                        prop_assert!(lost.insert(gone), "{} twice", gone);
                    }
                }
            }
            let last = received.last().copied().unwrap_or(0);
            for loss in window.take_losses(0) {
                lost.extend(loss.first..=loss.last);
            }
            for number in numbers[0]..=last {
                prop_assert!(received.contains(&number) || lost.contains(&number), "{}", number);
            }
        }

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
