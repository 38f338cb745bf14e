//! The directory where a node keeps its state, held by one process at a time.

use crate::DaemonError;
use phalanx_net::clock;
use phalanx_net::store::{FileStore, addresses, epoch, revocations};
use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::path::Path;

fn start(error: impl std::fmt::Display) -> DaemonError {
    DaemonError::Start(error.to_string())
}

/// A state directory held by this process; released when the last clone of the store is dropped, or when the process
/// dies.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    /// The durable items.
    pub(crate) store: FileStore,
    /// The epoch of this start, which is already durable.
    pub(crate) epoch: u64,
    /// Addresses of members that an earlier start kept.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The reason why the kept addresses are ignored, if they are.
    pub(crate) ignored: Option<String>,
}

impl StateDirectory {
    /// Creates the directory if it does not exist, and locks it. May block.
    pub(crate) fn hold(directory: &Path) -> Result<FileStore, DaemonError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(|error| {
            DaemonError::Start(format!(
                "{}: cannot be used as the state directory: {error}; check that this user may write to it",
                directory.display()
            ))
        })?;
        warn_of_other_writers(directory);
        FileStore::hold(directory).map_err(start)
    }

    /// Checks the stored revocations and raises the epoch in a locked directory.
    pub(crate) async fn open(store: FileStore) -> Result<Self, DaemonError> {
        revocations::load(&store).await.map_err(start)?;
        let epoch = epoch::next(&store, clock::wall()).await.map_err(start)?;
        let (addresses, ignored) = match addresses::load(&store).await {
            Ok(addresses) => (addresses, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Ok(Self {
            store,
            epoch,
            addresses,
            ignored,
        })
    }
}

fn warn_of_other_writers(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(directory).map(|it| it.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o022 != 0) {
        let directory = directory.display();
        tracing::warn!(%directory, "other users may write in the state directory; restrict it (chmod 700)");
    }
}
