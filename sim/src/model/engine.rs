//! The loop: takes the next event, gives a machine its input, performs what it orders.

use super::clock::ns;
use super::heap::Heap;
use super::host::{Host, NEVER, Process};
use super::network::Fabric;
use super::stream::Connection;
use super::trace::{Line, Taken, Trace};
use crate::event::EventKind;
use crate::invariant::{Invariants, Seen};
use crate::projection::Lives;
use crate::record::Said;
use crate::scenario::Scenario;
use crate::scenario::plan::Plan;
use crate::world::{Traffic, World};
use core::time::Duration;
use phalanx_core::gossip::{self, DialError, DialId, Gossip, Sabotage, Ticket};
use phalanx_core::machine::{Machine, Outbox, wake_checked};
use phalanx_core::node::{self, Output};
use phalanx_core::random::Random;
use phalanx_core::topology::record::Record;
use std::sync::Arc;

/// Inputs that a process takes before it looks at its timers again.
const MAIL_BATCH: usize = 64;

/// When a machine is woken that wants, after a wake, another at once.
const BROKEN_PROMISE: u64 = 1_000_000;

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    /// An order of the plan.
    Order(usize),
    /// A process's deadline.
    Wake { host: usize, life: u32 },
    /// A process that stood still or is slow takes its mail.
    Mail { host: usize, life: u32 },
    /// A parcel's last segment reaches the other machine.
    Arrive {
        connection: u32,
        lane: u8,
        number: u64,
    },
    /// A lost parcel is sent again.
    Retransmit {
        connection: u32,
        lane: u8,
        number: u64,
    },
    /// A reset reaches this end.
    Reset { connection: u32, end: u8 },
    /// A handshake took too long.
    DialTimeout { connection: u32 },
    /// A dial failed without a connection.
    DialFailed {
        host: usize,
        life: u32,
        dial: DialId,
        error: DialError,
    },
    /// An epoch is durable.
    Stored {
        host: usize,
        life: u32,
        ticket: Ticket,
        epoch: u64,
    },
}

/// The simulated world.
pub(super) struct Engine<'a, 't> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) sabotage: Sabotage,
    pub(super) now: u64,
    pub(super) sequence: u64,
    pub(super) heap: Heap<Event>,
    pub(super) fabric: Fabric<'a>,
    pub(super) hosts: Vec<Host>,
    pub(super) connections: Vec<Option<Box<Connection>>>,
    pub(super) lives: Lives,
    pub(super) seeds: Random,
    pub(super) trace: Trace<'t>,
    pub(super) invariants: Invariants,
    /// What nodes reported, until the judge has heard it.
    pub(super) reports: Vec<(usize, gossip::Event)>,
    pub(super) segments: u64,
    pub(super) events: u64,
    out: Outbox<Output>,
    received: Vec<Arc<Record>>,
}

impl<'a, 't> Engine<'a, 't> {
    pub(super) fn new(
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: Sabotage,
        trace: Trace<'t>,
    ) -> Self {
        let mut heap = Heap::new();
        for (index, planned) in plan.orders.iter().enumerate() {
            heap.push(ns(planned.at), Event::Order(index));
        }
        let mut lives = Lives::new(super::WALL_ZERO);
        for (index, host) in scenario.hosts.iter().enumerate() {
            lives.listens(&host.name, super::host::address(index));
        }
        Self {
            scenario,
            plan,
            sabotage,
            now: 0,
            sequence: 0,
            heap,
            fabric: Fabric::new(scenario, plan.seed),
            hosts: scenario.hosts.iter().map(|_| Host::new()).collect(),
            connections: Vec::new(),
            lives,
            seeds: Random::from_seed(plan.seed).child("nodes"),
            trace,
            invariants: Invariants::new(scenario),
            reports: Vec::new(),
            segments: 0,
            events: 0,
            out: Outbox::new(),
            received: Vec::new(),
        }
    }

    /// Processes the next event if it comes before `until`; whether it did.
    pub(super) fn advance(&mut self, until: u64) -> bool {
        if self.heap.next().is_none_or(|at| at >= until) {
            self.now = until;
            return false;
        }
        let Some((at, sequence, event)) = self.heap.pop() else {
            return false;
        };
        self.now = at;
        self.sequence = sequence;
        self.events += 1;
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Order(index) => {
                self.heap.cause = self.trace.order(self.now, &self.plan.orders[index]);
                self.order(index);
            }
            Event::Wake { host, life } => self.on_wake(host, life),
            Event::Mail { host, life } => self.on_mail(host, life),
            Event::Arrive {
                connection,
                lane,
                number,
            } => self.on_arrive(connection, lane, number),
            Event::Retransmit {
                connection,
                lane,
                number,
            } => {
                self.on_retransmit(connection, lane, number);
            }
            Event::Reset { connection, end } => self.on_reset(connection, end),
            Event::DialTimeout { connection } => self.on_dial_timeout(connection),
            Event::DialFailed {
                host,
                life,
                dial,
                error,
            } => {
                if self.hosts[host].life == life {
                    self.input(
                        host,
                        gossip::Input::DialFailed {
                            dial,
                            reason: error,
                        },
                    );
                }
            }
            Event::Stored {
                host,
                life,
                ticket,
                epoch,
            } => {
                if self.hosts[host].life == life && self.hosts[host].process.is_some() {
                    self.hosts[host].stored = Some(epoch);
                    self.input(host, gossip::Input::Stored { ticket });
                }
            }
        }
    }

    /// Gives a process an input, at once or when it gets to it.
    pub(super) fn input(&mut self, host: usize, input: gossip::Input) {
        let state = &mut self.hosts[host];
        if state.process.is_none() {
            return;
        }
        let ready = state.paused_until.max(state.busy_until);
        if ready <= self.now && state.slow == 0 && state.mailbox.is_empty() {
            self.step(host, input);
            return;
        }
        if ready <= self.now && state.mailbox.is_empty() {
            state.busy_until = self.now + state.slow;
        }
        state.mailbox.push_back((input, self.heap.cause));
        let step = state.delayed_by;
        self.fabric.bite(step, 1);
        self.plan_mail(host);
    }

    fn plan_mail(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        let at = state.paused_until.max(state.busy_until).max(self.now);
        if state.mail_at == NEVER {
            state.mail_at = at;
            self.heap.push(
                at,
                Event::Mail {
                    host,
                    life: state.life,
                },
            );
        }
    }

    fn on_mail(&mut self, host: usize, life: u32) {
        let state = &mut self.hosts[host];
        if state.life != life || state.process.is_none() || state.mail_at != self.now {
            return;
        }
        state.mail_at = NEVER;
        if state.paused_until > self.now || state.busy_until > self.now {
            self.plan_mail(host);
            return;
        }
        let batch = if state.slow > 0 { 1 } else { MAIL_BATCH };
        for _ in 0..batch {
            let Some((input, cause)) = self.hosts[host].mailbox.pop_front() else {
                break;
            };
            self.heap.cause = cause;
            self.step(host, input);
        }
        if std::mem::take(&mut self.hosts[host].wake_waits) {
            self.wake(host);
        }
        let state = &mut self.hosts[host];
        if !state.mailbox.is_empty() {
            state.busy_until = self.now + state.slow;
            self.plan_mail(host);
        }
    }

    fn on_wake(&mut self, host: usize, life: u32) {
        let state = &mut self.hosts[host];
        if state.life != life || state.wake_at != self.now || state.process.is_none() {
            return;
        }
        state.wake_at = NEVER;
        if state.paused_until.max(state.busy_until) > self.now || !state.mailbox.is_empty() {
            state.wake_waits = true;
            let step = state.delayed_by;
            self.fabric.bite(step, 1);
            self.plan_mail(host);
            return;
        }
        self.wake(host);
    }

    fn wake(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        let local = process.clock.read(self.now);
        if process.node.next_deadline().is_some_and(|at| at <= local) {
            if self.sabotage.is_none() {
                wake_checked(&mut process.node, local, &mut self.out);
            } else {
                // A planted bug is for the invariants to catch, not for an assertion.
                process.node.step(local, node::Input::Wake, &mut self.out);
            }
            self.received.clear();
            self.stepped(host, Taken::of("wake"));
        } else {
            self.plan_wake(host, self.now);
        }
    }

    fn step(&mut self, host: usize, input: gossip::Input) {
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        let local = process.clock.read(self.now);
        self.received.clear();
        let taken = describe(&input, &mut self.received);
        process
            .node
            .step(local, node::Input::Mesh(input), &mut self.out);
        self.stepped(host, taken);
    }

    /// After a step: trace, invariants, effects, the next wake.
    fn stepped(&mut self, host: usize, taken: Taken) {
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        let mesh = process.node.mesh();
        let line = Line {
            at: self.now,
            seq: self.sequence,
            host,
            taken,
            view: mesh.hash(),
        };
        let said = self.out.as_slice().iter().filter_map(said);
        self.heap.cause = self.trace.add(&line, self.heap.cause, said);
        self.invariants.after_step(&Seen {
            now: self.now,
            host,
            node: &process.node,
            local: process.clock.read(self.now),
            woke: taken.kind == "wake",
            received: &self.received,
            outputs: self.out.as_slice(),
        });
        let mut out = std::mem::take(&mut self.out);
        for order in out.drain() {
            let Output::Mesh(order) = order;
            self.perform(host, order);
        }
        self.out = out;
        // A machine that breaks its promise must not stop the run that reports it.
        let overdue = self.next_deadline(host).is_some_and(|at| at <= self.now);
        let soonest = self.now
            + if taken.kind == "wake" && overdue {
                BROKEN_PROMISE
            } else {
                0
            };
        self.plan_wake(host, soonest);
    }

    /// When a process wants to be woken, in true time.
    fn next_deadline(&self, host: usize) -> Option<u64> {
        let process = self.hosts[host].process.as_ref()?;
        Some(process.clock.when(process.node.next_deadline()?))
    }

    /// Plans the next wake anew.
    pub(super) fn replan(&mut self, host: usize) {
        self.plan_wake(host, self.now);
    }

    fn plan_wake(&mut self, host: usize, soonest: u64) {
        let state = &mut self.hosts[host];
        let Some(process) = &state.process else {
            return;
        };
        let Some(deadline) = process.node.next_deadline() else {
            return;
        };
        let at = process.clock.when(deadline).max(soonest);
        if at < state.wake_at {
            state.wake_at = at;
            self.heap.push(
                at,
                Event::Wake {
                    host,
                    life: state.life,
                },
            );
        }
    }

    /// Starts a process whose machine is made.
    pub(super) fn boot(&mut self, host: usize, process: Process) {
        let state = &mut self.hosts[host];
        state.stop();
        state.powered = true;
        state.process = Some(process);
        self.step(host, gossip::Input::Start);
    }
}

impl World for Engine<'_, '_> {
    fn mesh(&self, host: usize) -> Option<&Gossip> {
        self.hosts[host]
            .process
            .as_ref()
            .map(|process| process.node.mesh())
    }

    fn traffic(&self, host: usize) -> Traffic {
        self.hosts[host].traffic
    }
}

/// The instant as the judge counts it.
pub(super) const fn since_start(now: u64) -> Duration {
    Duration::from_nanos(now)
}

/// What a machine reported, if an order is a report.
fn said(order: &Output) -> Option<Said<'_>> {
    match order {
        Output::Mesh(gossip::Output::Report(event)) => Some(EventKind::said(event)),
        Output::Mesh(_) => None,
    }
}

/// What an input is, and the records in it.
fn describe(input: &gossip::Input, received: &mut Vec<Arc<Record>>) -> Taken {
    use phalanx_core::size::Encoded;
    match input {
        gossip::Input::Start => Taken::of("start"),
        gossip::Input::Accepted { .. } => Taken::of("accepted"),
        gossip::Input::Dialed { .. } => Taken::of("dialed"),
        gossip::Input::DialFailed { .. } => Taken::of("dial-failed"),
        gossip::Input::Receive { message, .. } => {
            crate::invariant::records(message, &mut |record| received.push(Arc::clone(record)));
            Taken {
                kind: crate::invariant::word(message),
                word: crate::event::content(message),
                size: message.encoded_len(),
            }
        }
        gossip::Input::Closed { .. } => Taken::of("closed"),
        gossip::Input::Stored { .. } => Taken::of("stored"),
        gossip::Input::Announce(_) => Taken::of("announce"),
        gossip::Input::Targets { .. } => Taken::of("targets"),
        gossip::Input::Leave => Taken::of("leave"),
        gossip::Input::Wake => Taken::of("wake"),
    }
}
