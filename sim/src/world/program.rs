//! A program that simulated hosts run, and a system of programs.

use super::process::{Process, ProcessEvent, ProcessView, ReportedEvent};
use super::scene::Scene;
use crate::coverage::{Notes, Occurrence};
use crate::disk::{DiskError, Files};
use crate::finding::FailureFinding;
use crate::invariant::{Invariant, Report, Seen};
use crate::scenario::command_line::Reproduction;
use crate::scenario::plan::Plan;
use crate::scenario::{
    Bound, CertificateChange, Host, OwnCondition, START_FAILED, Scenario, Vocabulary,
};
use core::any::Any;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use phalanx_core::time::Wall;
use serde_json::Value;
use std::borrow::Cow;

/// A system: its vocabulary, and the functions that create a run of the system.
#[derive(Debug)]
pub struct Definition {
    /// The name, as the key `system` of scenario files states it.
    pub name: &'static str,
    /// The command of the tool that contains the system, without the subcommand: `phalanx sim`, `cargo run --`. Each
    /// command that the tool prints begins with this text.
    pub command: &'static str,
    /// Returns the vocabulary of scenario files and command lines.
    pub vocabulary: fn() -> Vocabulary,
    /// Creates the programs of one run. The names are those of the mechanisms to break.
    pub build: fn(&Scenario, &[String]) -> Result<Cast, String>,
    /// Checks whether the system can have recovered at an instant from all faults of a plan. Search and shrinking do
    /// not count a missing recovery as a failure if recovery is impossible.
    pub recoverable: fn(&Scenario, &Plan, Duration) -> Result<(), String>,
}

impl Definition {
    /// Returns the command that reproduces a run.
    #[must_use]
    pub fn reproduce_command(&self, run: &Reproduction<'_>) -> String {
        run.command(self.command)
    }
}

/// The programs of one run, and their assignment to hosts.
pub struct Cast {
    /// The programs.
    pub programs: Vec<Box<dyn Program>>,
    /// For each host, the indices of its programs in the list, in the order in which they start.
    pub hosts: Vec<Vec<usize>>,
}

impl Cast {
    /// Creates a cast of one program that every host runs.
    #[must_use]
    pub fn everywhere(program: impl Program, scenario: &Scenario) -> Self {
        Self {
            programs: vec![Box::new(program)],
            hosts: vec![vec![0]; scenario.hosts.len()],
        }
    }
}

/// A program that hosts run, with the data that all of its processes share. Each value of the program is used for one
/// run only.
pub trait Program: Any {
    /// Returns the program's name, as used in selectors (`m3/agent`) and recordings.
    fn name(&self) -> &'static str;

    /// Prepares a start on a host: stores the files that a process needs to run. An engine calls this method before
    /// [`Self::start`].
    ///
    /// # Errors
    /// The file that cannot be stored, and the reason. The process exits instead of starting.
    fn prepare(&mut self, _host: usize, _disk: &mut Files) -> Result<(), ProcessStartError> {
        Ok(())
    }

    /// Creates a process that starts.
    fn start(&mut self, start: Start<'_>) -> Box<dyn Process>;

    /// Returns whether the program's processes resolve names (`Effect::Resolve`).
    fn resolves_names(&self) -> bool {
        false
    }

    /// Returns whether messages that wait for the bandwidth of a link wait in the lanes that `Message::placement`
    /// names. Otherwise they are sent in the order in which they were queued.
    fn sends_in_lanes(&self) -> bool {
        true
    }

    /// Called by the engine before a process handles an event.
    fn before_event(&mut self, _host: usize, _view: &dyn ProcessView, _event: &ProcessEvent) {}

    /// Called by the engine after a step of a process, before the invariants check the step.
    fn after_step(&mut self, _seen: &Seen<'_>) {}

    /// Notes an event that a process is about to handle, for the table of coverage. The engine calls this method only
    /// if the run collects its coverage. By default, an event is an input of its name, and a command has its own name
    /// as the detail.
    fn note_event(&mut self, _host: usize, event: &ProcessEvent, notes: &mut Notes) {
        let word = event.info(0).word;
        // A step of the program's own vocabulary has its name as its kind.
        if let ProcessEvent::Command(command) = event
            && command.name != word
        {
            notes.note(Occurrence::command(command.name.clone()));
        } else {
            notes.note(Occurrence::input(word));
        }
    }

    /// Notes the occurrences of a step that neither its event nor its reports show, for the table of coverage. The
    /// engine calls this method only if the run collects its coverage.
    fn note_step(&mut self, _seen: &Seen<'_>, _notes: &mut Notes) {}

    /// Called after a process reported an event, before the invariants check the event. Every engine passes reports on,
    /// including those that do not observe single steps.
    fn on_report(&mut self, _report: &Report<'_>) {}

    /// Returns the invariants of this program's processes.
    fn invariants(&self, _scenario: &Scenario) -> Vec<Box<dyn Invariant>> {
        Vec::new()
    }

    /// Checks whether the program's processes have settled. This is the condition `converged`, and the state that every
    /// run must reach after its faults are lifted. By default, the processes have settled when all of them agree.
    ///
    /// # Errors
    /// The error names the first process or property that has not settled.
    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        scene.agree(scene.nodes_of(self.name()), None)
    }

    /// Returns for each participating process whether its view is correct (the metrics `converge-p99-ms` and
    /// `all-right-ms`).
    fn correct_views(&self, scene: &Scene<'_>) -> Vec<(usize, bool)> {
        let settled = self.settled(scene).is_ok();
        let own = scene.nodes_of(self.name());
        own.map(|(host, _)| (host, settled)).collect()
    }

    /// Checks a condition in the vocabulary of this program.
    ///
    /// # Errors
    /// The error is the reason that the condition does not hold.
    fn holds(&self, _scene: &Scene<'_>, condition: &OwnCondition) -> Result<(), String> {
        Err(format!("{} cannot judge `{}`", self.name(), condition.word))
    }

    /// Returns a metric of the program's own, over these hosts and between two instants (nanoseconds since the start).
    ///
    /// # Errors
    /// The reason why the metric has no value, such as an empty sample: nothing was sent, or nothing was published. The
    /// expectation then fails.
    fn metric(
        &self,
        _scene: &Scene<'_>,
        word: &str,
        _who: &[usize],
        _window: (u64, u64),
    ) -> Result<u64, String> {
        Err(format!("{} cannot measure `{word}`", self.name()))
    }

    /// Returns whether a metric that counts events counts this event, which a process just reported.
    fn counts(&self, _scene: &Scene<'_>, _metric: &str, _event: &dyn ReportedEvent) -> bool {
        false
    }

    /// Returns the reason why the processes have not settled, as nodes and an item. The judge calls this method once,
    /// when an expectation failed. By default, returns the first process that differs from most others.
    fn unsettled(&self, scene: &Scene<'_>) -> Option<FailureFinding> {
        scene.disagreement(scene.nodes_of(self.name()), None)
    }

    /// Returns the reason why a condition in the vocabulary of this program does not hold or, for `never`, why it holds
    /// (`wanted` is false), as nodes and an item. The judge calls this method once, when the expectation failed.
    /// `None`: the finding has the nodes that the condition names.
    fn found(
        &self,
        _scene: &Scene<'_>,
        _condition: &OwnCondition,
        _wanted: bool,
    ) -> Option<FailureFinding> {
        None
    }

    /// Returns the item because of which a metric of the program's own vocabulary misses its bound: the first missing
    /// item, the slowest item, or the first item in excess. The judge calls this method once, when the expectation
    /// failed.
    fn measured(&self, _scene: &Scene<'_>, _metric: &MeasuredMetric<'_>) -> Option<FailureFinding> {
        None
    }

    /// Returns facts of the run so far that explain, for a pair of hosts, why processes received nothing from each
    /// other, such as the timeouts that ended dials. The judge calls this method once, when an expectation failed.
    fn remarks(&self, _scenario: &Scenario, _scene: &Scene<'_>, _pair: &[usize]) -> Vec<String> {
        Vec::new()
    }

    /// Returns the final state in a form that can be compared between engines.
    fn projection(&self, _scene: &Scene<'_>) -> Option<Value> {
        None
    }
}

impl dyn Program {
    /// Returns the program, if it is of this type.
    #[must_use]
    pub fn of<P: Program>(&self) -> Option<&P> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A metric of a program's own vocabulary that missed its bound.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredMetric<'a> {
    /// The name of the metric.
    pub word: &'a str,
    /// The hosts over which the metric is measured.
    pub who: &'a [usize],
    /// The time window, in nanoseconds since the start of the run.
    pub window: (u64, u64),
    /// The bound.
    pub bound: Bound,
    /// The value; `None` if nothing could be measured.
    pub figure: Option<u64>,
}

/// The reason why a process exits at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStartError {
    /// The file that the process needs; empty for the program itself.
    pub file: Cow<'static, str>,
    /// The error of the disk.
    pub error: DiskError,
}

impl fmt::Display for ProcessStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.file {
            "" => write!(f, "{}", self.error),
            file => write!(f, "{file}: {}", self.error),
        }
    }
}

/// The report of a process that exited at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailed {
    /// The reason.
    pub error: ProcessStartError,
}

impl ReportedEvent for StartFailed {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        (START_FAILED, None)
    }
}

/// The start of a process.
#[derive(Debug)]
pub struct Start<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The index of the host in the scenario.
    pub host: usize,
    /// The index of the process on its host, in the order of starts.
    pub program: usize,
    /// Number of starts of this process, including the current start.
    pub life: u32,
    /// The host's wall clock, including the scenario's offset.
    pub wall: Wall,
    /// The host's own address, with the usual port.
    pub address: SocketAddr,
    /// The state of the host's certificate.
    pub certificate: CertificateChange,
    /// The random stream of this life.
    pub random: Random,
    /// The host's disk. Files written to this disk here are durable before the process runs.
    pub disk: &'a mut Files,
}

impl Start<'_> {
    /// Returns the host, as the scenario describes it.
    #[must_use]
    pub fn spec(&self) -> &Host {
        &self.scenario.hosts[self.host]
    }

    /// Returns the address on which a host listens, unless the host has moved.
    #[must_use]
    pub fn address_of(&self, host: usize) -> SocketAddr {
        crate::address::address(host)
    }

    /// Iterates over all other hosts.
    pub fn others(&self) -> impl Iterator<Item = (usize, &Host)> {
        let me = self.host;
        let hosts = self.scenario.hosts.iter().enumerate();
        hosts.filter(move |(host, _)| *host != me)
    }
}
