//! Dates in readable form.

use phalanx_core::time::Wall;
use time::OffsetDateTime;

/// Formats a time as `2026-11-21T04:30:00Z`.
#[must_use]
pub fn iso_8601(wall: Wall) -> String {
    let date = date_of(wall);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// Converts a time to a date, at most the last second of the year 9999.
pub(super) fn date_of(wall: Wall) -> OffsetDateTime {
    const LAST: i64 = 253_402_300_799;
    let seconds = i64::try_from(wall.0).unwrap_or(LAST).min(LAST);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
