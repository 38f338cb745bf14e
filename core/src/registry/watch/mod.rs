//! Watches: a snapshot of a set of objects, then each change of the set.

mod client;
mod message;
mod server;
mod token;

pub use client::{
    ClientConfig, ClientEvent, ClientInput, ClientOutput, WatchClient, WatchDelivery,
};
pub use message::{ResetReason, SnapshotEnd, WatchChange, WatchMessage, WatchRefusal};
pub use server::{
    BOOKMARK_INTERVAL, SCAN_MAX, WATCHES_MAX, WatchId, WatchOutput, WatchServer, WatchedState,
};
pub use token::{ResumeToken, ResumeTokenError};
