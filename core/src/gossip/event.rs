//! Events: facts about the mesh for users, in logs and metrics. No behaviour depends on an event.

use super::view::{UndialableView, UnreachableView};
use crate::identity::NodeId;
use crate::link::{Address, LinkId};
use crate::time::Duration;
use crate::topology::record::ContentError;
use core::net::SocketAddr;

/// A fact for users: logs, metrics, live views. Never needed for correctness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member became alive: it is new, returned after it was down, or restarted.
    PeerUp {
        /// The member.
        id: NodeId,
        /// The member's epoch.
        epoch: u64,
    },
    /// No path leads to a member; the member may be declared down.
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
        /// The evidence.
        cause: DeathCause,
        /// Whether further members are lost at about the same time. [`Event::PeersDown`] then names them together.
        joint: bool,
    },
    /// Several members were lost at about the same time. Each has an event of its own as well.
    PeersDown {
        /// Some of the members: at most [`NAMED_MAX`](super::NAMED_MAX).
        named: Vec<NodeId>,
        /// The number of the members.
        count: usize,
        /// The number of members that are alive, with this node.
        alive: usize,
    },
    /// Live members that this node should have a link with have had none for a while. A member is named at most once in
    /// ten minutes.
    Unreachable {
        /// Some of the members: at most [`NAMED_MAX`](super::NAMED_MAX).
        named: Vec<UnreachableView>,
        /// The number of the members.
        count: usize,
    },
    /// Members cannot reach the address that this node advertises. Reported at most once in ten minutes.
    AddressUndialable(UndialableView),
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
    /// A member that was down or had left for `forget_after` is forgotten.
    PeerForgotten {
        /// The member.
        id: NodeId,
    },
    /// A link is established.
    LinkUp {
        /// The neighbour.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// Whether this node dialled the link.
        dialed: bool,
    },
    /// A link ended.
    LinkDown {
        /// The neighbour.
        peer: NodeId,
        /// The link.
        link: LinkId,
        /// The reason.
        reason: LinkEnd,
    },
    /// A dial failed or was refused.
    DialFailed {
        /// The address.
        address: Address,
        /// The reason, for users.
        reason: String,
        /// The time until the next attempt; none if no attempt is scheduled.
        retry_in: Option<Duration>,
    },
    /// An address leads to this node itself. A seed address is dialled again after `retry_max`.
    DialedMyself {
        /// The address.
        address: Address,
    },
    /// The peer at an address is not the expected member.
    WrongPeer {
        /// The address.
        address: Address,
        /// The expected member.
        expected: NodeId,
        /// The peer that answered.
        found: NodeId,
    },
    /// All links of this node fell silent at once: the node publishes no accusations for one second.
    Isolated,
    /// A message arrived on a link of an isolated node.
    Rejoined,
    /// Another, newer machine proved this node's id in person, so this node stopped using the id. One of the two machines
    /// needs another id.
    NameTaken {
        /// The other machine's epoch.
        epoch: u64,
        /// The other machine's instance.
        instance: u32,
    },
    /// The node that held this node's id is gone, so this node uses the id again.
    NameResumed {
        /// This node's new epoch.
        epoch: u64,
    },
    /// Another node uses this node's id, and the two nodes cannot reach each other. Both keep the id, and each overrides
    /// the record of the other. One of the two nodes needs another id.
    DuplicateId {
        /// The neighbour that relayed the record of the other node. The neighbour is not the author of the record.
        relay: Option<NodeId>,
        /// The other node's epoch.
        epoch: u64,
        /// The other node's instance.
        instance: u32,
        /// The address in the other node's record.
        address: Option<SocketAddr>,
    },
    /// A neighbour relayed a record under this node's id that the node did not publish; the node overrides the record by
    /// a newer one. The neighbour is not necessarily the author of the record.
    Refuted {
        /// The neighbour that relayed the record.
        from: NodeId,
    },
    /// The node's own short id changed, because a member with a lower name takes the former one, or members were forgotten.
    ShortIdChanged {
        /// The former short id; none if all were taken.
        from: Option<u16>,
        /// The short id; none if all are taken.
        to: Option<u16>,
    },
    /// A node that asked for a link speaks no protocol version that this node speaks; its link is refused.
    VersionRefused {
        /// The node.
        peer: NodeId,
        /// The oldest and the newest version that the node speaks.
        versions: (u32, u32),
    },
    /// Too many members are known by hearsay only: the node refuses further ones that no proven member names as a
    /// neighbour, until [`Event::GuardEnded`].
    Guarded {
        /// The neighbour that relayed the last one, if the node did not learn them while it joined. The neighbour is not
        /// necessarily the author of the records.
        from: Option<NodeId>,
    },
    /// The node believes the records of unknown members again.
    GuardEnded {
        /// The number of records that were refused since the start of the node.
        refused: u64,
    },
    /// A message from a neighbour was rejected.
    Rejected {
        /// The neighbour.
        from: NodeId,
        /// The reason.
        reason: Rejection,
    },
    /// The announced content exceeds a limit; the previous content stays in effect.
    AnnounceRejected {
        /// The limit.
        why: ContentError,
    },
    /// This node was paused, or its clock jumped; all silence timers restart.
    Paused {
        /// The duration of the pause.
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
            Self::PeersDown { .. } => "peers-down",
            Self::Unreachable { .. } => "unreachable",
            Self::AddressUndialable(_) => "address-undialable",
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
            Self::NameResumed { .. } => "name-resumed",
            Self::DuplicateId { .. } => "duplicate-id",
            Self::Refuted { .. } => "refuted",
            Self::ShortIdChanged { .. } => "short-id-changed",
            Self::VersionRefused { .. } => "version-refused",
            Self::Guarded { .. } => "guarded",
            Self::GuardEnded { .. } => "guard-ended",
            Self::Rejected { .. } => "rejected",
            Self::AnnounceRejected { .. } => "announce-rejected",
            Self::Paused { .. } => "paused",
        }
    }

    /// The member that the event is about, if any.
    #[must_use]
    pub const fn subject(&self) -> Option<&NodeId> {
        match self {
            Self::PeerUp { id, .. }
            | Self::PeerSuspected { id }
            | Self::PeerCleared { id }
            | Self::PeerDown { id, .. }
            | Self::PeerLeft { id }
            | Self::PeerUpdated { id }
            | Self::PeerForgotten { id } => Some(id),
            Self::LinkUp { peer, .. }
            | Self::LinkDown { peer, .. }
            | Self::VersionRefused { peer, .. } => Some(peer),
            Self::WrongPeer { found, .. } => Some(found),
            Self::Refuted { from } | Self::Rejected { from, .. } => Some(from),
            Self::Guarded { from } => from.as_ref(),
            Self::DuplicateId { relay, .. } => relay.as_ref(),
            Self::Unreachable { named, .. } => match named.as_slice() {
                [one] => Some(&one.peer),
                [] | [_, ..] => None,
            },
            Self::DialFailed { .. }
            | Self::PeersDown { .. }
            | Self::ShortIdChanged { .. }
            | Self::GuardEnded { .. }
            | Self::AddressUndialable(_)
            | Self::DialedMyself { .. }
            | Self::Isolated
            | Self::Rejoined
            | Self::NameTaken { .. }
            | Self::NameResumed { .. }
            | Self::AnnounceRejected { .. }
            | Self::Paused { .. } => None,
        }
    }
}

/// The evidence on which a member is declared down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeathCause {
    /// No node heard the member for `down_after`.
    Silent,
    /// The member's process is gone while its host lives: all ring neighbours lost their links to it without a goodbye,
    /// and its host refuses their dials.
    Refused,
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkEnd {
    /// This node closed the link, which the overlay does not need.
    Unneeded,
    /// A connection with a higher session won.
    Superseded,
    /// The peer closed the link on purpose.
    PeerClosed,
    /// The peer left the mesh.
    PeerLeft,
    /// The connection broke.
    Lost,
    /// The link was silent for too long.
    Silent,
    /// The peer broke the protocol.
    Protocol,
    /// One of the two certificates expires.
    Expired,
    /// One of the two certificates is not trusted any more.
    Untrusted,
    /// The peer's certificate is revoked.
    Revoked,
    /// This node leaves the mesh, or gave up its id.
    Leaving,
}

/// Reasons why a message from a neighbour was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// The link is not established yet.
    BeforeHello,
    /// A handshake message arrived after the handshake.
    SecondHello,
    /// The record in the handshake does not belong to the id in the certificate.
    WrongRecord,
    /// The peer chose a protocol version that this node did not offer.
    VersionNotOffered,
    /// A counter above the allowed maximum.
    CounterTooHigh,
    /// A limit on members, edges or requests is reached.
    TooMany,
    /// A report under the id of this node that the node did not publish.
    ForgedReport,
}
