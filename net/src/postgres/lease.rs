//! The row that has the epoch, the revision and the holder of a store.
//!
//! A commit updates the row in its own statement, on the condition that the epoch, the number of commits and the head are
//! those that the committer expects. So a commit of an earlier epoch has no effect, and a commit that is repeated after a
//! lost answer has its effect once. The time of the lease, by the clock of the server, decides alone when another process
//! may begin an epoch; no commit relies on it.

use super::failure::PostgresFailure;
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

/// The statement that creates the table.
pub(crate) const LEASE_TABLE: &str = "
    CREATE TABLE lease (
        id smallint PRIMARY KEY CHECK (id = 1),
        number bigint NOT NULL,
        incarnation bigint NOT NULL,
        uid bigint NOT NULL,
        head bigint NOT NULL,
        ticket bigint NOT NULL,
        holder text NOT NULL,
        expires timestamptz NOT NULL
    ) WITH (fillfactor = 10);
";

/// The columns of a row, in the order of [`LeaseRow::of`].
const COLUMNS: &str = "number, incarnation, uid, head, ticket, holder, \
     greatest(0, extract(epoch FROM expires - clock_timestamp()) * 1000)::bigint";

/// The row. Unsigned numbers are stored with the same bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    /// The number of the epoch.
    pub(crate) number: u64,
    /// The incarnation of the epoch.
    pub(crate) incarnation: u64,
    /// The incarnation of the first epoch.
    pub(crate) uid: u64,
    /// The revision of the latest commit.
    pub(crate) head: u64,
    /// The number of commits.
    pub(crate) ticket: i64,
    /// The process that has begun the epoch.
    pub(crate) holder: String,
    /// The time that is left of the lease.
    pub(crate) remaining: Duration,
}

/// A process that takes leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseHolder {
    /// The name that others are shown. A process of the same name may take the lease before its end.
    pub(crate) name: String,
    /// The time of a lease.
    pub(crate) time: Duration,
}

impl LeaseRow {
    fn of(row: &Row) -> Result<Self, PostgresFailure> {
        let bits = |at: usize| Ok::<_, PostgresFailure>(row.try_get::<_, i64>(at)?.cast_unsigned());
        Ok(Self {
            number: bits(0)?,
            incarnation: bits(1)?,
            uid: bits(2)?,
            head: bits(3)?,
            ticket: row.try_get(4)?,
            holder: row.try_get(5)?,
            remaining: Duration::from_millis(bits(6)?),
        })
    }

    /// Reads the row; none if no epoch has begun.
    pub(crate) async fn read(client: &impl GenericClient) -> Result<Option<Self>, PostgresFailure> {
        let query = format!("SELECT {COLUMNS} FROM lease");
        let row = client.query_opt(&query, &[]).await?;
        row.as_ref().map(Self::of).transpose()
    }

    /// Reads the row after the end of all transactions that change it, and keeps others from changing it.
    pub(crate) async fn lock(
        transaction: &Transaction<'_>,
    ) -> Result<Option<Self>, PostgresFailure> {
        let query = format!("SELECT {COLUMNS} FROM lease FOR UPDATE");
        let row = transaction.query_opt(&query, &[]).await?;
        row.as_ref().map(Self::of).transpose()
    }

    /// Begins the next epoch.
    pub(crate) async fn begin(
        transaction: &Transaction<'_>,
        holder: &LeaseHolder,
        incarnation: u64,
    ) -> Result<Self, PostgresFailure> {
        let begin = format!(
            "INSERT INTO lease VALUES (1, 1, $1, $1, 0, 0, $2, clock_timestamp() + $3 * interval '1 second')
             ON CONFLICT (id) DO UPDATE SET number = lease.number + 1, incarnation = excluded.incarnation,
                 holder = excluded.holder, expires = excluded.expires, ticket = lease.ticket + 1
             RETURNING {COLUMNS}"
        );
        let (incarnation, time) = (incarnation.cast_signed(), holder.time.as_secs_f64());
        let values: [&(dyn ToSql + Sync); 3] = [&incarnation, &holder.name, &time];
        let row = transaction.query_one(&begin, &values).await?;
        Self::of(&row)
    }

    /// Extends the lease of an epoch. Returns false if the epoch has ended.
    pub(crate) async fn renew(
        client: &impl GenericClient,
        (number, incarnation): (u64, u64),
        time: Duration,
    ) -> Result<bool, PostgresFailure> {
        let renew = "UPDATE lease SET expires = clock_timestamp() + $3 * interval '1 second' \
                     WHERE number = $1 AND incarnation = $2";
        let (number, incarnation) = (number.cast_signed(), incarnation.cast_signed());
        let seconds = time.as_secs_f64();
        let values: [&(dyn ToSql + Sync); 3] = [&number, &incarnation, &seconds];
        Ok(client.execute(renew, &values).await? == 1)
    }

    /// The bytes of the tables of a schema.
    pub(crate) async fn schema_bytes(
        client: &Client,
        schema: &str,
    ) -> Result<u64, PostgresFailure> {
        let query = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
                     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
        let row = client.query_one(query, &[&schema]).await?;
        Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
    }
}
