//! The state of a store, for people.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The known state of a store in a database. Clones share it.
#[derive(Clone, Debug)]
pub struct PostgresStoreState {
    /// The database, without a password.
    place: Arc<str>,
    facts: Arc<Mutex<StoreFacts>>,
}

#[derive(Debug, Default)]
struct StoreFacts {
    /// The host of the session.
    host: Option<String>,
    bytes: u64,
    /// The process that held the lease when the row was read last.
    holder: Option<String>,
    /// The last failure; none if the last operation succeeded.
    problem: Option<String>,
}

impl PostgresStoreState {
    pub(super) fn new(place: String) -> Self {
        Self {
            place: place.into(),
            facts: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, StoreFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of the tables when it was measured last, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// The process that holds the lease, as far as it is known.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        self.lock().holder.clone()
    }

    pub(super) fn note_holder(&self, holder: Option<&str>) {
        self.lock().holder = holder.map(ToOwned::to_owned);
    }

    pub(super) fn note_bytes(&self, bytes: u64) {
        self.lock().bytes = bytes;
    }

    pub(super) fn note_connected(&self, host: &str, bytes: u64) {
        let mut facts = self.lock();
        facts.host = Some(host.to_owned());
        facts.bytes = bytes;
    }

    pub(super) fn note_success(&self) {
        self.lock().problem = None;
    }

    /// Notes a failure, and logs it unless it is the last one again.
    pub(super) fn note_problem(&self, doing: &str, problem: &dyn fmt::Display) {
        let text = format!("{doing} failed: {problem}");
        let mut facts = self.lock();
        if facts.problem.as_ref() != Some(&text) {
            tracing::warn!(store = %self.place, "{text}");
            facts.problem = Some(text);
        }
    }
}

/// The database, the host of the session, and the last failure, if the store has not been opened since.
impl fmt::Display for PostgresStoreState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.lock();
        out.write_str(&self.place)?;
        if let Some(host) = &facts.host {
            write!(out, " on {host}")?;
        }
        match &facts.problem {
            Some(problem) => write!(out, "; {problem}"),
            None => Ok(()),
        }
    }
}
