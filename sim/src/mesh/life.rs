//! What a life of a node begins with, the same on every engine.

use super::host_words;
use super::publishing::Published;
use crate::model::address;
use crate::scenario::Scenario;
use phalanx_core::gossip::{Address, Config, Sabotage};
use phalanx_core::random::Random;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Content;

/// The mesh that every scenario is about.
pub const MESH: &str = "sim";

/// One start of a node.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    /// What runs.
    pub scenario: &'a Scenario,
    /// On which host.
    pub host: usize,
    /// Which start it is, as the disk says.
    pub epoch: u64,
    /// The calendar.
    pub wall: Wall,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
}

impl Life<'_> {
    /// What the node is started with; its instance is the first draw of this life's randomness.
    pub fn config(&self, random: &mut Random) -> Config {
        let instance = u32::try_from(random.next_u64() >> 32).unwrap_or(1).max(1);
        let Self { scenario, host, .. } = *self;
        let spec = &scenario.hosts[host];
        let others = scenario.seeds.iter().filter(|seed| **seed != host);
        let targets = others.map(|seed| Address::Socket(address(*seed))).collect();
        let content = Content {
            nickname: String::new(),
            kind: host_words::kind(spec),
            address: host_words::is_dialable(spec).then(|| address(host)),
            joined: self.wall,
            services: host_words::services(spec),
            metadata: host_words::metadata(spec),
        };
        let id = spec.id.clone();
        let mut config = Config::new(id, MESH, self.epoch, instance, content, targets);
        config.tuning = host_words::tuning_of(&scenario.settings, spec);
        config.sabotage = self.sabotage;
        config
    }
}

/// The randomness of one life of a host: a draw in one shifts no other's.
#[must_use]
pub fn randomness(seeds: &Random, host: usize, life: u64) -> Random {
    seeds.nth_child("host", host as u64).nth_child("life", life)
}

/// Other content for a running node, which keeps its address and its time of joining by itself.
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
