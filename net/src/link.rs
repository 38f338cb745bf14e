//! The interface between the transport and the parts beside it: events, and the sending end of a link.

use crate::identity::iso_8601;
use crate::transport::queue::Queue;
use crate::transport::traffic::Counters;
use crate::wire::PacketParts;
use phalanx_core::channel;
use phalanx_core::data_path::Signal;
use phalanx_core::gossip;
use phalanx_core::identity::NodeId;
use phalanx_core::link::LinkId;
use phalanx_core::reports::{ReportSource, ReportSummary};
use phalanx_core::revocation;
use phalanx_core::time::Wall;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The sending end of one link for the signals of its data path.
pub(crate) struct Outgoing {
    queue: Arc<Queue>,
    counters: Counters,
}

impl Outgoing {
    /// The sending end of the link with this queue; its messages are counted.
    pub(crate) const fn new(queue: Arc<Queue>, counters: Counters) -> Self {
        Self { queue, counters }
    }

    /// Sends a signal. On a link that is gone nothing happens.
    pub(crate) fn send_signal(&self, signal: Signal) {
        let parts = PacketParts::from(signal);
        self.counters.sent(parts.encoded_len());
        self.queue.push(parts);
    }

    /// Ends the link after the messages that wait on it.
    pub(crate) fn give_up(&self) {
        self.queue.give_up();
    }
}

/// A fact for people, from any part of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An event of the mesh.
    Mesh(gossip::Event),
    /// An event of the channels.
    Channel(channel::Event),
    /// The routes to some members changed. Sent once an interval, after a subscription to it
    /// ([`MeshNode::watch_routes`](crate::transport::MeshNode::watch_routes)).
    RoutesChanged,
    /// An event of the revocations.
    Revocation(revocation::Event),
    /// An event of the transport.
    Transport(TransportEvent),
}

/// An event of the transport. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// An incoming connection was dropped before its handshake.
    ConnectionDropped {
        /// The address of the other end.
        remote: SocketAddr,
        /// The limit that was exceeded.
        limit: Limit,
    },
    /// The TLS handshake of an incoming connection failed.
    HandshakeFailed {
        /// The address of the other end.
        remote: SocketAddr,
        /// The reason.
        reason: String,
        /// Whether the peer presented a certificate that is not trusted; otherwise it broke off or spoke another
        /// protocol.
        untrusted: bool,
    },
    /// Further events of one kind occurred, without a notice for each.
    Suppressed {
        /// Their number and some sources.
        summary: ReportSummary,
    },
    /// A caller that may not have a link asked for one.
    LinkDenied {
        /// The address of the other end.
        remote: SocketAddr,
        /// The reason.
        reason: String,
    },
    /// A peer sent a packet that is not a valid message; its link is closed.
    Malformed {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The fault of the packet.
        reason: String,
    },
    /// A peer refused a message of this node, and closed the link.
    MessageRefused {
        /// The peer.
        peer: NodeId,
        /// The reason, in the peer's words.
        reason: String,
    },
    /// A link is opened that is authenticated and not encrypted: both ends trust the other's subnet.
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
    /// The two ends of a link have no overlay in common: it has no data path.
    DataPathUnfit {
        /// The peer.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: String,
    },
    /// No connection could be accepted from the port. Accepting is retried.
    AcceptFailed {
        /// The reason.
        reason: String,
    },
    /// A new certificate could not be obtained. The request is retried.
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
    /// The epoch could not be stored. The machine orders it again.
    StoreFailed {
        /// The reason.
        reason: String,
    },
    /// This node's own certificate is not valid any more: no other node accepts it.
    CertificateExpired {
        /// The last second of its validity.
        not_after: Wall,
    },
    /// A neighbour sent a revocation whose signature is not valid. The revocation is dropped.
    RevocationUnverified {
        /// The neighbour.
        peer: NodeId,
        /// The reason.
        reason: String,
    },
    /// This node's own certificate is revoked: no other node accepts it.
    OwnCertificateRevoked,
    /// A task that the node needs ended or panicked; the node ends.
    TaskEnded {
        /// The name of the task.
        task: &'static str,
    },
}

impl Notice {
    /// The kind of the event, as logs and watchers name it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Mesh(event) => event.word(),
            Self::Channel(event) => event.word(),
            Self::Revocation(event) => event.word(),
            Self::RoutesChanged => "routes-changed",
            Self::Transport(event) => event.kind(),
        }
    }

    /// The kind by which reports are limited: failed handshakes of peers with a certificate are separate from those of
    /// other connections.
    pub(crate) const fn report_kind(&self) -> &'static str {
        match self {
            Self::Transport(TransportEvent::HandshakeFailed {
                untrusted: true, ..
            }) => "handshake-untrusted",
            Self::Mesh(_)
            | Self::Channel(_)
            | Self::Revocation(_)
            | Self::RoutesChanged
            | Self::Transport(_) => self.kind(),
        }
    }

    /// The cause of the event.
    pub(crate) fn source(&self) -> ReportSource {
        let member = |id: Option<&NodeId>| {
            id.cloned()
                .map_or(ReportSource::Unknown, ReportSource::Member)
        };
        match self {
            Self::Mesh(
                gossip::Event::DialFailed { address, .. } | gossip::Event::DialedMyself { address },
            ) => ReportSource::Address(address.clone()),
            Self::Mesh(event) => member(event.subject()),
            Self::Channel(event) => member(event.subject()),
            Self::Revocation(event) => member(event.subject()),
            Self::RoutesChanged => ReportSource::Unknown,
            Self::Transport(event) => match event.host() {
                Some(host) => ReportSource::Host(host.ip().to_canonical()),
                None => member(event.peer()),
            },
        }
    }

    /// Whether another machine can cause the event in any number.
    pub(crate) const fn is_limited(&self) -> bool {
        match self {
            Self::Mesh(event) => matches!(
                event,
                gossip::Event::Rejected { .. }
                    | gossip::Event::VersionRefused { .. }
                    | gossip::Event::Refuted { .. }
                    | gossip::Event::WrongPeer { .. }
                    | gossip::Event::LinkUp { .. }
                    | gossip::Event::LinkDown { .. }
            ),
            Self::Channel(event) => !matches!(event, channel::Event::Learnt { .. }),
            Self::Revocation(_) => true,
            Self::RoutesChanged => false,
            Self::Transport(event) => !matches!(
                event,
                TransportEvent::Suppressed { .. }
                    | TransportEvent::RenewalFailed { .. }
                    | TransportEvent::CalendarStepped { .. }
                    | TransportEvent::CertificateExpired { .. }
                    | TransportEvent::OwnCertificateRevoked
                    | TransportEvent::TaskEnded { .. }
            ),
        }
    }
}

impl TransportEvent {
    /// The kind of the event, as logs and watchers name it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConnectionDropped { .. } => "connection-dropped",
            Self::HandshakeFailed { .. } => "handshake-failed",
            Self::Suppressed { .. } => "events-suppressed",
            Self::LinkDenied { .. } => "link-denied",
            Self::Malformed { .. } => "malformed",
            Self::MessageRefused { .. } => "message-refused",
            Self::Unencrypted { .. } => "link-unencrypted",
            Self::DataPathUp { .. } => "data-path-up",
            Self::DataPathDown { .. } => "data-path-down",
            Self::DataPathUnfit { .. } => "data-path-unfit",
            Self::AcceptFailed { .. } => "accept-failed",
            Self::RenewalFailed { .. } => "renewal-failed",
            Self::CalendarStepped { .. } => "clock-set",
            Self::StoreFailed { .. } => "store-failed",
            Self::CertificateExpired { .. } => "certificate-expired",
            Self::RevocationUnverified { .. } => "revocation-unverified",
            Self::OwnCertificateRevoked => "own-certificate-revoked",
            Self::TaskEnded { .. } => "task-ended",
        }
    }

    /// The member that the event is about, if any.
    #[must_use]
    pub const fn peer(&self) -> Option<&NodeId> {
        match self {
            Self::Malformed { peer, .. }
            | Self::MessageRefused { peer, .. }
            | Self::RevocationUnverified { peer, .. }
            | Self::Unencrypted { peer, .. }
            | Self::DataPathUp { peer, .. }
            | Self::DataPathDown { peer, .. }
            | Self::DataPathUnfit { peer, .. } => Some(peer),
            Self::ConnectionDropped { .. }
            | Self::HandshakeFailed { .. }
            | Self::Suppressed { .. }
            | Self::LinkDenied { .. }
            | Self::AcceptFailed { .. }
            | Self::RenewalFailed { .. }
            | Self::CalendarStepped { .. }
            | Self::StoreFailed { .. }
            | Self::CertificateExpired { .. }
            | Self::OwnCertificateRevoked
            | Self::TaskEnded { .. } => None,
        }
    }

    /// The other end of a connection that the event is about, if the other end is not a member.
    const fn host(&self) -> Option<SocketAddr> {
        match self {
            Self::ConnectionDropped { remote, .. }
            | Self::HandshakeFailed { remote, .. }
            | Self::LinkDenied { remote, .. } => Some(*remote),
            Self::Malformed { .. }
            | Self::MessageRefused { .. }
            | Self::RevocationUnverified { .. }
            | Self::OwnCertificateRevoked
            | Self::Unencrypted { .. }
            | Self::DataPathUp { .. }
            | Self::DataPathDown { .. }
            | Self::DataPathUnfit { .. }
            | Self::Suppressed { .. }
            | Self::AcceptFailed { .. }
            | Self::RenewalFailed { .. }
            | Self::CalendarStepped { .. }
            | Self::StoreFailed { .. }
            | Self::CertificateExpired { .. }
            | Self::TaskEnded { .. } => None,
        }
    }
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
    /// Too many connections that present one certificate's name, or only reserved places are left.
    Holder,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "too many connections",
            Self::Rate => "too many connections a second",
            Self::Handshakes => "too many handshakes at one time",
            Self::Holder => "too many connections of its certificate",
        })
    }
}

impl fmt::Display for TransportEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionDropped { remote, limit } => {
                write!(f, "a connection from {remote} was dropped: {limit}")
            }
            Self::HandshakeFailed { remote, reason, .. } => {
                write!(f, "the handshake with {remote} failed: {reason}")
            }
            Self::Suppressed { summary } => summary.fmt(f),
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
            Self::MessageRefused { peer, reason } => write!(
                f,
                "{peer} refused a message of this node: {reason}; a record that exceeds a limit keeps a node out of the \
                 mesh"
            ),
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
            Self::StoreFailed { reason } => {
                write!(f, "cannot use the state directory: {reason}")
            }
            Self::CertificateExpired { not_after } => write!(
                f,
                "the certificate of this node expired at {}: no node accepts it; issue a new one",
                iso_8601(*not_after)
            ),
            Self::RevocationUnverified { peer, reason } => {
                write!(f, "a revocation from {peer} was dropped: {reason}")
            }
            Self::OwnCertificateRevoked => f.write_str(
                "the certificate of this node is revoked: no node accepts it; issue a new one if this machine is yours",
            ),
            Self::TaskEnded { task } => {
                write!(f, "the task {task:?} ended unexpectedly; the node ends")
            }
        }
    }
}
