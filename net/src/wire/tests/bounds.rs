//! Each bound is checked, and the error names the field that exceeds it.

mod channel;

use super::super::decode;
use super::super::error::FieldFault;
use super::super::proto::{self, packet, refuse};
use phalanx_core::gossip::message::REFERRALS_MAX;
use phalanx_core::identity::NameError;
use phalanx_core::node::Message;
use phalanx_core::size::FRAME_BYTES_MAX;
use phalanx_core::topology::record::{EDGES_MAX, METADATA_MAX, SERVICES_MAX};
use prost::Message as _;

fn parsed(body: packet::Body) -> Result<Message, (String, FieldFault)> {
    let packet = proto::Packet {
        body: Some(body),
        overlay: None,
    };
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
        more_edges: Vec::new(),
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
        refused: false,
        failure: 0,
    }
}

fn refused(fault: Result<Message, (String, FieldFault)>) -> (String, FieldFault) {
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
        (at("id"), FieldFault::Name(NameError::Empty))
    );
    assert_eq!(
        bad(|r| r.address = vec![1; 5]),
        (at("address"), FieldFault::AddressLength(5))
    );
    assert_eq!(
        bad(|r| r.address = vec![1]),
        (at("address"), FieldFault::AddressLength(1))
    );
    assert_eq!(
        bad(|r| r.address = vec![127, 0, 0, 1, 0, 0]),
        (at("address"), FieldFault::NoPort)
    );
    let (path, fault) = bad(|r| r.nickname = "x".repeat(9_000));
    assert_eq!(
        (path, matches!(fault, FieldFault::Content(_))),
        (at("content"), true)
    );
    let (path, fault) = bad(|r| r.nickname = "\u{1b}]0;title\u{7}".to_owned());
    assert_eq!(path, at("content"));
    assert!(fault.to_string().contains("control characters"), "{fault}");
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
    let edges = |count| (0..count).map(|n| edge(&format!("n{n}"))).collect();
    let more_edges = proto::Report {
        more_edges: edges(EDGES_MAX - 63),
        reporter: "a".to_owned(),
        ..proto::Report::default()
    };
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
        (with_report(edges(65)), "frame.reports[0].edges", 64),
        (
            packet::Body::Frame(proto::Frame {
                reports: vec![more_edges],
                ..proto::Frame::default()
            }),
            "frame.reports[0].more_edges",
            EDGES_MAX - 64,
        ),
    ] {
        let (found_path, fault) = refused(parsed(body));
        assert_eq!(found_path, path);
        assert!(
            matches!(fault, FieldFault::TooMany { found, max: bound, .. } if (found, bound) == (max + 1, max)),
            "{fault}"
        );
    }
    let twice = |record| refused(parsed(with_record(record))).1;
    assert_eq!(
        twice(proto::Record {
            services: vec![service(1), service(1)],
            ..wire_record()
        }),
        FieldFault::Twice("s1".to_owned())
    );
    assert_eq!(
        twice(proto::Record {
            metadata: vec![entry(1), entry(1)],
            ..wire_record()
        }),
        FieldFault::Twice("k1".to_owned())
    );
    assert_eq!(
        refused(parsed(with_report(vec![edge("b"), edge("b")]))).1,
        FieldFault::Twice("b".to_owned())
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
        FieldFault::TooMany {
            max: REFERRALS_MAX,
            ..
        }
    ));
    for unknown in [0, 99, -1] {
        assert_eq!(
            refused(parsed(refuse(unknown, vec![]))),
            (
                "refuse.reason".to_owned(),
                FieldFault::UnknownNumber(unknown)
            )
        );
    }
    let goodbye = packet::Body::Goodbye(proto::Goodbye { reason: 0 });
    assert_eq!(
        refused(parsed(goodbye)),
        ("goodbye.reason".to_owned(), FieldFault::UnknownNumber(0))
    );
}

#[test]
fn missing_keys_are_reported() {
    let missing = |path: &str| (path.to_owned(), FieldFault::Missing);
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
        overlay: None,
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
            .starts_with("packet is not a message of this protocol"),
        "{error}"
    );
}
