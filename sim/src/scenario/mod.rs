//! Scenarios: who is there, what happens when, and what must come of it.
//!
//! A scenario file (TOML) is read into a [`Scenario`], which knows nothing of engines; with a seed it becomes a
//! [`Plan`](plan::Plan), in which every random choice is made, so that every engine does the same. Start with
//! [`Scenario::parse`].

mod action;
mod channels;
mod chaos;
mod conditions;
mod engine;
mod error;
mod file;
mod include;
mod names;
mod own;
pub mod plan;
mod read;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
pub mod text;
mod variant;
mod write;

pub use action::{Action, Certificate, DiskFault, NetworkAction, NodeAction, Pairs, Sides};
pub use channels::Opening;
pub use chaos::{Chaos, ChaosKind};
pub use conditions::{Bound, Condition, Expectation, Metric, Mode, SeenAs};
pub use engine::Engine;
pub use error::{ScenarioError, nearest, suggestion};
pub use names::Selector;
pub use schema::schema;
pub use steps::{Step, Trigger, When};
pub use variant::Variant;

use crate::mesh::MESH;
use crate::system::Vocabulary;
use core::time::Duration;
use phalanx_core::channel::ChannelName;
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
    /// Everything that was written.
    Keep,
    /// What was synced; the rest of what was written is lost.
    Synced,
    /// Nothing.
    Lose,
}

/// How long a segment takes, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same.
    Constant(Duration),
    /// Anything between the shortest and the longest.
    Uniform(Duration, Duration),
    /// The least, and exponentially distributed time on top of it.
    Exponential {
        /// The least.
        least: Duration,
        /// The mean of what comes on top.
        mean: Duration,
    },
    /// Log-normally distributed: mostly near the median, sometimes much longer.
    LogNormal {
        /// Half are shorter.
        median: Duration,
        /// One in a hundred is longer.
        p99: Duration,
    },
}

impl Latency {
    /// The shortest and the longest; none when there is no longest.
    #[must_use]
    pub const fn bounds(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Constant(time) => Some((time, time)),
            Self::Uniform(least, most) => Some((least, most)),
            Self::Exponential { .. } | Self::LogNormal { .. } => None,
        }
    }
}

/// The network between two nodes, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// How long a segment takes.
    pub latency: Latency,
    /// The share of TCP segments that are lost, in parts per million.
    pub loss_ppm: u32,
    /// Bits a second of one connection; none for unlimited.
    pub bandwidth: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Latency::Constant(Duration::from_millis(1)),
            loss_ppm: 0,
            bandwidth: None,
        }
    }
}

/// The network between some nodes, in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// The node id it runs under: its name, but for clones.
    pub id: NodeId,
    /// The class it publishes; empty: the usual one.
    pub kind: String,
    /// What it serves at first.
    pub services: BTreeSet<Service>,
    /// What it publishes besides at first.
    pub metadata: BTreeMap<String, String>,
    /// The channels that its applications open at its start.
    pub channels: BTreeMap<ChannelName, Opening>,
    /// Whether it publishes an address to be dialled at.
    pub dialable: bool,
    /// What it is for.
    pub role: Option<String>,
    /// Where it stands.
    pub region: Option<String>,
    /// Where it stands, closer.
    pub zone: Option<String>,
    /// Settings of the protocol in which it differs from all others.
    pub tuning: TuningChanges,
    /// The word for its group.
    pub group: Option<String>,
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
        self.over(phalanx_core::gossip::Tuning::default())
    }

    /// Other settings with these changes.
    #[must_use]
    pub fn over(&self, mut tuning: phalanx_core::gossip::Tuning) -> phalanx_core::gossip::Tuning {
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
    /// The scenario's name; of a run of a matrix with its values: `sweep[loss=10%,nodes=30]`.
    pub name: String,
    /// Which run of the file's matrix it is.
    pub variant: Variant,
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
    /// Random faults within a budget.
    pub chaos: Option<Chaos>,
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
    /// Reads a scenario of the mesh from a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key; or that it has a matrix, which is many scenarios.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::parse_with(file, text, &(MESH.vocabulary)())
    }

    /// Reads a scenario from a file's text, in the words of a system.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key; or that it has a matrix, which is many scenarios.
    pub fn parse_with(
        file: &str,
        text: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Self, ScenarioError> {
        variant::only(Self::parse_all(file, text, vocabulary)?, None)
    }

    /// Reads every scenario of a file's text: one, or one for each run of its matrix.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key.
    pub fn parse_all(
        file: &str,
        text: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<Self>, ScenarioError> {
        include::runs_of(file, text, vocabulary)?
            .iter()
            .map(include::Run::read)
            .collect()
    }

    /// Reads a scenario file of the mesh.
    ///
    /// # Errors
    /// When the file cannot be read (line 0), or what is wrong in it; or that it has a matrix, which is many
    /// scenarios.
    pub fn load(path: &std::path::Path) -> Result<Self, ScenarioError> {
        Self::load_one(path, &(MESH.vocabulary)(), None)
    }

    /// Reads the one scenario of a file that a selection allows (`loss=10%,nodes=30`), in the words of a system;
    /// without a matrix there is only one.
    ///
    /// # Errors
    /// When the file cannot be read (line 0), or what is wrong in it; or when the selection fits no run of its
    /// matrix, or several.
    pub fn load_one(
        path: &std::path::Path,
        vocabulary: &Vocabulary,
        selection: Option<&str>,
    ) -> Result<Self, ScenarioError> {
        variant::only(Self::load_all(path, vocabulary, None)?, selection)
    }

    /// Reads every scenario of a file that a selection allows: one, or one for each run of its matrix.
    ///
    /// # Errors
    /// When the file cannot be read (line 0), or what is wrong in it; or when the selection fits no run of its
    /// matrix.
    pub fn load_all(
        path: &std::path::Path,
        vocabulary: &Vocabulary,
        selection: Option<&str>,
    ) -> Result<Vec<Self>, ScenarioError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => variant::chosen(Self::parse_all(&file, &text, vocabulary)?, selection),
            Err(why) => Err(ScenarioError {
                file,
                line: 0,
                key: String::new(),
                message: format!("cannot be read: {why}"),
            }),
        }
    }

    /// The name in its file: without the values of its matrix.
    #[must_use]
    pub fn plain_name(&self) -> &str {
        let values = format!("[{}]", self.variant);
        self.name.strip_suffix(&values).unwrap_or(&self.name)
    }

    /// The same as a file of its own would hold it: no longer one run of a matrix.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.plain_name().to_owned().clone_into(&mut self.name);
        self.variant = Variant::default();
        self
    }

    /// The settings of the protocol of one host.
    #[must_use]
    pub fn tuning_of(&self, host: usize) -> phalanx_core::gossip::Tuning {
        self.hosts[host].tuning.over(self.tuning.tuning())
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
