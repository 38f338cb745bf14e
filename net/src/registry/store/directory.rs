//! The directory of a registry's store, held by one process at a time.
//!
//! The directory and its files are readable by their user alone. The lock is freed when the process dies; the lock file
//! names the process.

use super::sqlite::{SqliteError, SqliteStore};
use crate::durable;
use crate::store::{FileStore, StoreError};
use phalanx_core::registry::name::RegionId;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The file of the store in its directory.
const FILE: &str = "registry.sqlite";
/// The suffixes of the store's files.
const SUFFIXES: &[&str] = &["", "-wal", "-shm"];
/// A file that is being made: a backup, or the copy of one.
const TEMPORARY: &str = "backup.partial";
/// The file whose time is that of the last backup.
const LAST_BACKUP: &str = "last-backup";

/// Reason why a directory cannot hold a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreDirectoryError {
    /// The directory cannot be created, or the file cannot be created in it.
    #[error("{}: cannot be created: {error}; check that this user may write there", .path.display())]
    Create {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// Another process holds the directory, or the directory cannot be locked.
    #[error(transparent)]
    Lock(#[from] StoreError),
    /// The file cannot be used.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
}

/// A directory that is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct StoreDirectory {
    path: PathBuf,
    /// Has a permit while no backup is under way.
    backups: Arc<Semaphore>,
    /// Holds the lock.
    _lock: FileStore,
}

impl StoreDirectory {
    /// Creates the directory if it does not exist, and holds it.
    ///
    /// # Errors
    /// When another process holds the directory, or it cannot be created.
    pub fn hold(path: &Path) -> Result<Self, StoreDirectoryError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(create(path))?;
        Ok(Self {
            path: path.to_owned(),
            backups: Arc::new(Semaphore::new(1)),
            _lock: FileStore::hold(path)?,
        })
    }

    /// The file of the store.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Opens the store of a region, and creates it if it does not exist.
    ///
    /// # Errors
    /// When the file cannot be used, or is the store of another region.
    pub fn sqlite(&self, region: &RegionId) -> Result<SqliteStore, StoreDirectoryError> {
        let file = self.file();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        durable::only_this_user(&mut options);
        // SQLite gives its other files the mode of this one.
        let opened = durable::open_regular(&mut options, &file).map_err(create(&file))?;
        durable::restrict_to_this_user(&opened).map_err(create(&file))?;
        drop(opened);
        Ok(SqliteStore::connect(&file, region)?)
    }

    /// The first file of the store that exists.
    pub(super) fn present(&self) -> Option<PathBuf> {
        let mut files = self.files();
        files.find(|file| fs::symlink_metadata(file).is_ok())
    }

    /// The place of a file that is being made.
    pub(super) fn temporary(&self) -> PathBuf {
        self.path.join(TEMPORARY)
    }

    /// Lets one backup begin; none while another one is under way.
    pub(super) fn backup_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.backups.clone().try_acquire_owned().ok()
    }

    /// Notes the time at which a whole backup has left.
    pub(super) fn on_backup(&self) {
        let path = self.path.join(LAST_BACKUP);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        durable::only_this_user(&mut options);
        let noted = durable::open_regular(&mut options, &path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = noted {
            let path = path.display();
            tracing::warn!(%path, "the time of the backup cannot be noted: {error}");
        }
    }

    /// The time of the last backup, in seconds since 1970; none if there was none.
    #[must_use]
    pub fn last_backup(&self) -> Option<u64> {
        let metadata = fs::metadata(self.path.join(LAST_BACKUP)).ok()?;
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH);
        Some(since.ok()?.as_secs())
    }

    /// The files of the store.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        SUFFIXES
            .iter()
            .map(|suffix| self.path.join(format!("{FILE}{suffix}")))
    }

    /// The size of the store, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.files().filter_map(|file| fs::metadata(file).ok());
        sizes.map(|metadata| metadata.len()).sum()
    }
}

fn create(path: &Path) -> impl FnOnce(io::Error) -> StoreDirectoryError {
    let path = path.to_owned();
    move |error| StoreDirectoryError::Create { path, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::store::RegionStore as _;

    #[cfg(unix)]
    #[test]
    fn a_directory_is_private_and_held_by_one_process() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state").join("registry");
        let (eu, us) = ("eu".parse().unwrap(), "us".parse().unwrap());
        let held = StoreDirectory::hold(&path).unwrap();
        held.sqlite(&eu).unwrap().open(1).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&held.file())), (0o700, 0o600));
        assert!(held.bytes() > 0);
        let second = StoreDirectory::hold(&path).unwrap_err().to_string();
        assert!(second.contains("another phalanxd"), "{second}");
        let other = held.sqlite(&us).unwrap_err().to_string();
        assert!(
            other.contains("is the store of region eu, not of us"),
            "{other}"
        );
        drop(held);
        assert!(StoreDirectory::hold(&path).is_ok());
    }
}
