//! The forged messages of a Byzantine member: a hostile node that holds a valid certificate of the mesh.
//!
//! The forged messages travel on the member's own links beside the messages of its daemon, and so are subject to the
//! same latency, losses and queues. The threat model lists each kind (docs: the mesh, hostile members).

use phalanx_core::channel::message::{Body, Entry, Item, Kind, Update, UpdateId};
use phalanx_core::channel::{ChannelName, Data};
use phalanx_core::gossip::Message as Mesh;
use phalanx_core::gossip::message::{AgedReport, Frame};
use phalanx_core::identity::NodeId;
use phalanx_core::link::LinkId;
use phalanx_core::node::{Message, Node};
use phalanx_core::random::{Random, hash_bytes};
use phalanx_core::time::Instant;
use phalanx_core::topology::publication::{PublicationId, PublicationKind};
use phalanx_core::topology::record::{
    COUNTER_MAX, Content, Edge, EdgeReport, Rank, Record, Service,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The maximum number of names, members or channels that one order forges.
pub(super) const COUNT_MAX: u64 = 10_000;
/// The maximum number of forged items in one message. With this maximum, a message stays below the limit of a link.
const PER_MESSAGE: usize = 50;

/// A kind of forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgeryKind {
    /// The record of another member, changed.
    Forged,
    /// The neighbour's own record, changed and sent to that neighbour.
    Yours,
    /// The record of another member, with a version above the maximum of the counter.
    Jump,
    /// A report in the neighbour's name that states that another member is down.
    Signed,
    /// All known records with their previous version, in reverse order.
    Stale,
    /// The record of another member, or of every other member and the neighbour, with another instance, a higher epoch
    /// and no address.
    Instance,
    /// Values with each counter at its bound: records of another member, a report of the neighbour, and writes of maps.
    Bounds,
    /// Records of members that do not exist.
    Strangers,
    /// Records of members that do not exist, with addresses where no node listens.
    Phantoms,
    /// Announcements of updates from origins that do not exist.
    Names,
    /// Digests of channels that no node opened.
    Channels,
}

impl ForgeryKind {
    /// All kinds with their words.
    pub(super) const ALL: [(Self, &'static str); 11] = [
        (Self::Forged, "forged"),
        (Self::Yours, "yours"),
        (Self::Jump, "jump"),
        (Self::Signed, "signed"),
        (Self::Stale, "stale"),
        (Self::Instance, "instance"),
        (Self::Bounds, "bounds"),
        (Self::Strangers, "strangers"),
        (Self::Phantoms, "phantoms"),
        (Self::Names, "names"),
        (Self::Channels, "channels"),
    ];

    /// Whether the forgery contains records that only their owner may write, and that other nodes accept until the
    /// owner refutes them.
    pub(super) const fn forges(self) -> bool {
        matches!(
            self,
            Self::Forged
                | Self::Yours
                | Self::Instance
                | Self::Bounds
                | Self::Strangers
                | Self::Phantoms
        )
    }
}

/// One forgery, sent to every neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgery {
    pub(super) kind: ForgeryKind,
    /// The member that the forgery is about; if none, a random member other than the forging node and the receiver.
    pub(super) about: Option<NodeId>,
    /// The number of names to invent.
    pub(super) count: usize,
}

impl Forgery {
    /// The forged messages, each with its link.
    pub(super) fn messages(&self, node: &Node, random: &mut Random) -> Vec<(LinkId, Message)> {
        let mut messages = Vec::new();
        for link in node.mesh().links(Instant::ZERO) {
            let forged_messages = self.to(node, &link.peer, random);
            messages.extend(
                forged_messages
                    .into_iter()
                    .map(|message| (link.link, message)),
            );
        }
        messages
    }

    fn to(&self, node: &Node, neighbour: &NodeId, random: &mut Random) -> Vec<Message> {
        match self.kind {
            ForgeryKind::Forged => {
                let of = self.victim(node, neighbour, random);
                forged(of, |rank| rank.version += 1)
            }
            ForgeryKind::Yours => {
                let of = node.mesh().topology().record(neighbour).cloned();
                forged(of, |rank| rank.incarnation += 1)
            }
            ForgeryKind::Jump => {
                let of = self.victim(node, neighbour, random);
                forged(of, |rank| rank.version = COUNTER_MAX + 1)
            }
            ForgeryKind::Signed => {
                let version = |rank: Rank| rank.version + 1_000;
                self.signed(node, neighbour, random, version)
                    .into_iter()
                    .collect()
            }
            ForgeryKind::Stale => {
                let known = node.mesh().topology().records();
                let old = known.map(|record| {
                    changed(record, |rank| rank.version = rank.version.saturating_sub(1))
                });
                let mut old: Vec<_> = old.collect();
                old.reverse();
                old.chunks(PER_MESSAGE / 5)
                    .map(|chunk| records(chunk.to_vec()))
                    .collect()
            }
            ForgeryKind::Instance => self.instances(node),
            ForgeryKind::Bounds => self.bounds(node, neighbour, random),
            ForgeryKind::Strangers => self.invented(random, |names| {
                let records = names.into_iter().map(|id| stranger(id, None));
                self::records(records.collect())
            }),
            ForgeryKind::Phantoms => self.invented(random, |names| {
                let records = names.into_iter().map(|id| {
                    let place = hash_bytes(id.as_str().as_bytes()).to_be_bytes();
                    let ip = Ipv4Addr::new(198, 18, place[0], place[1]);
                    stranger(id, Some((ip, 7_000).into()))
                });
                self::records(records.collect())
            }),
            ForgeryKind::Names => self.invented(random, |names| {
                let have = names.into_iter().map(|origin| PublicationId {
                    origin,
                    kind: PublicationKind::Record,
                    epoch: 1,
                    version: 1,
                });
                Message::Mesh(Mesh::Frame(Frame {
                    have: have.collect(),
                    ..Frame::default()
                }))
            }),
            ForgeryKind::Channels => self.invented(random, |names| {
                let items = names.into_iter().filter_map(|name| {
                    Some(Item::Digest {
                        channel: ChannelName::new(name.as_str()).ok()?,
                        kind: Kind::Messages,
                        hash: 1,
                    })
                });
                Message::Channel(Data {
                    items: items.collect(),
                    ..Data::default()
                })
            }),
        }
    }

    /// The record of the member that the forgery is about.
    fn victim(&self, node: &Node, neighbour: &NodeId, random: &mut Random) -> Option<Arc<Record>> {
        let topology = node.mesh().topology();
        if let Some(about) = &self.about {
            return topology.record(about).cloned();
        }
        let others = topology
            .records()
            .filter(|record| record.id() != neighbour && record.id() != node.mesh().id());
        let others: Vec<_> = others.collect();
        random.pick(&others).map(|record| Arc::clone(record))
    }

    fn instances(&self, node: &Node) -> Vec<Message> {
        let topology = node.mesh().topology();
        let is_meant = |id: &NodeId| match &self.about {
            Some(about) => id == about,
            None => id != node.mesh().id(),
        };
        let meant = topology.records().filter(|record| is_meant(record.id()));
        let forged = meant.map(|record| {
            let rank = Rank {
                epoch: record.rank().epoch + 1_000,
                instance: record.rank().instance ^ 1,
                ..record.rank()
            };
            Arc::new(Record::new(record.id().clone(), rank, Content::default()))
        });
        let forged: Vec<_> = forged.collect();
        let chunks = forged.chunks(PER_MESSAGE);
        chunks.map(|chunk| records(chunk.to_vec())).collect()
    }

    /// Each counter at the highest value that the node itself accepts.
    fn bounds(&self, node: &Node, neighbour: &NodeId, random: &mut Random) -> Vec<Message> {
        let max = node.mesh().counter_max();
        let set: [fn(&mut Rank, u64); 3] = [
            |rank, max| (rank.epoch, rank.instance) = (max, rank.instance ^ 1),
            |rank, max| rank.incarnation = max,
            |rank, max| rank.version = max,
        ];
        let mut messages = Vec::new();
        for set in set {
            let of = self.victim(node, neighbour, random);
            messages.extend(forged(of, |rank| set(rank, max)));
        }
        messages.extend(self.signed(node, neighbour, random, |_| max));
        let known = node.channels().known();
        let maps = known.filter(|(_, kind, _)| *kind == Kind::Map);
        messages.extend(maps.map(|(channel, ..)| {
            let id = UpdateId {
                channel: channel.clone(),
                origin: neighbour.clone(),
                epoch: 1,
                sequence: random.below(1 << 40),
            };
            let body = Body::Entries {
                clock: max,
                entries: vec![Entry {
                    key: Arc::from("forged"),
                    over: None,
                    length: Some(1),
                }],
            };
            let update = Arc::new(Update {
                id,
                body,
                payload: Arc::from([0]),
            });
            Message::Channel(Data {
                items: vec![Item::Update {
                    update,
                    remaining: 0,
                    repair: false,
                }],
                ..Data::default()
            })
        }));
        messages
    }

    fn signed(
        &self,
        node: &Node,
        neighbour: &NodeId,
        random: &mut Random,
        version: impl Fn(Rank) -> u64,
    ) -> Option<Message> {
        let dead = self.victim(node, neighbour, random)?;
        let rank = node.mesh().topology().record(neighbour)?.rank();
        let report = EdgeReport {
            epoch: rank.epoch,
            version: version(rank),
            edges: vec![Edge {
                peer: dead.id().clone(),
                down: true,
                refused: true,
            }],
            reporter: neighbour.clone(),
        };
        Some(Message::Mesh(Mesh::Frame(Frame {
            reports: vec![AgedReport {
                report: Arc::new(report),
                ages: vec![None],
                failures: Vec::new(),
            }],
            ..Frame::default()
        })))
    }

    /// Messages with invented names, at most `PER_MESSAGE` names each.
    fn invented(
        &self,
        random: &mut Random,
        message: impl Fn(Vec<NodeId>) -> Message,
    ) -> Vec<Message> {
        let names = (0..self.count).filter_map(|_| {
            let name = format!("x{:016x}", random.next_u64());
            NodeId::new(&name).ok()
        });
        let names: Vec<NodeId> = names.collect();
        let chunks = names.chunks(PER_MESSAGE);
        chunks.map(|names| message(names.to_vec())).collect()
    }
}

/// A message with the changed record; empty if the record is unknown.
fn forged(of: Option<Arc<Record>>, change: impl FnOnce(&mut Rank)) -> Vec<Message> {
    of.map(|of| records(vec![changed(&of, change)]))
        .into_iter()
        .collect()
}

fn records(records: Vec<Arc<Record>>) -> Message {
    Message::Mesh(Mesh::Frame(Frame {
        records,
        ..Frame::default()
    }))
}

/// A record with a changed rank, and with a service that its owner does not provide.
fn changed(record: &Record, change: impl FnOnce(&mut Rank)) -> Arc<Record> {
    let (mut rank, mut content) = (record.rank(), record.content().clone());
    change(&mut rank);
    content.services = [Service {
        name: "forge".into(),
        version: "1".into(),
    }]
    .into();
    Arc::new(Record::new(record.id().clone(), rank, content))
}

fn stranger(id: NodeId, address: Option<SocketAddr>) -> Arc<Record> {
    let rank = Rank {
        epoch: 1,
        instance: 1,
        version: 1,
        ..Rank::default()
    };
    let content = Content {
        address,
        ..Content::default()
    };
    Arc::new(Record::new(id, rank, content))
}
