//! Metrics and health of a daemon for monitoring systems, over plain HTTP.
//!
//! [`MetricsListener`] serves three paths at an address of its own:
//!
//! - `/metrics`: the state of the node and of its registry, in the text format of OpenMetrics 1.0.
//! - `/healthz`: 200 if the loop of the node answers within [`ANSWER_MAX`], else 503.
//! - `/readyz`: 200 if the node is a member and its registry accepts writes, else 503 with the reason.
//!
//! The paths need no certificate and change nothing. Each request reads the state of one instant; nothing is computed
//! between requests, and an idle daemon is not woken.
//!
//! Bounds: [`CONNECTIONS_MAX`] connections, each for at most [`CONNECTION_MAX`] and one request.

mod listener;
mod node;
mod page;
mod registry;

pub use listener::{
    ANSWER_MAX, CONNECTION_MAX, CONNECTIONS_MAX, MetricsListener, MetricsListenerError,
};
