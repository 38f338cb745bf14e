//! Applications' data on the mesh: named channels, to one member and to all.
//!
//! [`Channels`] decides which way bytes go and what they change; the mesh beneath ([`crate::gossip`]) decides who is
//! there. `unicast` brings a message to one member, over other nodes where no link leads, and says what came of it.
//! `broadcast` brings an update to all, along a tree of its own on the mesh's links. `sync` compares what neighbours
//! hold and repairs it. `store` is what is held, `queue` what waits on a link.
//!
//! A node relays channels that no application of its own has opened, and holds their messages and maps for who comes
//! later. Start with [`Input`] and [`Output`].
//!
//! Bounds: channels [`CHANNELS_MAX`], origins told apart [`TRACKED_MAX`], broadcasts kept for repair [`RECENT_MAX`] and
//! [`RECENT_BYTES_MAX`] bytes, announced broadcasts waited for [`MISSING_MAX`], messages under way [`PENDING_MAX`] and
//! [`PENDING_BYTES_MAX`] bytes; see `store` and `queue` for theirs.
//!
//! Sources: Plumtree (Leitão et al., SRDS 2007) for the tree and its repair; Lamport (CACM 1978) for the clocks of maps.

mod broadcast;
mod config;
mod courier;
mod custom;
mod interface;
pub mod message;
mod queue;
mod recent;
mod seen;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod unicast;

pub use config::{CHANNELS_MAX, Config, Tuning};
pub use custom::{Custom, Mergeable};
pub use interface::{
    Delivery, Done, Event, Expected, INTERVAL, INTERVAL_MAX, INTERVAL_MIN, Input, Neighbour,
    Options, Output, ROOM_BYTES, Refusal, Rejection, Request, Transaction, Write,
};
pub use message::{ChannelName, Data, Failure, Kind, Update, UpdateId, Version};
pub use queue::{WAITING_BYTES_MAX, WINDOW};
pub use recent::{RECENT_BYTES_MAX, RECENT_MAX};
pub use store::{Held, KEYS_MAX, MAP_BYTES_MAX, RETAINED_BYTES_MAX, RETAINED_MAX};

use crate::deadlines::Deadlines;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::{Machine, Outbox};
use crate::random::Random;
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};
use courier::Courier;
use message::{Item, PAYLOAD_BYTES_MAX};
use queue::Queue;
use recent::{Missing, Recent};
use seen::Seen;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;

/// The most origins told apart, of all channels together: broadcasts of further ones are not passed on.
pub const TRACKED_MAX: usize = 131_072;
/// The most announced broadcasts waited for at one time; more are left to comparison.
pub const MISSING_MAX: usize = 1_024;
/// The most messages of this node under way at one time.
pub const PENDING_MAX: usize = 1_024;
/// The most bytes of them; one more payload always fits.
pub const PENDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a deadline is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Flush(LinkId),
    Graft(UpdateId),
    Compare(ChannelName),
    Retry(u64),
}

/// What a node knows of one channel.
#[derive(Clone, Debug, PartialEq)]
struct Channel {
    store: Store,
    /// How an application of this node opened it.
    opened: Option<Opened>,
    /// The node's latest broadcast on it.
    sequence: u64,
    seen: BTreeMap<NodeId, Seen>,
    changed: Instant,
    /// When a comparison last went further than hashes.
    compared: Option<Instant>,
    interval: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Opened {
    room: u32,
    /// Messages handed over and not consumed.
    outstanding: u32,
    /// Their bytes.
    outstanding_bytes: usize,
}

/// The channels of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Channels {
    config: Config,
    now: Instant,
    random: Random,
    channels: BTreeMap<ChannelName, Channel>,
    /// How many origins all channels together tell apart.
    tracked: usize,
    queues: BTreeMap<LinkId, Queue>,
    recent: Recent,
    missing: BTreeMap<UpdateId, Missing>,
    courier: Courier,
    timers: Deadlines<Timer>,
    /// Links that may have something to say; some twice.
    dirty: Vec<LinkId>,
}

impl Channels {
    /// The machine of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        Self {
            random: Random::from_seed(seed).child("channel"),
            channels: BTreeMap::new(),
            tracked: 0,
            queues: BTreeMap::new(),
            recent: Recent::new(),
            missing: BTreeMap::new(),
            courier: Courier::new(),
            timers: Deadlines::new(),
            dirty: Vec::new(),
            now,
            config,
        }
    }

    /// Whether something is broken on purpose.
    pub(crate) const fn sabotaged(&self, switch: Switch) -> bool {
        self.config.sabotage.has(switch)
    }

    fn on_neighbours(&mut self, neighbours: &[Neighbour], out: &mut Outbox<Output>) {
        let gone: Vec<LinkId> = self.queues.keys().copied().collect();
        let gone = gone
            .into_iter()
            .filter(|link| neighbours.iter().all(|it| it.link != *link));
        let mut lost = false;
        for link in gone {
            // A link that only announces is no part of the tree.
            lost |= self.queues.get(&link).is_some_and(|queue| queue.eager);
            self.lose_link(link, out);
        }
        for neighbour in neighbours {
            if let Some(queue) = self.queues.get_mut(&neighbour.link) {
                lost |= queue.lively && queue.eager && !neighbour.lively;
                queue.lively = neighbour.lively;
                continue;
            }
            let queue = Queue::new(
                neighbour.link,
                neighbour.peer.clone(),
                neighbour.lively,
                self.now,
            );
            self.queues.insert(neighbour.link, queue);
            self.compare_all(neighbour.link);
        }
        if lost {
            self.mend_tree();
        }
    }

    fn lose_link(&mut self, link: LinkId, out: &mut Outbox<Output>) {
        let Some(mut queue) = self.queues.remove(&link) else {
            return;
        };
        self.timers.cancel(&Timer::Flush(link));
        for parcel in queue.take_parcels() {
            out.push(Output::Route(parcel));
        }
        self.resend_over(link);
    }

    fn on_receive(&mut self, link: LinkId, data: Data, out: &mut Outbox<Output>) {
        let Some(queue) = self.queues.get_mut(&link) else {
            return;
        };
        self.dirty.push(link);
        if data.prune {
            queue.eager = false;
        }
        let Some(items) = queue.take(data) else {
            self.reject(link, Rejection::BrokenPayload, out);
            return;
        };
        for item in items {
            match item {
                Item::Have(id) => self.on_have(link, id),
                Item::Graft(id) => self.on_graft(link, &id),
                Item::Update { update, repair, .. } => self.on_update(link, &update, repair, out),
                Item::Parcel { parcel, .. } => self.on_parcel(link, &parcel, out),
                Item::Digest {
                    channel,
                    kind,
                    hash,
                } => self.on_digest(link, &channel, kind, hash, out),
                Item::Sketch {
                    channel,
                    kind,
                    cells,
                } => self.on_sketch(link, &channel, kind, &cells, out),
                Item::Larger { channel, cells } => self.on_larger(link, &channel, cells),
                Item::Want { channel, digests } => self.on_want(link, &channel, &digests),
                // The queue made whole what came in pieces.
                Item::Rest(_) => {}
            }
        }
    }

    fn reject(&self, link: LinkId, reason: Rejection, out: &mut Outbox<Output>) {
        if let Some(queue) = self.queues.get(&link) {
            let from = queue.peer.clone();
            out.push(Output::Report(Event::Rejected { from, reason }));
        }
    }

    fn on_open(
        &mut self,
        channel: &ChannelName,
        options: Options,
        out: &mut Outbox<Output>,
    ) -> Result<Done, Refusal> {
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&options.interval) {
            return Err(Refusal::BadInterval(options.interval));
        }
        let known = self.channels.get(channel);
        let again = self.sabotaged(Switch::OpensTwice);
        if known.is_some_and(|known| known.opened.is_some() && !again) {
            return Err(Refusal::AlreadyOpen);
        }
        if known.is_none() && self.channels.len() >= CHANNELS_MAX {
            return Err(Refusal::TooManyChannels);
        }
        if let Some(kind) = known
            .map(|known| known.store.kind())
            .filter(|kind| *kind != options.kind)
        {
            return Err(Refusal::OtherKind(kind));
        }
        let held = self.learn(channel, options.kind, out);
        held.opened = Some(Opened {
            room: options.room,
            outstanding: 0,
            outstanding_bytes: 0,
        });
        held.interval = options.interval;
        if options.custom.is_some() {
            held.store = Store::of(Kind::Custom, options.custom);
        }
        let soon = self.random.duration_below(options.interval);
        self.timers
            .set_earlier(Timer::Compare(channel.clone()), self.now + soon);
        let links: Vec<LinkId> = self.queues.keys().copied().collect();
        for link in links {
            self.send_digest(link, channel);
        }
        Ok(Done::Opened)
    }

    /// The channel of a name, made if it is new. The caller has seen to it that there is room.
    fn learn(&mut self, name: &ChannelName, kind: Kind, out: &mut Outbox<Output>) -> &mut Channel {
        let (now, random, timers) = (self.now, &mut self.random, &mut self.timers);
        self.channels.entry(name.clone()).or_insert_with(|| {
            out.push(Output::Report(Event::Learnt {
                channel: name.clone(),
                kind,
            }));
            timers.set(
                Timer::Compare(name.clone()),
                now + random.duration_below(INTERVAL),
            );
            Channel {
                store: Store::of(kind, None),
                opened: None,
                sequence: 0,
                seen: BTreeMap::new(),
                changed: now,
                compared: None,
                interval: INTERVAL,
            }
        })
    }

    /// The channel of a name that a neighbour used for this kind.
    fn channel_of(
        &mut self,
        link: LinkId,
        name: &ChannelName,
        kind: Kind,
        out: &mut Outbox<Output>,
    ) -> Option<&mut Channel> {
        match self.channels.get(name) {
            Some(known) if known.store.kind() != kind => {
                self.reject(link, Rejection::OtherKind, out);
                None
            }
            // The rest is for this node's own applications.
            None if self.channels.len() >= CHANNELS_MAX / 4 * 3 => {
                self.reject(link, Rejection::TooMany, out);
                None
            }
            Some(_) | None => Some(self.learn(name, kind, out)),
        }
    }

    fn on_close(&mut self, channel: &ChannelName) {
        if let Some(held) = self.channels.get_mut(channel) {
            held.opened = None;
            held.interval = INTERVAL;
            if let Store::Custom(custom) = &mut held.store {
                *custom = None;
            }
        }
    }

    fn on_consumed(&mut self, channel: &ChannelName, count: u32, bytes: usize) {
        let opened = self
            .channels
            .get_mut(channel)
            .and_then(|held| held.opened.as_mut());
        if let Some(opened) = opened {
            opened.outstanding = opened.outstanding.saturating_sub(count);
            opened.outstanding_bytes = opened.outstanding_bytes.saturating_sub(bytes);
        }
    }

    fn on_wake(&mut self, out: &mut Outbox<Output>) {
        while let Some((_, timer)) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Flush(link) => self.dirty.push(link),
                Timer::Graft(id) => self.ask_next_announcer(&id),
                Timer::Compare(channel) => self.compare(&channel, out),
                Timer::Retry(number) => self.retry(number, out),
            }
        }
    }

    /// Sends what is ready on each link that may have something to say.
    fn flush(&mut self, out: &mut Outbox<Output>) {
        let mut dirty = core::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for link in dirty.drain(..) {
            let Some(queue) = self.queues.get_mut(&link) else {
                continue;
            };
            let due = if queue.is_ready() {
                Some(self.now)
            } else {
                queue.due()
            };
            let Some(due) = due else { continue };
            let ready = queue
                .flushed
                .map_or(due, |at| due.max(at + self.config.tuning.coalesce));
            if ready > self.now {
                self.timers.set_earlier(Timer::Flush(link), ready);
                continue;
            }
            while let Some(data) = queue.fill(self.now) {
                queue.flushed = Some(self.now);
                out.push(Output::Transmit { link, data });
            }
            let owed = queue.take_owed();
            if let Some(at) = queue.due() {
                self.timers.set_earlier(
                    Timer::Flush(link),
                    at.max(self.now + self.config.tuning.coalesce),
                );
            }
            if !owed.is_empty() {
                for channel in &owed {
                    self.send_digest(link, channel);
                }
                self.timers
                    .set_earlier(Timer::Flush(link), self.now + self.config.tuning.coalesce);
            }
        }
        // Its memory serves the next step; what was added meanwhile has a timer.
        self.dirty = dirty;
    }
}

/// Reading. None of these changes anything.
impl Channels {
    /// The channels the node knows: name, kind, and whether an application here has it open. In order.
    pub fn known(&self) -> impl Iterator<Item = (&ChannelName, Kind, bool)> + '_ {
        let channels = self.channels.iter();
        channels.map(|(name, held)| (name, held.store.kind(), held.opened.is_some()))
    }

    /// Order-free hash of what is held of a channel; none if nothing is, or it is not known.
    #[must_use]
    pub fn hash(&self, channel: &ChannelName) -> Option<u64> {
        self.channels.get(channel)?.store.hash()
    }

    /// The retained messages of a channel, by origin, oldest first.
    pub fn messages(&self, channel: &ChannelName) -> impl Iterator<Item = &Arc<Update>> + '_ {
        let log = self
            .channels
            .get(channel)
            .and_then(|held| match &held.store {
                Store::Messages(log) => Some(log),
                Store::Map(_) | Store::Custom(_) => None,
            });
        log.into_iter().flat_map(store::Log::iter)
    }

    /// The keys of a map that have a value, with it, in order.
    pub fn values(&self, channel: &ChannelName) -> impl Iterator<Item = (&Arc<str>, &Held)> + '_ {
        self.map(channel).into_iter().flat_map(store::Map::values)
    }

    /// What stands under a key of a map, be it that it was deleted.
    #[must_use]
    pub fn value(&self, channel: &ChannelName, key: &str) -> Option<&Held> {
        self.map(channel)?.held(key)
    }

    fn map(&self, channel: &ChannelName) -> Option<&store::Map> {
        match &self.channels.get(channel)?.store {
            Store::Map(map) => Some(map),
            Store::Messages(_) | Store::Custom(_) => None,
        }
    }

    /// The application's own state in a channel, encoded.
    #[must_use]
    pub fn custom(&self, channel: &ChannelName) -> Option<Vec<u8>> {
        match &self.channels.get(channel)?.store {
            Store::Custom(custom) => custom.as_ref().map(Custom::encode),
            Store::Messages(_) | Store::Map(_) => None,
        }
    }

    /// The links that broadcasts go out on at once, and to whom.
    pub fn eager(&self) -> impl Iterator<Item = (LinkId, &NodeId)> + '_ {
        let eager = self
            .queues
            .values()
            .filter(|queue| queue.eager && queue.lively);
        eager.map(|queue| (queue.link, &queue.peer))
    }

    /// The number of this node's messages that wait for an answer.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.courier.len()
    }
}

const fn check_size(payload: &[u8]) -> Result<(), Refusal> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge(payload.len()));
    }
    Ok(())
}

impl Machine for Channels {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        assert!(now >= self.now, "time went backwards");
        self.now = now;
        let answer = match input {
            Input::Neighbours(neighbours) => {
                self.on_neighbours(&neighbours, out);
                None
            }
            Input::Receive { link, data } => {
                self.on_receive(link, data, out);
                None
            }
            Input::Forward { link, parcel } => {
                self.on_forward(link, &parcel, out);
                None
            }
            Input::Unroutable { parcel, failure } => {
                self.on_unroutable(&parcel, failure, out);
                None
            }
            Input::Open {
                request,
                channel,
                options,
            } => Some((request, self.on_open(&channel, options, out))),
            Input::Close { channel } => {
                self.on_close(&channel);
                None
            }
            Input::Publish {
                request,
                channel,
                payload,
            } => Some((request, self.on_publish(&channel, payload, out))),
            Input::Transact {
                request,
                channel,
                transaction,
            } => Some((request, self.on_transact(&channel, &transaction, out))),
            Input::Send {
                request,
                to,
                channel,
                payload,
                datagram,
            } => {
                let sent = self.on_send(request, to, channel, payload, datagram, out);
                sent.map(|result| (request, result))
            }
            Input::Consumed {
                channel,
                count,
                bytes,
            } => {
                self.on_consumed(&channel, count, bytes);
                None
            }
            Input::Wake => {
                self.on_wake(out);
                None
            }
        };
        if let Some((request, result)) = answer {
            out.push(Output::Answer { request, result });
        }
        self.flush(out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }
}
