//! Bounds of messages about channels.

use super::{FieldFault, parsed, refused};
use crate::wire::proto::{self, data_item, packet, parcel};
use phalanx_core::channel::message::{
    ENTRIES_MAX, HOPS_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, WANT_MAX,
};
use phalanx_core::identity::NameError;

const FIRST: &str = "data.items[0]";

fn only(item: data_item::Item) -> packet::Body {
    packet::Body::Data(proto::Data {
        items: vec![proto::DataItem { item: Some(item) }],
        ..proto::Data::default()
    })
}

fn broadcast_id() -> proto::BroadcastId {
    proto::BroadcastId {
        channel: "chat".to_owned(),
        origin: "a".to_owned(),
        epoch: 1,
        sequence: 1,
    }
}

fn write(key: &str, length: Option<u32>) -> proto::Write {
    proto::Write {
        key: key.to_owned(),
        over: None,
        length,
    }
}

/// A write of "a" and a deletion of "b".
fn map_update() -> proto::Broadcast {
    proto::Broadcast {
        id: Some(broadcast_id()),
        kind: proto::ChannelKind::Map.into(),
        clock: 1,
        entries: vec![write("a", Some(3)), write("b", None)],
        payload: vec![1, 2, 3],
        ..proto::Broadcast::default()
    }
}

fn a_parcel() -> proto::Parcel {
    proto::Parcel {
        from: "a".to_owned(),
        to: "b".to_owned(),
        epoch: 1,
        number: 1,
        floor: 1,
        purpose: parcel::Purpose::Message.into(),
        channel: "chat".to_owned(),
        path: vec!["a".to_owned()],
        ..proto::Parcel::default()
    }
}

fn bad_update(change: impl FnOnce(&mut proto::Broadcast)) -> (String, FieldFault) {
    let mut update = map_update();
    change(&mut update);
    let (path, fault) = refused(parsed(only(data_item::Item::Broadcast(update))));
    let path = path.strip_prefix("data.items[0].broadcast.");
    (path.expect("it names the place").to_owned(), fault)
}

fn bad_parcel(change: impl FnOnce(&mut proto::Parcel)) -> (String, FieldFault) {
    let mut parcel = a_parcel();
    change(&mut parcel);
    let (path, fault) = refused(parsed(only(data_item::Item::Parcel(parcel))));
    let path = path.strip_prefix("data.items[0].parcel.");
    (path.expect("it names the place").to_owned(), fault)
}

#[test]
fn the_sample_is_valid_before_tests_break_it() {
    assert!(parsed(only(data_item::Item::Broadcast(map_update()))).is_ok());
    assert!(parsed(only(data_item::Item::Parcel(a_parcel()))).is_ok());
}

#[test]
fn each_bound_of_a_broadcast_names_its_field() {
    let at = |path: &str, fault| (path.to_owned(), fault);
    assert_eq!(bad_update(|u| u.id = None), at("id", FieldFault::Missing));
    assert_eq!(
        bad_update(|u| u.id.as_mut().unwrap().channel = "No Name".to_owned()).0,
        "id.channel"
    );
    assert_eq!(
        bad_update(|u| u.id.as_mut().unwrap().origin.clear()),
        at("id.origin", FieldFault::Name(NameError::Empty))
    );
    for unknown in [0, 4, -1] {
        assert_eq!(
            bad_update(|u| u.kind = unknown),
            at("kind", FieldFault::UnknownNumber(unknown))
        );
    }
    let (path, fault) = bad_update(|u| u.rest = u32::MAX);
    assert_eq!(path, "payload");
    assert!(
        matches!(
            fault,
            FieldFault::TooMany {
                max: PAYLOAD_BYTES_MAX,
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn each_bound_of_a_maps_writes_names_its_field() {
    let at = |path: &str, fault| (path.to_owned(), fault);
    assert_eq!(
        bad_update(|u| u.entries.clear()),
        at("entries", FieldFault::Missing)
    );
    let many = |n: usize| write(&format!("k{n:03}"), None);
    let (path, fault) = bad_update(|u| u.entries = (0..=ENTRIES_MAX).map(many).collect());
    assert_eq!(path, "entries");
    assert!(matches!(
        fault,
        FieldFault::TooMany {
            max: ENTRIES_MAX,
            ..
        }
    ));
    assert_eq!(
        bad_update(|u| u.entries[1].key = "a".to_owned()),
        at("entries", FieldFault::Twice("a".to_owned()))
    );
    assert_eq!(
        bad_update(|u| u.entries.swap(0, 1)),
        at("entries", FieldFault::Unordered("a".to_owned()))
    );
    assert_eq!(
        bad_update(|u| u.entries[0].key.clear()),
        at("entries[0].key", FieldFault::Missing)
    );
    let (path, fault) = bad_update(|u| u.entries[0].key = "k".repeat(KEY_BYTES_MAX + 1));
    assert_eq!(path, "entries[0].key");
    assert!(matches!(
        fault,
        FieldFault::TooMany {
            max: KEY_BYTES_MAX,
            ..
        }
    ));
    for (length, rest) in [(2, 0), (4, 0), (3, 1)] {
        let (path, fault) = bad_update(|u| {
            u.entries[0].length = Some(length);
            u.rest = rest;
        });
        let expected = length as usize;
        let found = 3 + rest as usize;
        assert_eq!(
            (path.as_str(), fault),
            ("payload", FieldFault::Length { found, expected })
        );
    }
}

#[test]
fn each_bound_of_a_parcel_names_its_field() {
    let at = |path: &str, fault| (path.to_owned(), fault);
    assert_eq!(bad_parcel(|p| p.from = "A B".to_owned()).0, "from");
    assert_eq!(bad_parcel(|p| p.to.clear()).0, "to");
    assert_eq!(bad_parcel(|p| p.channel.clear()).0, "channel");
    assert_eq!(bad_parcel(|p| p.path.push(String::new())).0, "path");
    let (path, fault) = bad_parcel(|p| p.path = vec!["a".to_owned(); HOPS_MAX + 1]);
    assert_eq!(path, "path");
    assert!(matches!(fault, FieldFault::TooMany { max: HOPS_MAX, .. }));
    for unknown in [0, 6] {
        assert_eq!(
            bad_parcel(|p| p.purpose = unknown),
            at("purpose", FieldFault::UnknownNumber(unknown))
        );
    }
    for unknown in [0, 8] {
        let failed = |p: &mut proto::Parcel| {
            p.purpose = parcel::Purpose::Failed.into();
            p.failure = unknown;
        };
        assert_eq!(
            bad_parcel(failed),
            at("failure", FieldFault::UnknownNumber(unknown))
        );
    }
    assert_eq!(bad_parcel(|p| p.rest = u32::MAX).0, "payload");
}

#[test]
fn the_other_items_are_bounded_too() {
    let nothing = packet::Body::Data(proto::Data {
        items: vec![proto::DataItem { item: None }],
        ..proto::Data::default()
    });
    assert_eq!(
        refused(parsed(nothing)),
        (format!("{FIRST}.item"), FieldFault::Missing)
    );
    let want = proto::ChannelWant {
        channel: "chat".to_owned(),
        digests: vec![1; WANT_MAX + 1],
    };
    let (path, fault) = refused(parsed(only(data_item::Item::Want(want))));
    assert_eq!(path, format!("{FIRST}.want.digests"));
    assert!(matches!(fault, FieldFault::TooMany { max: WANT_MAX, .. }));
    let digest = proto::ChannelDigest {
        channel: "chat".to_owned(),
        ..proto::ChannelDigest::default()
    };
    assert_eq!(
        refused(parsed(only(data_item::Item::Digest(digest)))).0,
        format!("{FIRST}.digest.kind")
    );
    for (item, path) in [
        (
            data_item::Item::Larger(proto::ChannelLarger::default()),
            "larger.channel",
        ),
        (
            data_item::Item::Sketch(proto::ChannelSketch::default()),
            "sketch.channel",
        ),
        (
            data_item::Item::Have(proto::BroadcastId::default()),
            "have.channel",
        ),
        (
            data_item::Item::Graft(proto::BroadcastId::default()),
            "graft.channel",
        ),
    ] {
        assert_eq!(refused(parsed(only(item))).0, format!("{FIRST}.{path}"));
    }
}
