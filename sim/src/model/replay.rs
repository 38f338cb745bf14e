//! A run again, event by event, to look at its nodes.

use super::clock::ns;
use super::engine::{Engine, since_start};
use super::trace::Trace;
use crate::record::{Done, Line, Lines, Recorder, Step};
use crate::scenario::plan::Plan;
use crate::scenario::{Scenario, ScenarioError, suggestion};
use crate::world::{Definition, ProcessView};
use core::cell::RefCell;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::VecDeque;
use std::rc::Rc;

/// A run that stands still wherever one wants to look.
pub struct Replay<'a> {
    engine: Engine<'a, 'a>,
    heard: Rc<RefCell<VecDeque<Line<'a>>>>,
    /// The latest event given out.
    latest: Option<Line<'a>>,
}

/// Keeps the lines of what just happened.
struct Ear<'a> {
    lines: Lines<'a>,
    heard: Rc<RefCell<VecDeque<Line<'a>>>>,
}

impl Recorder for Ear<'_> {
    fn step(&mut self, step: &Step<'_>) {
        self.heard.borrow_mut().push_back(self.lines.step(step));
    }

    fn order(&mut self, order: &Done<'_>) {
        let line = self.lines.order(order);
        self.heard.borrow_mut().push_back(line);
    }
}

impl<'a> Replay<'a> {
    /// A run that has not begun, of a scenario with its plan, with these mechanisms broken on purpose.
    ///
    /// # Errors
    /// When nothing is known by a word of sabotage.
    pub fn new(
        definition: &Definition,
        scenario: &'a Scenario,
        plan: &'a Plan,
        sabotage: &[String],
    ) -> Result<Self, ScenarioError> {
        let heard = Rc::new(RefCell::new(VecDeque::new()));
        let ear = Ear {
            lines: Lines::new(scenario, plan.clone()),
            heard: Rc::clone(&heard),
        };
        Ok(Self {
            engine: Engine::new(
                definition,
                scenario,
                plan,
                sabotage,
                Trace::owning(Box::new(ear)),
            )?,
            heard,
            latest: None,
        })
    }

    /// The next event before `until`; none when there is none.
    pub fn next_event(&mut self, until: Duration) -> Option<Line<'a>> {
        loop {
            let line = self.heard.borrow_mut().pop_front();
            if line.is_some() {
                self.latest.clone_from(&line);
                return line;
            }
            if !self.engine.advance(ns(until)) {
                return None;
            }
            self.engine.reports.clear();
        }
    }

    /// Goes on to an instant.
    pub fn to_instant(&mut self, until: Duration) {
        while self.next_event(until).is_some() {}
    }

    /// Goes on to an event; whether the run has one of this number.
    pub fn to_event(&mut self, number: u64, end: Duration) -> bool {
        while self.event() < number {
            if self.next_event(end).is_none() {
                return false;
            }
        }
        true
    }

    /// The number of the latest event.
    #[must_use]
    pub fn event(&self) -> u64 {
        self.latest.as_ref().map_or(0, |line| line.event)
    }

    /// The latest event.
    #[must_use]
    pub const fn latest(&self) -> Option<&Line<'a>> {
        self.latest.as_ref()
    }

    /// When it stands.
    #[must_use]
    pub const fn now(&self) -> Duration {
        since_start(self.engine.now)
    }

    /// The scenario that runs.
    #[must_use]
    pub const fn scenario(&self) -> &'a Scenario {
        self.engine.scenario
    }

    /// The programs of a host in the order in which they start, each with the view of its process if it runs.
    pub fn processes(
        &self,
        host: usize,
    ) -> impl Iterator<Item = (&'static str, Option<&dyn ProcessView>)> {
        let slots = &self.engine.slots[self.engine.hosts[host].processes.clone()];
        slots.iter().map(|slot| {
            let view = slot.process.as_ref().map(|process| process.machine.view());
            (self.engine.programs[slot.program].name(), view)
        })
    }

    /// The view of this type of a running process of a host, with the process's own time. Events of one host at one
    /// instant (mail after a pause) are one: the view is that after the last.
    #[must_use]
    pub fn view<V: ProcessView>(&self, host: usize) -> Option<(&V, Instant)> {
        let processes = &self.engine.slots[self.engine.hosts[host].processes.clone()];
        let mut running = processes.iter().filter_map(|slot| slot.process.as_ref());
        let now = self.engine.now;
        running.find_map(|process| {
            let view = process.machine.view().of::<V>()?;
            Some((view, process.clock.read(now)))
        })
    }
}

/// The host of this name.
///
/// # Errors
/// When the scenario has no such node.
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
