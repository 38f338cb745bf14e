//! What overlays say, from the wire.

use super::super::error::{Fault, WireError};
use super::super::proto::{self, overlay};
use super::{Parsed, at_most, required};
use crate::overlay::{CONTROL_BYTES_MAX, Control, Offer, REASON_BYTES_MAX, Signal};
use phalanx_core::identity::only_shows;

fn offer(wire: proto::Offer) -> Parsed<Offer> {
    let broken = |error| WireError::new("offer", Fault::Offer(error));
    let bare = Offer::new(wire.name).map_err(broken)?;
    let mut features = wire.features.into_iter();
    // Stops at the first that is too much: what is too long is not taken in.
    let whole = features.try_fold(bare, |offer, entry| offer.with(entry.key, entry.value));
    whole.map_err(broken)
}

fn control(wire: proto::Control) -> Parsed<Control> {
    let kind = u8::try_from(wire.kind)
        .map_err(|_| WireError::new("control.kind", Fault::TooHigh(wire.kind, u8::MAX.into())))?;
    let bytes = wire.payload.len();
    at_most("control.payload", bytes, CONTROL_BYTES_MAX, "bytes")?;
    let payload = wire.payload.into();
    Ok(Control { kind, payload })
}

fn failed(reason: String) -> Parsed<String> {
    at_most("failed", reason.len(), REASON_BYTES_MAX, "bytes")?;
    match reason.chars().find(|it| !only_shows(*it)) {
        Some(character) => Err(WireError::new("failed", Fault::Character(character))),
        None => Ok(reason),
    }
}

/// What an overlay says.
pub(in crate::wire) fn signal(wire: proto::Overlay) -> Parsed<Signal> {
    Ok(match required("signal", wire.signal)? {
        overlay::Signal::Offer(wire) => Signal::Offer(offer(wire)?),
        overlay::Signal::Ready(proto::Ready {}) => Signal::Ready,
        overlay::Signal::Control(wire) => Signal::Control(control(wire)?),
        overlay::Signal::Taken(count) => Signal::Credit(count),
        overlay::Signal::Established(proto::Established {}) => Signal::Established,
        overlay::Signal::Failed(reason) => Signal::Failed(failed(reason)?),
    })
}
