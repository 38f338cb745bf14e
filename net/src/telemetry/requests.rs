//! Limits the log lines about requests of the operator, such as signals, so that a program that repeats a request without
//! end does not fill the log. Each kind of request has one rate; requests above it are counted.

use crate::driver::TimeOrigin;
use phalanx_core::reports::{ReportLimits, ReportRate, ReportRates, ReportSource};
use phalanx_core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rate of one kind: a person who repeats a request sees a line for each.
const RATE: ReportRate = ReportRate {
    burst: 10,
    interval: Duration::from_secs(30),
};
const RATES: ReportRates = ReportRates {
    source: RATE,
    kind: RATE,
    window_min: Duration::from_secs(10),
    window_max: Duration::from_secs(300),
};

/// The rates of all kinds. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct RequestLines {
    clock: TimeOrigin,
    limits: Arc<Mutex<ReportLimits>>,
}

impl RequestLines {
    pub(super) fn new() -> Self {
        Self {
            clock: TimeOrigin::begin(),
            limits: Arc::new(Mutex::new(ReportLimits::new(RATES))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ReportLimits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is logged; otherwise it is counted.
    pub(super) fn admits(&self, kind: &'static str) -> bool {
        self.lock()
            .admit(self.clock.now(), kind, &ReportSource::Unknown)
    }

    /// The kinds and numbers of counted requests whose summary is due.
    pub(super) fn due(&self) -> Vec<(&'static str, u64)> {
        let due = self.lock().due(self.clock.now()).into_iter();
        due.map(|summary| (summary.kind, summary.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_repeated_is_logged_a_few_times_and_another_kind_is_logged() {
        let lines = RequestLines::new();
        let logged = (0..1_000).filter(|_| lines.admits("reload")).count();
        assert_eq!(logged, RATE.burst as usize);
        assert!(lines.admits("failed reload"));
        assert_eq!(lines.due(), [], "the summary comes at the end of a window");
        let later = lines.clock.now() + RATES.window_min;
        let due = lines.lock().due(later);
        assert_eq!((due.len(), due[0].count), (1, 990));
    }
}
