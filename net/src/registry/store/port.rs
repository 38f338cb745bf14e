//! The port.

use phalanx_core::registry::store::{CommitGroup, StoreFailure, StoreImage};
use phalanx_core::registry::volatile_store::VolatileStore;

/// A region's store.
pub trait RegionStore: Send + 'static {
    /// Makes a new epoch of this incarnation durable, and returns the stored state. From then on, commits of earlier
    /// epochs fail.
    ///
    /// # Errors
    /// Returns an error if the store cannot be opened.
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure>;

    /// Makes a group of batches durable, all of them or none.
    ///
    /// # Errors
    /// Returns `Full` or `Fenced` if nothing was stored, and `Failed` if this is not known. After `Failed`, the store
    /// must be opened again.
    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure>;
}

impl RegionStore for VolatileStore {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        Ok(Self::open(self, incarnation))
    }

    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        Self::commit(self, group)
    }
}
