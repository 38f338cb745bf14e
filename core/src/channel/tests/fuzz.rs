//! Arbitrary items in arbitrary order: no panic, no busy loop, and all collections stay in bounds.

use super::world::{channel, config, id};
use crate::channel::message::{
    Body, Data, DeliveryFailure, Entry, Item, Kind, Packet, Purpose, Update, UpdateId, Version,
};
use crate::channel::{
    CHANNELS_MAX, Channels, Expected, Input, Neighbour, Options, Output, PENDING_MAX, Request,
    Transaction, Write,
};
use crate::link::LinkId;
use crate::size::Encoded;
use crate::size::FRAME_BYTES_MAX;
use crate::sketch::Cell;
use crate::testing::alone::Alone;
use crate::time::{Duration, Instant};
use proptest::prelude::*;
use std::sync::Arc;

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["me", "b", "c", "d", "e"])
}

fn topic() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["chat", "kv", "own", "new"])
}

fn payload() -> impl Strategy<Value = Arc<[u8]>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Arc::from),
        1 => Just(Arc::from(vec![7; 40_000])),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..8, 1 => any::<u64>(), 1 => Just((1 << 32) | 7)]
}

fn update_id() -> impl Strategy<Value = UpdateId> {
    (topic(), name(), number(), number()).prop_map(|(on, origin, epoch, sequence)| UpdateId {
        channel: channel(on),
        origin: id(origin),
        epoch,
        sequence,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let over =
        (number(), name(), number(), number()).prop_map(|(clock, origin, epoch, sequence)| {
            Version {
                clock,
                origin: id(origin),
                epoch,
                sequence,
            }
        });
    let key = prop::sample::select(vec!["x", "y", "z"]).prop_map(Arc::from);
    (key, prop::option::of(over), prop::option::of(0_u32..100))
        .prop_map(|(key, over, length)| Entry { key, over, length })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Message),
        Just(Body::Custom),
        (number(), prop::collection::vec(entry(), 1..4))
            .prop_map(|(clock, entries)| Body::Entries { clock, entries }),
    ]
}

fn purpose() -> impl Strategy<Value = Purpose> {
    let failure = prop::sample::select(DeliveryFailure::ALL.to_vec());
    prop_oneof![
        Just(Purpose::Message),
        Just(Purpose::Datagram),
        Just(Purpose::State),
        Just(Purpose::Delivered),
        failure.prop_map(|(failure, _)| Purpose::Failed(failure)),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let names = (name(), name(), prop::collection::vec(name(), 0..26));
    (
        names,
        number(),
        number(),
        number(),
        purpose(),
        topic(),
        payload(),
    )
        .prop_map(
            |((from, to, path), epoch, number, floor, purpose, on, payload)| Packet {
                from: id(from),
                to: id(to),
                epoch,
                number,
                floor,
                purpose,
                channel: channel(on),
                path: path.into_iter().map(id).collect(),
                payload,
            },
        )
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Messages, Kind::Map, Kind::Custom])
}

fn item() -> impl Strategy<Value = Item> {
    let cell = (any::<i32>(), any::<u64>(), any::<u32>()).prop_map(|(count, sum, check)| Cell {
        count: count % 3,
        sum,
        check,
    });
    let remaining = prop_oneof![4 => Just(0_u32), 1 => 1_u32..100, 1 => any::<u32>()];
    prop_oneof![
        1 => update_id().prop_map(Item::Have),
        1 => update_id().prop_map(Item::Graft),
        4 => (update_id(), body(), payload(), any::<bool>(), remaining.clone()).prop_map(
            |(id, body, payload, repair, remaining)| Item::Update {
                update: Arc::new(Update { id, body, payload }),
                repair,
                remaining,
            }
        ),
        4 => (packet(), remaining).prop_map(|(packet, remaining)| Item::Packet { packet: Arc::new(packet), remaining }),
        1 => payload().prop_map(Item::Segment),
        1 => (topic(), kind(), any::<u64>()).prop_map(|(on, kind, hash)| Item::Digest { channel: channel(on), kind, hash }),
        1 => (topic(), kind(), prop::collection::vec(cell, 0..30))
            .prop_map(|(on, kind, cells)| Item::Sketch { channel: channel(on), kind, cells }),
        1 => (topic(), any::<u32>()).prop_map(|(on, cells)| Item::Larger { channel: channel(on), cells }),
        1 => (topic(), prop::collection::vec(any::<u64>(), 0..8))
            .prop_map(|(on, digests)| Item::Want { channel: channel(on), digests }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let data = (
        any::<u32>(),
        any::<bool>(),
        prop::collection::vec(item(), 0..6),
    )
        .prop_map(|(credit, prune, items)| Data {
            credit,
            prune,
            items,
        });
    let link = (1_u64..4).prop_map(LinkId);
    let neighbours = prop::collection::vec(any::<bool>(), 3).prop_map(|lively| {
        let all = (1_u64..).zip(["b", "c", "d"]).zip(lively);
        Input::Neighbours(
            all.filter(|((link, _), lively)| *lively || *link == 1)
                .map(|((link, peer), lively)| Neighbour {
                    link: LinkId(link),
                    peer: id(peer),
                    lively,
                })
                .collect(),
        )
    });
    let transaction = (
        prop::sample::select(vec!["x", "y", ""]),
        prop::option::of(payload()),
    )
        .prop_map(|(key, value)| Transaction {
            compare: vec![(Arc::from(key), Expected::Absent)],
            write: vec![Write {
                key: Arc::from(key),
                value,
            }],
        });
    let request = any::<u64>().prop_map(Request);
    prop_oneof![
        8 => (link.clone(), data).prop_map(|(link, data)| Input::Receive { link, data }),
        1 => neighbours,
        1 => (link, packet()).prop_map(|(link, packet)| Input::Forward { link, packet: Arc::new(packet) }),
        1 => (packet(), prop::sample::select(DeliveryFailure::ALL.to_vec()))
            .prop_map(|(packet, (failure, _))| Input::Unroutable { packet: Arc::new(packet), failure }),
        1 => (request.clone(), topic(), kind()).prop_map(|(request, on, kind)| Input::Open {
            request,
            channel: channel(on),
            options: Options::of(kind),
        }),
        1 => topic().prop_map(|on| Input::Close { channel: channel(on) }),
        1 => (request.clone(), topic(), payload())
            .prop_map(|(request, on, payload)| Input::Publish { request, channel: channel(on), payload }),
        1 => (request.clone(), topic(), transaction)
            .prop_map(|(request, on, transaction)| Input::Transact { request, channel: channel(on), transaction }),
        1 => (request, name(), topic(), payload(), any::<bool>()).prop_map(|(request, to, on, payload, datagram)| {
            Input::Send { request, to: id(to), channel: channel(on), payload, datagram }
        }),
        1 => (topic(), any::<u32>(), any::<usize>())
            .prop_map(|(on, count, bytes)| Input::Consumed { channel: channel(on), count, bytes }),
        1 => Just(Input::Wake),
    ]
}

proptest! {
    #[test]
    fn arbitrary_items_break_no_node(inputs in prop::collection::vec((input(), 0_u64..2_000), 1..60)) {
        let mut alone = Alone {
            machine: Channels::new(config("me"), 1, Instant::ZERO),
            now: Instant::ZERO,
        };
        for (input, millis) in inputs {
            alone.pass(Duration::from_millis(millis));
            if input == Input::Wake {
                continue;
            }
            for (_, output) in alone.give(input) {
                if let Output::Transmit { data, .. } = output {
                    prop_assert!(data.encoded_len() <= FRAME_BYTES_MAX, "{}", data.encoded_len());
                }
            }
            let node = &alone.machine;
            prop_assert!(node.known().count() <= CHANNELS_MAX);
            prop_assert!(node.pending() <= PENDING_MAX);
        }
    }
}
