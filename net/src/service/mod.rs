//! What can be asked of a node: `MeshService` and `ChannelService`, beside the links on the node's one port.
//!
//! Start with [`Api`], the handlers; each reads the machine through its loop and answers from one consistent
//! moment. [`Journal`] keeps what happened lately, for the status and for watchers. [`Client`] is the other end,
//! for tools. [`ChannelApi`] lets applications on the node's host use channels, in any language; nothing else here
//! changes a node.
//!
//! Who may ask: every member and administrator of the mesh may ask who a node is, whether it is well, and for its
//! view of the mesh. How it is doing inside (status, links, events) and its channels are for administrators and for the node's own
//! certificate.
//!
//! Bounds: [`SUBSCRIBERS_MAX`] subscribers; [`WATCHERS_MAX`] watchers, each of which may lag by [`WATCH_LAG_MAX`] events before it misses some and
//! is told how many; the journal keeps [`ENDED_LINKS_KEPT`] ended links and [`FAILED_DIALS_KEPT`] addresses.

mod access;
mod answer;
mod channels;
mod client;
mod events;
mod handlers;
mod journal;
#[cfg(test)]
mod tests;

pub use channels::{CHANNEL_CALL_BYTES_MAX, ChannelApi, Listing, SUBSCRIBERS_MAX, Subscription};
pub use client::{Client, ConnectError};
pub use handlers::{Api, PING_BYTES_MAX, WATCHERS_MAX, Watching};
pub use journal::{ENDED_LINKS_KEPT, FAILED_DIALS_KEPT, Journal, JournalEntry, WATCH_LAG_MAX};
pub use phalanx_core::gossip::TARGETS_MAX;
