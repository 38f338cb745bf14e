//! Seed addresses: the addresses that operators configured.

use crate::identity::NodeId;
use crate::link::Address;
use crate::time::Instant;

/// An address given by people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) peer: Option<NodeId>,
    pub(super) error: Option<String>,
    pub(super) failures: u32,
    pub(super) next: Instant,
    /// Answers there are our own.
    pub(super) myself: bool,
}

impl Target {
    pub(super) const fn new(address: Address) -> Self {
        Self {
            address,
            peer: None,
            error: None,
            failures: 0,
            next: Instant::ZERO,
            myself: false,
        }
    }

    pub(super) fn view(&self) -> (&Address, Option<&NodeId>, Option<&str>) {
        (&self.address, self.peer.as_ref(), self.error.as_deref())
    }
}
