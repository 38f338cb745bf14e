//! Any message that core may send.

mod channel;

use core::net::SocketAddr;
use phalanx_core::gossip::Message as Mesh;
use phalanx_core::gossip::message::{
    AgedReport, Cell, Frame, Gone, Goodbye, Hello, REFERRALS_MAX, Refusal, RefusalReason, Sync,
    UpdateId, Welcome,
};
use phalanx_core::identity::{NodeId, only_shows};
use phalanx_core::node::Message;
use phalanx_core::time::{Duration, Wall};
use phalanx_core::topology::record::{COUNTER_MAX, Content, Edge, Rank, Record, Report, Service};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

fn id() -> impl Strategy<Value = NodeId> {
    "[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?".prop_map(|text| NodeId::new(&text).unwrap())
}

/// Small numbers, numbers around every varint length, and the largest a node accepts.
fn counter() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..4,
        (0_u32..62).prop_flat_map(|bits| 0..=(1_u64 << bits)),
        Just(COUNTER_MAX)
    ]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), 1_u16..).prop_map(|(ip, port)| (ip, port).into()),
        (any::<[u8; 16]>(), 1_u16..).prop_map(|(ip, port)| (ip, port).into()),
    ]
}

fn rank() -> impl Strategy<Value = Rank> {
    let instance = prop_oneof![Just(0), any::<u32>()];
    (counter(), instance, counter(), any::<bool>(), counter()).prop_map(
        |(epoch, instance, incarnation, leaving, version)| Rank {
            epoch,
            instance,
            incarnation,
            leaving,
            version,
        },
    )
}

/// Any text that only shows.
fn shown(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text: String| text.chars().filter(|it| only_shows(*it)).collect())
}

fn content() -> impl Strategy<Value = Content> {
    let service = ("[a-z]([a-z0-9._-]{0,10}[a-z0-9])?", "([0-9a-z]{1,4})?")
        .prop_map(|(name, version)| Service { name, version });
    let joined = prop_oneof![Just(0), any::<u64>()];
    (
        shown(".{0,12}"),
        shown(".{0,8}"),
        option::of(address()),
        joined,
        btree_set(service, 0..4),
        btree_map(shown(".{0,6}"), shown(".{0,200}"), 0..3),
    )
        .prop_map(
            |(nickname, kind, address, joined, services, metadata)| Content {
                nickname,
                kind,
                address,
                joined: Wall(joined),
                services,
                metadata,
            },
        )
}

fn record() -> impl Strategy<Value = Arc<Record>> {
    (id(), rank(), content())
        .prop_map(|(id, rank, content)| Arc::new(Record::new(id, rank, content)))
}

fn report() -> impl Strategy<Value = AgedReport> {
    let age = option::of(prop_oneof![0_u64..3, any::<u64>()]);
    (
        id(),
        counter(),
        counter(),
        btree_map(id(), (any::<bool>(), age), 0..5),
    )
        .prop_map(|(reporter, epoch, version, halves)| {
            let ages = halves
                .values()
                .map(|(_, age)| age.map(Duration::from_millis))
                .collect();
            let edges = halves
                .into_iter()
                .map(|(peer, (down, _))| Edge { peer, down })
                .collect();
            AgedReport {
                report: Arc::new(Report {
                    epoch,
                    version,
                    edges,
                    reporter,
                }),
                ages,
            }
        })
}

fn update() -> impl Strategy<Value = UpdateId> {
    (id(), any::<bool>(), counter(), counter()).prop_map(|(origin, report, epoch, version)| {
        UpdateId {
            origin,
            report,
            epoch,
            version,
        }
    })
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::default()),
        (any::<i32>(), any::<u64>(), any::<u32>()).prop_map(|(count, sum, check)| Cell {
            count,
            sum,
            check
        }),
        (-3_i32..3).prop_map(|count| Cell {
            count,
            sum: 0,
            check: 1
        }),
    ]
}

fn sync() -> impl Strategy<Value = Sync> {
    prop_oneof![
        vec(cell(), 0..6).prop_map(Sync::Sketch),
        prop_oneof![Just(0), any::<u32>()].prop_map(Sync::Larger),
        vec(any::<u64>(), 0..6).prop_map(Sync::Want),
        (vec(record(), 0..3), vec(report(), 0..3))
            .prop_map(|(records, reports)| Sync::Push { records, reports }),
        (
            vec(record(), 0..3),
            vec(report(), 0..3),
            any::<bool>(),
            any::<bool>()
        )
            .prop_map(|(records, reports, last, reply)| Sync::Snapshot {
                records,
                reports,
                last,
                reply
            }),
    ]
}

fn gone() -> impl Strategy<Value = Gone> {
    let age = prop_oneof![Just(0), 0_u64..300, 0_u64..=u64::from(u32::MAX) * 1_000];
    (id(), age).prop_map(|(id, age)| Gone {
        id,
        age: Duration::from_millis(age),
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    let hash = option::of(prop_oneof![Just(0), any::<u64>()]);
    let updates = || vec(update(), 0..4);
    (
        hash,
        any::<bool>(),
        updates(),
        updates(),
        vec(record(), 0..3),
        vec(report(), 0..3),
        vec(sync(), 0..3),
        vec(gone(), 0..3),
    )
        .prop_map(
            |(hash, prune, have, graft, records, reports, sync, gone)| Frame {
                hash,
                prune,
                have,
                graft,
                records,
                reports,
                sync,
                gone,
            },
        )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let reason = prop::sample::select(vec![
        RefusalReason::Busy,
        RefusalReason::Full,
        RefusalReason::Superseded,
        RefusalReason::Myself,
        RefusalReason::WrongMesh,
        RefusalReason::Version,
        RefusalReason::NameTaken,
        RefusalReason::Leaving,
    ]);
    let versions = (0_u32..300, 0_u32..300);
    (
        reason,
        0_u32..9,
        versions,
        vec(address(), 0..=REFERRALS_MAX),
        option::of(record()),
    )
        .prop_map(|(reason, session, versions, others, yours)| Refusal {
            reason,
            session,
            versions,
            others,
            yours,
        })
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    let goodbye = prop::sample::select(vec![
        Goodbye::Surplus,
        Goodbye::Leaving,
        Goodbye::Superseded,
        Goodbye::NameTaken,
        Goodbye::Protocol,
    ]);
    let number = || prop_oneof![0_u32..200, any::<u32>()];
    let hash = || prop_oneof![Just(0), any::<u64>()];
    let hello = (
        id(),
        number(),
        number(),
        number(),
        any::<bool>(),
        hash(),
        record(),
    )
        .prop_map(
            |(mesh, version_min, version_max, session, joining, hash, record)| {
                let mesh = mesh.as_str().to_owned();
                Mesh::Hello(Hello {
                    mesh,
                    version_min,
                    version_max,
                    session,
                    joining,
                    hash,
                    record,
                })
            },
        );
    let welcome =
        (number(), number(), hash(), record()).prop_map(|(version, session, hash, record)| {
            Mesh::Welcome(Welcome {
                version,
                session,
                hash,
                record,
            })
        });
    prop_oneof![
        hello.prop_map(Message::Mesh),
        welcome.prop_map(Message::Mesh),
        refusal().prop_map(Mesh::Refuse).prop_map(Message::Mesh),
        goodbye.prop_map(Mesh::Goodbye).prop_map(Message::Mesh),
        frame().prop_map(Mesh::Frame).prop_map(Message::Mesh),
        channel::data().prop_map(Message::Channel),
    ]
}
