//! The wall clock, read in one place and passed to `core` as data.

use phalanx_core::time::Wall;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970-01-01 UTC by this machine's wall clock; zero if the clock shows an
/// earlier time.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Returns the current wall-clock time.
#[must_use]
pub fn wall() -> Wall {
    Wall(since_1970().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_shows_a_plausible_time() {
        assert!(
            wall() > Wall(1_735_689_600),
            "this machine's clock shows a time before 2025: {:?}",
            wall()
        );
    }
}
