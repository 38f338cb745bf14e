//! Observes runs of engines that run the daemon through its driver. Such engines expose no steps, only the inputs of
//! machines and the reports of applications. Inputs and reports suffice for the delivery log, its figures and
//! conditions, and the invariants on reports.

use super::delivery_log;
use super::event::Event;
use super::memory::{self, Mesh};
use crate::invariant::{Invariant, Invariants, Report};
use crate::scenario::Scenario;
use crate::verdict::Failure;
use core::time::Duration;
use phalanx_core::channel::UpdateId;
use phalanx_core::node::{Input, Message};

/// One observation of a host. The observations of a host are in chronological order.
#[derive(Debug)]
pub struct Observation {
    /// The time since the start of the run.
    pub at: Duration,
    /// The index of the host.
    pub host: usize,
    /// The observation.
    pub what: Observed,
}

/// The content of an observation.
#[derive(Debug)]
pub enum Observed {
    /// Payloads of these broadcasts are about to reach the host's daemon.
    Received(Vec<UpdateId>),
    /// An application on the host consumes slowly, so that deliveries wait for the application.
    Slow,
    /// The host reports an event.
    Reported(Event),
    /// The host's process ended by itself.
    Ended,
}

impl Observed {
    /// The observation that an input of a node yields, if any.
    #[must_use]
    pub fn of(input: &Input) -> Option<Self> {
        let Input::Receive {
            message: Message::Channel(data),
            ..
        } = input
        else {
            return None;
        };
        let updates: Vec<UpdateId> = delivery_log::updates(data).cloned().collect();
        (!updates.is_empty()).then_some(Self::Received(updates))
    }
}

/// The observer of one run.
#[derive(Debug)]
pub struct EventObserver {
    mesh: Mesh,
    invariants: Invariants,
    /// Whether each host's process runs.
    running: Vec<bool>,
}

impl EventObserver {
    /// An observer without observations.
    ///
    /// # Errors
    /// Returns an error if a word of `sabotage` is unknown.
    pub fn new(scenario: &Scenario, sabotage: &[String]) -> Result<Self, String> {
        let mesh = memory::new(scenario, sabotage)?;
        Ok(Self {
            invariants: Invariants::new(scenario, &mesh),
            mesh,
            running: vec![false; scenario.hosts.len()],
        })
    }

    /// A host's process starts. A process that still runs ends.
    pub fn starts(&mut self, scenario: &Scenario, host: usize) {
        self.ends(host);
        self.running[host] = true;
        self.mesh.begins(scenario, host);
        self.invariants.on_start(host);
    }

    /// A host's process ends, if it runs.
    pub fn ends(&mut self, host: usize) {
        if std::mem::replace(&mut self.running[host], false) {
            self.invariants.on_end(host);
        }
    }

    /// Adds an invariant to those of the mesh.
    pub fn add(&mut self, invariant: Box<dyn Invariant>) {
        self.invariants.add(invariant);
    }

    /// Records an observation.
    pub fn take(&mut self, scenario: &Scenario, observation: &Observation) {
        let Observation { at, host, what } = observation;
        match what {
            Observed::Received(updates) => {
                self.mesh.delivery_log.on_received(*host, updates.iter())
            }
            Observed::Ended => self.ends(*host),
            Observed::Slow => self
                .mesh
                .delivery_log
                .waits_for(scenario.hosts[*host].id.clone()),
            Observed::Reported(event) => {
                let report = Report {
                    now: u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
                    host: *host,
                    event,
                };
                let name = scenario.hosts[*host].id.as_str();
                self.invariants.on_report(&report, &mut self.mesh, name);
            }
        }
    }

    /// The state of the mesh as observed in the run.
    #[must_use]
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The invariants that do not hold, as failures of a scenario file.
    #[must_use]
    pub fn broken(&self, file: &str) -> Vec<Failure> {
        self.invariants.failures(file).collect()
    }
}
