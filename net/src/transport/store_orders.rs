//! Orders of the machine to store something, performed one after the other.

use super::links::OpenLinks;
use crate::link::TransportEvent;
use tokio::sync::watch;

/// Performs the newest order, one at a time, until the machine's loop ends. A newer order replaces one that waits.
pub(crate) async fn perform_orders<T: Clone, F: Future<Output = ()>>(
    mut orders: watch::Receiver<T>,
    perform: impl Fn(T) -> F,
) {
    while orders.changed().await.is_ok() {
        let newest = orders.borrow_and_update().clone();
        perform(newest).await;
    }
}

/// Returns whether an order was stored; reports its failure.
pub(crate) fn is_stored<E: core::fmt::Display>(links: &OpenLinks, stored: Result<(), E>) -> bool {
    let failed = stored.map_err(|error| TransportEvent::StoreFailed {
        reason: error.to_string(),
    });
    match failed {
        Ok(()) => true,
        Err(event) => {
            links.notice(event);
            false
        }
    }
}
