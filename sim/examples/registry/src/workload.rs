//! Counts of the workload, so that a scenario states how much its run has tried.

use crate::fact::{OperationKind, RegistryFact};
use crate::pod::SERVICE;
use crate::viewed_set::ViewedSet;
use phalanx_core::registry::log::LogEntry;
use phalanx_sim::invariant::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The counts.
#[derive(Debug, Default)]
pub struct Workload {
    /// The writes without an answer.
    waiting: BTreeSet<String>,
    /// The times of the acknowledgements of writes.
    acknowledged: Vec<u64>,
    /// The number of writes without an answer at each end of a registry's process.
    at_ends: Vec<usize>,
    /// The time at which each batch became durable, by its sequence number.
    committed: BTreeMap<u64, u64>,
    /// The number of batches of pods.
    registrations: u64,
    /// The last position of each watcher.
    positions: BTreeMap<usize, u64>,
    /// The time, the host and the delay of each delivery of changes.
    delays: Vec<(u64, usize, u64)>,
}

/// Whether a batch changes the set of a watcher.
fn concerns(entry: &LogEntry, set: &ViewedSet) -> bool {
    entry.changes.iter().any(|change| {
        let objects = [&change.before, &change.after];
        objects.into_iter().flatten().any(|it| set.holds(it))
    })
}

impl Workload {
    /// Counts a fact. `history` has the durable batches.
    pub fn count(&mut self, report: &Report<'_>, history: &[Arc<LogEntry>]) {
        match report.event.of() {
            Some(RegistryFact::Called {
                request,
                operations,
            }) => {
                if operations.iter().all(|it| it.1 != OperationKind::Read) {
                    self.waiting.insert(request.clone());
                }
            }
            Some(RegistryFact::Acknowledged { .. }) => self.acknowledged.push(report.now),
            Some(RegistryFact::Returned { request, .. } | RegistryFact::Refused { request }) => {
                self.waiting.remove(request);
            }
            Some(RegistryFact::Committed(entries)) => {
                for entry in entries {
                    self.committed.insert(entry.revision.sequence, report.now);
                    let request = entry.request.as_ref();
                    let is_pod = request.is_some_and(|it| it.key.caller.ends_with(SERVICE));
                    self.registrations += u64::from(is_pod);
                }
            }
            Some(RegistryFact::Delivered { set, delivery }) => {
                let to = delivery.token.sequence;
                let from = self.positions.insert(report.host, to).unwrap_or(to);
                let heard = history.iter().take(to as usize).skip(from as usize);
                let first = heard.clone().find(|entry| concerns(entry, set));
                let at = first.and_then(|it| self.committed.get(&it.revision.sequence));
                if let Some(at) = at.filter(|_| !delivery.is_snapshot) {
                    let delay = report.now.saturating_sub(*at);
                    self.delays.push((report.now, report.host, delay));
                }
            }
            Some(
                RegistryFact::Serving { .. }
                | RegistryFact::CommitFailed
                | RegistryFact::Deposed
                | RegistryFact::Reset
                | RegistryFact::Forgot
                | RegistryFact::Ready
                | RegistryFact::InSync
                | RegistryFact::LostSync
                | RegistryFact::TimedOut
                | RegistryFact::Violation(_),
            )
            | None => {}
        }
    }

    /// The process of a registry has ended.
    pub fn end(&mut self) {
        self.at_ends.push(self.waiting.len());
    }

    /// A metric over these hosts and within a window.
    ///
    /// # Errors
    /// Returns an error if there is no sample, or no such metric.
    pub fn metric(&self, word: &str, who: &[usize], window: (u64, u64)) -> Result<u64, String> {
        let is_within = |at: u64| window.0 <= at && at <= window.1;
        match word {
            "acknowledged-writes" => {
                let within = self.acknowledged.iter().filter(|at| is_within(**at));
                Ok(within.count() as u64)
            }
            "registrations" => Ok(self.registrations),
            "killed-registries" => Ok(self.at_ends.len() as u64),
            "killed-while-idle" => {
                let idle = self.at_ends.iter().filter(|writes| **writes == 0);
                Ok(idle.count() as u64)
            }
            "watch-delay-ms" => {
                let within = self
                    .delays
                    .iter()
                    .filter(|it| is_within(it.0) && who.contains(&it.1));
                let longest = within.map(|it| it.2 / 1_000_000).max();
                longest.ok_or_else(|| "no watcher got a change".to_owned())
            }
            _ => Err(format!("the registry cannot measure `{word}`")),
        }
    }
}
