//! Links between nodes: TCP, mutual TLS 1.3, HTTP/2, and one long-lived stream per link.
//!
//! Start with [`MeshNode`], which combines a machine, its loop, this transport and a store; then
//! `links`, the life cycle of one link. The transport executes the orders of core and reports
//! events; it decides nothing about the mesh. It does not interpret messages: [`wire`](crate::wire)
//! parses them, core judges them.
//!
//! ```text
//!  dialer: connect -> TLS -> HTTP/2 -> Link call --+                       +-> driver: Dialed
//!                                                  +-> one task per link -+-> driver: Receive ...
//!  acceptor: accept -> TLS -> HTTP/2 -> Link call -+                       +-> driver: Closed
//! ```
//!
//! TLS is handled here and HTTP/2 runs inside it, so that both ends know the other's certificate
//! before the first request, and every service on the port finds its [`Caller`] in the extensions
//! of the request.
//!
//! Bounds: [`Limits`]. A raw connection above a limit is dropped immediately. For well-behaved
//! nodes, core's own limiter, which refers them to other members, takes effect first.

mod accept;
mod advertised;
mod attempts;
mod calls;
mod connection;
mod credentials;
mod dial;
mod dials;
mod executor;
mod expiry;
mod failure;
mod handshakes;
pub(crate) mod lifetime;
mod limits;
mod link_requests;
mod links;
mod network;
mod node;
pub(crate) mod queue;
mod renewal;
mod requested_link;
mod revocation_gate;
mod revocations;
mod service;
mod store_orders;
mod subnets;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod traffic;

pub use crate::link::{Limit, Notice, TransportEvent};
pub use advertised::{AdvertiseError, advertised_address};
pub use attempts::CallError;
pub(crate) use calls::{CallGate, LocalPeer};
pub use connection::Caller;
pub use dial::Call;
pub use executor::Observer;
pub use limits::{CALL_MESSAGE_BYTES_MAX, LINK_MESSAGE_BYTES_MAX, Limits};
pub use link_requests::LinkRequestError;
pub use network::{Listener, Network, Tcp};
pub use node::{BoundPort, MeshNode, Settings, StartError};
pub use phalanx_core::backlog::QueueLimits;
pub use requested_link::RequestedLink;
pub use revocations::RevokeError;
pub use subnets::{Subnet, SubnetError, TRUSTED_SUBNETS_MAX, TooManySubnets, TrustedSubnets};
pub use tasks::Tasks;
pub use traffic::Traffic;
