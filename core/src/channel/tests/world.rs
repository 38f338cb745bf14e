//! Channels of several nodes on links of a test's own: one after the other, in time.

use crate::channel::message::{ChannelName, Data, Item, Kind, Parcel};
use crate::channel::{
    Channels, Config, Delivery, Done, Event, Failure, Input, Neighbour, Options, Output, Refusal,
    Request, Transaction, Tuning, Write,
};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::machine::{Machine, Outbox, wake_checked};
use crate::size::Encoded;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long a message takes on a link.
const LATENCY: Duration = Duration::from_millis(1);

pub(super) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(super) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(super) fn bytes(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

pub(super) fn config(name: &str) -> Config {
    Config::new(id(name), 1, 7, Tuning::default())
}

/// The nodes `a`, `b`, ... and the links between them.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: BTreeMap<NodeId, Channels>,
    /// Pairs with a link.
    links: BTreeMap<(NodeId, NodeId), LinkId>,
    last: u64,
    mail: BTreeMap<(Instant, u64), (NodeId, LinkId, Data)>,
    sent: u64,
    pub(super) delivered: Vec<(NodeId, ChannelName, Delivery)>,
    pub(super) answers: BTreeMap<(NodeId, Request), Result<Done, Refusal>>,
    pub(super) events: Vec<(NodeId, Event)>,
    requests: u64,
    /// Copies of each broadcast's payload that came, those asked for included.
    pub(super) copies: BTreeMap<crate::channel::UpdateId, usize>,
    /// Nothing arrives on these links, either way.
    pub(super) stalled: BTreeSet<LinkId>,
    /// Broadcasts, but no announcements, are lost on these links.
    pub(super) deaf: BTreeSet<LinkId>,
    pub(super) frame_max: usize,
    /// Nodes that nobody knows the way to.
    pub(super) unknown: BTreeSet<NodeId>,
}

impl World {
    pub(super) fn new(names: &[&str]) -> Self {
        let nodes = names.iter().enumerate().map(|(seed, name)| {
            let node = Channels::new(config(name), seed as u64, Instant::ZERO);
            (id(name), node)
        });
        Self {
            now: Instant::ZERO,
            nodes: nodes.collect(),
            links: BTreeMap::new(),
            last: 0,
            mail: BTreeMap::new(),
            sent: 0,
            delivered: Vec::new(),
            answers: BTreeMap::new(),
            events: Vec::new(),
            requests: 0,
            copies: BTreeMap::new(),
            stalled: BTreeSet::new(),
            deaf: BTreeSet::new(),
            frame_max: 0,
            unknown: BTreeSet::new(),
        }
    }

    /// A ring of so many nodes, with chords so that each has about four links.
    pub(super) fn ring(count: usize) -> Self {
        let names: Vec<String> = (0..count).map(|index| format!("n{index:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut world = Self::new(&names);
        for index in 0..count {
            world.link(names[index], names[(index + 1) % count]);
            world.link(names[index], names[(index * 7 + 3) % count]);
        }
        world
    }

    pub(super) fn link(&mut self, one: &str, other: &str) -> LinkId {
        let pair = ordered(one, other);
        if one == other || self.links.contains_key(&pair) {
            return LinkId(0);
        }
        self.last += 1;
        let link = LinkId(self.last);
        self.links.insert(pair, link);
        self.tell(&[one, other]);
        link
    }

    pub(super) fn unlink(&mut self, one: &str, other: &str) {
        let link = self.links.remove(&ordered(one, other)).unwrap();
        self.mail.retain(|_, (_, on, _)| *on != link);
        self.tell(&[one, other]);
    }

    fn tell(&mut self, names: &[&str]) {
        for name in names {
            let me = id(name);
            let mut neighbours = Vec::new();
            for ((one, other), link) in &self.links {
                let peer = if *one == me {
                    other
                } else if *other == me {
                    one
                } else {
                    continue;
                };
                neighbours.push(Neighbour {
                    link: *link,
                    peer: peer.clone(),
                    lively: true,
                });
            }
            self.step(&me, Input::Neighbours(neighbours));
        }
    }

    fn neighbours(&self, me: &NodeId) -> Vec<(NodeId, LinkId)> {
        let found = self.links.iter().filter_map(|((one, other), link)| {
            if one == me {
                Some((other.clone(), *link))
            } else if other == me {
                Some((one.clone(), *link))
            } else {
                None
            }
        });
        found.collect()
    }

    /// The link on which the shortest way begins that passes none of these.
    fn way(&self, me: &NodeId, parcel: &Parcel) -> Result<LinkId, Failure> {
        if self.unknown.contains(&parcel.to) || !self.nodes.contains_key(&parcel.to) {
            return Err(Failure::UnknownPeer);
        }
        let mut front: Vec<(NodeId, LinkId)> = self.neighbours(me);
        let mut seen: BTreeSet<NodeId> = parcel.path.iter().cloned().collect();
        while !front.is_empty() {
            let mut next = Vec::new();
            for (node, link) in front {
                if node == parcel.to {
                    return Ok(link);
                }
                if seen.insert(node.clone()) {
                    next.extend(
                        self.neighbours(&node)
                            .into_iter()
                            .map(|(node, _)| (node, link)),
                    );
                }
            }
            front = next;
        }
        Err(Failure::NoRoute)
    }

    pub(super) fn step(&mut self, name: &NodeId, input: Input) {
        let mut out = Outbox::new();
        self.nodes
            .get_mut(name)
            .unwrap()
            .step(self.now, input, &mut out);
        self.perform(name, out);
    }

    fn perform(&mut self, name: &NodeId, mut out: Outbox<Output>) {
        for order in out.drain().collect::<Vec<_>>() {
            match order {
                Output::Transmit { link, data } => self.send(name, link, data),
                Output::Route(parcel) => {
                    let input = match self.way(name, &parcel) {
                        Ok(link) => Input::Forward { link, parcel },
                        Err(failure) => Input::Unroutable { parcel, failure },
                    };
                    self.step(name, input);
                }
                Output::Deliver { channel, delivery } => {
                    if let Delivery::Message { payload, .. } = &delivery {
                        self.step(
                            name,
                            Input::Consumed {
                                channel: channel.clone(),
                                count: 1,
                                bytes: payload.len(),
                            },
                        );
                    }
                    self.delivered.push((name.clone(), channel, delivery));
                }
                Output::Answer { request, result } => {
                    let twice = self.answers.insert((name.clone(), request), result);
                    assert_eq!(twice, None, "answered twice");
                }
                Output::Report(event) => self.events.push((name.clone(), event)),
            }
        }
    }

    fn send(&mut self, from: &NodeId, link: LinkId, mut data: Data) {
        let Some((pair, _)) = self.links.iter().find(|(_, known)| **known == link) else {
            return;
        };
        let to = if pair.0 == *from { &pair.1 } else { &pair.0 };
        self.frame_max = self.frame_max.max(data.encoded_len());
        if self.deaf.contains(&link) {
            data.items
                .retain(|item| !matches!(item, Item::Update { .. }));
        }
        self.sent += 1;
        self.mail
            .insert((self.now + LATENCY, self.sent), (to.clone(), link, data));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let mail = self
                .mail
                .iter()
                .find(|(_, (_, link, _))| !self.stalled.contains(link));
            let mail = mail.map(|(key, _)| *key);
            let deadlines = self
                .nodes
                .iter()
                .filter_map(|(id, node)| Some((node.next_deadline()?, id.clone())));
            let wake = deadlines.min();
            let wakes = wake.as_ref().map(|(at, _)| *at);
            let next = mail.map(|(at, _)| at).into_iter().chain(wakes).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if let Some(key) = mail.filter(|(due, _)| *due <= at) {
                let Some((to, link, data)) = self.mail.remove(&key) else {
                    break;
                };
                for item in &data.items {
                    if let Item::Update { update, .. } = item {
                        *self.copies.entry(update.id.clone()).or_default() += 1;
                    }
                }
                self.step(&to, Input::Receive { link, data });
            } else if let Some((_, name)) = wake {
                let mut out = Outbox::new();
                wake_checked(self.nodes.get_mut(&name).unwrap(), self.now, &mut out);
                self.perform(&name, out);
            }
        }
        self.now = end;
    }

    pub(super) fn millis(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    fn request(&mut self) -> Request {
        self.requests += 1;
        Request(self.requests)
    }

    pub(super) fn open(&mut self, name: &str, on: &str, kind: Kind) -> Result<Done, Refusal> {
        self.open_with(name, on, Options::of(kind))
    }

    pub(super) fn open_with(
        &mut self,
        name: &str,
        on: &str,
        options: Options,
    ) -> Result<Done, Refusal> {
        let request = self.request();
        self.step(
            &id(name),
            Input::Open {
                request,
                channel: channel(on),
                options,
            },
        );
        self.answers[&(id(name), request)].clone()
    }

    /// Opens a channel everywhere.
    pub(super) fn open_all(&mut self, on: &str, kind: Kind) {
        let names: Vec<NodeId> = self.nodes.keys().cloned().collect();
        for name in names {
            self.open(name.as_str(), on, kind).unwrap();
        }
    }

    pub(super) fn publish(&mut self, name: &str, on: &str, text: &str) -> Result<Done, Refusal> {
        let request = self.request();
        self.step(
            &id(name),
            Input::Publish {
                request,
                channel: channel(on),
                payload: bytes(text),
            },
        );
        self.answers[&(id(name), request)].clone()
    }

    pub(super) fn transact(
        &mut self,
        name: &str,
        on: &str,
        transaction: Transaction,
    ) -> Result<Done, Refusal> {
        let request = self.request();
        self.step(
            &id(name),
            Input::Transact {
                request,
                channel: channel(on),
                transaction,
            },
        );
        self.answers[&(id(name), request)].clone()
    }

    pub(super) fn put(
        &mut self,
        name: &str,
        on: &str,
        key: &str,
        value: &str,
    ) -> Result<Done, Refusal> {
        self.transact(name, on, write(&[(key, Some(value))]))
    }

    /// Sends to one node; the answer comes later.
    pub(super) fn tell_one(
        &mut self,
        from: &str,
        to: &str,
        on: &str,
        payload: Arc<[u8]>,
    ) -> (NodeId, Request) {
        let request = self.request();
        self.step(
            &id(from),
            Input::Send {
                request,
                to: id(to),
                channel: channel(on),
                payload,
                datagram: false,
            },
        );
        (id(from), request)
    }

    /// What was broadcast to a node's application, as text.
    pub(super) fn heard(&self, name: &str) -> Vec<String> {
        let mine = self
            .delivered
            .iter()
            .filter(|(node, _, _)| node.as_str() == name);
        let texts = mine.filter_map(|(_, _, delivery)| match delivery {
            Delivery::Broadcast { payload, .. } | Delivery::Message { payload, .. } => {
                Some(String::from_utf8_lossy(payload).into_owned())
            }
            Delivery::Changed { .. } | Delivery::Conflict { .. } => None,
        });
        texts.collect()
    }

    /// The value under a key of a node's copy of a map.
    pub(super) fn value(&self, name: &str, on: &str, key: &str) -> Option<String> {
        let held = self.nodes[&id(name)].value(&channel(on), key)?;
        let value = held.value.as_ref()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

pub(super) fn write(writes: &[(&str, Option<&str>)]) -> Transaction {
    Transaction {
        compare: Vec::new(),
        write: writes
            .iter()
            .map(|(key, value)| Write {
                key: Arc::from(*key),
                value: value.map(bytes),
            })
            .collect(),
    }
}

fn ordered(one: &str, other: &str) -> (NodeId, NodeId) {
    let (one, other) = (id(one), id(other));
    if one < other {
        (one, other)
    } else {
        (other, one)
    }
}
