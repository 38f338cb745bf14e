//! State of a channel that an application merges itself.

use crate::random::hash_bytes;
use core::fmt;

/// State with a commutative, associative and idempotent merge: nodes that merged the same updates hold equal state,
/// whatever the order and repetition of the updates.
///
/// Implementations must be free of side effects, because they run inside the node's machine.
pub trait Mergeable: Send + Sync {
    /// The whole state, as an update.
    fn encode(&self) -> Vec<u8>;

    /// Merges an update. Returns the part that was new, if any.
    ///
    /// # Errors
    /// Returns a description of the error in the update. The state is then unchanged.
    fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// A copy.
    fn boxed(&self) -> Box<dyn Mergeable>;
}

/// The state of an application in a channel.
pub struct Custom {
    state: Box<dyn Mergeable>,
    /// The hash of the encoded state, since the last comparison that followed a change.
    hash: Option<u64>,
}

impl Custom {
    /// Holds a state.
    #[must_use]
    pub fn new(state: impl Mergeable + 'static) -> Self {
        Self {
            state: Box::new(state),
            hash: None,
        }
    }

    /// The whole state, encoded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.state.encode()
    }

    pub(crate) fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let merged = self.state.merge(update);
        if !matches!(merged, Ok(None)) {
            self.hash = None;
        }
        merged
    }

    /// The hash of the encoded state.
    pub(super) fn hash(&self) -> u64 {
        self.hash.unwrap_or_else(|| hash_bytes(&self.encode()))
    }

    /// Computes the hash once for all comparisons until the state changes.
    pub(super) fn prepare_hash(&mut self) {
        self.hash = Some(self.hash());
    }
}

impl Clone for Custom {
    fn clone(&self) -> Self {
        Self {
            state: self.state.boxed(),
            hash: self.hash,
        }
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").finish_non_exhaustive()
    }
}
