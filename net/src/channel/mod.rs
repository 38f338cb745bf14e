//! Channels for applications: publish to all members, send to one, keep a map that every node holds.
//!
//! Start with [`MeshNode::open`](crate::transport::MeshNode::open), which returns a [`Channel`]. A channel publishes,
//! sends and writes, and is a [`Stream`](tokio_stream::Stream) of deliveries ([`Received`]). Dropping it closes the
//! channel.
//!
//! ```no_run
//! # async fn chat(node: &phalanx_net::transport::MeshNode) -> Result<(), Box<dyn std::error::Error>> {
//! use phalanx_core::channel::{Delivery, Kind, Options};
//! use phalanx_net::channel::Received;
//!
//! let channel = node.open("chat".parse()?, Options::of(Kind::Messages)).await?;
//! channel.publish("hello, all").await?;
//! channel.send("node-7".parse()?, "hello, you").await?; // returns once the message was delivered
//! while let Some(heard) = channel.recv().await {
//!     if let Received::Delivery(Delivery::Broadcast { id, payload }) = heard {
//!         println!("{}: {}", id.origin, String::from_utf8_lossy(&payload));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`PacketSocket`] sends datagrams to members by name. [`Publisher`] is a sink that waits while the links are full.
//! [`MeshNode::on_unknown_channel`](crate::transport::MeshNode::on_unknown_channel) opens channels that other members
//! create.
//!
//! Back-pressure: a message to this node counts against the `room` of the channel's options, and against
//! [`ROOM_BYTES`](phalanx_core::channel::ROOM_BYTES), until the application takes it. When the room is full, senders
//! retry for a time and then get the error that this node is busy; messages are never dropped. Untaken broadcasts and
//! changes beyond [`BROADCASTS_WAITING_MAX`] or [`BROADCAST_BYTES_WAITING_MAX`] are dropped, oldest first. The reader
//! receives the number dropped ([`Received::Lagged`]), and [`Channel::catch_up`] brings it up to date.

mod client;
mod error;
mod handle;
mod publisher;
mod routes;
mod socket;
#[cfg(test)]
mod tests;
mod unknown;

pub use client::{ChannelClient, TransactionOutcome};
pub use error::Error;
pub use handle::{Channel, Reader, Retained};
pub use phalanx_core::channel::{BROADCAST_BYTES_WAITING_MAX, BROADCASTS_WAITING_MAX, Received};
pub use publisher::Publisher;
pub use socket::{PACKET_BYTES_MAX, PacketSocket};
pub use unknown::UnknownChannel;
