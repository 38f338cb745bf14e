//! Log lines: levels, the two formats that nginx uses, and the timestamp.

use core::fmt;
use phalanx_core::time::Wall;

/// The severity of a line; a lower level is more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// nginx cannot perform an operation.
    Emergency,
    /// An operator must act.
    Alert,
    /// A critical condition.
    Critical,
    /// A request or a command failed.
    Error,
    /// A suspicious configuration or condition.
    Warning,
    /// A normal but significant event.
    Notice,
    /// An informational event.
    Info,
}

impl Level {
    /// The name that log lines show in brackets.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Emergency => "emerg",
            Self::Alert => "alert",
            Self::Critical => "crit",
            Self::Error => "error",
            Self::Warning => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }

    /// The level that an argument of `error_log` names. `debug` counts as `info`, because the fake writes no debug
    /// lines.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "emerg" => Self::Emergency,
            "alert" => Self::Alert,
            "crit" => Self::Critical,
            "error" => Self::Error,
            "warn" => Self::Warning,
            "notice" => Self::Notice,
            "info" | "debug" => Self::Info,
            _ => return None,
        })
    }
}

/// A message, with the place in the configuration that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) place: Option<(String, u32)>,
}

impl Note {
    pub(super) const fn new(level: Level, text: String) -> Self {
        Self {
            level,
            text,
            place: None,
        }
    }

    pub(super) const fn emergency(text: String) -> Self {
        Self::new(Level::Emergency, text)
    }

    pub(super) fn at(level: Level, text: String, file: &str, line: u32) -> Self {
        Self {
            level,
            text,
            place: Some((file.to_owned(), line)),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.place {
            Some((file, line)) => write!(f, " in {file}:{line}"),
            None => Ok(()),
        }
    }
}

/// A calendar time as `YYYY/MM/DD hh:mm:ss`, UTC.
pub(super) fn stamp(wall: Wall) -> String {
    let (days, second) = (wall.0 / 86_400, wall.0 % 86_400);
    // The civil date is computed from days since 1970-01-01, in eras of 400 years that begin in March.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}/{month:02}/{day:02} {:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_follows_the_civil_calendar() {
        assert_eq!(stamp(Wall(0)), "1970/01/01 00:00:00");
        assert_eq!(stamp(Wall(951_782_400)), "2000/02/29 00:00:00");
        assert_eq!(stamp(Wall(1_795_226_764)), "2026/11/21 02:06:04");
    }
}
