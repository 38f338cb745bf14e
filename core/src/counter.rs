//! The bound of all counters that members send to each other: epochs, incarnations, versions, clocks, sequence numbers
//! and sessions.
//!
//! A counter is accepted up to a rate times the receiver's calendar time in seconds. The rule depends on the value and
//! the calendar alone, so replicas with equal calendars accept the same values. The owner of a counter outranks a
//! forged maximum one second later, because the bound has then risen. A refused item is offered again by anti-entropy.
//!
//! A node with an evidently wrong clock uses [`CALENDAR_MIN`], so that it accepts the counters of the others.

use crate::time::{Duration, Instant, Wall};

/// Increase of the bound per second of calendar time.
pub const COUNTER_RATE: u64 = 1 << 20;
/// Increase of the bound of sessions per second of calendar time. Sessions have 32 bits on the wire.
pub const SESSION_RATE: u64 = 1;
/// The earliest calendar time that the bound uses: 2020-01-01 UTC.
pub const CALENDAR_MIN: Wall = Wall(1_577_836_800);
/// The latest calendar time that the bound uses: 2106-02-07 UTC. The bound stays below 2^52.
pub const CALENDAR_MAX: Wall = Wall(u32::MAX as u64);
/// Time after which the bound is higher.
pub const BOUND_RISES: Duration = Duration::from_secs(1);

/// The calendar time of a node, which is set as data and advances with the node's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalendarTime {
    set_to: Wall,
    set_at: Instant,
}

impl CalendarTime {
    /// A calendar that shows `wall` at `now`.
    #[must_use]
    pub const fn new(wall: Wall, now: Instant) -> Self {
        Self {
            set_to: wall,
            set_at: now,
        }
    }

    /// The calendar time at `now`.
    #[must_use]
    pub const fn wall(&self, now: Instant) -> Wall {
        let passed = now.since(self.set_at).as_secs();
        Wall(self.set_to.0.saturating_add(passed))
    }

    /// The highest value of a counter that is accepted at `now`.
    #[must_use]
    pub fn counter_max(&self, now: Instant) -> u64 {
        counter_max(self.wall(now))
    }

    /// The highest session that is accepted at `now`.
    #[must_use]
    pub fn session_max(&self, now: Instant) -> u32 {
        let max = SESSION_RATE * self.wall(now).clamp(CALENDAR_MIN, CALENDAR_MAX).0;
        u32::try_from(max).unwrap_or(u32::MAX)
    }
}

/// The highest value of a counter that is accepted at a calendar time.
#[must_use]
pub fn counter_max(calendar: Wall) -> u64 {
    COUNTER_RATE * calendar.clamp(CALENDAR_MIN, CALENDAR_MAX).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_advances_with_the_clock_of_the_node() {
        let calendar = CalendarTime::new(Wall(2_000_000_000), Instant::from_millis(500));
        let later = Instant::from_millis(3_500);
        assert_eq!(calendar.wall(later), Wall(2_000_000_003));
        assert_eq!(calendar.counter_max(later), 2_000_000_003 << 20);
        assert_eq!(calendar.session_max(later), 2_000_000_003);
    }

    #[test]
    fn the_successor_of_an_accepted_value_is_accepted_a_second_later() {
        for wall in [0, CALENDAR_MIN.0, 1_800_000_000, 4_000_000_000] {
            let calendar = CalendarTime::new(Wall(wall), Instant::ZERO);
            let now = Instant::ZERO;
            let later = now + BOUND_RISES;
            if calendar.wall(now) >= CALENDAR_MIN {
                assert!(calendar.counter_max(now) < calendar.counter_max(later));
                assert!(calendar.session_max(now) < calendar.session_max(later));
            }
        }
    }

    #[test]
    fn a_wrong_clock_accepts_what_the_others_use() {
        let max = counter_max(Wall(0));
        assert!(max > 4_000_000_000, "epochs begin at the calendar time");
        assert_eq!(counter_max(Wall(u64::MAX)), COUNTER_RATE * CALENDAR_MAX.0);
    }
}
