//! Signatures of arriving revocations, and the end of the connections that revocations concern.

use super::connection::Connections;
use super::credentials::CurrentProof;
use phalanx_core::node::Message;
use phalanx_core::revocation::{self, Revocation};
use std::sync::Arc;
use std::time::Duration;
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
            let verified = self.proof.current().identity.verify_revocation(revocation);
            if let Err(why) = &verified {
                invalid.count += 1;
                first.get_or_insert_with(|| why.clone());
            }
            verified.is_ok()
        });
        first
    }
}
