//! Routes of packets: the next hop of each, and whether the routes changed since the application was last notified.
//!
//! Routes are shortest paths over the edges of the view that are not reported down; of equally short routes, the one
//! with the lowest names is chosen. Routes are computed when needed and kept until the view or the node's own lively
//! links change.
//!
//! Bound: one notification in each [`ROUTES_INTERVAL`].

use crate::channel::DeliveryFailure;
use crate::channel::message::Packet;
use crate::gossip::{Gossip, Status};
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::time::{Duration, Instant};
use crate::topology::route::Routes;
use std::sync::Arc;

/// Minimum time between two notifications that routes changed.
pub const ROUTES_INTERVAL: Duration = Duration::from_secs(1);

/// The route to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The member.
    pub to: NodeId,
    /// The first hop of the route.
    pub first: NodeId,
    /// The last node before the member.
    pub last: NodeId,
    /// The number of links.
    pub hops: u32,
}

/// The state of the view and of this node's links that determines the routes.
#[derive(Clone, Debug, Default, PartialEq)]
struct AsOf {
    revision: u64,
    hash: u64,
    links: Vec<LinkId>,
}

impl AsOf {
    fn now(mesh: &Gossip) -> Self {
        let topology = mesh.topology();
        Self {
            revision: topology.revision(),
            hash: topology.hash(),
            links: lively(mesh).map(|(link, _)| link).collect(),
        }
    }
}

/// The routes that an application was last notified of.
#[derive(Clone, Debug, PartialEq)]
struct Watch {
    as_of: AsOf,
    notified: Arc<Routes>,
    checked: Instant,
    /// The time of the next check, if the view has changed since the last one.
    due: Option<Instant>,
}

/// Computed routes, and the watch of an application.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteCache {
    as_of: AsOf,
    routes: Option<Arc<Routes>>,
    watch: Option<Watch>,
}

/// Computed routes do not count in comparisons, because they follow from the view.
impl PartialEq for RouteCache {
    fn eq(&self, other: &Self) -> bool {
        self.watch == other.watch
    }
}

impl RouteCache {
    /// The current routes; computed if the stored ones are outdated.
    fn current(&self, as_of: &AsOf, mesh: &Gossip) -> Arc<Routes> {
        match &self.routes {
            Some(routes) if self.as_of == *as_of => Arc::clone(routes),
            Some(_) | None => Arc::new(routes_around(mesh, &[], mesh.id())),
        }
    }

    /// The current routes, which are stored for the next call.
    fn refresh(&mut self, mesh: &Gossip) -> Arc<Routes> {
        let as_of = AsOf::now(mesh);
        let routes = self.current(&as_of, mesh);
        self.as_of = as_of;
        self.routes = Some(Arc::clone(&routes));
        routes
    }

    /// The routes to all members that are reachable, by id. O(members).
    pub(super) fn all(&self, mesh: &Gossip) -> Vec<Route> {
        named(mesh, &self.current(&AsOf::now(mesh), mesh))
    }

    /// Starts or stops the watch. A running watch continues, so that no change is missed.
    pub(super) fn set_watch(&mut self, now: Instant, mesh: &Gossip, watch: bool) {
        if watch && self.watch.is_some() {
            return;
        }
        self.watch = watch.then(|| {
            let as_of = AsOf::now(mesh);
            Watch {
                notified: self.current(&as_of, mesh),
                as_of,
                checked: now,
                due: None,
            }
        });
    }

    /// Checks the watch. Returns whether the application is to be notified that routes changed.
    pub(super) fn check_watch(&mut self, now: Instant, mesh: &Gossip) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        let as_of = AsOf::now(mesh);
        if watch.as_of == as_of {
            return false;
        }
        let due = watch.checked + ROUTES_INTERVAL;
        if due > now {
            watch.due = Some(due);
            return false;
        }
        let routes = self.refresh(mesh);
        let changed = self
            .watch
            .as_ref()
            .is_some_and(|watch| watch.notified != routes);
        self.watch = Some(Watch {
            as_of,
            notified: routes,
            checked: now,
            due: None,
        });
        changed
    }

    /// The time of the next check of the watch.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.watch.as_ref()?.due
    }

    /// The next link of a packet on a route to its receiver; if it `may_detour`, the route avoids the nodes that the
    /// packet passed.
    pub(super) fn next_hop(
        &mut self,
        mesh: &Gossip,
        packet: &Packet,
        may_detour: bool,
    ) -> Result<LinkId, DeliveryFailure> {
        let to = &packet.to;
        match mesh.status_of(to) {
            None => return Err(DeliveryFailure::UnknownPeer),
            Some(Status::Down | Status::Left) => return Err(DeliveryFailure::PeerDown),
            Some(Status::Alive | Status::Suspect) => {}
        }
        let topology = mesh.topology();
        let member = topology.index_of(to).ok_or(DeliveryFailure::UnknownPeer)?;
        let direct = link_to(mesh, to);
        // A sender that got no answer over its link with the receiver excludes the receiver as the first hop.
        let goes_around = may_detour && packet.from == *mesh.id() && packet.path.contains(to);
        if let Some(link) = direct
            && !topology.reports_down(member, mesh.me())
            && !goes_around
        {
            return Ok(link);
        }
        let first_hop = |routes: &Routes| {
            let first = routes.to(member)?.first;
            topology.id_at(first).cloned()
        };
        let first = match first_hop(&self.refresh(mesh)) {
            // Only the first hop is checked, because the node there checks the next hop.
            Some(first) if may_detour && packet.path.contains(&first) => {
                first_hop(&routes_around(mesh, &packet.path, to))
            }
            first => first,
        };
        first
            .and_then(|first| link_to(mesh, &first))
            .or(direct)
            .ok_or(DeliveryFailure::NoRoute)
    }
}

/// The tree of shortest paths from a member to all others in this view: for each reachable member, the preceding node
/// and the number of links. O(members).
pub(super) fn tree_of(mesh: &Gossip, source: &NodeId) -> Vec<Route> {
    let topology = mesh.topology();
    let Some(from) = topology.index_of(source) else {
        return Vec::new();
    };
    let pairs = topology.linked_pairs();
    let neighbours: Vec<_> = pairs.neighbours(from).collect();
    let routes = topology.routes(&pairs, from, neighbours.into_iter(), &[]);
    named(mesh, &routes)
}

/// Converts routes over indices to routes over ids.
fn named(mesh: &Gossip, routes: &Routes) -> Vec<Route> {
    let topology = mesh.topology();
    let name = |member| topology.id_at(member).cloned();
    let named = topology.indices().filter_map(|member| {
        let route = routes.to(member)?;
        Some(Route {
            to: name(member)?,
            first: name(route.first)?,
            last: name(route.last)?,
            hops: route.hops,
        })
    });
    named.collect()
}

/// The open links on which data was received recently, and their peers.
fn lively(mesh: &Gossip) -> impl Iterator<Item = (LinkId, &NodeId)> {
    let lively = mesh.neighbours().filter(|(_, _, lively)| *lively);
    lively.map(|(link, peer, _)| (link, peer))
}

/// The lively link to a neighbour.
fn link_to(mesh: &Gossip, neighbour: &NodeId) -> Option<LinkId> {
    let mut links = lively(mesh).filter(|(_, peer)| *peer == neighbour);
    links.next().map(|(link, _)| link)
}

/// Routes from this node that pass through none of the nodes to `avoid`. If `to` is one of them, only its link with this
/// node is avoided. A neighbour that reports its link with this node down does not hear this node, so routes begin at
/// other neighbours if there are any.
fn routes_around(mesh: &Gossip, avoid: &[NodeId], to: &NodeId) -> Routes {
    let topology = mesh.topology();
    let me = mesh.me();
    let neighbours = lively(mesh).filter_map(|(_, peer)| topology.index_of(peer));
    let mut neighbours: Vec<_> = neighbours.collect();
    let hears = |peer| !topology.reports_down(peer, me);
    if neighbours.iter().any(|peer| hears(*peer)) {
        neighbours.retain(|peer| hears(*peer));
    }
    if avoid.contains(to) {
        let receiver = topology.index_of(to);
        neighbours.retain(|peer| Some(*peer) != receiver);
    }
    let avoid: Vec<_> = avoid
        .iter()
        .filter(|id| *id != to)
        .filter_map(|id| topology.index_of(id))
        .collect();
    topology.routes(&topology.linked_pairs(), me, neighbours.into_iter(), &avoid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::ChannelName;
    use crate::channel::message::Purpose;
    use crate::gossip::message::{AgedReport, Frame, Hello};
    use crate::gossip::{Config, Input, Message};
    use crate::link::CloseReason;
    use crate::machine::{Machine, Outbox};
    use crate::topology::record::{Content, Edge, EdgeReport, Rank, Record};
    use core::net::{Ipv4Addr, SocketAddr};

    const NOW: Instant = Instant::from_millis(1_000);

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn content(name: &str) -> Content {
        let host = name.as_bytes()[0];
        Content {
            address: Some(SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 7_000))),
            ..Content::default()
        }
    }

    fn record(name: &str) -> Arc<Record> {
        let rank = Rank {
            epoch: 1,
            instance: 1,
            incarnation: 0,
            leaving: false,
            version: 1,
        };
        Arc::new(Record::new(id(name), rank, content(name)))
    }

    fn link(name: &str) -> LinkId {
        LinkId(name.as_bytes()[0].into())
    }

    fn step(mesh: &mut Gossip, input: Input) {
        mesh.step(NOW, input, &mut Outbox::new());
    }

    /// The mesh of node `a` with open links to these neighbours.
    fn mesh(neighbours: &[&str]) -> Gossip {
        let config = Config::new(id("a"), "test", 1, 1, content("a"), Vec::new());
        let mut mesh = Gossip::new(config, 1, NOW);
        step(&mut mesh, Input::Start);
        for name in neighbours {
            let (link, peer) = (link(name), id(name));
            step(&mut mesh, Input::Accepted { link, peer });
            let message = Message::Hello(Hello {
                mesh: "test".into(),
                version_min: 1,
                version_max: 1,
                session: 1,
                joining: false,
                alone: false,
                hash: 0,
                record: record(name),
                revocations: 0,
            });
            step(&mut mesh, Input::Receive { link, message });
        }
        mesh
    }

    /// The first neighbour announces a member.
    fn tell(mesh: &mut Gossip, member: &str) {
        let (link, _) = lively(mesh).next().unwrap();
        let frame = Frame {
            records: vec![record(member)],
            ..Frame::default()
        };
        let message = Message::Frame(frame);
        step(mesh, Input::Receive { link, message });
    }

    fn packet(to: &str, path: &[&str]) -> Packet {
        Packet {
            from: id(path[0]),
            to: id(to),
            epoch: 1,
            number: 1,
            floor: 0,
            purpose: Purpose::Message,
            channel: ChannelName::new("chat").unwrap(),
            path: path.iter().map(|name| id(name)).collect(),
            payload: Arc::from([]),
        }
    }

    #[test]
    fn a_packet_to_a_neighbour_takes_its_link_and_one_to_an_unknown_member_fails() {
        let (mesh, mut routes) = (mesh(&["b"]), RouteCache::default());
        let next = routes.next_hop(&mesh, &packet("b", &["a"]), true);
        assert_eq!(next, Ok(link("b")));
        let next = routes.next_hop(&mesh, &packet("x", &["a"]), true);
        assert_eq!(next, Err(DeliveryFailure::UnknownPeer));
    }

    /// A neighbour reports that its link with `a` is down.
    fn complain(mesh: &mut Gossip, neighbour: &str) {
        let report = EdgeReport {
            epoch: 1,
            version: 2,
            edges: vec![Edge {
                peer: id("a"),
                down: true,
                refused: false,
            }],
            reporter: id(neighbour),
        };
        let frame = Frame {
            reports: vec![AgedReport {
                report: Arc::new(report),
                ages: vec![Some(Duration::ZERO)],
                failures: Vec::new(),
            }],
            ..Frame::default()
        };
        let (link, message) = (link(neighbour), Message::Frame(frame));
        step(mesh, Input::Receive { link, message });
    }

    #[test]
    fn a_neighbour_that_does_not_hear_this_node_is_reached_through_another() {
        let (mut mesh, mut routes) = (mesh(&["b", "c"]), RouteCache::default());
        complain(&mut mesh, "b");
        let next = |routes: &mut RouteCache, mesh: &Gossip| {
            routes.next_hop(mesh, &packet("b", &["a"]), true)
        };
        assert_eq!(next(&mut routes, &mesh), Ok(link("c")));
        // If no neighbour hears this node, its link is tried all the same.
        complain(&mut mesh, "c");
        assert_eq!(next(&mut routes, &mesh), Ok(link("b")));
    }

    #[test]
    fn a_packet_goes_around_the_nodes_that_it_passed() {
        let (mut mesh, mut routes) = (mesh(&["b", "c"]), RouteCache::default());
        tell(&mut mesh, "d");
        let first = routes.next_hop(&mesh, &packet("d", &["a"]), true).unwrap();
        let (passed, other) = if first == link("b") {
            ("b", link("c"))
        } else {
            ("c", link("b"))
        };
        let detour = packet("d", &[passed, "a"]);
        assert_eq!(routes.next_hop(&mesh, &detour, true), Ok(other));
        assert_eq!(routes.next_hop(&mesh, &detour, false), Ok(first));
        let nowhere = packet("d", &["b", "c", "a"]);
        assert_eq!(
            routes.next_hop(&mesh, &nowhere, true),
            Err(DeliveryFailure::NoRoute)
        );
    }

    #[test]
    fn a_packet_without_an_answer_from_a_neighbour_goes_around_their_link() {
        let (mesh, mut routes) = (mesh(&["b", "c"]), RouteCache::default());
        let around = packet("b", &["a"]);
        let around = Packet {
            path: vec![id("b"), id("a")],
            ..around
        };
        assert_eq!(routes.next_hop(&mesh, &around, true), Ok(link("c")));
        assert_eq!(routes.next_hop(&mesh, &around, false), Ok(link("b")));
        // Another node that passes the packet on uses its link with the receiver.
        let onward = Packet {
            from: id("x"),
            path: vec![id("b"), id("x"), id("a")],
            ..around.clone()
        };
        assert_eq!(routes.next_hop(&mesh, &onward, true), Ok(link("b")));
        // If there is no other way, the link is tried all the same.
        let (mesh_of_b, mut routes) = (self::mesh(&["b"]), RouteCache::default());
        assert_eq!(routes.next_hop(&mesh_of_b, &around, true), Ok(link("b")));
    }

    #[test]
    fn a_watch_notifies_of_changed_routes_once_an_interval() {
        let (mut mesh, mut routes) = (mesh(&["b"]), RouteCache::default());
        routes.set_watch(NOW, &mesh, true);
        assert!(!routes.check_watch(NOW, &mesh));
        assert_eq!(routes.next_deadline(), None);
        tell(&mut mesh, "c");
        assert!(!routes.check_watch(NOW, &mesh), "checked a moment ago");
        let due = routes.next_deadline().unwrap();
        assert_eq!(due, NOW + ROUTES_INTERVAL);
        routes.set_watch(NOW, &mesh, true);
        assert!(
            routes.check_watch(due, &mesh),
            "a second watch misses nothing"
        );
        assert!(!routes.check_watch(due, &mesh));
        routes.set_watch(due, &mesh, false);
        tell(&mut mesh, "d");
        assert!(!routes.check_watch(due + ROUTES_INTERVAL, &mesh));
    }

    #[test]
    fn kept_routes_equal_computed_ones() {
        let (mut mesh, mut routes) = (mesh(&["b", "c"]), RouteCache::default());
        for member in ["d", "e", "f"] {
            tell(&mut mesh, member);
            routes.refresh(&mesh);
            assert_eq!(routes.all(&mesh), RouteCache::default().all(&mesh));
        }
        let closed = Input::Closed {
            link: link("b"),
            reason: CloseReason::Farewell,
        };
        step(&mut mesh, closed);
        assert_eq!(routes.all(&mesh), RouteCache::default().all(&mesh));
        assert_eq!(
            routes,
            RouteCache::default(),
            "computed routes do not count"
        );
    }
}
