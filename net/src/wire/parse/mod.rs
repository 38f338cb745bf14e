//! Packets to messages: the one place where what a peer sent is checked.

mod channel;
mod overlay;

pub use channel::{channel, kind, version};
pub(in crate::wire) use overlay::signal;

use super::error::{Fault, WireError};
use super::proto::{self, goodbye, packet, refuse, sync};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use phalanx_core::gossip::Message as Mesh;
use phalanx_core::gossip::message::{
    AgedReport, Cell, Frame, Gone, Goodbye, Hello, REFERRALS_MAX, Refusal, RefusalReason, Sync,
    UpdateId, Welcome,
};
use phalanx_core::identity::{NodeId, check_name};
use phalanx_core::node::Message;
use phalanx_core::time::{Duration, Wall};
use phalanx_core::topology::record::{
    COUNTER_MAX, Content, EDGES_MAX, Edge, METADATA_MAX, Rank, Record, Report, SERVICES_MAX,
    Service,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Parsed<T> = Result<T, WireError>;

fn id(path: &str, text: &str) -> Parsed<NodeId> {
    NodeId::new(text).map_err(|error| WireError::new(path, Fault::Name(error)))
}

fn counter(path: &str, value: u64) -> Parsed<u64> {
    if value > COUNTER_MAX {
        Err(WireError::new(path, Fault::CounterTooHigh(value)))
    } else {
        Ok(value)
    }
}

fn at_most(path: &str, found: usize, max: usize, what: &'static str) -> Parsed<()> {
    if found > max {
        Err(WireError::new(path, Fault::TooMany { found, max, what }))
    } else {
        Ok(())
    }
}

fn required<T>(path: &str, value: Option<T>) -> Parsed<T> {
    value.ok_or_else(|| WireError::new(path, Fault::Missing))
}

/// Parses each element; an error names `path` and the element's place.
fn each<P, T>(path: &str, items: Vec<P>, parse: impl Fn(P) -> Parsed<T>) -> Parsed<Vec<T>> {
    let numbered = items.into_iter().enumerate();
    numbered
        .map(|(at, item)| parse(item).map_err(|error| error.inside(&format!("{path}[{at}]"))))
        .collect()
}

/// The address of 4 or 16 bytes of IP address and 2 of the port.
///
/// # Errors
/// When there are more or fewer bytes, or the port is 0.
pub fn address(path: &str, bytes: &[u8]) -> Result<SocketAddr, WireError> {
    let length = || WireError::new(path, Fault::AddressLength(bytes.len()));
    let (ip, port) = bytes.split_last_chunk::<2>().ok_or_else(length)?;
    let ip = if let Ok(octets) = <[u8; 4]>::try_from(ip) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else if let Ok(octets) = <[u8; 16]>::try_from(ip) {
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        return Err(length());
    };
    match u16::from_be_bytes(*port) {
        0 => Err(WireError::new(path, Fault::NoPort)),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

fn content(record: &mut proto::Record) -> Parsed<Content> {
    at_most("services", record.services.len(), SERVICES_MAX, "services")?;
    at_most("metadata", record.metadata.len(), METADATA_MAX, "entries")?;
    let mut services = BTreeSet::new();
    for proto::Service { name, version } in record.services.drain(..) {
        let service = Service { name, version };
        if let Some(twice) = services.replace(service) {
            return Err(WireError::new("services", Fault::Twice(twice.name)));
        }
    }
    let mut metadata = BTreeMap::new();
    for proto::Entry { key, value } in record.metadata.drain(..) {
        if metadata.contains_key(&key) {
            return Err(WireError::new("metadata", Fault::Twice(key)));
        }
        metadata.insert(key, value);
    }
    let address = if record.address.is_empty() {
        None
    } else {
        Some(address("address", &record.address)?)
    };
    let content = Content {
        nickname: core::mem::take(&mut record.nickname),
        kind: core::mem::take(&mut record.kind),
        address,
        joined: Wall(record.joined),
        services,
        metadata,
    };
    content
        .check()
        .map_err(|error| WireError::new("content", Fault::Content(error)))?;
    Ok(content)
}

/// The record of its wire form.
///
/// # Errors
/// The first field that is out of bounds.
pub fn record(mut record: proto::Record) -> Result<Record, WireError> {
    let id = id("id", &record.id)?;
    let rank = Rank {
        epoch: counter("epoch", record.epoch)?,
        instance: record.instance,
        incarnation: counter("incarnation", record.incarnation)?,
        leaving: record.leaving,
        version: counter("version", record.version)?,
    };
    let content = content(&mut record)?;
    Ok(Record::new(id, rank, content))
}

fn shared_record(wire: proto::Record) -> Parsed<Arc<Record>> {
    record(wire).map(Arc::new)
}

fn own_record(wire: Option<proto::Record>) -> Parsed<Arc<Record>> {
    let wire = required("record", wire)?;
    shared_record(wire).map_err(|error| error.inside("record"))
}

fn report(wire: proto::Report) -> Parsed<AgedReport> {
    at_most("edges", wire.edges.len(), EDGES_MAX, "edges")?;
    let mut peers = BTreeSet::new();
    let (mut edges, mut ages) = (
        Vec::with_capacity(wire.edges.len()),
        Vec::with_capacity(wire.edges.len()),
    );
    for edge in wire.edges {
        let peer = id("edges.peer", &edge.peer)?;
        if !peers.insert(peer.clone()) {
            return Err(WireError::new("edges", Fault::Twice(edge.peer)));
        }
        edges.push(Edge {
            peer,
            down: edge.down,
        });
        ages.push(edge.age_ms.map(Duration::from_millis));
    }
    let report = Report {
        epoch: counter("epoch", wire.epoch)?,
        version: counter("version", wire.version)?,
        edges,
        reporter: id("reporter", &wire.reporter)?,
    };
    Ok(AgedReport {
        report: Arc::new(report),
        ages,
    })
}

fn update(wire: proto::UpdateId) -> Parsed<UpdateId> {
    Ok(UpdateId {
        origin: id("origin", &wire.origin)?,
        report: wire.report,
        epoch: counter("epoch", wire.epoch)?,
        version: counter("version", wire.version)?,
    })
}

fn hello(wire: proto::Hello) -> Parsed<Hello> {
    check_name(&wire.mesh).map_err(|error| WireError::new("mesh", Fault::Name(error)))?;
    Ok(Hello {
        mesh: wire.mesh,
        version_min: wire.version_min,
        version_max: wire.version_max,
        session: wire.session,
        joining: wire.joining,
        hash: wire.hash,
        record: own_record(wire.record)?,
    })
}

fn welcome(wire: proto::Welcome) -> Parsed<Welcome> {
    Ok(Welcome {
        version: wire.version,
        session: wire.session,
        hash: wire.hash,
        record: own_record(wire.record)?,
    })
}

fn refusal(wire: proto::Refuse) -> Parsed<Refusal> {
    at_most("others", wire.others.len(), REFERRALS_MAX, "addresses")?;
    let unknown = || WireError::new("reason", Fault::UnknownNumber(wire.reason));
    let reason = match refuse::Reason::try_from(wire.reason).map_err(|_| unknown())? {
        refuse::Reason::Unspecified => return Err(unknown()),
        refuse::Reason::Busy => RefusalReason::Busy,
        refuse::Reason::Full => RefusalReason::Full,
        refuse::Reason::Superseded => RefusalReason::Superseded,
        refuse::Reason::Myself => RefusalReason::Myself,
        refuse::Reason::WrongMesh => RefusalReason::WrongMesh,
        refuse::Reason::Version => RefusalReason::Version,
        refuse::Reason::NameTaken => RefusalReason::NameTaken,
        refuse::Reason::Leaving => RefusalReason::Leaving,
    };
    let others = wire
        .others
        .iter()
        .map(|bytes| address("others", bytes))
        .collect::<Parsed<_>>()?;
    let yours = wire
        .yours
        .map(shared_record)
        .transpose()
        .map_err(|error| error.inside("yours"))?;
    Ok(Refusal {
        reason,
        session: wire.session,
        versions: (wire.version_min, wire.version_max),
        others,
        yours,
    })
}

fn goodbye(wire: proto::Goodbye) -> Parsed<Goodbye> {
    let unknown = || WireError::new("reason", Fault::UnknownNumber(wire.reason));
    Ok(
        match goodbye::Reason::try_from(wire.reason).map_err(|_| unknown())? {
            goodbye::Reason::Unspecified => return Err(unknown()),
            goodbye::Reason::Surplus => Goodbye::Surplus,
            goodbye::Reason::Leaving => Goodbye::Leaving,
            goodbye::Reason::Superseded => Goodbye::Superseded,
            goodbye::Reason::NameTaken => Goodbye::NameTaken,
            goodbye::Reason::Protocol => Goodbye::Protocol,
        },
    )
}

const fn cell(wire: proto::Cell) -> Cell {
    Cell {
        count: wire.count,
        sum: wire.sum,
        check: wire.check,
    }
}

fn step(wire: proto::Sync) -> Parsed<Sync> {
    Ok(match required("step", wire.step)? {
        sync::Step::Sketch(sketch) => Sync::Sketch(sketch.cells.into_iter().map(cell).collect()),
        sync::Step::Larger(cells) => Sync::Larger(cells),
        sync::Step::Want(want) => Sync::Want(want.digests),
        sync::Step::Push(push) => Sync::Push {
            records: each("push.records", push.records, shared_record)?,
            reports: each("push.reports", push.reports, report)?,
        },
        sync::Step::Snapshot(chunk) => Sync::Snapshot {
            records: each("snapshot.records", chunk.records, shared_record)?,
            reports: each("snapshot.reports", chunk.reports, report)?,
            last: chunk.last,
            reply: chunk.reply,
        },
    })
}

fn gone(wire: proto::Gone) -> Parsed<Gone> {
    Ok(Gone {
        id: id("id", &wire.id)?,
        age: Duration::from_millis(wire.age_ms),
    })
}

fn frame(wire: proto::Frame) -> Parsed<Frame> {
    Ok(Frame {
        hash: wire.hash,
        prune: wire.prune,
        have: each("have", wire.have, update)?,
        graft: each("graft", wire.graft, update)?,
        records: each("records", wire.records, shared_record)?,
        reports: each("reports", wire.reports, report)?,
        sync: each("sync", wire.sync, step)?,
        gone: each("gone", wire.gone, gone)?,
    })
}

impl TryFrom<proto::Packet> for Message {
    type Error = WireError;

    fn try_from(packet: proto::Packet) -> Result<Self, WireError> {
        let message = match required("packet.body", packet.body)? {
            packet::Body::Hello(wire) => hello(wire)
                .map(Mesh::Hello)
                .map_err(|error| error.inside("hello")),
            packet::Body::Welcome(wire) => welcome(wire)
                .map(Mesh::Welcome)
                .map_err(|error| error.inside("welcome")),
            packet::Body::Refuse(wire) => refusal(wire)
                .map(Mesh::Refuse)
                .map_err(|error| error.inside("refuse")),
            packet::Body::Goodbye(wire) => goodbye(wire)
                .map(Mesh::Goodbye)
                .map_err(|error| error.inside("goodbye")),
            packet::Body::Frame(wire) => frame(wire)
                .map(Mesh::Frame)
                .map_err(|error| error.inside("frame")),
            packet::Body::Data(wire) => {
                return channel::data(wire)
                    .map(Self::Channel)
                    .map_err(|error| error.inside("data"));
            }
        };
        message.map(Self::Mesh)
    }
}
