//! Application data on the mesh: named channels, with unicast to one member and broadcast to all.
//!
//! [`Channels`] is a coordinator: it passes inputs to its components, and the result of one component to the next. The
//! mesh layer below ([`crate::gossip`]) decides the membership, and the node layer above chooses the routes of packets.
//!
//! | component | decides |
//! |---|---|
//! | `store` | the state of a channel, and how an update changes it |
//! | `applications` | which channels are open here, and how many messages each application accepts |
//! | `dedup` | whether a broadcast or message was received before, and which messages are lost |
//! | `dissemination` | how broadcasts reach all: the tree, and repair of missing broadcasts |
//! | `anti_entropy` | when neighbours compare their state, and how a difference is reconciled |
//! | `repair` | how much work a neighbour's comparisons may cause, and which repairs wait for room |
//! | `admission` | which payloads that arrive in segments have room, and which wait |
//! | `retention` | which messages are dropped when the channels of the node hold too many bytes |
//! | `delivery` | how a message reaches one member: answers, retries, other routes |
//! | `link_queue` | what waits on a link, and when it is sent: flow control, segments, pacing |
//! | `mailbox` | what waits for a reader of a channel, and what a slow reader loses; held by the adapter |
//!
//! A node relays channels that none of its own applications has open, and keeps their messages and maps for members
//! that join later. Start with [`Input`] and [`Output`].
//!
//! Bounds: channels [`CHANNELS_MAX`] with [`BYTES_MAX`] bytes by default, origins [`TRACKED_MAX`], pending messages [`PENDING_MAX`] with
//! [`PENDING_BYTES_MAX`] bytes; the others are documented in the components.
//!
//! Sources: Plumtree (Leitão et al., SRDS 2007) for the tree and its repair; rateless set reconciliation (Yang et al.,
//! SIGCOMM 2024); Lamport (CACM 1978) for the clocks of maps.

mod admission;
mod anti_entropy;
mod applications;
mod config;
mod context;
mod dedup;
mod delivery;
mod dissemination;
mod input;
mod interface;
mod items;
mod link_queue;
mod mailbox;
pub mod message;
mod output;
mod relay;
mod repair;
mod retention;
mod store;
mod streams;
#[cfg(test)]
mod tests;
mod transaction;

pub use config::{BYTES_MAX, CHANNELS_MAX, Config, Tuning};
pub use dedup::TRACKED_MAX;
pub use delivery::{PENDING_BYTES_MAX, PENDING_MAX};
pub use dissemination::{RECENT_BYTES_MAX, RECENT_MAX};
pub use interface::{
    ChannelOperation, Delivery, Done, Event, Expected, INTERVAL, INTERVAL_MAX, INTERVAL_MIN, Input,
    Neighbour, Options, Output, ROOM_BYTES, Refusal, Rejection, Request, Transaction, Write,
};
pub use link_queue::{WAITING_BYTES_MAX, WINDOW};
pub use mailbox::{BROADCAST_BYTES_WAITING_MAX, BROADCASTS_WAITING_MAX, Mailbox, Received};
pub use message::{ChannelName, Data, DeliveryFailure, Kind, Update, UpdateId, Version};
pub use store::{
    Custom, KEYS_MAX, MAP_BYTES_MAX, MapEntry, Mergeable, RETAINED_BYTES_MAX, RETAINED_MAX,
};

use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::pacing::Pending;
use crate::sabotage::Switch;
use crate::time::Instant;
use admission::PayloadAdmission;
use anti_entropy::AntiEntropy;
use applications::Applications;
use context::{Context, Timer};
use dedup::Dedup;
use delivery::DeliveryTracker;
use dissemination::Dissemination;
use link_queue::LinkQueue;
use repair::Repair;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{ChannelStore, ReplicatedMap};

/// The channels of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Channels {
    context: Context,
    stores: BTreeMap<ChannelName, ChannelStore>,
    applications: Applications,
    dedup: Dedup,
    dissemination: Dissemination,
    anti_entropy: AntiEntropy,
    repair: Repair,
    delivery: DeliveryTracker,
    admission: PayloadAdmission,
    queues: BTreeMap<LinkId, LinkQueue>,
    /// Links that may have output.
    pending: Pending<LinkId>,
}

impl Channels {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        Self {
            context: Context::new(config, seed, now),
            stores: BTreeMap::new(),
            applications: Applications::default(),
            dedup: Dedup::default(),
            dissemination: Dissemination::default(),
            anti_entropy: AntiEntropy::default(),
            repair: Repair::default(),
            delivery: DeliveryTracker::default(),
            admission: PayloadAdmission::default(),
            queues: BTreeMap::new(),
            pending: Pending::new(),
        }
    }

    /// Whether a sabotage switch is on, which turns a mechanism off or plants a bug.
    pub(crate) const fn sabotaged(&self, switch: Switch) -> bool {
        self.context.config.sabotage.has(switch)
    }

    fn on_wake(&mut self) {
        while let Some((_, timer)) = self.context.timers.pop_due(self.context.now) {
            match timer {
                Timer::Flush(link) => self.pending.mark(link),
                Timer::Graft(id) => self.request_missing(&id),
                Timer::Compare(channel) => self.begin_interval(&channel),
                Timer::Admission => self.end_slow_payloads(),
                Timer::Retry(number) => {
                    let queues = &self.queues;
                    let peer_of = |link| {
                        queues
                            .get(&link)
                            .map(|queue: &LinkQueue| queue.peer().clone())
                    };
                    self.delivery.retry(&mut self.context, number, peer_of);
                }
            }
        }
    }
}

/// Queries, without side effects.
impl Channels {
    /// The known channels in order, each with its kind and whether an application of this node has it open.
    pub fn known(&self) -> impl Iterator<Item = (&ChannelName, Kind, bool)> + '_ {
        let stores = self.stores.iter();
        stores.map(|(name, store)| (name, store.kind(), self.applications.has_open(name)))
    }

    /// Order-free hash of a channel's state. None if this node holds no state, or does not know the channel.
    #[must_use]
    pub fn hash(&self, channel: &ChannelName) -> Option<u64> {
        self.stores.get(channel)?.hash()
    }

    /// The retained messages of a channel, by origin, oldest first.
    pub fn messages(&self, channel: &ChannelName) -> impl Iterator<Item = &Arc<Update>> + '_ {
        let store = self.stores.get(channel);
        store.into_iter().flat_map(ChannelStore::messages)
    }

    /// The keys of a map that have a value, with their current writes, in order.
    pub fn values(
        &self,
        channel: &ChannelName,
    ) -> impl Iterator<Item = (&Arc<str>, &MapEntry)> + '_ {
        let map = self.map(channel);
        map.into_iter().flat_map(ReplicatedMap::values)
    }

    /// The current write of a key of a map, even if the write is a deletion.
    #[must_use]
    pub fn value(&self, channel: &ChannelName, key: &str) -> Option<&MapEntry> {
        self.map(channel)?.entry(key)
    }

    fn map(&self, channel: &ChannelName) -> Option<&ReplicatedMap> {
        self.stores.get(channel)?.as_map()
    }

    /// The application's own state of a channel, encoded.
    #[must_use]
    pub fn custom(&self, channel: &ChannelName) -> Option<Vec<u8>> {
        self.stores.get(channel)?.encode()
    }

    /// The links of the broadcast tree and their peers.
    pub fn eager(&self) -> impl Iterator<Item = (LinkId, &NodeId)> + '_ {
        let eager = self
            .queues
            .iter()
            .filter(|(link, queue)| queue.is_lively() && self.dissemination.is_eager(**link));
        eager.map(|(link, queue)| (*link, queue.peer()))
    }

    /// The memory of the payloads that arrive in segments, in bytes.
    #[cfg(test)]
    fn arriving_bytes(&self) -> usize {
        self.queues.values().map(LinkQueue::arriving_bytes).sum()
    }

    /// The number of unanswered messages of this node.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.delivery.len()
    }
}

impl Machine for Channels {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        assert!(now >= self.context.now, "time went backwards");
        self.context.now = now;
        core::mem::swap(&mut self.context.out, out);
        match input {
            Input::Neighbours(neighbours) => self.on_neighbours(neighbours),
            Input::Calendar(wall) => self.context.set_calendar(wall),
            Input::Pace(pace) => self.context.set_pace(pace),
            Input::Receive { link, data } => self.on_receive(link, data),
            Input::Forward { link, packet } => self.on_forward(link, &packet),
            Input::Unroutable { packet, failure } => self.on_unroutable(&packet, failure),
            Input::Open {
                request,
                channel,
                options,
            } => {
                let result = self.on_open(&channel, options);
                self.context.out.push(Output::Answer { request, result });
            }
            Input::Close { channel } => self.on_close(&channel),
            Input::Publish {
                request,
                channel,
                payload,
            } => {
                let result = self.on_publish(&channel, payload);
                self.context.out.push(Output::Answer { request, result });
            }
            Input::Transact {
                request,
                channel,
                transaction,
            } => {
                let result = self.on_transact(&channel, &transaction);
                self.context.out.push(Output::Answer { request, result });
            }
            Input::Once {
                request,
                channel,
                kind,
                operation,
            } => {
                let result = self.on_once(&channel, kind, operation);
                self.context.out.push(Output::Answer { request, result });
            }
            Input::Send {
                request,
                to,
                channel,
                payload,
                datagram,
            } => {
                if let Some(result) = self.on_send(request, to, channel, payload, datagram) {
                    self.context.out.push(Output::Answer { request, result });
                }
            }
            Input::Consumed {
                channel,
                count,
                bytes,
            } => self.applications.note_consumed(&channel, count, bytes),
            Input::Wake => self.on_wake(),
        }
        self.flush();
        if self.admission.has_waiting() {
            // The flush may have ended the sending of a large payload.
            self.admit_payloads();
            self.flush();
        }
        core::mem::swap(&mut self.context.out, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.context.timers.next()
    }
}
