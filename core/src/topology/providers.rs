//! Index of services by provider: a look-up costs O(log services), without a scan of the members.

use super::record::Record;
use crate::identity::NodeId;
use crate::size::held;
use std::collections::BTreeMap;

/// Services, their versions and their providers, all in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Providers {
    by_name: BTreeMap<String, BTreeMap<String, Vec<NodeId>>>,
}

impl Providers {
    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let names = self.by_name.iter().map(|(name, versions)| {
            let lists = versions.iter().map(|(version, owners)| {
                let ids: usize = owners.iter().map(|id| id.as_str().len()).sum();
                held::<(String, Vec<NodeId>)>(1)
                    + version.len()
                    + held::<NodeId>(owners.len())
                    + ids
            });
            held::<(String, BTreeMap<String, Vec<NodeId>>)>(1) + name.len() + lists.sum::<usize>()
        });
        names.sum()
    }

    pub(super) const fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
        }
    }

    /// Lists a record's owner under each of its services. The operation is idempotent.
    pub(super) fn insert(&mut self, record: &Record) {
        for service in &record.content().services {
            let versions = self.by_name.entry(service.name.clone()).or_default();
            let nodes = versions.entry(service.version.clone()).or_default();
            if let Err(at) = nodes.binary_search(record.id()) {
                nodes.insert(at, record.id().clone());
            }
        }
    }

    /// Removes a record's owner from each of its services.
    pub(super) fn remove(&mut self, record: &Record) {
        for service in &record.content().services {
            let Some(versions) = self.by_name.get_mut(&service.name) else {
                continue;
            };
            if let Some(nodes) = versions.get_mut(&service.version) {
                if let Ok(at) = nodes.binary_search(record.id()) {
                    nodes.remove(at);
                }
                if nodes.is_empty() {
                    versions.remove(&service.version);
                }
            }
            if versions.is_empty() {
                self.by_name.remove(&service.name);
            }
        }
    }

    /// The providers of a service in one version, or in any version; in id order, each once.
    pub(super) fn of(&self, name: &str, version: Option<&str>) -> Vec<NodeId> {
        let Some(versions) = self.by_name.get(name) else {
            return Vec::new();
        };
        match version {
            Some(version) => versions.get(version).cloned().unwrap_or_default(),
            None => {
                let mut nodes: Vec<NodeId> = versions.values().flatten().cloned().collect();
                nodes.sort_unstable();
                nodes.dedup();
                nodes
            }
        }
    }

    /// Every service with its providers.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, &[NodeId])> + '_ {
        self.by_name.iter().flat_map(|(name, versions)| {
            versions
                .iter()
                .map(move |(version, nodes)| (name.as_str(), version.as_str(), nodes.as_slice()))
        })
    }
}
