//! A watcher hears each change of its set once, in order and in whole batches, and its snapshots are the set at one
//! revision: etcd's promises *ordered*, *unique*, *atomic*, *reliable*, *resumable* and *bookmarkable*.
//!
//! The expected changes are derived from the durable history alone, by the definition of the set.

use crate::archive::{Archive, SharedArchive};
use crate::fact::RegistryFact;
use crate::viewed_set::ViewedSet;
use phalanx_core::registry::log::LogEntry;
use phalanx_core::registry::name::ObjectName;
use phalanx_core::registry::object::Object;
use phalanx_core::registry::watch::{WatchChange, WatchDelivery};
use phalanx_sim::invariant::{Invariant, InvariantResult, Report, Steps};
use phalanx_sim::world::Program;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

type Set = BTreeMap<ObjectName, Arc<Object>>;

/// The set of a watcher at its position.
#[derive(Default)]
struct Follower {
    position: u64,
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
        let history = archive.history();
        let to = delivery.token.sequence;
        if to > history.len() as u64 {
            return Err(format!("heard of {to}, which is not durable"));
        }
        let from = self.position;
        if self.is_undone && !delivery.is_snapshot {
            return Err(format!(
                "goes on from {from}, which a restored backup has undone"
            ));
        }
        if self.has_copy && to < from && !self.is_undone {
            return Err(format!("went back from {from} to {to}"));
        }
        let mut expected = Vec::new();
        if delivery.is_snapshot {
            let before = std::mem::take(&mut self.set);
            for entry in &history[..to as usize] {
                apply(&mut self.set, viewed, entry);
            }
            let gone = before.keys().filter(|name| !self.set.contains_key(*name));
            expected.extend(gone.cloned().map(WatchChange::Removed));
            let new = self
                .set
                .iter()
                .filter(|(name, it)| before.get(*name) != Some(*it));
            expected.extend(new.map(|(_, it)| WatchChange::Current(Arc::clone(it))));
        } else if self.has_copy {
            for entry in &history[from as usize..to as usize] {
                expected.extend(apply(&mut self.set, viewed, entry));
            }
        } else {
            return Err("heard a change before a snapshot".to_owned());
        }
        self.position = to;
        self.has_copy = true;
        self.is_undone = false;
        if delivery.changes != expected {
            let names = |changes: &[WatchChange]| {
                let names: Vec<_> = changes.iter().map(|it| it.name().to_string()).collect();
                names.join(", ")
            };
            return Err(format!(
                "from {from} to {to} (snapshot: {}): heard of [{}] and not of [{}]",
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
                restored: Some(head),
                ..
            }) => {
                for follower in self.followers.values_mut() {
                    follower.is_undone |= follower.position > *head;
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
