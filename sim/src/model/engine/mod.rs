//! The event loop: takes the next event, passes the input to a process, and performs the effects through the
//! components.
//!
//! The engine coordinates its components: only this file, `effects` (effects of processes) and `actions` (actions of
//! the plan) pass the result of one component to another.

mod actions;
mod effects;

use crate::address::HostAddresses;
use crate::coverage::{Occurrence, RunCoverage};
use crate::invariant::{Invariants, Seen};
use crate::judge::Judge;
use crate::judge::ending::{Ending, Halted};
use crate::model::calls::Calls;
use crate::model::checks::Checks;
use crate::model::clock::ns;
use crate::model::context::Context;
use crate::model::coverage_collector::CoverageCollector;
use crate::model::event::ScheduledEvent;
use crate::model::host::SimulatedHost;
use crate::model::slot::{ProcessSlot, QueuedInput, RunningProcess};
use crate::model::starts::Starts;
use crate::model::supervision::RunWatch;
use crate::model::supervisor::Supervisor;
use crate::model::trace::{StepLine, Trace};
use crate::model::transport::{
    ConnectionTransition, FRAMING_BYTES, Receiver, SEGMENT_OVERHEAD_BYTES, Transport,
};
use crate::outcome::Outcome;
use crate::record::StepReport;
use crate::scenario::plan::{Plan, Reporter};
use crate::scenario::{Engine as Kind, START_FAILED, Scenario, ScenarioError, Words};
use crate::world::{
    Cast, Definition, DialError, Effect, Effects, HostTraffic, InputInfo, ProcessEvent,
    ProcessStartError, ProcessView, Program, Scene, StartFailed, World,
};
use core::ops::Range;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::mix;
use phalanx_core::time::Instant;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The start of a process that exits at once, as traces show it.
const EXITED_AT_START: InputInfo = InputInfo::of(20, START_FAILED);

/// The simulated world.
pub(crate) struct Engine<'a, 't> {
    context: Context<'a, 't>,
    programs: Vec<Box<dyn Program>>,
    hosts: Vec<SimulatedHost>,
    /// The processes, ordered by host.
    slots: Vec<ProcessSlot>,
    transport: Transport<'a>,
    addresses: HostAddresses,
    /// The hosts that have another address from their next start on, with the step that moves them.
    moving: BTreeMap<usize, Option<usize>>,
    /// The commands and queries in progress.
    calls: Calls,
    checks: Checks,
    coverage: CoverageCollector<'t>,
    starts: Starts,
    /// The effects of the latest step.
    effects: Effects,
    /// For each effect, the encoded bytes of the message that it sends; 0 if it sends no message.
    sizes: Vec<usize>,
}

impl<'a, 't> Engine<'a, 't> {
    /// # Errors
    /// Returns an error if the scenario does not fit the system, or a name in `sabotage` is unknown.
    pub(crate) fn new(
        definition: &Definition,
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: &[String],
        mut trace: Trace<'t>,
    ) -> Result<Self, ScenarioError> {
        let vocabulary = (definition.vocabulary)();
        scenario.check_system(&vocabulary)?;
        let Cast { programs, hosts } = vocabulary
            .check_sabotage(sabotage)
            .and_then(|()| (definition.build)(scenario, sabotage))
            .map_err(|message| ScenarioError {
                file: scenario.file.clone(),
                line: 0,
                key: String::new(),
                message,
            })?;
        let mut slots = Vec::new();
        let hosts = hosts.into_iter().enumerate().map(|(host, programs)| {
            let first = slots.len();
            let processes = programs.into_iter().zip(first..);
            slots.extend(processes.map(|(program, index)| ProcessSlot::new(index, host, program)));
            SimulatedHost::new(first..slots.len())
        });
        let hosts: Vec<SimulatedHost> = hosts.collect();
        let name = |slot: &ProcessSlot| programs[slot.program()].name();
        for (index, host) in hosts.iter().enumerate() {
            let names = slots[host.processes()].iter().map(name);
            trace.set_programs(index, names.collect());
        }
        let has_lanes = programs.iter().all(|program| program.sends_in_lanes());
        let mut context = Context::new(scenario, plan, trace, sabotage.is_empty());
        for (index, planned) in plan.actions.iter().enumerate() {
            context.schedule(ns(planned.at), ScheduledEvent::Action(index));
        }
        Ok(Self {
            context,
            transport: Transport::new(scenario, plan.seed, slots.len(), has_lanes),
            checks: Checks::new(scenario, &programs),
            coverage: CoverageCollector::default(),
            starts: Starts::new(plan.seed),
            programs,
            hosts,
            slots,
            addresses: HostAddresses::default(),
            moving: BTreeMap::new(),
            calls: Calls::default(),
            effects: Effects::new(),
            sizes: Vec::new(),
        })
    }

    pub(crate) const fn scenario(&self) -> &'a Scenario {
        self.context.scenario()
    }

    /// Returns the time since the start of the run.
    pub(crate) const fn since_start(&self) -> Duration {
        Duration::from_nanos(self.context.now())
    }

    /// Returns the programs of a host in the order in which they start; for each program whose process runs, with the
    /// view of the process and the process's own time.
    pub(crate) fn views(
        &self,
        host: usize,
    ) -> impl Iterator<Item = (&'static str, Option<(&dyn ProcessView, Instant)>)> {
        self.slots[self.hosts[host].processes()].iter().map(|slot| {
            let view = slot.view().zip(slot.local_time(self.context.now()));
            (self.programs[slot.program()].name(), view)
        })
    }

    /// Returns the world with the names of the scenario.
    fn scene(&self) -> Scene<'_> {
        Scene {
            world: self,
            hosts: &self.context.scenario().hosts,
            named: &self.context.plan().named,
            started: self.starts.hosts(),
        }
    }

    /// Processes the next event if it is due before `until`; returns whether there was such an event.
    pub(crate) fn advance(&mut self, until: u64) -> bool {
        let event = self.context.advance(until);
        let is_due = event.is_some();
        if let Some(event) = event {
            self.on_event(event);
        }
        is_due
    }

    /// Returns the number of processes.
    pub(crate) const fn processes(&self) -> usize {
        self.slots.len()
    }

    /// Sets the supervisor of the run.
    pub(crate) const fn supervise(&mut self, supervisor: Option<&'t Supervisor>) {
        self.context.supervise(supervisor);
    }

    /// Counts what occurs in the run from here on, for the programs that hosts have.
    pub(crate) fn cover(&mut self, definition: &Definition, run: &'t mut RunCoverage) {
        self.coverage = CoverageCollector::new(run, &mut self.effects);
        let vocabulary = (definition.vocabulary)();
        let present: BTreeSet<usize> = self.slots.iter().map(ProcessSlot::program).collect();
        for program in present {
            let name = self.programs[program].name();
            let words = vocabulary.program(name);
            let declared = words.map(Words::declared_occurrences);
            self.coverage.declare(name, declared.unwrap_or_default());
        }
    }

    /// Returns the reason for an early end of the run, if there is one.
    pub(super) fn watched(&self, watch: &mut RunWatch<'_>) -> Option<Halted> {
        watch.look(&self.context)
    }

    /// Passes the reported events to the judge.
    pub(crate) fn judge_reports(&mut self, judge: &mut Judge<'_>) {
        let reports = self.checks.take_reports();
        for (reporter, event) in reports {
            judge.event(self.since_start(), reporter, &*event, &*self);
        }
    }

    /// Drops the reported events.
    pub(crate) fn drop_reports(&mut self) {
        drop(self.checks.take_reports());
    }

    /// Checks invariants on the whole world.
    pub(crate) fn check(&mut self, look: impl Fn(&mut Invariants, u64, &Scene<'_>)) {
        let mut checks = std::mem::take(&mut self.checks);
        checks.check(look, self.context.now(), &self.scene());
        self.checks = checks;
    }

    /// Returns the state of a confluent scenario's world, in a form that can be compared between engines.
    pub(crate) fn projection(&self) -> Option<Value> {
        if !self.context.scenario().confluent {
            return None;
        }
        let mut programs = self.programs.iter();
        programs.find_map(|program| program.projection(&self.scene()))
    }

    /// Ends the run. The outcome does not contain the projection.
    pub(crate) fn finish(
        mut self,
        definition: &Definition,
        judge: Judge<'_>,
        (strict, sabotage): (bool, &[String]),
        halted: Option<Halted>,
    ) -> Outcome {
        // The world is not at rest if the run ends while its faults are in effect.
        if halted.is_none() && self.context.scenario().recovers {
            self.check(Invariants::at_rest);
        }
        for (index, program) in self.programs.iter().enumerate() {
            if self.slots.iter().any(|slot| slot.program() == index) {
                let invariants = self.checks.invariants_of(index);
                self.coverage.at_end(program.name(), invariants);
            }
        }
        let scenario = self.context.scenario();
        let messages = self.hosts.iter().map(|host| host.traffic().messages);
        let framing = FRAMING_BYTES as u64 * messages.sum::<u64>();
        let ending = Ending {
            definition,
            engine: Kind::Model,
            strict,
            sabotage,
            now: self.since_start(),
            trace_hash: self.context.trace_hash(),
            events: self.context.events(),
            trace_events: self.context.trace_events(),
            overhead_bytes: framing + SEGMENT_OVERHEAD_BYTES as u64 * self.transport.segments(),
            affected: self.context.affected(),
            broken: self.checks.failures(&scenario.file),
            metrics: BTreeMap::new(),
            projection: None,
            halted,
        };
        ending.judged(judge, &self)
    }

    fn on_event(&mut self, event: ScheduledEvent) {
        match event {
            ScheduledEvent::Action(index) => {
                let planned = &self.context.plan().actions[index];
                self.context.record_action(planned);
                planned.execute(self);
            }
            ScheduledEvent::Triggered { trigger, action } => self.on_triggered(trigger, action),
            ScheduledEvent::Wake { slot, life } => {
                if self.slots[slot].fire_wake(&mut self.context, life) {
                    self.wake(slot);
                }
            }
            ScheduledEvent::Mail { slot, life } => self.on_mail(slot, life),
            ScheduledEvent::Depart { connection, end } => {
                self.transport
                    .on_departure(&mut self.context, connection, end);
            }
            ScheduledEvent::Arrive {
                connection,
                end,
                number,
            } => self.on_arrive((connection, end), number),
            ScheduledEvent::Retransmit {
                connection,
                end,
                number,
            } => {
                let place = (connection, end);
                let context = &mut self.context;
                let broken = self.transport.on_retransmit(context, place, number);
                self.on_transition(broken);
            }
            ScheduledEvent::Reset { connection, end } => {
                let hosts = &self.hosts;
                let powered = |host: usize| hosts[host].is_powered();
                let broken = self.transport.on_reset(connection, end, powered);
                self.on_transition(broken);
            }
            ScheduledEvent::DialTimeout { connection } => {
                let failed = self.transport.on_dial_timeout(connection);
                if failed.is_some() {
                    self.on_transition(failed);
                    self.transport.abandon_dial(&mut self.context, connection);
                }
            }
            ScheduledEvent::Unreachable { slot, life, dial } => {
                if self.slots[slot].life() == life {
                    let reason = DialError::Unreachable;
                    self.notify(slot, ProcessEvent::DialFailed { dial, reason });
                }
            }
            ScheduledEvent::Disk {
                slot,
                life,
                operation,
            } => self.on_disk((slot, life), *operation),
            ScheduledEvent::RetryWrite { slot, life, write } => {
                self.retry_write((slot, life), *write);
            }
            ScheduledEvent::RestartProcess { slot, life } => self.restart_process(slot, life),
            ScheduledEvent::Datagram(datagram) => self.on_datagram(*datagram),
            ScheduledEvent::Local { slot, life, local } => self.on_local(slot, life, *local),
            ScheduledEvent::ListenFailed {
                slot,
                life,
                port,
                holder,
            } => self.on_listen_failed((slot, life), port, holder as usize),
        }
    }

    fn on_arrive(&mut self, (connection, end): (u32, u8), number: u64) {
        let Some((host, slot)) = self.transport.receiver(connection, end) else {
            return;
        };
        let slot = slot.map(|slot| &self.slots[slot]);
        let receiver = Receiver {
            powered: self.hosts[host].is_powered(),
            paused_until: slot.map_or(0, ProcessSlot::paused_until),
            delayed_by: slot.and_then(ProcessSlot::delayed_by),
        };
        let context = &mut self.context;
        let place = (connection, end);
        if !self.transport.on_arrive(context, place, number, receiver) {
            return;
        }
        loop {
            let slots = &self.slots;
            let runs = |slot: usize| slots[slot].runs();
            let context = &mut self.context;
            let transition = self.transport.next_transition(context, place, runs);
            if transition.is_none() {
                break;
            }
            self.on_transition(transition);
        }
    }

    /// Notifies a process of a change of a connection.
    fn on_transition(&mut self, transition: Option<ConnectionTransition>) {
        let Some(transition) = transition else {
            return;
        };
        let (slot, event, size) = match transition {
            ConnectionTransition::Received {
                slot,
                link,
                message,
                bytes,
            } => (slot, ProcessEvent::Received { link, message }, bytes),
            ConnectionTransition::Accepted { slot, link, peer } => {
                let peer = self.slots[peer].identity().cloned();
                (slot, ProcessEvent::Accepted { link, peer }, 0)
            }
            ConnectionTransition::Dialed {
                slot,
                dial,
                link,
                peer,
            } => {
                let peer = self.slots[peer].identity().cloned();
                (slot, ProcessEvent::Dialed { dial, link, peer }, 0)
            }
            ConnectionTransition::DialFailed { slot, dial, reason } => {
                (slot, ProcessEvent::DialFailed { dial, reason }, 0)
            }
            ConnectionTransition::Closed { slot, link, reason } => {
                (slot, ProcessEvent::Closed { link, reason }, 0)
            }
        };
        self.notify_of_message(slot, event, size);
    }

    /// Delivers an event to a process; returns whether the event concerns the process.
    fn notify(&mut self, slot: usize, event: ProcessEvent) -> bool {
        self.notify_of_message(slot, event, 0)
    }

    /// Delivers an event that contains a message of `bytes` encoded bytes: immediately, or once the process is neither
    /// paused, slow nor busy. Returns whether the event concerns the process.
    fn notify_of_message(&mut self, slot: usize, event: ProcessEvent, bytes: usize) -> bool {
        let state = &mut self.slots[slot];
        let machine = state.machine();
        if !machine.is_some_and(|machine| machine.concerns(&event)) {
            return false;
        }
        if state.takes_input(self.context.now()) {
            self.step(slot, event, bytes, false);
        } else {
            let waiting = QueuedInput {
                input: event,
                bytes,
                cause: self.context.cause(),
            };
            state.queue(&mut self.context, waiting);
        }
        true
    }

    fn on_mail(&mut self, slot: usize, life: u32) {
        let Some(batch) = self.slots[slot].open_mailbox(&mut self.context, life) else {
            return;
        };
        for _ in 0..batch {
            let Some(waiting) = self.slots[slot].next_input() else {
                break;
            };
            self.context.set_cause(waiting.cause);
            self.step(slot, waiting.input, waiting.bytes, false);
        }
        if self.slots[slot].resume_wake(self.context.now()) {
            self.wake(slot);
        }
        self.slots[slot].close_mailbox(&mut self.context);
    }

    fn wake(&mut self, slot: usize) {
        if self.slots[slot].is_due(self.context.now()) {
            self.step(slot, ProcessEvent::Wake, 0, true);
        } else {
            self.slots[slot].schedule_wake(&mut self.context, false);
        }
    }

    /// Passes an input to a process. `woke` is whether the input is a wake.
    fn step(&mut self, slot: usize, input: ProcessEvent, bytes: usize, woke: bool) {
        let state = &mut self.slots[slot];
        let now = self.context.now();
        self.context.enter(state.host());
        let (Some(view), Some(local)) = (state.view(), state.local_time(now)) else {
            return;
        };
        let program = &mut *self.programs[state.program()];
        program.before_event(state.host(), view, &input);
        self.coverage.on_event(program, state.host(), &input);
        let taken = input.info(bytes);
        let is_command = matches!(input, ProcessEvent::Command(_));
        if state.acts_on_host() {
            self.act_on_host(slot, local, input);
        } else {
            state.on_event(local, input, &mut self.effects);
        }
        if is_command {
            let effects = self.effects.as_slice();
            self.context.on_answer(effects.iter().any(refuses));
        }
        self.coverage.take(self.effects.notes());
        self.after_step(slot, local, taken, woke);
    }

    /// Passes an event to a process that accesses its host directly within the step.
    fn act_on_host(&mut self, slot: usize, local: Instant, event: ProcessEvent) {
        let state = &mut self.slots[slot];
        let host = state.host();
        let wall = self.context.wall(host);
        let taken = self.transport.taken_ports(host, slot);
        let effects = &mut self.effects;
        self.hosts[host].access(taken, wall, |here| {
            state.on_event_at(local, event, here, effects);
        });
    }

    /// Completes a step: trace, invariants, effects, the next wake.
    fn after_step(&mut self, slot: usize, local: Instant, taken: InputInfo, woke: bool) {
        let state = &self.slots[slot];
        let (host, program) = (state.host(), state.program());
        let Some(machine) = state.machine() else {
            return;
        };
        // Planted bugs must be caught by invariants, not by this assertion.
        debug_assert!(
            !woke || !self.context.is_unsabotaged() || state.deadline().is_none_or(|at| at > local),
            "the deadline is due after the wake"
        );
        let view = machine.view();
        let line = StepLine {
            at: self.context.now(),
            seq: self.context.sequence(),
            host,
            place: self.hosts[host].place(slot),
            taken,
            view: view.digest(),
        };
        let digest = if self.hosts[host].runs_one() {
            line.view
        } else {
            self.digest(host)
        };
        let name = self.process_name(slot);
        let effects = self.effects.as_slice();
        self.sizes.clear();
        self.sizes.extend(effects.iter().map(size));
        let said = effects.iter().filter_map(said);
        self.context.record_step(&line, digest, said);
        if self.context.is_recorded() {
            let known = self.membership(host).unwrap_or(digest);
            self.context.record_membership(host, known);
        }
        let seen = Seen {
            now: line.at,
            host,
            process: machine,
            view,
            local,
            deadline: state.deadline(),
            woke,
            message: taken.size > 0,
            effects,
            sizes: &self.sizes,
        };
        let of = &mut *self.programs[program];
        of.after_step(&seen);
        self.checks.after_step(program, &seen, of, &name);
        self.coverage.after_step(of, &seen);
        if !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for (at, effect) in effects.drain().enumerate() {
                self.perform(slot, effect, self.sizes[at]);
            }
            self.effects = effects;
        }
        self.slots[slot].schedule_wake(&mut self.context, woke);
    }

    /// Records that a process exited at its start. The process stays down until another action or the host's service
    /// manager starts it.
    fn on_start_failed(&mut self, slot: usize, error: ProcessStartError) {
        self.schedule_restart(slot);
        let (host, program) = (self.slots[slot].host(), self.slots[slot].program());
        let context = &mut self.context;
        context.affect(self.hosts[host].disk().fault_step(), 1);
        let line = StepLine {
            at: context.now(),
            seq: context.sequence(),
            host,
            place: self.hosts[host].place(slot),
            taken: EXITED_AT_START,
            view: 0,
        };
        let reason = error.to_string();
        let said = StepReport {
            word: START_FAILED,
            about: Some(&reason),
        };
        context.record_step(&line, 0, core::iter::once(said));
        let program = self.programs[program].name();
        let occurrence = Occurrence::transition(START_FAILED);
        self.coverage.count(program, occurrence);
        let event = Box::new(StartFailed { error });
        self.checks
            .report(context, Reporter { host, program }, event);
    }

    /// Returns the hash of the views of a host's processes.
    fn digest(&self, host: usize) -> u64 {
        let running = self.slots[self.hosts[host].processes()].iter();
        let running = running.filter_map(ProcessSlot::view);
        running.fold(0, |sum, view| mix(sum ^ view.digest()))
    }

    /// Returns the hash of the membership that the host's processes know; `None` if no process knows membership.
    fn membership(&self, host: usize) -> Option<u64> {
        let running = self.slots[self.hosts[host].processes()].iter();
        let known = running.filter_map(|slot| slot.view()?.membership());
        known.reduce(|sum, known| mix(sum ^ known))
    }

    /// Returns the name of a process: its host's id, followed by its program if the host runs several programs.
    fn process_name(&self, slot: usize) -> Cow<'a, str> {
        let state = &self.slots[slot];
        let id = self.context.scenario().hosts[state.host()].id.as_str();
        if self.hosts[state.host()].runs_one() {
            return Cow::Borrowed(id);
        }
        Cow::Owned(format!("{id}/{}", self.programs[state.program()].name()))
    }

    /// Installs a new process and starts it.
    fn boot(&mut self, slot: usize, process: RunningProcess) {
        self.install(slot, process);
        self.step(slot, ProcessEvent::Start, 0, false);
    }

    /// Installs a new process in its slot.
    fn install(&mut self, slot: usize, process: RunningProcess) {
        let state = &mut self.slots[slot];
        state.install(process);
        self.hosts[state.host()].set_powered(true);
        self.transport.forget_ports(slot);
        self.starts.note(state.host());
    }
}

impl World for Engine<'_, '_> {
    fn view(&self, process: usize) -> Option<&dyn ProcessView> {
        self.slots[process].view()
    }

    fn processes(&self, host: usize) -> Range<usize> {
        self.hosts[host].processes()
    }

    fn program_of(&self, process: usize) -> usize {
        self.slots[process].program()
    }

    fn traffic(&self, host: usize) -> HostTraffic {
        self.hosts[host].traffic()
    }

    fn program(&self, index: usize) -> Option<&dyn Program> {
        self.programs.get(index).map(|program| &**program)
    }
}

/// Returns the encoded bytes of the message that an effect sends; 0 if it sends no message.
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

/// Returns whether an effect reports that a command was refused.
fn refuses(effect: &Effect) -> bool {
    matches!(effect, Effect::Report(event) if event.refuses())
}

/// Returns the report of a process, if an effect is a report.
fn said(effect: &Effect) -> Option<StepReport<'_>> {
    let Effect::Report(event) = effect else {
        return None;
    };
    let (word, about) = event.described();
    Some(StepReport {
        word,
        about: about.map(NodeId::as_str),
    })
}
