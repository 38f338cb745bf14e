//! A scenario, as read from a file.

use super::argument::Arguments;
use super::chaos::{Chaos, ChaosKind};
use super::conditions::Expectation;
use super::engine::Engine;
use super::host::Host;
use super::network::{LinkRule, Network};
use super::steps::Step;
use super::variant::Variant;
use super::vocabulary::Vocabulary;
use core::time::Duration;
use std::sync::Arc;

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
    /// The tables of settings in the words of programs.
    pub settings: Arguments,
    /// Random faults within a budget.
    pub chaos: Option<Chaos>,
    /// The steps in time order.
    pub steps: Vec<Step>,
    /// The expectations.
    pub expectations: Vec<Expectation>,
    /// The words of the system that it is about.
    pub vocabulary: Arc<Vocabulary>,
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

    /// The longest time that a fault which the search adds may last: longer ones are more than a program can mend.
    #[must_use]
    pub fn longest_fault(&self) -> Duration {
        let programs = self.vocabulary.programs.iter();
        let limits = programs.filter_map(|words| words.longest_fault);
        let limits = limits.map(|limit| limit(&self.settings, &self.hosts));
        limits.min().unwrap_or(Duration::MAX)
    }

    /// Every kind of fault that chaos may draw.
    #[must_use]
    pub fn chaos_kinds(&self) -> Vec<ChaosKind> {
        ChaosKind::all(&self.vocabulary)
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
