//! A view that changed a thousand times at random is reproduced exactly by its full encoding.

use crate::wire::{decode, encode};
use phalanx_core::gossip::message::{AgedReport, Frame, Hello, VERSION_MAX, VERSION_MIN};
use phalanx_core::gossip::{self, Message as MeshMessage};
use phalanx_core::identity::NodeId;
use phalanx_core::link::{Address, CloseReason, LinkId};
use phalanx_core::machine::{Machine as _, Outbox};
use phalanx_core::node::{Config, Input, Message, Node, Output};
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::{Content, Edge, EdgeReport, Rank, Record};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const PEERS: usize = 20;
const CHANGES: usize = 1_000;
/// Changes between two full encodings.
const CHANGES_EACH: usize = 50;
/// The link on which the node hears of the changes.
const WRITER: LinkId = LinkId(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn peer(index: usize) -> NodeId {
    id(&format!("p{index:02}"))
}

fn node(name: &str, seeds: Vec<Address>) -> Node {
    let config = Config::new(id(name), "test", 1, 1, Content::default(), seeds);
    Node::new(config, 1, Instant::ZERO)
}

/// The links of the peers, as their reports describe them.
struct Links {
    random: Random,
    edges: Vec<BTreeMap<NodeId, bool>>,
    versions: Vec<u64>,
}

impl Links {
    fn record(&self, index: usize) -> Arc<Record> {
        let rank = Rank {
            epoch: 1,
            instance: 1,
            version: 1,
            ..Rank::default()
        };
        let content = Content {
            nickname: format!("the peer {index}"),
            ..Content::default()
        };
        Arc::new(Record::new(peer(index), rank, content))
    }

    /// Adds, removes or changes a link of one peer. Returns the peer's new report.
    fn change(&mut self) -> AgedReport {
        let count = PEERS as u64;
        let index = usize::try_from(self.random.below(count)).unwrap();
        let other = usize::try_from(self.random.below(count - 1)).unwrap();
        let other = peer(other + usize::from(other >= index));
        let edges = &mut self.edges[index];
        if edges.remove(&other).is_none() {
            edges.insert(other, self.random.below(2) == 0);
        }
        self.versions[index] += 1;
        let edges: Vec<Edge> = edges
            .iter()
            .map(|(peer, down)| Edge {
                peer: peer.clone(),
                down: *down,
                refused: false,
            })
            .collect();
        let (ages, failures) = (vec![None; edges.len()], vec![None; edges.len()]);
        let report = Arc::new(EdgeReport {
            epoch: 1,
            version: self.versions[index],
            edges,
            reporter: peer(index),
        });
        AgedReport {
            report,
            ages,
            failures,
        }
    }
}

/// A node, and a newcomer that joins through it. All messages between them pass through the wire format.
struct Pair {
    now: Instant,
    node: Node,
    newcomer: Node,
    link: LinkId,
    bytes: usize,
}

impl Pair {
    /// Steps one of the two nodes, and then the others with the messages that follow.
    fn step(&mut self, newcomer: bool, input: Input) {
        let mut inputs = VecDeque::from([(newcomer, input)]);
        while let Some((newcomer, input)) = inputs.pop_front() {
            let mut out = Outbox::new();
            let machine = if newcomer {
                &mut self.newcomer
            } else {
                &mut self.node
            };
            machine.step(self.now, input, &mut out);
            let link = self.link;
            for output in out.drain() {
                match output {
                    Output::Dial { dial, .. } if newcomer => {
                        let peer = id("joiner");
                        let accepted = gossip::Input::Accepted { link, peer };
                        let peer = id("node");
                        let dialed = gossip::Input::Dialed { dial, link, peer };
                        inputs.push_back((false, Input::Mesh(accepted)));
                        inputs.push_back((true, Input::Mesh(dialed)));
                    }
                    Output::Send { link: to, message } if to == link => {
                        let bytes = encode(&message);
                        self.bytes += bytes.len();
                        let message = decode(&bytes).unwrap();
                        inputs.push_back((!newcomer, Input::Receive { link, message }));
                    }
                    Output::Dial { .. }
                    | Output::CancelDial { .. }
                    | Output::Send { .. }
                    | Output::Resolve { .. }
                    | Output::Close { .. }
                    | Output::LinkOpened { .. }
                    | Output::Store { .. }
                    | Output::KeepAddresses { .. }
                    | Output::StoreRevocations { .. }
                    | Output::EnforceRevocation(_)
                    | Output::RevocationAnswer { .. }
                    | Output::Left
                    | Output::Report(_)
                    | Output::ReportRevocation(_)
                    | Output::Channel(_)
                    | Output::RoutesChanged => {}
                }
            }
        }
    }

    fn hear(&mut self, message: MeshMessage) {
        let link = WRITER;
        let message = Message::Mesh(message);
        self.step(false, Input::Receive { link, message });
    }

    /// A new node joins, and has the whole view after some seconds: both nodes publish their edges meanwhile.
    fn join(&mut self, seed: SocketAddr) {
        self.newcomer = node("joiner", vec![Address::Socket(seed)]);
        self.step(true, Input::Mesh(gossip::Input::Start));
        for _ in 0..200 {
            if self.node.mesh().topology().hash() == self.newcomer.mesh().topology().hash() {
                break;
            }
            self.now += Duration::from_millis(50);
            for newcomer in [false, true] {
                let machine = if newcomer { &self.newcomer } else { &self.node };
                if machine.next_deadline().is_some_and(|at| at <= self.now) {
                    self.step(newcomer, Input::Wake);
                }
            }
        }
    }

    fn part(&mut self) {
        let (link, reason) = (self.link, CloseReason::Farewell);
        self.step(false, Input::Mesh(gossip::Input::Closed { link, reason }));
        self.link = LinkId(self.link.0 + 1);
    }
}

#[test]
fn a_full_encoding_reproduces_a_view_after_a_thousand_random_changes() {
    let mut links = Links {
        random: Random::from_seed(7),
        edges: vec![BTreeMap::new(); PEERS],
        versions: vec![0; PEERS],
    };
    let mut all = Pair {
        now: Instant::ZERO,
        node: node("node", Vec::new()),
        newcomer: node("joiner", Vec::new()),
        link: LinkId(2),
        bytes: 0,
    };
    all.step(false, Input::Mesh(gossip::Input::Start));
    let (link, writer) = (WRITER, peer(0));
    let accepted = gossip::Input::Accepted { link, peer: writer };
    all.step(false, Input::Mesh(accepted));
    all.hear(MeshMessage::Hello(Hello {
        mesh: "test".into(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        session: 1,
        joining: false,
        alone: false,
        hash: 0,
        record: links.record(0),
        revocations: 0,
    }));
    all.hear(MeshMessage::Frame(Frame {
        records: (1..PEERS).map(|index| links.record(index)).collect(),
        ..Frame::default()
    }));
    for _ in 0..CHANGES / CHANGES_EACH {
        for _ in 0..CHANGES_EACH {
            let reports = vec![links.change()];
            all.hear(MeshMessage::Frame(Frame {
                reports,
                ..Frame::default()
            }));
        }
        all.join(SocketAddr::from(([127, 0, 0, 1], 1)));
        let (view, copy) = (all.node.mesh().topology(), all.newcomer.mesh().topology());
        for index in 0..PEERS {
            let peer = peer(index);
            let held = view.report(&peer);
            let edges = held.map_or(0, |report| report.edges.len());
            assert_eq!(edges, links.edges[index].len(), "{peer}");
            assert_eq!(copy.report(&peer), held);
            assert_eq!(copy.record(&peer), view.record(&peer));
        }
        assert_eq!(copy.len(), PEERS + 2);
        assert_eq!(copy.hash(), view.hash());
        all.part();
    }
    assert_eq!(links.versions.iter().sum::<u64>(), CHANGES as u64);
}
