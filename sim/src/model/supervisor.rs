//! The connection between runs and the caller of the engine.
//!
//! The engine has no clock. A caller that has a clock and receives signals shares a [`Supervisor`] with the run: the
//! caller reads the position of the run and requests its end.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

/// The request to end every run.
const EVERY_RUN: u64 = u64::MAX;

/// The value of the host in a position before the first step.
const NO_HOST: u64 = u64::MAX;

/// The connection between runs and their caller: the position of the current run, and requests to end the run. One
/// supervisor serves one run at a time.
#[derive(Debug, Default)]
pub struct Supervisor {
    /// The number of the current run.
    run: AtomicU64,
    runs: AtomicBool,
    /// The number of the run that is to end because of its wall time, or [`EVERY_RUN`].
    request: AtomicU64,
    at: AtomicU64,
    event: AtomicU64,
    host: AtomicU64,
}

/// The position of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPosition {
    /// The number of the run among the runs of the supervisor, from 1.
    pub run: u64,
    /// Virtual time.
    pub at: Duration,
    /// Number of processed events.
    pub event: u64,
    /// The index of the host whose process is handling an event or handled the last one.
    pub host: Option<usize>,
}

impl Supervisor {
    /// Requests that the current run and all later runs end.
    pub fn interrupt(&self) {
        self.request.store(EVERY_RUN, Ordering::Relaxed);
    }

    /// Requests that this run ends as a failure, because the run takes too long. The request has no effect on other
    /// runs.
    pub fn end_for_time(&self, run: u64) {
        let unless_interrupted = |request| (request != EVERY_RUN).then_some(run);
        let relaxed = Ordering::Relaxed;
        // The exchange fails if an interrupt was requested earlier; the interrupt stays.
        let _interrupted = self
            .request
            .fetch_update(relaxed, relaxed, unless_interrupted);
    }

    /// Returns whether all runs are to end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.request.load(Ordering::Relaxed) == EVERY_RUN
    }

    /// Returns the position of the current run; `None` between runs.
    #[must_use]
    pub fn position(&self) -> Option<RunPosition> {
        self.runs.load(Ordering::Relaxed).then(|| RunPosition {
            run: self.run.load(Ordering::Relaxed),
            at: Duration::from_nanos(self.at.load(Ordering::Relaxed)),
            event: self.event.load(Ordering::Relaxed),
            host: usize::try_from(self.host.load(Ordering::Relaxed)).ok(),
        })
    }

    fn begin(&self) {
        self.run.fetch_add(1, Ordering::Relaxed);
        self.at.store(0, Ordering::Relaxed);
        self.event.store(0, Ordering::Relaxed);
        self.host.store(NO_HOST, Ordering::Relaxed);
        self.runs.store(true, Ordering::Relaxed);
    }

    /// Returns whether the current run is to end because of its wall time.
    pub(super) fn is_late(&self) -> bool {
        self.request.load(Ordering::Relaxed) == self.run.load(Ordering::Relaxed)
    }

    /// Notes that a process of a host is about to handle an event.
    pub(super) fn enter(&self, at: u64, event: u64, host: usize) {
        self.at.store(at, Ordering::Relaxed);
        self.event.store(event, Ordering::Relaxed);
        self.host.store(host as u64, Ordering::Relaxed);
    }
}

/// The current run of a supervisor. The run is over when this value is dropped, even by a panic.
pub(super) struct SupervisedRun<'a>(&'a Supervisor);

impl<'a> SupervisedRun<'a> {
    pub(super) fn new(supervisor: &'a Supervisor) -> Self {
        supervisor.begin();
        Self(supervisor)
    }

    pub(super) const fn supervisor(&self) -> &'a Supervisor {
        self.0
    }
}

impl Drop for SupervisedRun<'_> {
    fn drop(&mut self) {
        self.0.runs.store(false, Ordering::Relaxed);
    }
}
