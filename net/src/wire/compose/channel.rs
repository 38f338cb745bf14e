//! What is said about channels, to packets.

use super::super::proto::{self, data_item, parcel};
use super::all;
use phalanx_core::channel::message::{Body, Entry, Item, Packet, Purpose};
use phalanx_core::channel::{Data, Failure, Kind, Update, UpdateId, Version};

impl From<Kind> for proto::ChannelKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Messages => Self::Messages,
            Kind::Map => Self::Map,
            Kind::Custom => Self::Custom,
        }
    }
}

impl From<Failure> for proto::Undelivered {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::UnknownPeer => Self::UnknownPeer,
            Failure::PeerDown => Self::PeerDown,
            Failure::NoRoute => Self::NoRoute,
            Failure::RelayLost => Self::RelayLost,
            Failure::NoSuchChannel => Self::NoSuchChannel,
            Failure::Busy => Self::Busy,
            Failure::TimedOut => Self::TimedOut,
        }
    }
}

impl From<&UpdateId> for proto::BroadcastId {
    fn from(id: &UpdateId) -> Self {
        Self {
            channel: id.channel.as_str().to_owned(),
            origin: id.origin.as_str().to_owned(),
            epoch: id.epoch,
            sequence: id.sequence,
        }
    }
}

impl From<&Version> for proto::Version {
    fn from(version: &Version) -> Self {
        Self {
            clock: version.clock,
            origin: version.origin.as_str().to_owned(),
            epoch: version.epoch,
            sequence: version.sequence,
        }
    }
}

impl From<&Entry> for proto::Write {
    fn from(entry: &Entry) -> Self {
        Self {
            key: entry.key.as_ref().to_owned(),
            over: entry.over.as_ref().map(Into::into),
            length: entry.length,
        }
    }
}

fn broadcast(update: &Update, repair: bool, rest: u32) -> proto::Broadcast {
    let (clock, entries) = match &update.body {
        Body::Message | Body::Custom => (0, Vec::new()),
        Body::Entries { clock, entries } => (*clock, all(entries)),
    };
    proto::Broadcast {
        id: Some((&update.id).into()),
        kind: proto::ChannelKind::from(update.body.kind()).into(),
        clock,
        entries,
        repair,
        payload: update.payload.to_vec(),
        rest,
    }
}

fn packet(packet: &Packet, rest: u32) -> proto::Parcel {
    let failed = |failure: Failure| proto::Undelivered::from(failure);
    let (purpose, failure) = match packet.purpose {
        Purpose::Message => (parcel::Purpose::Message, None),
        Purpose::Datagram => (parcel::Purpose::Datagram, None),
        Purpose::State => (parcel::Purpose::State, None),
        Purpose::Delivered => (parcel::Purpose::Delivered, None),
        Purpose::Failed(failure) => (parcel::Purpose::Failed, Some(failed(failure))),
    };
    let path = packet.path.iter().map(|id| id.as_str().to_owned());
    proto::Parcel {
        from: packet.from.as_str().to_owned(),
        to: packet.to.as_str().to_owned(),
        epoch: packet.epoch,
        number: packet.number,
        floor: packet.floor,
        purpose: purpose.into(),
        failure: failure.map_or(0, Into::into),
        channel: packet.channel.as_str().to_owned(),
        path: path.collect(),
        payload: packet.payload.to_vec(),
        rest,
    }
}

impl From<&Item> for proto::DataItem {
    fn from(item: &Item) -> Self {
        let item = match item {
            Item::Have(id) => data_item::Item::Have(id.into()),
            Item::Graft(id) => data_item::Item::Graft(id.into()),
            Item::Update {
                update,
                repair,
                remaining,
            } => data_item::Item::Broadcast(broadcast(update, *repair, *remaining)),
            Item::Packet {
                packet: it,
                remaining,
            } => data_item::Item::Parcel(packet(it, *remaining)),
            Item::Segment(bytes) => data_item::Item::Rest(bytes.to_vec()),
            Item::Digest {
                channel,
                kind,
                hash,
            } => data_item::Item::Digest(proto::ChannelDigest {
                channel: channel.as_str().to_owned(),
                kind: proto::ChannelKind::from(*kind).into(),
                hash: *hash,
            }),
            Item::Sketch {
                channel,
                kind,
                cells,
            } => data_item::Item::Sketch(proto::ChannelSketch {
                channel: channel.as_str().to_owned(),
                kind: proto::ChannelKind::from(*kind).into(),
                cells: all(cells),
            }),
            Item::Larger { channel, cells } => data_item::Item::Larger(proto::ChannelLarger {
                channel: channel.as_str().to_owned(),
                cells: *cells,
            }),
            Item::Want { channel, digests } => data_item::Item::Want(proto::ChannelWant {
                channel: channel.as_str().to_owned(),
                digests: digests.clone(),
            }),
        };
        Self { item: Some(item) }
    }
}

impl From<&Data> for proto::Data {
    fn from(data: &Data) -> Self {
        Self {
            credit: data.credit,
            prune: data.prune,
            items: all(&data.items),
        }
    }
}
