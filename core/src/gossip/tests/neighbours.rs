//! One machine whose neighbours are played by the test.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one order among many"
)]

use super::super::message::{AgedReport, Frame, Hello, Sync};
use super::super::*;
use super::world::{config, name};
use crate::link::{Address, DialId, LinkId, Ticket};
use crate::testing::alone::Alone;
use crate::time::Duration;
use crate::topology::publication::{PublicationId, PublicationKind};
use crate::topology::record::{Edge, EdgeReport, Rank, Record};

/// An order and the time at which it was given.
pub(super) type Order = (Instant, Output);

/// The node `n0`, whose neighbours are played by the test.
pub(super) type NeighbourWorld = Alone<Gossip>;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The `version`th record that node `index` publishes.
pub(super) fn published(index: usize, version: u64) -> Arc<Record> {
    let mut content = config(index, 1, &[]).content;
    content
        .metadata
        .insert("update".into(), version.to_string());
    let rank = Rank {
        epoch: 1,
        instance: 9,
        incarnation: 0,
        leaving: false,
        version,
    };
    Arc::new(Record::new(name(index), rank, content))
}

/// The id of the `version`th record that node `index` publishes.
pub(super) fn update_id(index: usize, version: u64) -> PublicationId {
    PublicationId {
        origin: name(index),
        kind: PublicationKind::Record,
        epoch: 1,
        version,
    }
}

/// The edge report of node `index`: for each edge the peer, whether the peer is down, and the time since it was heard.
pub(super) fn edge_report(
    index: usize,
    version: u64,
    edges: &[(usize, bool, Option<Duration>)],
) -> AgedReport {
    let report = EdgeReport {
        epoch: 1,
        version,
        edges: edges
            .iter()
            .map(|(peer, down, _)| Edge {
                peer: name(*peer),
                down: *down,
                refused: false,
            })
            .collect(),
        reporter: name(index),
    };
    AgedReport {
        report: Arc::new(report),
        ages: edges.iter().map(|(_, _, age)| *age).collect(),
        failures: Vec::new(),
    }
}

pub(super) fn records(records: &[Arc<Record>]) -> Frame {
    Frame {
        records: records.to_vec(),
        ..Frame::default()
    }
}

pub(super) fn reports(reports: &[AgedReport]) -> Frame {
    Frame {
        reports: reports.to_vec(),
        ..Frame::default()
    }
}

pub(super) fn announces(have: &[PublicationId]) -> Frame {
    Frame {
        have: have.to_vec(),
        ..Frame::default()
    }
}

pub(super) fn pushes(records: &[Arc<Record>]) -> Frame {
    Frame {
        sync: vec![Sync::Push {
            records: records.to_vec(),
            reports: vec![],
        }],
        ..Frame::default()
    }
}

/// The frames that the given orders send on a link.
pub(super) fn frames(orders: &[Order], link: u64) -> Vec<(Instant, &Frame)> {
    let on_link = |order: &Output| match order {
        Output::Send { link: on, .. } => *on == LinkId(link),
        _ => false,
    };
    orders
        .iter()
        .filter(|(_, order)| on_link(order))
        .filter_map(|(at, order)| match order {
            Output::Send {
                message: Message::Frame(frame),
                ..
            } => Some((*at, frame)),
            _ => None,
        })
        .collect()
}

/// The events among some orders.
pub(super) fn events(orders: &[Order]) -> Vec<&Event> {
    orders
        .iter()
        .filter_map(|(_, order)| match order {
            Output::Report(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// The dials among some orders: time, dial id and address.
pub(super) fn dials(orders: &[Order]) -> Vec<(Instant, DialId, Address)> {
    orders
        .iter()
        .filter_map(|(at, order)| match order {
            Output::Dial { dial, address } => Some((*at, *dial, Address::Socket(*address))),
            _ => None,
        })
        .collect()
}

/// The names that some orders resolve.
pub(super) fn resolutions(orders: &[Order]) -> Vec<(Ticket, &str)> {
    orders
        .iter()
        .filter_map(|(_, order)| match order {
            Output::Resolve { ticket, name } => Some((*ticket, name.as_str())),
            _ => None,
        })
        .collect()
}

impl NeighbourWorld {
    /// `n0` with an established link to each of `n1` to `n{count}`, over links 1 to `count`. The first link is eager,
    /// the others are lazy, and no messages are pending.
    pub(super) fn new(count: usize) -> Self {
        Self::of(config(0, 5, &[]), count)
    }

    /// Like [`Self::new`], with a configuration.
    pub(super) fn of(config_of_n0: Config, count: usize) -> Self {
        let mut all = Self {
            machine: Gossip::new(config_of_n0, 1, Instant::ZERO),
            now: Instant::ZERO,
        };
        all.give(Input::Start);
        for index in 1..=count {
            all.link(index as u64, index);
        }
        all.rest(ms(1_000));
        all
    }

    /// Node `index` connects to `n0` over `link`.
    pub(super) fn link(&mut self, link: u64, index: usize) -> Vec<Order> {
        let link = LinkId(link);
        self.give(Input::Accepted {
            link,
            peer: name(index),
        });
        let hello = Hello {
            mesh: "test".into(),
            version_min: 1,
            version_max: 1,
            session: 1,
            joining: false,
            alone: false,
            hash: 0,
            record: published(index, 1),
            revocations: 0,
        };
        self.give(Input::Receive {
            link,
            message: Message::Hello(hello),
        })
    }

    /// The neighbour over `link` sends a frame.
    pub(super) fn receives(&mut self, link: u64, frame: Frame) -> Vec<Order> {
        self.give(Input::Receive {
            link: LinkId(link),
            message: Message::Frame(frame),
        })
    }

    /// Advances time without messages from neighbours.
    pub(super) fn silence(&mut self, duration: Duration) -> Vec<Order> {
        self.pass(duration)
    }

    /// Advances time while messages arrive on these links four times a second.
    pub(super) fn hear_only(&mut self, links: &[u64], duration: Duration) -> Vec<Order> {
        let end = self.now + duration;
        let mut orders = Vec::new();
        while self.now < end {
            for link in links {
                orders.extend(self.receives(*link, Frame::default()));
            }
            let step = ms(250).min(end - self.now);
            orders.extend(self.silence(step));
        }
        orders
    }

    /// Advances time while messages arrive from all neighbours.
    pub(super) fn rest(&mut self, duration: Duration) -> Vec<Order> {
        let links: Vec<u64> = self
            .machine
            .links(self.now)
            .map(|link| link.link.0)
            .collect();
        self.hear_only(&links, duration)
    }

    /// Whether a link is eager in the broadcast tree.
    pub(super) fn is_eager(&self, link: u64) -> bool {
        self.machine
            .links(self.now)
            .any(|held| held.link == LinkId(link) && held.eager)
    }

    /// The edge report of `n0`: for each edge the peer, and whether the peer is down.
    pub(super) fn own_report(&self) -> Vec<(NodeId, bool)> {
        self.machine
            .topology()
            .report(&name(0))
            .map(|report| {
                report
                    .edges
                    .iter()
                    .map(|edge| (edge.peer.clone(), edge.down))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// The ring neighbours of `n0`.
    pub(super) fn ring_neighbours(&self) -> Vec<NodeId> {
        self.machine
            .topology()
            .ring_neighbours(self.machine.me())
            .into_iter()
            .filter_map(|member| self.machine.context.id_of(member))
            .collect()
    }
}
