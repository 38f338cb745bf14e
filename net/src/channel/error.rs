//! Errors of requests to channels.

use crate::driver::Stopped;
use phalanx_core::channel::Refusal;

/// The reason why a request to a channel was not performed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The node refused the request or could not perform it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
