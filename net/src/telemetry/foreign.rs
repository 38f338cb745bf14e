//! Limits the log lines of libraries, whose causes are not known: each module has one rate.

use crate::driver::TimeOrigin;
use phalanx_core::reports::{ReportLimits, ReportRates, ReportSource};
use std::sync::{Mutex, PoisonError};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The prefix of the modules of this project.
const OWN: &str = "phalanx";

/// A layer that suppresses lines of libraries above their rates; `debug` and `trace` lines are not limited.
#[derive(Debug)]
pub(super) struct ForeignLines {
    clock: TimeOrigin,
    limits: Mutex<ReportLimits>,
}

impl ForeignLines {
    pub(super) fn new() -> Self {
        Self {
            clock: TimeOrigin::begin(),
            limits: Mutex::new(ReportLimits::new(ReportRates::LOG)),
        }
    }

    fn admits(&self, target: &'static str) -> bool {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.admit(self.clock.now(), target, &ReportSource::Unknown)
    }
}

impl<S: Subscriber> Layer<S> for ForeignLines {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let is_frequent = *metadata.level() > Level::INFO;
        is_frequent || metadata.target().starts_with(OWN) || self.admits(metadata.target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_writes_a_few_lines_and_then_one_each_interval() {
        let limits = ForeignLines::new();
        let flood = (0..1_000).filter(|_| limits.admits("h2::proto")).count();
        assert_eq!(flood, ReportRates::LOG.source.burst as usize);
        assert!(limits.admits("rustls::conn"));
    }
}
