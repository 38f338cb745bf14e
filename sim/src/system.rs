//! What a simulated world is made of.
//!
//! The engine knows hosts, clocks, disks, connections, datagrams and time. A [`System`] says the rest: which
//! [`Machine`] a process runs, which [`Happening`] becomes which of its inputs, which of its outputs has which
//! [`Effect`], and what of it scenario files may speak of ([`Vocabulary`]). The mesh
//! ([`Mesh`](crate::mesh::Mesh)) is one; docs/your-own-machine.md shows how to write another.

use crate::disk::{DiskError, Files, Write};
use crate::invariant::{Invariant, Report, Seen};
use crate::mesh::projection::Projection;
use crate::outcome::run_words;
use crate::scenario::plan::Plan;
use crate::scenario::{Certificate, Condition, Engine, Host, Scenario};
use crate::world::Scene;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::machine::Machine;
use phalanx_core::random::Random;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Service;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub use phalanx_core::gossip::{CloseReason, DialError, DialId, LinkId, Ticket};

/// What can happen to a system's machine.
pub type InputOf<S> = <<S as System>::Machine as Machine>::Input;
/// What a system's machine orders.
pub type OutputOf<S> = <<S as System>::Machine as Machine>::Output;

/// What a simulated world is made of. One value lives for one run.
pub trait System: Sized {
    /// What a process runs.
    type Machine: Machine;
    /// What processes send each other.
    type Message: Clone + core::fmt::Debug;
    /// What processes report.
    type Event: core::fmt::Debug;
    /// What of a machine conditions, invariants and reports look at; mostly the machine itself.
    type View;

    /// The words that scenario files and command lines may use.
    fn vocabulary() -> Vocabulary;

    /// The system for one run, with everything broken that `sabotage` names (words of the vocabulary).
    ///
    /// # Errors
    /// What of the scenario does not fit, for people.
    fn new(scenario: &Scenario, sabotage: &[String]) -> Result<Self, String>;

    /// A process starts.
    fn start(&mut self, start: Start<'_>) -> Self::Machine;

    /// What happened, as the machine's input; none if it does not concern it.
    fn happen(
        &mut self,
        machine: &Self::Machine,
        what: Happening<'_, Self::Message>,
    ) -> Option<InputOf<Self>>;

    /// What an order of the machine does to the world.
    fn perform(&mut self, output: OutputOf<Self>) -> Effect<Self>;

    /// A machine is about to take an input; comes before [`Self::describe`].
    fn before(&mut self, _machine: &Self::Machine, _input: &InputOf<Self>) {}

    /// An input is about to be stepped: what it is. If it brings a message, `bytes` is [`Self::size`] of that.
    fn describe(&mut self, input: &InputOf<Self>, bytes: usize) -> Taken;

    /// The encoded size of a message, in bytes.
    fn size(message: &Self::Message) -> usize;

    /// What of a machine is looked at.
    fn view(machine: &Self::Machine) -> &Self::View;

    /// A number for the state; equal numbers mean that two nodes agree.
    fn digest(view: &Self::View) -> u64;

    /// The state for people and for the conditions `state` and `agree`.
    fn state(view: &Self::View) -> Value;

    /// The word for an event, and the id of whom it is about.
    fn event(event: &Self::Event) -> (&'static str, Option<&NodeId>);

    /// The command that shows a run again.
    #[must_use]
    fn again(scenario: &Scenario, seed: u64, _engine: Engine) -> String {
        format!("seed {seed} of {}", run_words(scenario))
    }

    /// What holds in every run of this system.
    #[must_use]
    fn invariants(_scenario: &Scenario) -> Vec<Box<dyn Invariant<Self>>> {
        Vec::new()
    }

    /// A step was done; comes before the invariants look.
    fn note(&mut self, _seen: &Seen<'_, Self>) {}

    /// A process reported something; comes before the invariants look at it. Every engine hears reports, also those
    /// that do not see single steps.
    fn heard(&mut self, _report: &Report<'_, Self>) {}

    /// Whether a running process still counts: one that gave up or is on its way out does not.
    #[must_use]
    fn takes_part(_view: &Self::View) -> bool {
        true
    }

    /// Whether all is well: what `converged` means, and what every run must come to when its faults are lifted.
    ///
    /// # Errors
    /// What is not well.
    fn settled(scene: &Scene<'_, Self>) -> Result<(), String> {
        scene.agree(scene.nodes(), None)
    }

    /// Whether a system could be well at `at` in spite of all that a plan does to it. Where it could not, search and
    /// shrinking do not count it as a failure that it is not.
    ///
    /// # Errors
    /// What stands against it.
    fn hopeful(_scenario: &Scenario, _plan: &Plan, _at: Duration) -> Result<(), String> {
        Ok(())
    }

    /// Of each node that takes part, whether it knows what it should (the metrics `converge-p99-ms` and `all-right-ms`).
    #[must_use]
    fn right_views(scene: &Scene<'_, Self>) -> Vec<(usize, bool)> {
        let settled = Self::settled(scene).is_ok();
        scene.nodes().map(|(host, _)| (host, settled)).collect()
    }

    /// Whether a condition of this system's own holds.
    ///
    /// # Errors
    /// What stands against it.
    fn holds(_scene: &Scene<'_, Self>, condition: &Condition) -> Result<(), String> {
        Err(format!("this system cannot judge {condition:?}"))
    }

    /// A figure of the system's own, of what these hosts did between two instants (nanoseconds since the start).
    #[must_use]
    fn figure(
        &self,
        _scene: &Scene<'_, Self>,
        _word: &str,
        _who: &[usize],
        _window: (u64, u64),
    ) -> Option<u64> {
        None
    }

    /// A figure of one node: what a metric of the vocabulary's `gauges` bounds.
    #[must_use]
    fn gauge(_name: &str, _view: &Self::View) -> Option<u64> {
        None
    }

    /// Whether an event wrongly says that a running node is dead (the metric `false-deaths`).
    #[must_use]
    fn is_false_death(_scene: &Scene<'_, Self>, _event: &Self::Event) -> bool {
        false
    }

    /// The final state in a form that two engines can be compared by.
    #[must_use]
    fn project(&self, _scene: &Scene<'_, Self>) -> Option<Projection> {
        None
    }
}

/// An input that a machine takes, as traces show it.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// What it is, as the hash counts it.
    pub kind: &'static str,
    /// What it is, as recordings call it: of a message, perhaps what it carries.
    pub word: &'static str,
    /// Encoded bytes, of a message.
    pub size: usize,
}

impl Taken {
    /// An input that is no message.
    #[must_use]
    pub const fn of(kind: &'static str) -> Self {
        Self {
            kind,
            word: kind,
            size: 0,
        }
    }

    /// A message.
    #[must_use]
    pub const fn message(kind: &'static str, size: usize) -> Self {
        Self {
            kind,
            word: kind,
            size,
        }
    }
}

/// A process's start.
#[derive(Debug)]
pub struct Start<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Which of its hosts.
    pub host: usize,
    /// How often the host's process has started, this time included.
    pub life: u32,
    /// The host's calendar, as far off as the scenario says.
    pub wall: Wall,
    /// What became of the host's certificate before.
    pub certificate: Certificate,
    /// This life's own randomness.
    pub random: Random,
    /// The host's disk. What is put on it here is durable before the process runs.
    pub disk: &'a mut Files,
}

impl Start<'_> {
    /// What the scenario says of the host.
    #[must_use]
    pub fn spec(&self) -> &Host {
        &self.scenario.hosts[self.host]
    }

    /// Where a host listens.
    #[must_use]
    pub fn address_of(&self, host: usize) -> SocketAddr {
        crate::model::address(host)
    }

    /// All other hosts.
    pub fn others(&self) -> impl Iterator<Item = (usize, &Host)> {
        let me = self.host;
        let hosts = self.scenario.hosts.iter().enumerate();
        hosts.filter(move |(host, _)| *host != me)
    }
}

/// What the engine makes happen to a process.
#[derive(Debug)]
pub enum Happening<'a, M> {
    /// The process runs.
    Start,
    /// Somebody connected, and proved to be `peer`.
    Accepted {
        /// The new link.
        link: LinkId,
        /// Who.
        peer: NodeId,
    },
    /// A dial succeeded; the acceptor proved to be `peer`.
    Dialed {
        /// The attempt.
        dial: DialId,
        /// The new link.
        link: LinkId,
        /// Who.
        peer: NodeId,
    },
    /// A dial failed.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// Why.
        reason: DialError,
    },
    /// A message arrived on a link.
    Received {
        /// Which.
        link: LinkId,
        /// What.
        message: M,
    },
    /// A link is gone without an order.
    Closed {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// A datagram arrived.
    Datagram {
        /// Where its sender listens.
        from: SocketAddr,
        /// What.
        message: M,
    },
    /// A write or sync is done.
    Written {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// A write or sync failed; nothing of it is durable.
    WriteFailed {
        /// The order's ticket.
        ticket: Ticket,
        /// Why.
        reason: DiskError,
    },
    /// The scenario asks it to leave in order.
    Leave,
    /// Its certificate is not what it was. What that means is the system's to say.
    Certificate(Certificate),
    /// The scenario has it publish other content.
    Announce {
        /// All it serves.
        services: &'a BTreeSet<Service>,
        /// All metadata.
        metadata: &'a BTreeMap<String, String>,
    },
    /// The scenario's workload, in the system's own words.
    Command {
        /// The word.
        name: &'a str,
        /// What goes with it.
        with: &'a Value,
    },
}

/// What an order of a machine does to the world.
#[derive(Debug)]
pub enum Effect<S: System> {
    /// Connects; answered by `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// Where to; none: a name that leads nowhere.
        to: Option<SocketAddr>,
    },
    /// Sends on a link, in order and without loss while the link lives.
    Send {
        /// Which.
        link: LinkId,
        /// What.
        message: S::Message,
    },
    /// Closes a link after what was sent on it; no `Closed` is heard here.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Sends a datagram: it may be lost or overtaken.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// What.
        message: S::Message,
    },
    /// Writes to the host's disk; answered by `Written` or `WriteFailed`.
    Write {
        /// To answer with.
        ticket: Ticket,
        /// What.
        write: Write,
        /// Whether `Written` means durable.
        synced: bool,
        /// A failure is not answered; it is tried again after this, until it succeeds.
        retry: Option<Duration>,
    },
    /// Tells people.
    Report(S::Event),
    /// The process ends; the operating system closes its links.
    Exit,
    /// Nothing.
    Nothing,
}

/// Says what is wrong with what goes with a word.
pub type Check = fn(&str, &Value) -> Result<(), String>;

/// The words of a system.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// What the system is called.
    pub name: &'static str,
    /// The events that its nodes report.
    pub events: Vec<&'static str>,
    /// The conditions it can judge, besides `converged`, `event`, `state` and `agree`, which every system has.
    pub conditions: Vec<&'static str>,
    /// The metrics it has, besides those of traffic, which every system has.
    pub metrics: Vec<&'static str>,
    /// Figures of single nodes that metrics may bound ([`System::gauge`]).
    pub gauges: Vec<&'static str>,
    /// The workload's words.
    pub commands: Vec<&'static str>,
    /// Whether its processes have certificates, to which the step `certificate` can do something.
    pub certificates: bool,
    /// Says what is wrong with what goes with a command, or with a condition of the system's own.
    pub check: Option<Check>,
    /// What can be broken on purpose.
    pub sabotage: Vec<&'static str>,
}
