//! The simulator's knowledge about each host of the fleet: its files, the report of its agent, the answers of its nginx.
//!
//! The programs of one run share the facts; the invariants compare them.

use crate::agent::Agent;
use crate::release::{CANDIDATE, LIVE, VERSION, target};
use phalanx_sim::disk::{DiskChange, Files};
use phalanx_sim::fakes::nginx::Installed;
use phalanx_sim::invariant::Seen;
use phalanx_sim::world::{Effect, ProcessEvent, Ticket};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The facts, as the programs of one run share them.
pub type FleetFacts = Rc<RefCell<Facts>>;

/// The facts of each host.
pub type Facts = BTreeMap<usize, HostFacts>;

/// The knowledge about one host.
#[derive(Debug, Default)]
pub struct HostFacts {
    /// The bytes of the live file; `None` if there is none.
    pub live: Option<Vec<u8>>,
    /// The bytes of the candidate.
    candidate: Option<Vec<u8>>,
    /// The changes of both files that are ordered and not completed.
    ordered: BTreeMap<Ticket, Change>,
    /// Whether the agent has ordered to write the configuration that is already live.
    pub rewritten: bool,
    /// The version that the agent reports as served.
    pub reported: Option<u64>,
    /// The bodies of the responses that nginx's workers sent.
    pub answers: BTreeSet<String>,
}

/// A change of the files.
#[derive(Debug)]
enum Change {
    Write(Vec<u8>),
    Rename,
}

impl HostFacts {
    /// The agent starts with these files.
    pub fn agent_starts(&mut self, disk: &Files) {
        let bytes = |path| disk.read(path).map(<[u8]>::to_vec);
        self.live = bytes(LIVE);
        self.candidate = bytes(CANDIDATE);
        self.ordered.clear();
        self.reported = None;
    }

    /// An event reaches the agent; the event may complete a change of the files.
    pub fn agent_hears(&mut self, event: &ProcessEvent) {
        let ProcessEvent::Written { ticket } = event else {
            return;
        };
        match self.ordered.remove(ticket) {
            Some(Change::Write(bytes)) => self.candidate = Some(bytes),
            Some(Change::Rename) => self.live = self.candidate.take(),
            None => {}
        }
    }

    /// The agent performed a step.
    pub fn agent_steps(&mut self, agent: &Agent, seen: &Seen<'_>) {
        self.reported = agent.status().served;
        for effect in seen.effects {
            let Effect::Write(writing) = effect else {
                continue;
            };
            let change = match &writing.write {
                DiskChange::Replace(path, bytes) if path == CANDIDATE => {
                    self.rewritten |= self.live.as_ref() == Some(bytes);
                    Change::Write(bytes.clone())
                }
                DiskChange::Rename { new, .. } if new == LIVE => Change::Rename,
                _ => continue,
            };
            self.ordered.insert(writing.ticket, change);
        }
    }

    /// nginx performed a step.
    pub fn nginx_steps(&mut self, nginx: &Installed) {
        let answers = nginx.answers(&target(), VERSION).into_iter();
        let bodies = answers.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        self.answers = bodies.collect();
    }
}
