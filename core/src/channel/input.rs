//! Inputs of the machine: requests of applications, changes of links, and items from neighbours.

use super::anti_entropy::Comparison;
use super::dedup::Noted;
use super::dissemination::RepairRequest as Graft;
use super::interface::{
    ChannelOperation, Done, Event, INTERVAL_MAX, INTERVAL_MIN, Neighbour, Options, Output, Refusal,
    Rejection, Request, Transaction, check_size,
};
use super::link_queue::LinkQueue;
use super::message::{
    Body, ChannelName, Data, DeliveryFailure, Item, Kind, Packet, Purpose, Update, UpdateId,
};
use super::store::{AppliedUpdate, ChannelStore, Rule};
use super::{CHANNELS_MAX, Channels, relay, retention, transaction};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::sketch::Cell;
use crate::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Maximum number of channels that this node keeps for others. The last quarter of all channels is reserved for the
/// applications of this node.
const SHARED_MAX: usize = CHANNELS_MAX / 4 * 3;
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
    fn forget_unused(&mut self) -> bool {
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

/// Items from neighbours.
impl Channels {
    pub(super) fn on_receive(&mut self, link: LinkId, data: Data) {
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        self.pending.mark(link);
        if data.prune {
            self.dissemination.make_lazy(link);
        }
        let Ok(items) = queue.receive(data) else {
            self.reject(link, Rejection::BrokenPayload);
            return;
        };
        for item in items {
            match item {
                Item::Have(id) => self.on_have(link, id),
                Item::Graft(id) => self.on_graft(link, &id),
                Item::Update { update, repair, .. } => self.on_update(link, &update, repair),
                Item::Packet { packet, .. } => self.on_packet(link, &packet),
                Item::Digest {
                    channel,
                    kind,
                    hash,
                } => self.on_hash(link, &channel, kind, hash),
                Item::Sketch {
                    channel,
                    kind,
                    cells,
                } => self.on_sketch(link, &channel, kind, &cells),
                Item::Larger { channel, cells } => self.on_larger(link, &channel, cells),
                Item::Want { channel, digests } => self.on_want(link, &channel, &digests),
                // The reassembly has already consumed segments.
                Item::Segment(_) => {}
            }
        }
    }

    /// Adds a channel to which a neighbour relays a broadcast. The channel takes the place of one that is unused. Returns
    /// false if the channel is refused.
    fn admit_broadcast(&mut self, link: LinkId, channel: &ChannelName, kind: Kind) -> bool {
        if !self.stores.contains_key(channel) && self.stores.len() >= SHARED_MAX {
            self.forget_unused();
        }
        self.admit(link, channel, kind)
    }

    /// Adds a channel that a neighbour uses with this kind. Returns false if the channel is refused.
    fn admit(&mut self, link: LinkId, channel: &ChannelName, kind: Kind) -> bool {
        match self.stores.get(channel) {
            Some(store) if store.kind() != kind => {
                self.reject(link, Rejection::OtherKind);
                false
            }
            Some(_) => {
                self.anti_entropy.set_shared(channel);
                true
            }
            None if self.stores.len() >= SHARED_MAX => {
                self.reject(link, Rejection::TooMany);
                false
            }
            None => {
                self.learn(channel, kind);
                true
            }
        }
    }

    /// Adds a channel if it is new. The caller has checked the bound.
    fn learn(&mut self, channel: &ChannelName, kind: Kind) {
        if self.stores.contains_key(channel) {
            return;
        }
        self.stores
            .insert(channel.clone(), ChannelStore::new(kind, None));
        self.context.report(Event::Learnt {
            channel: channel.clone(),
            kind,
        });
        self.context.out.push(Output::AnnounceChannels);
        let shared = self.stores.len() <= SHARED_MAX;
        self.anti_entropy.learn(&mut self.context, channel, shared);
    }

    /// A neighbour announced a broadcast.
    fn on_have(&mut self, link: LinkId, id: UpdateId) {
        if !self.context.accepts(&id) {
            self.reject(link, Rejection::CounterTooHigh);
            return;
        }
        if self.dissemination.is_own(&self.context, &id) || self.dedup.has_broadcast(&id) {
            if let Some(queue) = self.queues.get_mut(&link) {
                queue.withdraw(&id);
            }
            return;
        }
        self.dissemination
            .note_announced(&mut self.context, link, id);
    }

    /// An announced broadcast did not arrive.
    pub(super) fn request_missing(&mut self, id: &UpdateId) {
        let queues = &self.queues;
        let is_lively = |link| queues.get(&link).is_some_and(LinkQueue::is_lively);
        match self
            .dissemination
            .request_missing(&mut self.context, id, is_lively)
        {
            Graft::Graft(link) => {
                if let Some(queue) = self.queues.get_mut(&link) {
                    queue.graft(id.clone());
                    self.pending.mark(link);
                }
            }
            Graft::GiveUp => self
                .anti_entropy
                .continue_soon(&mut self.context, &id.channel),
            Graft::Nothing => {}
        }
    }

    /// A neighbour requests a broadcast that this node announced.
    fn on_graft(&mut self, link: LinkId, id: &UpdateId) {
        self.dissemination.make_eager(link);
        if let Some(queue) = self.queues.get_mut(&link)
            && let Some(update) = self.dissemination.kept(id)
        {
            queue.broadcast(update);
        }
    }

    fn on_update(&mut self, link: LinkId, update: &Arc<Update>, repair: bool) {
        let id = &update.id;
        if !self.context.accepts(id) || update.version().clock > self.context.counter_max() {
            self.reject(link, Rejection::CounterTooHigh);
            return;
        }
        if let Some(queue) = self.queues.get_mut(&link) {
            queue.note_held_by_peer(id);
        }
        if !self.admit_broadcast(link, &id.channel, update.body.kind()) {
            return;
        }
        if id.origin == *self.context.me() {
            if self.dissemination.is_own(&self.context, id) {
                return;
            }
            let life = self.dissemination.life(&self.context);
            self.dissemination.exceed(&self.context, id);
            if id.epoch == life {
                self.reject(link, Rejection::ForgedOrigin);
                return;
            }
        }
        let epoch = if self.context.has(Switch::EpochIgnored) {
            0
        } else {
            id.epoch
        };
        let is_new = match self.dedup.note_broadcast(id, epoch) {
            Noted::New => true,
            Noted::Duplicate => false,
            Noted::Full => {
                self.reject(link, Rejection::TooMany);
                return;
            }
        };
        if is_new || repair || self.context.has(Switch::RepeatsMessages) {
            self.apply(link, update, repair, is_new);
        } else if self.dissemination.is_duplicate(id, link)
            && let Some(queue) = self.queues.get_mut(&link)
        {
            self.dissemination.make_lazy(link);
            queue.prune();
        }
    }

    /// Applies a broadcast to the channel's state, and relays the new part.
    fn apply(&mut self, link: LinkId, update: &Arc<Update>, repair: bool, is_new: bool) {
        let (id, channel) = (&update.id, &update.id.channel);
        let rule = if self.context.has(Switch::EarlierWriteWins) {
            Rule::EarlierWins
        } else {
            Rule::LaterWins
        };
        let room = retention::map_room(&self.stores, self.context.config.bytes_max).all;
        let Some(store) = self.stores.get_mut(channel) else {
            return;
        };
        let mut applied = store.apply(update, rule, room);
        if matches!(applied, AppliedUpdate::Message | AppliedUpdate::Changed(_))
            && !self.drop_excess(update)
        {
            // The message itself was dropped.
            applied = AppliedUpdate::Full;
        }
        if applied != AppliedUpdate::Old {
            self.anti_entropy.note_changed(channel, self.context.now);
        }
        self.dissemination.note_arrived(&mut self.context, id);
        let open = self.applications.has_open(channel);
        match applied {
            AppliedUpdate::Old => {
                if open && self.context.has(Switch::RepeatsMessages) {
                    self.deliver_broadcast(id, Arc::clone(&update.payload));
                }
                // The name is kept, so that a second copy is recognised and prunes the tree.
                if !repair {
                    self.dissemination.keep(update, Some(link));
                }
            }
            AppliedUpdate::Message => {
                self.pass_on(update, link, repair);
                if open {
                    self.deliver_broadcast(id, Arc::clone(&update.payload));
                }
            }
            // The update is not stored, but is relayed if it is new.
            AppliedUpdate::Full | AppliedUpdate::PassedOn => {
                if is_new {
                    self.pass_on(update, link, repair);
                    if open {
                        self.deliver_broadcast(id, Arc::clone(&update.payload));
                    }
                }
            }
            AppliedUpdate::Merged(delta) => {
                let delta: Arc<[u8]> = Arc::from(delta);
                if repair {
                    self.publish_delta(channel, delta, Some(link));
                } else {
                    self.pass_on(update, link, repair);
                    if open {
                        self.deliver_broadcast(id, delta);
                    }
                }
            }
            AppliedUpdate::Changed(changes) => {
                self.pass_on(update, link, repair);
                if open {
                    self.deliver_changes(channel, changes);
                }
            }
            AppliedUpdate::Malformed(_) => self.reject(link, Rejection::Malformed),
        }
    }

    /// Drops messages while the channels hold too many bytes after an update. Returns false if the update itself was
    /// dropped.
    fn drop_excess(&mut self, update: &Update) -> bool {
        let bytes_max = self.context.config.bytes_max;
        let mut kept = true;
        while let Some((name, message)) =
            retention::excess(&self.stores, bytes_max, &update.id.origin)
        {
            let Some(store) = self.stores.get_mut(&name) else {
                break;
            };
            store.drop_message(&message);
            if name == update.id.channel
                && update.body == Body::Message
                && let Some(log) = store.as_log()
            {
                kept &= log.holds(update);
            }
        }
        kept
    }

    /// A neighbour passed a packet to this node.
    fn on_packet(&mut self, link: LinkId, packet: &Arc<Packet>) {
        let me = &self.context.me().clone();
        let peer = self.queues.get(&link).map(LinkQueue::peer);
        if packet.number.max(packet.floor) > self.context.counter_max() {
            self.reject(link, Rejection::CounterTooHigh);
        } else if peer.is_none_or(|peer| !relay::is_genuine(me, packet, peer)) {
            self.reject(link, Rejection::ForgedOrigin);
        } else if packet.to == *me {
            self.on_arrived(link, packet);
        } else if let Some(onward) = relay::forward(me, packet) {
            self.context.out.push(Output::Route(Arc::new(onward)));
        } else {
            self.on_unroutable(packet, DeliveryFailure::RelayLost);
        }
    }

    /// A packet reached its receiver.
    fn on_arrived(&mut self, link: LinkId, packet: &Packet) {
        let current = packet.epoch == self.context.config.life;
        match packet.purpose {
            Purpose::Delivered if current => self.delivery.on_delivered(&mut self.context, packet),
            Purpose::Failed(failure) if current => {
                let failed_at = Some(packet.from.clone());
                self.delivery
                    .on_failed(&mut self.context, packet.number, failed_at, failure);
            }
            // The answer belongs to a message of an earlier start of this node.
            Purpose::Delivered | Purpose::Failed(_) => {}
            Purpose::State => self.on_state(packet),
            Purpose::Datagram => {
                // The sender of a datagram expects no answer.
                let _accepted = self.hand_over(packet).is_ok();
            }
            Purpose::Message => self.on_message(link, packet),
        }
    }

    fn on_message(&mut self, link: LinkId, packet: &Packet) {
        let (from, epoch, number) = (&packet.from, packet.epoch, packet.number);
        if !self.dedup.accepts_sender(from) {
            self.reject(link, Rejection::TooMany);
            return;
        }
        let again = self.context.has(Switch::RepeatsMessages);
        let is_copy = self.dedup.has_message(from, epoch, number);
        let purpose = if is_copy && !again {
            Purpose::Delivered
        } else {
            match self.hand_over(packet) {
                Ok(()) => {
                    self.dedup.note_message(from, epoch, number, packet.floor);
                    Purpose::Delivered
                }
                Err(_) if self.context.has(Switch::AnswersEarly) => Purpose::Delivered,
                Err(failure) => Purpose::Failed(failure),
            }
        };
        let answer = Arc::new(relay::answer(self.context.me(), packet, purpose));
        if is_copy {
            // The first answer was lost, perhaps on a link that carries data in one direction only. The sender chose
            // another way for the copy; the answer goes back on it too.
            self.on_forward(link, &answer);
        }
        self.context.out.push(Output::Route(answer));
    }

    /// A member sent its whole state of a channel. The new part is broadcast; if the states still differ, the member
    /// receives this node's state.
    fn on_state(&mut self, packet: &Packet) {
        let channel = &packet.channel;
        let Some(store) = self.stores.get_mut(channel) else {
            return;
        };
        let Ok(delta) = store.merge(&packet.payload) else {
            return;
        };
        let Some(state) = store.encode() else {
            return;
        };
        if let Some(delta) = delta {
            self.publish_delta(channel, Arc::from(delta), None);
        }
        if state[..] != packet.payload[..] {
            self.send_state(channel, packet.from.clone());
        }
    }

    /// A neighbour sent the hash of its state of a channel.
    fn on_hash(&mut self, link: LinkId, channel: &ChannelName, kind: Kind, hash: u64) {
        if !self.admit(link, channel, kind) {
            return;
        }
        if !self.admits_comparison(link, channel, Some(hash)) {
            return;
        }
        let (Some(store), Some(queue)) = (self.stores.get(channel), self.queues.get(&link)) else {
            return;
        };
        let neighbour = (queue.peer(), queue.age(self.context.now));
        match self
            .anti_entropy
            .on_hash(&self.context, channel, store, hash, neighbour)
        {
            Comparison::Done => {}
            Comparison::Step(step) => self.send_step(link, step),
            Comparison::State => {
                if let Some(state) = store.encode() {
                    self.repair_with_state(link, channel, state);
                }
                self.send_hash(link, channel);
            }
        }
    }

    /// Whether a step of reconciliation is answered: the work that the neighbour causes is within its rate, and no repair
    /// of the channel is under way on the link. Otherwise the channel is compared again soon. A hash equal to this
    /// node's is always answered.
    fn admits_comparison(
        &mut self,
        link: LinkId,
        channel: &ChannelName,
        hash: Option<u64>,
    ) -> bool {
        let (Some(store), Some(queue)) = (self.stores.get_mut(channel), self.queues.get(&link))
        else {
            return false;
        };
        store.prepare_hash();
        if hash.is_some() && store.hash() == hash {
            return true;
        }
        let (now, len) = (self.context.now, store.len());
        let admitted =
            !self.repair.is_under_way(link, channel) && self.repair.admits(now, queue.peer(), len);
        if !admitted {
            self.anti_entropy.continue_soon(&mut self.context, channel);
        }
        admitted
    }

    fn on_sketch(&mut self, link: LinkId, channel: &ChannelName, kind: Kind, cells: &[Cell]) {
        if !self.admit(link, channel, kind) || !self.admits_comparison(link, channel, None) {
            return;
        }
        if let Some(store) = self.stores.get(channel) {
            let answer = self
                .anti_entropy
                .on_sketch(&mut self.context, channel, store, cells);
            self.send_answer(link, channel, answer);
        }
    }

    fn on_larger(&mut self, link: LinkId, channel: &ChannelName, cells: u32) {
        if !self.admits_comparison(link, channel, None) {
            return;
        }
        if let Some(store) = self.stores.get(channel) {
            let answer = self
                .anti_entropy
                .on_larger(&mut self.context, channel, store, cells);
            self.send_answer(link, channel, answer);
        }
    }

    fn on_want(&mut self, link: LinkId, channel: &ChannelName, digests: &[u64]) {
        if !self.admits_comparison(link, channel, None) {
            return;
        }
        if let Some(store) = self.stores.get(channel) {
            let answer = self.anti_entropy.on_want(&mut self.context, store, digests);
            self.send_answer(link, channel, answer);
        }
    }
}
