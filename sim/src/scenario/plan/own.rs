//! Plans steps and faults in the vocabulary of programs.

use super::{HostState, Later, Origin, Planner, ScheduledAction, Work};
use crate::scenario::action::{Extent, OwnAction};
use crate::scenario::planning::{Planning, Strike, Task};
use crate::scenario::{Action, Disk, NodeAction};
use core::time::Duration;
use phalanx_core::random::Random;
use std::collections::BTreeSet;

impl Planner<'_> {
    /// Plans a step of a program's own vocabulary for one host; `place` is the host's index among the selected hosts.
    pub(super) fn own_step(&mut self, at: Duration, index: usize, place: usize, hosts: &[usize]) {
        let scenario = self.scenario;
        let step = &scenario.steps[index];
        let Action::Nodes(_, NodeAction::Own(action)) = &step.action else {
            return;
        };
        if self.is_full() {
            return;
        }
        let from = Origin::step(scenario, index);
        self.tell(action.program, at, from, step.length, |planning| {
            planning.step(action, hosts, place)
        });
    }

    /// Executes a postponed task.
    pub(super) fn own_due(&mut self, at: Duration, later: Later) {
        let Later {
            program,
            step,
            due,
            from,
        } = later;
        let scenario = self.scenario;
        let action = step.and_then(|step| match &scenario.steps.get(step)?.action {
            Action::Nodes(_, NodeAction::Own(action)) => Some(action),
            Action::Network(_) | Action::Nodes(..) | Action::Clone(_) => None,
        });
        let runs = self.lives[due.host] == HostState::Running;
        let tasks = self.plannings[program].due(action, due, runs);
        self.run(at, program, from, None, tasks);
    }

    /// Notifies the plannings of a host's programs of its start, and executes their tasks.
    pub(super) fn own_start(&mut self, at: Duration, from: Origin, host: usize) {
        for program in 0..self.plannings.len() {
            let tasks = self.plannings[program].start(host);
            self.run(at, program, from, None, tasks);
        }
    }

    /// Plans a fault of a program's own vocabulary. Returns the hosts that the fault touches; `None` if the fault
    /// cannot occur.
    pub(super) fn own_fault(
        &mut self,
        at: Duration,
        from: Origin,
        length: Duration,
        strike: Strike<'_>,
        random: &mut Random,
    ) -> Option<Vec<usize>> {
        let mut programs = self.scenario.vocabulary.programs.iter();
        let owner = programs.position(|words| {
            let mut faults = words.faults.iter();
            faults.any(|fault| fault.word == strike.fault)
        });
        let program = owner?;
        let struck = self.plannings[program].strike(strike, random)?;
        self.run(at, program, from, Some(length), struck.tasks);
        Some(struck.touched)
    }

    /// Calls a program's planning, and executes the tasks that it returns.
    fn tell(
        &mut self,
        program: &str,
        at: Duration,
        from: Origin,
        length: Option<Duration>,
        tell: impl FnOnce(&mut dyn Planning) -> Vec<Task>,
    ) {
        let mut programs = self.scenario.vocabulary.programs.iter();
        if let Some(program) = programs.position(|words| words.program == program) {
            let tasks = tell(&mut *self.plannings[program]);
            self.run(at, program, from, length, tasks);
        }
    }

    /// Executes the tasks of a program's planning. Lasting effects end after `length`, if it is given.
    fn run(
        &mut self,
        at: Duration,
        program: usize,
        from: Origin,
        length: Option<Duration>,
        tasks: Vec<Task>,
    ) {
        for task in tasks {
            match task {
                Task::Step { host, action } => {
                    let end = action.end();
                    self.schedule(at, from, ScheduledAction::Own { host, action });
                    if let (Some(action), Some(length)) = (end, length) {
                        self.later(at + length, from, ScheduledAction::Own { host, action });
                    }
                }
                Task::Later { after, due } => {
                    let later = Later {
                        program,
                        step: from.step.filter(|_| !from.chaos),
                        due,
                        from,
                    };
                    self.push(at + after, Work::Own(later));
                }
                Task::Restart(host)
                    if self.trigger.is_none() && self.lacks_power(at, from, host, false) => {}
                Task::Restart(host) => {
                    self.stop(at, from, host, false);
                    self.boot(at, from, host, Disk::Keep);
                }
            }
        }
    }

    /// Ends all effects of programs' own steps that are still active.
    pub(super) fn calm_own(&mut self, at: Duration) {
        let mut open: BTreeSet<(usize, &'static str, &'static str, &'static str)> = BTreeSet::new();
        for scheduled in self.scheduled() {
            let ScheduledAction::Own { host, action } = scheduled else {
                continue;
            };
            let OwnAction { program, word, .. } = *action;
            match action.extent {
                Extent::Once => {}
                Extent::Until(end) => {
                    open.insert((*host, program, word, end));
                }
                Extent::Ends(begun) => {
                    open.remove(&(*host, program, begun, word));
                }
            }
        }
        for (host, program, begun, word) in open {
            let action = OwnAction {
                extent: Extent::Ends(begun),
                ..OwnAction::new(program, word)
            };
            self.schedule(at, Origin::default(), ScheduledAction::Own { host, action });
        }
    }
}
