//! The wire format, and the only parser of what arrives on a link.
//!
//! [`proto`] is generated from `net/proto/mesh.proto`. A [`Message`](phalanx_core::node::Message) becomes a
//! [`proto::Packet`] with `From`; a packet becomes a message with `TryFrom`, which checks every bound a machine relies on,
//! so that malformed data never reaches one. A signal of a data path beside the message is the other of a packet's
//! [`Parts`]. Whether a *well-formed* message is true or allowed is for core to judge.
//!
//! Start with [`decode`] and [`encode`]. Each message has a file of its own, in which it is parsed, composed and, for
//! tests, drawn at random: `hello`, `welcome`, `refuse`, `goodbye`, `frame`, `channel/data`, `data_path`; so have the parts that several messages share. `packet` joins them.
//!
//! Bounds: a packet takes at most [`FRAME_BYTES_MAX`](phalanx_core::size::FRAME_BYTES_MAX) bytes, and so do all
//! collections in it together.

mod cell;
mod channel;
mod data_path;
mod error;
mod field;
mod frame;
mod goodbye;
mod hello;
mod packet;
#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    missing_docs,
    unused_qualifications,
    reason = "generated code"
)]
pub mod proto;
mod record;
mod refuse;
mod report;
mod sync;
#[cfg(test)]
mod tests;
mod welcome;

pub use channel::name::{channel, kind, version};
pub use error::{Fault, WireError};
pub use field::{address, address_bytes};
pub use packet::{Parts, decode, encode};
pub use record::record;
pub use report::edges;
