//! Anything that core may say about channels.

use super::{cell, counter, id};
use phalanx_core::channel::message::{Body, Entry, HOPS_MAX, Item, Packet, Purpose};
use phalanx_core::channel::{ChannelName, Data, Failure, Kind, Update, UpdateId, Version};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

fn name() -> impl Strategy<Value = ChannelName> {
    id().prop_map(|id| ChannelName::new(id.as_str()).unwrap())
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>()]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Messages, Kind::Map, Kind::Custom])
}

fn update_id() -> impl Strategy<Value = UpdateId> {
    (name(), id(), number(), counter()).prop_map(|(channel, origin, epoch, sequence)| UpdateId {
        channel,
        origin,
        epoch,
        sequence,
    })
}

fn version() -> impl Strategy<Value = Version> {
    (counter(), id(), number(), counter()).prop_map(|(clock, origin, epoch, sequence)| Version {
        clock,
        origin,
        epoch,
        sequence,
    })
}

/// Writes, and the bytes of their values.
fn entries() -> impl Strategy<Value = (Vec<Entry>, Vec<u8>)> {
    let value = option::of(vec(any::<u8>(), 0..200));
    btree_map("[a-z/]{1,9}", (option::of(version()), value), 1..5).prop_map(|writes| {
        let mut payload = Vec::new();
        let entry = |(key, (over, value)): (String, (Option<Version>, Option<Vec<u8>>))| Entry {
            key: Arc::from(key),
            over,
            length: value.map(|value| {
                payload.extend(&value);
                u32::try_from(value.len()).unwrap()
            }),
        };
        let entries = writes.into_iter().map(entry).collect();
        (entries, payload)
    })
}

fn body() -> impl Strategy<Value = (Body, Vec<u8>)> {
    let payload = || vec(any::<u8>(), 0..300);
    prop_oneof![
        payload().prop_map(|payload| (Body::Message, payload)),
        payload().prop_map(|payload| (Body::Custom, payload)),
        (counter(), entries())
            .prop_map(|(clock, (entries, payload))| (Body::Entries { clock, entries }, payload)),
    ]
}

fn broadcast() -> impl Strategy<Value = Item> {
    let here = any::<prop::sample::Index>();
    (update_id(), body(), any::<bool>(), any::<bool>(), here).prop_map(
        |(id, (body, mut payload), repair, cut, here)| {
            let here = here.index(payload.len() + 1);
            let rest = if cut { payload.len() - here } else { 0 };
            payload.truncate(payload.len() - rest);
            Item::Update {
                update: Arc::new(Update {
                    id,
                    body,
                    payload: Arc::from(payload),
                }),
                repair,
                remaining: u32::try_from(rest).unwrap(),
            }
        },
    )
}

fn purpose() -> impl Strategy<Value = Purpose> {
    let failures = Failure::ALL.map(|(failure, _)| Purpose::Failed(failure));
    let others = [
        Purpose::Message,
        Purpose::Datagram,
        Purpose::State,
        Purpose::Delivered,
    ];
    prop::sample::select(failures.into_iter().chain(others).collect::<Vec<_>>())
}

fn packet() -> impl Strategy<Value = Item> {
    let ends = (id(), id(), name(), vec(id(), 0..=HOPS_MAX));
    let payload = (vec(any::<u8>(), 0..300), 0_u32..3);
    (ends, number(), counter(), counter(), purpose(), payload).prop_map(
        |((from, to, channel, path), epoch, number, floor, purpose, (payload, remaining))| {
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
                remaining,
            }
        },
    )
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        update_id().prop_map(Item::Have),
        update_id().prop_map(Item::Graft),
        broadcast(),
        packet(),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Item::Segment(Arc::from(bytes))),
        (name(), kind(), number()).prop_map(|(channel, kind, hash)| Item::Digest {
            channel,
            kind,
            hash
        }),
        (name(), kind(), vec(cell(), 0..6)).prop_map(|(channel, kind, cells)| Item::Sketch {
            channel,
            kind,
            cells
        }),
        (name(), prop_oneof![Just(0), any::<u32>()])
            .prop_map(|(channel, cells)| Item::Larger { channel, cells }),
        (name(), vec(any::<u64>(), 0..6))
            .prop_map(|(channel, digests)| Item::Want { channel, digests }),
    ]
}

pub(super) fn data() -> impl Strategy<Value = Data> {
    let credit = prop_oneof![Just(0), any::<u32>()];
    (credit, any::<bool>(), vec(item(), 0..5)).prop_map(|(credit, prune, items)| Data {
        credit,
        prune,
        items,
    })
}
