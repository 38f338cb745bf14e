//! The provider index equals a brute-force search through all members.
//!
//! Reason: callers select a provider by the index alone. An entry that remains after its node died or stopped serving
//! misdirects calls; a missing entry hides a provider. Source: W-27; DESIGN section 4 (discovery).

use super::{Node, Scene};
use crate::invariant::{Invariant, InvariantResult, Steps};
use phalanx_core::gossip::{MemberView, Status};
use phalanx_core::identity::NodeId;
use std::collections::BTreeMap;

pub(super) struct ProviderIndex {
    /// For each host, the revision of the view at which the index was last found correct.
    right_at: Vec<Option<u64>>,
    /// The number of services compared.
    checked: u64,
}

impl ProviderIndex {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            right_at: vec![None; hosts],
            checked: 0,
        }
    }
}

/// The providers that the members' records state: name and version, each with its ids in order.
fn search(members: &[MemberView]) -> BTreeMap<(&str, &str), Vec<&NodeId>> {
    let mut found: BTreeMap<_, Vec<&NodeId>> = BTreeMap::new();
    for member in members {
        if matches!(member.status, Status::Alive | Status::Suspect) {
            for service in &member.record.content().services {
                let key = (service.name.as_str(), service.version.as_str());
                found.entry(key).or_default().push(member.record.id());
            }
        }
    }
    for ids in found.values_mut() {
        ids.sort_unstable();
    }
    found
}

impl Invariant for ProviderIndex {
    fn name(&self) -> &'static str {
        "provider-index"
    }

    fn steps(&self) -> Steps {
        Steps::None
    }

    fn on_start(&mut self, host: usize) {
        self.right_at[host] = None;
    }

    fn checkpoint(&mut self, scene: &Scene<'_>) -> InvariantResult {
        for (host, node) in scene.of::<Node>() {
            let mesh = node.mesh();
            let revision = Some(mesh.topology().revision());
            if self.right_at[host] == revision {
                continue;
            }
            let members: Vec<MemberView> = mesh.members().collect();
            let found = search(&members);
            self.checked += found.len() as u64;
            let mut indexed = 0;
            for (name, version, ids) in mesh.services() {
                if ids.is_empty() {
                    continue;
                }
                indexed += 1;
                let brute = found.get(&(name, version));
                if !brute.is_some_and(|brute| brute.iter().copied().eq(ids)) {
                    let node = scene.name(host);
                    return Err(format!(
                        "{node} finds {name}/{version} at {ids:?}; its members say {brute:?}"
                    ));
                }
            }
            if indexed != found.len() {
                let node = scene.name(host);
                return Err(format!(
                    "{node} indexes {indexed} services; its members serve {}",
                    found.len()
                ));
            }
            self.right_at[host] = revision;
        }
        Ok(())
    }

    fn at_rest(&mut self, scene: &Scene<'_>) -> InvariantResult {
        self.checkpoint(scene)
    }

    fn checked(&self) -> Option<u64> {
        Some(self.checked)
    }
}
