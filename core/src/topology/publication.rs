//! Names of publications: a publication is one record or report of one node, at one epoch and version.

use super::member_index::MemberIndex;
use crate::identity::NodeId;
use crate::size::{self, Encoded};

/// The kinds of publication. A node has at most one current publication of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublicationKind {
    /// The node's record.
    Record,
    /// The node's report of its edges.
    EdgeReport,
}

/// Identifies the current publication of one kind by a member of this view.
///
/// Keys are ordered by member, then by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// The member's record.
    Record(MemberIndex),
    /// The member's report of its edges.
    EdgeReport(MemberIndex),
}

impl Key {
    pub(crate) const fn new(member: MemberIndex, kind: PublicationKind) -> Self {
        match kind {
            PublicationKind::Record => Self::Record(member),
            PublicationKind::EdgeReport => Self::EdgeReport(member),
        }
    }

    /// The publisher.
    pub(crate) const fn member(self) -> MemberIndex {
        match self {
            Self::Record(member) | Self::EdgeReport(member) => member,
        }
    }

    /// A number for each key, in the order of keys.
    pub(crate) const fn code(self) -> u64 {
        match self {
            Self::Record(member) => (member as u64) << 1,
            Self::EdgeReport(member) => (member as u64) << 1 | 1,
        }
    }

    /// The key of a [`code`](Self::code).
    pub(crate) const fn of(code: u64) -> Self {
        let member = (code >> 1) as MemberIndex;
        if code & 1 == 0 {
            Self::Record(member)
        } else {
            Self::EdgeReport(member)
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.code().cmp(&other.code())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Names one publication of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicationId {
    /// The publisher.
    pub origin: NodeId,
    /// The kind of the publication.
    pub kind: PublicationKind,
    /// The origin's epoch.
    pub epoch: u64,
    /// The origin's publication counter.
    pub version: u64,
}

impl Encoded for PublicationId {
    fn encoded_len(&self) -> usize {
        size::bytes(self.origin.as_str().len())
            + size::boolean(self.kind == PublicationKind::EdgeReport)
            + size::uint(self.epoch)
            + size::uint(self.version)
    }
}
