//! Inputs, outputs and events of the revocations machine.

use super::entry::{PresentedCertificate, Revocation, RevocationTarget};
use super::list::RevocationRefusal;
use super::message::Message;
use super::storage::RevocationRequest;
use crate::identity::NodeId;
use crate::link::{LinkId, Ticket};
use crate::machine::Wake;
use crate::time::Wall;
use std::sync::Arc;

/// An input of the machine. Signatures are verified before a revocation becomes an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The stored revocations, before the start.
    Load(Vec<Arc<Revocation>>),
    /// A peer presented a certificate on a connection; precedes the connection.
    Presented {
        /// The connection.
        link: LinkId,
        /// The certificate.
        certificate: PresentedCertificate,
    },
    /// A connection with a node was made.
    Connected {
        /// The connection.
        link: LinkId,
        /// The node.
        peer: NodeId,
    },
    /// A handshake message of a peer that understands messages about revocations.
    Greeted {
        /// The connection.
        link: LinkId,
        /// The hash of the peer's revocations, if the message has it.
        hash: Option<u64>,
    },
    /// A handshake message of a peer whose protocol version has no messages about revocations.
    OldVersion {
        /// The connection.
        link: LinkId,
    },
    /// A connection became a link.
    Opened {
        /// The link.
        link: LinkId,
    },
    /// A connection is closed.
    Closed {
        /// The connection.
        link: LinkId,
    },
    /// A message arrived.
    Receive {
        /// The connection.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// A caller on this node revokes certificates; answered by [`Output::Answer`].
    Revoke {
        /// The caller's number.
        request: RevocationRequest,
        /// The revocation.
        revocation: Arc<Revocation>,
    },
    /// The list is durable: completes [`Output::Store`].
    Stored {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The list could not be stored: completes [`Output::Store`]. The order is repeated after a second.
    StoreFailed {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// The calendar was read.
    Calendar(Wall),
    /// A deadline has arrived.
    Wake,
}

impl From<Wake> for Input {
    fn from(_: Wake) -> Self {
        Self::Wake
    }
}

/// An order to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// The connection.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Close a connection at once: its certificate is revoked, or its peer broke the protocol.
    Close {
        /// The connection.
        link: LinkId,
        /// Whether the certificate is revoked.
        revoked: bool,
    },
    /// The revocations of both ends are exchanged: a `Hello` that waits for it may be processed.
    Exchanged {
        /// The connection.
        link: LinkId,
    },
    /// Refuse the certificates that a revocation concerns, and end their connections at once.
    Enforce(Arc<Revocation>),
    /// Store all revocations durably; answer with `Stored` or `StoreFailed`.
    Store {
        /// The ticket for the answer.
        ticket: Ticket,
        /// The revocations.
        revocations: Vec<Arc<Revocation>>,
    },
    /// The answer to [`Input::Revoke`]: the revocation is durable on this node, or refused.
    Answer {
        /// The caller's number.
        request: RevocationRequest,
        /// The outcome.
        result: Result<(), RevocationRefusal>,
    },
    /// Report an event.
    Report(Event),
}

/// A fact about revocations, for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node learnt of a revocation.
    Revoked {
        /// The certificates.
        target: RevocationTarget,
        /// The neighbour that sent the revocation; none if a caller on this node did.
        from: Option<NodeId>,
    },
    /// A neighbour sent a revocation that this node does not accept.
    Refused {
        /// The certificates.
        target: RevocationTarget,
        /// The neighbour.
        from: NodeId,
        /// The reason.
        reason: RevocationRefusal,
    },
    /// A full list dropped the revocation that ends first.
    Dropped {
        /// The certificates.
        target: RevocationTarget,
    },
    /// A connection was closed because its certificate is revoked.
    Closed {
        /// The holder of the certificate.
        peer: NodeId,
    },
}

impl Event {
    /// The event's name in logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Revoked { .. } => "certificate-revoked",
            Self::Refused { .. } => "revocation-refused",
            Self::Dropped { .. } => "revocation-dropped",
            Self::Closed { .. } => "revoked-peer-closed",
        }
    }

    /// The member that the event is about, if any.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::Revoked { target, .. } | Self::Dropped { target } => match target {
                RevocationTarget::Holder(_, id) => Some(id),
                RevocationTarget::Certificate(_) => None,
            },
            Self::Refused { from, .. } => Some(from),
            Self::Closed { peer } => Some(peer),
        }
    }
}
