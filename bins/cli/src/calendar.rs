//! Wall-clock time: the current time of this machine, and formatted instants.

use phalanx_core::time::Wall;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the wall-clock time in milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the wall-clock time in whole seconds since 1970-01-01 UTC.
pub(crate) fn now() -> Wall {
    Wall(now_ms() / 1_000)
}

/// Waits until the current second is over; returns the next one. A certificate that begins with it begins after each
/// revocation that was signed before this call: a revocation concerns the certificates of its own second too.
pub(crate) fn next_second() -> Wall {
    let begun = now_ms();
    thread::sleep(Duration::from_millis(1_000 - begun % 1_000));
    Wall(begun / 1_000 + 1)
}

/// Formats the time of day in UTC: `04:34:41.250`.
pub(crate) fn time_of_day(millis: u64) -> String {
    let seconds = millis / 1_000 % 86_400;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        assert_eq!(time_of_day(86_399_999), "23:59:59.999");
        assert_eq!(time_of_day(86_400_000), "00:00:00.000");
    }
}
