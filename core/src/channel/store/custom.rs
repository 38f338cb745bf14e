//! State of a channel that an application merges itself.

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

    pub(crate) fn merge(&mut self, update: &[u8]) -> Result<Option<Vec<u8>>, String> {
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
