//! Replays a run event by event, and shows the state of its nodes.

use crate::judge::ending::Halted;
use crate::model::Supervisor;
use crate::model::clock::ns;
use crate::model::engine::Engine;
use crate::model::supervision::RunWatch;
use crate::model::trace::Trace;
use crate::record::{ExecutedAction, Line, Lines, RecordedStep, Recorder};
use crate::scenario::plan::Plan;
use crate::scenario::{Scenario, ScenarioError, suggestion};
use crate::world::{Definition, ProcessView};
use core::cell::RefCell;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::VecDeque;
use std::rc::Rc;

/// A run that can be stopped at any event.
pub struct Replay<'a> {
    engine: Engine<'a, 'a>,
    collected: Rc<RefCell<VecDeque<Line<'a>>>>,
    /// The latest event that was returned.
    latest: Option<Line<'a>>,
    /// The supervision of the replay, if there is one.
    watch: Option<RunWatch<'a>>,
    /// The reason why the supervision ended the replay.
    halted: Option<Halted>,
}

/// Collects the lines of the latest events.
struct LineCollector<'a> {
    lines: Lines<'a>,
    collected: Rc<RefCell<VecDeque<Line<'a>>>>,
}

impl Recorder for LineCollector<'_> {
    fn step(&mut self, step: &RecordedStep<'_>) {
        self.collected.borrow_mut().push_back(self.lines.step(step));
    }

    fn action(&mut self, action: &ExecutedAction<'_>) {
        let line = self.lines.action(action);
        self.collected.borrow_mut().push_back(line);
    }
}

impl<'a> Replay<'a> {
    /// Creates a replay of a scenario and its plan, before the first event, with the named mechanisms broken
    /// deliberately.
    ///
    /// # Errors
    /// Returns an error if a name in `sabotage` is unknown.
    pub fn new(
        definition: &Definition,
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: &[String],
    ) -> Result<Self, ScenarioError> {
        let collected = Rc::new(RefCell::new(VecDeque::new()));
        let collector = LineCollector {
            lines: Lines::new(scenario, plan.clone()),
            collected: Rc::clone(&collected),
        };
        Ok(Self {
            engine: Engine::new(
                definition,
                scenario,
                plan,
                sabotage,
                Trace::owning(Box::new(collector)),
            )?,
            collected,
            latest: None,
            watch: None,
            halted: None,
        })
    }

    /// Begins the supervision of the replay, which counts as one run of the supervisor; with `None`, ends it. A
    /// supervised replay ends early as a run does.
    pub fn supervise(&mut self, supervisor: Option<&'a Supervisor>) {
        // The present run of the supervisor ends before the next one begins.
        drop(self.watch.take());
        let processes = self.engine.processes();
        self.watch = supervisor.map(|it| RunWatch::new(Some(it), processes));
        self.engine.supervise(supervisor);
    }

    /// Returns why the supervision ended the replay early, if it did.
    #[must_use]
    pub const fn halted(&self) -> Option<&Halted> {
        self.halted.as_ref()
    }

    /// Returns the next event before `until`, if there is one. A replay that was ended early has none.
    pub fn next_event(&mut self, until: Duration) -> Option<Line<'a>> {
        loop {
            let line = self.collected.borrow_mut().pop_front();
            if line.is_some() {
                self.latest.clone_from(&line);
                return line;
            }
            if self.halted.is_some() || !self.engine.advance(ns(until)) {
                return None;
            }
            self.engine.drop_reports();
            if let Some(watch) = &mut self.watch {
                self.halted = self.engine.watched(watch);
            }
        }
    }

    /// Continues to an instant.
    pub fn to_instant(&mut self, until: Duration) {
        while self.next_event(until).is_some() {}
    }

    /// Continues to an event; returns whether the run has an event with this number.
    pub fn to_event(&mut self, number: u64, end: Duration) -> bool {
        while self.event() < number {
            if self.next_event(end).is_none() {
                return false;
            }
        }
        true
    }

    /// Returns the number of the latest event.
    #[must_use]
    pub fn event(&self) -> u64 {
        self.latest.as_ref().map_or(0, |line| line.event)
    }

    /// Returns the latest event.
    #[must_use]
    pub const fn latest(&self) -> Option<&Line<'a>> {
        self.latest.as_ref()
    }

    /// Returns the current position in virtual time.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.engine.since_start()
    }

    /// Returns the scenario of the run.
    #[must_use]
    pub const fn scenario(&self) -> &'a Scenario {
        self.engine.scenario()
    }

    /// Returns the programs of a host in the order in which they start; for each program whose process runs, with the
    /// view of the process.
    pub fn processes(
        &self,
        host: usize,
    ) -> impl Iterator<Item = (&'static str, Option<&dyn ProcessView>)> {
        let views = self.engine.views(host);
        views.map(|(program, view)| (program, view.map(|(view, _)| view)))
    }

    /// Returns the view (of the requested type) of a running process of a host, with the process's own time. Events of
    /// one host at the same instant (inputs after a pause) are executed together, so the view shows the state after the
    /// last of these events.
    #[must_use]
    pub fn view<V: ProcessView>(&self, host: usize) -> Option<(&V, Instant)> {
        let mut views = self.engine.views(host).filter_map(|(_, view)| view);
        views.find_map(|(view, local)| Some((view.of::<V>()?, local)))
    }
}

/// Returns the host of this name.
///
/// # Errors
/// Returns an error if the scenario has no such node.
pub fn host_named(scenario: &Scenario, name: &str) -> Result<usize, ScenarioError> {
    scenario.host_named(name).ok_or_else(|| {
        let names: Vec<&str> = scenario
            .hosts
            .iter()
            .map(|host| host.name.as_str())
            .collect();
        ScenarioError {
            file: scenario.file.clone(),
            line: 0,
            key: "node".to_owned(),
            message: format!("there is no node `{name}`{}", suggestion(name, names)),
        }
    })
}
