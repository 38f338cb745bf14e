//! The parts of the engine that its components share: the scenario and its plan, the time, the event heap, the trace,
//! and the number of items that each step of the scenario affected.
//!
//! Writers: `engine.rs` advances the time and records steps; `actions.rs` records actions of the plan; `transport/`
//! records held messages. Every component schedules events and counts the items that it affects.

use super::clock::WALL_ZERO;
use super::event::ScheduledEvent;
use super::heap::Heap;
use super::supervisor::Supervisor;
use super::trace::{StepLine, Trace};
use crate::disk::{Files, Left};
use crate::record::{Cause, Held, StepReport};
use crate::scenario::Scenario;
use crate::scenario::plan::{Plan, Planned};
use phalanx_core::random::Random;
use phalanx_core::time::Wall;
use std::collections::BTreeMap;

/// The host of a step, its program if the host runs several, and the kind of its input.
type LatestStep = (usize, Option<&'static str>, &'static str);

/// The shared parts of the engine.
pub(super) struct Context<'a, 't> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    /// Whether the run has no sabotage.
    unsabotaged: bool,
    /// True time, in nanoseconds.
    now: u64,
    /// The number of the current event.
    sequence: u64,
    /// The number of events processed.
    events: u64,
    /// The number of events processed at the current time.
    events_in_instant: u64,
    /// The host, program and input of the latest step.
    latest_step: Option<LatestStep>,
    supervisor: Option<&'t Supervisor>,
    heap: Heap<ScheduledEvent>,
    trace: Trace<'t>,
    /// The time by which steps set the calendar of each host back, in nanoseconds.
    calendar_back: BTreeMap<usize, i64>,
    /// Number of items that each step affected.
    affected: Vec<u64>,
    /// The commands of steps: the step of each, and whether it is to be refused, by the event number of its action.
    commands: BTreeMap<u64, (usize, bool)>,
    /// The random stream for the remains of torn writes after a crash.
    torn_writes: Random,
}

impl<'a, 't> Context<'a, 't> {
    /// Creates the context of a run before its first event.
    pub(super) fn new(
        scenario: &'a Scenario,
        plan: &'a Plan,
        trace: Trace<'t>,
        unsabotaged: bool,
    ) -> Self {
        Self {
            scenario,
            plan,
            unsabotaged,
            now: 0,
            sequence: 0,
            events: 0,
            events_in_instant: 0,
            latest_step: None,
            supervisor: None,
            heap: Heap::new(),
            trace,
            calendar_back: BTreeMap::new(),
            affected: vec![0; scenario.causes()],
            commands: BTreeMap::new(),
            torn_writes: Random::from_seed(plan.seed).child("disks"),
        }
    }

    pub(super) const fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    pub(super) const fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// Returns whether no mechanism is broken deliberately.
    pub(super) const fn is_unsabotaged(&self) -> bool {
        self.unsabotaged
    }

    /// Returns the true time, in nanoseconds since the start of the run.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// Returns the wall clock of a host.
    pub(super) fn wall(&self, host: usize) -> Wall {
        let seconds = i64::try_from(self.now / 1_000_000_000).unwrap_or(0);
        let back = self.calendar_back.get(&host).copied().unwrap_or_default();
        let offset = (self.scenario.hosts[host].clock.offset - back) / 1_000_000_000;
        let zero = i64::try_from(WALL_ZERO).unwrap_or(0);
        Wall(u64::try_from(zero + seconds + offset).unwrap_or(0))
    }

    /// Sets the calendar of a host back by this number of nanoseconds. Monotonic clocks are not affected.
    pub(super) fn set_calendar_back(&mut self, host: usize, by: u64) {
        let back = self.calendar_back.entry(host).or_default();
        *back = back.saturating_add(i64::try_from(by).unwrap_or(i64::MAX));
    }

    /// Returns the number of the current event.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the number of events processed.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// Returns the number of events processed at the current time.
    pub(super) const fn events_in_instant(&self) -> u64 {
        self.events_in_instant
    }

    /// Returns the latest step of the current event.
    pub(super) const fn latest_step(&self) -> Option<LatestStep> {
        self.latest_step
    }

    /// Sets the supervisor, which observes the position of the run.
    pub(super) const fn supervise(&mut self, supervisor: Option<&'t Supervisor>) {
        self.supervisor = supervisor;
    }

    /// Notes that a process of a host is about to handle an event.
    pub(super) fn enter(&self, host: usize) {
        if let Some(supervisor) = self.supervisor {
            supervisor.enter(self.now, self.events, host);
        }
    }

    /// Advances the time to the next event, and returns the event. If no event is due before `until`, advances the time
    /// to `until`.
    pub(super) fn advance(&mut self, until: u64) -> Option<ScheduledEvent> {
        if self.heap.next().is_none_or(|at| at >= until) {
            self.now = until;
            return None;
        }
        let (at, sequence, event) = self.heap.pop()?;
        self.events_in_instant = if at == self.now {
            self.events_in_instant + 1
        } else {
            1
        };
        self.latest_step = None;
        self.now = at;
        self.sequence = sequence;
        self.events += 1;
        Some(event)
    }

    /// Schedules an event with the current cause.
    pub(super) fn schedule(&mut self, at: u64, event: ScheduledEvent) {
        self.heap.push(at, event);
    }

    /// Returns the cause of the events scheduled next.
    pub(super) const fn cause(&self) -> Cause {
        self.heap.cause()
    }

    /// Sets the cause of the events scheduled next.
    pub(super) const fn set_cause(&mut self, cause: Cause) {
        self.heap.set_cause(cause);
    }

    /// Adds to the number of items that a step affected.
    pub(super) fn affect(&mut self, step: Option<usize>, by: u64) {
        if let Some(affected) = step.and_then(|step| self.affected.get_mut(step)) {
            *affected += by;
        }
    }

    /// Notes that the current action is a command of a step; `refused` tells whether it is to be refused.
    pub(super) fn command(&mut self, step: Option<usize>, refused: bool) {
        if let Some(step) = step {
            self.commands.insert(self.cause().event, (step, refused));
        }
    }

    /// Notes the answer to the command that is the current cause. A command has an effect if it is refused or obeyed as
    /// its step expects.
    pub(super) fn on_answer(&mut self, refused: bool) {
        let command = self.commands.get(&self.cause().event).copied();
        if let Some((step, expected)) = command {
            self.affect(Some(step), u64::from(refused == expected));
        }
    }

    /// Returns the number of items that each step affected.
    pub(super) fn affected(&self) -> &[u64] {
        &self.affected
    }

    /// Returns the number of events in the trace.
    pub(super) const fn trace_events(&self) -> u64 {
        self.trace.events()
    }

    /// Returns the hash of all steps.
    pub(super) const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// Records a step of a process, which becomes the cause of the events scheduled next.
    pub(super) fn record_step<'s>(
        &mut self,
        line: &StepLine,
        digest: u64,
        said: impl Iterator<Item = StepReport<'s>>,
    ) {
        let program = self.trace.program(line.host, line.place);
        self.latest_step = Some((line.host, program, line.taken.word));
        let cause = self.trace.add(line, digest, self.cause(), said);
        self.set_cause(cause);
    }

    /// Returns whether the run is recorded.
    pub(super) const fn is_recorded(&self) -> bool {
        self.trace.is_recorded()
    }

    /// Records the membership that a host's processes know after the latest step.
    pub(super) fn record_membership(&mut self, host: usize, digest: u64) {
        self.trace.membership(host, digest);
    }

    /// Records an action of the plan, which becomes the cause of the events scheduled next.
    pub(super) fn record_action(&mut self, planned: &Planned) {
        let cause = self.trace.action(self.now, planned);
        self.set_cause(cause);
    }

    /// Records a message that was delayed or dropped by a cut or by loss.
    pub(super) fn record_held(&mut self, held: Held) {
        self.trace.held(held);
    }

    /// Crashes a disk; returns the number of writes that the crash affected.
    pub(super) fn crash(&mut self, disk: &mut Files, left: Left) -> u64 {
        disk.crash(left, &mut self.torn_writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
scenario = 1
name = "x"
about = "x"
engines = ["model"]
duration = "20s"
[[nodes]]
count = 2
clock = { offset = "-3s" }
[[at]]
time = "5s"
pause = { who = "n1", for = "1s" }
[[expect]]
eventually = { converged = true }
"#;

    #[test]
    fn time_advances_to_the_next_event_or_the_limit_and_affected_items_are_counted() {
        let scenario = Scenario::parse("x.toml", TEXT).expect("the scenario is valid");
        let plan = scenario.plan(1).expect("the scenario can be planned");
        let mut context = Context::new(&scenario, &plan, Trace::new(None), true);
        context.schedule(7, ScheduledEvent::Action(1));
        context.schedule(5, ScheduledEvent::Action(0));
        let first = context.advance(6);
        assert!(matches!(first, Some(ScheduledEvent::Action(0))));
        assert_eq!((context.now(), context.sequence()), (5, 2));
        assert!(
            context.advance(7).is_none(),
            "the second is due at the limit"
        );
        assert_eq!((context.now(), context.events()), (7, 1));
        context.affect(Some(0), 2);
        context.affect(None, 4);
        context.affect(Some(99), 8);
        assert_eq!(context.affected()[0], 2);
        assert_eq!(context.wall(0), Wall(WALL_ZERO - 3));
    }
}
