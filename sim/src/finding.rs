//! Findings: the nodes and the item that a failed expectation concerns.
//!
//! The judge and the programs of a run report findings at the instant at which an expectation fails. Nothing collects
//! findings while expectations hold. [`explanation`](crate::explanation) completes the findings from a recording of the
//! run.

use core::time::Duration;

/// The nodes and the item that a condition or metric concerned when it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureFinding {
    /// The host whose view or reports the failure concerns.
    pub observer: Option<usize>,
    /// The host about which the observer knows something wrong or nothing.
    pub observed: Option<usize>,
    /// The key in the state of the observer, for conditions on states.
    pub key: Option<String>,
    /// The time of the missing item, or of the first item in excess, in nanoseconds since the start of the run.
    pub since: Option<u64>,
    /// The reports that the expectation counts.
    pub reports: Option<CountedReports>,
    /// The time window in nanoseconds of a traffic metric.
    pub traffic: Option<(u64, u64)>,
    /// Whether the finding is a remark: a fact of the run in addition to the nodes and the item.
    pub is_remark: bool,
    /// The finding as a clause without a full stop.
    pub text: String,
}

/// The reports that an expectation counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedReports {
    /// The word of the event.
    pub word: &'static str,
    /// The hosts whose reports count.
    pub by: Vec<usize>,
    /// The hosts that the reports must concern; `None`: any host, or no host.
    pub about: Option<Vec<usize>>,
    /// The time window in nanoseconds, both ends included.
    pub window: (u64, u64),
    /// The number of the first report in excess, from 1; `None` if reports are missing.
    pub excess: Option<u32>,
}

impl FailureFinding {
    /// Creates a finding of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Creates a remark: a fact of the run in addition to the nodes and the item.
    #[must_use]
    pub fn remark(text: impl Into<String>) -> Self {
        Self {
            is_remark: true,
            ..Self::new(text)
        }
    }

    /// Returns the finding with its observer.
    #[must_use]
    pub const fn by(mut self, observer: usize) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Returns the finding with the host about which the observer knows something wrong.
    #[must_use]
    pub const fn about(mut self, observed: usize) -> Self {
        self.observed = Some(observed);
        self
    }

    /// Returns the finding with the key in the observer's state.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Returns the finding with the time of its item, in nanoseconds since the start of the run.
    #[must_use]
    pub const fn at(mut self, since: u64) -> Self {
        self.since = Some(since);
        self
    }
}

/// Formats an instant in nanoseconds as in messages: in seconds, with milliseconds.
#[must_use]
pub fn seconds(nanos: u64) -> String {
    let ms = Duration::from_nanos(nanos).as_millis();
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
