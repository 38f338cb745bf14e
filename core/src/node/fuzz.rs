//! Arbitrary inputs in arbitrary order, and arbitrary messages of members, cause no panic, no busy loop and no message
//! above its bound, and all collections stay within their bounds.

use super::{Config, Input, Node, Output};
use crate::gossip::message::{
    AgedReport, Frame, Gone, Goodbye, Hello, Refusal, RefusalReason, Sync, Welcome,
};
use crate::gossip::{self, Message};
use crate::identity::NodeId;
use crate::link::{Address, CloseReason, DialError, DialId, LinkId, ResolutionError, Ticket};
use crate::revocation::{self, Revocation, RevocationRequest};
use crate::size::Encoded;
use crate::size::FRAME_BYTES_MAX;
use crate::sketch::Cell;
use crate::testing::world::{TestEnvironment, TestWorld};
use crate::time::{Duration, Instant};
use crate::topology::publication::{PublicationId, PublicationKind};
use crate::topology::record::{Content, Edge, EdgeReport, Rank, Record, Service};
use core::net::{Ipv4Addr, SocketAddr};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const MEMBERS_MAX: usize = 12;

fn id(index: usize) -> NodeId {
    NodeId::new(&format!("n{index}")).unwrap()
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, index as u8), 7_000))
}

/// Mostly a few members, sometimes more than the view can hold.
fn node_index() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0_usize..6, 1 => 0_usize..40]
}

fn counter() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..5, 1 => any::<u64>(), 1 => Just(1 << 62)]
}

fn content(index: usize) -> impl Strategy<Value = Content> {
    (any::<bool>(), 0_usize..3).prop_map(move |(dialable, services)| Content {
        address: dialable.then(|| address(index)),
        services: (0..services)
            .map(|service| Service {
                name: format!("s{service}"),
                version: "1".into(),
            })
            .collect::<BTreeSet<_>>(),
        ..Content::default()
    })
}

fn record() -> impl Strategy<Value = Arc<Record>> {
    node_index().prop_flat_map(record_of)
}

fn record_of(index: usize) -> impl Strategy<Value = Arc<Record>> {
    (
        counter(),
        0_u32..3,
        counter(),
        any::<bool>(),
        counter(),
        content(index),
    )
        .prop_map(
            move |(epoch, instance, incarnation, leaving, version, content)| {
                let rank = Rank {
                    epoch,
                    instance,
                    incarnation,
                    leaving,
                    version,
                };
                Arc::new(Record::new(id(index), rank, content))
            },
        )
}

fn report() -> impl Strategy<Value = AgedReport> {
    let edge = (node_index(), any::<bool>(), prop::option::of(0_u64..9_000));
    let edges = prop::collection::vec(edge, 0..5);
    (node_index(), counter(), counter(), edges).prop_map(|(reporter, epoch, version, edges)| {
        let ages = edges
            .iter()
            .map(|(_, _, age)| age.map(Duration::from_millis))
            .collect();
        let edges = edges.into_iter().map(|(peer, down, _)| Edge {
            peer: id(peer),
            down,
            refused: false,
        });
        let report = EdgeReport {
            epoch,
            version,
            edges: edges.collect(),
            reporter: id(reporter),
        };
        AgedReport {
            report: Arc::new(report),
            ages,
            failures: Vec::new(),
        }
    })
}

fn named() -> impl Strategy<Value = PublicationId> {
    (node_index(), any::<bool>(), counter(), counter()).prop_map(
        |(origin, report, epoch, version)| PublicationId {
            origin: id(origin),
            kind: if report {
                PublicationKind::EdgeReport
            } else {
                PublicationKind::Record
            },
            epoch,
            version,
        },
    )
}

fn sync() -> impl Strategy<Value = Sync> {
    let cell = (-2_i32..3, any::<u64>(), any::<u32>()).prop_map(|(count, sum, check)| Cell {
        count,
        sum,
        check,
    });
    let records = || prop::collection::vec(record(), 0..4);
    let reports = || prop::collection::vec(report(), 0..3);
    prop_oneof![
        prop::collection::vec(cell, 0..30).prop_map(Sync::Sketch),
        any::<u32>().prop_map(Sync::Larger),
        prop::collection::vec(any::<u64>(), 0..6).prop_map(Sync::Want),
        (records(), reports()).prop_map(|(records, reports)| Sync::Push { records, reports }),
        (records(), reports(), any::<bool>(), any::<bool>()).prop_map(
            |(records, reports, last, reply)| {
                Sync::Snapshot {
                    records,
                    reports,
                    last,
                    reply,
                }
            }
        ),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let gone = (node_index(), any::<u32>()).prop_map(|(who, age)| Gone {
        id: id(who),
        age: Duration::from_millis(u64::from(age)),
    });
    (
        prop::option::of(any::<u64>()),
        any::<bool>(),
        prop::collection::vec(named(), 0..4),
        prop::collection::vec(named(), 0..4),
        prop::collection::vec(record(), 0..4),
        prop::collection::vec(report(), 0..3),
        prop::collection::vec(sync(), 0..3),
        prop::collection::vec(gone, 0..3),
        (0_u32..3, 0_u32..3),
    )
        .prop_map(
            |(hash, prune, have, graft, records, reports, sync, gone, (ping, pong))| Frame {
                hash,
                prune,
                have,
                graft,
                records,
                reports,
                sync,
                gone,
                ping,
                pong,
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    let hashes = (1_u32..3, prop_oneof![Just(0), any::<u64>()]);
    let hello = (any::<bool>(), 0_u32..4, any::<bool>(), record(), hashes).prop_map(
        |(right, session, joining, record, (version_max, revocations))| {
            Message::Hello(Hello {
                mesh: if right { "test" } else { "other" }.into(),
                version_min: 1,
                version_max,
                session,
                joining,
                alone: false,
                hash: 0,
                record,
                revocations,
            })
        },
    );
    let welcome = (1_u32..3, 0_u32..4, record()).prop_map(|(version, session, record)| {
        Message::Welcome(Welcome {
            version,
            session,
            hash: 0,
            record,
        })
    });
    let reasons = [
        RefusalReason::Busy,
        RefusalReason::Full,
        RefusalReason::Superseded,
        RefusalReason::Myself,
        RefusalReason::WrongMesh,
        RefusalReason::Version,
        RefusalReason::NameTaken,
        RefusalReason::Leaving,
    ];
    let refusal = (
        prop::sample::select(reasons.to_vec()),
        0_u32..9,
        prop::option::of(record()),
    )
        .prop_map(|(reason, session, yours)| {
            Message::Refuse(Refusal {
                reason,
                session,
                versions: (3, 4),
                others: vec![address(5)],
                yours,
                gone: false,
            })
        });
    let goodbyes = [
        Goodbye::Unneeded,
        Goodbye::Leaving,
        Goodbye::Superseded,
        Goodbye::NameTaken,
        Goodbye::Protocol,
    ];
    prop_oneof![
        2 => hello,
        2 => welcome,
        1 => refusal,
        1 => prop::sample::select(goodbyes.to_vec()).prop_map(Message::Goodbye),
        8 => frame().prop_map(Message::Frame),
    ]
}

fn revocation() -> impl Strategy<Value = Arc<Revocation>> {
    (node_index(), 1_u64..400)
        .prop_map(|(who, before)| revocation::tests::by_holder(id(who).as_str(), before))
}

fn about_revocations() -> impl Strategy<Value = revocation::Message> {
    let digest = || {
        let held = revocation().prop_map(|it| it.content.digest());
        prop_oneof![any::<u64>(), held]
    };
    let digests = || prop::collection::vec(digest(), 0..6);
    let entries = (prop::collection::vec(revocation(), 0..4), any::<bool>());
    prop_oneof![
        any::<u64>().prop_map(revocation::Message::Digest),
        (digests(), any::<bool>())
            .prop_map(|(digests, last)| revocation::Message::Have { digests, last }),
        digests().prop_map(revocation::Message::Want),
        entries.prop_map(|(revocations, last)| revocation::Message::Entries { revocations, last }),
        Just(revocation::Message::Done),
    ]
}

/// An input; its numbers of links and dials select among those that the node made or knows.
#[derive(Clone, Debug)]
enum Happens {
    Accepted(usize),
    /// A peer, its record and the newest protocol version that it speaks.
    Handshake(usize, Arc<Record>, u32),
    Answered(usize, usize),
    Failed(usize),
    Says(usize, Message),
    Lists(usize, revocation::Message),
    Revokes(Arc<Revocation>),
    RevocationsStored(bool),
    Closed(usize),
    Stored(bool),
    Announce(Content),
    RequestLink(usize, bool),
    Seeds(usize, bool),
    Resolved(usize, Option<Vec<usize>>),
    Leave,
    Nothing,
}

fn happens() -> impl Strategy<Value = Happens> {
    let handshake = node_index().prop_flat_map(|index| (Just(index), record_of(index), 1_u32..3));
    prop_oneof![
        20 => (any::<usize>(), message()).prop_map(|(link, message)| Happens::Says(link, message)),
        6 => (any::<usize>(), about_revocations())
            .prop_map(|(link, message)| Happens::Lists(link, message)),
        1 => revocation().prop_map(Happens::Revokes),
        1 => any::<bool>().prop_map(Happens::RevocationsStored),
        6 => handshake.prop_map(|(index, record, version)| Happens::Handshake(index, record, version)),
        2 => node_index().prop_map(Happens::Accepted),
        4 => (any::<usize>(), node_index()).prop_map(|(dial, peer)| Happens::Answered(dial, peer)),
        2 => any::<usize>().prop_map(Happens::Failed),
        2 => any::<usize>().prop_map(Happens::Closed),
        2 => any::<bool>().prop_map(Happens::Stored),
        2 => (any::<usize>(), prop::option::of(prop::collection::vec(node_index(), 0..4)))
            .prop_map(|(order, found)| Happens::Resolved(order, found)),
        1 => content(0).prop_map(Happens::Announce),
        1 => (node_index(), any::<bool>()).prop_map(|(who, requested)| Happens::RequestLink(who, requested)),
        1 => (node_index(), any::<bool>()).prop_map(|(who, replace)| Happens::Seeds(who, replace)),
        1 => Just(Happens::Leave),
        6 => Just(Happens::Nothing),
    ]
}

/// The links, dials, stores and resolutions that the node ordered.
#[derive(Default)]
struct Surroundings {
    made: u64,
    links: Vec<LinkId>,
    dials: Vec<DialId>,
    tickets: Vec<Ticket>,
    revocation_tickets: Vec<Ticket>,
    resolutions: Vec<Ticket>,
}

impl TestEnvironment for Surroundings {
    type Node = ();
    type Machine = Node;
    type Event = Input;

    fn perform(world: &mut TestWorld<Self>, (): &(), output: Output) {
        let around = &mut world.environment;
        match output {
            Output::Dial { dial, .. } => around.dials.push(dial),
            Output::Send { message, .. } => {
                let bytes = message.encoded_len();
                assert!(bytes <= FRAME_BYTES_MAX + 16, "{bytes} bytes");
            }
            Output::Close { link } => around.links.retain(|known| *known != link),
            Output::Store { ticket, .. } => around.tickets.push(ticket),
            Output::Resolve { ticket, .. } => around.resolutions.push(ticket),
            Output::StoreRevocations { ticket, .. } => around.revocation_tickets.push(ticket),
            Output::CancelDial { .. }
            | Output::LinkOpened { .. }
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

    fn happen(world: &mut TestWorld<Self>, input: Input) {
        world.step(&(), input);
    }
}

impl Surroundings {
    fn fresh(&mut self) -> LinkId {
        self.made += 1;
        let link = LinkId(self.made);
        self.links.push(link);
        link
    }

    fn link(&self, pick: usize) -> Option<LinkId> {
        (!self.links.is_empty()).then(|| self.links[pick % self.links.len()])
    }
}

impl TestWorld<Surroundings> {
    fn started() -> Self {
        let content = Content {
            address: Some(address(0)),
            ..Content::default()
        };
        let seeds = vec![
            Address::Socket(address(1)),
            Address::Name("seeds:7000".to_owned()),
        ];
        let mut config = Config::new(id(0), "test", 2, 1, content, seeds);
        config.tuning.members_max = MEMBERS_MAX;
        config.tuning.links_max = 6;
        let mut world = Self::around(Surroundings::default());
        world.nodes.insert((), Node::new(config, 1, Instant::ZERO));
        world.give(gossip::Input::Start);
        world
    }

    fn give(&mut self, input: gossip::Input) {
        self.step(&(), Input::Mesh(input));
    }

    fn hear(&mut self, link: LinkId, message: Message) {
        let message = message.into();
        self.step(&(), Input::Receive { link, message });
    }

    /// The last order to store is completed.
    fn store(&mut self, succeeds: bool) {
        if let Some(ticket) = self.environment.tickets.pop() {
            self.give(if succeeds {
                gossip::Input::Stored { ticket }
            } else {
                gossip::Input::StoreFailed { ticket }
            });
        }
    }

    fn revoke(&mut self, revocation: Arc<Revocation>) {
        let request = RevocationRequest(self.environment.made);
        let revoke = Input::Revoke {
            request,
            revocation,
        };
        self.step(&(), revoke);
    }

    fn store_revocations(&mut self, succeeds: bool) {
        if let Some(ticket) = self.environment.revocation_tickets.pop() {
            let done = if succeeds {
                Input::RevocationsStored { ticket }
            } else {
                Input::RevocationsNotStored { ticket }
            };
            self.step(&(), done);
        }
    }

    fn request_link(&mut self, who: usize, requested: bool) {
        self.give(gossip::Input::RequestLink {
            peer: id(who),
            requested,
        });
    }

    fn fail_dial(&mut self, pick: usize) {
        let dials = &mut self.environment.dials;
        let dial = dials.remove(pick % dials.len());
        let reason = DialError::Refused;
        self.give(gossip::Input::DialFailed { dial, reason });
    }

    fn resolve(&mut self, pick: usize, found: Option<Vec<usize>>) {
        let orders = &mut self.environment.resolutions;
        let ticket = orders.remove(pick % orders.len());
        let addresses = found
            .map(|found| found.into_iter().map(address).collect())
            .ok_or(ResolutionError::TimedOut);
        self.give(gossip::Input::Resolved { ticket, addresses });
    }

    fn try_one(&mut self, what: Happens) {
        match what {
            Happens::Accepted(peer) => {
                let link = self.environment.fresh();
                self.give(gossip::Input::Accepted {
                    link,
                    peer: id(peer),
                });
            }
            Happens::Handshake(peer, record, version_max) => {
                let link = self.environment.fresh();
                self.give(gossip::Input::Accepted {
                    link,
                    peer: id(peer),
                });
                let hello = Hello {
                    version_max,
                    ..hello(record)
                };
                self.hear(link, Message::Hello(hello));
            }
            Happens::Answered(pick, peer) if !self.environment.dials.is_empty() => {
                let dial = self
                    .environment
                    .dials
                    .remove(pick % self.environment.dials.len());
                let link = self.environment.fresh();
                let peer = id(peer);
                self.give(gossip::Input::Dialed { dial, link, peer });
            }
            Happens::Failed(pick) if !self.environment.dials.is_empty() => {
                self.fail_dial(pick);
            }
            Happens::Says(pick, message) => {
                if let Some(link) = self.environment.link(pick) {
                    self.hear(link, message);
                }
            }
            Happens::Lists(pick, message) => {
                if let Some(link) = self.environment.link(pick) {
                    let message = message.into();
                    self.step(&(), Input::Receive { link, message });
                }
            }
            Happens::Revokes(revocation) => self.revoke(revocation),
            Happens::RevocationsStored(succeeds) => self.store_revocations(succeeds),
            Happens::Closed(pick) => {
                if let Some(link) = self.environment.link(pick) {
                    self.environment.links.retain(|known| *known != link);
                    let reason = CloseReason::Reset;
                    self.give(gossip::Input::Closed { link, reason });
                }
            }
            Happens::Stored(succeeds) => self.store(succeeds),
            Happens::Announce(content) => self.give(gossip::Input::Announce(content)),
            Happens::RequestLink(who, requested) => self.request_link(who, requested),
            Happens::Seeds(who, replace) => {
                let addresses = vec![Address::Socket(address(who))];
                self.give(gossip::Input::Seeds { addresses, replace });
            }
            Happens::Resolved(pick, found) if !self.environment.resolutions.is_empty() => {
                self.resolve(pick, found);
            }
            Happens::Leave => self.give(gossip::Input::Leave),
            Happens::Answered(..)
            | Happens::Failed(_)
            | Happens::Resolved(..)
            | Happens::Nothing => {}
        }
    }
}

fn hello(record: Arc<Record>) -> Hello {
    Hello {
        mesh: "test".into(),
        version_min: 1,
        version_max: 1,
        session: 1,
        joining: false,
        alone: false,
        hash: 0,
        record,
        revocations: 0,
    }
}

proptest! {
    #[test]
    fn arbitrary_inputs_break_no_node(all in prop::collection::vec((happens(), 0_u64..1_500), 1..120)) {
        let mut world = TestWorld::started();
        for (what, millis) in all {
            world.try_one(what);
            let node = &world.nodes[&()];
            let mesh = node.mesh();
            prop_assert!(mesh.topology().len() <= MEMBERS_MAX);
            prop_assert!(mesh.links(world.now).count() <= 6 + 4, "{} links", mesh.links(world.now).count());
            prop_assert!(node.routes().len() < MEMBERS_MAX);
            let revocations = node.revocations();
            let holds = |link| revocations.is_connected(link) && !revocations.is_revoked(link);
            prop_assert!(mesh.links(world.now).all(|link| holds(link.link)));
            world.run(Duration::from_millis(millis));
        }
    }
}
