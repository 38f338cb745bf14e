//! The port to a region's store, and its adapters.
//!
//! [`RegionStore`] has the two operations that the sequencer orders
//! ([`phalanx_core::registry::store`] describes them). An adapter may block: `StoreThread` calls it on a thread of its
//! own, one order at a time.
//!
//! - `sqlite`: a file of SQLite.
//! - `directory`: the directory of the file, held by one process at a time.
//! - `backup`: copies of the file at one revision.
//! - `conformance`: the tests that each adapter passes.

pub(super) mod backup;
#[cfg(test)]
mod conformance;
mod directory;
mod port;
mod sqlite;
mod thread;

pub use backup::{BackupError, StoreContent, read_content, restore};
pub(super) use directory::BackupTurn;
pub use directory::{StoreDirectory, StoreDirectoryError};
pub use port::RegionStore;
pub use sqlite::{SqliteError, SqliteStore};
pub(super) use thread::{RegionStoreOrder, StoreThread};
