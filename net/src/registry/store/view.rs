//! The description of a registry's store for people.

use super::directory::StoreDirectory;
use super::postgres::PostgresStoreState;
use std::fmt;

/// The store of a registry. A SQLite store is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub enum RegistryStoreView {
    /// A file in a directory.
    Sqlite(StoreDirectory),
    /// A schema of a database.
    Postgres(PostgresStoreState),
}

impl RegistryStoreView {
    /// The size of the store, in bytes; of a database, when it was measured last.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Sqlite(directory) => directory.bytes(),
            Self::Postgres(state) => state.bytes(),
        }
    }

    /// The directory of a store that the registry itself saves; none for a database, which has its own tools for that.
    #[must_use]
    pub const fn directory(&self) -> Option<&StoreDirectory> {
        match self {
            Self::Sqlite(directory) => Some(directory),
            Self::Postgres(_) => None,
        }
    }

    /// The process that holds the store; none if one process alone can use it, or if it is not known.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(state) => state.holder(),
        }
    }
}

/// The kind and the place, without a password.
impl fmt::Display for RegistryStoreView {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(directory) => write!(out, "sqlite {}", directory.file().display()),
            Self::Postgres(state) => write!(out, "{state}"),
        }
    }
}

impl From<StoreDirectory> for RegistryStoreView {
    fn from(directory: StoreDirectory) -> Self {
        Self::Sqlite(directory)
    }
}

impl From<PostgresStoreState> for RegistryStoreView {
    fn from(state: PostgresStoreState) -> Self {
        Self::Postgres(state)
    }
}
