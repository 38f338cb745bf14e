//! Properties of the codec: round trips, sizes, and what malformed bytes do.

use super::error::Fault;
use super::proto::{self, packet, refuse};
use super::{decode, encode};
use core::net::SocketAddr;
use phalanx_core::gossip::Message;
use phalanx_core::gossip::message::{
    AgedReport, Cell, FRAME_BYTES_MAX, Frame, Goodbye, Hello, REFERRALS_MAX, Refusal,
    RefusalReason, Sync, UpdateId, Welcome,
};
use phalanx_core::identity::{NameError, NodeId};
use phalanx_core::size::Encoded as _;
use phalanx_core::time::{Duration, Wall};
use phalanx_core::topology::record::{
    COUNTER_MAX, Content, EDGES_MAX, Edge, METADATA_MAX, Rank, Record, Report, SERVICES_MAX,
    Service,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
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

fn content() -> impl Strategy<Value = Content> {
    let service = (".{0,12}", ".{0,4}").prop_map(|(name, version)| Service { name, version });
    let joined = prop_oneof![Just(0), any::<u64>()];
    (
        ".{0,12}",
        ".{0,8}",
        option::of(address()),
        joined,
        btree_set(service, 0..4),
        btree_map(".{0,6}", ".{0,200}", 0..3),
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
    )
        .prop_map(|(hash, prune, have, graft, records, reports, sync)| Frame {
            hash,
            prune,
            have,
            graft,
            records,
            reports,
            sync,
        })
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

fn message() -> impl Strategy<Value = Message> {
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
                Message::Hello(Hello {
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
            Message::Welcome(Welcome {
                version,
                session,
                hash,
                record,
            })
        });
    prop_oneof![
        hello,
        welcome,
        refusal().prop_map(Message::Refuse),
        goodbye.prop_map(Message::Goodbye),
        frame().prop_map(Message::Frame),
    ]
}

proptest! {
    #[test]
    fn a_message_survives_the_wire(message in message()) {
        let bytes = encode(&message);
        prop_assume!(bytes.len() <= FRAME_BYTES_MAX);
        prop_assert_eq!(decode(&bytes), Ok(message));
    }

    #[test]
    fn core_knows_the_encoded_size_of_every_message(message in message()) {
        prop_assert_eq!(message.encoded_len(), encode(&message).len());
    }

    #[test]
    fn a_truncated_message_is_an_error(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&message);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn random_bytes_are_an_error_or_a_message_that_survives(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn a_damaged_message_is_an_error_or_a_message_that_survives(
        message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }
}

fn parsed(body: packet::Body) -> Result<Message, (String, Fault)> {
    let packet = proto::Packet { body: Some(body) };
    Message::try_from(packet).map_err(|error| (error.path().to_owned(), error.fault().clone()))
}

fn wire_record() -> proto::Record {
    proto::Record {
        id: "a".to_owned(),
        epoch: 1,
        ..proto::Record::default()
    }
}

fn with_record(record: proto::Record) -> packet::Body {
    packet::Body::Frame(proto::Frame {
        records: vec![wire_record(), record],
        ..proto::Frame::default()
    })
}

fn with_report(edges: Vec<proto::Edge>) -> packet::Body {
    let report = proto::Report {
        reporter: "a".to_owned(),
        epoch: 1,
        version: 1,
        edges,
    };
    packet::Body::Frame(proto::Frame {
        reports: vec![report],
        ..proto::Frame::default()
    })
}

fn edge(peer: &str) -> proto::Edge {
    proto::Edge {
        peer: peer.to_owned(),
        down: false,
        age_ms: None,
    }
}

fn refused(fault: Result<Message, (String, Fault)>) -> (String, Fault) {
    fault.expect_err("the packet is malformed")
}

#[test]
fn each_bound_of_a_record_names_its_field() {
    let bad = |change: fn(&mut proto::Record)| {
        let mut record = wire_record();
        change(&mut record);
        refused(parsed(with_record(record)))
    };
    let at = |field: &str| format!("frame.records[1].{field}");
    assert_eq!(
        bad(|r| r.id.clear()),
        (at("id"), Fault::Name(NameError::Empty))
    );
    assert_eq!(
        bad(|r| r.epoch = COUNTER_MAX + 1),
        (at("epoch"), Fault::CounterTooHigh(COUNTER_MAX + 1))
    );
    assert_eq!(
        bad(|r| r.incarnation = u64::MAX),
        (at("incarnation"), Fault::CounterTooHigh(u64::MAX))
    );
    assert_eq!(
        bad(|r| r.version = u64::MAX),
        (at("version"), Fault::CounterTooHigh(u64::MAX))
    );
    assert_eq!(
        bad(|r| r.address = vec![1; 5]),
        (at("address"), Fault::AddressLength(5))
    );
    assert_eq!(
        bad(|r| r.address = vec![1]),
        (at("address"), Fault::AddressLength(1))
    );
    assert_eq!(
        bad(|r| r.address = vec![127, 0, 0, 1, 0, 0]),
        (at("address"), Fault::NoPort)
    );
    let (path, fault) = bad(|r| r.nickname = "x".repeat(9_000));
    assert_eq!(
        (path, matches!(fault, Fault::Content(_))),
        (at("content"), true)
    );
}

#[test]
fn too_many_or_repeated_elements_are_refused() {
    let service = |n: usize| proto::Service {
        name: format!("s{n}"),
        version: String::new(),
    };
    let entry = |n: usize| proto::Entry {
        key: format!("k{n}"),
        value: String::new(),
    };
    let services = proto::Record {
        services: (0..=SERVICES_MAX).map(service).collect(),
        ..wire_record()
    };
    let metadata = proto::Record {
        metadata: (0..=METADATA_MAX).map(entry).collect(),
        ..wire_record()
    };
    let edges = (0..=EDGES_MAX).map(|n| edge(&format!("n{n}"))).collect();
    for (body, path, max) in [
        (
            with_record(services),
            "frame.records[1].services",
            SERVICES_MAX,
        ),
        (
            with_record(metadata),
            "frame.records[1].metadata",
            METADATA_MAX,
        ),
        (with_report(edges), "frame.reports[0].edges", EDGES_MAX),
    ] {
        let (found_path, fault) = refused(parsed(body));
        assert_eq!(found_path, path);
        assert!(
            matches!(fault, Fault::TooMany { found, max: bound, .. } if (found, bound) == (max + 1, max)),
            "{fault}"
        );
    }
    let twice = |record| refused(parsed(with_record(record))).1;
    assert_eq!(
        twice(proto::Record {
            services: vec![service(1), service(1)],
            ..wire_record()
        }),
        Fault::Twice("s1".to_owned())
    );
    assert_eq!(
        twice(proto::Record {
            metadata: vec![entry(1), entry(1)],
            ..wire_record()
        }),
        Fault::Twice("k1".to_owned())
    );
    assert_eq!(
        refused(parsed(with_report(vec![edge("b"), edge("b")]))).1,
        Fault::Twice("b".to_owned())
    );
}

#[test]
fn a_refusal_names_at_most_a_few_others_and_a_known_reason() {
    let refuse = |reason, others| {
        packet::Body::Refuse(proto::Refuse {
            reason,
            others,
            ..proto::Refuse::default()
        })
    };
    let busy = refuse::Reason::Busy.into();
    let others = vec![vec![127, 0, 0, 1, 0, 80]; REFERRALS_MAX + 1];
    assert!(matches!(
        refused(parsed(refuse(busy, others))).1,
        Fault::TooMany {
            max: REFERRALS_MAX,
            ..
        }
    ));
    for unknown in [0, 99, -1] {
        assert_eq!(
            refused(parsed(refuse(unknown, vec![]))),
            ("refuse.reason".to_owned(), Fault::UnknownNumber(unknown))
        );
    }
    let goodbye = packet::Body::Goodbye(proto::Goodbye { reason: 0 });
    assert_eq!(
        refused(parsed(goodbye)),
        ("goodbye.reason".to_owned(), Fault::UnknownNumber(0))
    );
}

#[test]
fn what_must_be_there_is_missed() {
    let missing = |path: &str| (path.to_owned(), Fault::Missing);
    assert_eq!(
        decode(&[]).map_err(|error| error.to_string()),
        Err("packet.body is missing".to_owned())
    );
    let hello = proto::Hello {
        mesh: "m".to_owned(),
        ..proto::Hello::default()
    };
    assert_eq!(
        refused(parsed(packet::Body::Hello(hello))),
        missing("hello.record")
    );
    assert_eq!(
        refused(parsed(packet::Body::Welcome(proto::Welcome::default()))),
        missing("welcome.record")
    );
    let frame = proto::Frame {
        sync: vec![proto::Sync { step: None }],
        ..proto::Frame::default()
    };
    assert_eq!(
        refused(parsed(packet::Body::Frame(frame))),
        missing("frame.sync[0].step")
    );
    let nowhere = packet::Body::Hello(proto::Hello {
        mesh: "Not A Mesh".to_owned(),
        ..proto::Hello::default()
    });
    assert_eq!(refused(parsed(nowhere)).0, "hello.mesh");
}

#[test]
fn an_oversized_packet_is_refused_before_it_is_read() {
    let frame = proto::Frame {
        sync: vec![],
        ..proto::Frame::default()
    };
    let mut bytes = proto::Packet {
        body: Some(packet::Body::Frame(frame)),
    }
    .encode_to_vec();
    bytes.resize(FRAME_BYTES_MAX + 1, 0);
    let error = decode(&bytes).expect_err("it is oversized");
    assert_eq!(
        error.to_string(),
        "packet has 16385 bytes; at most 16384 are allowed"
    );
}

#[test]
fn another_protocols_bytes_are_named_as_such() {
    let error = decode(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect_err("it is HTTP");
    assert!(
        error
            .to_string()
            .starts_with("packet is no message of this protocol"),
        "{error}"
    );
}
