//! What one view knows of one member's life, beside its record.
//!
//! Of most members nothing is known but that they live: a view of thousands keeps eight bytes for each ([`News`]), and
//! more only of those it dealt with, or that are not just alive ([`Life`]).

use super::provenance::Provenance;
use super::view::Status;
use crate::time::Instant;

/// What is kept of every member: when and how the latest came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// In milliseconds, modulo 2^32: after 49 days without news it looks recent for a moment, and a death that falls
    /// into that moment is noticed seconds later.
    fresh: u32,
    /// Provenance of its record.
    pub(super) received_from: Provenance,
}

impl News {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            fresh: now.as_millis() as u32,
            received_from: Provenance::default(),
        }
    }

    /// Something new is learnt from the member itself.
    pub(super) const fn refresh(&mut self, at: Instant) {
        self.fresh = at.as_millis() as u32;
    }

    /// When we last learnt something new from the member itself, to the millisecond; it is not down before this is old.
    pub(super) fn fresh(self, now: Instant) -> Instant {
        let now = now.as_millis();
        let age = (now as u32).wrapping_sub(self.fresh);
        Instant::from_millis(now.saturating_sub(age.into()))
    }
}

/// What is kept of the members that this node was or tried to be linked to, and of those that are not just alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) status: Status,
    /// When we last heard it on a link that is gone.
    pub(super) heard: Option<Instant>,
    /// The highest session of the connections between us.
    pub(super) session: u32,
    /// Not dialled before this, after failures.
    pub(super) failed_until: Instant,
    /// Dials that failed in a row.
    pub(super) failures: u32,
    /// Held for down, but it published something since, or others lost with it are back: what the rings say of its edges
    /// counts again.
    pub(super) presumed: bool,
    /// When it is forgotten, if it is down or left; for others: when those who told us of it forget it, which counts if
    /// we find it gone too before we hear from it.
    pub(super) forget_at: Option<Instant>,
}

impl Life {
    /// Alive, and never dealt with.
    pub(super) const PLAIN: Self = Self {
        status: Status::Alive,
        heard: None,
        session: 0,
        failed_until: Instant::ZERO,
        failures: 0,
        presumed: false,
        forget_at: None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_as_fresh_as_the_latest_to_the_millisecond() {
        let at = Instant::from_millis;
        let mut news = News::new(at(1_000));
        assert_eq!(news.fresh(at(9_000)), at(1_000));
        news.refresh(at(5_000));
        assert_eq!(news.fresh(at(5_000)), at(5_000));
        assert_eq!(news.fresh(at(9_000)), at(5_000));
        // Beyond what the counter holds, too.
        let late = u64::from(u32::MAX) + 10;
        news.refresh(at(late));
        assert_eq!(news.fresh(at(late + 700)), at(late));
    }
}
