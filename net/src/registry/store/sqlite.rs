//! A store in a file of SQLite.
//!
//! One connection writes. Each commit is one transaction (`BEGIN IMMEDIATE`) that reads the lease row, checks the epoch
//! and the head, writes the batches and the objects, and updates the lease row. The write-ahead log is synced at each
//! commit (`synchronous = FULL`), so an acknowledged batch survives a loss of power.
//!
//! ```text
//! schema_version   the version of the tables
//! lease            one row: region, epoch, head, floor, uid of the store
//! epoch            epochs, each with the number of its first batch
//! object           objects by name: those of the region, and copies of other regions' objects
//! copy             the position of the copy of each other region
//! entry            batches after the floor, by number
//! ```
//!
//! SQLite has no unsigned 64-bit integers: incarnations, uids and hashes are stored with the same bits.

use super::image::check_log;
use super::port::RegionStore;
use crate::registry::message::InvalidField;
use crate::registry::message::entry::{decode_entry, decode_object, encode_entry, encode_object};
use crate::registry::message::parsed;
use phalanx_core::registry::log::{CopyPosition, EPOCHS_MAX, LogEntry, LogEpoch, LogPosition};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::store::{CommitGroup, CopyUpdate, StoreFailure, StoreImage};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Time to wait for another connection, such as that of a backup.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The statements that make each version of the tables from the one before.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        region TEXT NOT NULL,
        number INTEGER NOT NULL,
        incarnation INTEGER NOT NULL,
        head INTEGER NOT NULL,
        floor INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE epoch (
        number INTEGER PRIMARY KEY,
        incarnation INTEGER NOT NULL,
        first INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE object (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entry (sequence INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;
",
    "
    ALTER TABLE lease ADD COLUMN uid INTEGER NOT NULL DEFAULT 0;
    UPDATE lease SET uid = (SELECT incarnation FROM epoch ORDER BY number LIMIT 1);
    CREATE TABLE copy (
        region TEXT PRIMARY KEY,
        store INTEGER NOT NULL,
        number INTEGER NOT NULL,
        incarnation INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        hash INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
];

/// The latest version of the tables.
pub(super) const TABLES_VERSION: usize = MIGRATIONS.len();

/// Reason why a file cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// SQLite reports an error.
    #[error("{}: {doing} failed: {error}; check that the file is a store of phalanxd and that this user may write it", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The operation.
        doing: &'static str,
        /// The reason.
        error: rusqlite::Error,
    },
    /// The file is the store of another region.
    #[error(
        "{}: is the store of region {found}, not of {wanted}; set registry.region to {found}, or move the file away",
        .path.display()
    )]
    OtherRegion {
        /// The file.
        path: PathBuf,
        /// The region in the file.
        found: String,
        /// The configured region.
        wanted: RegionId,
    },
    /// A newer version of the program made the file.
    #[error(
        "{}: has version {found} of the tables, and this phalanxd knows versions up to {known}; install a newer phalanxd",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: usize,
        /// The latest known version.
        known: usize,
    },
}

/// A store in a file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    region: RegionId,
    /// None after a failure; opened again by the next opening of the store.
    connection: Option<Connection>,
}

/// The lease row.
struct Lease {
    epoch: LogEpoch,
    head: u64,
    floor: u64,
    /// The uid of the store.
    uid: u64,
}

/// Why an operation ended without effect.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("another process has opened the store")]
    Fenced,
    #[error("the group begins with batch {first}, and the store ends with batch {head}")]
    Gap { first: u64, head: u64 },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("a stored record is damaged: {0}")]
    Damaged(#[from] InvalidField),
}

impl Ended {
    fn failure(&self) -> StoreFailure {
        match self {
            Self::Fenced => StoreFailure::Fenced,
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                StoreFailure::Full
            }
            Self::Gap { .. } | Self::Sqlite(_) | Self::Damaged(_) => StoreFailure::Failed,
        }
    }
}

impl SqliteStore {
    /// Opens the store of a region in a file, and creates its tables if they do not exist.
    ///
    /// # Errors
    /// When the file cannot be used, or is the store of another region or of a newer version.
    pub fn connect(path: &Path, region: &RegionId) -> Result<Self, SqliteError> {
        let mut connection = connect(path).map_err(|(doing, error)| SqliteError::Sqlite {
            path: path.to_owned(),
            doing,
            error,
        })?;
        prepare(&mut connection, path, region)?;
        Ok(Self {
            path: path.to_owned(),
            region: region.clone(),
            connection: Some(connection),
        })
    }

    /// Runs a transaction. After an error that leaves the outcome open, the connection is closed.
    fn transact<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>, &RegionId) -> Result<T, Ended>,
    ) -> Result<T, StoreFailure> {
        let region = &self.region;
        let Some(connection) = &mut self.connection else {
            return Err(StoreFailure::Failed);
        };
        let done = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Ended::from)
            .and_then(|transaction| {
                let done = work(&transaction, region)?;
                transaction.commit()?;
                Ok(done)
            });
        let error = match done {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let path = self.path.display();
        tracing::warn!(%path, "{doing} failed: {error}");
        // The transaction was rolled back, unless that failed too.
        let failure = match connection.is_autocommit() {
            true => error.failure(),
            false => StoreFailure::Failed,
        };
        if failure == StoreFailure::Failed {
            self.connection = None;
        }
        Err(failure)
    }
}

impl RegionStore for SqliteStore {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        if self.connection.is_none() {
            let connected = connect(&self.path).map_err(|(doing, error)| {
                let path = self.path.display();
                tracing::warn!(%path, "{doing} failed: {error}");
                StoreFailure::Failed
            });
            self.connection = Some(connected?);
        }
        self.transact("opening the store", |transaction, region| {
            begin_epoch(transaction, region, incarnation)
        })
    }

    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        self.transact("committing a group", |transaction, region| {
            commit(transaction, region, group)
        })
    }
}

type Doing<T> = Result<T, (&'static str, rusqlite::Error)>;

fn connect(path: &Path) -> Doing<Connection> {
    let doing = |doing| move |error| (doing, error);
    let connection = Connection::open(path).map_err(doing("opening the file"))?;
    let set = || {
        connection.busy_timeout(BUSY_MAX)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "trusted_schema", "OFF")
    };
    set().map_err(doing("setting the journal mode"))?;
    Ok(connection)
}

/// Brings the tables to the latest version, and checks the region.
fn prepare(connection: &mut Connection, path: &Path, region: &RegionId) -> Result<(), SqliteError> {
    let failed = |doing| {
        let path = path.to_owned();
        move |error| SqliteError::Sqlite { path, doing, error }
    };
    let migrated = migrate(connection).map_err(failed("reading the version of the tables"))?;
    if let Err(found) = migrated {
        let (path, known) = (path.to_owned(), MIGRATIONS.len());
        return Err(SqliteError::Newer { path, found, known });
    }
    let stored: Option<String> = connection
        .query_row("SELECT region FROM lease", [], |row| row.get(0))
        .optional()
        .map_err(failed("reading the region"))?;
    match stored {
        Some(found) if found != region.as_str() => Err(SqliteError::OtherRegion {
            path: path.to_owned(),
            found,
            wanted: region.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Brings the tables to the latest version. Returns the version of newer tables as the inner error.
fn migrate(connection: &mut Connection) -> rusqlite::Result<Result<(), usize>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT",
    )?;
    let version: usize = transaction.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )?;
    let Some(missing) = MIGRATIONS.get(version..) else {
        return Ok(Err(version));
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.execute("DELETE FROM schema_version", [])?;
    transaction.execute("INSERT INTO schema_version VALUES (?1)", [MIGRATIONS.len()])?;
    transaction.commit()?;
    Ok(Ok(()))
}

fn read_lease(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Lease>> {
    let read = "SELECT number, incarnation, head, floor, uid FROM lease";
    transaction
        .query_row(read, [], |row| {
            Ok(Lease {
                epoch: LogEpoch {
                    number: row.get(0)?,
                    incarnation: row.get::<_, i64>(1)?.cast_unsigned(),
                },
                head: row.get(2)?,
                floor: row.get(3)?,
                uid: row.get::<_, i64>(4)?.cast_unsigned(),
            })
        })
        .optional()
}

fn write_lease(
    transaction: &Transaction<'_>,
    region: &RegionId,
    lease: &Lease,
) -> rusqlite::Result<()> {
    let LogEpoch {
        number,
        incarnation,
    } = lease.epoch;
    let write = "INSERT OR REPLACE INTO lease VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    let incarnation = incarnation.cast_signed();
    let row = (
        region.as_str(),
        number,
        incarnation,
        lease.head,
        lease.floor,
        lease.uid.cast_signed(),
    );
    transaction.execute(write, row).map(drop)
}

fn begin_epoch(
    transaction: &Transaction<'_>,
    region: &RegionId,
    incarnation: u64,
) -> Result<StoreImage, Ended> {
    let before = read_lease(transaction)?;
    // The uid of the store is the incarnation of its first epoch.
    let mut lease = before.unwrap_or(Lease {
        epoch: LogEpoch::default(),
        head: 0,
        floor: 0,
        uid: incarnation,
    });
    let epoch = LogEpoch {
        number: lease.epoch.number + 1,
        incarnation,
    };
    lease.epoch = epoch;
    write_lease(transaction, region, &lease)?;
    let (head, floor) = (lease.head, lease.floor);
    let begin = "INSERT INTO epoch VALUES (?1, ?2, ?3)";
    transaction.execute(begin, (epoch.number, incarnation.cast_signed(), head + 1))?;
    let forgotten = epoch.number.saturating_sub(EPOCHS_MAX as u64);
    transaction.execute("DELETE FROM epoch WHERE number <= ?1", [forgotten])?;
    let mut statement =
        transaction.prepare("SELECT number, incarnation, first FROM epoch ORDER BY number")?;
    let epochs = statement.query_map([], |row| {
        let epoch = LogEpoch {
            number: row.get(0)?,
            incarnation: row.get::<_, i64>(1)?.cast_unsigned(),
        };
        Ok((epoch, row.get(2)?))
    })?;
    let epochs = epochs.collect::<Result<_, _>>()?;
    let objects = contents(transaction, "SELECT content FROM object ORDER BY name")?;
    let objects = objects
        .iter()
        .map(|bytes| decode_object(bytes).map(Arc::new));
    let log = contents(transaction, "SELECT content FROM entry ORDER BY sequence")?;
    let log = log.iter().map(|bytes| decode_entry(bytes).map(Arc::new));
    let image = StoreImage {
        uid: lease.uid,
        copies: read_copies(transaction)?,
        epochs,
        objects: objects.collect::<Result<_, _>>()?,
        floor,
        log: log.collect::<Result<_, _>>()?,
    };
    check_log(&image, head)?;
    Ok(image)
}

/// The positions of the copies.
fn read_copies(transaction: &Transaction<'_>) -> Result<Vec<(RegionId, CopyPosition)>, Ended> {
    let read =
        "SELECT region, store, number, incarnation, sequence, hash FROM copy ORDER BY region";
    let mut statement = transaction.prepare(read)?;
    let rows = statement.query_map([], |row| {
        let bits = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
        let epoch = LogEpoch {
            number: row.get(2)?,
            incarnation: bits(3)?,
        };
        let sequence = row.get(4)?;
        let position = CopyPosition {
            store: bits(1)?,
            at: LogPosition { epoch, sequence },
            hash: bits(5)?,
        };
        Ok((row.get::<_, String>(0)?, position))
    })?;
    let mut copies = Vec::new();
    for row in rows {
        let (region, position) = row?;
        copies.push((parsed("copy.region", &region)?, position));
    }
    Ok(copies)
}

/// Changes copies of other regions' objects, and their positions.
fn write_copies(transaction: &Transaction<'_>, updates: &[CopyUpdate]) -> Result<(), Ended> {
    if updates.is_empty() {
        return Ok(());
    }
    let mut put = transaction.prepare("INSERT OR REPLACE INTO object VALUES (?1, ?2)")?;
    let mut remove = transaction.prepare("DELETE FROM object WHERE name = ?1")?;
    let mut place =
        transaction.prepare("INSERT OR REPLACE INTO copy VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for update in updates {
        for (name, after) in &update.changes {
            match after {
                Some(after) => put.execute((name.as_str(), encode_object(after)))?,
                None => remove.execute([name.as_str()])?,
            };
        }
        let CopyPosition { store, at, hash } = update.position;
        place.execute((
            update.region.as_str(),
            store.cast_signed(),
            at.epoch.number,
            at.epoch.incarnation.cast_signed(),
            at.sequence,
            hash.cast_signed(),
        ))?;
    }
    Ok(())
}

fn contents(transaction: &Transaction<'_>, query: &str) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut statement = transaction.prepare(query)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

fn commit(
    transaction: &Transaction<'_>,
    region: &RegionId,
    group: &CommitGroup,
) -> Result<(), Ended> {
    let lease = read_lease(transaction)?.filter(|it| it.epoch == group.epoch);
    let Some(mut lease) = lease else {
        return Err(Ended::Fenced);
    };
    if !group.entries.is_empty() || group.copies.is_empty() {
        write_entries(transaction, &mut lease, &group.entries)?;
    }
    write_copies(transaction, &group.copies)?;
    let floor = group.floor.min(lease.head);
    if floor > lease.floor {
        lease.floor = floor;
        transaction.execute("DELETE FROM entry WHERE sequence <= ?1", [floor])?;
    }
    write_lease(transaction, region, &lease)?;
    Ok(())
}

fn write_entries(
    transaction: &Transaction<'_>,
    lease: &mut Lease,
    entries: &[Arc<LogEntry>],
) -> Result<(), Ended> {
    let mut append = transaction.prepare("INSERT INTO entry VALUES (?1, ?2)")?;
    let mut put = transaction.prepare("INSERT OR REPLACE INTO object VALUES (?1, ?2)")?;
    let mut remove = transaction.prepare("DELETE FROM object WHERE name = ?1")?;
    let empty = entries.is_empty().then_some(0);
    let numbers = entries.iter().map(|entry| entry.revision.sequence);
    for first in numbers.chain(empty) {
        lease.head += 1;
        if first != lease.head {
            let head = lease.head - 1;
            return Err(Ended::Gap { first, head });
        }
    }
    for entry in entries {
        append.execute((entry.revision.sequence, encode_entry(entry)))?;
        for change in &entry.changes {
            let name = change.name.as_str();
            match &change.after {
                Some(after) => put.execute((name, encode_object(after)))?,
                None => remove.execute([name])?,
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, StoreFactory};
    use super::*;
    use tempfile::TempDir;

    struct SqliteFiles(TempDir);

    impl StoreFactory for SqliteFiles {
        type Store = SqliteStore;

        fn create() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn store(&mut self) -> SqliteStore {
            let path = self.0.path().join("registry.sqlite");
            SqliteStore::connect(&path, &"eu".parse().unwrap()).unwrap()
        }
    }

    #[test]
    fn sqlite_conforms() {
        conformance::check::<SqliteFiles>();
    }

    #[test]
    fn the_write_ahead_log_is_synced_at_each_commit() {
        let mut store = SqliteFiles::create().store();
        let connection = store.connection.as_mut().unwrap();
        let text = |name: &str| -> String {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(text("journal_mode"), "wal");
        let synchronous: u32 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!(synchronous, 2, "2 is FULL");
    }

    #[test]
    fn a_full_store_takes_nothing_and_goes_on_when_there_is_room() {
        let mut files = SqliteFiles::create();
        let mut store = files.store();
        let mut log = conformance::ExpectedContent::default();
        log.open(&mut store);
        log.commit(&mut store, conformance::batch("a", 10)).unwrap();
        let limit = |store: &SqliteStore, pages: u32| {
            let connection = store.connection.as_ref().unwrap();
            let set = connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            set.unwrap();
        };
        limit(&store, 1);
        let refused = log.commit(&mut store, conformance::batch("b", 100_000));
        assert_eq!(refused, Err(StoreFailure::Full));
        limit(&store, 1_000_000);
        log.commit(&mut store, conformance::batch("c", 100_000))
            .unwrap();
        log.check(&store.open(9).unwrap());
    }

    #[test]
    fn files_that_cannot_be_used_are_refused() {
        let files = SqliteFiles::create();
        let (path, eu) = (
            files.0.path().join("registry.sqlite"),
            "eu".parse().unwrap(),
        );
        std::fs::write(
            &path,
            "not a database, but long enough to have a header of one",
        )
        .unwrap();
        let error = SqliteStore::connect(&path, &eu).unwrap_err().to_string();
        assert!(error.contains("not a database"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let store = SqliteStore::connect(&path, &eu).unwrap();
        let connection = store.connection.as_ref().unwrap();
        connection
            .execute("UPDATE schema_version SET version = 99", [])
            .unwrap();
        let error = SqliteStore::connect(&path, &eu).unwrap_err().to_string();
        assert!(error.contains("version 99"), "{error}");
    }

    #[test]
    fn a_damaged_record_fails_the_opening() {
        let mut files = SqliteFiles::create();
        let mut store = files.store();
        let mut log = conformance::ExpectedContent::default();
        log.open(&mut store);
        log.commit(&mut store, conformance::batch("a", 10)).unwrap();
        log.commit(&mut store, conformance::batch("b", 10)).unwrap();
        let connection = store.connection.as_ref().unwrap();
        connection
            .execute("DELETE FROM entry WHERE sequence = 1", [])
            .unwrap();
        assert_eq!(files.store().open(7), Err(StoreFailure::Failed));
    }
}
