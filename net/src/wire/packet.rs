//! Packets: a message of the mesh or about channels, a signal of a data path, or both in a handshake.

use super::channel::data;
use super::error::{FieldFault, WireError};
use super::field::required;
use super::proto::{self, packet};
use super::{data_path, frame, goodbye, hello, refuse, revocation, welcome};
use phalanx_core::data_path::Signal;
use phalanx_core::gossip::Message as Mesh;
use phalanx_core::node::Message;
use phalanx_core::size::{Encoded, FRAME_BYTES_MAX};
use prost::Message as _;

/// Encodes a message.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    proto::Packet::from(message).encode_to_vec()
}

/// Decodes a message.
///
/// # Errors
/// If there are too many bytes, or they are not a packet within the bounds.
pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(WireError::new(
            "packet",
            FieldFault::TooMany {
                found: bytes.len(),
                max: FRAME_BYTES_MAX,
                what: "bytes",
            },
        ));
    }
    let packet = proto::Packet::decode(bytes)
        .map_err(|error| WireError::new("packet", FieldFault::Malformed(error.to_string())))?;
    Message::try_from(packet)
}

impl TryFrom<proto::Packet> for Message {
    type Error = WireError;

    fn try_from(packet: proto::Packet) -> Result<Self, WireError> {
        let inside = |name: &'static str| move |error: WireError| error.inside(name);
        let message = match required("packet.body", packet.body)? {
            packet::Body::Hello(wire) => Mesh::Hello(hello::parse(wire).map_err(inside("hello"))?),
            packet::Body::Welcome(wire) => {
                Mesh::Welcome(welcome::parse(wire).map_err(inside("welcome"))?)
            }
            packet::Body::Refuse(wire) => {
                Mesh::Refuse(refuse::parse(wire).map_err(inside("refuse"))?)
            }
            packet::Body::Goodbye(wire) => {
                Mesh::Goodbye(goodbye::parse(wire).map_err(inside("goodbye"))?)
            }
            packet::Body::Frame(wire) => Mesh::Frame(frame::parse(wire).map_err(inside("frame"))?),
            packet::Body::Data(wire) => {
                let data = data::parse(wire).map_err(inside("data"))?;
                return Ok(Self::Channel(data));
            }
            packet::Body::Revocation(wire) => {
                let message = revocation::parse(wire).map_err(inside("revocation"))?;
                return Ok(Self::Revocation(message));
            }
        };
        Ok(Self::Mesh(message))
    }
}

impl From<&Mesh> for packet::Body {
    fn from(message: &Mesh) -> Self {
        match message {
            Mesh::Hello(hello) => Self::Hello(hello.into()),
            Mesh::Welcome(welcome) => Self::Welcome(welcome.into()),
            Mesh::Refuse(refusal) => Self::Refuse(refusal.into()),
            Mesh::Goodbye(goodbye) => Self::Goodbye((*goodbye).into()),
            Mesh::Frame(frame) => Self::Frame(frame.into()),
        }
    }
}

impl From<&Message> for proto::Packet {
    fn from(message: &Message) -> Self {
        let body = match message {
            Message::Mesh(message) => message.into(),
            Message::Channel(data) => packet::Body::Data(data.into()),
            Message::Revocation(message) => packet::Body::Revocation(message.into()),
        };
        Self {
            body: Some(body),
            overlay: None,
        }
    }
}

/// The content of one packet. At least one of the two parts is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketParts {
    /// A message for the machine.
    pub message: Option<Message>,
    /// A signal of the data path.
    pub signal: Option<Signal>,
}

impl PacketParts {
    /// Returns the encoded size of the packet, in bytes.
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

impl From<Message> for PacketParts {
    fn from(message: Message) -> Self {
        Self {
            message: Some(message),
            signal: None,
        }
    }
}

impl From<Signal> for PacketParts {
    fn from(signal: Signal) -> Self {
        Self {
            message: None,
            signal: Some(signal),
        }
    }
}

impl From<&PacketParts> for proto::Packet {
    fn from(parts: &PacketParts) -> Self {
        let message = parts.message.as_ref();
        Self {
            overlay: parts.signal.as_ref().map(Into::into),
            body: message.and_then(|message| Self::from(message).body),
        }
    }
}

impl TryFrom<proto::Packet> for PacketParts {
    type Error = WireError;

    fn try_from(mut packet: proto::Packet) -> Result<Self, WireError> {
        let Some(overlay) = packet.overlay.take() else {
            return Message::try_from(packet).map(Self::from);
        };
        let signal = data_path::parse(overlay).map_err(|error| error.inside("overlay"))?;
        let message = match packet.body {
            Some(_) => Some(Message::try_from(packet)?),
            None => None,
        };
        let greets = matches!(
            message,
            Some(Message::Mesh(Mesh::Hello(_) | Mesh::Welcome(_)))
        );
        let offers = matches!(signal, Signal::Offer(_));
        if offers != greets || message.is_some() && !greets {
            return Err(WireError::new("overlay", FieldFault::Misplaced));
        }
        Ok(Self {
            message,
            signal: Some(signal),
        })
    }
}

/// Any message and packet.
#[cfg(test)]
pub(super) mod arbitrary {
    use crate::wire::channel::data::arbitrary::data;
    use crate::wire::data_path::arbitrary::{offer, signal};
    use crate::wire::frame::arbitrary::frame;
    use crate::wire::goodbye::arbitrary::goodbye;
    use crate::wire::hello::arbitrary::hello;
    use crate::wire::packet::PacketParts;
    use crate::wire::refuse::arbitrary::refusal;
    use crate::wire::revocation::arbitrary::about_revocations;
    use crate::wire::welcome::arbitrary::welcome;
    use phalanx_core::data_path::Signal;
    use phalanx_core::gossip::Message as Mesh;
    use phalanx_core::node::Message;
    use proptest::prelude::*;

    pub(crate) fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            hello().prop_map(|hello| Message::Mesh(Mesh::Hello(hello))),
            welcome().prop_map(|welcome| Message::Mesh(Mesh::Welcome(welcome))),
            refusal().prop_map(|refusal| Message::Mesh(Mesh::Refuse(refusal))),
            goodbye().prop_map(|goodbye| Message::Mesh(Mesh::Goodbye(goodbye))),
            frame().prop_map(|frame| Message::Mesh(Mesh::Frame(frame))),
            data().prop_map(Message::Channel),
            about_revocations().prop_map(Message::Revocation),
        ]
    }

    /// Any packet that has a signal.
    pub(crate) fn parts() -> impl Strategy<Value = PacketParts> {
        let handshake = prop_oneof![
            hello().prop_map(|hello| Message::Mesh(Mesh::Hello(hello))),
            welcome().prop_map(|welcome| Message::Mesh(Mesh::Welcome(welcome))),
        ];
        prop_oneof![
            signal().prop_map(PacketParts::from),
            (handshake, offer()).prop_map(|(message, offer)| PacketParts {
                message: Some(message),
                signal: Some(Signal::Offer(offer)),
            }),
        ]
    }
}
