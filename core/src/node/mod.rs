//! One mesh daemon as one machine: the composition of what a node does.
//!
//! Its part in the mesh ([`Gossip`]) says who is there and keeps the links; its channels ([`Channels`]) carry
//! applications' data over them. The node tells the channels which links are open, finds the ways of their parcels,
//! and puts what they say on the same links.

mod direct;
#[cfg(test)]
mod fuzz;
mod message;

use crate::channel::message::{Parcel, Purpose};
use crate::channel::{self, Channels, Failure, Neighbour};
use crate::gossip::{self, Gossip, Status};
use crate::identity::NodeId;
use crate::link::{Address, DialId, LinkId, Ticket};
use crate::machine::{Machine, Outbox, Wake};
use crate::sabotage::Switch;
use crate::time::{Duration, Instant};
use crate::topology::route::Routes;
use std::sync::Arc;

pub use direct::{DIRECT_BYTES, DIRECT_IDLE, DIRECT_MAX, DIRECT_MESSAGES, WISHES_MAX};
pub use gossip::{Config, Event};
pub use message::Message;

use direct::Direct;

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// To its part in the mesh.
    Mesh(gossip::Input),
    /// A message arrived on a link.
    Receive {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// To its channels: what applications ask for.
    Channel(channel::Input),
    /// Tell from now on when the ways change, or no longer.
    WatchRoutes(bool),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// What the caller must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect; answer with `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The address.
        address: Address,
    },
    /// Send a message on a link.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Close a link after the messages already sent on it; no `Closed` is expected.
    Close {
        /// The link.
        link: LinkId,
    },
    /// A link is open: both ends agreed on it. Its data path may be prepared.
    LinkOpened {
        /// The link.
        link: LinkId,
    },
    /// Store the node's epoch durably; answer with `Stored` or `StoreFailed`.
    Store {
        /// Repeated in the answer.
        ticket: Ticket,
        /// The epoch.
        epoch: u64,
    },
    /// The node left the mesh, and has sent its last message.
    Left,
    /// A fact about the mesh, for people.
    Report(Event),
    /// For applications.
    Channel(channel::Output),
    /// The way to some member changed; asked for by [`Input::WatchRoutes`], and at most once in [`ROUTES_INTERVAL`].
    RoutesChanged,
}

impl From<gossip::Output> for Output {
    fn from(output: gossip::Output) -> Self {
        match output {
            gossip::Output::Dial { dial, address } => Self::Dial { dial, address },
            gossip::Output::Send { link, message } => Self::Send {
                link,
                message: Message::Mesh(message),
            },
            gossip::Output::Close { link } => Self::Close { link },
            gossip::Output::LinkOpened { link } => Self::LinkOpened { link },
            gossip::Output::Store { ticket, epoch } => Self::Store { ticket, epoch },
            gossip::Output::Left => Self::Left,
            gossip::Output::Report(event) => Self::Report(event),
        }
    }
}

/// The shortest time between two looks at whether the ways changed.
pub const ROUTES_INTERVAL: Duration = Duration::from_secs(1);

/// The way to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who is reached.
    pub to: NodeId,
    /// The neighbour it begins with.
    pub first: NodeId,
    /// The last node before.
    pub last: NodeId,
    /// The number of links.
    pub hops: u32,
}

/// One mesh daemon.
#[derive(Clone, Debug)]
pub struct Node {
    gossip: Gossip,
    channels: Channels,
    /// The links that the channels know of.
    neighbours: Vec<Neighbour>,
    /// Whether anything was ever done with channels: until then they cost nothing.
    used: bool,
    routes: Known,
    watch: Option<Watch>,
    direct: Direct,
    orders: Outbox<channel::Output>,
}

/// The state of the view and the links that ways follow from.
type AsOf = (u64, u64, Vec<LinkId>);

/// Ways as of one state of the view.
#[derive(Clone, Debug, Default)]
struct Known {
    as_of: AsOf,
    routes: Option<Arc<Routes>>,
}

/// What was last told of the ways.
#[derive(Clone, Debug, PartialEq)]
struct Watch {
    as_of: AsOf,
    told: Arc<Routes>,
    looked: Instant,
    /// When to look again: something changed since.
    due: Option<Instant>,
}

/// What was computed and can be computed again does not count.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.gossip == other.gossip
            && self.channels == other.channels
            && self.neighbours == other.neighbours
            && self.watch == other.watch
            && self.direct == other.direct
    }
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
        let mut own = channel::Config::new(
            config.id.clone(),
            config.epoch,
            config.instance,
            channel_tuning(&config.tuning),
        );
        own.sabotage = config.sabotage;
        Self {
            gossip: Gossip::new(config, seed, now),
            channels: Channels::new(own, seed, now),
            neighbours: Vec::new(),
            used: false,
            routes: Known::default(),
            watch: None,
            direct: Direct::default(),
            orders: Outbox::new(),
        }
    }

    /// The node's part in the mesh, to read.
    #[must_use]
    pub const fn mesh(&self) -> &Gossip {
        &self.gossip
    }

    /// The node's channels, to read.
    #[must_use]
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The ways to all members that one leads to, by id. O(members).
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.named(&self.known_routes())
    }

    /// The tree of shortest paths from a member to all others as this view has it: of each who is reached, the node
    /// before it and the number of links. O(members).
    #[must_use]
    pub fn tree_of(&self, source: &NodeId) -> Vec<Route> {
        let topology = self.gossip.topology();
        let Some(from) = topology.handle(source) else {
            return Vec::new();
        };
        if source == self.gossip.id() {
            return self.routes();
        }
        let pairs = topology.linked_pairs();
        let neighbours: Vec<_> = pairs.neighbours(from).collect();
        let routes = topology.routes(&pairs, from, neighbours.into_iter(), &[]);
        self.named(&routes)
    }

    /// The ways by the names of this view; none leads to where they begin.
    fn named(&self, routes: &Routes) -> Vec<Route> {
        let topology = self.gossip.topology();
        let name = |handle| topology.id_at(handle).cloned();
        let ways = topology.handles().filter_map(|handle| {
            let way = routes.to(handle)?;
            Some(Route {
                to: name(handle)?,
                first: name(way.first)?,
                last: name(way.last)?,
                hops: way.hops,
            })
        });
        ways.collect()
    }

    /// The ways as of now; computed, unless nothing changed since they last were needed.
    fn known_routes(&self) -> Arc<Routes> {
        match &self.routes.routes {
            Some(routes) if self.routes.as_of == self.as_of() => Arc::clone(routes),
            Some(_) | None => Arc::new(self.routes_around(&[])),
        }
    }

    /// The same, remembered for the next time.
    fn routes_from_now(&mut self) -> Arc<Routes> {
        let routes = self.known_routes();
        self.routes = Known {
            as_of: self.as_of(),
            routes: Some(Arc::clone(&routes)),
        };
        routes
    }

    fn as_of(&self) -> AsOf {
        let topology = self.gossip.topology();
        let lively = self.gossip.neighbours().filter(|(_, _, lively)| *lively);
        let links = lively.map(|(link, _, _)| link).collect();
        (topology.revision(), topology.hash(), links)
    }

    fn watch_routes(&mut self, now: Instant, watch: bool) {
        if watch && self.watch.is_some() {
            // Whoever watches already must not miss what is about to be told.
            return;
        }
        self.watch = watch.then(|| Watch {
            as_of: self.as_of(),
            told: self.known_routes(),
            looked: now,
            due: None,
        });
    }

    /// Sees to it that a change of the ways is told, changes of one interval together.
    fn look_at_routes(&mut self, now: Instant, out: &mut Outbox<Output>) {
        let as_of = match &self.watch {
            Some(_) => self.as_of(),
            None => return,
        };
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.as_of != as_of) else {
            return;
        };
        let due = watch.looked + ROUTES_INTERVAL;
        if due > now {
            watch.due = Some(due);
            return;
        }
        let routes = self.routes_from_now();
        if let Some(watch) = &mut self.watch {
            if watch.told != routes {
                out.push(Output::RoutesChanged);
            }
            *watch = Watch {
                as_of,
                told: routes,
                looked: now,
                due: None,
            };
        }
    }

    fn routes_around(&self, avoid: &[NodeId]) -> Routes {
        let topology = self.gossip.topology();
        let me = self.gossip.me();
        let lively = self.gossip.neighbours().filter(|(_, _, lively)| *lively);
        let neighbours = lively.filter_map(|(_, peer, _)| topology.handle(peer));
        let avoid: Vec<_> = avoid.iter().filter_map(|id| topology.handle(id)).collect();
        topology.routes(&topology.linked_pairs(), me, neighbours, &avoid)
    }

    /// The open link to a neighbour that was heard lately.
    fn link_to(&self, first: &NodeId) -> Option<LinkId> {
        let mut lively = self
            .gossip
            .neighbours()
            .filter(|(_, peer, lively)| *lively && *peer == first);
        lively.next().map(|(link, _, _)| link)
    }

    /// The link on which a parcel goes on.
    fn way_of(&mut self, parcel: &Parcel) -> Result<LinkId, Failure> {
        let to = &parcel.to;
        match self.gossip.status_of(to) {
            None => return Err(Failure::UnknownPeer),
            Some(Status::Down | Status::Left) => return Err(Failure::PeerDown),
            Some(Status::Alive | Status::Suspect) => {}
        }
        if let Some(link) = self.link_to(to) {
            return Ok(link);
        }
        let routes = self.routes_from_now();
        let topology = self.gossip.topology();
        let handle = topology.handle(to).ok_or(Failure::UnknownPeer)?;
        let first = routes
            .to(handle)
            .and_then(|way| topology.id_at(way.first).cloned());
        let straight = self.channels.sabotaged(Switch::NoDetour);
        let passed = |id: &NodeId| parcel.path.contains(id) && !straight;
        let first = match first {
            // Only the first hop is looked at: whoever is there looks at the next.
            Some(first) if !passed(&first) => Some(first),
            Some(_) => {
                let around = self.routes_around(&parcel.path).to(handle);
                around.and_then(|way| topology.id_at(way.first).cloned())
            }
            None => None,
        };
        first
            .and_then(|first| self.link_to(&first))
            .ok_or(Failure::NoRoute)
    }

    /// Tells the channels which links are open, if that changed.
    fn tell_neighbours(&mut self, now: Instant) {
        let told = self
            .neighbours
            .iter()
            .map(|it| (it.link, &it.peer, it.lively));
        if !self.used || told.eq(self.gossip.neighbours()) {
            return;
        }
        let neighbours = self
            .gossip
            .neighbours()
            .map(|(link, peer, lively)| Neighbour {
                link,
                peer: peer.clone(),
                lively,
            });
        self.neighbours = neighbours.collect();
        let input = channel::Input::Neighbours(self.neighbours.clone());
        self.channels.step(now, input, &mut self.orders);
    }

    fn step_mesh(&mut self, now: Instant, input: gossip::Input, out: &mut Outbox<Output>) {
        // Made anew, unlike that of the channels, for nearly each step orders something here: where thousands of nodes
        // take turns in one process, a queue of each node's own is far away in memory.
        let mut orders = Outbox::new();
        self.gossip.step(now, input, &mut orders);
        for order in orders.drain() {
            out.push(order.into());
        }
        self.tell_neighbours(now);
    }

    fn step_channels(&mut self, now: Instant, input: channel::Input) {
        if !self.used {
            self.used = true;
            self.tell_neighbours(now);
        }
        self.channels.step(now, input, &mut self.orders);
    }

    /// Asks for a link to whom this node sends much.
    fn count(&mut self, now: Instant, parcel: &Parcel, out: &mut Outbox<Output>) {
        let own = parcel.from == *self.gossip.id();
        let sends = matches!(parcel.purpose, Purpose::Message | Purpose::Datagram);
        if own && sends && self.direct.note(now, &parcel.to, parcel.payload.len()) {
            let peer = parcel.to.clone();
            self.step_mesh(now, gossip::Input::Want { peer, wanted: true }, out);
        }
    }

    /// Asks for the links that are worth having, and no longer for those that are not.
    fn look_at_direct_links(&mut self, now: Instant, out: &mut Outbox<Output>) {
        for (peer, wanted) in self.direct.look(now) {
            self.step_mesh(now, gossip::Input::Want { peer, wanted }, out);
        }
    }

    /// Carries out what the channels order.
    fn carry_out(&mut self, now: Instant, out: &mut Outbox<Output>) {
        while !self.orders.is_empty() {
            let orders: Vec<channel::Output> = self.orders.drain().collect();
            for order in orders {
                match order {
                    channel::Output::Transmit { link, data } => {
                        let message = Message::Channel(data);
                        out.push(Output::Send { link, message });
                    }
                    channel::Output::Route(parcel) => {
                        self.count(now, &parcel, out);
                        let input = match self.way_of(&parcel) {
                            Ok(link) => channel::Input::Forward { link, parcel },
                            Err(failure) => channel::Input::Unroutable { parcel, failure },
                        };
                        self.channels.step(now, input, &mut self.orders);
                    }
                    channel::Output::Deliver { .. }
                    | channel::Output::Answer { .. }
                    | channel::Output::Report(_) => out.push(Output::Channel(order)),
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
            } => self.step_mesh(now, gossip::Input::Receive { link, message }, out),
            Input::Receive {
                link,
                message: Message::Channel(data),
            } => {
                self.step_mesh(now, gossip::Input::Heard { link }, out);
                self.step_channels(now, channel::Input::Receive { link, data });
            }
            Input::Mesh(gossip::Input::Want { peer, wanted }) => {
                let wanted = self.direct.wish(now, &peer, wanted);
                self.step_mesh(now, gossip::Input::Want { peer, wanted }, out);
            }
            Input::Mesh(input) => self.step_mesh(now, input, out),
            Input::Channel(input) => self.step_channels(now, input),
            Input::WatchRoutes(watch) => self.watch_routes(now, watch),
            Input::Wake => {
                if self.gossip.next_deadline().is_some_and(|at| at <= now) {
                    self.step_mesh(now, gossip::Input::Wake, out);
                }
                if self.channels.next_deadline().is_some_and(|at| at <= now) {
                    self.step_channels(now, channel::Input::Wake);
                }
            }
        }
        self.look_at_direct_links(now, out);
        self.carry_out(now, out);
        self.look_at_routes(now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let look = self.watch.as_ref().and_then(|watch| watch.due);
        let children = [self.gossip.next_deadline(), self.channels.next_deadline()];
        let deadlines = children
            .into_iter()
            .chain([look, self.direct.next_deadline()]);
        deadlines.flatten().min()
    }
}
