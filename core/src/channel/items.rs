//! Items from neighbours: broadcasts, packets and steps of anti-entropy.

use super::admission::{Relaying, small_max};
use super::anti_entropy::Comparison;
use super::dedup::Noted;
use super::dissemination::RepairRequest as Graft;
use super::input::SHARED_MAX;
use super::interface::{Event, Output, Rejection};
use super::link_queue::{LinkQueue, ReassemblyFault, ReceivedItems, RelayedPayload};
use super::message::{
    Body, ChannelName, Data, DeliveryFailure, Item, Kind, Packet, Purpose, Update, UpdateId,
};
use super::store::{AppliedUpdate, ChannelStore, RETAINED_MAX, Rule};
use super::{Channels, relay, retention};
use crate::link::LinkId;
use crate::sabotage::Switch;
use crate::sketch::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a channel holds the elements of a broadcast, so that the broadcast takes no memory of its own.
fn is_held(stores: &BTreeMap<ChannelName, ChannelStore>, update: &Update) -> bool {
    let store = stores.get(&update.id.channel);
    store.is_some_and(|store| store.holds(update))
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
        let ReceivedItems {
            items,
            ended,
            waits,
        } = queue.receive(data);
        match items {
            Ok(items) => self.on_items(link, items),
            Err(ReassemblyFault::Broken) => self.reject(link, Rejection::BrokenPayload),
            Err(ReassemblyFault::Unpermitted) => self.reject(link, Rejection::WindowExceeded),
        }
        if ended {
            self.admission.release(&mut self.context, link);
        }
        match waits {
            Some(bytes) if !self.admission.knows(link) => self.request_room(link, bytes),
            Some(_) | None => self.admission.note_progress(self.context.now, link),
        }
        if ended {
            self.admit_payloads();
        }
    }

    fn on_items(&mut self, link: LinkId, items: Vec<Item>) {
        for item in items {
            match item {
                // The payload was skipped because the broadcast was known; meanwhile its channel was forgotten.
                Item::Update {
                    update, remaining, ..
                } if remaining > 0 && !self.is_known(&update.id) => {}
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

    /// A payload of `bytes` bytes began on a link. It waits if there is no room; if it is not needed, it is skipped.
    fn request_room(&mut self, link: LinkId, bytes: usize) {
        if self.skip_needless(link) {
            return;
        }
        let relaying = self.relaying();
        let has_room = self
            .admission
            .request(&mut self.context, link, bytes, relaying);
        if has_room {
            self.give_room(link);
        } else if let Some(queue) = self.queues.get(&link) {
            let from = queue.peer().clone();
            self.context.report(Event::Deferred { from, bytes });
        }
    }

    /// Allocates the memory of a payload. Recent broadcasts of its class that no channel holds give way.
    fn give_room(&mut self, link: LinkId) {
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        let max = small_max(&self.context);
        if queue.waiting_bytes() > max {
            let stores = &self.stores;
            self.dissemination
                .drop_payloads(max, |update| is_held(stores, update));
        }
        queue.give_room();
    }

    /// Gives room to the payloads that wait, in their order, and skips those that arrived on other links meanwhile.
    pub(super) fn admit_payloads(&mut self) {
        loop {
            let relaying = self.relaying();
            let Some(link) = self.admission.next(&mut self.context, relaying) else {
                return;
            };
            if self.skip_needless(link) {
                self.admission.release(&mut self.context, link);
            } else {
                self.give_room(link);
            }
            self.pending.mark(link);
        }
    }

    /// The large payloads that are relayed.
    fn relaying(&self) -> Relaying {
        let (max, me) = (small_max(&self.context), self.context.me());
        let lively = self.queues.values().filter(|queue| queue.is_lively());
        // A payload beside the channels matters while these use much of their memory.
        let scarce = retention::bytes(&self.stores) > self.context.config.bytes_max / 2;
        let mut relaying = Relaying::Nothing;
        for payload in lively.flat_map(|queue| queue.relayed_above(max, me)) {
            match payload {
                RelayedPayload::Broadcast(update) if scarce && !is_held(&self.stores, update) => {
                    return Relaying::Unheld;
                }
                RelayedPayload::Broadcast(_) | RelayedPayload::Packet => relaying = Relaying::Held,
            }
        }
        relaying
    }

    /// Ends the payloads that arrive too slowly while others wait for their room.
    pub(super) fn end_slow_payloads(&mut self) {
        while let Some(link) = self.admission.slow(&mut self.context) {
            if let Some(queue) = self.queues.get_mut(&link) {
                queue.skip_payload(false);
            }
            self.reject(link, Rejection::TooSlow);
            self.pending.mark(link);
        }
        self.admit_payloads();
    }

    /// Skips the payload that arrives on a link, if this node has received it before.
    fn skip_needless(&mut self, link: LinkId) -> bool {
        let broadcast = self
            .queues
            .get(&link)
            .and_then(LinkQueue::incoming_broadcast);
        let Some((update, repair)) = broadcast else {
            return false;
        };
        let needless = if repair {
            is_held(&self.stores, update)
        } else {
            self.is_known(&update.id) && !self.context.has(Switch::RepeatsMessages)
        };
        if needless && let Some(queue) = self.queues.get_mut(&link) {
            // An item of a repair has no effect if its element is held.
            queue.skip_payload(!repair);
        }
        needless
    }

    /// Whether a broadcast was received before, or is this node's own.
    fn is_known(&self, id: &UpdateId) -> bool {
        self.dedup.has_broadcast(id) || self.dissemination.is_own(&self.context, id)
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
    pub(super) fn learn(&mut self, channel: &ChannelName, kind: Kind) {
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
        if self.is_known(&id) {
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
        if is_new && update.body == Body::Message {
            self.report_losses(id);
        }
        if is_new || repair || self.context.has(Switch::RepeatsMessages) {
            self.apply(link, update, repair, is_new);
        } else if self.dissemination.is_duplicate(id, link)
            && let Some(queue) = self.queues.get_mut(&link)
        {
            self.dissemination.make_lazy(link);
            queue.prune();
        }
    }

    /// A new message arrived. The messages before it of which no node retains a copy are lost.
    fn report_losses(&mut self, id: &UpdateId) {
        let later = if self.context.has(Switch::HastyLosses) {
            1
        } else {
            RETAINED_MAX
        };
        let (channel, origin) = (&id.channel, &id.origin);
        let now = self.context.now;
        for loss in self.dedup.take_losses(channel, origin, later, now) {
            self.deliver_loss(channel, origin, loss);
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
                    self.dissemination.keep_name(id, link);
                }
            }
            AppliedUpdate::Message => {
                self.pass_on(update, link, repair);
                // A message that was dropped for larger ones may return.
                if open && (is_new || self.context.has(Switch::RepeatsMessages)) {
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
    pub(super) fn drop_excess(&mut self, update: &Update) -> bool {
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
