//! Packets of the attacks.

use bytes::Bytes;
use phalanx_core::gossip::message::{VERSION_MAX, VERSION_MIN};
use phalanx_core::random::Random;
use phalanx_net::wire::proto::{
    Broadcast, BroadcastId, ChannelKind, ChannelLarger, ChannelSketch, ChannelWant, Data, DataItem,
    Edge, Frame, Goodbye, Hello, Packet, Record, Report, Sketch, Sync, UpdateId, Want, Write,
    data_item, packet, sync,
};
use prost::Message as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of payload in one packet.
const PART: usize = 15_000;

/// The calendar time in seconds.
pub(crate) fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock shows a time after 1970").as_secs()
}

pub(crate) fn bytes(packet: Packet) -> Bytes {
    packet.encode_to_vec().into()
}

pub(crate) const fn body(body: packet::Body) -> Packet {
    Packet {
        body: Some(body),
        overlay: None,
    }
}

pub(crate) const fn framed(frame: Frame) -> Packet {
    body(packet::Body::Frame(frame))
}

pub(crate) fn data(items: impl IntoIterator<Item = data_item::Item>) -> Packet {
    let items = items.into_iter().map(|item| DataItem { item: Some(item) });
    body(packet::Body::Data(Data {
        items: items.collect(),
        ..Data::default()
    }))
}

/// The record of a member without an address.
pub(crate) fn record(id: &str, epoch: u64) -> Record {
    Record {
        id: id.to_owned(),
        epoch,
        instance: 7,
        version: 1,
        joined: seconds(),
        ..Record::default()
    }
}

pub(crate) fn records(records: impl IntoIterator<Item = Record>) -> Frame {
    Frame {
        records: records.into_iter().collect(),
        ..Frame::default()
    }
}

pub(crate) fn hello(session: u32, revocations: u64, own: Record) -> Packet {
    body(packet::Body::Hello(Hello {
        mesh: "test".to_owned(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        session,
        joining: true,
        hash: 0,
        revocations,
        alone: false,
        record: Some(own),
    }))
}

/// The parts of a broadcast that stay the same in an attack.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) channel: String,
    pub(crate) kind: ChannelKind,
    pub(crate) origin: String,
    pub(crate) epoch: u64,
}

impl Source {
    fn broadcast(&self, sequence: u64) -> Broadcast {
        Broadcast {
            id: Some(BroadcastId {
                channel: self.channel.clone(),
                origin: self.origin.clone(),
                epoch: self.epoch,
                sequence,
            }),
            kind: self.kind.into(),
            ..Broadcast::default()
        }
    }

    /// The packets of a message.
    pub(crate) fn message(
        &self,
        sequence: u64,
        payload: Bytes,
    ) -> impl Iterator<Item = Packet> + use<> {
        segments(self.broadcast(sequence), payload)
    }

    /// The packets of a write of one key.
    pub(crate) fn write(
        &self,
        (sequence, clock): (u64, u64),
        key: &str,
        value: Bytes,
    ) -> impl Iterator<Item = Packet> + use<> {
        let mut broadcast = self.broadcast(sequence);
        broadcast.clock = clock;
        broadcast.entries = vec![Write {
            key: key.to_owned(),
            over: None,
            length: Some(u32::try_from(value.len()).expect("a short value")),
        }];
        segments(broadcast, value)
    }
}

/// The packets of a broadcast whose payload may be larger than one packet.
fn segments(mut broadcast: Broadcast, mut payload: Bytes) -> impl Iterator<Item = Packet> {
    let first = payload.split_to(payload.len().min(PART));
    broadcast.payload = first.to_vec();
    broadcast.rest = u32::try_from(payload.len()).expect("a payload of a few MiB");
    let first = data([data_item::Item::Broadcast(broadcast)]);
    let rest = std::iter::from_fn(move || {
        let part = payload.split_to(payload.len().min(PART));
        (!part.is_empty()).then(|| data([data_item::Item::Rest(part.to_vec())]))
    });
    std::iter::once(first).chain(rest)
}

/// Requests for sketches of everything on a channel.
pub(crate) fn comparisons(channel: &str, count: usize) -> Packet {
    data((0..count).map(|_| {
        data_item::Item::Larger(ChannelLarger {
            channel: channel.to_owned(),
            cells: 600,
        })
    }))
}

/// A publication counter at or above its bound.
pub(crate) fn report(reporter: &str, epoch: u64, version: u64) -> Frame {
    let edge = Edge {
        peer: "n1".to_owned(),
        down: true,
        age_ms: Some(1),
        refused: true,
        failure: 0,
    };
    Frame {
        reports: vec![Report {
            reporter: reporter.to_owned(),
            epoch,
            version,
            edges: vec![edge],
            more_edges: Vec::new(),
        }],
        ..Frame::default()
    }
}

/// A valid or nearly valid packet of any kind, as bytes of which some may be changed.
pub(crate) fn malformed(random: &mut Random) -> Bytes {
    let mut number = |below: u64| random.below(below);
    let value = [
        0,
        1,
        255,
        1 << 31,
        (1 << 62) - 1,
        1 << 62,
        1 << 63,
        u64::MAX,
    ][number(8) as usize];
    let name = ["n1", "n2", "evil", "", "N1", "a b", "..", "\u{1b}[31m"][number(8) as usize];
    let source = Source {
        channel: ["c", "m", "", "C"][number(4) as usize].to_owned(),
        kind: ChannelKind::try_from(number(4) as i32).unwrap_or_default(),
        origin: name.to_owned(),
        epoch: value,
    };
    let packet = match number(9) {
        0 => framed(records([record(name, value), record("n3", value)])),
        1 => framed(report(name, value, value)),
        2 => framed(Frame {
            have: vec![update(name, value); number(400) as usize],
            graft: vec![update(name, value); number(100) as usize],
            ..Frame::default()
        }),
        3 => framed(Frame {
            sync: vec![step(number(3), number(2_000))],
            ..Frame::default()
        }),
        4 => data([data_item::Item::Broadcast(source.broadcast(value))]),
        5 => data([
            data_item::Item::Rest(vec![0; number(9_000) as usize]),
            data_item::Item::Have(source.broadcast(value).id.unwrap_or_default()),
            data_item::Item::Graft(source.broadcast(1).id.unwrap_or_default()),
        ]),
        6 => data([
            data_item::Item::Sketch(ChannelSketch {
                channel: source.channel.clone(),
                ..ChannelSketch::default()
            }),
            data_item::Item::Want(ChannelWant {
                channel: source.channel,
                digests: vec![value; number(1_500) as usize],
            }),
        ]),
        7 => hello(number(9) as u32, number(2), record(name, value)),
        _ => body(packet::Body::Goodbye(Goodbye {
            reason: number(9) as i32,
        })),
    };
    let mut bytes = packet.encode_to_vec();
    bytes.truncate(16_000);
    if number(3) == 0 {
        for _ in 0..=number(6) {
            let at = number(bytes.len().max(1) as u64) as usize;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = number(256) as u8;
            }
        }
    }
    bytes.into()
}

fn update(origin: &str, version: u64) -> UpdateId {
    UpdateId {
        origin: origin.to_owned(),
        report: false,
        epoch: version,
        version,
    }
}

fn step(kind: u64, size: u64) -> Sync {
    let step = match kind {
        0 => sync::Step::Larger(u32::try_from(size).unwrap_or(0)),
        1 => sync::Step::Want(Want {
            digests: vec![size; size as usize],
        }),
        _ => sync::Step::Sketch(Sketch::default()),
    };
    Sync { step: Some(step) }
}
