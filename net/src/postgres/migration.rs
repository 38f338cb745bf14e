//! The version of a schema's tables.

use super::failure::PostgresFailure;
use phalanx_core::random::hash_bytes;
use tokio_postgres::Client;

/// Reason why tables cannot be brought to the latest version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationError {
    #[error(transparent)]
    Failed(#[from] PostgresFailure),
    #[error(
        "schema {schema} has version {found} of the tables, and this phalanxd knows versions up to {known}; install a \
         newer phalanxd"
    )]
    Newer {
        schema: String,
        found: i64,
        known: usize,
    },
}

impl From<tokio_postgres::Error> for MigrationError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Creates the schema if it does not exist, brings its tables to the latest version, and makes it the session's.
///
/// One session at a time does so, in one transaction.
///
/// # Errors
/// If the tables have a newer version, or a statement fails. Nothing is changed then.
pub(crate) async fn migrate(
    client: &mut Client,
    schema: &str,
    migrations: &[&str],
) -> Result<(), MigrationError> {
    let name = quoted(schema);
    client
        .batch_execute(&format!("SET search_path = {name}"))
        .await?;
    let transaction = client.transaction().await?;
    let lock = hash_bytes(schema.as_bytes()).cast_signed();
    let query = "SELECT pg_advisory_xact_lock($1)";
    transaction.execute(query, &[&lock]).await?;
    let query = "SELECT count(*) FROM pg_namespace WHERE nspname = $1";
    let exists: i64 = transaction.query_one(query, &[&schema]).await?.try_get(0)?;
    if exists == 0 {
        let create = format!("CREATE SCHEMA {name}");
        transaction.batch_execute(&create).await?;
    }
    let query = "SELECT to_regclass($1) IS NOT NULL";
    let table = format!("{name}.schema_version");
    let row = transaction.query_one(query, &[&table]).await?;
    if !row.try_get::<_, bool>(0)? {
        let create = "CREATE TABLE schema_version (version bigint NOT NULL)";
        transaction.batch_execute(create).await?;
    }
    let query = "SELECT coalesce(max(version), 0) FROM schema_version";
    let found: i64 = transaction.query_one(query, &[]).await?.try_get(0)?;
    let known = migrations.len();
    let missing = usize::try_from(found)
        .ok()
        .and_then(|it| migrations.get(it..));
    let Some(missing) = missing else {
        let schema = schema.to_owned();
        return Err(MigrationError::Newer {
            schema,
            found,
            known,
        });
    };
    if missing.is_empty() {
        return Ok(transaction.commit().await?);
    }
    for migration in missing {
        transaction.batch_execute(migration).await?;
    }
    let version = i64::try_from(known).unwrap_or(i64::MAX);
    let write = "WITH old AS (DELETE FROM schema_version) INSERT INTO schema_version VALUES ($1)";
    transaction.execute(write, &[&version]).await?;
    Ok(transaction.commit().await?)
}
