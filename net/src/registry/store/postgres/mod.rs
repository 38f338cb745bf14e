//! A store in a schema of a database of PostgreSQL.
//!
//! Each region has a schema of its own. A commit is one statement, and so one transaction: it updates the lease row if the
//! row has the epoch, the number of commits and the head that the group expects, and writes the rest only then.
//!
//! A commit whose answer is lost has an unknown outcome. The store connects again, waits by a lock on the lease row for
//! the end of the lost transaction, and finds out from the row whether the group stands; otherwise it commits the group
//! again. It gives up after [`COMMIT_MAX`].
//!
//! ```text
//! schema_version   the version of the tables
//! lease            one row: epoch, uid of the store, head, number of commits, holder, end of the lease
//! region           one row: the region, the floor of the log
//! epoch, object, copy, entry   as in SQLite
//! ```

mod group;
mod state;
mod tables;
#[cfg(test)]
mod tests;

use super::port::RegionStore;
use crate::postgres::{
    LeaseHolder, LeaseRow, PostgresFailure, PostgresFailureKind, PostgresSession, PostgresSettings,
    migrate,
};
use group::{COMMIT, EncodedGroup};
use phalanx_core::registry::log::LogEpoch;
use phalanx_core::registry::name::RegionId;
use phalanx_core::registry::store::{CommitGroup, StoreFailure, StoreImage};
pub use state::PostgresStoreState;
use std::thread;
use std::time::{Duration, Instant};
use tables::{
    BatchIdentity, ReadingError, batch_of, claim_tables, migrations, read_image, write_epoch,
};
use tokio_postgres::{Client, Statement};

/// Time in which a commit must stand, with all its repetitions.
const COMMIT_MAX: Duration = Duration::from_secs(20);
/// Time in which one statement must be done. The server's own bound is shorter.
const STATEMENT_MAX: Duration = Duration::from_secs(18);
/// Time in which the whole state must be read.
const READ_MAX: Duration = Duration::from_secs(120);
/// Time of a lease. Others take over after this time without a commit or a renewal.
const LEASE_TIME: Duration = Duration::from_secs(6);
/// Interval of renewals.
const RENEWAL: Duration = Duration::from_secs(2);
/// Time in which a renewal or a release must be done.
const RENEWAL_MAX: Duration = Duration::from_secs(3);
/// The first pause before a commit is repeated. Each further one is twice as long, up to a second.
const PAUSE: Duration = Duration::from_millis(50);

/// Reason why a database cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum PostgresStoreError {
    /// The database refuses the program, or has tables that the program does not know.
    #[error("{place}: {reason}")]
    Refused {
        /// The database.
        place: String,
        /// The reason and the mend.
        reason: String,
    },
}

/// A store in a database.
#[derive(Debug)]
pub struct PostgresStore {
    settings: PostgresSettings,
    region: RegionId,
    schema: String,
    holder: LeaseHolder,
    /// None after a failure; made again by the next operation.
    session: Option<(PostgresSession, Statement)>,
    /// The epoch that this store has begun, and the number of commits; none after a failure.
    opened: Option<(LogEpoch, i64)>,
    /// The process that holds the store, if the last opening failed because of it.
    held_by: Option<String>,
    /// Another process has ended this one's epoch. A process of the same name does not take the lease back before its
    /// end, so that two processes that share a name by mistake do not take it from each other for ever.
    was_deposed: bool,
    state: PostgresStoreState,
}

/// The outcome of a group.
#[derive(Debug, PartialEq, Eq)]
enum GroupOutcome {
    /// It stands; the number of commits after it.
    Stands(i64),
    /// Another epoch has begun. Nothing was stored.
    Fenced,
    /// The store does not have the head that the group expects. Nothing was stored.
    Gap { expected: u64, head: u64 },
    /// Another epoch has begun, and the log does not keep the batch that would tell.
    Unknown,
}

/// The outcome of an opening.
enum OpeningOutcome {
    Opened(Box<StoreImage>, LeaseRow),
    /// This process holds the store.
    Held(String),
}

/// Why an operation has no outcome.
#[derive(Debug, thiserror::Error)]
enum PostgresEnded {
    #[error(transparent)]
    Failed(#[from] PostgresFailure),
    #[error(transparent)]
    Migration(#[from] crate::postgres::MigrationError),
    #[error(transparent)]
    Reading(#[from] ReadingError),
    #[error("schema {schema} is the store of region {found}, not of {wanted}")]
    OtherRegion {
        schema: String,
        found: String,
        wanted: RegionId,
    },
}

impl From<tokio_postgres::Error> for PostgresEnded {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl PostgresEnded {
    /// The effect on the transaction.
    const fn kind(&self) -> PostgresFailureKind {
        use crate::postgres::MigrationError;
        match self {
            Self::Failed(failure)
            | Self::Migration(MigrationError::Failed(failure))
            | Self::Reading(ReadingError::Failed(failure)) => failure.kind,
            Self::Migration(MigrationError::Newer { .. })
            | Self::Reading(ReadingError::Damaged(_))
            | Self::OtherRegion { .. } => PostgresFailureKind::Refused,
        }
    }
}

impl PostgresStore {
    /// Connects to the store of a region, and creates its schema if it does not exist. `holder` names the process to others.
    /// A database that cannot be reached is tried again when the store is opened.
    ///
    /// # Errors
    /// If the database refuses the program, or its tables are those of another region or of a newer version.
    pub fn connect(
        settings: PostgresSettings,
        region: &RegionId,
        holder: &str,
    ) -> Result<Self, PostgresStoreError> {
        let place = settings.to_string();
        let mut store = Self {
            schema: format!("phalanx_registry_{region}"),
            region: region.clone(),
            holder: LeaseHolder {
                name: holder.to_owned(),
                time: LEASE_TIME,
            },
            session: None,
            opened: None,
            held_by: None,
            was_deposed: false,
            state: PostgresStoreState::new(place.clone()),
            settings,
        };
        match store.session() {
            Ok(_) => {}
            Err(error) if error.kind() == PostgresFailureKind::Refused => {
                let reason = error.to_string();
                return Err(PostgresStoreError::Refused { place, reason });
            }
            Err(error) => store.state.note_problem("connecting", &error),
        }
        Ok(store)
    }

    /// The state of the store, for people.
    #[must_use]
    pub const fn state(&self) -> &PostgresStoreState {
        &self.state
    }

    /// The session, with the statement that commits.
    fn session(&mut self) -> Result<&mut (PostgresSession, Statement), PostgresEnded> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connected()?,
        };
        Ok(self.session.insert(session))
    }

    fn connected(&self) -> Result<(PostgresSession, Statement), PostgresEnded> {
        let mut session = PostgresSession::connect(&self.settings)?;
        let (schema, region) = (&self.schema, &self.region);
        let prepared = session.run(STATEMENT_MAX, async |client: &mut Client| {
            let migrations = migrations();
            let migrations: Vec<_> = migrations.iter().map(String::as_str).collect();
            migrate(client, schema, &migrations).await?;
            let found = claim_tables(client, region).await?;
            if found != region.as_str() {
                let (schema, wanted) = (schema.clone(), region.clone());
                return Err(PostgresEnded::OtherRegion {
                    schema,
                    found,
                    wanted,
                });
            }
            let bytes = LeaseRow::schema_bytes(client, schema).await?;
            Ok((client.prepare(COMMIT).await?, bytes))
        });
        let (statement, bytes) = prepared?;
        self.state.note_connected(session.host(), bytes);
        Ok((session, statement))
    }

    /// Begins an epoch and reads the state, unless another process holds the store.
    fn begin(&mut self, incarnation: u64) -> Result<OpeningOutcome, PostgresEnded> {
        let (holder, was_deposed) = (self.holder.clone(), self.was_deposed);
        let held = |lease: Option<LeaseRow>| {
            let lease = lease.filter(|it| !it.remaining.is_zero());
            let lease = lease.filter(|it| was_deposed || it.holder != holder.name);
            lease.map(|it| OpeningOutcome::Held(it.holder))
        };
        let (session, _) = self.session()?;
        // Without a lock, which a standby would take each second.
        let lease = session.run(STATEMENT_MAX, async |client: &mut Client| {
            LeaseRow::read(client).await
        });
        if let Some(held) = held(lease?) {
            return Ok(held);
        }
        session.run(READ_MAX, async |client: &mut Client| {
            let transaction = client.transaction().await?;
            let patience = format!("SET LOCAL statement_timeout = '{}s'", READ_MAX.as_secs());
            transaction.batch_execute(&patience).await?;
            if let Some(held) = held(LeaseRow::lock(&transaction).await?) {
                transaction.rollback().await?;
                return Ok(held);
            }
            let lease = LeaseRow::begin(&transaction, &holder, incarnation).await?;
            write_epoch(&transaction, &lease).await?;
            let image = read_image(&transaction, &lease).await?;
            // The lease begins when the state is read.
            let epoch = (lease.number, lease.incarnation);
            LeaseRow::renew(&transaction, epoch, holder.time).await?;
            transaction.commit().await?;
            Ok(OpeningOutcome::Opened(Box::new(image), lease))
        })
    }

    /// Extends the lease by this time from now on. Returns false if another process has begun an epoch.
    fn renew(&mut self, epoch: LogEpoch, time: Duration) -> Result<bool, PostgresEnded> {
        let (schema, state) = (self.schema.clone(), self.state.clone());
        let (session, _) = self.session()?;
        session.run(RENEWAL_MAX, async |client: &mut Client| {
            let epoch = (epoch.number, epoch.incarnation);
            let is_own = LeaseRow::renew(client, epoch, time).await?;
            if is_own && !time.is_zero() {
                state.note_bytes(LeaseRow::schema_bytes(client, &schema).await?);
            }
            Ok(is_own)
        })
    }

    /// Commits a group once. `repeated` is the last batch, if an earlier attempt may have
    /// committed it.
    fn attempt(
        &mut self,
        group: &EncodedGroup,
        (epoch, ticket): (LogEpoch, i64),
        repeated: Option<BatchIdentity>,
    ) -> Result<GroupOutcome, PostgresEnded> {
        let seconds = self.holder.time.as_secs_f64();
        let (session, statement) = self.session()?;
        session.run(STATEMENT_MAX, async |client: &mut Client| {
            let row = group.with_values((ticket, seconds), async |values| {
                client.query_opt(&*statement, values).await
            });
            if row.await?.is_some() {
                return Ok(GroupOutcome::Stands(ticket + 1));
            }
            let transaction = client.transaction().await?;
            let lease = LeaseRow::lock(&transaction).await?;
            let is_own =
                |it: &LeaseRow| (it.number, it.incarnation) == (epoch.number, epoch.incarnation);
            let outcome = match (lease, repeated) {
                (Some(lease), Some(_)) if is_own(&lease) && lease.ticket == ticket + 1 => {
                    GroupOutcome::Stands(lease.ticket)
                }
                (Some(lease), _) if is_own(&lease) => GroupOutcome::Gap {
                    expected: group.heads().unwrap_or_default().0,
                    head: lease.head,
                },
                (Some(lease), Some(last)) => match group.heads() {
                    Some((_, after)) if after > lease.head => GroupOutcome::Fenced,
                    Some((_, after)) => match batch_of(&transaction, after).await? {
                        Some(found) if found == last => GroupOutcome::Stands(ticket + 1),
                        Some(_) => GroupOutcome::Fenced,
                        None => GroupOutcome::Unknown,
                    },
                    None => GroupOutcome::Unknown,
                },
                (Some(_) | None, _) => GroupOutcome::Fenced,
            };
            transaction.rollback().await?;
            Ok(outcome)
        })
    }

    /// Commits a group, and finds out its outcome if an answer is lost.
    fn commit_group(&mut self, group: &CommitGroup) -> Result<i64, StoreFailure> {
        let opened = self.opened.filter(|(epoch, _)| *epoch == group.epoch);
        let opened = opened.ok_or(StoreFailure::Fenced)?;
        let encoded = match EncodedGroup::of(group) {
            Ok(encoded) => encoded,
            Err(unfit) => {
                self.state.note_problem("committing a group", &unfit);
                return Err(StoreFailure::Failed);
            }
        };
        let last = group.entries.last();
        let last = last.map_or_else(BatchIdentity::default, |it| BatchIdentity::of(it));
        let (deadline, mut pause) = (Instant::now() + COMMIT_MAX, PAUSE);
        let mut repeated = None;
        loop {
            let error = match self.attempt(&encoded, opened, repeated) {
                Ok(GroupOutcome::Stands(ticket)) => return Ok(ticket),
                Ok(GroupOutcome::Fenced) => return Err(StoreFailure::Fenced),
                Ok(outcome @ (GroupOutcome::Gap { .. } | GroupOutcome::Unknown)) => {
                    tracing::warn!("the registry's store did not commit a group: {outcome:?}");
                    return Err(StoreFailure::Failed);
                }
                Err(error) => error,
            };
            self.state.note_problem("committing a group", &error);
            match error.kind() {
                PostgresFailureKind::Full => return Err(StoreFailure::Full),
                PostgresFailureKind::Refused => return Err(StoreFailure::Failed),
                PostgresFailureKind::Conflict => {}
                PostgresFailureKind::ReadOnly => self.session = None,
                PostgresFailureKind::Lost => {
                    self.session = None;
                    repeated = Some(last);
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(StoreFailure::Failed);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

impl RegionStore for PostgresStore {
    fn open(&mut self, incarnation: u64) -> Result<StoreImage, StoreFailure> {
        (self.opened, self.held_by) = (None, None);
        match self.begin(incarnation) {
            Ok(OpeningOutcome::Held(holder)) => {
                self.state.note_success();
                self.state.note_holder(Some(&holder));
                self.held_by = Some(holder);
                Err(StoreFailure::Fenced)
            }
            Ok(OpeningOutcome::Opened(image, lease)) => {
                let epoch = LogEpoch {
                    number: lease.number,
                    incarnation: lease.incarnation,
                };
                self.opened = Some((epoch, lease.ticket));
                self.was_deposed = false;
                self.state.note_success();
                self.state.note_holder(Some(&self.holder.name));
                Ok(*image)
            }
            Err(error) => {
                self.state.note_problem("opening the store", &error);
                self.session = None;
                Err(match error.kind() {
                    PostgresFailureKind::Full => StoreFailure::Full,
                    PostgresFailureKind::ReadOnly
                    | PostgresFailureKind::Conflict
                    | PostgresFailureKind::Refused
                    | PostgresFailureKind::Lost => StoreFailure::Failed,
                })
            }
        }
    }

    fn commit(&mut self, group: &CommitGroup) -> Result<(), StoreFailure> {
        let done = self.commit_group(group);
        match done {
            Ok(ticket) => self.opened = Some((group.epoch, ticket)),
            Err(StoreFailure::Failed) => {
                self.opened = None;
                self.session = None;
            }
            Err(StoreFailure::Full) => {}
            Err(StoreFailure::Fenced) => self.was_deposed = true,
        }
        done.map(drop)
    }

    fn holder(&self) -> Option<String> {
        self.held_by.clone()
    }

    fn upkeep_interval(&self) -> Option<Duration> {
        Some(RENEWAL)
    }

    fn keep(&mut self) -> bool {
        let Some((epoch, _)) = self.opened else {
            return true;
        };
        match self.renew(epoch, self.holder.time) {
            Ok(true) => {
                self.state.note_success();
                true
            }
            Ok(false) => {
                (self.opened, self.was_deposed) = (None, true);
                self.state.note_holder(None);
                false
            }
            Err(error) => {
                // The next commit or renewal tells whether another process has taken over meanwhile.
                self.state.note_problem("renewing the lease", &error);
                self.session = None;
                true
            }
        }
    }

    fn release(&mut self) {
        let Some((epoch, _)) = self.opened.take() else {
            return;
        };
        // A lease that is not released ends by itself.
        if self.session.is_some()
            && let Err(error) = self.renew(epoch, Duration::ZERO)
        {
            self.state.note_problem("releasing the lease", &error);
        }
    }
}
