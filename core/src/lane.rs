//! Lanes: the order in which the messages waiting on one link are sent.
//!
//! A link has four lanes. A message of an earlier [`Lane`] overtakes those of later lanes, so that a snapshot does not
//! delay heartbeats, and application data delays neither. Within a lane messages keep their order. Some messages must
//! not overtake messages sent before them; [`Placement`] marks such messages.

use std::collections::VecDeque;

/// A class of messages on a link. Earlier lanes are sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Handshakes, heartbeats, updates and repairs of the mesh.
    Control,
    /// Reconciliation of whole views.
    Bulk,
    /// Signals of data paths.
    DataPath,
    /// Data of application channels.
    Channel,
}

impl Lane {
    /// All lanes, in the order of sending.
    pub const ALL: [Self; 4] = [Self::Control, Self::Bulk, Self::DataPath, Self::Channel];

    const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Bulk => 1,
            Self::DataPath => 2,
            Self::Channel => 3,
        }
    }
}

/// The lane in which a message waits, and the lanes that it must not overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    lane: Lane,
    last: Lane,
}

impl Placement {
    /// A message of `lane`.
    #[must_use]
    pub const fn of(lane: Lane) -> Self {
        Self { lane, last: lane }
    }

    /// A message of `lane` that does not overtake waiting messages of the lanes up to `last`.
    #[must_use]
    pub const fn behind(lane: Lane, last: Lane) -> Self {
        Self { lane, last }
    }

    /// The message's lane.
    #[must_use]
    pub const fn lane(self) -> Lane {
        self.lane
    }
}

/// The messages waiting on one link, by lane. The caller bounds the number of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes<T> {
    queues: [VecDeque<T>; Lane::ALL.len()],
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Lanes<T> {
    /// No messages.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queues: [const { VecDeque::new() }; Lane::ALL.len()],
        }
    }

    /// Appends a message to its lane.
    pub fn push(&mut self, placement: Placement, message: T) {
        let Placement { lane, last } = placement;
        let overtaken = lane.index() + 1..=last.index();
        let at = overtaken
            .rev()
            .find(|at| !self.queues[*at].is_empty())
            .unwrap_or(lane.index());
        self.queues[at].push_back(message);
    }

    /// Removes the next message to send.
    pub fn pop(&mut self) -> Option<T> {
        self.queues.iter_mut().find_map(VecDeque::pop_front)
    }

    /// The next message to send.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.queues.iter().find_map(VecDeque::front)
    }

    /// The number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Whether no messages are waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(VecDeque::is_empty)
    }

    /// Drops all messages.
    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn sent(messages: &[(Placement, u32)]) -> Vec<u32> {
        let mut lanes = Lanes::new();
        for (placement, message) in messages {
            lanes.push(*placement, *message);
        }
        std::iter::from_fn(|| lanes.pop()).collect()
    }

    #[test]
    fn earlier_lanes_are_sent_first_and_each_in_order() {
        let of = |lane| move |message| (Placement::of(lane), message);
        let [control, bulk, path, channel] = Lane::ALL.map(of);
        let messages = [
            channel(7),
            path(5),
            bulk(3),
            control(1),
            channel(8),
            path(6),
            bulk(4),
            control(2),
        ];
        assert_eq!(sent(&messages), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_message_waits_behind_the_last_lane_that_it_must_not_overtake() {
        let behind = |last| Placement::behind(Lane::Control, last);
        let channel = (Placement::of(Lane::Channel), 9);
        let bulk = (Placement::of(Lane::Bulk), 3);
        let path = (Placement::of(Lane::DataPath), 5);
        let hash = (behind(Lane::Bulk), 4);
        let goodbye = (behind(Lane::Channel), 10);
        let control = (Placement::of(Lane::Control), 1);
        assert_eq!(sent(&[channel, bulk, hash, control]), [1, 3, 4, 9]);
        assert_eq!(sent(&[channel, hash, control]), [4, 1, 9]);
        assert_eq!(sent(&[channel, goodbye, path, control]), [1, 5, 9, 10]);
        assert_eq!(sent(&[path, goodbye, control]), [1, 5, 10]);
        assert_eq!(sent(&[goodbye, control]), [10, 1]);
    }

    fn lane() -> impl Strategy<Value = Lane> {
        (0..Lane::ALL.len()).prop_map(|at| Lane::ALL[at])
    }

    proptest! {
        #[test]
        fn a_message_overtakes_only_messages_of_lanes_after_its_last(
            placements in vec((lane(), lane()), 0..30), pops in vec(any::<bool>(), 0..30),
        ) {
            let mut lanes = Lanes::new();
            let mut sent = Vec::new();
            let mut pops = pops.into_iter();
            let all: Vec<Placement> = placements
                .into_iter()
                .map(|(one, other)| Placement::behind(one.min(other), one.max(other)))
                .collect();
            for (message, placement) in all.iter().enumerate() {
                lanes.push(*placement, message);
                if pops.next() == Some(true) {
                    prop_assert_eq!(lanes.front().copied(), lanes.clone().pop());
                    sent.extend(lanes.pop());
                }
            }
            prop_assert_eq!(lanes.len() + sent.len(), all.len());
            sent.extend(std::iter::from_fn(|| lanes.pop()));
            prop_assert!(lanes.is_empty());
            for (place, later) in sent.iter().enumerate() {
                for earlier in &sent[place + 1..] {
                    let overtakes = earlier < later;
                    let allowed = all[*earlier].last > all[*later].last;
                    prop_assert!(!overtakes || allowed, "{later} overtakes {earlier} in {all:?}");
                }
            }
        }
    }
}
