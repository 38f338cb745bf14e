//! Calendar time, read in one place and handed to `core` as data.

use phalanx_core::time::Wall;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long ago 1970-01-01 UTC is, by this machine's calendar; zero if the calendar stands before it.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The calendar time now.
#[must_use]
pub fn wall() -> Wall {
    Wall(since_1970().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_stands_after_the_year_this_was_written() {
        assert!(
            wall() > Wall(1_735_689_600),
            "this machine's clock stands before 2025: {:?}",
            wall()
        );
    }
}
