//! The tables of a region, beside the lease row, and the reading of what they have.

use super::group::ROW_BYTES_MAX;
use crate::postgres::{LEASE_TABLE, LeaseRow, PostgresFailure};
use crate::registry::message::entry::{decode_entry, decode_object};
use crate::registry::message::{InvalidField, parsed};
use crate::registry::store::image::check_log;
use phalanx_core::registry::log::{CopyPosition, EPOCHS_MAX, LogEntry, LogEpoch, LogPosition};
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::store::StoreImage;
use std::sync::Arc;
use tokio_postgres::{Client, Row, Transaction};
use tokio_stream::StreamExt as _;

/// The statements that make each version of the tables from the one before.
pub(super) fn migrations() -> [String; 1] {
    let tables = format!(
        "
        CREATE TABLE region (
            id smallint PRIMARY KEY CHECK (id = 1),
            name text NOT NULL,
            floor bigint NOT NULL
        ) WITH (fillfactor = 10);
        CREATE TABLE epoch (
            number bigint PRIMARY KEY,
            incarnation bigint NOT NULL,
            first bigint NOT NULL
        );
        CREATE TABLE object (
            name text COLLATE \"C\" PRIMARY KEY,
            content bytea NOT NULL CHECK (octet_length(content) <= {ROW_BYTES_MAX})
        );
        CREATE TABLE copy (
            region text COLLATE \"C\" PRIMARY KEY,
            store bigint NOT NULL,
            number bigint NOT NULL,
            incarnation bigint NOT NULL,
            sequence bigint NOT NULL,
            hash bigint NOT NULL
        );
        CREATE TABLE entry (
            sequence bigint PRIMARY KEY,
            content bytea NOT NULL CHECK (octet_length(content) <= {ROW_BYTES_MAX})
        );
    "
    );
    [format!("{LEASE_TABLE}{tables}")]
}

/// Why a store cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadingError {
    #[error(transparent)]
    Failed(#[from] PostgresFailure),
    #[error("a stored record is damaged: {0}")]
    Damaged(#[from] InvalidField),
}

impl From<tokio_postgres::Error> for ReadingError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Writes the name of the region, if the tables have none. Returns the name in the tables.
pub(super) async fn claim_tables(
    client: &Client,
    region: &RegionId,
) -> Result<String, PostgresFailure> {
    let write = "INSERT INTO region VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING";
    client.execute(write, &[&region.as_str()]).await?;
    let row = client.query_one("SELECT name FROM region", &[]).await?;
    Ok(row.try_get(0)?)
}

fn bits(row: &Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    Ok(row.try_get::<_, i64>(column)?.cast_unsigned())
}

/// Writes the epoch that has begun, and forgets old ones.
pub(super) async fn write_epoch(
    transaction: &Transaction<'_>,
    lease: &LeaseRow,
) -> Result<(), PostgresFailure> {
    let (number, incarnation) = (lease.number.cast_signed(), lease.incarnation.cast_signed());
    let first = (lease.head + 1).cast_signed();
    let begin = "INSERT INTO epoch VALUES ($1, $2, $3)";
    transaction
        .execute(begin, &[&number, &incarnation, &first])
        .await?;
    let forgotten = lease.number.saturating_sub(EPOCHS_MAX as u64).cast_signed();
    let forget = "DELETE FROM epoch WHERE number <= $1";
    transaction.execute(forget, &[&forgotten]).await?;
    Ok(())
}

/// Reads the state.
pub(super) async fn read_image(
    transaction: &Transaction<'_>,
    lease: &LeaseRow,
) -> Result<StoreImage, ReadingError> {
    let query = "SELECT number, incarnation, first FROM epoch ORDER BY number";
    let mut epochs = Vec::new();
    for row in transaction.query(query, &[]).await? {
        let epoch = LogEpoch {
            number: bits(&row, 0)?,
            incarnation: bits(&row, 1)?,
        };
        epochs.push((epoch, bits(&row, 2)?));
    }
    let floor = transaction.query_one("SELECT floor FROM region", &[]);
    let floor = bits(&floor.await?, 0)?;
    let query = "SELECT content FROM object ORDER BY name";
    let objects = read(transaction, query, |bytes| {
        Ok(Arc::new(decode_object(bytes)?))
    });
    let objects = objects.await?;
    let query = "SELECT content FROM entry ORDER BY sequence";
    let log = read(transaction, query, |bytes| {
        Ok(Arc::new(decode_entry(bytes)?))
    });
    let image = StoreImage {
        uid: lease.uid,
        copies: read_copies(transaction).await?,
        epochs,
        objects,
        floor,
        log: log.await?,
    };
    check_log(&image, lease.head)?;
    Ok(image)
}

/// Reads records as they arrive.
async fn read<T>(
    transaction: &Transaction<'_>,
    query: &str,
    decode: impl Fn(&[u8]) -> Result<T, InvalidField>,
) -> Result<Vec<T>, ReadingError> {
    let rows = transaction.query_raw(query, [] as [&str; 0]).await?;
    let (mut rows, mut records) = (std::pin::pin!(rows), Vec::new());
    while let Some(row) = rows.next().await {
        records.push(decode(row?.try_get(0)?)?);
    }
    Ok(records)
}

/// The positions of the copies.
async fn read_copies(
    transaction: &Transaction<'_>,
) -> Result<Vec<(RegionId, CopyPosition)>, ReadingError> {
    let query =
        "SELECT region, store, number, incarnation, sequence, hash FROM copy ORDER BY region";
    let mut copies = Vec::new();
    for row in transaction.query(query, &[]).await? {
        let epoch = LogEpoch {
            number: bits(&row, 2)?,
            incarnation: bits(&row, 3)?,
        };
        let sequence = bits(&row, 4)?;
        let position = CopyPosition {
            store: bits(&row, 1)?,
            at: LogPosition { epoch, sequence },
            hash: bits(&row, 5)?,
        };
        let region = parsed("copy.region", row.try_get::<_, &str>(0)?)?;
        copies.push((region, position));
    }
    Ok(copies)
}

/// Distinguishes a batch from other batches with its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchIdentity {
    epoch: u64,
    hash: u64,
}

impl BatchIdentity {
    pub(super) const fn of(entry: &LogEntry) -> Self {
        Self {
            epoch: entry.revision.epoch,
            hash: entry.hash,
        }
    }
}

/// A batch; none if the log does not keep it.
pub(super) async fn batch_of(
    transaction: &Transaction<'_>,
    sequence: u64,
) -> Result<Option<BatchIdentity>, ReadingError> {
    let query = "SELECT content FROM entry WHERE sequence = $1";
    let sequence = sequence.cast_signed();
    let Some(row) = transaction.query_opt(query, &[&sequence]).await? else {
        return Ok(None);
    };
    let entry = decode_entry(row.try_get(0)?)?;
    Ok(Some(BatchIdentity::of(&entry)))
}
