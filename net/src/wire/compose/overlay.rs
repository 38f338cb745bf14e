//! What overlays say, to the wire.

use super::super::proto::{self, overlay};
use crate::overlay::{Control, Offer, Signal};

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
