//! Scenarios: who is there, what happens when, and what must come of it.
//!
//! A scenario file (TOML) is read into a [`Scenario`], which knows nothing of engines; with a seed it becomes a
//! [`Plan`](plan::Plan), in which every random choice is made, so that every engine does the same. Start with
//! [`Scenario::parse`].

mod conditions;
mod engine;
mod error;
mod file;
mod names;
pub mod plan;
mod read;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
pub mod text;

pub use conditions::{Bound, Condition, Expectation, Metric, Mode, SeenAs};
pub use engine::Engine;
pub use error::{ScenarioError, nearest, suggestion};
pub use names::Selector;
pub use schema::schema;
pub use steps::{Action, Pairs, Sides, Step};

use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::topology::record::Service;
use std::collections::{BTreeMap, BTreeSet};

/// Whom a fault spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Neither side hears the other.
    Both,
    /// The second side does not hear the first.
    Out,
    /// The first side does not hear the second.
    In,
}

/// What is left of a node's disk at a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Everything that was durable.
    Keep,
    /// Nothing.
    Lose,
}

/// The network between two nodes, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The shortest latency, one way.
    pub latency_min: Duration,
    /// The longest.
    pub latency_max: Duration,
    /// The share of TCP segments that are lost, in parts per million.
    pub loss_ppm: u32,
    /// Bits a second of one connection; none for unlimited.
    pub bandwidth: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        let latency = Duration::from_millis(1);
        Self {
            latency_min: latency,
            latency_max: latency,
            loss_ppm: 0,
            bandwidth: None,
        }
    }
}

/// The network between some nodes, in both directions.
#[derive(Clone, Debug)]
pub struct LinkRule {
    /// One end.
    pub from: Vec<usize>,
    /// The other end.
    pub to: Vec<usize>,
    /// What differs.
    pub network: Network,
}

/// How a node's clock differs from true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The calendar is off by this, in nanoseconds.
    pub offset: i64,
    /// It runs fast (or, negative, slow) by this many millionths.
    pub drift_ppm: i32,
}

/// One machine of a scenario.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// The node id it runs under: its name, but for clones.
    pub id: NodeId,
    /// The class it publishes.
    pub kind: String,
    /// What it serves at first.
    pub services: BTreeSet<Service>,
    /// What it publishes besides at first.
    pub metadata: BTreeMap<String, String>,
    /// Whether it publishes an address to be dialled at.
    pub dialable: bool,
    /// Its clock.
    pub clock: Clock,
    /// When it starts; none when only a step starts it.
    pub start: Option<Duration>,
    /// Whose id it copies.
    pub clone_of: Option<usize>,
}

/// Settings of the protocol that differ from the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TuningChanges {
    /// See `gossip::Tuning`.
    pub forget_after: Option<Duration>,
    /// See `gossip::Tuning`.
    pub random_link_interval: Option<Duration>,
    /// See `gossip::Tuning`.
    pub hash_interval: Option<Duration>,
    /// See `gossip::Tuning`.
    pub links_max: Option<usize>,
}

impl TuningChanges {
    /// The defaults with these changes.
    #[must_use]
    pub fn tuning(&self) -> phalanx_core::gossip::Tuning {
        let mut tuning = phalanx_core::gossip::Tuning::default();
        tuning.forget_after = self.forget_after.unwrap_or(tuning.forget_after);
        tuning.random_link_interval = self
            .random_link_interval
            .unwrap_or(tuning.random_link_interval);
        tuning.hash_interval = self.hash_interval.unwrap_or(tuning.hash_interval);
        tuning.links_max = self.links_max.unwrap_or(tuning.links_max);
        tuning
    }
}

/// A situation, as read from a file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The scenario's name.
    pub name: String,
    /// Its story.
    pub about: String,
    /// The engines it is written for.
    pub engines: Vec<Engine>,
    /// Whether it ends in one state whatever the order of events.
    pub confluent: bool,
    /// The time of faults and workload.
    pub duration: Duration,
    /// The time after which, with all faults lifted, all views must be right.
    pub recovery: Duration,
    /// All machines; clones last.
    pub hosts: Vec<Host>,
    /// The machines that everyone else joins by.
    pub seeds: Vec<usize>,
    /// Nodes start at a random time within this.
    pub spread: Duration,
    /// The network between all.
    pub network: Network,
    /// Exceptions; the last that fits wins.
    pub links: Vec<LinkRule>,
    /// Settings of the protocol.
    pub tuning: TuningChanges,
    /// What happens when, in time order.
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expectations: Vec<Expectation>,
    /// The hash of the file's text: the same file gives the same run.
    pub hash: u64,
    /// The line of `engines`.
    pub engines_line: usize,
}

impl Scenario {
    /// Reads a scenario from a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        read::scenario(error::Source { file, text })
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// When the file cannot be read (line 0), or what is wrong in it.
    pub fn load(path: &std::path::Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(why) => Err(ScenarioError {
                file,
                line: 0,
                key: String::new(),
                message: format!("cannot be read: {why}"),
            }),
        }
    }

    /// The network from one host to another, before any step changes it.
    #[must_use]
    pub fn network_between(&self, from: usize, to: usize) -> Network {
        let fits = |rule: &&LinkRule| {
            rule.from.contains(&from) && rule.to.contains(&to)
                || rule.from.contains(&to) && rule.to.contains(&from)
        };
        self.links
            .iter()
            .rev()
            .find(fits)
            .map_or(self.network, |rule| rule.network)
    }

    /// The host of this name.
    #[must_use]
    pub fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }
}
