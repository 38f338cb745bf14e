//! The wire format, and the only parser of bytes from links.
//!
//! [`proto`] is generated from `net/proto/mesh.proto`. A [`Message`](phalanx_core::node::Message) becomes a
//! [`proto::Packet`] with `From`; a packet becomes a message with `TryFrom`, which checks every bound that a machine
//! relies on, so that malformed data never reaches a machine. A packet has two [`PacketParts`], a message and a signal
//! of a data path, of which at least one is present. Whether a *well-formed* message is true or allowed is decided in
//! core.
//!
//! Start with [`decode`] and [`encode`]. Each message has a file of its own with its parser, its encoder and, for
//! tests, its random generator: `hello`, `welcome`, `refuse`, `goodbye`, `frame`, `channel/data`, `data_path`, `revocation`. Parts
//! that several messages share have files of their own as well. `packet` joins them.
//!
//! Bounds: a packet takes at most [`FRAME_BYTES_MAX`](phalanx_core::size::FRAME_BYTES_MAX) bytes; so do all collections
//! in it together.

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
mod revocation;
mod sync;
#[cfg(test)]
mod tests;
mod welcome;

pub use channel::name::{channel, kind, version};
pub use error::{FieldFault, WireError};
pub use field::{address, address_bytes};
pub use packet::{PacketParts, decode, encode};
pub use record::record;
pub use report::{edges, failure, failure_number};
pub use revocation::revocation;
