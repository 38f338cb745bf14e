//! Watches: a snapshot of a set of objects, then each change of the set.

mod client;
mod message;
mod positions;
mod server;
mod token;

pub use client::{
    ClientConfig, ClientEvent, ClientInput, ClientOutput, IDLE_TIMEOUT, IDLE_TIMEOUT_MAX,
    IDLE_TIMEOUT_MIN, WatchClient, WatchDelivery,
};
pub use message::{ResetReason, SnapshotEnd, WatchChange, WatchMessage, WatchRefusal};
pub use server::{
    BOOKMARK_INTERVAL, BOOKMARK_INTERVAL_MAX, BOOKMARK_INTERVAL_MIN, SCAN_MAX, WATCHES_MAX,
    WatchId, WatchOutput, WatchRequest, WatchServer, WatchedState,
};
pub use token::{ResumeToken, ResumeTokenError};
