//! Packets to what is said about channels.

use super::super::error::{Fault, WireError};
use super::super::proto::{self, data_item, parcel};
use super::{Parsed, at_most, cell, counter, each, id, required};
use phalanx_core::channel::message::{
    Body, ENTRIES_MAX, Entry, HOPS_MAX, Item, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, Packet, Purpose,
    WANT_MAX,
};
use phalanx_core::channel::{ChannelName, Data, Failure, Kind, Update, UpdateId, Version};
use std::sync::Arc;

/// The channel's name of this text.
///
/// # Errors
/// When the text is no name.
pub fn channel(path: &str, text: &str) -> Result<ChannelName, WireError> {
    ChannelName::new(text).map_err(|error| WireError::new(path, Fault::Name(error)))
}

/// The kind of channel of this number.
///
/// # Errors
/// When the number names none.
pub fn kind(path: &str, number: i32) -> Result<Kind, WireError> {
    let unknown = || WireError::new(path, Fault::UnknownNumber(number));
    Ok(
        match proto::ChannelKind::try_from(number).map_err(|_| unknown())? {
            proto::ChannelKind::Unspecified => return Err(unknown()),
            proto::ChannelKind::Messages => Kind::Messages,
            proto::ChannelKind::Map => Kind::Map,
            proto::ChannelKind::Custom => Kind::Custom,
        },
    )
}

fn broadcast_id(wire: &proto::BroadcastId) -> Parsed<UpdateId> {
    Ok(UpdateId {
        channel: channel("channel", &wire.channel)?,
        origin: id("origin", &wire.origin)?,
        epoch: wire.epoch,
        sequence: counter("sequence", wire.sequence)?,
    })
}

/// The version of its wire form.
///
/// # Errors
/// The first field that is out of bounds.
pub fn version(wire: &proto::Version) -> Result<Version, WireError> {
    Ok(Version {
        clock: counter("clock", wire.clock)?,
        origin: id("origin", &wire.origin)?,
        epoch: wire.epoch,
        sequence: counter("sequence", wire.sequence)?,
    })
}

fn entry(wire: proto::Write) -> Parsed<Entry> {
    if wire.key.is_empty() {
        return Err(WireError::new("key", Fault::Missing));
    }
    at_most("key", wire.key.len(), KEY_BYTES_MAX, "bytes")?;
    let over = wire.over.as_ref().map(version).transpose();
    Ok(Entry {
        key: Arc::from(wire.key),
        over: over.map_err(|error| error.inside("over"))?,
        length: wire.length,
    })
}

/// The writes; they cut a payload of so many bytes.
fn entries(wire: Vec<proto::Write>, payload: usize) -> Parsed<Vec<Entry>> {
    if wire.is_empty() {
        return Err(WireError::new("entries", Fault::Missing));
    }
    at_most("entries", wire.len(), ENTRIES_MAX, "writes")?;
    let entries = each("entries", wire, entry)?;
    let pairs = entries.iter().zip(entries.iter().skip(1));
    for (one, next) in pairs {
        if one.key == next.key {
            return Err(WireError::new(
                "entries",
                Fault::Twice(next.key.to_string()),
            ));
        }
        if one.key > next.key {
            return Err(WireError::new(
                "entries",
                Fault::Unordered(next.key.to_string()),
            ));
        }
    }
    let lengths = entries.iter().filter_map(|entry| entry.length);
    let expected = lengths.map(|length| length as usize).sum();
    if expected != payload {
        let found = payload;
        return Err(WireError::new("payload", Fault::Length { found, expected }));
    }
    Ok(entries)
}

/// The whole length of a payload of which this much is here.
fn payload_len(here: &[u8], rest: u32) -> Parsed<usize> {
    let whole = here.len().saturating_add(rest as usize);
    at_most("payload", whole, PAYLOAD_BYTES_MAX, "bytes")?;
    Ok(whole)
}

fn broadcast(wire: proto::Broadcast) -> Parsed<Item> {
    let whole = payload_len(&wire.payload, wire.rest)?;
    let id = broadcast_id(&required("id", wire.id)?).map_err(|error| error.inside("id"))?;
    let body = match kind("kind", wire.kind)? {
        Kind::Messages => Body::Message,
        Kind::Map => Body::Entries {
            clock: counter("clock", wire.clock)?,
            entries: entries(wire.entries, whole)?,
        },
        Kind::Custom => Body::Custom,
    };
    let update = Update {
        id,
        body,
        payload: Arc::from(wire.payload),
    };
    Ok(Item::Update {
        update: Arc::new(update),
        repair: wire.repair,
        remaining: wire.rest,
    })
}

fn failure(number: i32) -> Parsed<Failure> {
    let unknown = || WireError::new("failure", Fault::UnknownNumber(number));
    Ok(
        match proto::Undelivered::try_from(number).map_err(|_| unknown())? {
            proto::Undelivered::Unspecified => return Err(unknown()),
            proto::Undelivered::UnknownPeer => Failure::UnknownPeer,
            proto::Undelivered::PeerDown => Failure::PeerDown,
            proto::Undelivered::NoRoute => Failure::NoRoute,
            proto::Undelivered::RelayLost => Failure::RelayLost,
            proto::Undelivered::NoSuchChannel => Failure::NoSuchChannel,
            proto::Undelivered::Busy => Failure::Busy,
            proto::Undelivered::TimedOut => Failure::TimedOut,
        },
    )
}

fn packet(wire: proto::Parcel) -> Parsed<Item> {
    payload_len(&wire.payload, wire.rest)?;
    let unknown = || WireError::new("purpose", Fault::UnknownNumber(wire.purpose));
    let purpose = match parcel::Purpose::try_from(wire.purpose).map_err(|_| unknown())? {
        parcel::Purpose::Unspecified => return Err(unknown()),
        parcel::Purpose::Message => Purpose::Message,
        parcel::Purpose::Datagram => Purpose::Datagram,
        parcel::Purpose::State => Purpose::State,
        parcel::Purpose::Delivered => Purpose::Delivered,
        parcel::Purpose::Failed => Purpose::Failed(failure(wire.failure)?),
    };
    at_most("path", wire.path.len(), HOPS_MAX, "nodes")?;
    let path = wire.path.iter().map(|node| id("path", node));
    let packet = Packet {
        from: id("from", &wire.from)?,
        to: id("to", &wire.to)?,
        epoch: wire.epoch,
        number: counter("number", wire.number)?,
        floor: counter("floor", wire.floor)?,
        purpose,
        channel: channel("channel", &wire.channel)?,
        path: path.collect::<Parsed<_>>()?,
        payload: Arc::from(wire.payload),
    };
    Ok(Item::Packet {
        packet: Arc::new(packet),
        remaining: wire.rest,
    })
}

fn digest(wire: &proto::ChannelDigest) -> Parsed<Item> {
    Ok(Item::Digest {
        channel: channel("channel", &wire.channel)?,
        kind: kind("kind", wire.kind)?,
        hash: wire.hash,
    })
}

fn sketch(wire: proto::ChannelSketch) -> Parsed<Item> {
    Ok(Item::Sketch {
        channel: channel("channel", &wire.channel)?,
        kind: kind("kind", wire.kind)?,
        cells: wire.cells.into_iter().map(cell).collect(),
    })
}

fn want(wire: proto::ChannelWant) -> Parsed<Item> {
    at_most("digests", wire.digests.len(), WANT_MAX, "digests")?;
    Ok(Item::Want {
        channel: channel("channel", &wire.channel)?,
        digests: wire.digests,
    })
}

fn item(wire: proto::DataItem) -> Parsed<Item> {
    let inside = |name: &'static str| move |error: WireError| error.inside(name);
    match required("item", wire.item)? {
        data_item::Item::Have(id) => broadcast_id(&id).map(Item::Have).map_err(inside("have")),
        data_item::Item::Graft(id) => broadcast_id(&id).map(Item::Graft).map_err(inside("graft")),
        data_item::Item::Broadcast(wire) => broadcast(wire).map_err(inside("broadcast")),
        data_item::Item::Parcel(wire) => packet(wire).map_err(inside("parcel")),
        data_item::Item::Rest(bytes) => Ok(Item::Segment(Arc::from(bytes))),
        data_item::Item::Digest(wire) => digest(&wire).map_err(inside("digest")),
        data_item::Item::Sketch(wire) => sketch(wire).map_err(inside("sketch")),
        data_item::Item::Larger(wire) => Ok(Item::Larger {
            channel: channel("larger.channel", &wire.channel)?,
            cells: wire.cells,
        }),
        data_item::Item::Want(wire) => want(wire).map_err(inside("want")),
    }
}

pub(super) fn data(wire: proto::Data) -> Parsed<Data> {
    Ok(Data {
        credit: wire.credit,
        prune: wire.prune,
        items: each("items", wire.items, item)?,
    })
}
