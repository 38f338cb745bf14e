//! Revocations in the handshake of two nodes on a slow link, and peers of protocol version 1.

use super::{Config, Input, Message, Node, Output};
use crate::gossip::message::{Hello, VERSION_MIN};
use crate::gossip::{self, Message as MeshMessage};
use crate::identity::NodeId;
use crate::link::{Address, CloseReason, LinkId, Ticket};
use crate::revocation::tests::by_holder;
use crate::revocation::{self, REVOCATIONS_MAX};
use crate::size::Encoded as _;
use crate::testing::world::{TestEnvironment, TestWorld};
use crate::time::{Duration, Instant, Wall};
use crate::topology::record::{Content, Rank, Record};
use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One-way delay of the connection.
const DELAY: Duration = Duration::from_millis(100);
/// Time for one byte: 1 MB/s in each direction.
const BYTE: Duration = Duration::from_micros(1);

fn id(node: usize) -> NodeId {
    NodeId::new(&format!("n{node}")).unwrap()
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, node as u8), 7_000))
}

/// One connection at a time between the nodes 0 and 1. Each direction sends one byte after the other.
#[derive(Default)]
struct SlowConnection {
    /// The number of connections made so far; the last one may be open.
    made: u64,
    /// The time at which the last byte of each direction is sent.
    free: [Instant; 2],
    /// The links that each node opened.
    opened: [Vec<(Instant, LinkId)>; 2],
    /// The connections that a node closed.
    closed: Vec<(Instant, LinkId)>,
}

type Pair = TestWorld<SlowConnection>;

impl TestEnvironment for SlowConnection {
    type Node = usize;
    type Machine = Node;
    type Event = (usize, Input);

    fn perform(world: &mut Pair, node: &usize, output: Output) {
        let (node, other) = (*node, 1 - *node);
        let now = world.now;
        let around = &mut world.environment;
        match output {
            Output::Dial { dial, .. } => {
                around.made += 1;
                let link = LinkId(around.made);
                let accepted = gossip::Input::Accepted {
                    link,
                    peer: id(node),
                };
                let dialed = gossip::Input::Dialed {
                    dial,
                    link,
                    peer: id(other),
                };
                world.schedule(DELAY, (other, Input::Mesh(accepted)));
                world.schedule(2 * DELAY, (node, Input::Mesh(dialed)));
            }
            Output::Send { link, message } => {
                let bytes = u32::try_from(message.encoded_len()).unwrap();
                around.free[node] = around.free[node].max(now) + BYTE * bytes;
                let after = around.free[node].since(now) + DELAY;
                world.schedule(after, (other, Input::Receive { link, message }));
            }
            Output::Close { link } => {
                around.closed.push((now, link));
                let reason = CloseReason::Farewell;
                let closed = gossip::Input::Closed { link, reason };
                let after = around.free[node].max(now).since(now) + DELAY;
                world.schedule(after, (other, Input::Mesh(closed)));
            }
            Output::LinkOpened { link, .. } => around.opened[node].push((now, link)),
            Output::Store { ticket, .. } => world.store(node, ticket),
            Output::StoreRevocations { ticket, .. } => {
                let stored = Input::RevocationsStored { ticket };
                world.schedule(DELAY, (node, stored));
            }
            Output::Resolve { .. }
            | Output::CancelDial { .. }
            | Output::KeepAddresses { .. }
            | Output::EnforceRevocation(_)
            | Output::RevocationAnswer { .. }
            | Output::ReportRevocation(_)
            | Output::Left
            | Output::Report(_)
            | Output::Channel(_)
            | Output::RoutesChanged => {}
        }
    }

    fn happen(world: &mut Pair, (node, input): (usize, Input)) {
        world.step(&node, input);
    }
}

impl Pair {
    /// Node 0 runs; node 1, if it runs, dials it.
    fn of(nodes: usize) -> Self {
        let mut world = Self::around(SlowConnection::default());
        for node in 0..nodes {
            let content = Content {
                address: Some(address(node)),
                joined: Wall(1_000),
                ..Content::default()
            };
            let seeds = (node == 1).then(|| Address::Socket(address(0)));
            let seeds = seeds.into_iter().collect();
            let config = Config::new(id(node), "test", 1, 1, content, seeds);
            world
                .nodes
                .insert(node, Node::new(config, 1, Instant::ZERO));
        }
        world
    }

    fn start(&mut self) {
        for node in 0..self.nodes.len() {
            self.step(&node, Input::Mesh(gossip::Input::Start));
        }
    }

    fn store(&mut self, node: usize, ticket: Ticket) {
        let stored = gossip::Input::Stored { ticket };
        self.schedule(Duration::ZERO, (node, Input::Mesh(stored)));
    }

    fn holds(&self, node: usize) -> usize {
        self.nodes[&node].revocations().list().len()
    }

    /// A peer connects to node 0 over `link`.
    fn accept(&mut self, link: LinkId) {
        let peer = id(1);
        self.step(&0, Input::Mesh(gossip::Input::Accepted { link, peer }));
    }

    fn hear(&mut self, link: LinkId, message: impl Into<Message>) {
        let message = message.into();
        self.step(&0, Input::Receive { link, message });
    }
}

fn load(count: usize) -> Input {
    let all = (0..count).map(|number| by_holder(&format!("m{number}"), 500));
    Input::LoadRevocations(all.collect())
}

#[test]
fn a_handshake_lasts_as_long_as_both_ends_exchange_revocations() {
    for full in [0, 1] {
        let mut world = Pair::of(2);
        world.step(&full, load(REVOCATIONS_MAX));
        world.start();
        // A fifth of the list is transferred in the time of a handshake without progress.
        world.run(Duration::from_secs(6));
        assert!(world.environment.opened.iter().all(Vec::is_empty));
        assert!((1_000..REVOCATIONS_MAX / 2).contains(&world.holds(1 - full)));
        world.run(Duration::from_secs(34));
        assert_eq!(world.holds(1 - full), REVOCATIONS_MAX);
        let opened = &world.environment.opened;
        let first = opened.clone().map(|it| it.first().map(|(_, link)| *link));
        assert_eq!(first, [Some(LinkId(1)); 2], "the first connection");
        // Node 0 checks the address of node 1 by a connection that is closed at once.
        let closed = &world.environment.closed;
        assert!(closed.iter().all(|(_, link)| *link != LinkId(1)));
        // Both ends of the link pass on what they learn from here on. It replaces the revocation that ends first.
        for node in [0, 1] {
            let revoke = Input::Revoke {
                request: revocation::RevocationRequest(1),
                revocation: by_holder(&format!("late{node}"), 900),
            };
            world.step(&node, revoke);
            world.run(Duration::from_secs(1));
            let lists = world
                .nodes
                .values()
                .map(|it| it.revocations().list().hash());
            assert_eq!(lists.collect::<BTreeSet<_>>().len(), 1, "from {node}");
        }
    }
}

fn hello(version_max: u32) -> MeshMessage {
    let rank = Rank {
        epoch: 1,
        instance: 7,
        ..Rank::default()
    };
    MeshMessage::Hello(Hello {
        mesh: "test".into(),
        version_min: VERSION_MIN,
        version_max,
        session: 1,
        joining: false,
        alone: false,
        hash: 0,
        record: Arc::new(Record::new(id(1), rank, Content::default())),
        revocations: 0,
    })
}

#[test]
fn a_handshake_ends_when_the_exchange_stops_and_after_two_minutes() {
    let mut world = Pair::of(1);
    world.step(&0, load(1));
    world.start();
    let link = LinkId(1);
    world.accept(link);
    world.hear(link, hello(2));
    world.run(Duration::from_millis(15_100));
    assert_eq!(world.environment.closed.len(), 1);
    // A peer that lists one digest in four seconds does not hold its place for ever.
    let link = LinkId(2);
    let begun = world.now;
    world.accept(link);
    world.hear(link, hello(2));
    for digest in 0..40 {
        let have = revocation::Message::Have {
            digests: vec![digest],
            last: false,
        };
        world.hear(link, have);
        world.run(Duration::from_secs(4));
    }
    let (at, closed) = world.environment.closed[1];
    assert_eq!((at.since(begun), closed), (Duration::from_secs(120), link));
}

#[test]
fn a_second_hello_does_not_end_the_exchange() {
    let mut world = Pair::of(1);
    world.step(&0, load(3));
    world.start();
    let link = LinkId(1);
    world.accept(link);
    world.hear(link, hello(2));
    let MeshMessage::Hello(mut equal) = hello(2) else {
        panic!("a hello")
    };
    // The peer claims that it holds the revocations, which it has not received.
    equal.revocations = world.nodes[&0].revocations().list().hash();
    world.hear(link, MeshMessage::Hello(equal.clone()));
    world.run(Duration::from_secs(1));
    assert!(world.environment.opened[0].is_empty());
    // In a first message, the claim is believed: a peer that lies learns less.
    let link = LinkId(2);
    world.accept(link);
    world.hear(link, MeshMessage::Hello(equal));
    world.run(Duration::from_secs(1));
    assert_eq!(world.environment.opened[0].len(), 1);
}

#[test]
fn a_revoked_peer_of_version_1_is_refused_and_its_link_is_closed() {
    let mut world = Pair::of(1);
    world.start();
    let link = LinkId(1);
    world.accept(link);
    world.hear(link, hello(1));
    assert_eq!(world.environment.opened[0].len(), 1, "a link of version 1");
    world.run(Duration::from_millis(100));
    // The peer does not learn of the revocation, and is out all the same.
    let revoke = Input::Revoke {
        request: revocation::RevocationRequest(1),
        revocation: by_holder("n1", 500),
    };
    world.step(&0, revoke);
    assert_eq!(world.environment.closed.len(), 1);
    let link = LinkId(2);
    world.accept(link);
    world.hear(link, hello(1));
    world.run(Duration::from_millis(100));
    assert_eq!(world.environment.opened[0].len(), 1);
    let node = &world.nodes[&0];
    assert_eq!(node.mesh().links(world.now).count(), 0);
}

#[test]
fn a_link_of_version_1_delivers_nothing_that_version_1_lacks() {
    let mut world = Pair::of(1);
    world.start();
    let link = LinkId(1);
    world.accept(link);
    world.hear(link, hello(1));
    let revocations = vec![by_holder("zelda", 500)];
    let last = false;
    world.hear(link, revocation::Message::Entries { revocations, last });
    assert_eq!(world.holds(0), 0);
    assert_eq!(
        world.environment.closed.len(),
        1,
        "the peer broke the protocol"
    );
    // A peer of version 2 delivers it, before and after its handshake.
    let link = LinkId(2);
    world.accept(link);
    world.hear(link, hello(2));
    assert_eq!(world.environment.opened[0].len(), 2);
    let revocations = vec![by_holder("zelda", 500)];
    world.hear(link, revocation::Message::Entries { revocations, last });
    assert_eq!(world.holds(0), 1);
    assert_eq!(world.environment.closed.len(), 1);
}
