//! Limits reports about unauthenticated connections: publishes some reports of each window, and counts the others.
//!
//! Otherwise unauthenticated connections could fill the log, and displace events about members from the events kept for
//! watchers.

use crate::time::{Duration, Instant};

/// Maximum number of reports within one [`WINDOW`].
pub const REPORTS_MAX: u32 = 20;
/// The window in which reports are counted.
pub const WINDOW: Duration = Duration::from_secs(1);

/// The verdict on one report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The number of earlier reports that were suppressed, which is to be published first; 0 unless a new window
    /// begins.
    pub suppressed_before: u64,
    /// Whether the report is published.
    pub published: bool,
}

/// A limit of reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLimit {
    /// The start of the window.
    since: Instant,
    published: u32,
    suppressed: u64,
}

impl ReportLimit {
    /// A limit whose first window begins at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            since: now,
            published: 0,
            suppressed: 0,
        }
    }

    /// Counts one more report, and decides whether it is published.
    pub fn admit(&mut self, now: Instant) -> Admitted {
        let mut suppressed_before = 0;
        if now - self.since >= WINDOW {
            suppressed_before = core::mem::take(&mut self.suppressed);
            self.since = now;
            self.published = 0;
        }
        let published = self.published < REPORTS_MAX;
        if published {
            self.published += 1;
        } else {
            self.suppressed += 1;
        }
        Admitted {
            suppressed_before,
            published,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_reported_in_part_and_then_counted() {
        let begin = Instant::from_millis(5_000);
        let mut limit = ReportLimit::new(begin);
        let flood: Vec<Admitted> = (0..1_000).map(|_| limit.admit(begin)).collect();
        let published = flood.iter().filter(|it| it.published).count();
        assert_eq!(published, REPORTS_MAX as usize);
        assert!(flood.iter().all(|it| it.suppressed_before == 0));
        let late = begin + WINDOW;
        let first = limit.admit(late);
        let suppressed_before = 1_000 - u64::from(REPORTS_MAX);
        assert_eq!(
            first,
            Admitted {
                suppressed_before,
                published: true
            }
        );
        assert_eq!(limit.admit(late + WINDOW).suppressed_before, 0);
    }
}
