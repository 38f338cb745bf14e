//! Messages to packets: nothing to check, whatever core says is sent.

mod channel;
mod overlay;

use super::proto::{self, goodbye, packet, refuse, sync};
use core::net::SocketAddr;
use phalanx_core::gossip;
use phalanx_core::gossip::message::{
    AgedReport, Cell, Frame, Gone, Goodbye, Hello, Refusal, RefusalReason, Sync, UpdateId, Welcome,
};
use phalanx_core::node::Message;
use phalanx_core::time::Duration;
use phalanx_core::topology::record::{Record, Report};
use std::sync::Arc;

/// An address on the wire: 4 or 16 bytes of IP address, then 2 of the port, big-endian.
#[must_use]
pub fn address_bytes(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}

/// A report's edges with their ages. An edge without an age in `ages` was never heard.
#[must_use]
pub fn edges(report: &Report, ages: &[Option<Duration>]) -> Vec<proto::Edge> {
    let ages = ages.iter().copied().chain(core::iter::repeat(None));
    let edge =
        |(edge, age): (&phalanx_core::topology::record::Edge, Option<Duration>)| proto::Edge {
            peer: edge.peer.as_str().to_owned(),
            down: edge.down,
            age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        };
    report.edges.iter().zip(ages).map(edge).collect()
}

impl From<&Record> for proto::Record {
    fn from(record: &Record) -> Self {
        let (rank, content) = (record.rank(), record.content());
        let service = |s: &phalanx_core::topology::record::Service| proto::Service {
            name: s.name.clone(),
            version: s.version.clone(),
        };
        let entry = |(key, value): (&String, &String)| proto::Entry {
            key: key.clone(),
            value: value.clone(),
        };
        Self {
            id: record.id().as_str().to_owned(),
            epoch: rank.epoch,
            instance: rank.instance,
            incarnation: rank.incarnation,
            leaving: rank.leaving,
            version: rank.version,
            address: content.address.map(address_bytes).unwrap_or_default(),
            nickname: content.nickname.clone(),
            kind: content.kind.clone(),
            joined: content.joined.0,
            services: content.services.iter().map(service).collect(),
            metadata: content.metadata.iter().map(entry).collect(),
        }
    }
}

impl From<&AgedReport> for proto::Report {
    fn from(aged: &AgedReport) -> Self {
        let report = &aged.report;
        Self {
            reporter: report.reporter.as_str().to_owned(),
            epoch: report.epoch,
            version: report.version,
            edges: edges(report, &aged.ages),
        }
    }
}

impl From<&UpdateId> for proto::UpdateId {
    fn from(id: &UpdateId) -> Self {
        Self {
            origin: id.origin.as_str().to_owned(),
            report: id.report,
            epoch: id.epoch,
            version: id.version,
        }
    }
}

impl From<&Hello> for proto::Hello {
    fn from(hello: &Hello) -> Self {
        Self {
            mesh: hello.mesh.clone(),
            version_min: hello.version_min,
            version_max: hello.version_max,
            session: hello.session,
            joining: hello.joining,
            hash: hello.hash,
            record: Some(hello.record.as_ref().into()),
        }
    }
}

impl From<&Welcome> for proto::Welcome {
    fn from(welcome: &Welcome) -> Self {
        Self {
            version: welcome.version,
            session: welcome.session,
            hash: welcome.hash,
            record: Some(welcome.record.as_ref().into()),
        }
    }
}

impl From<RefusalReason> for refuse::Reason {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Busy => Self::Busy,
            RefusalReason::Full => Self::Full,
            RefusalReason::Superseded => Self::Superseded,
            RefusalReason::Myself => Self::Myself,
            RefusalReason::WrongMesh => Self::WrongMesh,
            RefusalReason::Version => Self::Version,
            RefusalReason::NameTaken => Self::NameTaken,
            RefusalReason::Leaving => Self::Leaving,
        }
    }
}

impl From<&Refusal> for proto::Refuse {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: refuse::Reason::from(refusal.reason).into(),
            session: refusal.session,
            version_min: refusal.versions.0,
            version_max: refusal.versions.1,
            others: refusal.others.iter().copied().map(address_bytes).collect(),
            yours: refusal.yours.as_deref().map(Into::into),
        }
    }
}

impl From<Goodbye> for goodbye::Reason {
    fn from(goodbye: Goodbye) -> Self {
        match goodbye {
            Goodbye::Surplus => Self::Surplus,
            Goodbye::Leaving => Self::Leaving,
            Goodbye::Superseded => Self::Superseded,
            Goodbye::NameTaken => Self::NameTaken,
            Goodbye::Protocol => Self::Protocol,
        }
    }
}

impl From<&Cell> for proto::Cell {
    fn from(cell: &Cell) -> Self {
        Self {
            count: cell.count,
            sum: cell.sum,
            check: cell.check,
        }
    }
}

fn records(records: &[Arc<Record>]) -> Vec<proto::Record> {
    records
        .iter()
        .map(|record| record.as_ref().into())
        .collect()
}

fn all<'a, T: 'a, P: From<&'a T>>(items: &'a [T]) -> Vec<P> {
    items.iter().map(Into::into).collect()
}

impl From<&Sync> for proto::Sync {
    fn from(step: &Sync) -> Self {
        let step = match step {
            Sync::Sketch(cells) => sync::Step::Sketch(proto::Sketch { cells: all(cells) }),
            Sync::Larger(cells) => sync::Step::Larger(*cells),
            Sync::Want(digests) => sync::Step::Want(proto::Want {
                digests: digests.clone(),
            }),
            Sync::Push {
                records: news,
                reports,
            } => sync::Step::Push(proto::Push {
                records: records(news),
                reports: all(reports),
            }),
            Sync::Snapshot {
                records: known,
                reports,
                last,
                reply,
            } => sync::Step::Snapshot(proto::Snapshot {
                records: records(known),
                reports: all(reports),
                last: *last,
                reply: *reply,
            }),
        };
        Self { step: Some(step) }
    }
}

impl From<&Gone> for proto::Gone {
    fn from(gone: &Gone) -> Self {
        Self {
            id: gone.id.to_string(),
            age_ms: u64::try_from(gone.age.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<&Frame> for proto::Frame {
    fn from(frame: &Frame) -> Self {
        Self {
            hash: frame.hash,
            prune: frame.prune,
            have: all(&frame.have),
            graft: all(&frame.graft),
            records: records(&frame.records),
            reports: all(&frame.reports),
            sync: all(&frame.sync),
            gone: all(&frame.gone),
        }
    }
}

impl From<&gossip::Message> for packet::Body {
    fn from(message: &gossip::Message) -> Self {
        match message {
            gossip::Message::Hello(hello) => Self::Hello(hello.into()),
            gossip::Message::Welcome(welcome) => Self::Welcome(welcome.into()),
            gossip::Message::Refuse(refusal) => Self::Refuse(refusal.into()),
            gossip::Message::Goodbye(goodbye) => Self::Goodbye(proto::Goodbye {
                reason: goodbye::Reason::from(*goodbye).into(),
            }),
            gossip::Message::Frame(frame) => Self::Frame(frame.into()),
        }
    }
}

impl From<&Message> for proto::Packet {
    fn from(message: &Message) -> Self {
        let body = match message {
            Message::Mesh(message) => message.into(),
            Message::Channel(data) => packet::Body::Data(data.into()),
        };
        Self {
            body: Some(body),
            overlay: None,
        }
    }
}
