//! What can be asked of a node: `MeshService`, beside the links on the node's one port.
//!
//! Start with [`Api`], the handlers; each reads the machine through its loop and answers from one consistent
//! moment. [`Journal`] keeps what happened lately, for the status and for watchers. [`Client`] is the other end,
//! for tools. Nothing here changes a node.
//!
//! Who may ask: every member and administrator of the mesh may ask who a node is, whether it is well, and for its
//! view of the mesh. How it is doing inside (status, links, events) is for administrators and for the node's own
//! certificate.
//!
//! Bounds: [`WATCHERS_MAX`] watchers, each of which may lag by [`WATCH_LAG_MAX`] events before it misses some and
//! is told how many; the journal keeps [`ENDED_LINKS_KEPT`] ended links and [`FAILED_DIALS_KEPT`] addresses.

mod answer;
mod client;
mod handlers;
mod journal;
#[cfg(test)]
mod tests;

pub use client::{Client, ConnectError};
pub use handlers::{Api, PING_BYTES_MAX, WATCHERS_MAX, Watching};
pub use journal::{ENDED_LINKS_KEPT, FAILED_DIALS_KEPT, Journal, Occurrence, WATCH_LAG_MAX};
