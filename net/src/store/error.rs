//! Errors of a store.

use super::name::{ITEM_BYTES_MAX, ItemName};
use std::io;
use std::path::PathBuf;

/// The reason why an item cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory cannot be used. If flushing the directory failed, the new item is in place but not
    /// known to be durable; otherwise the old item remains.
    #[error("{}: {doing} failed: {error}; the state directory must exist and be writable", .path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// Another process uses the directory.
    #[error("{}: another phalanxd{} uses this state directory; stop it, or give each node its own", .directory.display(), process_in_words(*.process))]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The process, if it is known.
        process: Option<u32>,
    },
    /// The item to save is larger than [`ITEM_BYTES_MAX`]; the old item remains.
    #[error(
        "{name}: {bytes} bytes are too many for the store; at most {ITEM_BYTES_MAX} are allowed"
    )]
    TooLarge {
        /// The item.
        name: ItemName,
        /// Its size.
        bytes: usize,
    },
}

fn process_in_words(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}
