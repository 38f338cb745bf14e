//! The deliveries that one reader of a channel has not taken, and the rule for dropping deliveries of a slow reader.
//!
//! Messages to this node wait in one bounded queue, and broadcasts, changes and conflicts wait in another; a full queue
//! drops its oldest delivery, and the reader receives the number of losses before the next delivery. Deliveries are
//! taken in the order of their arrival. If a channel has several readers, a slow one loses messages that another reader
//! has taken.
//!
//! Bounds: the reader's room and [`ROOM_BYTES`] for messages; [`BROADCASTS_WAITING_MAX`] and
//! [`BROADCAST_BYTES_WAITING_MAX`] for all other deliveries.

use super::interface::{Delivery, ROOM_BYTES};
use super::message::UpdateId;
use std::collections::{BTreeSet, VecDeque};

/// Maximum number of broadcasts, changes and conflicts that wait for one reader.
pub const BROADCASTS_WAITING_MAX: usize = 1_024;
/// Maximum number of bytes of waiting broadcasts and changes; a single payload is kept even if it is larger.
pub const BROADCAST_BYTES_WAITING_MAX: usize = 16 * 1024 * 1024;

/// An item of a reader's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message, a broadcast, a change or a conflict.
    Delivery(Delivery),
    /// The reader was too slow, so broadcasts and changes before the next delivery were dropped.
    Lagged {
        /// The number of dropped deliveries.
        missed: u64,
    },
}

/// The deliveries that one reader has not taken. `T` is the data that the caller attaches to a message, for instance
/// the message's acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox<T> {
    /// Maximum number of waiting messages.
    room: usize,
    /// The number of deliveries ever added.
    added: u64,
    messages: VecDeque<(u64, Delivery, T)>,
    message_bytes: usize,
    broadcasts: VecDeque<(u64, Delivery)>,
    broadcast_bytes: usize,
    /// Deliveries that were dropped and whose loss is not reported yet.
    missed: u64,
}

fn cost(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message { payload, .. } | Delivery::Broadcast { payload, .. } => payload.len(),
        Delivery::Changed { key, value, .. } => {
            key.len() + value.as_ref().map_or(0, |value| value.len())
        }
        Delivery::Conflict { key, .. } => key.len(),
        Delivery::Missed { .. } => 0,
    }
}

/// The number of deliveries that the reader misses if this one is dropped.
const fn missed(delivery: &Delivery) -> u64 {
    match delivery {
        Delivery::Missed { first, last, .. } => last.saturating_sub(*first).saturating_add(1),
        Delivery::Message { .. }
        | Delivery::Broadcast { .. }
        | Delivery::Changed { .. }
        | Delivery::Conflict { .. } => 1,
    }
}

impl<T> Mailbox<T> {
    /// An empty mailbox with room for this many messages, at least one.
    #[must_use]
    pub fn new(room: u32) -> Self {
        Self {
            room: room.max(1) as usize,
            added: 0,
            messages: VecDeque::new(),
            message_bytes: 0,
            broadcasts: VecDeque::new(),
            broadcast_bytes: 0,
            missed: 0,
        }
    }

    /// Adds a message to this node. Returns the attachments of the messages that are dropped to make room.
    pub fn push_message(&mut self, delivery: Delivery, attached: T) -> Vec<T> {
        let number = self.number();
        self.message_bytes += cost(&delivery);
        self.messages.push_back((number, delivery, attached));
        let mut dropped = Vec::new();
        while self.messages.len() > self.room || self.message_bytes > ROOM_BYTES {
            let Some((_, oldest, attached)) = self.messages.pop_front() else {
                break;
            };
            self.message_bytes -= cost(&oldest);
            self.missed += 1;
            dropped.push(attached);
        }
        dropped
    }

    /// Adds a broadcast, a change, a conflict or a notice of missed messages.
    pub fn push_broadcast(&mut self, delivery: Delivery) {
        let number = self.number();
        self.broadcast_bytes += cost(&delivery);
        self.broadcasts.push_back((number, delivery));
        while self.broadcasts.len() > BROADCASTS_WAITING_MAX
            || self.broadcast_bytes > BROADCAST_BYTES_WAITING_MAX && self.broadcasts.len() > 1
        {
            let Some((_, dropped)) = self.broadcasts.pop_front() else {
                break;
            };
            self.broadcast_bytes -= cost(&dropped);
            self.missed = self.missed.saturating_add(missed(&dropped));
        }
    }

    const fn number(&mut self) -> u64 {
        self.added += 1;
        self.added
    }

    /// Takes the number of losses, if there are any, or else the oldest delivery; a message is returned with its
    /// attachment.
    pub fn take(&mut self) -> Option<(Received, Option<T>)> {
        if self.missed > 0 {
            let missed = core::mem::take(&mut self.missed);
            return Some((Received::Lagged { missed }, None));
        }
        let message = self.messages.front().map(|(number, ..)| *number);
        let broadcast = self.broadcasts.front().map(|(number, _)| *number);
        let message_first =
            message.is_some_and(|message| broadcast.is_none_or(|broadcast| message < broadcast));
        if message_first {
            let (_, delivery, attached) = self.messages.pop_front()?;
            self.message_bytes -= cost(&delivery);
            return Some((Received::Delivery(delivery), Some(attached)));
        }
        let (_, delivery) = self.broadcasts.pop_front()?;
        self.broadcast_bytes -= cost(&delivery);
        Some((Received::Delivery(delivery), None))
    }

    /// The reader received a copy of the channel's retained messages, with these ids: waiting broadcasts with these ids
    /// are dropped, and losses are not reported.
    pub fn on_copied_messages(&mut self, copied: &BTreeSet<UpdateId>) {
        self.retain(|delivery| match delivery {
            Delivery::Broadcast { id, .. } => !copied.contains(id),
            Delivery::Message { .. }
            | Delivery::Missed { .. }
            | Delivery::Changed { .. }
            | Delivery::Conflict { .. } => true,
        });
    }

    /// The reader received a copy of the channel's state: all waiting broadcasts and changes are dropped, and losses
    /// are not reported.
    pub fn on_copied_state(&mut self) {
        self.retain(|delivery| match delivery {
            Delivery::Broadcast { .. } | Delivery::Changed { .. } => false,
            Delivery::Message { .. } | Delivery::Missed { .. } | Delivery::Conflict { .. } => true,
        });
    }

    fn retain(&mut self, keep: impl Fn(&Delivery) -> bool) {
        self.missed = 0;
        self.broadcasts.retain(|(_, delivery)| keep(delivery));
        self.broadcast_bytes = self.broadcasts.iter().map(|(_, it)| cost(it)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::Version;
    use crate::channel::tests::sample::{id, update_id};
    use std::sync::Arc;

    fn message(number: u8, bytes: usize) -> Delivery {
        Delivery::Message {
            from: id("a"),
            payload: vec![number; bytes].into(),
            datagram: false,
        }
    }

    fn update(sequence: u64) -> UpdateId {
        update_id("chat", "a", sequence)
    }

    fn broadcast(sequence: u64, bytes: usize) -> Delivery {
        Delivery::Broadcast {
            id: update(sequence),
            payload: vec![0; bytes].into(),
        }
    }

    fn version(origin: &str) -> Version {
        Version {
            clock: 1,
            origin: id(origin),
            epoch: 1,
            sequence: 1,
        }
    }

    fn changed(key: &str) -> Delivery {
        Delivery::Changed {
            key: Arc::from(key),
            value: None,
            version: version("a"),
        }
    }

    fn missed(first: u64, last: u64) -> Delivery {
        Delivery::Missed {
            origin: id("a"),
            epoch: 1,
            first,
            last,
            restarted: false,
        }
    }

    fn conflict(key: &str) -> Delivery {
        Delivery::Conflict {
            key: Arc::from(key),
            lost: version("a"),
            won: version("b"),
        }
    }

    fn all<T>(mailbox: &mut Mailbox<T>) -> Vec<Received> {
        std::iter::from_fn(|| mailbox.take().map(|(received, _)| received)).collect()
    }

    fn received(deliveries: impl IntoIterator<Item = Delivery>) -> Vec<Received> {
        deliveries.into_iter().map(Received::Delivery).collect()
    }

    #[test]
    fn deliveries_are_taken_in_the_order_of_their_arrival_with_the_attachments_of_messages() {
        let mut mailbox = Mailbox::new(8);
        mailbox.push_broadcast(broadcast(1, 1));
        assert_eq!(mailbox.push_message(message(1, 1), 'a'), []);
        mailbox.push_broadcast(changed("k"));
        assert_eq!(mailbox.push_message(message(2, 1), 'b'), []);
        let taken: Vec<_> = std::iter::from_fn(|| mailbox.take()).collect();
        let delivery = |delivery, attached| (Received::Delivery(delivery), attached);
        assert_eq!(
            taken,
            [
                delivery(broadcast(1, 1), None),
                delivery(message(1, 1), Some('a')),
                delivery(changed("k"), None),
                delivery(message(2, 1), Some('b')),
            ]
        );
    }

    #[test]
    fn a_full_mailbox_drops_its_oldest_messages_and_reports_their_number() {
        let mut mailbox = Mailbox::new(2);
        let dropped: Vec<u8> = (1..=5)
            .flat_map(|number| mailbox.push_message(message(number, 1), number))
            .collect();
        assert_eq!(dropped, [1, 2, 3]);
        let mut wanted = vec![Received::Lagged { missed: 3 }];
        wanted.extend(received([message(4, 1), message(5, 1)]));
        assert_eq!(all(&mut mailbox), wanted);
        // The bytes of messages are also bounded.
        mailbox.push_message(message(1, ROOM_BYTES), 1);
        assert_eq!(mailbox.push_message(message(2, 1), 2), [1]);
        assert_eq!(all(&mut mailbox).len(), 2);
    }

    #[test]
    fn waiting_broadcasts_are_bounded_in_number_and_bytes_and_a_single_large_one_is_kept() {
        let mut mailbox = Mailbox::<()>::new(1);
        for number in 0..BROADCASTS_WAITING_MAX as u64 + 3 {
            mailbox.push_broadcast(broadcast(number, 0));
        }
        let taken = all(&mut mailbox);
        assert_eq!(taken[0], Received::Lagged { missed: 3 });
        assert_eq!(taken[1], Received::Delivery(broadcast(3, 0)));
        assert_eq!(taken.len(), BROADCASTS_WAITING_MAX + 1);
        mailbox.push_broadcast(broadcast(1, BROADCAST_BYTES_WAITING_MAX + 1));
        let large = received([broadcast(1, BROADCAST_BYTES_WAITING_MAX + 1)]);
        assert_eq!(all(&mut mailbox), large);
        mailbox.push_broadcast(broadcast(1, BROADCAST_BYTES_WAITING_MAX));
        mailbox.push_broadcast(broadcast(2, 1));
        let mut wanted = vec![Received::Lagged { missed: 1 }];
        wanted.extend(received([broadcast(2, 1)]));
        assert_eq!(all(&mut mailbox), wanted);
    }

    #[test]
    fn a_notice_of_missed_messages_is_taken_in_order_and_its_messages_are_counted_if_it_is_dropped()
    {
        let mut mailbox = Mailbox::<()>::new(1);
        mailbox.push_broadcast(broadcast(1, 1));
        mailbox.push_broadcast(missed(2, 8));
        mailbox.push_broadcast(broadcast(9, 1));
        let in_order = received([broadcast(1, 1), missed(2, 8), broadcast(9, 1)]);
        assert_eq!(all(&mut mailbox), in_order);
        mailbox.push_broadcast(missed(2, 8));
        mailbox.on_copied_messages(&[update(9)].into());
        for number in 0..BROADCASTS_WAITING_MAX as u64 {
            mailbox.push_broadcast(broadcast(number, 0));
        }
        assert_eq!(all(&mut mailbox)[0], Received::Lagged { missed: 7 });
    }

    #[test]
    fn a_copy_replaces_the_deliveries_it_contains_and_the_losses() {
        let mut mailbox = Mailbox::new(1);
        let fill = |mailbox: &mut Mailbox<()>| {
            for number in 1..=3 {
                mailbox.push_broadcast(broadcast(number, 1));
            }
            mailbox.push_message(message(1, 1), ());
            mailbox.push_message(message(2, 1), ());
            mailbox.push_broadcast(changed("k"));
            mailbox.push_broadcast(conflict("k"));
        };
        fill(&mut mailbox);
        mailbox.on_copied_messages(&[update(1), update(2)].into());
        let kept = received([broadcast(3, 1), message(2, 1), changed("k"), conflict("k")]);
        assert_eq!(all(&mut mailbox), kept);
        fill(&mut mailbox);
        mailbox.on_copied_state();
        let kept = received([message(2, 1), conflict("k")]);
        assert_eq!(all(&mut mailbox), kept);
        assert_eq!((mailbox.message_bytes, mailbox.broadcast_bytes), (0, 0));
    }
}
