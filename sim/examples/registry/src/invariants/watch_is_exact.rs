//! A watcher hears each change of its set once, in order and in whole batches, and its snapshots are the set at one
//! revision: etcd's promises *ordered*, *unique*, *atomic*, *reliable*, *resumable* and *bookmarkable*.
//!
//! The expected changes are derived from the durable history alone, by the definition of the set.

use crate::archive::{Archive, SharedArchive};
use crate::fact::RegistryFact;
use crate::viewed_set::ViewedSet;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::name::{ObjectName, RegionId};
use phalanx_core::registry::object::Object;
use phalanx_core::registry::watch::{WatchChange, WatchDelivery};
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

type Set = BTreeMap<ObjectName, Arc<Object>>;

/// The set of a watcher at its positions in the logs of regions.
#[derive(Default)]
struct Follower {
    positions: BTreeMap<RegionId, u64>,
    set: Set,
    /// Whether the watcher has a copy that its next delivery changes.
    has_copy: bool,
    /// Whether the position is one of a history that a restored backup has undone, so that a snapshot must follow.
    is_undone: bool,
}

pub(super) struct WatchIsExact {
    archive: SharedArchive,
    followers: BTreeMap<usize, Follower>,
    checked: u64,
}

impl WatchIsExact {
    pub(super) fn new(archive: &SharedArchive) -> Self {
        Self {
            archive: Rc::clone(archive),
            followers: BTreeMap::new(),
            checked: 0,
        }
    }
}

/// Applies a batch to a set. Returns the changes that a watcher of the set hears.
fn apply(set: &mut Set, viewed: &ViewedSet, entry: &LogEntry) -> Vec<WatchChange> {
    let heard = entry.changes.iter().filter_map(|change| {
        match change.after.as_ref().filter(|after| viewed.holds(after)) {
            Some(after) => {
                set.insert(change.name.clone(), Arc::clone(after));
                Some(WatchChange::Current(Arc::clone(after)))
            }
            None => {
                let was_in = set.remove(&change.name).is_some();
                was_in.then(|| WatchChange::Removed(change.name.clone()))
            }
        }
    });
    heard.collect()
}

impl Follower {
    fn hear(
        &mut self,
        archive: &Archive,
        viewed: &ViewedSet,
        delivery: &WatchDelivery,
    ) -> InvariantResult {
        let to = delivery.token.positions.iter();
        let to: BTreeMap<RegionId, u64> = to.map(|(of, at)| (of.clone(), at.sequence)).collect();
        let from = self.positions.clone();
        let at = |positions: &BTreeMap<RegionId, u64>, region: &RegionId| {
            positions.get(region).copied().unwrap_or(0)
        };
        for (region, to) in &to {
            if *to > archive.history(region).len() as u64 {
                return Err(format!("heard of {region} {to}, which is not durable"));
            }
        }
        if self.is_undone && !delivery.is_snapshot {
            return Err(format!(
                "goes on from {from:?}, which a restored backup has undone"
            ));
        }
        let mut went = from.keys();
        let back = went.find(|region| at(&to, region) < at(&from, region));
        if self.has_copy && back.is_some() && !self.is_undone {
            return Err(format!("went back from {from:?} to {to:?}"));
        }
        let mut expected = Vec::new();
        if delivery.is_snapshot {
            let before = std::mem::take(&mut self.set);
            for (region, to) in &to {
                for entry in &archive.history(region)[..*to as usize] {
                    apply(&mut self.set, viewed, entry);
                }
            }
            let gone = before.keys().filter(|name| !self.set.contains_key(*name));
            expected.extend(gone.cloned().map(WatchChange::Removed));
            let new = self
                .set
                .iter()
                .filter(|(name, it)| before.get(*name) != Some(*it));
            expected.extend(new.map(|(_, it)| WatchChange::Current(Arc::clone(it))));
        } else if self.has_copy {
            for (region, to) in &to {
                let history = archive.history(region);
                for entry in &history[at(&from, region) as usize..*to as usize] {
                    expected.extend(apply(&mut self.set, viewed, entry));
                }
            }
        } else {
            return Err("heard a change before a snapshot".to_owned());
        }
        // The order is that of the owner of the objects; changes of two owners are in any order.
        let owner = |change: &WatchChange| match change.name().region() {
            // The primary region owns the records of regions.
            Some(_) if change.name().as_str().starts_with("regions/") => None,
            region => region,
        };
        let by_owner = |changes: &[WatchChange]| {
            let mut changes = changes.to_vec();
            changes.sort_by_key(owner);
            changes
        };
        let (delivered, expected) = if delivery.is_snapshot {
            (delivery.changes.clone(), expected)
        } else {
            (by_owner(&delivery.changes), by_owner(&expected))
        };
        self.positions = to.clone();
        self.has_copy = true;
        self.is_undone = false;
        if delivered != expected {
            let names = |changes: &[WatchChange]| {
                let names: Vec<_> = changes.iter().map(|it| it.name().to_string()).collect();
                names.join(", ")
            };
            return Err(format!(
                "from {from:?} to {to:?} (snapshot: {}): heard of [{}] and not of [{}]",
                delivery.is_snapshot,
                names(&delivery.changes),
                names(&expected)
            ));
        }
        Ok(())
    }
}

impl Invariant for WatchIsExact {
    fn name(&self) -> &'static str {
        "watch-is-exact"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_report(&mut self, report: &Report<'_>, _: &dyn Program) -> InvariantResult {
        match report.event.of() {
            Some(RegistryFact::Delivered { set, delivery }) => {
                self.checked += delivery.changes.len() as u64;
                let follower = self.followers.entry(report.host).or_default();
                follower.hear(&self.archive.borrow(), set, delivery)
            }
            Some(RegistryFact::Serving {
                region,
                restored: Some(head),
                ..
            }) => {
                for follower in self.followers.values_mut() {
                    let position = follower.positions.get(region);
                    follower.is_undone |= position.is_some_and(|at| at > head);
                }
                Ok(())
            }
            Some(RegistryFact::Forgot) => {
                self.followers.remove(&report.host);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
