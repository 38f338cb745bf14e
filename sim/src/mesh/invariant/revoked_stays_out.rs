//! A node that holds a revocation has no link to a node whose certificate it concerns, and an acknowledged revocation is
//! held by the node that acknowledged it, also after restarts and power losses.
//!
//! Reason: the holder of a stolen key must not come back, neither on a link that was open before the revocation nor when
//! the node that acknowledged the revocation starts again. Source: docs/security.md.

use super::{Node, Program, Seen, mesh_of, node_of};
use crate::invariant::{Invariant, InvariantResult};
use phalanx_core::identity::NodeId;
use phalanx_core::revocation::PresentedCertificate;
use phalanx_core::time::Instant;

/// The property is checked after each step, without a grace period: links close in the step that accepts a revocation.
#[derive(Default)]
pub(super) struct RevokedStaysOut {
    /// The number of links and acknowledgements compared.
    checked: u64,
}

fn is_revoked(node: &Node, id: &NodeId) -> bool {
    let certificate = PresentedCertificate::of_node(id.clone());
    let list = node.revocations().list();
    list.revocation_of(&certificate).is_some()
}

impl Invariant for RevokedStaysOut {
    fn name(&self) -> &'static str {
        "revoked-stays-out"
    }

    fn after_step(&mut self, seen: &Seen<'_>, system: &dyn Program) -> InvariantResult {
        let node = node_of(seen);
        let acknowledged = mesh_of(system).acknowledged_revocations.get(&seen.host);
        for id in acknowledged.into_iter().flatten() {
            self.checked += 1;
            if !is_revoked(node, id) {
                return Err(format!(
                    "{} acknowledged the revocation of {id} and does not hold it",
                    node.mesh().id()
                ));
            }
        }
        if node.revocations().list().is_empty() {
            return Ok(());
        }
        for link in node.mesh().links(Instant::ZERO) {
            self.checked += 1;
            if is_revoked(node, &link.peer) {
                return Err(format!(
                    "{} has a link to {}, whose certificate it knows as revoked",
                    node.mesh().id(),
                    link.peer
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
