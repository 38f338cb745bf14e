//! Channels of several nodes on simulated links.

pub(super) use super::sample::{channel, config, id};
use crate::channel::message::{ChannelName, Data, Item, Kind, Packet};
use crate::channel::{
    ChannelOperation, Channels, Delivery, DeliveryFailure, Done, Event, Input, Neighbour, Options,
    Output, Refusal, Request, Transaction, Write,
};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::size::Encoded;
use crate::testing::world::{self as testing, TestEnvironment};
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The delay of a message on a link.
const LATENCY: Duration = Duration::from_millis(1);

pub(super) fn bytes(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

/// The links between nodes, and the nodes' applications.
#[derive(Default)]
pub(super) struct ChannelLinks {
    /// Pairs with a link.
    links: BTreeMap<(NodeId, NodeId), LinkId>,
    last: u64,
    pub(super) delivered: Vec<(NodeId, ChannelName, Delivery)>,
    pub(super) answers: BTreeMap<(NodeId, Request), Result<Done, Refusal>>,
    pub(super) events: Vec<(NodeId, Event)>,
    /// The nodes that announced a further channel to their applications.
    pub(super) announcements: Vec<NodeId>,
    requests: u64,
    /// Number of copies of each broadcast that arrived, including requested copies.
    pub(super) copies: BTreeMap<crate::channel::UpdateId, usize>,
    /// Links that lose all messages, in both directions.
    pub(super) stalled: BTreeSet<LinkId>,
    /// Links that lose broadcasts but not announcements.
    pub(super) deaf: BTreeSet<LinkId>,
    pub(super) frame_max: usize,
}

/// A message on a link.
pub(super) struct LinkMessage {
    to: NodeId,
    link: LinkId,
    data: Data,
}

/// The channels of nodes `a`, `b`, ... and the links between them.
pub(super) type ChannelWorld = testing::TestWorld<ChannelLinks>;

impl TestEnvironment for ChannelLinks {
    type Node = NodeId;
    type Machine = Channels;
    type Event = LinkMessage;

    fn perform(world: &mut ChannelWorld, node: &NodeId, output: Output) {
        let fleet = &mut world.environment;
        match output {
            Output::Transmit { link, data } => world.send(node, link, data),
            Output::Route(packet) => {
                let route = if world.nodes.contains_key(&packet.to) {
                    fleet.route(node, &packet)
                } else {
                    Err(DeliveryFailure::UnknownPeer)
                };
                let input = match route {
                    Ok(link) => Input::Forward { link, packet },
                    Err(failure) => Input::Unroutable { packet, failure },
                };
                world.step(node, input);
            }
            Output::Deliver { channel, delivery } => {
                if let Delivery::Message { payload, .. } = &delivery {
                    let consumed = Input::Consumed {
                        channel: channel.clone(),
                        count: 1,
                        bytes: payload.len(),
                    };
                    world.step(node, consumed);
                }
                let delivered = (node.clone(), channel, delivery);
                world.environment.delivered.push(delivered);
            }
            Output::Answer { request, result } => {
                let twice = fleet.answers.insert((node.clone(), request), result);
                assert_eq!(twice, None, "answered twice");
            }
            Output::AnnounceChannels => fleet.announcements.push(node.clone()),
            Output::Report(event) => fleet.events.push((node.clone(), event)),
        }
    }

    fn happen(world: &mut ChannelWorld, LinkMessage { to, link, data }: LinkMessage) {
        for item in &data.items {
            if let Item::Update { update, .. } = item {
                let copies = &mut world.environment.copies;
                *copies.entry(update.id.clone()).or_default() += 1;
            }
        }
        world.step(&to, Input::Receive { link, data });
    }

    fn holds_back(&self, sent: &LinkMessage) -> bool {
        self.stalled.contains(&sent.link)
    }
}

impl ChannelLinks {
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

    /// The first link of the shortest route that passes none of the nodes on the packet's path.
    fn route(&self, me: &NodeId, packet: &Packet) -> Result<LinkId, DeliveryFailure> {
        let mut front: Vec<(NodeId, LinkId)> = self.neighbours(me);
        let mut seen: BTreeSet<NodeId> = packet.path.iter().cloned().collect();
        while !front.is_empty() {
            let mut next = Vec::new();
            for (node, link) in front {
                if node == packet.to {
                    return Ok(link);
                }
                if seen.insert(node.clone()) {
                    let behind = self.neighbours(&node).into_iter();
                    next.extend(behind.map(|(node, _)| (node, link)));
                }
            }
            front = next;
        }
        Err(DeliveryFailure::NoRoute)
    }
}

impl ChannelWorld {
    pub(super) fn new(names: &[&str]) -> Self {
        let mut world = Self::around(ChannelLinks::default());
        for (seed, name) in names.iter().enumerate() {
            let channels = Channels::new(config(name), seed as u64, Instant::ZERO);
            world.nodes.insert(id(name), channels);
        }
        world
    }

    /// A ring of `count` nodes, with chords that give each node about four links.
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
        let fleet = &mut self.environment;
        if one == other || fleet.links.contains_key(&pair) {
            return LinkId(0);
        }
        fleet.last += 1;
        let link = LinkId(fleet.last);
        fleet.links.insert(pair, link);
        self.tell_neighbours(&[one, other]);
        link
    }

    pub(super) fn unlink(&mut self, one: &str, other: &str) {
        let links = &mut self.environment.links;
        let link = links.remove(&ordered(one, other)).unwrap();
        self.retain_events(|sent| sent.link != link);
        self.tell_neighbours(&[one, other]);
    }

    fn tell_neighbours(&mut self, names: &[&str]) {
        for name in names.iter().map(|name| id(name)) {
            let neighbours = self.environment.neighbours(&name).into_iter();
            let neighbours = neighbours.map(|(peer, link)| Neighbour {
                link,
                peer,
                lively: true,
            });
            let input = Input::Neighbours(neighbours.collect());
            self.step(&name, input);
        }
    }

    fn send(&mut self, from: &NodeId, link: LinkId, mut data: Data) {
        let fleet = &mut self.environment;
        let Some((pair, _)) = fleet.links.iter().find(|(_, known)| **known == link) else {
            return;
        };
        let to = if pair.0 == *from { &pair.1 } else { &pair.0 };
        let to = to.clone();
        fleet.frame_max = fleet.frame_max.max(data.encoded_len());
        if fleet.deaf.contains(&link) {
            data.items
                .retain(|item| !matches!(item, Item::Update { .. }));
        }
        self.schedule(LATENCY, LinkMessage { to, link, data });
    }

    pub(super) fn millis(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    fn request(&mut self) -> Request {
        self.environment.requests += 1;
        Request(self.environment.requests)
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
        self.environment.answers[&(id(name), request)].clone()
    }

    /// Opens a channel on every node.
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
        self.environment.answers[&(id(name), request)].clone()
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
        self.environment.answers[&(id(name), request)].clone()
    }

    /// Performs an operation on a channel; if the channel is not open, it is opened for the operation.
    pub(super) fn once(
        &mut self,
        name: &str,
        on: &str,
        kind: Kind,
        operation: ChannelOperation,
    ) -> Result<Done, Refusal> {
        let request = self.request();
        self.step(
            &id(name),
            Input::Once {
                request,
                channel: channel(on),
                kind,
                operation,
            },
        );
        self.environment.answers[&(id(name), request)].clone()
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

    /// Sends a message to one node; the answer follows later.
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

    /// The broadcasts and messages delivered to a node's application, as text.
    pub(super) fn heard(&self, name: &str) -> Vec<String> {
        let mine = self
            .environment
            .delivered
            .iter()
            .filter(|(node, _, _)| node.as_str() == name);
        let texts = mine.filter_map(|(_, _, delivery)| match delivery {
            Delivery::Broadcast { payload, .. } | Delivery::Message { payload, .. } => {
                Some(String::from_utf8_lossy(payload).into_owned())
            }
            Delivery::Missed { .. } | Delivery::Changed { .. } | Delivery::Conflict { .. } => None,
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
