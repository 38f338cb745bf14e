//! A scenario, as read from a file.

use super::argument::Arguments;
use super::chaos::{Chaos, ChaosKind};
use super::conditions::Expectation;
use super::engine::Engine;
use super::host::Host;
use super::network::{LinkRule, PathProperties};
use super::steps::Step;
use super::variant::Variant;
use super::vocabulary::Vocabulary;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The system of a scenario file without the key `system`.
pub const DEFAULT_SYSTEM: &str = "mesh";

/// A scenario, as read from a file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file, as the caller named it.
    pub file: String,
    /// The included files.
    pub included: Vec<String>,
    /// The scenario's name. A variant of a matrix has its values in the name: `sweep[loss=10%,nodes=30]`.
    pub name: String,
    /// The variant of the file's matrix.
    pub variant: Variant,
    /// The name of the simulated system.
    pub system: String,
    /// A description of the events and of their purpose.
    pub about: String,
    /// The engines that the scenario supports.
    pub engines: Vec<Engine>,
    /// Whether the final state is independent of the order of events.
    pub confluent: bool,
    /// Duration of the fault phase, with faults and workload.
    pub duration: Duration,
    /// Maximum duration, after all faults are lifted, until all views are correct.
    pub recovery: Duration,
    /// Whether the faults are lifted and all views must become correct. If not, the run ends with the fault phase.
    pub recovers: bool,
    /// All machines; clones are last.
    pub hosts: Vec<Host>,
    /// The indices of the machines whose addresses the other nodes have at their start (seed nodes).
    pub seeds: Vec<usize>,
    /// The name that every node uses as its only seed address, instead of the addresses of the seed nodes.
    pub seed_name: Option<String>,
    /// The names, each with the hosts whose addresses the name has.
    pub names: BTreeMap<String, Vec<usize>>,
    /// Nodes start at random times within this duration.
    pub spread: Duration,
    /// The default network between all hosts.
    pub network: PathProperties,
    /// Exceptions for single pairs, the narrower rules last; the last matching rule applies.
    pub links: Vec<LinkRule>,
    /// The settings of programs.
    pub settings: Arguments,
    /// The budget of random faults, if any.
    pub chaos: Option<Chaos>,
    /// The steps, ordered by time.
    pub steps: Vec<Step>,
    /// The expectations.
    pub expectations: Vec<Expectation>,
    /// The vocabulary of the system.
    pub vocabulary: Arc<Vocabulary>,
    /// The hash of the file's text. Equal files give equal runs.
    pub hash: u64,
    /// The lines of the settings that not every engine supports, by key.
    pub lines: BTreeMap<&'static str, usize>,
}

impl Scenario {
    /// Returns the name in the file, without the values of a matrix.
    #[must_use]
    pub fn plain_name(&self) -> &str {
        let values = format!("[{}]", self.variant);
        self.name.strip_suffix(&values).unwrap_or(&self.name)
    }

    /// Returns the scenario as a file without a matrix would define it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.plain_name().to_owned().clone_into(&mut self.name);
        self.variant = Variant::default();
        self
    }

    /// Returns the maximum duration of a fault that the search adds. Programs may not recover from longer faults.
    #[must_use]
    pub fn longest_fault(&self) -> Duration {
        let programs = self.vocabulary.programs.iter();
        let limits = programs.filter_map(|words| words.longest_fault);
        let limits = limits.map(|limit| limit(&self.settings, &self.hosts));
        limits.min().unwrap_or(Duration::MAX)
    }

    /// Returns every kind of fault that chaos may draw.
    #[must_use]
    pub fn chaos_kinds(&self) -> Vec<ChaosKind> {
        ChaosKind::all(&self.vocabulary)
    }

    /// Returns the network from one host to another, before any step changes it.
    #[must_use]
    pub fn network_between(&self, from: usize, to: usize) -> PathProperties {
        self.links
            .iter()
            .rev()
            .find(|rule| rule.applies(from, to))
            .map_or(self.network, |rule| rule.network)
    }

    /// Returns the host of this name.
    #[must_use]
    pub fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }
}
