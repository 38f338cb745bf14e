//! At rest, all nodes hold the same records, and equal hashes mean equal views.
//!
//! Reason: merging is independent of order, duplication and route. If two views with equal hashes hold different
//! records, anti-entropy never repairs the difference. Source: DESIGN section 4 (records; anti-entropy).

use super::{Node, Scene};
use crate::invariant::{Invariant, InvariantResult, Steps};
use phalanx_core::gossip::MemberView;
use phalanx_core::topology::record::EdgeReport;

#[derive(Default)]
pub(super) struct MergesConverge {
    /// The number of pairs of views compared.
    checked: u64,
}

/// The edge report of a member, without the evidence of its edges: the ages differ from view to view.
fn report(member: &MemberView) -> Option<&EdgeReport> {
    Some(&member.report.as_ref()?.report)
}

impl Invariant for MergesConverge {
    fn name(&self) -> &'static str {
        "merges-converge"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn at_rest(&mut self, scene: &Scene<'_>) -> InvariantResult {
        let mut nodes = scene.of::<Node>();
        let Some((first, reference)) = nodes.next() else {
            return Ok(());
        };
        let reference = reference.mesh();
        for (host, node) in nodes {
            self.checked += 1;
            let mesh = node.mesh();
            let mut left = reference.members();
            let mut right = mesh.members();
            loop {
                let (one, two) = (left.next(), right.next());
                let same = match (&one, &two) {
                    (None, None) => break,
                    (Some(one), Some(two)) => {
                        one.record == two.record && report(one) == report(two)
                    }
                    (Some(_), None) | (None, Some(_)) => false,
                };
                if !same {
                    let id = one
                        .or(two)
                        .map_or_else(String::new, |member| member.record.id().to_string());
                    let (first, name) = (scene.name(first), scene.name(host));
                    return Err(format!(
                        "{first} and {name} hold different things about {id}"
                    ));
                }
            }
            if mesh.hash() != reference.hash() {
                return Err(format!(
                    "{} has another hash for the same view",
                    scene.name(host)
                ));
            }
        }
        Ok(())
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
