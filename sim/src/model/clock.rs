//! A node's monotonic clock as a function of true time.

use core::time::Duration;
use phalanx_core::time::{Instant, nanos};

/// The wall clock at the start of every run, in seconds since the Unix epoch.
pub const WALL_ZERO: u64 = 1_700_000_000;

const MILLION: i128 = 1_000_000;

/// A monotonic clock that starts with its process. The clock's rate may differ from true time, and the clock may jump
/// forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeClock {
    /// The true time and the reading at the latest change of the clock.
    since: u64,
    reading: u64,
    drift_ppm: i32,
}

impl NodeClock {
    /// Creates a clock that reads zero at `now`.
    pub(crate) const fn started(now: u64, drift_ppm: i32) -> Self {
        Self {
            since: now,
            reading: 0,
            drift_ppm,
        }
    }

    /// Returns the reading at a true time.
    pub(crate) fn read(&self, now: u64) -> Instant {
        let passed = now.saturating_sub(self.since);
        let passed = if self.drift_ppm == 0 {
            passed
        } else {
            clamp(i128::from(passed) * (MILLION + i128::from(self.drift_ppm)) / MILLION)
        };
        Instant::from_nanos(self.reading.saturating_add(passed))
    }

    /// Returns the first true time at which the clock reads `at` or later.
    pub(crate) fn when(&self, at: Instant) -> u64 {
        let left = at.as_nanos().saturating_sub(self.reading);
        let passed = if self.drift_ppm == 0 {
            left
        } else {
            let rate = MILLION + i128::from(self.drift_ppm);
            clamp((i128::from(left) * MILLION + rate - 1) / rate)
        };
        self.since.saturating_add(passed)
    }

    /// Makes the clock jump forward by `jump`, and sets the drift from `now` on; `None` keeps the drift.
    pub(crate) fn change(&mut self, now: u64, jump: Duration, drift_ppm: Option<i32>) {
        let reading = self.read(now) + jump;
        self.reading = reading.as_nanos();
        self.since = now;
        self.drift_ppm = drift_ppm.unwrap_or(self.drift_ppm);
    }
}

fn clamp(wide: i128) -> u64 {
    u64::try_from(wide).unwrap_or(if wide < 0 { 0 } else { u64::MAX })
}

/// Converts a duration to nanoseconds.
pub(crate) const fn ns(duration: Duration) -> u64 {
    nanos(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_woken_for_too_early() {
        for drift in [-100_000, -37, 0, 1, 250, 100_000] {
            let clock = NodeClock::started(12_345, drift);
            for at in [0, 1, 999, 1_000_003, 77_777_777_777] {
                let at = Instant::from_nanos(at);
                let when = clock.when(at);
                assert!(clock.read(when) >= at, "{drift} {at:?}");
                assert!(
                    when == 12_345 || clock.read(when - 1) < at,
                    "{drift} {at:?}"
                );
            }
        }
    }

    #[test]
    fn a_jump_moves_the_reading_and_nothing_else() {
        let mut clock = NodeClock::started(0, 0);
        clock.change(1_000, Duration::from_nanos(500), Some(100_000));
        assert_eq!(clock.read(1_000), Instant::from_nanos(1_500));
        assert_eq!(clock.read(2_000), Instant::from_nanos(2_600));
    }
}
