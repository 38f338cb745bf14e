//! Dials under way.

use crate::link::{Address, LinkId};
use crate::time::Instant;
use crate::topology::Handle;

/// Why something is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To join, or to find a mesh that split off: index into the targets.
    Target(usize),
    /// A refused dialer was told to try there.
    Referral,
    /// A member this node watches.
    Ring,
    /// A silent or broken neighbour.
    Redial,
    /// A member that is down.
    Probe,
    /// The extra link.
    RandomLink,
    /// A member to whom a link is wanted for what applications send.
    Wanted,
    /// A neighbour whose link stands, to put a new connection in its place.
    Renewal,
}

/// A dial in progress, up to the end of its handshake.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dial {
    pub(super) purpose: Purpose,
    pub(super) address: Address,
    /// The expected peer; after the connection, the peer that answered.
    pub(super) expected: Option<Handle>,
    pub(super) link: Option<LinkId>,
    pub(super) session: u32,
    pub(super) started: Instant,
}
