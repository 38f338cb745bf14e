//! Outputs of the machine: broadcasts to neighbours, steps of anti-entropy, deliveries to applications, and the flush
//! of each link.

use super::Channels;
use super::anti_entropy::Answer;
use super::context::Timer;
use super::dedup::MissedRange;
use super::interface::{Delivery, Event, Output, Rejection};
use super::link_queue::LinkQueue;
use super::message::{Body, ChannelName, DeliveryFailure, Item, Packet, Purpose, Update, UpdateId};
use super::store::{ElementKey, MapChange};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::pacing::{Pace, next_batch};
use crate::sabotage::Switch;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Intervals of anti-entropy after which missing messages are lost if no message of their origin arrived in this time.
const INTERVALS_MISSING: u32 = 2;

/// Broadcasts.
impl Channels {
    /// Creates the next broadcast of this node on a channel.
    pub(super) fn publish(
        &mut self,
        channel: &ChannelName,
        body: Body,
        payload: Arc<[u8]>,
    ) -> Arc<Update> {
        self.anti_entropy.note_changed(channel, self.context.now);
        self.dissemination
            .publish(&self.context, channel, body, payload)
    }

    /// Sends a broadcast of this node to all neighbours except one.
    pub(super) fn broadcast_own(&mut self, update: &Arc<Update>, except: Option<LinkId>) {
        self.dissemination.keep(update, None);
        self.broadcast(update, except);
    }

    /// Relays a new broadcast to the other neighbours. A repair is not evidence about the tree.
    pub(super) fn pass_on(&mut self, update: &Arc<Update>, link: LinkId, repair: bool) {
        if !repair {
            self.dissemination.make_eager(link);
        }
        self.dissemination
            .keep(update, Some(link).filter(|_| !repair));
        self.broadcast(update, Some(link));
    }

    /// Broadcasts the new part of a whole state received from a node.
    pub(super) fn publish_delta(
        &mut self,
        channel: &ChannelName,
        delta: Arc<[u8]>,
        except: Option<LinkId>,
    ) {
        let update = self.publish(channel, Body::Custom, Arc::clone(&delta));
        self.broadcast_own(&update, except);
        if self.applications.has_open(channel) {
            self.deliver_broadcast(&update.id, delta);
        }
    }

    /// Sends a broadcast to all neighbours except one: at once on links of the tree, and as an announcement on other
    /// links.
    fn broadcast(&mut self, update: &Arc<Update>, except: Option<LinkId>) {
        let due = self.context.now + self.context.tuning().announce_after;
        for (link, queue) in &mut self.queues {
            if Some(*link) == except {
                continue;
            }
            self.pending.mark(*link);
            if !queue.is_lively() || !self.dissemination.is_eager(*link) {
                queue.announce(update.id.clone(), due);
                continue;
            }
            for channel in queue.broadcast(update) {
                let peer = queue.peer().clone();
                self.context.report(Event::Dropped { peer, channel });
            }
        }
    }
}

/// Anti-entropy.
impl Channels {
    /// Starts an interval: compares a channel with some neighbours, and sends the application's state to one member.
    pub(super) fn begin_interval(&mut self, channel: &ChannelName) {
        let lively = self.queues.iter().filter(|(_, queue)| queue.is_lively());
        let lively: Vec<LinkId> = lively.map(|(link, _)| *link).collect();
        if !self.stores.contains_key(channel) {
            return;
        }
        if !lively.is_empty() {
            self.give_up_missing(channel);
        }
        let chosen = self
            .anti_entropy
            .begin_interval(&mut self.context, channel, lively);
        for link in chosen {
            self.send_hash(link, channel);
        }
        let neighbours: BTreeSet<&NodeId> =
            self.queues.values().map(|queue| queue.peer()).collect();
        let members: Vec<NodeId> = self
            .dedup
            .origins(channel)
            .filter(|id| !neighbours.contains(id))
            .cloned()
            .collect();
        if let Some(to) = self.anti_entropy.choose_member(&mut self.context, &members) {
            self.send_state(channel, to);
        }
    }

    /// Missing messages that no neighbour offered in [`INTERVALS_MISSING`] intervals are lost.
    fn give_up_missing(&mut self, channel: &ChannelName) {
        let Some(interval) = self.anti_entropy.interval(channel) else {
            return;
        };
        let until = self
            .context
            .now
            .saturating_sub(interval * INTERVALS_MISSING);
        for (origin, loss) in self.dedup.take_missing(channel, until) {
            self.deliver_loss(channel, &origin, loss);
        }
    }

    /// Sends the application's state of a channel to one member.
    pub(super) fn send_state(&mut self, channel: &ChannelName, to: NodeId) {
        let state = self.stores.get(channel).and_then(|store| store.encode());
        let Some(state) = state else { return };
        let (me, epoch) = (self.context.me().clone(), self.context.config.life);
        self.context.out.push(Output::Route(Arc::new(Packet {
            from: me.clone(),
            to,
            epoch,
            number: 0,
            floor: 0,
            purpose: Purpose::State,
            channel: channel.clone(),
            path: vec![me],
            payload: Arc::from(state),
        })));
    }

    /// Sends the application's state of a channel to a neighbour.
    pub(super) fn repair_with_state(
        &mut self,
        link: LinkId,
        channel: &ChannelName,
        state: Vec<u8>,
    ) {
        let update = self.publish(channel, Body::Custom, Arc::from(state));
        if let Some(queue) = self.queues.get_mut(&link) {
            queue.repair(&update);
        }
    }

    /// Sends this node's hash of a channel to a neighbour.
    pub(super) fn send_hash(&mut self, link: LinkId, channel: &ChannelName) {
        let Some(store) = self.stores.get(channel) else {
            return;
        };
        if let Some(step) = self.anti_entropy.hash(&self.context, channel, store) {
            self.send_step(link, step);
        }
    }

    /// Sends a step of reconciliation. The step is dropped if too many wait; the next comparison starts over.
    pub(super) fn send_step(&mut self, link: LinkId, step: Item) {
        if let Some(queue) = self.queues.get_mut(&link)
            && queue.push_step(step)
        {
            self.pending.mark(link);
        }
    }

    /// Sends the answer to a step of a neighbour. The broadcasts for which the link has no room wait.
    pub(super) fn send_answer(&mut self, link: LinkId, channel: &ChannelName, answer: Answer) {
        if let Some(step) = answer.step {
            self.send_step(link, step);
        }
        self.send_repairs(link, channel, answer.repairs);
        self.pending.mark(link);
    }

    /// Sends repairs in their order while the link has room; the others wait. Elements that left the state meanwhile are
    /// passed over.
    fn send_repairs(
        &mut self,
        link: LinkId,
        channel: &ChannelName,
        mut repairs: VecDeque<ElementKey>,
    ) {
        let (Some(queue), Some(store)) = (self.queues.get_mut(&link), self.stores.get(channel))
        else {
            return;
        };
        while queue.has_room()
            && let Some(key) = repairs.pop_front()
        {
            if let Some(element) = store.element(&key) {
                queue.repair(&element.to_update(channel));
            }
        }
        self.repair.wait(link, channel, repairs);
    }

    /// Continues the repairs that wait for room on a link. Returns whether there were any.
    fn resume_repairs(&mut self, link: LinkId) -> bool {
        let has_room = self.queues.get(&link).is_some_and(LinkQueue::has_room);
        let Some((channel, rest)) = has_room.then(|| self.repair.resume(link)).flatten() else {
            return false;
        };
        self.send_repairs(link, &channel, rest);
        if !self.repair.is_under_way(link, &channel) {
            // The next comparison shows whether anything changed meanwhile.
            self.anti_entropy.continue_soon(&mut self.context, &channel);
        }
        true
    }
}

/// Deliveries to applications, and reports.
impl Channels {
    /// Hands a message or datagram to the application.
    pub(super) fn hand_over(&mut self, packet: &Packet) -> Result<(), DeliveryFailure> {
        self.applications
            .accept(&packet.channel, packet.payload.len())?;
        self.context.out.push(Output::Deliver {
            channel: packet.channel.clone(),
            delivery: Delivery::Message {
                from: packet.from.clone(),
                payload: Arc::clone(&packet.payload),
                datagram: packet.purpose == Purpose::Datagram,
            },
        });
        Ok(())
    }

    /// Delivers a broadcast to the application.
    pub(super) fn deliver_broadcast(&mut self, id: &UpdateId, payload: Arc<[u8]>) {
        self.context.out.push(Output::Deliver {
            channel: id.channel.clone(),
            delivery: Delivery::Broadcast {
                id: id.clone(),
                payload,
            },
        });
    }

    /// Notifies the application of the messages of an origin that it missed.
    pub(super) fn deliver_loss(
        &mut self,
        channel: &ChannelName,
        origin: &NodeId,
        loss: MissedRange,
    ) {
        if !self.applications.has_open(channel) || self.context.has(Switch::NoMissedNotices) {
            return;
        }
        self.context.out.push(Output::Deliver {
            channel: channel.clone(),
            delivery: Delivery::Missed {
                origin: origin.clone(),
                epoch: loss.epoch,
                first: loss.first,
                last: loss.last,
                restarted: loss.restarted,
            },
        });
    }

    /// Delivers the changes of a map, and the conflicts: writes of this node that lost against writes made without
    /// knowledge of this node's write.
    pub(super) fn deliver_changes(&mut self, channel: &ChannelName, changes: Vec<MapChange>) {
        let me = &self.context.me().clone();
        let silent = self.context.has(Switch::NoConflicts);
        for MapChange {
            key,
            entry,
            replaced,
        } in changes
        {
            if let Some(lost) = replaced.filter(|_| !silent)
                && lost.version.origin == *me
                && entry.version.origin != *me
                && entry.over.as_ref() != Some(&lost.version)
            {
                self.context.out.push(Output::Deliver {
                    channel: channel.clone(),
                    delivery: Delivery::Conflict {
                        key: Arc::clone(&key),
                        lost: lost.version,
                        won: entry.version.clone(),
                    },
                });
            }
            self.context.out.push(Output::Deliver {
                channel: channel.clone(),
                delivery: Delivery::Changed {
                    key,
                    value: entry.value,
                    version: entry.version,
                },
            });
        }
    }

    /// Reports that an item from a neighbour was rejected.
    pub(super) fn reject(&mut self, link: LinkId, reason: Rejection) {
        if let Some(queue) = self.queues.get(&link) {
            let from = queue.peer().clone();
            self.context.report(Event::Rejected { from, reason });
        }
    }
}

/// The flush of links.
impl Channels {
    /// Sends what is ready on each link that may have output.
    pub(super) fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let coalesce = self.context.config.tuning.coalesce;
        let now = self.context.now;
        let links = self.pending.take();
        for link in &links {
            match self.queues.get(link).map(|queue| queue.pace(now, coalesce)) {
                None | Some(Pace::Idle) => {}
                Some(Pace::Wait(at)) => {
                    self.context.timers.set_earlier(Timer::Flush(*link), at);
                }
                Some(Pace::Send) => self.flush_link(*link),
            }
        }
        self.pending.reset(links);
    }

    fn flush_link(&mut self, link: LinkId) {
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        let coalesce = self.context.tuning().coalesce;
        while let Some(data) = queue.next_message(self.context.now) {
            self.context.out.push(Output::Transmit { link, data });
        }
        if let Some(at) = next_batch(self.context.now, queue.demand(), coalesce) {
            self.context.timers.set_earlier(Timer::Flush(link), at);
        }
        let channels = queue.take_needs_resync();
        if self.resume_repairs(link) || !channels.is_empty() {
            self.context
                .timers
                .set_earlier(Timer::Flush(link), self.context.now + coalesce);
        }
        for channel in &channels {
            self.send_hash(link, channel);
        }
    }

    /// A link is lost.
    pub(super) fn cancel_flush(&mut self, link: LinkId) {
        self.context.timers.cancel(&Timer::Flush(link));
    }
}
