//! One packet: what the mesh says, what overlays say, or both in a greeting.

use super::error::{Fault, WireError};
use super::proto;
use crate::overlay::Signal;
use phalanx_core::gossip;
use phalanx_core::node::Message;
use phalanx_core::size::Encoded;
use prost::Message as _;

/// What one packet carries; at least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// For the machine.
    pub message: Option<Message>,
    /// For the overlay.
    pub signal: Option<Signal>,
}

impl Parts {
    /// Bytes of the packet.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Encoded::encoded_len);
        let signal = self.signal.as_ref().map_or(0, |signal| {
            let overlay = Some(signal.into());
            proto::Packet {
                body: None,
                overlay,
            }
            .encoded_len()
        });
        message + signal
    }
}

impl From<Message> for Parts {
    fn from(message: Message) -> Self {
        Self {
            message: Some(message),
            signal: None,
        }
    }
}

impl From<Signal> for Parts {
    fn from(signal: Signal) -> Self {
        Self {
            message: None,
            signal: Some(signal),
        }
    }
}

impl From<&Parts> for proto::Packet {
    fn from(parts: &Parts) -> Self {
        let message = parts.message.as_ref();
        Self {
            overlay: parts.signal.as_ref().map(Into::into),
            body: message.and_then(|message| Self::from(message).body),
        }
    }
}

impl TryFrom<proto::Packet> for Parts {
    type Error = WireError;

    fn try_from(mut packet: proto::Packet) -> Result<Self, WireError> {
        let Some(overlay) = packet.overlay.take() else {
            return Message::try_from(packet).map(Self::from);
        };
        let signal = super::parse::signal(overlay).map_err(|error| error.inside("overlay"))?;
        let message = match packet.body {
            Some(_) => Some(Message::try_from(packet)?),
            None => None,
        };
        let greets = matches!(
            message,
            Some(Message::Mesh(
                gossip::Message::Hello(_) | gossip::Message::Welcome(_)
            ))
        );
        let offers = matches!(signal, Signal::Offer(_));
        if offers != greets || message.is_some() && !greets {
            return Err(WireError::new("overlay", Fault::Misplaced));
        }
        Ok(Self {
            message,
            signal: Some(signal),
        })
    }
}
