//! Events: facts about the mesh for people, in logs and metrics. No behaviour depends on one.

use crate::identity::NodeId;
use crate::link::{Address, LinkId};
use crate::time::Duration;
use crate::topology::record::ContentError;

/// A fact for people: logs, metrics, a watching user. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member is known for the first time, or again after it was down, or restarted.
    PeerUp {
        /// The member.
        id: NodeId,
        /// Its epoch.
        epoch: u64,
    },
    /// No path leads to a member for now; it may be declared down.
    PeerSuspected {
        /// The member.
        id: NodeId,
    },
    /// A path leads to a suspected member again.
    PeerCleared {
        /// The member.
        id: NodeId,
    },
    /// A member is down.
    PeerDown {
        /// The member.
        id: NodeId,
    },
    /// A member left on purpose.
    PeerLeft {
        /// The member.
        id: NodeId,
    },
    /// A member published new content.
    PeerUpdated {
        /// The member.
        id: NodeId,
    },
    /// A member that was down or had left for long is forgotten.
    PeerForgotten {
        /// The member.
        id: NodeId,
    },
    /// A link is established.
    LinkUp {
        /// The neighbour.
        peer: NodeId,
        /// Which link.
        link: LinkId,
        /// Whether this node dialled it.
        dialed: bool,
    },
    /// A link is gone.
    LinkDown {
        /// The neighbour.
        peer: NodeId,
        /// Which link.
        link: LinkId,
        /// Why.
        reason: LinkEnd,
    },
    /// A dial failed or was refused.
    DialFailed {
        /// Where to.
        address: Address,
        /// Why, for people.
        reason: String,
        /// When it will be tried again, counted from now; none if it will not by itself.
        retry_in: Option<Duration>,
    },
    /// The address is that of this node itself; it is not dialled again.
    DialedMyself {
        /// The address.
        address: Address,
    },
    /// The peer at an address is not who it should be.
    WrongPeer {
        /// The address.
        address: Address,
        /// The expected member.
        expected: NodeId,
        /// The peer that answered.
        found: NodeId,
    },
    /// All of this node's links fell silent at once: it accuses no member until one is heard.
    Isolated,
    /// A link was heard again.
    Rejoined,
    /// Another, newer machine runs under our id: we stopped. Give one of the two another id.
    NameTaken {
        /// The other's epoch.
        epoch: u64,
        /// The other's instance.
        instance: u32,
    },
    /// A neighbour sent a record under this node's id that the node did not publish; the node published over it.
    Refuted {
        /// The neighbour that sent it.
        from: NodeId,
    },
    /// A message of a neighbour was rejected.
    Rejected {
        /// The neighbour.
        from: NodeId,
        /// The reason.
        reason: Rejection,
    },
    /// The announced content exceeds a limit; the previous content stays in effect.
    AnnounceRejected {
        /// The bound.
        why: ContentError,
    },
    /// This node was stopped for this long, or its clock jumped; all silence timers start again.
    Paused {
        /// How long.
        late: Duration,
    },
}

impl Event {
    /// The kind of the event, as logs, metrics and scenario files name it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::PeerUp { .. } => "peer-up",
            Self::PeerSuspected { .. } => "peer-suspected",
            Self::PeerCleared { .. } => "peer-cleared",
            Self::PeerDown { .. } => "peer-down",
            Self::PeerLeft { .. } => "peer-left",
            Self::PeerUpdated { .. } => "peer-updated",
            Self::PeerForgotten { .. } => "peer-forgotten",
            Self::LinkUp { .. } => "link-up",
            Self::LinkDown { .. } => "link-down",
            Self::DialFailed { .. } => "dial-failed",
            Self::DialedMyself { .. } => "dialed-myself",
            Self::WrongPeer { .. } => "wrong-peer",
            Self::Isolated => "isolated",
            Self::Rejoined => "rejoined",
            Self::NameTaken { .. } => "name-taken",
            Self::Refuted { .. } => "refuted",
            Self::Rejected { .. } => "rejected",
            Self::AnnounceRejected { .. } => "announce-rejected",
            Self::Paused { .. } => "paused",
        }
    }

    /// The member that the event is about, if it is about one.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::PeerUp { id, .. }
            | Self::PeerSuspected { id }
            | Self::PeerCleared { id }
            | Self::PeerDown { id }
            | Self::PeerLeft { id }
            | Self::PeerUpdated { id }
            | Self::PeerForgotten { id } => Some(id),
            Self::LinkUp { peer, .. } | Self::LinkDown { peer, .. } => Some(peer),
            Self::WrongPeer { found, .. } => Some(found),
            Self::Refuted { from } | Self::Rejected { from, .. } => Some(from),
            Self::DialFailed { .. }
            | Self::DialedMyself { .. }
            | Self::Isolated
            | Self::Rejoined
            | Self::NameTaken { .. }
            | Self::AnnounceRejected { .. }
            | Self::Paused { .. } => None,
        }
    }
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkEnd {
    /// This node closed it: the overlay does not need it.
    Surplus,
    /// A connection with a higher session won.
    Superseded,
    /// The peer closed it on purpose.
    PeerClosed,
    /// The peer left the mesh.
    PeerLeft,
    /// It broke.
    Lost,
    /// Nothing was heard on it for long.
    Silent,
    /// The peer broke the protocol.
    Protocol,
    /// One of the two certificates ends.
    Expired,
    /// One of the two certificates is trusted no longer.
    Untrusted,
    /// This node leaves, or gave its id up.
    Leaving,
}

/// Why a message of a neighbour was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The link was not established yet.
    BeforeHello,
    /// A message that may come only first came later.
    SecondHello,
    /// The record in the handshake is not that of the certificate's holder.
    WrongRecord,
    /// A counter above the allowed maximum.
    CounterTooHigh,
    /// A bound on members, edges or requests was hit.
    TooMany,
    /// A report under the id of this node that the node did not publish.
    ForgedReport,
}
