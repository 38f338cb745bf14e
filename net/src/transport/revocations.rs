//! Revocations at the transport: signatures of arriving ones, the end of connections, the durable copy, and answers to
//! callers.

use super::connection::Connections;
use super::credentials::CurrentProof;
use super::links::OpenLinks;
use crate::link::TransportEvent;
use crate::store::{Store, revocations};
use phalanx_core::link::Ticket;
use phalanx_core::node::{self, Message};
use phalanx_core::revocation::{
    self, Revocation, RevocationRefusal, RevocationRequest, WAITING_MAX,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Maximum number of invalid signatures that are verified on one link in [`INVALID_INTERVAL`]. Further revocations on
/// the link that are not known are dropped until the interval ends, and offered again by the peer.
const INVALID_MAX: usize = 256;
/// See [`INVALID_MAX`].
const INVALID_INTERVAL: Duration = Duration::from_secs(60);

/// The invalid signatures that were verified on one link in the current interval.
#[derive(Debug)]
pub(crate) struct InvalidSignatures {
    count: usize,
    since: Instant,
}

impl InvalidSignatures {
    pub(crate) fn new() -> Self {
        Self {
            count: 0,
            since: Instant::now(),
        }
    }

    /// Whether one more signature may be verified.
    fn admits(&mut self) -> bool {
        if self.since.elapsed() >= INVALID_INTERVAL {
            *self = Self::new();
        }
        self.count < INVALID_MAX
    }
}

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

/// The parts that verify and enforce revocations. Clones share them.
#[derive(Clone)]
pub(crate) struct RevocationGate {
    pub(crate) proof: CurrentProof,
    pub(crate) connections: Connections,
}

impl RevocationGate {
    /// Refuses the certificates that a revocation concerns from here on, and ends their connections.
    pub(crate) fn enforce(&self, revocation: &Arc<Revocation>) {
        self.proof.revoked().enforce(revocation);
        self.connections
            .kill_presenting(|certificate| revocation.content.concerns(certificate));
    }

    /// Whether a revocation concerns a certificate of this node.
    pub(crate) fn concerns_own(&self, revocation: &Revocation) -> bool {
        let proof = self.proof.current();
        let mut own = proof.identity.presented();
        own.any(|certificate| revocation.content.concerns(&certificate))
    }

    /// Verifies the signature of a revocation, unless it is known.
    pub(crate) fn verify(&self, revocation: &Revocation) -> Result<(), String> {
        if self.proof.revoked().holds(&revocation.content) {
            return Ok(());
        }
        self.proof.current().identity.verify_revocation(revocation)
    }

    /// Removes all revocations of a message, because nothing can verify their signatures. Returns the reason.
    pub(crate) fn drop_all(message: &mut Message) -> Option<String> {
        let Message::Revocation(revocation::Message::Entries { revocations, .. }) = message else {
            return None;
        };
        let removed = !revocations.is_empty();
        revocations.clear();
        removed.then(|| "this node cannot verify signatures".to_owned())
    }

    /// Removes the revocations of a message that have no valid signature. `invalid` counts those of the link. Returns
    /// the reason of the first removal.
    pub(crate) fn filter(
        &self,
        message: &mut Message,
        invalid: &mut InvalidSignatures,
    ) -> Option<String> {
        let Message::Revocation(revocation::Message::Entries { revocations, .. }) = message else {
            return None;
        };
        let mut first = None;
        revocations.retain(|revocation| {
            if self.proof.revoked().holds(&revocation.content) {
                return true;
            }
            if !invalid.admits() {
                first.get_or_insert_with(|| {
                    format!(
                        "more than {INVALID_MAX} revocations without a valid signature in a minute"
                    )
                });
                return false;
            }
            let verified = self.verify(revocation);
            if let Err(why) = &verified {
                invalid.count += 1;
                first.get_or_insert_with(|| why.clone());
            }
            verified.is_ok()
        });
        first
    }
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
    mut orders: watch::Receiver<StoreOrder>,
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
    while orders.changed().await.is_ok() {
        let Some((ticket, newest)) = orders.borrow_and_update().clone() else {
            continue;
        };
        let done = match revocations::save(&store, &newest).await {
            Ok(()) => node::Input::RevocationsStored { ticket },
            Err(error) => {
                let reason = error.to_string();
                links.notice(TransportEvent::StoreFailed { reason });
                node::Input::RevocationsNotStored { ticket }
            }
        };
        let _ended = links.driver.send(done).await.is_err();
    }
}
