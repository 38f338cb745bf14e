//! Counts of the workload, so that a scenario states how much its run has tried.

use crate::archive::Archive;
use crate::fact::{OperationKind, RegistryFact};
use crate::pod::SERVICE;
use crate::viewed_set::ViewedSet;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::policy::enabled_regions;
use phalanx_sim::invariant::Report;
use std::collections::{BTreeMap, BTreeSet};

/// The counts.
#[derive(Debug, Default)]
pub struct Workload {
    /// The writes without an answer.
    waiting: BTreeSet<String>,
    /// The times of the acknowledgements of writes.
    acknowledged: Vec<u64>,
    /// The number of writes without an answer at each end of a registry's process.
    at_ends: Vec<usize>,
    /// The time at which each batch became durable, by its region and sequence number.
    committed: BTreeMap<(RegionId, u64), u64>,
    /// The times of the acknowledgements of writes with the copies that their writers waited for.
    copied: Vec<u64>,
    /// The times of the acknowledgements of writes that changed nothing.
    unchanged: Vec<u64>,
    /// The times of the acknowledgements of writes for objects of another region than the primary one.
    routed: Vec<u64>,
    /// The watchers that follow, or have followed, a registry.
    watchers: BTreeSet<usize>,
    /// The last position of each copy, by its host and the owner.
    copies: BTreeMap<(usize, RegionId), u64>,
    /// The time, the host and the delay of each batch that a copy has taken.
    copy_delays: Vec<(u64, usize, u64)>,
    /// The number of times that a region has left a service, and of removed kinds.
    closed: u64,
    removed_kinds: u64,
    /// The number of batches of pods.
    registrations: u64,
    /// The last position of each watcher in the log of each region.
    positions: BTreeMap<(usize, RegionId), u64>,
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
    /// Counts a fact. The archive has the durable batches.
    pub fn count(&mut self, report: &Report<'_>, archive: &Archive) {
        match report.event.of() {
            Some(RegistryFact::Called {
                request,
                operations,
            }) => {
                if operations.iter().all(|it| it.1 != OperationKind::Read) {
                    self.waiting.insert(request.clone());
                }
            }
            Some(RegistryFact::Acknowledged { outcome, .. }) => {
                self.acknowledged.push(report.now);
                if outcome.objects.is_empty() {
                    self.unchanged.push(report.now);
                }
                if outcome.copies > 0 {
                    self.copied.push(report.now);
                }
                if outcome.region.as_str() != "eu" {
                    self.routed.push(report.now);
                }
            }
            Some(RegistryFact::Copied {
                owner, sequence, ..
            }) => {
                let of = (report.host, owner.clone());
                let from = self.copies.insert(of, *sequence).unwrap_or(*sequence);
                let first = self.committed.get(&(owner.clone(), from + 1));
                if let Some(at) = first.filter(|_| from < *sequence) {
                    let delay = report.now.saturating_sub(*at);
                    self.copy_delays.push((report.now, report.host, delay));
                }
            }
            Some(RegistryFact::InSync) => drop(self.watchers.insert(report.host)),
            Some(RegistryFact::Returned { request, .. } | RegistryFact::Refused { request }) => {
                self.waiting.remove(request);
            }
            Some(RegistryFact::Committed { region, entries }) => {
                for entry in entries {
                    let at = (region.clone(), entry.revision.sequence);
                    self.committed.insert(at, report.now);
                    self.count_ends(entry);
                    let request = entry.request.as_ref().filter(|_| !entry.changes.is_empty());
                    let is_pod = request.is_some_and(|it| it.key.caller.ends_with(SERVICE));
                    self.registrations += u64::from(is_pod);
                }
            }
            Some(RegistryFact::Delivered { set, delivery }) => {
                for (region, position) in &delivery.token.positions {
                    let to = position.sequence;
                    let of = (report.host, region.clone());
                    let from = self.positions.insert(of, to).unwrap_or(to);
                    let history = archive.history(region).iter();
                    let mut heard = history.take(to as usize).skip(from as usize);
                    let first = heard.find(|entry| concerns(entry, set));
                    let at = first.map(|it| (region.clone(), it.revision.sequence));
                    let at = at.and_then(|at| self.committed.get(&at));
                    if let Some(at) = at.filter(|_| !delivery.is_snapshot) {
                        let delay = report.now.saturating_sub(*at);
                        self.delays.push((report.now, report.host, delay));
                    }
                }
            }
            Some(
                RegistryFact::Serving { .. }
                | RegistryFact::CommitFailed
                | RegistryFact::Deposed
                | RegistryFact::Reset
                | RegistryFact::Forgot
                | RegistryFact::Ready
                | RegistryFact::TookSnapshot
                | RegistryFact::Following
                | RegistryFact::LostOwner
                | RegistryFact::FollowerRefused
                | RegistryFact::RegionTaken
                | RegistryFact::Unreachable { .. }
                | RegistryFact::LostSync
                | RegistryFact::TimedOut
                | RegistryFact::Violation(_),
            )
            | None => {}
        }
    }

    fn count_ends(&mut self, entry: &LogEntry) {
        for change in &entry.changes {
            match (&change.before, &change.after) {
                (Some(before), Some(after)) => {
                    let left = &enabled_regions(before) - &enabled_regions(after);
                    self.closed += left.len() as u64;
                }
                (Some(_), None) => {
                    self.removed_kinds += u64::from(change.name.as_str().contains("/resources/"));
                }
                (None, _) => {}
            }
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
            "copied-writes" => {
                let within = self.copied.iter().filter(|at| is_within(**at));
                Ok(within.count() as u64)
            }
            "unchanged-writes" => {
                let within = self.unchanged.iter().filter(|at| is_within(**at));
                Ok(within.count() as u64)
            }
            "routed-writes" => {
                let within = self.routed.iter().filter(|at| is_within(**at));
                Ok(within.count() as u64)
            }
            "watchers" => Ok(self.watchers.len() as u64),
            "copy-delay-ms" => {
                let delays = self.copy_delays.iter();
                let within = delays.filter(|it| is_within(it.0) && who.contains(&it.1));
                let longest = within.map(|it| it.2 / 1_000_000).max();
                longest.ok_or_else(|| "no copy has taken a batch".to_owned())
            }
            "registrations" => Ok(self.registrations),
            "closed-regions" => Ok(self.closed),
            "removed-kinds" => Ok(self.removed_kinds),
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
