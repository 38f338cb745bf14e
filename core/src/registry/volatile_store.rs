//! A store in memory: the reference for stores, without faults and without durability.
//!
//! Tests and simulations add the faults: a group that is lost, torn, refused or stored without an answer.

use super::log::{CopyPosition, EPOCHS_MAX, LogEntry, LogEpoch, ObjectChange};
use super::name::RegionId;
use super::state::RegistryState;
use super::store::{CommitGroup, StoreFailure, StoreImage};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A store in memory.
#[derive(Clone, Debug, Default)]
pub struct VolatileStore {
    uid: Option<u64>,
    copies: BTreeMap<RegionId, CopyPosition>,
    epochs: Vec<(LogEpoch, u64)>,
    state: RegistryState,
    floor: u64,
    log: VecDeque<Arc<LogEntry>>,
}

impl VolatileStore {
    /// The sequence number of the latest batch.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.floor + self.log.len() as u64
    }

    /// The epochs, each with the sequence number of its first batch.
    #[must_use]
    pub fn epochs(&self) -> &[(LogEpoch, u64)] {
        &self.epochs
    }

    /// The state after the latest batch.
    #[must_use]
    pub const fn state(&self) -> &RegistryState {
        &self.state
    }

    /// Begins an epoch, and returns the stored state.
    pub fn open(&mut self, incarnation: u64) -> StoreImage {
        let number = self.epochs.last().map_or(1, |(epoch, _)| epoch.number + 1);
        let epoch = LogEpoch {
            number,
            incarnation,
        };
        self.epochs.push((epoch, self.head() + 1));
        let forgotten = self.epochs.len().saturating_sub(EPOCHS_MAX);
        self.epochs.drain(..forgotten);
        let copies = self.copies.iter();
        StoreImage {
            uid: *self.uid.get_or_insert(incarnation),
            copies: copies.map(|(region, at)| (region.clone(), *at)).collect(),
            epochs: self.epochs.clone(),
            objects: self.state.objects().iter().cloned().collect(),
            floor: self.floor,
            log: self.log.iter().cloned().collect(),
        }
    }

    /// Commits a group.
    ///
    /// # Errors
    /// Returns `Fenced` if the group is one of an earlier epoch, and `Failed` if it does not follow the head. Nothing is
    /// stored then.
    pub fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        if self
            .epochs
            .last()
            .is_none_or(|(epoch, _)| *epoch != group.epoch)
        {
            return Err(StoreFailure::Fenced);
        }
        let first = group.entries.first().map(|entry| entry.revision.sequence);
        let copies_alone = first.is_none() && !group.copies.is_empty();
        if first != Some(self.head() + 1) && !copies_alone {
            return Err(StoreFailure::Failed);
        }
        for update in &group.copies {
            for (name, after) in &update.changes {
                self.state.apply(&ObjectChange {
                    name: name.clone(),
                    before: None,
                    after: after.clone(),
                });
            }
            self.copies.insert(update.region.clone(), update.position);
        }
        for entry in &group.entries {
            entry.changes.iter().for_each(|it| self.state.apply(it));
            self.log.push_back(Arc::clone(entry));
        }
        while self.floor < group.floor && self.log.pop_front().is_some() {
            self.floor += 1;
        }
        Ok(())
    }
}
