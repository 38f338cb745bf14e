//! The directory where a node keeps its state, held by one process at a time.

use crate::Failure;
use phalanx_net::clock;
use phalanx_net::store::FileEpoch;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::Path;

/// A held state directory; let go when dropped, or when the process dies.
#[derive(Debug)]
pub(crate) struct State {
    _lock: File,
    /// Where the epoch is kept.
    pub(crate) store: FileEpoch,
    /// The epoch of this start, stored already.
    pub(crate) epoch: u64,
}

impl State {
    /// Makes the directory if need be, takes hold of it, and raises the epoch.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let shown = directory.display();
        let unusable = |error: std::io::Error| {
            Failure::Start(format!(
                "{shown}: cannot be used as the state directory: {error}; check that this user may write in it"
            ))
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(unusable)?;
        let path = directory.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::Start(format!(
                "{shown}: another phalanxd uses this state directory; stop it, or give each node its own"
            )),
            TryLockError::Error(error) => unusable(error),
        })?;
        let store = FileEpoch::in_directory(directory);
        let epoch = store
            .next_epoch(clock::wall())
            .map_err(|error| Failure::Start(error.to_string()))?;
        Ok(Self {
            _lock: lock,
            store,
            epoch,
        })
    }
}
