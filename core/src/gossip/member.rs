//! What one view knows of one member's life, beside its record.

use super::interface::LinkId;
use super::view::Status;
use crate::time::Instant;

/// One member's life in one view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) status: Status,
    /// When we last learnt something new from the member itself; it is not down before this is old.
    pub(super) fresh: Instant,
    /// When we last heard it on a link of our own.
    pub(super) heard: Option<Instant>,
    /// The highest session of the connections between us.
    pub(super) session: u32,
    /// Not dialled before this, after failures.
    pub(super) failed_until: Instant,
    /// Dials that failed in a row.
    pub(super) failures: u32,
    /// The link that brought its record, and its report, by broadcast; none if it came otherwise.
    pub(super) brought: [Option<LinkId>; 2],
    /// When it is forgotten, if it is down or left; for others: when those who told us of it forget it, which counts if
    /// we find it gone too before we hear from it.
    pub(super) forget_at: Option<Instant>,
}

impl Life {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            status: Status::Alive,
            fresh: now,
            heard: None,
            session: 0,
            failed_until: Instant::ZERO,
            failures: 0,
            brought: [None; 2],
            forget_at: None,
        }
    }
}
