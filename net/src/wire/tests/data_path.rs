//! Signals of data paths: round trips, sizes, bounds, and the handling of malformed bytes.

use super::super::error::{FieldFault, WireError};
use super::super::packet::arbitrary::{message, parts};
use super::super::proto::{self, overlay};
use super::super::{PacketParts, encode};
use crate::overlay::{CONTROL_BYTES_MAX, FEATURES_MAX, Offer, REASON_BYTES_MAX, Signal};
use phalanx_core::size::FRAME_BYTES_MAX;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

fn decode(bytes: &[u8]) -> Option<PacketParts> {
    PacketParts::try_from(proto::Packet::decode(bytes).ok()?).ok()
}

fn bytes(parts: &PacketParts) -> Vec<u8> {
    proto::Packet::from(parts).encode_to_vec()
}

fn refused(signal: overlay::Signal) -> WireError {
    let packet = proto::Packet {
        body: None,
        overlay: Some(proto::Overlay {
            signal: Some(signal),
        }),
    };
    PacketParts::try_from(packet).unwrap_err()
}

proptest! {
    #[test]
    fn what_overlays_say_survives_the_wire_and_its_size_is_known(parts in parts()) {
        let bytes = bytes(&parts);
        prop_assert_eq!(parts.encoded_len(), bytes.len());
        prop_assert_eq!(decode(&bytes), Some(parts));
    }

    #[test]
    fn a_node_that_knows_no_overlays_reads_the_greeting_beside_an_offer(parts in parts()) {
        let read = super::super::decode(&bytes(&parts)).ok();
        prop_assert_eq!(read, parts.message);
    }

    #[test]
    fn a_message_without_an_overlay_is_the_same_bytes_as_ever(message in message()) {
        prop_assert_eq!(bytes(&message.clone().into()), encode(&message));
    }

    #[test]
    fn random_bytes_are_refused_or_survive(bytes in vec(any::<u8>(), 0..200)) {
        let packet = [&[0x3a, u8::try_from(bytes.len() % 128).unwrap()], &bytes[..]].concat();
        if let Some(parts) = decode(&packet) {
            prop_assert_eq!(decode(&self::bytes(&parts)), Some(parts));
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_survive(
        parts in parts(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = bytes(&parts);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(parts) = decode(&bytes) {
            prop_assert_eq!(decode(&self::bytes(&parts)), Some(parts));
        }
    }
}

#[test]
fn each_bound_names_its_field() {
    let entry = |key: String| proto::Entry {
        key,
        value: String::new(),
    };
    let features = |count| (0..count).map(|at| entry(format!("f{at}"))).collect();
    let offer = |name: &str, features| {
        let name = name.to_owned();
        overlay::Signal::Offer(proto::Offer { name, features })
    };
    let control = |kind, bytes| {
        let payload = vec![0; bytes];
        overlay::Signal::Control(proto::Control { kind, payload })
    };
    let failed = |reason: &str| overlay::Signal::Failed(reason.to_owned());
    let cases = [
        (
            offer("udp", features(1_000)),
            "overlay.offer is refused: more than 16 features",
        ),
        (
            offer("", vec![]),
            "overlay.offer is refused: the overlay's name is empty",
        ),
        (control(256, 0), "overlay.control.kind is 256; at most 255"),
        (
            control(1, CONTROL_BYTES_MAX + 1),
            "overlay.control.payload has 8193 bytes",
        ),
        (
            failed(&"x".repeat(REASON_BYTES_MAX + 1)),
            "overlay.failed has 257 bytes",
        ),
        (failed("\x1b[2J"), "overlay.failed holds '\\u{1b}'"),
    ];
    for (signal, why) in cases {
        let error = refused(signal).to_string();
        assert!(error.starts_with(why), "{error:?}, wanted {why:?}");
    }
}

#[test]
fn an_offer_accompanies_a_handshake_message_and_all_else_is_separate() {
    let offer = Signal::Offer(Offer::new("udp").unwrap());
    let alone: proto::Overlay = (&offer).into();
    let misplaced = refused(alone.signal.unwrap());
    assert_eq!(misplaced.fault(), &FieldFault::Misplaced);
    let frame = proto::packet::Body::Frame(proto::Frame::default());
    for signal in [offer, Signal::Ready] {
        let packet = proto::Packet {
            body: Some(frame.clone()),
            overlay: Some((&signal).into()),
        };
        let misplaced = PacketParts::try_from(packet).unwrap_err();
        assert_eq!(misplaced.fault(), &FieldFault::Misplaced);
    }
    let nothing = PacketParts::try_from(proto::Packet::default()).unwrap_err();
    assert_eq!(nothing.to_string(), "packet.body is missing");
}

#[test]
fn the_largest_offer_fits_beside_the_largest_record() {
    let value = "x".repeat(crate::overlay::FEATURE_BYTES_MAX);
    let long = |at: usize| format!("{at:0>63}");
    let offer = (0..FEATURES_MAX).try_fold(Offer::new(long(0)).unwrap(), |offer, at| {
        offer.with(long(at), &value)
    });
    let parts = PacketParts::from(Signal::Offer(offer.unwrap()));
    let content = phalanx_core::topology::record::CONTENT_BYTES_MAX;
    assert!(parts.encoded_len() + content < FRAME_BYTES_MAX - 1024);
}
