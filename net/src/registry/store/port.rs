//! The port.

use phalanx_core::registry::store::{CommitGroup, StoreFailure, StoreImage};
use phalanx_core::registry::volatile_store::VolatileStore;
use std::time::Duration;

/// A region's store.
pub trait RegionStore: Send + 'static {
    /// Makes a new epoch of this incarnation durable, and returns the stored state. From then on, commits of earlier
    /// epochs fail.
    ///
    /// # Errors
    /// Returns `Fenced` if another process holds the store, and another error if the store cannot be opened.
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure>;

    /// Makes a group of batches durable, all of them or none.
    ///
    /// # Errors
    /// Returns `Full` or `Fenced` if nothing was stored, and `Failed` if this is not known. After `Failed`, the store
    /// must be opened again.
    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure>;

    /// The process that holds the store, if the last opening failed because of it.
    fn holder(&self) -> Option<String> {
        None
    }

    /// The longest time between two orders without upkeep; none if the store needs none.
    fn upkeep_interval(&self) -> Option<Duration> {
        None
    }

    /// Upkeep: extends the hold on the store. Returns false if another process has begun an epoch; the next opening
    /// begins one of this process again.
    fn keep(&mut self) -> bool {
        true
    }

    /// Gives up the hold on the store, so that another process can open it at once.
    fn release(&mut self) {}
}

impl RegionStore for VolatileStore {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        Ok(Self::open(self, incarnation))
    }

    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        Self::commit(self, group)
    }
}
