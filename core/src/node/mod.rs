//! One mesh daemon as one machine.
//!
//! A node consists of its part in the mesh ([`Gossip`]), which decides the membership and keeps the links, and its
//! channels ([`Channels`]), which carry applications' data over the links. Its list of revoked certificates
//! ([`Revocations`]) decides which connections are closed, and is exchanged before a handshake (`revoking`,
//! `held_hellos`). The node informs the channels which links
//! are open (`neighbours`), chooses the next hop of their packets (`routes`), and requests links to members to which it
//! sends much (`direct_links`).

mod direct_links;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod fuzz;
mod held_hellos;
mod interface;
mod link_requests;
mod message;
mod neighbours;
mod revoking;
mod routes;

use crate::channel::message::{Packet, Purpose};
use crate::channel::{self, Channels};
use crate::gossip::{self, Gossip};
use crate::identity::NodeId;
use crate::machine::{Machine, Outbox};
use crate::revocation::{self, Revocations};
use crate::sabotage::Switch;
use crate::time::Instant;
use direct_links::DirectLinks;
use held_hellos::HeldHellos;
use neighbours::Neighbours;
use routes::RouteCache;

pub use direct_links::{
    APPLICATION_LINKS_MAX, DIRECT_BYTES, DIRECT_IDLE, DIRECT_MAX, DIRECT_MESSAGES, LinkChange,
};
pub use gossip::{Config, Event};
pub use interface::{Input, Output};
pub use link_requests::{LinkRefusal, LinkRequests};
pub use message::Message;
pub use routes::{ROUTES_INTERVAL, Route};

/// One mesh daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    gossip: Gossip,
    channels: Channels,
    neighbours: Neighbours,
    routes: RouteCache,
    direct_links: DirectLinks,
    revocations: Revocations,
    held_hellos: HeldHellos,
    /// Outputs of the channels that were not handled; empty between steps.
    channel_outputs: Outbox<channel::Output>,
}

/// The timings of the channels, which follow those of the mesh.
fn channel_tuning(mesh: &gossip::Tuning) -> channel::Tuning {
    channel::Tuning {
        coalesce: mesh.coalesce,
        announce_after: mesh.announce_after,
        graft_after: mesh.graft_after,
        graft_jitter: mesh.graft_jitter,
        graft_interval: mesh.graft_interval,
        ..channel::Tuning::default()
    }
}

impl Node {
    /// The node of this configuration; `seed` feeds its random choices.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut channels = channel::Config::new(
            config.id.clone(),
            config.epoch,
            config.instance,
            channel_tuning(&config.tuning),
        );
        channels.started = config.content.joined;
        channels.sabotage = config.sabotage;
        channels.bytes_max = config.tuning.channel_kib_max.saturating_mul(1024);
        let revocations = Revocations::new(config.content.joined, now, config.sabotage);
        Self {
            gossip: Gossip::new(config, seed, now),
            channels: Channels::new(channels, seed, now),
            neighbours: Neighbours::default(),
            routes: RouteCache::default(),
            direct_links: DirectLinks::default(),
            revocations,
            held_hellos: HeldHellos::default(),
            channel_outputs: Outbox::new(),
        }
    }

    /// The node's part in the mesh, read-only.
    #[must_use]
    pub const fn mesh(&self) -> &Gossip {
        &self.gossip
    }

    /// The node's channels, read-only.
    #[must_use]
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The routes to all reachable members, by id. O(members).
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.routes.all(&self.gossip)
    }

    /// The tree of shortest paths from a member to all others in this view: for each reachable member, the preceding
    /// node and the number of links. O(members).
    #[must_use]
    pub fn tree_of(&self, source: &NodeId) -> Vec<Route> {
        if source == self.gossip.id() {
            return self.routes();
        }
        routes::tree_of(&self.gossip, source)
    }

    /// Informs the channels which links are open and how fast they are, if that changed.
    fn update_neighbours(&mut self, now: Instant) {
        if let Some(neighbours) = self.neighbours.take_change(&self.gossip) {
            let input = channel::Input::Neighbours(neighbours);
            self.channels.step(now, input, &mut self.channel_outputs);
        }
        if let Some(pace) = self.neighbours.take_pace(&self.gossip) {
            let input = channel::Input::Pace(pace);
            self.channels.step(now, input, &mut self.channel_outputs);
        }
    }

    fn step_mesh(&mut self, now: Instant, input: gossip::Input, out: &mut Outbox<Output>) {
        // This outbox is not kept, unlike that of the channels, because nearly every step has outputs here: if
        // thousands of nodes take turns in one process, a separate outbox for each node causes cache misses.
        let mut outputs = Outbox::new();
        self.gossip.step(now, input, &mut outputs);
        for mut output in outputs.drain() {
            self.note_mesh_output(now, &mut output, out);
            out.push(output.into());
        }
        self.update_neighbours(now);
    }

    fn step_channels(&mut self, now: Instant, input: channel::Input) {
        if self.neighbours.use_channels() {
            self.update_neighbours(now);
        }
        self.channels.step(now, input, &mut self.channel_outputs);
    }

    /// Counts a packet of this node, and requests a link to the packet's receiver if the traffic justifies one.
    fn count_packet(&mut self, now: Instant, packet: &Packet, out: &mut Outbox<Output>) {
        let own = packet.from == *self.gossip.id();
        let counts = matches!(packet.purpose, Purpose::Message | Purpose::Datagram);
        let bytes = packet.payload.len();
        if own && counts && self.direct_links.note_sent(now, &packet.to, bytes) {
            let peer = packet.to.clone();
            self.step_mesh(
                now,
                gossip::Input::RequestLink {
                    peer,
                    requested: true,
                },
                out,
            );
        }
    }

    fn update_direct_links(&mut self, now: Instant, out: &mut Outbox<Output>) {
        for request in self.direct_links.begin_window(now) {
            self.step_mesh(now, request.into(), out);
        }
    }

    /// Handles the outputs of the channels until no outputs remain.
    fn handle_channel_outputs(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while !self.channel_outputs.is_empty() {
            let outputs: Vec<channel::Output> = self.channel_outputs.drain().collect();
            for output in outputs {
                match output {
                    channel::Output::Transmit { link, data } => {
                        let message = Message::Channel(data);
                        out.push(Output::Send { link, message });
                    }
                    channel::Output::Route(packet) => {
                        self.count_packet(now, &packet, out);
                        let may_detour = !self.channels.sabotaged(Switch::NoDetour);
                        let input = match self.routes.next_hop(&self.gossip, &packet, may_detour) {
                            Ok(link) => channel::Input::Forward { link, packet },
                            Err(failure) => channel::Input::Unroutable { packet, failure },
                        };
                        self.channels.step(now, input, &mut self.channel_outputs);
                    }
                    channel::Output::Deliver { .. }
                    | channel::Output::Answer { .. }
                    | channel::Output::AnnounceChannels
                    | channel::Output::Report(_) => out.push(Output::Channel(output)),
                }
            }
        }
    }
}

impl Machine for Node {
    type Input = Input;
    type Output = Output;

    fn step(&mut self, now: Instant, input: Input, out: &mut Outbox<Output>) {
        match input {
            Input::Receive {
                link,
                message: Message::Mesh(message),
            } => self.receive_mesh(now, link, message, out),
            Input::Receive {
                link,
                message: Message::Revocation(message),
            } => self.receive_revocation_message(now, link, message, out),
            Input::Receive {
                link,
                message: Message::Channel(data),
            } => {
                self.step_mesh(now, gossip::Input::Heard { link }, out);
                self.step_channels(now, channel::Input::Receive { link, data });
            }
            Input::Mesh(gossip::Input::RequestLink { peer, requested }) => {
                let requested = self.direct_links.set_request(now, &peer, requested);
                let input = gossip::Input::RequestLink { peer, requested };
                self.step_mesh(now, input, out);
            }
            Input::Mesh(input) => self.step_mesh_about_connection(now, input, out),
            Input::LoadRevocations(revocations) => {
                self.step_revocations(now, revocation::Input::Load(revocations), out);
            }
            Input::Presented { link, certificate } => {
                let presented = revocation::Input::Presented { link, certificate };
                self.step_revocations(now, presented, out);
            }
            Input::Revoke {
                request,
                revocation,
            } => {
                let revoke = revocation::Input::Revoke {
                    request,
                    revocation,
                };
                self.step_revocations(now, revoke, out);
            }
            Input::RevocationsStored { ticket } => {
                self.step_revocations(now, revocation::Input::Stored { ticket }, out);
            }
            Input::RevocationsNotStored { ticket } => {
                self.step_revocations(now, revocation::Input::StoreFailed { ticket }, out);
            }
            Input::Channel(input) => self.step_channels(now, input),
            Input::Calendar(wall) => {
                self.step_mesh(now, gossip::Input::Calendar(wall), out);
                self.step_channels(now, channel::Input::Calendar(wall));
                self.step_revocations(now, revocation::Input::Calendar(wall), out);
            }
            Input::WatchRoutes(watch) => self.routes.set_watch(now, &self.gossip, watch),
            Input::Wake => {
                if self.gossip.next_deadline().is_some_and(|at| at <= now) {
                    self.step_mesh(now, gossip::Input::Wake, out);
                }
                if self.channels.next_deadline().is_some_and(|at| at <= now) {
                    self.step_channels(now, channel::Input::Wake);
                }
                if self.revocations.next_deadline().is_some_and(|at| at <= now) {
                    self.step_revocations(now, revocation::Input::Wake, out);
                }
            }
        }
        self.update_direct_links(now, out);
        self.handle_channel_outputs(now, out);
        if self.routes.check_watch(now, &self.gossip) {
            out.push(Output::RoutesChanged);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.gossip.next_deadline(),
            self.channels.next_deadline(),
            self.routes.next_deadline(),
            self.direct_links.next_deadline(),
            self.revocations.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }
}
