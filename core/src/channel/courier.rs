//! Messages of this node that await an answer, and the messages received from each sender.

use super::interface::Request;
use super::message::{Failure, Parcel};
use super::seen::Seen;
use crate::identity::NodeId;
use crate::link::LinkId;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most nodes a message is led around because they failed it.
const SHUNNED_MAX: usize = 6;

/// A message of this node that is not answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    pub(super) parcel: Arc<Parcel>,
    pub(super) request: Request,
    pub(super) give_up: Instant,
    pub(super) attempts: u32,
    /// Nodes that failed it, oldest first.
    pub(super) shunned: Vec<NodeId>,
    /// The failure to report if no answer arrives.
    pub(super) last: Failure,
    /// The link the last copy went out on.
    pub(super) via: Option<LinkId>,
    /// Copies that went out and of which nothing was heard: one of them may be delivered.
    pub(super) out: u32,
}

impl Pending {
    /// Leads the message around a node from here on.
    pub(super) fn shun(&mut self, node: NodeId) {
        if self.shunned.contains(&node) {
            return;
        }
        if self.shunned.len() >= SHUNNED_MAX {
            self.shunned.remove(0);
        }
        self.shunned.push(node);
    }
}

/// This node's messages, and whose it has received.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Courier {
    pub(super) last: u64,
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) bytes: usize,
    pub(super) received: BTreeMap<NodeId, Seen>,
}

impl Courier {
    pub(super) const fn new() -> Self {
        Self {
            last: 0,
            pending: BTreeMap::new(),
            bytes: 0,
            received: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn floor(&self) -> u64 {
        self.pending.keys().next().copied().unwrap_or(self.last)
    }
}
