//! The loop: takes the next event, gives a machine its input, performs what it orders.

use super::clock::ns;
use super::heap::Heap;
use super::host::{Host, NEVER, Process, Waiting};
use super::network::Fabric;
use super::stream::Connection;
use super::trace::{Line, Trace};
use crate::disk::Write;
use crate::invariant::{Invariants, Report, Seen};
use crate::record::Said;
use crate::scenario::plan::Plan;
use crate::scenario::{Scenario, ScenarioError, suggestion};
use crate::system::{
    DialError, DialId, Effect, Happening, InputOf, OutputOf, System, Taken, Ticket,
};
use crate::world::{Scene, Traffic, World};
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::machine::{Machine, Outbox, Wake, wake_checked};
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use std::collections::BTreeSet;

/// How long a process takes the mail that waits before it looks at its timers again, as the driver of `net` has it, in
/// nanoseconds: its mail comes first, but does not stop its clock.
const MAIL_FIRST: u64 = 100_000_000;

/// When a machine is woken that wants, after a wake, another at once.
const BROKEN_PROMISE: u64 = 1_000_000;

/// What happens. Thousands are planned at one time: what is large and rare is boxed.
#[derive(Debug)]
pub(super) enum Event<M> {
    /// An order of the plan.
    Order(usize),
    /// An order that waited for a report.
    Triggered { trigger: usize, order: usize },
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
    /// A dial led nowhere.
    Unreachable {
        host: usize,
        life: u32,
        dial: DialId,
    },
    /// A write or sync of a process comes to its end.
    Disk {
        host: usize,
        life: u32,
        operation: Box<Operation>,
    },
    /// A failed write is tried again.
    Again {
        host: usize,
        life: u32,
        write: Box<Writing>,
    },
    /// A datagram reaches a host.
    Datagram {
        from: usize,
        host: usize,
        message: Box<M>,
    },
}

/// A write or sync under way.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) ticket: Ticket,
    pub(super) retry: Option<Duration>,
}

/// A write as it was ordered.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) ticket: Ticket,
    pub(super) write: Write,
    pub(super) synced: bool,
    pub(super) retry: Option<Duration>,
}

/// The simulated world.
pub(super) struct Engine<'a, 't, S: System> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) system: S,
    /// Whether nothing is broken on purpose.
    sound: bool,
    pub(super) now: u64,
    pub(super) sequence: u64,
    pub(super) heap: Heap<Event<S::Message>>,
    pub(super) fabric: Fabric<'a>,
    pub(super) hosts: Vec<Host<S>>,
    pub(super) connections: Vec<Option<Box<Connection<S::Message>>>>,
    /// The hosts whose process was started at least once.
    pub(super) started: BTreeSet<usize>,
    pub(super) seeds: Random,
    /// Draws what crashes leave of torn writes.
    pub(super) tears: Random,
    pub(super) trace: Trace<'t>,
    pub(super) invariants: Invariants<S>,
    /// What nodes reported, until the judge has heard it.
    pub(super) reports: Vec<(usize, S::Event)>,
    /// The triggers of the plan that fired.
    pub(super) fired: BTreeSet<usize>,
    pub(super) segments: u64,
    pub(super) events: u64,
    out: Outbox<OutputOf<S>>,
    /// What the latest step does to the world.
    effects: Vec<Effect<S>>,
    /// The encoded bytes of each of these that sends a message.
    sizes: Vec<usize>,
}

impl<'a, 't, S: System> Engine<'a, 't, S> {
    /// # Errors
    /// When the scenario does not fit the system, or `sabotage` names nothing that can be broken.
    pub(super) fn new(
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: &[String],
        trace: Trace<'t>,
    ) -> Result<Self, ScenarioError> {
        scenario.check_system(&S::vocabulary())?;
        let mut heap = Heap::new();
        for (index, planned) in plan.orders.iter().enumerate() {
            heap.push(ns(planned.at), Event::Order(index));
        }
        let system = known::<S>(sabotage)
            .and_then(|()| S::new(scenario, sabotage))
            .map_err(|message| ScenarioError {
                file: scenario.file.clone(),
                line: 0,
                key: String::new(),
                message,
            })?;
        let random = Random::from_seed(plan.seed);
        Ok(Self {
            scenario,
            plan,
            system,
            sound: sabotage.is_empty(),
            now: 0,
            sequence: 0,
            heap,
            fabric: Fabric::new(scenario, plan.seed),
            hosts: scenario.hosts.iter().map(|_| Host::new()).collect(),
            connections: Vec::new(),
            started: BTreeSet::new(),
            seeds: random.child("nodes"),
            tears: random.child("disks"),
            trace,
            invariants: Invariants::new(scenario),
            reports: Vec::new(),
            fired: BTreeSet::new(),
            segments: 0,
            events: 0,
            out: Outbox::new(),
            effects: Vec::new(),
            sizes: Vec::new(),
        })
    }

    /// The world with its names.
    pub(super) fn scene(&self) -> Scene<'_, S> {
        Scene {
            world: self,
            hosts: &self.scenario.hosts,
            named: &self.plan.named,
            started: &self.started,
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

    fn happen(&mut self, event: Event<S::Message>) {
        match event {
            Event::Order(index) => {
                let planned = &self.plan.orders[index];
                self.heap.cause = self.trace.order(self.now, planned);
                self.order(planned);
            }
            Event::Triggered { trigger, order } => self.on_triggered(trigger, order),
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
            Event::Unreachable { host, life, dial } => {
                if self.hosts[host].life == life {
                    let reason = DialError::Unreachable;
                    self.happens(host, Happening::DialFailed { dial, reason });
                }
            }
            Event::Disk {
                host,
                life,
                operation,
            } => {
                if self.hosts[host].life == life {
                    self.on_disk(host, *operation);
                }
            }
            Event::Again { host, life, write } => {
                if self.hosts[host].life == life && self.hosts[host].process.is_some() {
                    self.write(host, *write);
                }
            }
            Event::Datagram {
                from,
                host,
                message,
            } => self.on_datagram(from, host, *message),
        }
    }

    /// Something happens to a process; whether it concerned one.
    pub(super) fn happens(&mut self, host: usize, what: Happening<'_, S::Message>) -> bool {
        self.arrives(host, what, 0)
    }

    /// The same, of something that brings a message of so many bytes.
    pub(super) fn arrives(
        &mut self,
        host: usize,
        what: Happening<'_, S::Message>,
        bytes: usize,
    ) -> bool {
        let Some(process) = &self.hosts[host].process else {
            return false;
        };
        let input = self.system.happen(&process.machine, what);
        let concerns = input.is_some();
        if let Some(input) = input {
            self.input(
                host,
                Waiting {
                    input,
                    bytes,
                    cause: self.heap.cause,
                },
            );
        }
        concerns
    }

    /// Gives a process an input, at once or when it gets to it.
    fn input(&mut self, host: usize, waiting: Waiting<S>) {
        let state = &mut self.hosts[host];
        if state.process.is_none() {
            return;
        }
        let ready = state.paused_until.max(state.busy_until);
        if ready <= self.now && state.slow == 0 && state.mailbox.is_empty() {
            self.step(host, waiting.input, waiting.bytes);
            return;
        }
        if ready <= self.now && state.mailbox.is_empty() {
            state.busy_until = self.now + state.slow;
        }
        state.mailbox.push_back(waiting);
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
        let batch = if state.slow > 0 {
            1
        } else {
            state.mailbox.len()
        };
        for _ in 0..batch {
            let Some(waiting) = self.hosts[host].mailbox.pop_front() else {
                break;
            };
            self.heap.cause = waiting.cause;
            self.step(host, waiting.input, waiting.bytes);
        }
        let state = &mut self.hosts[host];
        if state.wake_waits
            && (state.mailbox.is_empty()
                || state.wakes_by.max(state.paused_until + MAIL_FIRST) <= self.now)
        {
            state.wake_waits = false;
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
            if !std::mem::replace(&mut state.wake_waits, true) {
                state.wakes_by = self.now + MAIL_FIRST;
            }
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
        if process
            .machine
            .next_deadline()
            .is_some_and(|at| at <= local)
        {
            let wake = Wake.into();
            self.system.before(&process.machine, &wake);
            let taken = self.system.describe(&wake, 0);
            if self.sound {
                wake_checked(&mut process.machine, local, &mut self.out);
            } else {
                // A planted bug is for the invariants to catch, not for an assertion.
                process.machine.step(local, wake, &mut self.out);
            }
            self.stepped(host, local, taken, true);
        } else {
            self.plan_wake(host, false);
        }
    }

    fn step(&mut self, host: usize, input: InputOf<S>, bytes: usize) {
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        let local = process.clock.read(self.now);
        self.system.before(&process.machine, &input);
        let taken = self.system.describe(&input, bytes);
        process.machine.step(local, input, &mut self.out);
        self.stepped(host, local, taken, false);
    }

    /// After a step: trace, invariants, effects, the next wake.
    fn stepped(&mut self, host: usize, local: Instant, taken: Taken, woke: bool) {
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        let spec = &self.scenario.hosts[host];
        let line = Line {
            at: self.now,
            seq: self.sequence,
            host,
            taken,
            view: S::digest(S::view(&process.machine)),
        };
        let outputs = self.out.drain();
        let system = &mut self.system;
        self.effects
            .extend(outputs.map(|output| system.perform(output)));
        self.sizes.clear();
        self.sizes.extend(self.effects.iter().map(size));
        let said = self.effects.iter().filter_map(said);
        self.heap.cause = self.trace.add(&line, self.heap.cause, said);
        let seen = Seen {
            now: self.now,
            host,
            machine: &process.machine,
            local,
            woke,
            message: taken.size > 0,
            effects: &self.effects,
            sizes: &self.sizes,
        };
        self.system.note(&seen);
        self.invariants
            .after_step(&seen, &self.system, spec.id.as_str());
        if !self.effects.is_empty() {
            for effect in &self.effects {
                if let Effect::Report(event) = effect {
                    let report = Report {
                        now: self.now,
                        host,
                        event,
                    };
                    self.invariants
                        .heard(&report, &mut self.system, spec.id.as_str());
                }
            }
            let mut effects = std::mem::take(&mut self.effects);
            for (at, effect) in effects.drain(..).enumerate() {
                self.perform(host, effect, self.sizes[at]);
            }
            self.effects = effects;
        }
        self.plan_wake(host, woke);
    }

    /// Plans the next wake anew.
    pub(super) fn replan(&mut self, host: usize) {
        self.plan_wake(host, false);
    }

    /// Plans the next wake of a process, which was woken just now or not.
    fn plan_wake(&mut self, host: usize, woke: bool) {
        let state = &mut self.hosts[host];
        let Some(process) = &state.process else {
            return;
        };
        let Some(deadline) = process.machine.next_deadline() else {
            return;
        };
        let due = process.clock.when(deadline);
        // A machine that breaks its promise must not stop the run that reports it.
        let broken = woke && due <= self.now;
        let at = due.max(self.now + if broken { BROKEN_PROMISE } else { 0 });
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
    pub(super) fn boot(&mut self, host: usize, process: Process<S>) {
        let state = &mut self.hosts[host];
        state.stop();
        state.powered = true;
        state.process = Some(process);
        self.started.insert(host);
        let Some(process) = &self.hosts[host].process else {
            return;
        };
        if let Some(input) = self.system.happen(&process.machine, Happening::Start) {
            self.step(host, input, 0);
        }
    }
}

impl<S: System> World<S> for Engine<'_, '_, S> {
    fn view(&self, host: usize) -> Option<&S::View> {
        let process = self.hosts[host].process.as_ref()?;
        Some(S::view(&process.machine))
    }

    fn traffic(&self, host: usize) -> Traffic {
        self.hosts[host].traffic
    }

    fn system(&self) -> Option<&S> {
        Some(&self.system)
    }
}

/// Checks that each word names something that can be broken.
fn known<S: System>(sabotage: &[String]) -> Result<(), String> {
    let words = S::vocabulary().sabotage;
    match sabotage.iter().find(|word| !words.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => {
            let near = suggestion(word, words);
            Err(format!("nothing can be broken by the word `{word}`{near}"))
        }
    }
}

/// The instant as the judge counts it.
pub(super) const fn since_start(now: u64) -> Duration {
    Duration::from_nanos(now)
}

/// The encoded bytes of the message that an effect sends; 0 if it sends none.
fn size<S: System>(effect: &Effect<S>) -> usize {
    match effect {
        Effect::Send { message, .. } | Effect::Datagram { message, .. } => S::size(message),
        Effect::Dial { .. }
        | Effect::Close { .. }
        | Effect::Write { .. }
        | Effect::Report(_)
        | Effect::Exit
        | Effect::Nothing => 0,
    }
}

/// What a process reports, if an effect is a report.
fn said<S: System>(effect: &Effect<S>) -> Option<Said<'_>> {
    let Effect::Report(event) = effect else {
        return None;
    };
    let (word, about) = S::event(event);
    Some(Said {
        word,
        about: about.map(NodeId::as_str),
    })
}
