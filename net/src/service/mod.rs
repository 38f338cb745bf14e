//! Queries to a node: `MeshService` and `ChannelService`, served beside the links on the node's
//! port.
//!
//! Start with [`Api`], the handlers; each reads the machine through its loop and replies with the
//! state of one instant. [`EventJournal`] keeps recent events, for the status and for watchers.
//! [`Client`] is the client, for tools. [`ChannelApi`] lets applications on the node's host use
//! channels, in any language; the other calls that change a node are those that edit its seed
//! addresses.
//!
//! Authorization: every member, administrator and service of the mesh may query a node's identity, its
//! health and the services of the mesh; members and administrators also its view of the mesh. Internal state (status, links, events) and channels are
//! restricted to administrators and to holders of the node's own certificate.
//!
//! Bounds: [`SUBSCRIBERS_MAX`] subscribers; [`WATCHERS_MAX`] watchers, each of which may lag by
//! [`WATCH_LAG_MAX`] events before it misses some and receives their number; [`ENDED_LINKS_KEPT`]
//! ended links and [`FAILED_DIALS_KEPT`] addresses in the journal.

pub(crate) mod access;
mod answer;
mod channels;
mod client;
mod events;
mod handlers;
mod journal;
#[cfg(test)]
mod tests;

pub use channels::{
    CHANNEL_CALL_BYTES_MAX, ChannelApi, InnerCircle, Listing, SUBSCRIBERS_MAX, Subscription,
};
pub use client::{Client, ConnectError};
pub use handlers::{Api, PING_BYTES_MAX, REQUEST_BYTES_MAX, WATCHERS_MAX, Watching};
pub use journal::{ENDED_LINKS_KEPT, EventJournal, FAILED_DIALS_KEPT, JournalEntry, WATCH_LAG_MAX};
pub use phalanx_core::gossip::SEEDS_MAX;
