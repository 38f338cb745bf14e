//! A mesh daemon and the applications on its host, as one machine.
//!
//! The applications do what the scenario orders. They number what they send, so that it can be told apart where it
//! arrives, and consume what arrives at the pace that the scenario gives them.

use super::event::Event;
use super::workload::{BYTES_MIN, Order, Target, Written};
use crate::scenario::Opening;
use phalanx_core::channel::{
    self, ChannelName, Delivery, Expected, Options, Refusal, Request, Transaction, Write,
};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::node::{self, Node};
use phalanx_core::random::Random;
use phalanx_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What can happen to a host's daemon and applications.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// To the daemon.
    Node(node::Input),
    /// The scenario has an application do something.
    Order(Order),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What they do to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What the daemon orders for the mesh.
    Mesh(gossip::Output),
    /// What daemon and applications tell.
    Report(Event),
}

/// What an application asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To open a channel.
    Open(ChannelName),
    /// To broadcast on it.
    Publish(ChannelName),
    /// To write into it.
    Write(ChannelName),
    /// To send the message of this number to this member.
    Send(u64, NodeId),
}

/// Who somebody is among a scenario's hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: usize,
    pub(super) life: u32,
    /// The ids of all hosts, in their order.
    pub(super) ids: Arc<[NodeId]>,
}

/// A mesh daemon and the applications on its host.
#[derive(Clone, Debug)]
pub struct Daemon {
    node: Node,
    place: Place,
    random: Random,
    asked: BTreeMap<u64, Asked>,
    /// Requests, messages and values made so far.
    count: u64,
    /// Whose turn it is to be sent to.
    turn: usize,
    /// The channels whose application takes its time.
    slow: BTreeMap<ChannelName, Duration>,
    /// What they are still to consume, and when.
    unread: VecDeque<(Instant, ChannelName, usize)>,
    scratch: Outbox<node::Output>,
}

/// The number that a payload carries.
pub(super) fn number_in(payload: &[u8]) -> Option<u64> {
    let first: [u8; 8] = payload.get(..8)?.try_into().ok()?;
    Some(u64::from_le_bytes(first))
}

impl Daemon {
    /// A daemon with nothing open; `random` draws what its applications leave open.
    pub(super) const fn new(node: Node, place: Place, random: Random) -> Self {
        Self {
            node,
            turn: place.host,
            place,
            random,
            asked: BTreeMap::new(),
            count: 0,
            slow: BTreeMap::new(),
            unread: VecDeque::new(),
            scratch: Outbox::new(),
        }
    }

    /// The daemon.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    pub(super) const fn host(&self) -> usize {
        self.place.host
    }

    /// A number that no other thing of the run has.
    fn number(&mut self) -> u64 {
        self.count += 1;
        let host = self.place.host as u64 + 1;
        host << 44 | u64::from(self.place.life & 0xfff) << 32 | self.count
    }

    fn payload(&mut self, bytes: usize) -> (u64, Arc<[u8]>) {
        let number = self.number();
        let mut payload = vec![0x5a; bytes.max(BYTES_MIN)];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        (number, payload.into())
    }

    fn request(&mut self, asked: Asked) -> Request {
        self.count += 1;
        self.asked.insert(self.count, asked);
        Request(self.count)
    }

    /// Opens a channel for an application.
    pub(super) fn open(
        &mut self,
        now: Instant,
        channel: ChannelName,
        opening: &Opening,
        out: &mut Outbox<Output>,
    ) {
        let mut options = Options::of(opening.kind);
        options.interval = opening.interval.unwrap_or(options.interval);
        options.room = opening.room.unwrap_or(options.room);
        if opening.takes > Duration::ZERO {
            self.slow.insert(channel.clone(), opening.takes);
        }
        let request = self.request(Asked::Open(channel.clone()));
        let input = channel::Input::Open {
            request,
            channel,
            options,
        };
        self.ask(now, input, out);
    }

    fn on_order(&mut self, now: Instant, order: Order, out: &mut Outbox<Output>) {
        match order {
            Order::Open(channel, opening) => self.open(now, channel, &opening, out),
            Order::Close(channel) => {
                self.slow.remove(&channel);
                out.push(Output::Report(Event::Closed(channel.clone())));
                self.ask(now, channel::Input::Close { channel }, out);
            }
            Order::Publish(channel, bytes) => {
                let (_, payload) = self.payload(bytes);
                let input = channel::Input::Publish {
                    request: self.request(Asked::Publish(channel.clone())),
                    channel,
                    payload,
                };
                self.ask(now, input, out);
            }
            Order::Send {
                channel,
                to,
                bytes,
                datagram,
            } => {
                for to in self.targets(&to) {
                    self.send(now, &channel, to, bytes, datagram, out);
                }
            }
            Order::Write {
                channel,
                key,
                expects,
                value,
            } => self.write(now, channel, key, expects, value, out),
        }
    }

    fn targets(&mut self, target: &Target) -> Vec<NodeId> {
        let (ids, me) = (Arc::clone(&self.place.ids), self.place.host);
        let others: Vec<NodeId> = ids.iter().filter(|id| **id != ids[me]).cloned().collect();
        match target {
            Target::Id(id) => NodeId::new(id).into_iter().collect(),
            Target::Others => others,
            Target::Any => self.random.pick(&others).cloned().into_iter().collect(),
            Target::Each => {
                self.turn += 1;
                let turn = self.turn.checked_rem(others.len()).unwrap_or_default();
                others.get(turn).cloned().into_iter().collect()
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        channel: &ChannelName,
        to: NodeId,
        bytes: usize,
        datagram: bool,
        out: &mut Outbox<Output>,
    ) {
        let (number, payload) = self.payload(bytes);
        out.push(Output::Report(Event::Sent {
            number,
            to: to.clone(),
            datagram,
        }));
        let input = channel::Input::Send {
            request: self.request(Asked::Send(number, to.clone())),
            to,
            channel: channel.clone(),
            payload,
            datagram,
        };
        self.ask(now, input, out);
    }

    fn write(
        &mut self,
        now: Instant,
        channel: ChannelName,
        (key, keys): (String, Option<u64>),
        expects: Option<Option<Arc<[u8]>>>,
        value: Written,
        out: &mut Outbox<Output>,
    ) {
        let number = self.number();
        let key: Arc<str> = match keys {
            Some(keys) => format!("{key}{}", self.random.below(keys)).into(),
            None => key.into(),
        };
        let value: Option<Arc<[u8]>> = match value {
            Written::Nothing => None,
            Written::This(text) => Some(Arc::from(text.into_bytes())),
            Written::Numbered => Some(Arc::from(format!("{number:x}").into_bytes())),
        };
        let expected = |old: Option<Arc<[u8]>>| old.map_or(Expected::Absent, Expected::Value);
        let compare = expects.map(|old| (Arc::clone(&key), expected(old)));
        let input = channel::Input::Transact {
            request: self.request(Asked::Write(channel.clone())),
            channel,
            transaction: Transaction {
                compare: compare.into_iter().collect(),
                write: vec![Write { key, value }],
            },
        };
        self.ask(now, input, out);
    }

    fn ask(&mut self, now: Instant, input: channel::Input, out: &mut Outbox<Output>) {
        self.step_node(now, node::Input::Channel(input), out);
    }

    fn step_node(&mut self, now: Instant, input: node::Input, out: &mut Outbox<Output>) {
        self.node.step(now, input, &mut self.scratch);
        let orders: Vec<node::Output> = self.scratch.drain().collect();
        for order in orders {
            match order {
                node::Output::Mesh(gossip::Output::Report(event)) => {
                    out.push(Output::Report(Event::Mesh(event)));
                }
                node::Output::Mesh(order) => out.push(Output::Mesh(order)),
                node::Output::Channel(order) => self.tell(now, order, out),
                // No application asks for it.
                node::Output::RoutesChanged => {}
            }
        }
    }

    /// The channels say something to the applications.
    fn tell(&mut self, now: Instant, order: channel::Output, out: &mut Outbox<Output>) {
        match order {
            channel::Output::Deliver { channel, delivery } => {
                let message = match &delivery {
                    Delivery::Message { payload, .. } => Some(payload.len()),
                    Delivery::Broadcast { .. }
                    | Delivery::Changed { .. }
                    | Delivery::Conflict { .. } => None,
                };
                out.push(Output::Report(Event::Handed(channel.clone(), delivery)));
                if let Some(bytes) = message {
                    self.take(now, channel, bytes, out);
                }
            }
            channel::Output::Answer { request, result } => {
                let Some(asked) = self.asked.remove(&request.0) else {
                    return;
                };
                if let (Err(Refusal::Undelivered(failure)), Asked::Send(_, to)) = (&result, &asked)
                {
                    out.push(Output::Report(Event::Failed(to.clone(), *failure)));
                }
                out.push(Output::Report(Event::Answered(asked, result)));
            }
            channel::Output::Report(event) => out.push(Output::Report(Event::Channel(event))),
            // The node carries these out itself.
            channel::Output::Transmit { .. } | channel::Output::Route(_) => {}
        }
    }

    /// An application takes a message that was sent to it.
    fn take(&mut self, now: Instant, channel: ChannelName, bytes: usize, out: &mut Outbox<Output>) {
        let Some(takes) = self.slow.get(&channel) else {
            self.consume(now, channel, bytes, out);
            return;
        };
        let mut before = self.unread.iter().filter(|(_, of, _)| *of == channel);
        let free = before.next_back().map_or(now, |(at, ..)| *at);
        self.unread.push_back((free + *takes, channel, bytes));
    }

    fn consume(
        &mut self,
        now: Instant,
        channel: ChannelName,
        bytes: usize,
        out: &mut Outbox<Output>,
    ) {
        let count = 1;
        let input = channel::Input::Consumed {
            channel,
            count,
            bytes,
        };
        self.ask(now, input, out);
    }

    fn on_wake(&mut self, now: Instant, out: &mut Outbox<Output>) {
        if self.node.next_deadline().is_some_and(|at| at <= now) {
            self.step_node(now, node::Input::Wake, out);
        }
        let unread = core::mem::take(&mut self.unread);
        let (due, unread): (VecDeque<_>, _) = unread.into_iter().partition(|(at, ..)| *at <= now);
        self.unread = unread;
        for (_, channel, bytes) in due {
            self.consume(now, channel, bytes, out);
        }
    }
}

impl Machine for Daemon {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Node(input) => self.step_node(now, input, out),
            Input::Order(order) => self.on_order(now, order, out),
            Input::Wake => self.on_wake(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let unread = self.unread.iter().map(|(at, ..)| *at).min();
        [self.node.next_deadline(), unread]
            .into_iter()
            .flatten()
            .min()
    }
}
