//! What engines hear that run the daemon by its driver: they see no steps, but what comes to machines and what
//! applications say. It is enough for the workload's ledger, its figures and conditions, and the invariants of reports.

use super::event::Event;
use super::ledger;
use super::memory::{self, Mesh};
use crate::invariant::{Invariants, Report};
use crate::scenario::Scenario;
use crate::verdict::Failure;
use core::time::Duration;
use phalanx_core::channel::UpdateId;
use phalanx_core::node::{Input, Message};

/// What is heard of a host, in the order in which it happened.
#[derive(Debug)]
pub struct Heard {
    /// When, since the start of the run.
    pub at: Duration,
    /// Whose.
    pub host: usize,
    /// What.
    pub what: Said,
}

/// Something that is heard of a host.
#[derive(Debug)]
pub enum Said {
    /// Payloads of these broadcasts are about to come to its daemon.
    Came(Vec<UpdateId>),
    /// An application there takes its time, so that what is delivered waits for it.
    Slow,
    /// It reported something.
    Reported(Event),
}

impl Said {
    /// What is to be heard of an input; none: nothing.
    #[must_use]
    pub fn of(input: &Input) -> Option<Self> {
        let Input::Receive {
            message: Message::Channel(data),
            ..
        } = input
        else {
            return None;
        };
        let updates: Vec<UpdateId> = ledger::updates(data).cloned().collect();
        (!updates.is_empty()).then_some(Self::Came(updates))
    }
}

/// What was heard in one run.
#[derive(Debug)]
pub struct Hearing {
    mesh: Mesh,
    invariants: Invariants,
}

impl Hearing {
    /// Nothing heard yet.
    ///
    /// # Errors
    /// The word of `sabotage` that names nothing.
    pub fn new(scenario: &Scenario, sabotage: &[String]) -> Result<Self, String> {
        let mesh = memory::new(scenario, sabotage)?;
        Ok(Self {
            invariants: Invariants::new(scenario, &mesh),
            mesh,
        })
    }

    /// A host's process starts.
    pub fn starts(&mut self, scenario: &Scenario, host: usize) {
        self.mesh.begins(scenario, host);
        self.invariants.on_start(host);
    }

    /// Takes note of what is heard.
    pub fn take(&mut self, scenario: &Scenario, heard: &Heard) {
        let Heard { at, host, what } = heard;
        match what {
            Said::Came(updates) => self.mesh.ledger.comes(*host, updates.iter()),
            Said::Slow => self.mesh.ledger.waits_for(scenario.hosts[*host].id.clone()),
            Said::Reported(event) => {
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

    /// What remembers what happened.
    #[must_use]
    pub const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// What was broken that always holds, of a scenario file.
    #[must_use]
    pub fn broken(&self, file: &str) -> Vec<Failure> {
        self.invariants.failures(file).collect()
    }
}
