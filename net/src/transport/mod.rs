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
mod attempts;
mod complaints;
mod connection;
mod credentials;
mod dial;
mod expiry;
mod failure;
mod handshakes;
mod links;
mod network;
mod node;
mod performer;
mod queue;
mod renewal;
mod service;
mod subnets;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod wishes;

pub use connection::Caller;
pub use dial::Call;
pub(crate) use links::Outgoing;
pub use network::{Listener, Network, Tcp};
pub use node::{Bound, MeshNode, Settings, StartError};
pub use performer::Observer;
pub use queue::QueueLimits;
pub use subnets::{Subnet, SubnetError, TRUSTED_SUBNETS_MAX, TooManySubnets, TrustedSubnets};
pub use tasks::Tasks;
pub use wishes::{WishError, WishedLink};

use phalanx_core::channel;
use phalanx_core::gossip;
use phalanx_core::gossip::LinkId;
use phalanx_core::gossip::message::FRAME_BYTES_MAX;
use phalanx_core::identity::NodeId;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Maximum size of one message on a link in bytes; checked by the codec before parsing.
pub const LINK_MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Maximum size of one message of any other call, in bytes.
pub const CALL_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Limits of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of simultaneous authenticated connections accepted by this node.
    pub connections: usize,
    /// Number of connections accepted at once from one source; after that, one per
    /// `accept_interval`.
    pub accept_burst: u32,
    /// See `accept_burst`.
    pub accept_interval: Duration,
    /// Maximum number of simultaneous TLS handshakes; one more evicts the oldest of the source that
    /// has the most.
    pub handshakes: usize,
    /// Maximum number of simultaneous handshakes with one source (an IPv4 address or an IPv6
    /// network); one more evicts the oldest of this source.
    pub handshakes_from_one: usize,
    /// Maximum duration of a TLS handshake.
    pub handshake_timeout: Duration,
    /// Maximum number of streams on one connection.
    pub streams: u32,
    /// Limits of the queue of one link.
    pub queue: QueueLimits,
    /// Maximum time for a closed link to send its waiting messages.
    pub close_grace: Duration,
    /// Maximum time that a node which ends waits for its connections.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            accept_burst: 200,
            accept_interval: Duration::from_millis(5),
            handshakes: 256,
            handshakes_from_one: 96,
            handshake_timeout: Duration::from_secs(5),
            streams: 256,
            queue: QueueLimits::default(),
            close_grace: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

/// A fact for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An event of the mesh.
    Mesh(gossip::Event),
    /// An event of the channels.
    Channel(channel::Event),
    /// The routes to some members changed. Reported at intervals, once a subscriber has asked for
    /// it ([`MeshNode::watch_routes`]).
    RoutesChanged,
    /// An event of the transport.
    Transport(Event),
}

/// An event of the transport. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was dropped before any byte was exchanged.
    ConnectionDropped {
        /// The remote address.
        remote: SocketAddr,
        /// The limit that was exceeded.
        limit: Limit,
    },
    /// The TLS handshake of an accepted connection failed.
    HandshakeFailed {
        /// The remote address.
        remote: SocketAddr,
        /// The reason.
        reason: String,
    },
    /// Further connections were dropped or failed their handshake, during a flood of which not
    /// every event was reported.
    MoreTurnedAway {
        /// The number of connections.
        count: u64,
    },
    /// A caller that may not have a link requested one.
    LinkDenied {
        /// The remote address.
        remote: SocketAddr,
        /// The reason for the rejection.
        reason: String,
    },
    /// A peer sent an invalid message; its link is closed.
    Malformed {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The error.
        reason: String,
    },
    /// A link that is authenticated but not encrypted was opened: each end trusts the subnet of the
    /// other.
    Unencrypted {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The peer's address.
        remote: SocketAddr,
    },
    /// The data path beside a link is established at both ends.
    DataPathUp {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
    },
    /// The data path beside a link failed, or an established one ended with its link.
    DataPathDown {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: String,
    },
    /// The two ends of a link have no overlay in common, so it has no data path.
    DataPathUnfit {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: String,
    },
    /// The port returned an error instead of a connection; accepting is retried.
    AcceptFailed {
        /// The error.
        reason: String,
    },
    /// The epoch could not be stored; storing is retried.
    StoreFailed {
        /// The error.
        reason: String,
    },
}

/// A limit of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Too many connections.
    Connections,
    /// Too many connections per second.
    Rate,
    /// Too many simultaneous handshakes.
    Handshakes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "too many connections",
            Self::Rate => "too many connections per second",
            Self::Handshakes => "too many simultaneous handshakes",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionDropped { remote, limit } => {
                write!(f, "a connection from {remote} was dropped: {limit}")
            }
            Self::HandshakeFailed { remote, reason } => {
                write!(f, "the handshake with {remote} failed: {reason}")
            }
            Self::MoreTurnedAway { count } => {
                write!(f, "{count} more connections were rejected before this")
            }
            Self::LinkDenied { remote, reason } => {
                write!(f, "the link requested by {remote} was rejected: {reason}")
            }
            Self::Malformed { peer, link, reason } => {
                write!(
                    f,
                    "{peer} sent an invalid message on link {}: {reason}",
                    link.0
                )
            }
            Self::Unencrypted { peer, link, remote } => write!(
                f,
                "link {} to {peer} at {remote} is unencrypted: both ends trust the network between them",
                link.0
            ),
            Self::DataPathUp { peer, .. } => write!(f, "the data path to {peer} is established"),
            Self::DataPathDown { peer, reason, .. } => {
                write!(f, "the data path to {peer} ended: {reason}")
            }
            Self::DataPathUnfit { peer, reason, .. } => {
                write!(f, "no data path to {peer}: {reason}")
            }
            Self::AcceptFailed { reason } => write!(f, "cannot accept connections: {reason}"),
            Self::StoreFailed { reason } => write!(f, "cannot store the epoch: {reason}"),
        }
    }
}

/// Traffic on all links, counted in encoded messages, without the overhead of TLS, HTTP/2 and TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of messages sent.
    pub messages_sent: u64,
    /// Bytes of the messages sent.
    pub bytes_sent: u64,
    /// Number of messages received.
    pub messages_received: u64,
    /// Bytes of the messages received.
    pub bytes_received: u64,
}

/// Counts [`Traffic`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    inner: Arc<CounterValues>,
}

#[derive(Debug, Default)]
struct CounterValues {
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
}

impl Counters {
    fn sent(&self, bytes: usize) {
        self.inner.messages_sent.fetch_add(1, Ordering::Relaxed);
        self.inner
            .bytes_sent
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn received(&self, bytes: usize) {
        self.inner.messages_received.fetch_add(1, Ordering::Relaxed);
        self.inner
            .bytes_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Traffic {
        Traffic {
            messages_sent: self.inner.messages_sent.load(Ordering::Relaxed),
            bytes_sent: self.inner.bytes_sent.load(Ordering::Relaxed),
            messages_received: self.inner.messages_received.load(Ordering::Relaxed),
            bytes_received: self.inner.bytes_received.load(Ordering::Relaxed),
        }
    }
}
