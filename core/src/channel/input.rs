//! Inputs of the machine: requests of applications, and changes of links.

use super::interface::{
    ChannelOperation, Done, INTERVAL_MAX, INTERVAL_MIN, Neighbour, Options, Output, Refusal,
    Request, Transaction, check_size,
};
use super::link_queue::LinkQueue;
use super::message::{Body, ChannelName, DeliveryFailure, Kind, Packet, Purpose, Update};
use super::store::{AppliedUpdate, ChannelStore, Rule};
use super::{CHANNELS_MAX, Channels, relay, retention, transaction};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Maximum number of channels that this node keeps for others. The last quarter of all channels is reserved for the
/// applications of this node.
pub(super) const SHARED_MAX: usize = CHANNELS_MAX / 4 * 3;
/// Time without a change after which a channel without state gives way to another one.
const UNUSED_EMPTY_FOR: Duration = Duration::from_secs(5);
/// Time without a change after which a channel with messages gives way to another one.
const UNUSED_FOR: Duration = Duration::from_secs(60);

/// Requests of applications.
impl Channels {
    pub(super) fn on_open(
        &mut self,
        channel: &ChannelName,
        options: Options,
    ) -> Result<Done, Refusal> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&options.interval) {
            return Err(Refusal::BadInterval(options.interval));
        }
        if self.applications.has_open(channel) && !self.context.has(Switch::OpensTwice) {
            return Err(Refusal::AlreadyOpen);
        }
        let kind = self.stores.get(channel).map(ChannelStore::kind);
        if kind.is_none() && self.stores.len() >= SHARED_MAX {
            self.forget_unused();
        }
        match kind {
            None if self.stores.len() >= CHANNELS_MAX => return Err(Refusal::TooManyChannels),
            Some(kind) if kind != options.kind => return Err(Refusal::OtherKind(kind)),
            None | Some(_) => self.learn(channel, options.kind),
        }
        self.applications.open(channel, options.room);
        if options.custom.is_some() {
            let store = ChannelStore::new(Kind::Custom, options.custom);
            self.stores.insert(channel.clone(), store);
        }
        self.anti_entropy
            .set_interval(&mut self.context, channel, options.interval);
        let links: Vec<LinkId> = self.queues.keys().copied().collect();
        for link in links {
            self.send_hash(link, channel);
        }
        Ok(Done::Opened)
    }

    pub(super) fn on_close(&mut self, channel: &ChannelName) {
        self.applications.close(channel);
        self.anti_entropy.reset_interval(channel);
        if let Some(store) = self.stores.get_mut(channel) {
            store.detach();
        }
    }

    pub(super) fn on_publish(
        &mut self,
        channel: &ChannelName,
        payload: Arc<[u8]>,
    ) -> Result<Done, Refusal> {
        let update = self.publish_payload(channel, payload)?;
        Ok(update.map_or(Done::Unchanged, |it| Done::Published(it.id.clone())))
    }

    /// Broadcasts a message, or the part of an update that changes custom state. Returns none if no part does.
    fn publish_payload(
        &mut self,
        channel: &ChannelName,
        payload: Arc<[u8]>,
    ) -> Result<Option<Arc<Update>>, Refusal> {
        check_size(&payload)?;
        let (body, payload) = match self.open_store(channel)? {
            ChannelStore::Messages(_) => (Body::Message, payload),
            ChannelStore::Map(_) => return Err(Refusal::WrongKind(Kind::Map)),
            ChannelStore::Custom(None) => (Body::Custom, payload),
            ChannelStore::Custom(Some(custom)) => match custom.merge(&payload) {
                Ok(Some(delta)) => (Body::Custom, Arc::from(delta)),
                Ok(None) => return Ok(None),
                Err(reason) => return Err(Refusal::Malformed(reason)),
            },
        };
        self.check_room()?;
        self.check_counter(channel)?;
        self.check_shared(channel)?;
        let update = self.publish(channel, body, payload);
        if update.body == Body::Message
            && let Some(store) = self.stores.get_mut(channel)
        {
            store.apply(&update, Rule::LaterWins, 0);
            self.drop_excess(&update);
        }
        self.broadcast_own(&update, None);
        Ok(Some(update))
    }

    pub(super) fn on_transact(
        &mut self,
        channel: &ChannelName,
        transaction: &Transaction,
    ) -> Result<Done, Refusal> {
        let room = self.check_room();
        let counter = self.check_counter(channel);
        let shared = self.check_shared(channel);
        let max = self.context.counter_max();
        let bytes = retention::map_room(&self.stores, self.context.config.bytes_max);
        let store = self.open_store(channel)?;
        let Some(map) = store.as_map() else {
            return Err(Refusal::WrongKind(store.kind()));
        };
        transaction::check(transaction)?;
        if let Some(key) = transaction::first_mismatch(map, transaction) {
            return Ok(Done::Differs(key));
        }
        transaction::check_size(map, transaction, bytes.applications)?;
        if map.next_clock() > max {
            return Err(Refusal::CounterTooHigh);
        }
        room?;
        counter?;
        shared?;
        let (body, payload) = transaction::encode(map, transaction);
        let update = self.publish(channel, body, payload);
        if let Some(store) = self.stores.get_mut(channel)
            && let AppliedUpdate::Changed(changes) =
                store.apply(&update, Rule::LaterWins, bytes.all)
        {
            self.deliver_changes(channel, changes);
            self.drop_excess(&update);
        }
        self.broadcast_own(&update, None);
        Ok(Done::Committed(update.version()))
    }

    /// Performs an operation on a channel; if the channel is not open, it is opened for the operation.
    pub(super) fn on_once(
        &mut self,
        channel: &ChannelName,
        kind: Kind,
        operation: ChannelOperation,
    ) -> Result<Done, Refusal> {
        let opens = !self.applications.has_open(channel);
        if opens {
            let options = Options {
                room: 0,
                ..Options::of(kind)
            };
            self.on_open(channel, options)?;
        }
        let result = match operation {
            ChannelOperation::Publish(payload) if opens => self.on_publish(channel, payload),
            ChannelOperation::Publish(payload) => self.on_publish_beside(channel, payload),
            ChannelOperation::Transact(transaction) => self.on_transact(channel, &transaction),
        };
        if opens {
            self.on_close(channel);
        }
        result
    }

    /// Broadcasts for a program other than the application that has the channel open, which receives the broadcast too.
    fn on_publish_beside(
        &mut self,
        channel: &ChannelName,
        payload: Arc<[u8]>,
    ) -> Result<Done, Refusal> {
        let Some(update) = self.publish_payload(channel, payload)? else {
            return Ok(Done::Unchanged);
        };
        self.deliver_broadcast(&update.id, Arc::clone(&update.payload));
        Ok(Done::Published(update.id.clone()))
    }

    /// Sends a message to one member. Returns none if the answer to the request follows later.
    pub(super) fn on_send(
        &mut self,
        request: Request,
        to: NodeId,
        channel: ChannelName,
        payload: Arc<[u8]>,
        datagram: bool,
    ) -> Option<Result<Done, Refusal>> {
        if let Err(refusal) = check_size(&payload) {
            return Some(Err(refusal));
        }
        let (purpose, done) = if datagram {
            (Purpose::Datagram, Done::Sent)
        } else {
            (Purpose::Message, Done::Delivered)
        };
        let next = self
            .delivery
            .next_packet(&self.context, to, channel, payload, purpose);
        let Some(packet) = next.map(Arc::new) else {
            return Some(Err(Refusal::Full));
        };
        if packet.to == *self.context.me() {
            let taken = self.hand_over(&packet);
            return Some(taken.map(|()| done).map_err(Refusal::Undelivered));
        }
        self.context.out.push(Output::Route(Arc::clone(&packet)));
        if datagram {
            return Some(Ok(done));
        }
        self.delivery.track(&mut self.context, request, packet);
        None
    }

    /// The state of a channel that an application of this node has open.
    fn open_store(&mut self, channel: &ChannelName) -> Result<&mut ChannelStore, Refusal> {
        let store = self.stores.get_mut(channel);
        let open = self.applications.has_open(channel);
        store.filter(|_| open).ok_or(Refusal::NotOpen)
    }

    /// Makes room for a new channel: forgets the channel that has been unused for the longest time. A channel is unused if
    /// no application of this node has it open, it has no entry of a map, and its state has not changed for a while.
    /// Channels without any state come first. Returns whether a channel was forgotten.
    pub(super) fn forget_unused(&mut self) -> bool {
        let now = self.context.now;
        let unused = self.stores.iter().filter_map(|(name, store)| {
            // Deletions count: without them, a node that was away would bring deleted values back.
            let has_entries = store.as_map().is_some() && store.len() > 0;
            let changed = self.anti_entropy.changed(name)?;
            let (full, unused_for) = match store.len() {
                0 => (false, UNUSED_EMPTY_FOR),
                _ => (true, UNUSED_FOR),
            };
            let used =
                self.applications.has_open(name) || has_entries || now - changed < unused_for;
            (!used).then_some((full, changed, name))
        });
        let Some((.., name)) = unused.min() else {
            return false;
        };
        let name = name.clone();
        self.stores.remove(&name);
        self.dedup.forget(&name);
        self.anti_entropy.forget(&mut self.context, &name);
        true
    }

    /// A broadcast is refused if the other nodes have no room for its channel, which they would then refuse.
    fn check_shared(&mut self, channel: &ChannelName) -> Result<(), Refusal> {
        let known = self.stores.contains_key(channel);
        if !known || self.anti_entropy.is_shared(channel) || self.queues.is_empty() {
            return Ok(());
        }
        if self.stores.len() > SHARED_MAX && !self.forget_unused() {
            return Err(Refusal::TooManyChannels);
        }
        self.anti_entropy.set_shared(channel);
        Ok(())
    }

    /// A broadcast is refused if its number is above the bound of counters.
    fn check_counter(&self, channel: &ChannelName) -> Result<(), Refusal> {
        if self.dissemination.may_publish(&self.context, channel) {
            Ok(())
        } else {
            Err(Refusal::CounterTooHigh)
        }
    }

    /// A broadcast is refused if no lively link has room for it, even after superseded writes are dropped.
    fn check_room(&mut self) -> Result<(), Refusal> {
        for queue in self.queues.values_mut().filter(|queue| !queue.has_room()) {
            queue.drop_superseded();
        }
        let unbounded = self.context.has(Switch::NoBackPressure);
        let mut lively = self
            .queues
            .values()
            .filter(|queue| queue.is_lively())
            .peekable();
        if !unbounded && lively.peek().is_some() && lively.all(|queue| !queue.has_room()) {
            return Err(Refusal::Full);
        }
        Ok(())
    }
}

/// Links and routes.
impl Channels {
    pub(super) fn on_neighbours(&mut self, neighbours: Vec<Neighbour>) {
        let open: BTreeSet<LinkId> = neighbours.iter().map(|neighbour| neighbour.link).collect();
        let closed: Vec<LinkId> = self
            .queues
            .keys()
            .copied()
            .filter(|link| !open.contains(link))
            .collect();
        let mut tree_link_lost = false;
        for link in closed {
            tree_link_lost |= self.lose_link(link);
        }
        for neighbour in neighbours {
            let link = neighbour.link;
            if let Some(queue) = self.queues.get_mut(&link) {
                let silent = queue.set_lively(neighbour.lively);
                tree_link_lost |= silent && self.dissemination.is_eager(link);
                continue;
            }
            let queue = LinkQueue::new(neighbour, self.context.now);
            self.queues.insert(link, queue);
            self.dissemination.on_open(link);
            let channels: Vec<ChannelName> = self.stores.keys().cloned().collect();
            for channel in channels {
                self.send_hash(link, &channel);
            }
        }
        if tree_link_lost {
            let queues = &self.queues;
            self.dissemination
                .flood(|link| queues.get(&link).is_some_and(LinkQueue::is_lively));
        }
    }

    /// Returns the packets of a lost link for routing. Returns whether the link belonged to the broadcast tree.
    fn lose_link(&mut self, link: LinkId) -> bool {
        let Some(mut queue) = self.queues.remove(&link) else {
            return false;
        };
        self.cancel_flush(link);
        for packet in queue.take_packets() {
            self.context.out.push(Output::Route(packet));
        }
        self.repair.forget(link);
        self.admission.release(&mut self.context, link);
        self.admit_payloads();
        self.delivery.on_link_lost(&mut self.context, link);
        self.dissemination.on_closed(link)
    }

    /// The next hop of a packet is known.
    pub(super) fn on_forward(&mut self, link: LinkId, packet: &Arc<Packet>) {
        self.delivery.note_link(&self.context, packet, link);
        let Some(queue) = self.queues.get_mut(&link) else {
            self.on_unroutable(packet, DeliveryFailure::RelayLost);
            return;
        };
        if queue.push_packet(packet) {
            self.delivery.note_copy(&self.context, packet);
            self.pending.mark(link);
        } else {
            self.on_unroutable(packet, DeliveryFailure::Busy);
        }
    }

    /// A packet cannot be forwarded.
    pub(super) fn on_unroutable(&mut self, packet: &Packet, failure: DeliveryFailure) {
        if self.delivery.is_pending(&self.context, packet) {
            self.delivery
                .on_failed(&mut self.context, packet.number, None, failure);
        } else {
            relay::on_unroutable(&mut self.context, packet, failure);
        }
    }
}
