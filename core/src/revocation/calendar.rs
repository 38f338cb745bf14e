//! The calendar time, estimated from the last reading.

use crate::time::{Instant, Wall};

/// The last reading of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadCalendar {
    wall: Wall,
    at: Instant,
}

impl ReadCalendar {
    pub(super) const fn new(wall: Wall, at: Instant) -> Self {
        Self { wall, at }
    }

    /// The calendar was read.
    pub(super) const fn set(&mut self, wall: Wall, at: Instant) {
        *self = Self::new(wall, at);
    }

    /// The estimated calendar time.
    pub(super) const fn estimate(self, now: Instant) -> Wall {
        Wall(self.wall.0.saturating_add(now.since(self.at).as_secs()))
    }
}
