//! The port to a region's store, and its adapters.
//!
//! [`RegionStore`] has the two operations that the sequencer orders
//! ([`phalanx_core::registry::store`] describes them). An adapter may block: `StoreThread` calls it on a thread of its
//! own, one order at a time.
//!
//! - `sqlite`: a file of SQLite.
//! - `postgres`: a schema of a database of PostgreSQL.
//! - `image`: checks of what a store has read.
//! - `directory`: the directory of the file, held by one process at a time.
//! - `backup`: copies of the file at one revision.
//! - `view`: the description of a store for people.
//! - `conformance`: the tests that each adapter passes.

mod backup;
#[cfg(test)]
mod conformance;
mod directory;
mod image;
mod port;
mod postgres;
mod sqlite;
mod thread;
mod view;

pub(super) use backup::BackupTurn;
pub use backup::{BackupError, StoreContent, read_content, restore};
pub use directory::{StoreDirectory, StoreDirectoryError};
pub use port::RegionStore;
pub use postgres::{PostgresStore, PostgresStoreError, PostgresStoreState};
pub use sqlite::{SqliteError, SqliteStore};
pub(super) use thread::{RegionStoreOrder, StoreThread};
pub use view::RegistryStoreView;
