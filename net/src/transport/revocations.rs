//! Revocations at the transport: the durable copy, and answers to callers.

use super::links::OpenLinks;
use super::revocation_gate::RevocationGate;
use super::store_orders::{is_stored, perform_orders};
use crate::link::TransportEvent;
use crate::store::{Store, revocations};
use phalanx_core::link::Ticket;
use phalanx_core::node;
use phalanx_core::revocation::{Revocation, RevocationRefusal, RevocationRequest, WAITING_MAX};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{oneshot, watch};

/// The reason why a node did not revoke certificates.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The signature is not valid.
    #[error("the revocation is not valid: {0}")]
    Signature(String),
    /// Core refused the revocation.
    #[error(transparent)]
    Refused(#[from] RevocationRefusal),
    /// The node has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// The callers that wait until a revocation is durable. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevocationAnswers {
    waiting: Arc<Mutex<WaitingCallers>>,
}

#[derive(Debug, Default)]
struct WaitingCallers {
    last: u64,
    callers: BTreeMap<RevocationRequest, oneshot::Sender<Result<(), RevocationRefusal>>>,
}

/// The receiving end of one answer.
pub(crate) type RevocationAnswer = oneshot::Receiver<Result<(), RevocationRefusal>>;

impl RevocationAnswers {
    /// Returns the number of a new request, and its answer; none if too many callers wait.
    pub(crate) fn ask(&self) -> Option<(RevocationRequest, RevocationAnswer)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.callers.retain(|_, caller| !caller.is_closed());
        if waiting.callers.len() >= WAITING_MAX {
            return None;
        }
        waiting.last += 1;
        let request = RevocationRequest(waiting.last);
        let (caller, answer) = oneshot::channel();
        waiting.callers.insert(request, caller);
        Some((request, answer))
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: RevocationRequest, result: Result<(), RevocationRefusal>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = waiting.callers.remove(&request) {
            // The caller may have given up.
            let _gone = caller.send(result).is_err();
        }
    }
}

/// An order to store revocations, with its ticket.
pub(crate) type StoreOrder = Option<(Ticket, Vec<Arc<Revocation>>)>;

/// Loads the stored revocations, and then stores revocations as ordered, until the machine's loop ends. Returns early if
/// the stored revocations cannot be read: a node that does not know them must not run.
pub(crate) async fn keep_revocations<S: Store>(
    store: S,
    links: OpenLinks,
    gate: RevocationGate,
    loaded: watch::Sender<bool>,
    orders: watch::Receiver<StoreOrder>,
) {
    match revocations::load(&store).await {
        Ok(stored) => {
            for revocation in &stored {
                gate.enforce(revocation);
            }
            if !stored.is_empty() {
                let load = node::Input::LoadRevocations(stored);
                let _ended = links.driver.send(load).await.is_err();
            }
            loaded.send_replace(true);
        }
        Err(error) => {
            let reason = error.to_string();
            links.notice(TransportEvent::StoreFailed { reason });
            return;
        }
    }
    let (store, links) = (&store, &links);
    perform_orders(orders, |order| async move {
        let Some((ticket, newest)) = order else {
            return;
        };
        let done = if is_stored(links, revocations::save(store, &newest).await) {
            node::Input::RevocationsStored { ticket }
        } else {
            node::Input::RevocationsNotStored { ticket }
        };
        let _ended = links.driver.send(done).await.is_err();
    })
    .await;
}
