//! Backups of a store in a file of SQLite: copies of the whole store at one revision.
//!
//! A connection of its own reads the store, so commits go on. A backup is a store: restoring puts it in its place.

use super::directory::{StoreDirectory, StoreDirectoryError};
use super::sqlite::TABLES_VERSION;
use crate::durable;
use phalanx_core::registry::log::LogPosition;
use phalanx_core::registry::name::RegionId;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tokio::sync::OwnedSemaphorePermit;

/// The content of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreContent {
    /// The region.
    pub region: RegionId,
    /// The position in the log of the region.
    pub position: LogPosition,
    /// The number of objects, with copies of other regions' objects.
    pub objects: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
}

/// Reason why a store is not saved, or a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read or written.
    #[error("{}: cannot be {doing}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operation.
        doing: &'static str,
        /// The reason.
        error: io::Error,
    },
    /// SQLite reports an error.
    #[error("{}: is not a whole backup of a registry: {error}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: rusqlite::Error,
    },
    /// The check of the file found damage.
    #[error("{}: is damaged: {finding}; use another backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first finding.
        finding: String,
    },
    /// A newer version of the program made the file.
    #[error("{}: was made by a newer phalanxd; install that version or a later one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The directory has a store.
    #[error(
        "{}: exists; a backup is restored only where no store is. Move this file and those beside it \
         that begin with its name to another directory first, and keep them until the restored registry is in use",
        .path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The directory of the store cannot be used.
    #[error(transparent)]
    Directory(#[from] StoreDirectoryError),
}

fn sqlite(path: &Path) -> impl FnOnce(rusqlite::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Sqlite { path, error }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::File { path, doing, error }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    Ok(connection)
}

/// Saves a store in a new file that only this user can read.
///
/// # Errors
/// If the store cannot be read, or the file not be written.
fn save(store: &Path, to: &Path) -> Result<StoreContent, BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    durable::only_this_user(&mut options);
    options.open(to).map_err(failed("created", to))?;
    let connection = open(store).map_err(sqlite(store))?;
    let target = to.to_string_lossy();
    let saved = connection.execute("VACUUM INTO ?1", [target.as_ref()]);
    saved.map_err(sqlite(to))?;
    read_content(to)
}

/// Checks a backup, and returns its content.
///
/// # Errors
/// If the file is not a backup, or is damaged.
pub fn read_content(path: &Path) -> Result<StoreContent, BackupError> {
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    let connection = open(path).map_err(sqlite(path))?;
    let check = "PRAGMA integrity_check(1)";
    let finding: String = connection
        .query_row(check, [], |row| row.get(0))
        .map_err(sqlite(path))?;
    if finding != "ok" {
        let path = path.to_owned();
        return Err(BackupError::Damaged { path, finding });
    }
    let number = |query| connection.query_row(query, [], |row| row.get::<_, u64>(0));
    let version = number("SELECT version FROM schema_version").map_err(sqlite(path))?;
    if version > TABLES_VERSION as u64 {
        let path = path.to_owned();
        return Err(BackupError::Newer { path });
    }
    let lease = "SELECT region, number, incarnation, head FROM lease";
    let lease: Option<(String, LogPosition)> = connection
        .query_row(lease, [], |row| {
            let mut position = LogPosition::default();
            position.epoch.number = row.get(1)?;
            position.epoch.incarnation = row.get::<_, i64>(2)?.cast_unsigned();
            position.sequence = row.get(3)?;
            Ok((row.get(0)?, position))
        })
        .optional()
        .map_err(sqlite(path))?;
    let damaged = |finding: &str| BackupError::Damaged {
        path: path.to_owned(),
        finding: finding.to_owned(),
    };
    let (region, position) = lease.ok_or_else(|| damaged("it has no region"))?;
    Ok(StoreContent {
        region: region
            .parse()
            .map_err(|_| damaged("its region has no valid name"))?,
        position,
        objects: number("SELECT count(*) FROM object").map_err(sqlite(path))?,
        bytes: metadata.len(),
    })
}

/// Puts a backup into the directory of a store that has none. Returns the content, and the file of the store.
///
/// # Errors
/// If the backup cannot be used, a process holds the directory, or a store is there.
pub fn restore(backup: &Path, directory: &Path) -> Result<(StoreContent, PathBuf), BackupError> {
    read_content(backup)?;
    let held = StoreDirectory::hold(directory)?;
    if let Some(path) = held.present() {
        return Err(BackupError::Exists { path });
    }
    let temporary = held.temporary();
    let restored = copy(backup, &temporary).and_then(|()| {
        // The copy is checked, and not the file that may have changed meanwhile.
        let content = read_content(&temporary)?;
        let file = held.file();
        fs::rename(&temporary, &file).map_err(failed("created", &file))?;
        let opened = File::open(directory).and_then(|directory| directory.sync_all());
        opened.map_err(failed("flushed", directory))?;
        Ok((content, file))
    });
    if restored.is_err() {
        // The first error is the one to report.
        drop(fs::remove_file(&temporary));
    }
    restored
}

/// A backup under way. There is one at a time, since each takes the room of a store.
#[derive(Debug)]
pub(crate) struct BackupTurn {
    directory: StoreDirectory,
    _permit: OwnedSemaphorePermit,
}

impl BackupTurn {
    /// Begins a backup; none while another one is under way.
    pub(crate) fn begin(directory: &StoreDirectory) -> Option<Self> {
        Some(Self {
            _permit: directory.backup_permit()?,
            directory: directory.clone(),
        })
    }

    /// Saves the store. Returns the content of the backup, and the backup as an open file without a name.
    ///
    /// # Errors
    /// If the store cannot be read, or the backup not be written.
    pub(crate) fn save(&self) -> Result<(StoreContent, File), BackupError> {
        let temporary = self.directory.temporary();
        // A process that ended in the middle may have left it.
        drop(fs::remove_file(&temporary));
        let saved = save(&self.directory.file(), &temporary);
        let opened = saved.and_then(|content| {
            let opened = File::open(&temporary).map_err(failed("read", &temporary))?;
            Ok((content, opened))
        });
        drop(fs::remove_file(&temporary));
        opened
    }

    /// Notes that the whole backup has left.
    pub(crate) fn complete(self) {
        self.directory.on_backup();
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(failed("read", from))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    durable::only_this_user(&mut options);
    let mut target = durable::open_regular(&mut options, to).map_err(failed("created", to))?;
    durable::restrict_to_this_user(&target).map_err(failed("created", to))?;
    io::copy(&mut source, &mut target).map_err(failed("written", to))?;
    target.sync_all().map_err(failed("flushed", to))
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{ExpectedContent, batch};
    use super::super::{RegionStore as _, SqliteStore};
    use super::*;

    fn region() -> RegionId {
        "eu".parse().unwrap()
    }

    /// A store that a process holds and writes, with its content.
    fn written(place: &Path) -> (StoreDirectory, SqliteStore, ExpectedContent) {
        let held = StoreDirectory::hold(&place.join("registry")).unwrap();
        let mut store = held.sqlite(&region()).unwrap();
        let mut log = ExpectedContent::default();
        log.open(&mut store);
        log.commit(&mut store, batch("a", 10)).unwrap();
        log.commit(&mut store, batch("b", 20_000)).unwrap();
        (held, store, log)
    }

    #[test]
    fn a_backup_is_the_store_at_its_revision() {
        let place = tempfile::tempdir().unwrap();
        let (held, mut store, mut log) = written(place.path());
        let backup = place.path().join("backup");
        let content = save(&held.file(), &backup).unwrap();
        assert_eq!((content.position.sequence, content.objects), (2, 2));
        assert_eq!(read_content(&backup).unwrap(), content);
        // Later writes are in the store alone.
        let expected = log.clone();
        log.commit(&mut store, batch("c", 10)).unwrap();
        let (restored, file) = restore(&backup, &place.path().join("new/registry")).unwrap();
        assert_eq!(restored, content);
        let mut store = SqliteStore::connect(&file, &region()).unwrap();
        expected.check(&store.open(9).unwrap());
    }

    #[test]
    fn a_backup_takes_the_place_of_no_store_and_no_file() {
        let place = tempfile::tempdir().unwrap();
        let (held, ..) = written(place.path());
        let backup = place.path().join("backup");
        save(&held.file(), &backup).unwrap();
        let again = save(&held.file(), &backup).unwrap_err().to_string();
        assert!(again.contains("backup: cannot be created"), "{again}");
        let directory = place.path().join("registry");
        let busy = restore(&backup, &directory).unwrap_err().to_string();
        assert!(busy.contains("another phalanxd"), "{busy}");
        drop(held);
        let taken = restore(&backup, &directory).unwrap_err().to_string();
        assert!(taken.contains("registry.sqlite: exists"), "{taken}");
        // A log without its store would be applied to the restored one.
        fs::remove_file(directory.join("registry.sqlite")).unwrap();
        fs::write(directory.join("registry.sqlite-wal"), "left").unwrap();
        let left = restore(&backup, &directory).unwrap_err().to_string();
        assert!(left.contains("registry.sqlite-wal: exists"), "{left}");
    }

    #[test]
    fn files_that_are_no_whole_backup_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let (held, ..) = written(place.path());
        let backup = place.path().join("backup");
        save(&held.file(), &backup).unwrap();
        let target = place.path().join("new");
        let refused = |bytes: &[u8], words: &str| {
            fs::write(&backup, bytes).unwrap();
            let error = restore(&backup, &target).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let whole = fs::read(&backup).unwrap();
        refused(&whole[..whole.len() / 2], "malformed");
        refused(b"", "no such table");
        refused(b"not a database, but with enough bytes for the header of one, which has one hundred bytes, and more", "not a database");
        let mut altered = whole;
        let middle = altered.len() / 2;
        altered[middle..middle + 4_096].fill(0xa5);
        refused(&altered, "backup: is ");
        let none = restore(&place.path().join("absent"), &target);
        assert!(none.unwrap_err().to_string().contains("cannot be read"));
        assert!(!target.join("registry.sqlite").exists());
    }
}
