//! Messages to one member, on their way over relays.

use super::broadcast::payload_len;
use super::name::channel;
use crate::wire::error::{FieldFault, WireError};
use crate::wire::field::{Parsed, at_most, id};
use crate::wire::proto::{self, parcel};
use phalanx_core::channel::DeliveryFailure;
use phalanx_core::channel::message::{HOPS_MAX, Item, Packet, Purpose};
use std::sync::Arc;

fn failure(number: i32) -> Parsed<DeliveryFailure> {
    let unknown = || WireError::new("failure", FieldFault::UnknownNumber(number));
    Ok(
        match proto::Undelivered::try_from(number).map_err(|_| unknown())? {
            proto::Undelivered::Unspecified => return Err(unknown()),
            proto::Undelivered::UnknownPeer => DeliveryFailure::UnknownPeer,
            proto::Undelivered::PeerDown => DeliveryFailure::PeerDown,
            proto::Undelivered::NoRoute => DeliveryFailure::NoRoute,
            proto::Undelivered::RelayLost => DeliveryFailure::RelayLost,
            proto::Undelivered::NoSuchChannel => DeliveryFailure::NoSuchChannel,
            proto::Undelivered::Busy => DeliveryFailure::Busy,
            proto::Undelivered::TimedOut => DeliveryFailure::TimedOut,
        },
    )
}

pub(super) fn parse(wire: proto::Parcel) -> Parsed<Item> {
    payload_len(&wire.payload, wire.rest)?;
    let unknown = || WireError::new("purpose", FieldFault::UnknownNumber(wire.purpose));
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
        number: wire.number,
        floor: wire.floor,
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

impl From<DeliveryFailure> for proto::Undelivered {
    fn from(failure: DeliveryFailure) -> Self {
        match failure {
            DeliveryFailure::UnknownPeer => Self::UnknownPeer,
            DeliveryFailure::PeerDown => Self::PeerDown,
            DeliveryFailure::NoRoute => Self::NoRoute,
            DeliveryFailure::RelayLost => Self::RelayLost,
            DeliveryFailure::NoSuchChannel => Self::NoSuchChannel,
            DeliveryFailure::Busy => Self::Busy,
            DeliveryFailure::TimedOut => Self::TimedOut,
        }
    }
}

pub(super) fn compose(packet: &Packet, remaining: u32) -> proto::Parcel {
    let failed = |failure: DeliveryFailure| proto::Undelivered::from(failure);
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
        rest: remaining,
    }
}

/// Any message to one member.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::channel::name::arbitrary::name;
    use crate::wire::field::arbitrary::{counter, hash, id};
    use phalanx_core::channel::DeliveryFailure;
    use phalanx_core::channel::message::{HOPS_MAX, Item, Packet, Purpose};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn purpose() -> impl Strategy<Value = Purpose> {
        let failures = DeliveryFailure::ALL.map(|(failure, _)| Purpose::Failed(failure));
        let others = [
            Purpose::Message,
            Purpose::Datagram,
            Purpose::State,
            Purpose::Delivered,
        ];
        prop::sample::select(failures.into_iter().chain(others).collect::<Vec<_>>())
    }

    pub(crate) fn parcel() -> impl Strategy<Value = Item> {
        let ends = (id(), id(), name(), vec(id(), 0..=HOPS_MAX));
        let payload = (vec(any::<u8>(), 0..300), 0_u32..3);
        (ends, hash(), counter(), counter(), purpose(), payload).prop_map(
            |((from, to, channel, path), epoch, number, floor, purpose, (payload, rest))| {
                Item::Packet {
                    packet: Arc::new(Packet {
                        from,
                        to,
                        epoch,
                        number,
                        floor,
                        purpose,
                        channel,
                        path,
                        payload: Arc::from(payload),
                    }),
                    remaining: rest,
                }
            },
        )
    }
}
