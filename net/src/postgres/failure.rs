//! Errors of PostgreSQL, by their effects on the transaction.

use tokio_postgres::error::{DbError, Severity, SqlState};

/// The kind of an error, by its effect on the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostgresFailureKind {
    /// The server has no room. Nothing was stored.
    Full,
    /// The server takes no writes, because it is a standby or is set to read only. Nothing was stored.
    ReadOnly,
    /// Another transaction was in the way, or the statement took too long. Nothing was stored.
    Conflict,
    /// The server refused the statement. Nothing was stored.
    Refused,
    /// The connection is lost, cannot be made, or gave no answer in time. Whether something was stored is not known.
    Lost,
}

/// An error of PostgreSQL, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct PostgresFailure {
    /// The kind.
    pub(crate) kind: PostgresFailureKind,
    /// The reason and the mend.
    pub(crate) text: String,
}

impl PostgresFailure {
    pub(crate) fn new(kind: PostgresFailureKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl PostgresFailure {
    /// The failure of a connection: one that the server refuses for what the settings have is of the kind `Refused`.
    pub(crate) fn of_connecting(error: tokio_postgres::Error) -> Self {
        let refusals = [
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INSUFFICIENT_PRIVILEGE,
        ];
        let is_refused = error.code().is_some_and(|code| refusals.contains(code));
        let mut failure = Self::from(error);
        if is_refused {
            failure.kind = PostgresFailureKind::Refused;
        }
        failure
    }
}

impl From<tokio_postgres::Error> for PostgresFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(error) = error.as_db_error() {
            return of_server(error);
        }
        // The source has the reason, such as that of the system.
        let source = std::error::Error::source(&error);
        let text = match source {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::new(PostgresFailureKind::Lost, text)
    }
}

/// The mends of errors, by their codes.
const MENDS: &[(&SqlState, &str)] = &[
    (
        &SqlState::DISK_FULL,
        "the disk of the server is full; free space on it",
    ),
    (
        &SqlState::OUT_OF_MEMORY,
        "the server has no memory left; free memory on it",
    ),
    (
        &SqlState::TOO_MANY_CONNECTIONS,
        "raise max_connections of the server",
    ),
    (
        &SqlState::READ_ONLY_SQL_TRANSACTION,
        "the server takes no writes; name the primary server in registry.store, too",
    ),
    (
        &SqlState::QUERY_CANCELED,
        "the server did not finish the statement in time; check its load and its locks (pg_stat_activity)",
    ),
    (
        &SqlState::LOCK_NOT_AVAILABLE,
        "another session holds a lock; find it in pg_locks",
    ),
    (
        &SqlState::INVALID_PASSWORD,
        "check the password in registry.store, registry.store_password_file or PGPASSFILE",
    ),
    (
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        "check the user in registry.store and the server's pg_hba.conf",
    ),
    (
        &SqlState::INVALID_CATALOG_NAME,
        "create the database (createdb), or name another one in registry.store",
    ),
    (
        &SqlState::INSUFFICIENT_PRIVILEGE,
        "let the user create schemas in the database (GRANT CREATE ON DATABASE), or give it the schema",
    ),
];

fn of_server(error: &DbError) -> PostgresFailure {
    let code = error.code();
    let mut text = format!(
        "{} (SQLSTATE {})",
        error.message().trim_end_matches('.'),
        code.code()
    );
    if let Some((_, mend)) = MENDS.iter().find(|(known, _)| *known == code) {
        text = format!("{text}; {mend}");
    }
    PostgresFailure::new(kind(error), text)
}

/// The kind of an error. An error that ends the session may come after the transaction has ended.
fn kind(error: &DbError) -> PostgresFailureKind {
    if matches!(
        error.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) {
        return PostgresFailureKind::Lost;
    }
    let code = error.code();
    if *code == SqlState::DISK_FULL {
        PostgresFailureKind::Full
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        PostgresFailureKind::ReadOnly
    } else if [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
    ]
    .contains(code)
    {
        PostgresFailureKind::Conflict
    } else {
        PostgresFailureKind::Refused
    }
}
