//! Revocations of simulated daemons, and the file that keeps them: one id a line.
//!
//! A simulated node has one certificate, of which only the id is known, so that a revocation of the id concerns it for
//! good. Signatures are not simulated: the transport verifies them before a revocation reaches a node.

use crate::model::WALL_ZERO;
use phalanx_core::identity::NodeId;
use phalanx_core::revocation::{
    Revocation, RevocationContent, RevocationSignature, RevocationTarget,
};
use phalanx_core::subject::CertificateRole;
use phalanx_core::time::Wall;
use std::sync::Arc;

/// Seconds for which a simulated certificate is valid.
const VALID_SECONDS: u64 = 90 * 86_400;
/// The number of Ed25519 among the signature schemes of TLS 1.3.
const ED25519: u16 = 0x0807;

/// The revocation of a node's certificate.
pub(super) fn of(id: &NodeId) -> Arc<Revocation> {
    Arc::new(Revocation {
        content: RevocationContent {
            target: RevocationTarget::Holder(CertificateRole::Node, id.clone()),
            begun_before: Wall(1),
            ends: Wall(WALL_ZERO + VALID_SECONDS),
            signed: Wall(0),
        },
        signature: RevocationSignature {
            scheme: ED25519,
            bytes: vec![0; 64],
            chain: [].into(),
        },
    })
}

/// The content of the file.
pub(super) fn encode(revocations: &[Arc<Revocation>]) -> Vec<u8> {
    let mut text = String::new();
    for revocation in revocations {
        if let RevocationTarget::Holder(_, id) = &revocation.content.target {
            text.push_str(id.as_str());
            text.push('\n');
        }
    }
    text.into_bytes()
}

/// The revocations in a file.
pub(super) fn decode(bytes: &[u8]) -> Vec<Arc<Revocation>> {
    let text = str::from_utf8(bytes).unwrap_or_default();
    let ids = text.lines().filter_map(|line| NodeId::new(line).ok());
    ids.map(|id| of(&id)).collect()
}
