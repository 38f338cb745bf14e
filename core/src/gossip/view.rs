//! Readable parts of a node's view of the mesh.

use super::message::AgedReport;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::time::Duration;
use crate::topology::EdgeFailure;
use crate::topology::record::Record;
use core::net::SocketAddr;
use std::sync::Arc;

/// The status of a member in one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// A path leads to the member.
    Alive,
    /// No path leads to the member, and its latest evidence of life is recent.
    Suspect,
    /// No path leads to the member, and its latest evidence of life is older than `down_after`.
    Down,
    /// The member left on purpose.
    Left,
}

impl Status {
    /// The status as shown to users and in scenario files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// The phase of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The node has seed addresses, but has not reached any of them yet.
    Joining,
    /// The node is a member of the mesh.
    Running,
    /// The node is a member, but hears no other member.
    Isolated,
    /// The node announces that it leaves.
    Leaving,
    /// The node left.
    Left,
    /// The node gave up its id to another machine.
    NameTaken,
}

impl Phase {
    /// The phase as shown to users and in scenario files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Running => "running",
            Self::Isolated => "isolated",
            Self::Leaving => "leaving",
            Self::Left => "left",
            Self::NameTaken => "name-taken",
        }
    }
}

/// One member in the view of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The member's record.
    pub record: Arc<Record>,
    /// The member's status.
    pub status: Status,
    /// The member's edge report, with the evidence of each edge as of the latest step.
    pub report: Option<AgedReport>,
    /// The time since the latest update from the member itself that this node received.
    pub updated: Duration,
}

/// A live member that this node should have a link with and has none, because it is a ring neighbour or is requested; or
/// a neighbour at whose address one of the two ends cannot be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableView {
    /// The member.
    pub peer: NodeId,
    /// The address that the member advertises.
    pub address: Option<SocketAddr>,
    /// The reason why this node has no link with the member; none if this node knows no reason.
    pub own: Option<EdgeFailure>,
    /// The reason that the member reports; none if it reports no reason.
    pub theirs: Option<EdgeFailure>,
    /// Whether the two have a link. The end that cannot be dialled at its address dialled the link.
    pub linked: bool,
    /// The time since either end last heard the other; none if no contact is known.
    pub last_contact: Option<Duration>,
    /// The time since this node first saw the two without a link.
    pub lasted: Duration,
}

/// The members that cannot reach the address that this node advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndialableView {
    /// The address.
    pub address: SocketAddr,
    /// Some of the members: at most [`NAMED_MAX`](super::NAMED_MAX).
    pub by: Vec<NodeId>,
    /// The number of the members.
    pub count: usize,
    /// The reason that the first of the members reports.
    pub failure: EdgeFailure,
    /// The time since one of the members and this node last heard each other; none if no contact is known.
    pub last_contact: Option<Duration>,
}

/// One established link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// The link.
    pub link: LinkId,
    /// The neighbour.
    pub peer: NodeId,
    /// Whether this node dialled the link.
    pub dialed: bool,
    /// Whether updates are sent on the link at once; otherwise they are only announced.
    pub eager: bool,
    /// Whether the link is a ring edge, whose silence counts as evidence that the peer is down.
    pub ring: bool,
    /// Whether the link has been silent for `silent_after`.
    pub silent: bool,
    /// The time since the last message on the link.
    pub quiet: Duration,
    /// The smoothed round trip of the link.
    pub round_trip: Option<Duration>,
    /// The silence after which the link counts as silent.
    pub silent_after: Duration,
    /// The session of the connection.
    pub session: u32,
    /// The protocol version that both ends speak.
    pub version: u32,
}
