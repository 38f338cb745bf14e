//! The directory where a node keeps its state, held by one process at a time.

use crate::Failure;
use phalanx_net::clock;
use phalanx_net::store::{FileEpoch, StoreError};
use std::fs::DirBuilder;
use std::path::Path;

/// A held state directory. It is released when the last clone of the store is dropped, or when the
/// process dies.
#[derive(Debug)]
pub(crate) struct State {
    /// Stores the epoch.
    pub(crate) store: FileEpoch,
    /// The epoch of this start, already stored.
    pub(crate) epoch: u64,
}

impl State {
    /// Creates the directory if necessary, locks it, and raises the epoch.
    pub(crate) fn open(directory: &Path) -> Result<Self, Failure> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(|error| {
            Failure::Start(format!(
                "{}: cannot be used as the state directory: {error}; check that this user may write to it",
                directory.display()
            ))
        })?;
        let failed = |error: StoreError| Failure::Start(error.to_string());
        let store = FileEpoch::hold(directory).map_err(failed)?;
        let epoch = store.next_epoch(clock::wall()).map_err(failed)?;
        Ok(Self { store, epoch })
    }
}
