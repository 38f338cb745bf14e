//! Signals of data paths, sent beside a message of the mesh or alone.

use super::error::{FieldFault, WireError};
use super::field::{Parsed, at_most, required};
use super::proto::{self, overlay};
use phalanx_core::data_path::{CONTROL_BYTES_MAX, Control, Offer, REASON_BYTES_MAX, Signal};
use phalanx_core::identity::only_shows;

fn offer(wire: proto::Offer) -> Parsed<Offer> {
    let broken = |error| WireError::new("offer", FieldFault::Offer(error));
    let bare = Offer::new(wire.name).map_err(broken)?;
    let mut features = wire.features.into_iter();
    // Parsing stops at the first feature beyond the bounds, so that an oversized offer is not built in memory.
    let whole = features.try_fold(bare, |offer, entry| offer.with(entry.key, entry.value));
    whole.map_err(broken)
}

fn control(wire: proto::Control) -> Parsed<Control> {
    let kind = u8::try_from(wire.kind).map_err(|_| {
        WireError::new(
            "control.kind",
            FieldFault::TooHigh(wire.kind, u8::MAX.into()),
        )
    })?;
    let bytes = wire.payload.len();
    at_most("control.payload", bytes, CONTROL_BYTES_MAX, "bytes")?;
    let payload = wire.payload.into();
    Ok(Control { kind, payload })
}

fn failed(reason: String) -> Parsed<String> {
    at_most("failed", reason.len(), REASON_BYTES_MAX, "bytes")?;
    match reason.chars().find(|it| !only_shows(*it)) {
        Some(character) => Err(WireError::new("failed", FieldFault::Character(character))),
        None => Ok(reason),
    }
}

pub(super) fn parse(wire: proto::Overlay) -> Parsed<Signal> {
    Ok(match required("signal", wire.signal)? {
        overlay::Signal::Offer(wire) => Signal::Offer(offer(wire)?),
        overlay::Signal::Ready(proto::Ready {}) => Signal::Ready,
        overlay::Signal::Control(wire) => Signal::Control(control(wire)?),
        overlay::Signal::Taken(count) => Signal::Credit(count),
        overlay::Signal::Established(proto::Established {}) => Signal::Established,
        overlay::Signal::Failed(reason) => Signal::Failed(failed(reason)?),
    })
}

impl From<&Offer> for proto::Offer {
    fn from(offer: &Offer) -> Self {
        let entry = |(key, value): (&String, &String)| proto::Entry {
            key: key.clone(),
            value: value.clone(),
        };
        Self {
            name: offer.name().to_owned(),
            features: offer.features().iter().map(entry).collect(),
        }
    }
}

impl From<&Signal> for proto::Overlay {
    fn from(signal: &Signal) -> Self {
        let signal = match signal {
            Signal::Offer(offer) => overlay::Signal::Offer(offer.into()),
            Signal::Ready => overlay::Signal::Ready(proto::Ready {}),
            Signal::Control(Control { kind, payload }) => {
                overlay::Signal::Control(proto::Control {
                    kind: u32::from(*kind),
                    payload: payload.to_vec(),
                })
            }
            Signal::Credit(count) => overlay::Signal::Taken(*count),
            Signal::Established => overlay::Signal::Established(proto::Established {}),
            Signal::Failed(reason) => overlay::Signal::Failed(reason.clone()),
        };
        Self {
            signal: Some(signal),
        }
    }
}

/// Any signal and offer.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::field::arbitrary::shown;
    use phalanx_core::data_path::FEATURES_MAX;
    use phalanx_core::data_path::{Control, Offer, Signal};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    pub(crate) fn offer() -> impl Strategy<Value = Offer> {
        let features = btree_map("[a-z][a-z0-9]{0,6}", shown(".{0,30}"), 0..=FEATURES_MAX);
        ("[a-z]{1,8}", features).prop_map(|(name, features)| {
            let features = features.into_iter();
            let bare = Offer::new(name).unwrap();
            features.fold(bare, |offer, (key, value)| offer.with(key, value).unwrap())
        })
    }

    /// Any signal except an offer.
    pub(crate) fn signal() -> impl Strategy<Value = Signal> {
        let payload = vec(any::<u8>(), 0..200);
        prop_oneof![
            Just(Signal::Ready),
            (any::<u8>(), payload).prop_map(|(kind, payload)| {
                let payload = payload.into();
                Signal::Control(Control { kind, payload })
            }),
            any::<u32>().prop_map(Signal::Credit),
            Just(Signal::Established),
            "[ -~]{0,80}".prop_map(Signal::Failed),
        ]
    }
}
