//! Errors of orders to channels.

use crate::driver::Stopped;
use phalanx_core::channel::Refusal;

/// The reason why an order to a channel was not performed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The node refused it, or could not do it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
