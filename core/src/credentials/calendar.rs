//! The calendar as data: its last reading, and the time of the next reading.
//!
//! The calendar may be set at any time, and machines sleep. The calendar is therefore read at least every
//! [`READ_INTERVAL`], and decisions are taken only on a reading; between readings, calendar time is estimated.

use super::interface::CredentialsEvent;
use super::intervals::READ_INTERVAL;
use crate::time::{Duration, Instant, Wall};

/// A reading that differs by more than this from the expected time is reported.
const STEP_SECONDS: u64 = 5;

/// The last reading of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    wall: Wall,
    read_at: Instant,
    /// A reading is under way.
    reading: bool,
}

impl Calendar {
    pub(super) const fn new(now: Instant, wall: Wall) -> Self {
        Self {
            wall,
            read_at: now,
            reading: false,
        }
    }

    /// The calendar time estimated from the last reading and the time that has passed since then.
    pub(super) const fn estimate(&self, now: Instant) -> Wall {
        let passed = now.since(self.read_at).as_secs();
        Wall(self.wall.0.saturating_add(passed))
    }

    /// Records that a reading is ordered. Returns whether a reading was already under way.
    pub(super) const fn order(&mut self) -> bool {
        std::mem::replace(&mut self.reading, true)
    }

    /// The calendar was read. Returns an event if the calendar was set.
    pub(super) fn on_read(&mut self, now: Instant, found: Wall) -> Option<CredentialsEvent> {
        let expected = self.estimate(now);
        *self = Self::new(now, found);
        (expected.0.abs_diff(found.0) > STEP_SECONDS)
            .then_some(CredentialsEvent::CalendarStepped { expected, found })
    }

    /// The time at which the calendar is read for a decision that is due at `due`.
    pub(super) fn read_for(&self, due: Option<Wall>) -> Instant {
        let left = due.map(|due| Duration::from_secs(due.0.saturating_sub(self.wall.0)));
        self.read_at + left.unwrap_or(READ_INTERVAL).min(READ_INTERVAL)
    }
}
