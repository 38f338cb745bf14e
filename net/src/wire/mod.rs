//! The wire format, and the only parser of what arrives on a link.
//!
//! [`proto`] is generated from `net/proto/mesh.proto`. A [`Message`] becomes a [`proto::Packet`] with `From`;
//! a packet becomes a message with `TryFrom`, which checks every bound a machine relies on, so that malformed
//! data never reaches one; what overlays say beside it is the other of its [`Parts`]. Whether a *well-formed* message is true or allowed is for core to judge.
//!
//! Start with [`decode`] and [`encode`]. Bounds: a packet takes at most
//! [`FRAME_BYTES_MAX`] bytes, and so do all collections in it together.

mod compose;
mod error;
mod parse;
mod parts;
#[cfg(test)]
mod tests;

/// Types and services generated from the protocol definition.
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    missing_docs,
    unused_qualifications,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("phalanx.mesh.v1");
}

pub use compose::{address_bytes, edges};
pub use error::{Fault, WireError};
pub use parse::{address, channel, kind, record, version};
pub use parts::Parts;

use phalanx_core::node::Message;
use phalanx_core::size::FRAME_BYTES_MAX;
use prost::Message as _;

/// The bytes of a message.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    proto::Packet::from(message).encode_to_vec()
}

/// The message of these bytes.
///
/// # Errors
/// When they are too many, no packet, or a packet that breaks a bound.
pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(WireError::new(
            "packet",
            Fault::TooMany {
                found: bytes.len(),
                max: FRAME_BYTES_MAX,
                what: "bytes",
            },
        ));
    }
    let packet = proto::Packet::decode(bytes)
        .map_err(|error| WireError::new("packet", Fault::Malformed(error.to_string())))?;
    Message::try_from(packet)
}
