//! A scenario, as read from a file.

use super::chaos::Chaos;
use super::conditions::Expectation;
use super::engine::Engine;
use super::host::{Host, TuningChanges};
use super::network::{LinkRule, Network};
use super::steps::Step;
use super::variant::Variant;
use core::time::Duration;

/// The system of a scenario file that names none.
pub const DEFAULT_SYSTEM: &str = "mesh";

/// A situation, as read from a file.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The scenario's name; of a run of a matrix with its values: `sweep[loss=10%,nodes=30]`.
    pub name: String,
    /// Which run of the file's matrix it is.
    pub variant: Variant,
    /// The name of the simulated system.
    pub system: String,
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
    /// The steps in time order.
    pub steps: Vec<Step>,
    /// The expectations.
    pub expectations: Vec<Expectation>,
    /// The commands that real daemons cannot be given.
    pub simulated_commands: Vec<&'static str>,
    /// The hash of the file's text: the same file gives the same run.
    pub hash: u64,
    /// The line of `engines`.
    pub engines_line: usize,
}

impl Scenario {
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
