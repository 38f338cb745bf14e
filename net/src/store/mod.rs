//! What a node keeps across restarts: its epoch.
//!
//! The epoch rises with each start, so that the mesh tells a node's lives apart. It is durable before the node
//! says it: [`FileEpoch::next_epoch`] at the start, and [`EpochStore::store`] when the machine orders it later.
//! Where nothing is stored the epoch starts at the calendar's seconds: a node whose disk was lost still comes
//! back with a higher epoch than before.

mod file;

pub use file::FileEpoch;

use phalanx_core::time::Wall;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a node's epoch is kept. Cloning shares it.
pub trait EpochStore: Clone + Send + Sync + 'static {
    /// Stores an epoch; on return it is durable.
    fn store(&self, epoch: u64) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why an epoch cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its directory cannot be used.
    #[error("{}: {doing} failed: {error}; the state directory must exist and be writable", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// Another process uses the directory.
    #[error("{}: another phalanxd{} uses this state directory; stop it, or give each node its own", .directory.display(), in_words(*.process))]
    Held {
        /// The directory.
        directory: PathBuf,
        /// Which process, if it could be found out.
        process: Option<u32>,
    },
    /// The epoch to store is below the stored one.
    #[error("{}: holds epoch {stored}, and {epoch} is lower; an epoch never falls", .path.display())]
    Falls {
        /// The file.
        path: PathBuf,
        /// The epoch in it.
        stored: u64,
        /// The epoch that was to be stored.
        epoch: u64,
    },
    /// The file does not hold what was written.
    #[error(
        "{}: is damaged ({reason}); remove it, and the node takes a new epoch from the calendar", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// The epoch cannot rise any more.
    #[error("{}: epoch {epoch} cannot rise any more; remove the file", .path.display())]
    Exhausted {
        /// The file.
        path: PathBuf,
        /// The epoch.
        epoch: u64,
    },
}

fn in_words(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

/// An epoch kept in memory, for nodes that are simulated or short-lived.
#[derive(Clone, Debug, Default)]
pub struct MemoryEpoch {
    epoch: Arc<AtomicU64>,
}

impl MemoryEpoch {
    /// A memory that holds this epoch; 0 for none.
    #[must_use]
    pub fn holding(epoch: u64) -> Self {
        Self {
            epoch: Arc::new(AtomicU64::new(epoch)),
        }
    }

    /// The epoch for a new start: above the stored one, or from the calendar; stored already.
    #[must_use]
    pub fn next_epoch(&self, now: Wall) -> u64 {
        let next = match self.epoch.load(Ordering::SeqCst) {
            0 => now.0.max(1),
            stored => stored.saturating_add(1),
        };
        self.epoch.store(next, Ordering::SeqCst);
        next
    }

    /// The stored epoch; 0 if there is none.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }
}

impl EpochStore for MemoryEpoch {
    async fn store(&self, epoch: u64) -> Result<(), StoreError> {
        self.epoch.store(epoch, Ordering::SeqCst);
        Ok(())
    }
}
