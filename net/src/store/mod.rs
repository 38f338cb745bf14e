//! A small durable key/value store: the items that a node keeps across restarts.
//!
//! [`Store`] is the interface; [`FileStore`] keeps each item in a file of a held directory, [`MemoryStore`] in memory
//! for nodes that are simulated or short-lived. An item has a constant [`ItemName`] and a maximum size,
//! [`ITEM_BYTES_MAX`] unless the name states another. The store knows no format: [`epoch`] has the format and the rules
//! of the node's epoch, [`revocations`] the
//! format of revocations, [`addresses`] the format of the addresses of members.

pub mod addresses;
pub mod epoch;
mod error;
mod file;
mod interface;
mod memory;
mod name;
pub mod revocations;

pub use error::StoreError;
pub use file::FileStore;
pub use interface::Store;
pub use memory::MemoryStore;
pub use name::{ITEM_BYTES_MAX, ItemName};
