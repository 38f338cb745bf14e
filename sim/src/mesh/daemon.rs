//! A mesh daemon and the applications on its host, as one machine.
//!
//! The applications perform the scenario's orders, and consume messages at the pace that the scenario sets.

use super::applications::{AppRequest, HostApplications, payload};
use super::coverage;
use super::event::{AwaitedAnswer, Event};
use super::opening::ChannelOpening;
use super::revocation_file;
use super::workload::AppCommand;
use crate::address::PORT;
use crate::disk::{DiskChange, Files};
use crate::world::{
    Effect, Effects, Process, ProcessEvent, ProcessView, ResolveError, Resolved, Writing,
};
use phalanx_core::channel::{self, ChannelName, Delivery, Request};
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::link::{DialId, LinkId, ResolutionError, Ticket};
use phalanx_core::machine::{Machine, Outbox, Wake};
use phalanx_core::node::{self, Message, Node};
use phalanx_core::revocation::{Revocation, RevocationRequest, is_revocation_ticket};
use phalanx_core::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// The file that holds the epoch.
pub(super) const EPOCH: &str = "epoch";
/// The file that holds addresses of members.
const ADDRESSES: &str = "addresses";
/// The ticket of every write of addresses, whose result the daemon ignores.
const ADDRESSES_TICKET: Ticket = Ticket(u64::MAX);

/// The addresses of members on a disk; none if the file is missing or damaged.
pub(super) fn kept_addresses(disk: &Files) -> Vec<SocketAddr> {
    let kept = disk.read(ADDRESSES).map(gossip::decode_addresses);
    kept.and_then(Result::ok).unwrap_or_default()
}
/// The file that holds the revocations.
pub(super) const REVOCATIONS: &str = "revocations";

/// An input of a host's daemon and applications.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// An input for the daemon's node.
    Node(node::Input),
    /// The scenario gives an order to an application.
    Command(AppCommand),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An output of a host's daemon and applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect; answer with `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The address.
        address: SocketAddr,
    },
    /// Resolve a name; answer with `Resolved`.
    Resolve {
        /// The number that the answer repeats.
        ticket: Ticket,
        /// The name, as `host:port`.
        name: String,
    },
    /// Send a message on a link.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Close a link after the messages already sent on it.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Store the daemon's epoch durably; answer with `Stored`.
    Store {
        /// The number that the answer repeats.
        ticket: Ticket,
        /// The epoch.
        epoch: u64,
    },
    /// Store addresses of members for the next start.
    KeepAddresses {
        /// The addresses.
        addresses: Vec<SocketAddr>,
    },
    /// Store the daemon's revocations durably; answer with `RevocationsStored`.
    StoreRevocations {
        /// The number that the answer repeats.
        ticket: Ticket,
        /// The content of the file.
        bytes: Vec<u8>,
    },
    /// The daemon left the mesh.
    Left,
    /// The daemon or an application reports an event.
    Report(Event),
}

/// A mesh daemon and the applications on its host.
#[derive(Clone, Debug)]
pub struct Daemon {
    node: Node,
    applications: HostApplications,
    /// The requests that await an answer, by request number.
    asked: BTreeMap<u64, AwaitedAnswer>,
    requests: u64,
    /// The channels whose application consumes slowly, with the time that the application takes for each message.
    slow: BTreeMap<ChannelName, Duration>,
    /// The delivered messages that are not consumed yet: the time of consumption, the channel and the length in bytes.
    unread: VecDeque<(Instant, ChannelName, usize)>,
    /// The ports of the names that are being resolved, by the ticket of the order.
    ports: BTreeMap<Ticket, u16>,
    /// The nodes whose certificates are being revoked, by the number of the request.
    revoking: BTreeMap<RevocationRequest, NodeId>,
}

impl Daemon {
    /// A daemon without open channels.
    const fn new(node: Node, applications: HostApplications) -> Self {
        Self {
            node,
            applications,
            asked: BTreeMap::new(),
            requests: 0,
            slow: BTreeMap::new(),
            unread: VecDeque::new(),
            ports: BTreeMap::new(),
            revoking: BTreeMap::new(),
        }
    }

    /// A daemon whose applications open these channels.
    #[must_use]
    pub fn starting(
        node: Node,
        applications: HostApplications,
        opens: &BTreeMap<ChannelName, ChannelOpening>,
        now: Instant,
    ) -> Self {
        let mut daemon = Self::new(node, applications);
        for (channel, opening) in opens {
            // The outputs are dropped: no links exist yet, and no caller awaits the answer.
            let mut out = Outbox::new();
            daemon.act(now, AppRequest::open(channel.clone(), opening), &mut out);
        }
        daemon
    }

    /// The same daemon with these stored revocations. No connections exist yet that could be closed.
    pub(super) fn with_revocations(mut self, stored: Vec<Arc<Revocation>>, now: Instant) -> Self {
        if !stored.is_empty() {
            let load = node::Input::LoadRevocations(stored);
            self.step_node(now, load, &mut Outbox::<Output>::new());
        }
        self
    }

    /// The node of the daemon.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    fn request(&mut self, asked: Option<AwaitedAnswer>) -> Request {
        self.requests += 1;
        if let Some(asked) = asked {
            self.asked.insert(self.requests, asked);
        }
        Request(self.requests)
    }

    /// Passes an application's request to the daemon.
    fn act(&mut self, now: Instant, act: AppRequest, out: &mut impl Orders) {
        if let Some(event) = act.reported() {
            out.push(Output::Report(event));
        }
        let request = self.request(act.asked());
        let input = match act {
            AppRequest::Open {
                channel,
                options,
                takes,
            } => {
                if takes > Duration::ZERO {
                    self.slow.insert(channel.clone(), takes);
                }
                channel::Input::Open {
                    request,
                    channel,
                    options,
                }
            }
            AppRequest::Close(channel) => {
                self.slow.remove(&channel);
                channel::Input::Close { channel }
            }
            AppRequest::Publish {
                channel,
                number,
                bytes,
            } => channel::Input::Publish {
                request,
                channel,
                payload: payload(number, bytes),
            },
            AppRequest::Send {
                channel,
                to,
                number,
                bytes,
                datagram,
            } => channel::Input::Send {
                request,
                to,
                channel,
                payload: payload(number, bytes),
                datagram,
            },
            AppRequest::Transact {
                channel,
                transaction,
            } => channel::Input::Transact {
                request,
                channel,
                transaction,
            },
        };
        self.ask(now, input, out);
    }

    fn ask(&mut self, now: Instant, input: channel::Input, out: &mut impl Orders) {
        self.step_node(now, node::Input::Channel(input), out);
    }

    fn step_node(&mut self, now: Instant, input: node::Input, out: &mut impl Orders) {
        out.on_input(&input);
        let mut orders = Outbox::new();
        self.node.step(now, input, &mut orders);
        for order in orders.drain() {
            match order {
                node::Output::Dial { dial, address } => out.push(Output::Dial { dial, address }),
                // The node closes the connection of a cancelled dial.
                node::Output::CancelDial { .. } => {}
                node::Output::Resolve { ticket, name } => {
                    let port = name
                        .rsplit_once(':')
                        .and_then(|(_, port)| port.parse().ok());
                    self.ports.insert(ticket, port.unwrap_or(PORT));
                    out.push(Output::Resolve { ticket, name });
                }
                node::Output::Send { link, message } => out.push(Output::Send { link, message }),
                node::Output::Close { link } => out.push(Output::Close { link }),
                // Simulated links have no data path.
                node::Output::LinkOpened { .. } => {}
                node::Output::Store { ticket, epoch } => out.push(Output::Store { ticket, epoch }),
                node::Output::KeepAddresses { addresses } => {
                    out.push(Output::KeepAddresses { addresses });
                }
                node::Output::StoreRevocations {
                    ticket,
                    revocations,
                } => {
                    let bytes = revocation_file::encode(&revocations);
                    out.push(Output::StoreRevocations { ticket, bytes });
                }
                // The node closes its links itself, and simulated hosts have no other connections to it.
                node::Output::EnforceRevocation(_) => {}
                node::Output::RevocationAnswer { request, result } => {
                    if let Some(id) = self.revoking.remove(&request) {
                        out.push(Output::Report(Event::RevocationAnswered(id, result)));
                    }
                }
                node::Output::ReportRevocation(event) => {
                    out.push(Output::Report(Event::Revocation(event)));
                }
                node::Output::Left => out.push(Output::Left),
                node::Output::Report(event) => out.push(Output::Report(Event::Mesh(event))),
                node::Output::Channel(order) => self.tell(now, order, out),
                // No simulated application watches routes.
                node::Output::RoutesChanged => {}
            }
        }
    }

    /// Handles an output of the channels for the applications.
    fn tell(&mut self, now: Instant, order: channel::Output, out: &mut impl Orders) {
        match order {
            channel::Output::Deliver { channel, delivery } => {
                let message = match &delivery {
                    Delivery::Message { payload, .. } => Some(payload.len()),
                    Delivery::Broadcast { .. }
                    | Delivery::Missed { .. }
                    | Delivery::Changed { .. }
                    | Delivery::Conflict { .. } => None,
                };
                out.push(Output::Report(Event::Handed(channel.clone(), delivery)));
                if let Some(bytes) = message {
                    self.take(now, channel, bytes, out);
                }
            }
            channel::Output::Answer { request, result } => {
                if let Some(asked) = self.asked.remove(&request.0) {
                    for event in asked.answered(result) {
                        out.push(Output::Report(event));
                    }
                }
            }
            channel::Output::Report(event) => out.push(Output::Report(Event::Channel(event))),
            // The applications read the known channels when they need them.
            channel::Output::AnnounceChannels => {}
            // The node performs these outputs itself.
            channel::Output::Transmit { .. } | channel::Output::Route(_) => {}
        }
    }

    /// An application receives a message, which it consumes at once or, on a slow channel, after a wait in a queue.
    fn take(&mut self, now: Instant, channel: ChannelName, bytes: usize, out: &mut impl Orders) {
        let Some(takes) = self.slow.get(&channel) else {
            self.consume(now, channel, bytes, out);
            return;
        };
        let mut before = self.unread.iter().filter(|(_, of, _)| *of == channel);
        let free = before.next_back().map_or(now, |(at, ..)| *at);
        self.unread.push_back((free + *takes, channel, bytes));
    }

    fn consume(&mut self, now: Instant, channel: ChannelName, bytes: usize, out: &mut impl Orders) {
        let count = 1;
        let input = channel::Input::Consumed {
            channel,
            count,
            bytes,
        };
        self.ask(now, input, out);
    }

    fn on_wake(&mut self, now: Instant, out: &mut impl Orders) {
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

impl Daemon {
    fn take_input(&mut self, now: Instant, input: Input, out: &mut impl Orders) {
        match input {
            Input::Node(input) => self.step_node(now, input, out),
            Input::Command(AppCommand::Forge(told)) => {
                for (link, message) in told.messages(&self.node, self.applications.random()) {
                    out.push(Output::Send { link, message });
                }
            }
            Input::Command(AppCommand::Revoke(id)) => {
                self.requests += 1;
                let request = RevocationRequest(self.requests);
                let revocation = revocation_file::of(&id);
                self.revoking.insert(request, id);
                let revoke = node::Input::Revoke {
                    request,
                    revocation,
                };
                self.step_node(now, revoke, out);
            }
            Input::Command(AppCommand::Announce(published)) => {
                let mut content = self.node.mesh().record().content().clone();
                content.services = published.services;
                content.metadata = published.metadata;
                let announce = node::Input::Mesh(gossip::Input::Announce(content));
                self.step_node(now, announce, out);
            }
            Input::Command(order) => {
                for act in self.applications.acts(order) {
                    self.act(now, act, out);
                }
            }
            Input::Wake => self.on_wake(now, out),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let unread = self.unread.iter().map(|(at, ..)| *at).min();
        [self.node.next_deadline(), unread]
            .into_iter()
            .flatten()
            .min()
    }

    /// The addresses of a name, with the port of the order; none if the daemon does not await this answer.
    fn resolved(&mut self, resolved: Resolved) -> Option<gossip::Input> {
        let port = self.ports.remove(&resolved.ticket)?;
        let addresses = match resolved.addresses {
            Ok(found) => Ok(found.into_iter().map(|ip| (ip, port).into()).collect()),
            Err(ResolveError::TimedOut) => Err(ResolutionError::TimedOut),
            Err(error) => Err(ResolutionError::Failed(error.to_string())),
        };
        Some(gossip::Input::Resolved {
            ticket: resolved.ticket,
            addresses,
        })
    }

    /// Translates an event into an input; none if the event does not concern the daemon.
    fn input(&mut self, what: ProcessEvent) -> Option<Input> {
        Some(Input::Node(node::Input::Mesh(match what {
            ProcessEvent::Start => gossip::Input::Start,
            ProcessEvent::Accepted { link, peer } => gossip::Input::Accepted { link, peer: peer? },
            ProcessEvent::Dialed { dial, link, peer } => gossip::Input::Dialed {
                dial,
                link,
                peer: peer?,
            },
            ProcessEvent::DialFailed { dial, reason } => gossip::Input::DialFailed { dial, reason },
            ProcessEvent::Resolved(resolved) => self.resolved(*resolved)?,
            ProcessEvent::Received { link, message } => {
                let message = message.take()?;
                return Some(Input::Node(node::Input::Receive { link, message }));
            }
            ProcessEvent::Closed { link, reason } => gossip::Input::Closed { link, reason },
            // No answer is expected to the order to keep addresses.
            ProcessEvent::Written {
                ticket: ADDRESSES_TICKET,
            }
            | ProcessEvent::WriteFailed {
                ticket: ADDRESSES_TICKET,
                ..
            } => return None,
            ProcessEvent::Written { ticket } if is_revocation_ticket(ticket) => {
                return Some(Input::Node(node::Input::RevocationsStored { ticket }));
            }
            ProcessEvent::WriteFailed { ticket, .. } if is_revocation_ticket(ticket) => {
                return Some(Input::Node(node::Input::RevocationsNotStored { ticket }));
            }
            ProcessEvent::Written { ticket } => gossip::Input::Stored { ticket },
            ProcessEvent::WriteFailed { ticket, .. } => gossip::Input::StoreFailed { ticket },
            ProcessEvent::Leave => gossip::Input::Leave,
            ProcessEvent::Command(command) => {
                return AppCommand::read(&command.name, &command.with)
                    .ok()
                    .map(Input::Command);
            }
            ProcessEvent::Wake => return Some(Input::Wake),
            ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Invoked(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Signal { .. }
            | ProcessEvent::Query(_)
            | ProcessEvent::Certificate(_) => return None,
        })))
    }
}

/// The daemon as a machine, for engines that have their own world.
impl Machine for Daemon {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        self.take_input(now, input, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline()
    }
}

/// The daemon as a process of a host, for the model engine.
impl Process for Daemon {
    fn concerns(&self, what: &ProcessEvent) -> bool {
        match what {
            ProcessEvent::Command(command) => {
                AppCommand::read(&command.name, &command.with).is_ok()
            }
            ProcessEvent::Received { message, .. } => message.of::<Message>().is_some(),
            ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Invoked(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Signal { .. }
            | ProcessEvent::Query(_)
            | ProcessEvent::Certificate(_) => false,
            ProcessEvent::Start
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Leave
            | ProcessEvent::Wake => true,
        }
    }

    fn on_event(&mut self, now: Instant, what: ProcessEvent, out: &mut Effects) {
        if matches!(what, ProcessEvent::Start) {
            out.push(Effect::Listen { port: PORT });
        }
        // A peer without a certificate is rejected.
        if let ProcessEvent::Accepted { link, peer: None }
        | ProcessEvent::Dialed {
            link, peer: None, ..
        } = what
        {
            return out.push(Effect::Close { link });
        }
        if let Some(input) = self.input(what) {
            self.take_input(now, input, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn view(&self) -> &dyn ProcessView {
        &self.node
    }

    fn identity(&self) -> Option<&NodeId> {
        Some(self.node.mesh().id())
    }
}

/// A sink for the outputs of a daemon.
pub trait Orders {
    /// Appends an output.
    fn push(&mut self, order: Output);

    /// Called before the node of the daemon takes an input.
    fn on_input(&mut self, _input: &node::Input) {}
}

impl Orders for Outbox<Output> {
    fn push(&mut self, order: Output) {
        Self::push(self, order);
    }
}

impl Orders for Effects {
    fn on_input(&mut self, input: &node::Input) {
        if self.notes().are_kept() {
            coverage::note_input(input, self.notes());
        }
    }

    fn push(&mut self, order: Output) {
        match order {
            Output::Send { link, message } => self.send(link, message),
            Output::Dial { dial, address } => {
                let to = Some(address);
                Self::push(self, Effect::Dial { dial, to });
            }
            Output::Resolve { ticket, name } => {
                let host = name.rsplit_once(':').map_or(&*name, |(host, _)| host);
                let name = host.into();
                Self::push(self, Effect::Resolve { ticket, name });
            }
            Output::Close { link } => Self::push(self, Effect::Close { link }),
            Output::StoreRevocations { ticket, bytes } => {
                let writing = Writing {
                    ticket,
                    write: DiskChange::Replace(REVOCATIONS.into(), bytes),
                    synced: true,
                    retry: None,
                };
                Self::push(self, Effect::Write(Box::new(writing)));
            }
            Output::Store { ticket, epoch } => {
                let writing = Writing {
                    ticket,
                    write: DiskChange::Replace(EPOCH.into(), epoch.to_le_bytes().to_vec()),
                    synced: true,
                    retry: None,
                };
                Self::push(self, Effect::Write(Box::new(writing)));
            }
            Output::KeepAddresses { addresses } => {
                let writing = Writing {
                    ticket: ADDRESSES_TICKET,
                    write: DiskChange::Replace(
                        ADDRESSES.into(),
                        gossip::encode_addresses(&addresses),
                    ),
                    synced: true,
                    retry: None,
                };
                Self::push(self, Effect::Write(Box::new(writing)));
            }
            Output::Left => Self::push(self, Effect::Exit),
            Output::Report(event) => self.report(event),
        }
    }
}
