//! The start of a node: its configuration and randomness, the same on every engine.

use super::host_words;
use super::publishing::Published;
use crate::model::{PORT, address, ip};
use crate::scenario::Scenario;
use crate::world::ResolveError;
use core::net::SocketAddr;
use phalanx_core::gossip::Config;
use phalanx_core::link::Address;
use phalanx_core::random::Random;
use phalanx_core::sabotage::Sabotage;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Content;
use std::collections::BTreeMap;

/// The name of the mesh in every scenario.
pub const MESH: &str = "sim";

/// One start of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeStart<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The host of the node.
    pub host: usize,
    /// The epoch of this start, as stored on the host's disk.
    pub epoch: u64,
    /// The addresses of members that the disk of the host holds.
    pub kept: &'a [SocketAddr],
    /// The address of the host.
    pub address: SocketAddr,
    /// The calendar time at the start.
    pub wall: Wall,
    /// The planted bugs and disabled mechanisms.
    pub sabotage: Sabotage,
}

impl NodeStart<'_> {
    /// The node's configuration. The instance is the first draw of this lifetime's randomness.
    pub fn config(&self, random: &mut Random) -> Config {
        let instance = u32::try_from(random.next_u64() >> 32).unwrap_or(1).max(1);
        let Self { scenario, host, .. } = *self;
        let spec = &scenario.hosts[host];
        let others = scenario.seeds.iter().filter(|seed| **seed != host);
        let targets = match &scenario.seed_name {
            // A dial shows a seed node which address of the name is its own.
            Some(name) => vec![Address::Name(format!("{name}:{PORT}"))],
            None => others.map(|seed| Address::Socket(address(*seed))).collect(),
        };
        let mut advertised = self.address;
        if host_words::has_wrong_address(spec) {
            advertised.set_port(PORT + 1);
        }
        let content = Content {
            nickname: String::new(),
            kind: host_words::kind(spec),
            address: host_words::is_dialable(spec).then_some(advertised),
            joined: self.wall,
            services: host_words::services(spec),
            metadata: host_words::metadata(spec),
        };
        let id = spec.id.clone();
        let mut config = Config::new(id, MESH, self.epoch, instance, content, targets);
        config.kept = self.kept.to_vec();
        config.tuning = host_words::tuning_of(&scenario.settings, spec);
        config.sabotage = self.sabotage;
        config
    }
}

/// The randomness of one lifetime of a host. A draw in one lifetime does not shift the draws of another lifetime.
#[must_use]
pub fn randomness(seeds: &Random, host: usize, life: u64) -> Random {
    seeds.nth_child("host", host as u64).nth_child("life", life)
}

/// New content for a running node. The node itself keeps its address and its time of joining.
#[must_use]
pub fn announced(scenario: &Scenario, host: usize, published: Published) -> Content {
    Content {
        nickname: String::new(),
        kind: host_words::kind(&scenario.hosts[host]),
        address: None,
        joined: Wall(0),
        services: published.services,
        metadata: published.metadata,
    }
}

/// Returns the addresses of a scenario's name (`name:port`), each host at its first address.
///
/// # Errors
/// Returns the resolver's error for a name without an address, or for an unknown name.
pub fn resolved(
    names: &BTreeMap<String, Vec<usize>>,
    name: &str,
) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
    let port = port.parse().unwrap_or(PORT);
    match names.get(host) {
        None => Err(ResolveError::NoResolver.to_string()),
        Some(hosts) if hosts.is_empty() => Err(ResolveError::NoAddress.to_string()),
        Some(hosts) => {
            let hosts = hosts.iter();
            Ok(hosts
                .map(|host| SocketAddr::new(ip(*host).into(), port))
                .collect())
        }
    }
}
