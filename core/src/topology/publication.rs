//! Names of publications: one record or report of one node, at one epoch and version.

use crate::identity::NodeId;
use crate::size::{self, Encoded};

/// Names one publication of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateId {
    /// The publisher.
    pub origin: NodeId,
    /// True for an edge report, false for a record.
    pub report: bool,
    /// The origin's epoch.
    pub epoch: u64,
    /// The origin's publication counter.
    pub version: u64,
}

impl Encoded for UpdateId {
    fn encoded_len(&self) -> usize {
        size::bytes(self.origin.as_str().len())
            + size::boolean(self.report)
            + size::uint(self.epoch)
            + size::uint(self.version)
    }
}
