//! Readable parts of a node's view of the mesh.

use crate::identity::NodeId;
use crate::link::LinkId;
use crate::time::Duration;
use crate::topology::record::{Record, Report};
use std::sync::Arc;

/// The status of a member in one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// A path leads to it.
    Alive,
    /// No path leads to it, and its latest proof of life is recent.
    Suspect,
    /// No path leads to it, and its latest proof of life is old.
    Down,
    /// It left on purpose.
    Left,
}

impl Status {
    /// The state as people and scenario files name it.
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

/// Where a node is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has targets, and has reached none yet.
    Joining,
    /// It is a member.
    Running,
    /// It is a member, and hears no other member.
    Isolated,
    /// It announces that it leaves.
    Leaving,
    /// It left.
    Left,
    /// It gave its id up to another machine.
    NameTaken,
}

impl Phase {
    /// The phase as people and scenario files name it.
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

/// One member as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its record.
    pub record: Arc<Record>,
    /// Its life.
    pub status: Status,
    /// Its report of edges.
    pub report: Option<Arc<Report>>,
}

/// One established link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Which.
    pub link: LinkId,
    /// The neighbour.
    pub peer: NodeId,
    /// Whether we dialled it.
    pub dialed: bool,
    /// Updates go out on it at once; otherwise they are announced.
    pub eager: bool,
    /// An edge of the rings: it counts as evidence.
    pub ring: bool,
    /// Nothing was heard on it for `silent_after`.
    pub silent: bool,
    /// How long nothing was heard on it.
    pub quiet: Duration,
    /// The session of the connection.
    pub session: u32,
    /// The protocol version both speak.
    pub version: u32,
}
