//! State that an application merges itself.

use core::fmt;

/// State whose merging is commutative, associative and idempotent: every node that has merged the same updates, in
/// whatever order and however often, holds the same.
///
/// Only computes: it runs inside the node's machine.
pub trait Mergeable: Send + Sync {
    /// The whole state, as an update.
    fn encode(&self) -> Vec<u8>;

    /// Merges an update; gives what in it was news, or nothing if nothing was.
    ///
    /// # Errors
    /// What is wrong with the update, for people; the state is unchanged then.
    fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String>;

    /// A copy.
    fn boxed(&self) -> Box<dyn Mergeable>;
}

/// An application's state in a channel.
pub struct Custom(Box<dyn Mergeable>);

impl Custom {
    /// Holds a state.
    #[must_use]
    pub fn new(state: impl Mergeable + 'static) -> Self {
        Self(Box::new(state))
    }

    /// The whole state, encoded.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    pub(super) fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.0.merge(update)
    }
}

impl Clone for Custom {
    fn clone(&self) -> Self {
        Self(self.0.boxed())
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.0.encode() == other.0.encode()
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").finish_non_exhaustive()
    }
}
