//! The starts of processes that exited instead, on the hosts that a failure concerns.

use crate::finding::seconds;
use crate::record::Recording;
use serde::Serialize;

/// Maximum number of times named for one host.
const TIMES_MAX: usize = 3;

/// The failed starts of a host up to a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedStarts {
    /// The host.
    pub node: String,
    /// The times, in nanoseconds.
    pub at: Vec<u64>,
    /// The reason of the latest one.
    pub reason: String,
    /// Whether a process of the host started afterwards.
    pub started_since: bool,
    /// Whether the host has a service manager, which starts the process again.
    pub has_service_manager: bool,
}

impl FailedStarts {
    /// Formats the starts as one line.
    pub(super) fn line(&self) -> String {
        let first = self.at.iter().take(TIMES_MAX).map(|at| seconds(*at));
        let mut times = first.collect::<Vec<_>>().join(", ");
        if self.at.len() > TIMES_MAX {
            times += &format!(" and {} times more", self.at.len() - TIMES_MAX);
        }
        let since = match (self.started_since, self.has_service_manager) {
            (true, _) => "it started later",
            (false, true) => "its service manager did not succeed since",
            (false, false) => {
                "nothing started it since: its `[[nodes]]` have no service manager (`restart-after`)"
            }
        };
        let (node, reason) = (&self.node, &self.reason);
        format!("{node} exited at its start at {times}: {reason}; {since}")
    }
}

/// Returns the failed starts of these hosts up to an instant; of all hosts, if there are none.
pub(super) fn failed(recording: &Recording<'_>, hosts: &[usize], until: u64) -> Vec<FailedStarts> {
    let mut all: Vec<(usize, FailedStarts)> = Vec::new();
    let failed = recording.failed_starts().iter();
    let concerns = |host: usize| hosts.is_empty() || hosts.contains(&host);
    for start in failed.filter(|it| it.at <= until && concerns(it.host)) {
        let known = all.iter_mut().find(|(host, _)| *host == start.host);
        if let Some((_, known)) = known {
            known.at.push(start.at);
            known.reason.clone_from(&start.reason);
        } else {
            let host = &recording.scenario().hosts[start.host];
            let starts = FailedStarts {
                node: host.name.clone(),
                has_service_manager: host.restart_after.is_some(),
                at: vec![start.at],
                reason: start.reason.clone(),
                started_since: false,
            };
            all.push((start.host, starts));
        }
    }
    for (host, starts) in &mut all {
        let last = starts.at.last().copied().unwrap_or(0);
        let mut later = recording.events().rev().take_while(|event| event.at > last);
        starts.started_since = later
            .any(|event| event.at <= until && event.host == Some(*host) && event.kind == "start");
    }
    all.into_iter().map(|(_, starts)| starts).collect()
}
