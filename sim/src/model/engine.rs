//! The event loop: takes the next event, passes the input to a machine, and performs the effects.

use super::calls::{Calls, Local};
use super::clock::ns;
use super::heap::Heap;
use super::host::{Host, NEVER, Process, Slot, Waiting};
use super::network::Fabric;
use super::stream::Connection;
use super::trace::{Line, Trace};
use crate::invariant::{Invariants, Report, Seen};
use crate::record::Said;
use crate::scenario::plan::{Plan, Reporter};
use crate::scenario::{Scenario, ScenarioError};
use crate::world::{
    Cast, Definition, DialError, DialId, Effect, Effects, InputInfo, Message, ProcessEvent,
    ProcessView, Program, ReportedEvent, Scene, Ticket, Traffic, World, Writing,
};
use core::ops::Range;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::{Random, mix};
use phalanx_core::time::Instant;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Maximum time, in nanoseconds, that waiting inputs delay a due timer of a process, as in the driver of `net`: inputs
/// come first, but cannot starve timers.
const MAIL_FIRST: u64 = 100_000_000;

/// Delay, in nanoseconds, of the next wake of a machine whose deadline is already due after a wake.
const BROKEN_PROMISE: u64 = 1_000_000;

/// A scheduled event. Thousands are scheduled at a time, so large and rare variants are boxed.
#[derive(Debug)]
pub(super) enum Event {
    /// An action of the plan.
    Order(usize),
    /// An action that a report triggered.
    Triggered { trigger: usize, order: usize },
    /// The deadline of a process.
    Wake { slot: usize, life: u32 },
    /// A paused or slow process handles its waiting inputs.
    Mail { slot: usize, life: u32 },
    /// The last segment of a parcel arrives at the other machine.
    Arrive {
        connection: u32,
        lane: u8,
        number: u64,
    },
    /// A lost parcel is retransmitted.
    Retransmit {
        connection: u32,
        lane: u8,
        number: u64,
    },
    /// A reset arrives at an end.
    Reset { connection: u32, end: u8 },
    /// The handshake of a connection times out.
    DialTimeout { connection: u32 },
    /// A dial to an unreachable address fails.
    Unreachable {
        slot: usize,
        life: u32,
        dial: DialId,
    },
    /// A write or sync of a process completes.
    Disk {
        slot: usize,
        life: u32,
        operation: Box<Operation>,
    },
    /// A failed write is retried.
    Again {
        slot: usize,
        life: u32,
        write: Box<Writing>,
    },
    /// A datagram arrives at a host.
    Datagram(Box<Datagram>),
    /// A delayed action within a host is due.
    Local {
        slot: usize,
        life: u32,
        local: Box<Local>,
    },
    /// A process is notified that it cannot listen on a port.
    ListenFailed {
        slot: usize,
        life: u32,
        port: u16,
        holder: u32,
    },
}

/// The heap holds thousands of events, so their size affects memory use and cache misses.
const _: () = assert!(size_of::<Event>() <= 24, "box what is large");

/// A datagram in flight.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) from: usize,
    pub(super) host: usize,
    pub(super) port: u16,
    pub(super) message: Rc<dyn Message>,
}

/// A write or sync in progress.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) number: u64,
    pub(super) ticket: Ticket,
    pub(super) retry: Option<Duration>,
}

/// The simulated world.
pub(super) struct Engine<'a, 't> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) programs: Vec<Box<dyn Program>>,
    /// Whether no mechanism is broken deliberately.
    sound: bool,
    pub(super) now: u64,
    pub(super) sequence: u64,
    pub(super) heap: Heap<Event>,
    pub(super) fabric: Fabric<'a>,
    pub(super) hosts: Vec<Host>,
    /// The processes, ordered by host.
    pub(super) slots: Vec<Slot>,
    /// The listening process of each port, by host and port.
    pub(super) ports: BTreeMap<(usize, u16), usize>,
    pub(super) connections: Vec<Option<Box<Connection>>>,
    /// The hosts whose processes were started at least once.
    pub(super) started: BTreeSet<usize>,
    pub(super) seeds: Random,
    /// The random stream for the remains of torn writes after a crash.
    pub(super) tears: Random,
    pub(super) trace: Trace<'t>,
    /// The invariants of each program.
    pub(super) invariants: Vec<Invariants>,
    /// The reported events that the judge has not received yet.
    pub(super) reports: Vec<(Reporter, Box<dyn ReportedEvent>)>,
    /// Errors of programs that no process handles, with their instants in nanoseconds.
    pub(super) errors: Vec<(u64, String)>,
    /// The commands and queries in progress.
    pub(super) calls: Calls,
    /// The triggers of the plan that fired.
    pub(super) fired: BTreeSet<usize>,
    pub(super) segments: u64,
    pub(super) events: u64,
    /// The effects of the latest step.
    pub(super) effects: Effects,
    /// The encoded bytes of the message that each effect sends; 0 if it sends none.
    sizes: Vec<usize>,
}

impl<'a, 't> Engine<'a, 't> {
    /// # Errors
    /// The scenario does not fit the system, or a name in `sabotage` is unknown.
    pub(super) fn new(
        definition: &Definition,
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: &[String],
        mut trace: Trace<'t>,
    ) -> Result<Self, ScenarioError> {
        let vocabulary = (definition.vocabulary)();
        scenario.check_system(&vocabulary)?;
        let mut heap = Heap::new();
        for (index, planned) in plan.orders.iter().enumerate() {
            heap.push(ns(planned.at), Event::Order(index));
        }
        let Cast { programs, hosts } = vocabulary
            .check_sabotage(sabotage)
            .and_then(|()| (definition.build)(scenario, sabotage))
            .map_err(|message| ScenarioError {
                file: scenario.file.clone(),
                line: 0,
                key: String::new(),
                message,
            })?;
        let random = Random::from_seed(plan.seed);
        let mut slots = Vec::new();
        let hosts = hosts.into_iter().enumerate().map(|(host, programs)| {
            let first = slots.len();
            slots.extend(programs.into_iter().map(|program| Slot::new(host, program)));
            Host::new(first..slots.len())
        });
        let hosts: Vec<Host> = hosts.collect();
        let name = |slot: &Slot| programs[slot.program].name();
        for (index, host) in hosts.iter().enumerate() {
            let names = slots[host.processes.clone()].iter().map(name);
            trace.set_programs(index, names.collect());
        }
        Ok(Self {
            scenario,
            plan,
            invariants: programs
                .iter()
                .map(|program| Invariants::new(scenario, &**program))
                .collect(),
            programs,
            sound: sabotage.is_empty(),
            now: 0,
            sequence: 0,
            heap,
            fabric: Fabric::new(scenario, plan.seed),
            hosts,
            slots,
            ports: BTreeMap::new(),
            connections: Vec::new(),
            started: BTreeSet::new(),
            seeds: random.child("nodes"),
            tears: random.child("disks"),
            trace,
            reports: Vec::new(),
            errors: Vec::new(),
            calls: Calls::default(),
            fired: BTreeSet::new(),
            segments: 0,
            events: 0,
            effects: Effects::new(),
            sizes: Vec::new(),
        })
    }

    /// Returns the world with the names of the scenario.
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            world: self,
            hosts: &self.scenario.hosts,
            named: &self.plan.named,
            started: &self.started,
        }
    }

    /// Processes the next event if it is due before `until`; returns whether it was.
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
                let planned = &self.plan.orders[index];
                self.heap.cause = self.trace.order(self.now, planned);
                planned.execute(self);
            }
            Event::Triggered { trigger, order } => self.on_triggered(trigger, order),
            Event::Wake { slot, life } => self.on_wake(slot, life),
            Event::Mail { slot, life } => self.on_mail(slot, life),
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
            Event::Unreachable { slot, life, dial } => {
                if self.slots[slot].life == life {
                    let reason = DialError::Unreachable;
                    self.notify(slot, ProcessEvent::DialFailed { dial, reason });
                }
            }
            Event::Disk {
                slot,
                life,
                operation,
            } => {
                if self.slots[slot].life == life {
                    self.on_disk(slot, *operation);
                }
            }
            Event::Again { slot, life, write } => {
                if self.slots[slot].life == life && self.slots[slot].process.is_some() {
                    self.write(slot, *write);
                }
            }
            Event::Datagram(datagram) => self.on_datagram(*datagram),
            Event::Local { slot, life, local } => self.on_local(slot, life, *local),
            Event::ListenFailed {
                slot,
                life,
                port,
                holder,
            } => {
                if self.slots[slot].life == life {
                    self.on_listen_failed(slot, port, holder as usize);
                }
            }
        }
    }

    /// Delivers an event to a process; returns whether the event concerns the process.
    pub(super) fn notify(&mut self, slot: usize, what: ProcessEvent) -> bool {
        self.notify_of_message(slot, what, 0)
    }

    /// Delivers an event that contains a message of `bytes` encoded bytes.
    /// Returns whether the event concerns the process.
    pub(super) fn notify_of_message(
        &mut self,
        slot: usize,
        what: ProcessEvent,
        bytes: usize,
    ) -> bool {
        let Some(process) = &self.slots[slot].process else {
            return false;
        };
        let concerns = process.machine.concerns(&what);
        if concerns {
            let cause = self.heap.cause;
            self.input(
                slot,
                Waiting {
                    input: what,
                    bytes,
                    cause,
                },
            );
        }
        concerns
    }

    /// Passes an input to a process immediately, or queues it if the process is paused, slow or busy.
    fn input(&mut self, slot: usize, waiting: Waiting) {
        let state = &mut self.slots[slot];
        if state.process.is_none() {
            return;
        }
        let ready = state.paused_until.max(state.busy_until);
        if ready <= self.now && state.slow == 0 && state.mailbox.is_empty() {
            self.step(slot, waiting.input, waiting.bytes);
            return;
        }
        if ready <= self.now && state.mailbox.is_empty() {
            state.busy_until = self.now + state.slow;
        }
        state.mailbox.push_back(waiting);
        let step = state.delayed_by;
        self.fabric.bite(step, 1);
        self.plan_mail(slot);
    }

    fn plan_mail(&mut self, slot: usize) {
        let state = &mut self.slots[slot];
        let at = state.paused_until.max(state.busy_until).max(self.now);
        if state.mail_at == NEVER {
            state.mail_at = at;
            self.heap.push(
                at,
                Event::Mail {
                    slot,
                    life: state.life,
                },
            );
        }
    }

    fn on_mail(&mut self, slot: usize, life: u32) {
        let state = &mut self.slots[slot];
        if state.life != life || state.process.is_none() || state.mail_at != self.now {
            return;
        }
        state.mail_at = NEVER;
        if state.paused_until > self.now || state.busy_until > self.now {
            self.plan_mail(slot);
            return;
        }
        let batch = if state.slow > 0 {
            1
        } else {
            state.mailbox.len()
        };
        for _ in 0..batch {
            let Some(waiting) = self.slots[slot].mailbox.pop_front() else {
                break;
            };
            self.heap.cause = waiting.cause;
            self.step(slot, waiting.input, waiting.bytes);
        }
        let state = &mut self.slots[slot];
        if state.wake_waits
            && (state.mailbox.is_empty()
                || state.wakes_by.max(state.paused_until + MAIL_FIRST) <= self.now)
        {
            state.wake_waits = false;
            self.wake(slot);
        }
        let state = &mut self.slots[slot];
        if !state.mailbox.is_empty() {
            state.busy_until = self.now + state.slow;
            self.plan_mail(slot);
        }
    }

    fn on_wake(&mut self, slot: usize, life: u32) {
        let state = &mut self.slots[slot];
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
            self.plan_mail(slot);
            return;
        }
        self.wake(slot);
    }

    fn wake(&mut self, slot: usize) {
        let state = &mut self.slots[slot];
        let Some(process) = &mut state.process else {
            return;
        };
        let local = process.clock.read(self.now);
        if process
            .machine
            .next_deadline()
            .is_some_and(|at| at <= local)
        {
            let wake = ProcessEvent::Wake;
            self.programs[state.program].before_event(state.host, process.machine.view(), &wake);
            let taken = wake.info(0);
            if process.acts_on_host {
                self.act_on_host(slot, local, wake);
            } else {
                process.machine.on_event(local, wake, &mut self.effects);
            }
            let process = self.slots[slot].process.as_ref();
            let deadline = process.and_then(|process| process.machine.next_deadline());
            // Planted bugs must be caught by invariants, not by this assertion.
            debug_assert!(
                !self.sound || deadline.is_none_or(|at| at > local),
                "would spin the caller"
            );
            self.stepped(slot, local, taken, true);
        } else {
            self.plan_wake(slot, false);
        }
    }

    fn step(&mut self, slot: usize, input: ProcessEvent, bytes: usize) {
        let state = &mut self.slots[slot];
        let Some(process) = &mut state.process else {
            return;
        };
        let local = process.clock.read(self.now);
        self.programs[state.program].before_event(state.host, process.machine.view(), &input);
        let taken = input.info(bytes);
        if process.acts_on_host {
            self.act_on_host(slot, local, input);
        } else {
            process.machine.on_event(local, input, &mut self.effects);
        }
        self.stepped(slot, local, taken, false);
    }

    /// Completes a step: trace, invariants, effects, the next wake.
    fn stepped(&mut self, slot: usize, local: Instant, taken: InputInfo, woke: bool) {
        let state = &self.slots[slot];
        let (host, program) = (state.host, state.program);
        let Some(process) = &state.process else {
            return;
        };
        let view = process.machine.view();
        let processes = self.hosts[host].processes.clone();
        let line = Line {
            at: self.now,
            seq: self.sequence,
            host,
            place: slot - processes.start,
            taken,
            view: view.digest(),
        };
        let digest = if processes.len() == 1 {
            line.view
        } else {
            self.digest(processes)
        };
        let name = self.process_name(slot);
        let effects = self.effects.as_slice();
        self.sizes.clear();
        self.sizes.extend(effects.iter().map(size));
        let said = effects.iter().filter_map(said);
        self.heap.cause = self.trace.add(&line, digest, self.heap.cause, said);
        let seen = Seen {
            now: self.now,
            host,
            process: &*process.machine,
            view,
            local,
            woke,
            message: taken.size > 0,
            effects,
            sizes: &self.sizes,
        };
        let of = &mut *self.programs[program];
        of.after_step(&seen);
        self.invariants[program].after_step(&seen, of, &name);
        if !self.effects.is_empty() {
            for effect in self.effects.as_slice() {
                if let Effect::Report(event) = effect {
                    let report = Report {
                        now: self.now,
                        host,
                        event: &**event,
                    };
                    self.invariants[program].on_report(&report, of, &name);
                }
            }
            let mut effects = std::mem::take(&mut self.effects);
            for (at, effect) in effects.drain().enumerate() {
                self.perform(slot, effect, self.sizes[at]);
            }
            self.effects = effects;
        }
        self.plan_wake(slot, woke);
    }

    /// Returns the hash of the views of some processes.
    fn digest(&self, processes: Range<usize>) -> u64 {
        let running = self.slots[processes].iter();
        let running = running.filter_map(|slot| slot.process.as_ref());
        running.fold(0, |sum, process| mix(sum ^ process.machine.view().digest()))
    }

    /// Returns the name of a process: its host's id, and its program if the host runs several.
    pub(super) fn process_name(&self, slot: usize) -> Cow<'a, str> {
        let state = &self.slots[slot];
        let id = self.scenario.hosts[state.host].id.as_str();
        if self.hosts[state.host].processes.len() == 1 {
            return Cow::Borrowed(id);
        }
        Cow::Owned(format!("{id}/{}", self.programs[state.program].name()))
    }

    /// Returns the process that listens on a port of a host.
    pub(super) fn listens(&self, host: usize, port: u16) -> Option<usize> {
        let slot = *self.ports.get(&(host, port))?;
        (self.hosts[host].powered && self.slots[slot].runs()).then_some(slot)
    }

    /// Reschedules the next wake of a process.
    pub(super) fn replan(&mut self, slot: usize) {
        self.plan_wake(slot, false);
    }

    /// Schedules the next wake of a process; `woke` tells whether the latest step was a wake.
    fn plan_wake(&mut self, slot: usize, woke: bool) {
        let state = &mut self.slots[slot];
        let Some(process) = &state.process else {
            return;
        };
        let Some(deadline) = process.machine.next_deadline() else {
            return;
        };
        let due = process.clock.when(deadline);
        // A machine whose deadline is still due after its wake must not stall the run that reports the bug.
        let broken = woke && due <= self.now;
        let at = due.max(self.now + if broken { BROKEN_PROMISE } else { 0 });
        if at < state.wake_at {
            state.wake_at = at;
            self.heap.push(
                at,
                Event::Wake {
                    slot,
                    life: state.life,
                },
            );
        }
    }

    /// Installs a new process and starts it.
    pub(super) fn boot(&mut self, slot: usize, process: Process) {
        self.install(slot, process);
        self.step(slot, ProcessEvent::Start, 0);
    }

    /// Installs a new process in its slot.
    pub(super) fn install(&mut self, slot: usize, process: Process) {
        let state = &mut self.slots[slot];
        let host = state.host;
        state.stop();
        state.identity = process.machine.identity().cloned();
        state.process = Some(process);
        self.hosts[host].powered = true;
        self.ports.retain(|_, of| *of != slot);
        self.started.insert(host);
    }
}

impl World for Engine<'_, '_> {
    fn view(&self, process: usize) -> Option<&dyn ProcessView> {
        let process = self.slots[process].process.as_ref()?;
        Some(process.machine.view())
    }

    fn processes(&self, host: usize) -> Range<usize> {
        self.hosts[host].processes.clone()
    }

    fn program_of(&self, process: usize) -> usize {
        self.slots[process].program
    }

    fn traffic(&self, host: usize) -> Traffic {
        self.hosts[host].traffic
    }

    fn program(&self, index: usize) -> Option<&dyn Program> {
        self.programs.get(index).map(|program| &**program)
    }
}

/// Converts an instant to the time since the start of the run.
pub(super) const fn since_start(now: u64) -> Duration {
    Duration::from_nanos(now)
}

/// Returns the encoded bytes of the message that an effect sends; 0 if it sends none.
fn size(effect: &Effect) -> usize {
    match effect {
        Effect::Send { message, .. } | Effect::Datagram { message, .. } => message.encoded_len(),
        Effect::Listen { .. }
        | Effect::Unlisten { .. }
        | Effect::Dial { .. }
        | Effect::Close { .. }
        | Effect::Write(_)
        | Effect::Read(_)
        | Effect::Run(_)
        | Effect::Finish(_)
        | Effect::Signal(_)
        | Effect::Resolve { .. }
        | Effect::Answer(_)
        | Effect::Report(_)
        | Effect::Exit => 0,
    }
}

/// Returns the report of a process, if an effect is a report.
fn said(effect: &Effect) -> Option<Said<'_>> {
    let Effect::Report(event) = effect else {
        return None;
    };
    let (word, about) = event.described();
    Some(Said {
        word,
        about: about.map(NodeId::as_str),
    })
}
