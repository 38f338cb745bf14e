//! Links between nodes: TCP, mutual TLS 1.3, HTTP/2, and on it one long-lived stream a link.
//!
//! Start with [`MeshNode`], which ties a machine, its loop, this transport and a store together; then `links`,
//! the life of one link. The transport carries out what core orders and reports what happened; it decides
//! nothing about the mesh. It does not judge messages: [`wire`](crate::wire) parses, core judges.
//!
//! ```text
//!  dialer: connect -> TLS -> HTTP/2 -> Link call --+                    +-> driver: Dialed
//!                                                  +-> one pump a link -+-> driver: Receive ...
//!  acceptor: accept -> TLS -> HTTP/2 -> Link call -+                    +-> driver: Closed
//! ```
//!
//! TLS is done here and HTTP/2 runs inside it, so that both ends know the other's certificate before the first
//! request, and every service on the port finds its [`Caller`] in the request's extensions.
//!
//! Bounds: [`Limits`]. A raw connection over a limit is dropped at once; core's own limiter, which answers with
//! other members to try, comes before that for nodes that behave.

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

use crate::identity::iso_8601;
use phalanx_core::channel;
use phalanx_core::gossip;
use phalanx_core::gossip::LinkId;
use phalanx_core::gossip::message::FRAME_BYTES_MAX;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Wall;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The most bytes of one message on a link; the codec's check, before anything is parsed.
pub const LINK_MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// The most bytes of one message of any other call.
pub const CALL_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Bounds of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections that others who proved who they are have to us at one time.
    pub connections: usize,
    /// Connections accepted at once from one source; after that one each `accept_interval`.
    pub accept_burst: u32,
    /// See `accept_burst`.
    pub accept_interval: Duration,
    /// The most TLS handshakes that run at one time; one more ends the oldest of the source that has the most.
    pub handshakes: usize,
    /// The most of them with one source: an IPv4 address or an IPv6 network; one more ends its oldest.
    pub handshakes_from_one: usize,
    /// A TLS handshake that takes longer is broken off.
    pub handshake_timeout: Duration,
    /// The most streams on one connection.
    pub streams: u32,
    /// What may wait to go out on one link.
    pub queue: QueueLimits,
    /// How long a closed link may take to send what it still has to.
    pub close_grace: Duration,
    /// How long a node that ends waits for its connections.
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
    /// Of the mesh.
    Mesh(gossip::Event),
    /// Of the channels.
    Channel(channel::Event),
    /// Other ways lead to some members; told in intervals, once somebody asked for it
    /// ([`MeshNode::watch_routes`]).
    RoutesChanged,
    /// Of the transport.
    Transport(Event),
}

/// Something that happened in the transport. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection was dropped before anything was said.
    ConnectionDropped {
        /// Who connected.
        remote: SocketAddr,
        /// Over which limit.
        limit: Limit,
    },
    /// The TLS handshake with somebody who connected failed.
    HandshakeFailed {
        /// Who connected.
        remote: SocketAddr,
        /// Why.
        reason: String,
    },
    /// So many more connections were dropped or failed to shake hands, in a flood of which each was not told.
    MoreTurnedAway {
        /// How many.
        count: u64,
    },
    /// Somebody who may not have a link asked for one.
    LinkDenied {
        /// Who connected.
        remote: SocketAddr,
        /// Why it may not.
        reason: String,
    },
    /// A peer sent what is no message; its link is closed.
    Malformed {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// What is wrong with it.
        reason: String,
    },
    /// A link is opened that is authenticated and not encrypted: both ends trust the other's subnet.
    Unencrypted {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Where the peer is.
        remote: SocketAddr,
    },
    /// The data path beside a link works, say both ends.
    DataPathUp {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
    },
    /// The data path beside a link failed, or one that worked ended with its link.
    DataPathDown {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Why.
        reason: String,
    },
    /// The two ends of a link have no overlay in common: it has no data path.
    DataPathUnfit {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Why.
        reason: String,
    },
    /// The port gave no connection; it is tried again.
    AcceptFailed {
        /// Why.
        reason: String,
    },
    /// A new certificate could not be obtained; the request is retried.
    RenewalFailed {
        /// The reason.
        reason: String,
        /// The number of failures in sequence.
        failures: u32,
    },
    /// This machine's calendar was set.
    CalendarStepped {
        /// The time that was expected.
        expected: Wall,
        /// The time that was read.
        found: Wall,
    },
    /// The epoch could not be stored; it is tried again.
    StoreFailed {
        /// Why.
        reason: String,
    },
}

/// A limit of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Too many connections.
    Connections,
    /// Too many connections a second.
    Rate,
    /// Too many handshakes at one time.
    Handshakes,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "too many connections",
            Self::Rate => "too many connections a second",
            Self::Handshakes => "too many handshakes at one time",
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
                write!(f, "{count} more connections were turned away before this")
            }
            Self::LinkDenied { remote, reason } => {
                write!(f, "{remote} asked for a link and got none: {reason}")
            }
            Self::Malformed { peer, link, reason } => {
                write!(
                    f,
                    "{peer} sent what is no message on link {}: {reason}",
                    link.0
                )
            }
            Self::Unencrypted { peer, link, remote } => write!(
                f,
                "link {} to {peer} at {remote} is unencrypted: both ends trust the network between them",
                link.0
            ),
            Self::DataPathUp { peer, .. } => write!(f, "the data path to {peer} works"),
            Self::DataPathDown { peer, reason, .. } => {
                write!(f, "the data path to {peer} is over: {reason}")
            }
            Self::DataPathUnfit { peer, reason, .. } => {
                write!(f, "no data path to {peer}: {reason}")
            }
            Self::AcceptFailed { reason } => write!(f, "no connection can be accepted: {reason}"),
            Self::RenewalFailed { reason, failures } => write!(
                f,
                "no new certificate was obtained ({failures} attempts): {reason}"
            ),
            Self::CalendarStepped { expected, found } => write!(
                f,
                "this machine's clock was set from {} to {}",
                iso_8601(*expected),
                iso_8601(*found)
            ),
            Self::StoreFailed { reason } => write!(f, "the epoch was not stored: {reason}"),
        }
    }
}

/// What went over all links, counted in encoded messages, without TLS, HTTP/2 and TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages handed to links.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages that arrived.
    pub messages_received: u64,
    /// Their bytes.
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
