//! Signatures of arriving revocations, and the end of the connections that revocations concern.

use super::connection::Connections;
use super::credentials::CurrentProof;
use phalanx_core::identity::NodeId;
use phalanx_core::node::Message;
use phalanx_core::revocation::{self, Revocation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of invalid signatures of one peer that are verified in [`INVALID_INTERVAL`], on all its connections.
/// Further revocations of the peer that are not known are dropped until the interval ends, and offered again.
const INVALID_MAX: usize = 256;
/// See [`INVALID_MAX`].
const INVALID_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of peers whose invalid signatures are counted. Further peers wait until an interval ends.
const INVALID_PEERS_MAX: usize = 1_024;

/// The invalid signatures of each peer in its current interval. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct InvalidSignatures {
    of: Arc<Mutex<BTreeMap<NodeId, (Instant, usize)>>>,
}

impl InvalidSignatures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Instant, usize)>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more signature of a peer may be verified.
    fn admits(&self, peer: &NodeId) -> bool {
        let mut of = self.lock();
        let ended = |since: Instant| since.elapsed() >= INVALID_INTERVAL;
        if of.get(peer).is_some_and(|(since, _)| ended(*since)) {
            of.remove(peer);
        }
        match of.get(peer) {
            Some((_, count)) => *count < INVALID_MAX,
            None => {
                if of.len() >= INVALID_PEERS_MAX {
                    of.retain(|_, (since, _)| !ended(*since));
                }
                of.len() < INVALID_PEERS_MAX
            }
        }
    }

    /// Counts an invalid signature of a peer.
    fn count(&self, peer: &NodeId) {
        let mut of = self.lock();
        let (_, count) = of.entry(peer.clone()).or_insert((Instant::now(), 0));
        *count += 1;
    }
}

/// The parts that verify and enforce revocations. Clones share them.
#[derive(Clone)]
pub(crate) struct RevocationGate {
    pub(crate) proof: CurrentProof,
    pub(crate) connections: Connections,
    pub(crate) invalid: InvalidSignatures,
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

    /// Removes the revocations of a message of a peer that have no valid signature. Returns the reason of the first
    /// removal.
    pub(crate) fn filter(&self, message: &mut Message, peer: &NodeId) -> Option<String> {
        let Message::Revocation(revocation::Message::Entries { revocations, .. }) = message else {
            return None;
        };
        let mut first = None;
        revocations.retain(|revocation| {
            if self.proof.revoked().holds(&revocation.content) {
                return true;
            }
            if !self.invalid.admits(peer) {
                first.get_or_insert_with(|| {
                    format!(
                        "more than {INVALID_MAX} revocations without a valid signature in a minute"
                    )
                });
                return false;
            }
            let verified = self.proof.current().identity.verify_revocation(revocation);
            if let Err(why) = &verified {
                self.invalid.count(peer);
                first.get_or_insert_with(|| why.clone());
            }
            verified.is_ok()
        });
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> NodeId {
        NodeId::new(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_signatures_are_counted_for_each_peer_on_all_its_connections() {
        let invalid = InvalidSignatures::default();
        let other_link = invalid.clone();
        for _ in 0..INVALID_MAX {
            assert!(invalid.admits(&id("evil")));
            other_link.count(&id("evil"));
        }
        assert!(!invalid.admits(&id("evil")) && invalid.admits(&id("good")));
        tokio::time::advance(INVALID_INTERVAL).await;
        assert!(invalid.admits(&id("evil")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_counted_peers_is_bounded() {
        let invalid = InvalidSignatures::default();
        for number in 0..INVALID_PEERS_MAX {
            invalid.count(&id(&format!("n{number}")));
        }
        assert!(!invalid.admits(&id("late")) && invalid.admits(&id("n7")));
        tokio::time::advance(INVALID_INTERVAL).await;
        assert!(invalid.admits(&id("late")));
    }
}
