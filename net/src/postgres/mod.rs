//! Connections to PostgreSQL, and the parts of a store that do not depend on what is stored.
//!
//! - `settings`: the address of a database, from a URL. `password`: passwords, from files. `tls`: TLS to a host.
//! - `session`: a connection whose operations block and end within a bound.
//! - `failure`: errors, by their effects on the transaction.
//! - `migration`: the version of a schema's tables.
//! - `lease`: the row that has the epoch, the revision and the holder of a store.
//!
//! Nothing of this module logs or shows a password.

mod failure;
mod lease;
mod migration;
mod password;
mod session;
mod settings;
mod tls;

pub(crate) use failure::{PostgresFailure, PostgresFailureKind};
pub(crate) use lease::{LEASE_TABLE, LeaseHolder, LeaseRow};
pub(crate) use migration::{MigrationError, migrate};
pub(crate) use session::PostgresSession;
pub use settings::{PostgresSettings, PostgresUrlError};
