//! All data waiting on one link, the division of the data into messages, and the reassembly of received messages.
//!
//! Flow control holds data back in this queue rather than in the transport, so that on a slow link later writes replace
//! superseded ones and heartbeats of the mesh are not delayed. Messages are filled in this order: remaining segments of
//! a payload, graft requests, due announcements, steps of reconciliation, then packets and broadcasts alternately.
//!
//! Bounds: [`WINDOW`] bytes that the neighbour has not consumed, [`WAITING_BYTES_MAX`] bytes of broadcasts and as many
//! bytes of packets, [`ANNOUNCEMENTS_MAX`] announcements, [`STEPS_MAX`] steps of reconciliation, and one received payload.

mod cost;
mod packets;
mod reassembly;
mod segments;
mod updates;

use super::interface::Neighbour;
use super::message::{ChannelName, Data, Item, Packet, Update, UpdateId};
use crate::flow_control::FlowControl;
use crate::identity::NodeId;
use crate::pacing::{Demand, Pace, Pacer};
use crate::plumtree::TreeControl;
use crate::size::{Encoded, FRAME_BYTES_MAX};
use crate::time::{Duration, Instant};
use packets::PacketQueue;
use reassembly::Reassembly;
use segments::{SegmentedItem, Segmenter, item_cost, split};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use updates::UpdateQueue;

pub use cost::WAITING_BYTES_MAX;
pub use reassembly::WINDOW;
#[cfg(any(test, doc))]
pub(super) use reassembly::WITHOUT_ROOM_MAX;
pub(super) use reassembly::{ReassemblyFault, ReceivedItems};
pub(super) use segments::RelayedPayload;

/// Maximum number of announcements waiting on one link.
const ANNOUNCEMENTS_MAX: usize = 256;
/// Maximum number of reconciliation steps waiting on one link.
const STEPS_MAX: usize = 512;
/// Space reserved for a message's own tags and lengths, in bytes.
const HEADROOM: usize = 64;

/// The space left in a message, in bytes.
struct Budget {
    left: usize,
}

impl Budget {
    /// Reserves space for an item of `len` bytes. Returns false if not enough space is left.
    fn take(&mut self, len: usize) -> bool {
        let cost = item_cost(len);
        let fits = cost <= self.left;
        if fits {
            self.left -= cost;
        }
        fits
    }
}

/// One link and the data waiting on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LinkQueue {
    neighbour: Neighbour,
    opened: Instant,
    /// Messages of the broadcast tree.
    tree: TreeControl<UpdateId, UpdateId>,
    flow: FlowControl,
    pacer: Pacer,
    /// Steps of reconciliation.
    steps: VecDeque<Item>,
    updates: UpdateQueue,
    packets: PacketQueue,
    outgoing: Segmenter,
    incoming: Reassembly,
}

impl LinkQueue {
    /// The queue of a link opened at `now`.
    pub(super) fn new(neighbour: Neighbour, now: Instant) -> Self {
        Self {
            neighbour,
            opened: now,
            tree: TreeControl::new(),
            flow: FlowControl::new(WINDOW),
            pacer: Pacer::new(),
            steps: VecDeque::new(),
            updates: UpdateQueue::default(),
            packets: PacketQueue::default(),
            outgoing: Segmenter::default(),
            incoming: Reassembly::default(),
        }
    }

    pub(super) const fn peer(&self) -> &NodeId {
        &self.neighbour.peer
    }

    /// Whether data was received from the neighbour recently.
    pub(super) const fn is_lively(&self) -> bool {
        self.neighbour.lively
    }

    /// Sets whether data was received from the neighbour recently. Returns whether the neighbour became silent.
    pub(super) const fn set_lively(&mut self, lively: bool) -> bool {
        core::mem::replace(&mut self.neighbour.lively, lively) && !lively
    }

    /// The time since the link opened.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now - self.opened
    }

    /// Asks the neighbour to announce broadcasts instead of sending them.
    pub(super) const fn prune(&mut self) {
        self.tree.prune();
    }

    /// Queues a broadcast, on a link of the broadcast tree. Returns the channels of the broadcasts that were dropped to
    /// make room.
    pub(super) fn broadcast(&mut self, update: &Arc<Update>) -> BTreeSet<ChannelName> {
        self.updates.push(update, false)
    }

    /// Announces a broadcast at `due`, on a link that does not belong to the broadcast tree. Announcements above the
    /// bound are dropped, because reconciliation finds their broadcasts.
    pub(super) fn announce(&mut self, id: UpdateId, due: Instant) {
        self.tree.announce(id, due, ANNOUNCEMENTS_MAX);
    }

    /// Requests a broadcast that the neighbour announced.
    pub(super) fn graft(&mut self, id: UpdateId) {
        self.tree.graft(id);
    }

    /// Drops the announcement of a broadcast that the neighbour itself announced.
    pub(super) fn withdraw(&mut self, id: &UpdateId) {
        self.tree.withdraw(id);
    }

    /// Drops a broadcast and its announcement, because the neighbour sent the broadcast.
    pub(super) fn note_held_by_peer(&mut self, id: &UpdateId) {
        self.tree.withdraw(id);
        self.updates.remove(id);
    }

    /// Queues a broadcast that the neighbour lacks. The broadcast is not evidence about the tree.
    pub(super) fn repair(&mut self, update: &Arc<Update>) {
        self.updates.push(update, true);
    }

    /// Whether a broadcast is accepted without dropping another broadcast.
    pub(super) const fn has_room(&self) -> bool {
        self.updates.has_room()
    }

    /// Drops the updates of maps that later waiting updates supersede.
    pub(super) fn drop_superseded(&mut self) {
        self.updates.drop_superseded();
    }

    /// Adds a step of reconciliation. Returns false if there is no room.
    pub(super) fn push_step(&mut self, step: Item) -> bool {
        let fits = self.steps.len() < STEPS_MAX;
        if fits {
            self.steps.push_back(step);
        }
        fits
    }

    /// Adds a packet. Returns false if there is no room.
    pub(super) fn push_packet(&mut self, packet: &Arc<Packet>) -> bool {
        self.packets.push(packet)
    }

    /// The link is lost: removes and returns the waiting packets.
    pub(super) fn take_packets(&mut self) -> VecDeque<Arc<Packet>> {
        self.packets.take_all()
    }

    /// The channels to reconcile: their broadcasts were dropped, and no broadcast is waiting.
    pub(super) fn take_needs_resync(&mut self) -> BTreeSet<ChannelName> {
        if self.outgoing.is_active() {
            BTreeSet::new()
        } else {
            self.updates.take_needs_resync()
        }
    }

    /// Processes a message from the neighbour. Returns the items of the message that are complete.
    pub(super) fn receive(&mut self, data: Data) -> ReceivedItems {
        self.flow.add_credit(data.credit);
        let only_credit = data.items.is_empty() && !data.prune;
        let bytes = if only_credit {
            0
        } else {
            u32::try_from(data.encoded_len()).unwrap_or(u32::MAX)
        };
        let received = self.incoming.receive(data.items);
        self.return_credit(bytes);
        received
    }

    /// The payload that waits on the link has room.
    pub(super) fn give_room(&mut self) {
        self.incoming.give_room();
        self.return_credit(0);
    }

    /// Skips the rest of the payload that arrives on the link. If the broadcast is known, its item is returned at the end.
    pub(super) fn skip_payload(&mut self, known: bool) {
        self.incoming.skip(known);
        self.return_credit(0);
    }

    /// The broadcast whose payload arrives on the link, and whether it is a repair.
    pub(super) fn incoming_broadcast(&self) -> Option<(&Update, bool)> {
        self.incoming.broadcast()
    }

    /// The payloads of more than `bytes` bytes that wait or are in transmission, and that another node than `me` made.
    pub(super) fn relayed_above<'a>(
        &'a self,
        bytes: usize,
        me: &'a NodeId,
    ) -> impl Iterator<Item = RelayedPayload<'a>> {
        let updates = self.updates.relayed_above(bytes, me);
        let packet = self.packets.relays_above(bytes, me);
        let outgoing = self.outgoing.relayed_above(bytes, me).into_iter();
        outgoing
            .chain(updates.map(RelayedPayload::Broadcast))
            .chain(packet.then_some(RelayedPayload::Packet))
    }

    /// The size of the payload that waits for room, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.incoming.waiting().unwrap_or(0)
    }

    /// The memory of the payload that arrives on the link, in bytes.
    #[cfg(test)]
    pub(super) fn arriving_bytes(&self) -> usize {
        self.incoming.held()
    }

    fn return_credit(&mut self, bytes: u32) {
        self.flow.note_consumed(self.incoming.due_credit(bytes));
    }

    /// The waiting output that may be sent.
    pub(super) fn demand(&self) -> Demand {
        let may_send = self.flow.may_send();
        Demand {
            urgent: self.flow.owes_credit() || may_send && self.has_data(),
            due: self.tree.announcements_due().filter(|_| may_send),
        }
    }

    /// Decides whether the link sends now.
    pub(super) fn pace(&self, now: Instant, coalesce: Duration) -> Pace {
        self.pacer.decide(now, self.demand(), coalesce)
    }

    fn has_data(&self) -> bool {
        self.outgoing.is_active()
            || self.tree.is_urgent()
            || !self.steps.is_empty()
            || !self.updates.is_empty()
            || !self.packets.is_empty()
    }

    /// The next message; none if nothing may be sent.
    pub(super) fn next_message(&mut self, now: Instant) -> Option<Data> {
        let demand = self.demand();
        if !demand.urgent && demand.due.is_none_or(|due| due > now) {
            return None;
        }
        self.pacer.note_sent(now);
        let mut data = Data {
            credit: self.flow.take_credit(),
            ..Data::default()
        };
        if self.flow.may_send() {
            self.fill(&mut data, now);
            let only_credit = data.items.is_empty() && !data.prune;
            if !only_credit {
                let bytes = u32::try_from(data.encoded_len()).unwrap_or(u32::MAX);
                self.flow.note_sent(bytes);
            }
        }
        Some(data)
    }

    fn fill(&mut self, data: &mut Data, now: Instant) {
        let mut budget = Budget {
            left: FRAME_BYTES_MAX - HEADROOM,
        };
        data.prune = self.tree.take_prune();
        if let Some(segment) = self.outgoing.next(budget.left) {
            budget.left = budget.left.saturating_sub(item_cost(segment.len()));
            data.items.push(Item::Segment(segment));
            if self.outgoing.is_active() {
                return;
            }
        }
        if !self.fill_tree(data, &mut budget, now) {
            return;
        }
        while let Some(step) = self.steps.front() {
            if !budget.take(step.encoded_len()) {
                return;
            }
            data.items.extend(self.steps.pop_front());
        }
        // Packets and broadcasts alternate, so that neither delays the other.
        while !self.outgoing.is_active() && (!self.packets.is_empty() || !self.updates.is_empty()) {
            if !self.fill_packet(data, &mut budget)
                || self.outgoing.is_active()
                || !self.fill_update(data, &mut budget)
            {
                return;
            }
        }
    }

    /// Adds graft requests and due announcements. Returns false if a request or an announcement does not fit.
    fn fill_tree(&mut self, data: &mut Data, budget: &mut Budget, now: Instant) -> bool {
        let grafts = self.tree.drain_grafts(|id| {
            if !budget.take(id.encoded_len()) {
                return Err(id);
            }
            data.items.push(Item::Graft(id));
            Ok(())
        });
        if !grafts {
            return false;
        }
        let announcements = self.tree.drain_announcements(now, |id| {
            if !budget.take(id.encoded_len()) {
                return Err(id);
            }
            data.items.push(Item::Have(id));
            Ok(())
        });
        if announcements {
            self.tree.reset_deadline_if_empty();
        }
        announcements
    }

    /// Adds the next packet or its first segment. Returns false if the packet does not fit.
    fn fill_packet(&mut self, data: &mut Data, budget: &mut Budget) -> bool {
        let Some(packet) = self.packets.front() else {
            return true;
        };
        let len = |payload, remaining| packet.cut_len(payload, remaining);
        let Some((first, remaining)) = split(packet.payload.len(), budget.left, len) else {
            return false;
        };
        budget.left = budget.left.saturating_sub(item_cost(len(first, remaining)));
        let Some(mut packet) = self.packets.pop() else {
            return true;
        };
        if remaining > 0 {
            self.outgoing
                .begin(SegmentedItem::Packet(Arc::clone(&packet)), first);
            packet = Arc::new(Packet {
                payload: Arc::from(&packet.payload[..first]),
                ..Packet::clone(&packet)
            });
        }
        data.items.push(Item::Packet { packet, remaining });
        true
    }

    /// Adds the next broadcast or its first segment. Returns false if the broadcast does not fit.
    fn fill_update(&mut self, data: &mut Data, budget: &mut Budget) -> bool {
        let Some((update, repair)) = self.updates.front() else {
            return true;
        };
        let len = |payload, remaining| update.cut_len(payload, repair, remaining);
        let Some((first, remaining)) = split(update.payload.len(), budget.left, len) else {
            return false;
        };
        budget.left = budget.left.saturating_sub(item_cost(len(first, remaining)));
        let Some((mut update, repair)) = self.updates.pop() else {
            return true;
        };
        if remaining > 0 {
            self.outgoing
                .begin(SegmentedItem::Update(Arc::clone(&update)), first);
            update = Arc::new(Update {
                payload: Arc::from(&update.payload[..first]),
                ..Update::clone(&update)
            });
        }
        data.items.push(Item::Update {
            update,
            repair,
            remaining,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::message::Kind;
    use crate::channel::tests::sample::{channel, id, message, packet, update_id, write};
    use crate::link::LinkId;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_millis(1_000);

    fn queue() -> LinkQueue {
        let neighbour = Neighbour {
            link: LinkId(1),
            peer: id("b"),
            lively: true,
        };
        LinkQueue::new(neighbour, NOW)
    }

    /// All messages that the queue sends before the neighbour consumes any.
    fn sent(queue: &mut LinkQueue) -> Vec<Data> {
        core::iter::from_fn(|| queue.next_message(NOW)).collect()
    }

    fn items(queue: &mut LinkQueue) -> Vec<Item> {
        sent(queue)
            .into_iter()
            .flat_map(|data| data.items)
            .collect()
    }

    #[test]
    fn broadcasts_go_out_at_once_and_announcements_when_they_are_due() {
        let (mut queue, update) = (queue(), message("a", 1, 5));
        assert!(queue.broadcast(&update).is_empty());
        queue.announce(update_id("chat", "a", 2), NOW + Duration::from_millis(5));
        let whole = Item::Update {
            update,
            repair: false,
            remaining: 0,
        };
        assert_eq!(items(&mut queue), [whole]);
        assert_eq!(queue.demand().due, Some(NOW + Duration::from_millis(5)));
        assert_eq!(queue.next_message(NOW), None);
        queue.prune();
        queue.announce(update_id("chat", "a", 3), NOW);
        let data = sent(&mut queue);
        assert!(data[0].prune);
        let announced = [2, 3].map(|sequence| Item::Have(update_id("chat", "a", sequence)));
        assert_eq!(data[0].items, announced);
    }

    #[test]
    fn a_neighbour_becomes_silent_once() {
        let mut queue = queue();
        assert!(queue.set_lively(false) && !queue.set_lively(false));
        assert!(!queue.set_lively(true) && queue.is_lively());
    }

    #[test]
    fn a_broadcast_that_the_neighbour_holds_is_neither_sent_nor_announced() {
        let (mut queue, update) = (queue(), message("a", 1, 5));
        queue.broadcast(&update);
        queue.note_held_by_peer(&update.id);
        assert!(items(&mut queue).is_empty());
        queue.announce(update.id.clone(), NOW);
        queue.withdraw(&update.id);
        assert!(items(&mut queue).is_empty());
    }

    #[test]
    fn control_goes_before_data_and_packets_and_broadcasts_in_turn() {
        let mut queue = queue();
        for number in 1..=2 {
            queue.broadcast(&message("a", number, 1));
            queue.push_packet(&Arc::new(packet("c", &["me"], number, 1)));
        }
        let step = Item::Digest {
            channel: channel("chat"),
            kind: Kind::Messages,
            hash: 7,
        };
        assert!(queue.push_step(step));
        queue.graft(update_id("chat", "c", 9));
        let order: Vec<&str> = items(&mut queue)
            .iter()
            .map(|item| match item {
                Item::Graft(_) => "graft",
                Item::Digest { .. } => "step",
                Item::Packet { .. } => "packet",
                Item::Update { .. } => "broadcast",
                Item::Have(_)
                | Item::Segment(_)
                | Item::Sketch { .. }
                | Item::Larger { .. }
                | Item::Want { .. } => panic!("unexpected: {item:?}"),
            })
            .collect();
        let expected = [
            "graft",
            "step",
            "packet",
            "broadcast",
            "packet",
            "broadcast",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_neighbour_that_consumes_nothing_gets_one_window() {
        let mut queue = queue();
        for sequence in 0..8 {
            queue.broadcast(&message("a", sequence, 60_000));
        }
        let first: usize = sent(&mut queue).iter().map(Encoded::encoded_len).sum();
        assert!(first >= WINDOW as usize && first < WINDOW as usize + FRAME_BYTES_MAX);
        assert!(!queue.demand().urgent);
        let credit = Data {
            credit: u32::try_from(first).unwrap(),
            ..Data::default()
        };
        assert_eq!(queue.receive(credit).items, Ok(Vec::new()));
        assert!(!sent(&mut queue).is_empty(), "credit opens the window");
    }

    #[test]
    fn credit_is_returned_without_other_output() {
        let (mut sender, mut receiver) = (queue(), queue());
        for sequence in 0..3 {
            sender.broadcast(&message("a", sequence, 30_000));
        }
        let mut bytes = 0;
        for data in sent(&mut sender) {
            bytes += data.encoded_len();
            receiver.receive(data).items.unwrap();
        }
        assert!(receiver.demand().urgent);
        let [credit] = &sent(&mut receiver)[..] else {
            panic!("one message returns all credit");
        };
        assert_eq!((credit.credit as usize, credit.items.len()), (bytes, 0));
    }

    #[test]
    fn a_channel_is_reconciled_once_its_last_dropped_broadcast_was_followed_by_all_others() {
        let mut queue = queue();
        for sequence in 0..3 {
            queue.broadcast(&message("a", sequence, WAITING_BYTES_MAX / 2));
        }
        assert!(!queue.has_room());
        assert!(queue.take_needs_resync().is_empty());
        while !queue.updates.is_empty() || queue.outgoing.is_active() {
            for data in sent(&mut queue) {
                let credit = Data {
                    credit: u32::try_from(data.encoded_len()).unwrap(),
                    ..Data::default()
                };
                queue.receive(credit).items.unwrap();
            }
        }
        assert_eq!(queue.take_needs_resync(), BTreeSet::from([channel("chat")]));
    }

    proptest! {
        /// All packets and broadcasts arrive once and in order, in messages of at most one frame.
        #[test]
        fn everything_arrives_in_frames(
            sizes in prop::collection::vec((0_usize..40_000, any::<bool>()), 1..12),
        ) {
            let (mut sender, mut receiver) = (queue(), queue());
            let mut expected = (Vec::new(), Vec::new());
            for ((bytes, unicast), number) in sizes.into_iter().zip(1..) {
                if unicast {
                    let packet = Arc::new(packet("c", &["me"], number, bytes));
                    prop_assert!(sender.push_packet(&packet));
                    expected.0.push(packet);
                } else {
                    let update = write(number, &[&format!("k{number}")], bytes);
                    prop_assert!(sender.broadcast(&update).is_empty());
                    expected.1.push(update);
                }
            }
            let mut arrived = (Vec::new(), Vec::new());
            loop {
                let messages = sent(&mut sender);
                if messages.is_empty() {
                    break;
                }
                for data in messages {
                    prop_assert!(data.encoded_len() <= FRAME_BYTES_MAX);
                    for item in receiver.receive(data).items.unwrap() {
                        match item {
                            Item::Packet { packet, .. } => arrived.0.push(packet),
                            Item::Update { update, .. } => arrived.1.push(update),
                            Item::Have(_)
                            | Item::Graft(_)
                            | Item::Segment(_)
                            | Item::Digest { .. }
                            | Item::Sketch { .. }
                            | Item::Larger { .. }
                            | Item::Want { .. } => prop_assert!(false, "unexpected: {item:?}"),
                        }
                    }
                    for credit in sent(&mut receiver) {
                        sender.receive(credit).items.unwrap();
                    }
                }
            }
            prop_assert_eq!(arrived, expected);
        }
    }
}
