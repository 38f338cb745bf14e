//! A scenario with every random choice made. Every engine executes the same actions.
//!
//! The choices are drawn from the seed, with one random stream per step, so that a new step does not shift the draws of
//! other steps. The planner tracks which nodes run, are paused or have left, so `down` and `running` are resolved here.
//! Only actions that wait for an event depend on the course of the run.

mod chaos;
mod cuts;
pub mod executor;
mod network;
mod nodes;
mod own;
mod power;

#[cfg(test)]
mod tests;

pub use cuts::Cut;

use super::action::OwnAction;
use super::names::Situation;
use super::planning::{Due, Planning, TASKS_MAX};
use super::{
    Action, CertificateChange, Disk, DiskFault, Host, Latency, LinkSetting, NetworkAction, Pairs,
    Scenario, ScenarioError, Selector, Trouble, When,
};
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A time in which a machine has no power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut {
    /// The machine.
    pub host: usize,
    /// The beginning.
    pub from: Duration,
    /// The time at which the power returns.
    pub until: Duration,
}

/// All actions of a run, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed of the random choices.
    pub seed: u64,
    /// The scheduled actions, in time order.
    pub actions: Vec<Planned>,
    /// The actions that reported events trigger.
    pub triggers: Vec<Triggered>,
    /// The losses of power whose end is known, of actions at planned times.
    pub power_cuts: Vec<PowerCut>,
    /// The cuts that actions refer to by index.
    pub cuts: Vec<Cut>,
    /// The changes of links that actions refer to by index.
    pub link_changes: Vec<LinkSettingChange>,
    /// The nodes that steps drew and named.
    pub named: BTreeMap<String, Vec<usize>>,
    /// The time at which all faults are lifted.
    pub faults_end: Duration,
    /// The time by which all views must be correct.
    pub end: Duration,
}

/// A change of chosen links.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettingChange {
    /// The pairs, as those that a cut blocks.
    pub pairs: Cut,
    /// The property.
    pub setting: LinkSetting,
}

/// An action and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The time.
    pub at: Duration,
    /// The cause of the action: the step (an index into `Scenario::steps`) or, with indices after all steps, the kind
    /// of chaos ([`Scenario::causes`]); `None` for starts and for the lifting of faults.
    pub step: Option<usize>,
    /// Whether the cause is chaos.
    pub chaos: bool,
    /// The program whose process on the host the action concerns; `None`: the whole host.
    pub program: Option<&'static str>,
    /// The action.
    pub action: ScheduledAction,
}

impl Planned {
    /// Returns whether the action has no effect, because it starts a host or process that already runs or stops one
    /// that does not run. `runs` returns whether a host, or its process of a program, runs.
    pub(crate) fn is_idle(&self, runs: impl Fn(usize, Option<&'static str>) -> bool) -> bool {
        let program = self.program;
        matches!(self.action, ScheduledAction::Start { host, .. } if runs(host, program))
            || matches!(self.action, ScheduledAction::Stop { host, .. } if !runs(host, program))
    }
}

/// Actions that an event triggers.
#[derive(Clone, Debug, PartialEq)]
pub struct Triggered {
    /// The step (index into `Scenario::steps`) that causes the actions.
    pub step: usize,
    /// The event.
    pub event: &'static str,
    /// The hosts whose report of the event triggers the actions.
    pub by: Vec<usize>,
    /// The program that reports the event; `None`: any program of the host.
    pub program: Option<&'static str>,
    /// The reporter of an event: a process.
    pub about: Option<Vec<usize>>,
    /// The time before which reports do not count.
    pub from: Duration,
    /// The number of the report that triggers the actions, from 1.
    pub nth: u32,
    /// The actions in time order, relative to the event.
    pub actions: Vec<Planned>,
}

/// The process that reports an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// The host of the process.
    pub host: usize,
    /// The name of the process's program.
    pub program: &'static str,
}

impl Triggered {
    /// Counts a report that fits; returns whether it triggers the actions.
    pub(crate) fn counts(&self, now: Duration, reports: &mut u32) -> bool {
        if now < self.from {
            return false;
        }
        *reports = reports.saturating_add(1);
        *reports == self.nth
    }

    /// Returns whether the actions wait for this kind of report.
    pub(crate) fn fits(
        &self,
        hosts: &[Host],
        by: Reporter,
        word: &str,
        about: Option<&NodeId>,
    ) -> bool {
        let meant =
            |of: &Vec<usize>| about.is_some_and(|id| of.iter().any(|host| hosts[*host].id == *id));
        self.event == word
            && self.by.contains(&by.host)
            && self.program.is_none_or(|program| program == by.program)
            && self.about.as_ref().is_none_or(meant)
    }
}

/// An action that an engine executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduledAction {
    /// Starts a host that does not run.
    Start {
        /// The host.
        host: usize,
        /// The state of the host's disk.
        disk: Disk,
    },
    /// Stops a running host.
    Stop {
        /// The host.
        host: usize,
        /// Whether the host loses power: unsynced data on its disk is lost, and its connections vanish without a FIN.
        /// Otherwise the processes are killed (kill -9).
        power_loss: bool,
    },
    /// A start that has no effect, because the host has no power.
    NoPower {
        /// The host.
        host: usize,
        /// The time at which the power returns; `None`: at the next `restart`.
        until: Option<Duration>,
    },
    /// Begins a cut.
    Cut(usize),
    /// Ends a cut; connections that survived the cut continue.
    Heal(usize),
    /// Delays traffic between the pairs of a cut until the duration has passed.
    Hold {
        /// The cut that defines the pairs.
        cut: usize,
        /// The duration, from the time of the action.
        length: Duration,
    },
    /// Pauses a process.
    Pause {
        /// The host.
        host: usize,
        /// The duration.
        length: Duration,
    },
    /// Delays each input of a process; zero ends the delay.
    Slow {
        /// The host.
        host: usize,
        /// The delay of an input.
        by: Duration,
    },
    /// Begins or ends a lasting condition of a host.
    Trouble {
        /// The host.
        host: usize,
        /// The condition.
        trouble: Trouble,
        /// Whether the condition begins.
        on: bool,
    },
    /// Gives a host another address at its next start.
    Move(usize),
    /// Begins or ends a change of links.
    Links {
        /// The index of the change in the plan.
        change: usize,
        /// Whether the change begins.
        on: bool,
    },
    /// Resets all connections between the pairs of a cut.
    Reset(usize),
    /// Changes the clock of a host.
    Clock {
        /// The host.
        host: usize,
        /// The duration of the jump.
        jump: Duration,
        /// Whether the calendar jumps back.
        back: bool,
        /// The drift from the time of the action on, in parts per million; `None`: the drift does not change.
        drift_ppm: Option<i32>,
    },
    /// Makes a disk fail, or ends its failure.
    Disk {
        /// The host.
        host: usize,
        /// The fault; `None`: the disk works.
        fault: Option<DiskFault>,
    },
    /// Changes a certificate.
    Certificate {
        /// The host.
        host: usize,
        /// The change.
        is: CertificateChange,
    },
    /// Makes a node leave gracefully.
    Leave(usize),
    /// Executes a step of a program's own vocabulary at a node.
    Own {
        /// The host.
        host: usize,
        /// The step.
        action: OwnAction,
    },
    /// Executes a command of the system's vocabulary at a node.
    Command {
        /// The host.
        host: usize,
        /// The command's name.
        name: String,
        /// The command's arguments.
        with: Value,
        /// Whether the host is expected to refuse the command.
        refused: bool,
    },
    /// Sets the share of lost segments on all links, in parts per million; `None` restores the scenario's values.
    Loss(Option<u32>),
    /// Sets the latency of all links; `None` restores the scenario's values.
    Latency(Option<Latency>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostState {
    Waiting,
    Running,
    Stopped,
    Left,
}

/// A task that a program's planning postponed.
#[derive(Clone, Copy, Debug)]
struct Later {
    /// The index of the program in the vocabulary.
    program: usize,
    /// The step that postponed the task.
    step: Option<usize>,
    due: Due,
    from: Origin,
}

#[derive(Clone, Debug)]
enum Work {
    /// A step, for all nodes that it selects or for one of them.
    Step { step: usize, only: Option<usize> },
    /// A task that a program's planning postponed.
    Own(Later),
    /// An action that is due.
    ScheduledAction(ScheduledAction, Origin),
    /// Ends a cut that is still in effect.
    Heal(usize, Origin),
    /// Restarts a host that was stopped or left.
    Revive(usize, Disk, Origin),
    /// A fault of chaos.
    Chaos { number: u64 },
    /// Lifts all faults.
    Calm,
}

impl Work {
    /// The step that the task belongs to; `None`: chaos, or no step.
    fn step(&self) -> Option<usize> {
        match self {
            Self::Step { step, .. } => Some(*step),
            Self::Own(later) => later.from.step,
            Self::ScheduledAction(_, from) | Self::Heal(_, from) | Self::Revive(_, _, from) => {
                from.step
            }
            Self::Chaos { .. } | Self::Calm => None,
        }
    }
}

/// The cause of an action.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    step: Option<usize>,
    chaos: bool,
    /// The program that the step's selector names.
    program: Option<&'static str>,
}

impl Origin {
    fn step(scenario: &Scenario, step: usize) -> Self {
        let program = match &scenario.steps[step].action {
            Action::Nodes(who, _)
            | Action::Network(NetworkAction::Reset(Pairs::Between(who, _))) => who.program(),
            Action::Network(_) | Action::Clone(_) => None,
        };
        Self {
            step: Some(step),
            chaos: false,
            program,
        }
    }
}

struct Planner<'a> {
    scenario: &'a Scenario,
    random: Random,
    queue: BTreeMap<(Duration, u64), Work>,
    queued: u64,
    lives: Vec<HostState>,
    /// The processes that were stopped without their hosts and not restarted.
    stopped: BTreeSet<(usize, &'static str)>,
    /// The hosts without power, each with the time at which the power returns; `None`: at the next start.
    unpowered: BTreeMap<usize, Option<Duration>>,
    /// The planning of each program of the vocabulary.
    plannings: Vec<Box<dyn Planning>>,
    /// The cuts in effect, and whether they outlast the fault phase.
    active: Vec<(usize, bool)>,
    /// The faults of chaos in effect: their ends and the hosts that they touch.
    chaos: Vec<(Duration, Vec<usize>)>,
    /// The trigger whose actions are being planned.
    trigger: Option<usize>,
    plan: Plan,
}

impl Scenario {
    /// Returns the number of possible causes of an action: each step, then each kind of chaos.
    #[must_use]
    pub fn causes(&self) -> usize {
        self.steps.len() + self.chaos_kinds().len()
    }

    /// Creates the plan of the scenario for a seed.
    ///
    /// # Errors
    /// Returns an error if a step cannot be planned: its share of pairs leaves no path between two hosts, it starts a
    /// node that already runs, or there are more than [`TASKS_MAX`] tasks.
    pub fn plan(&self, seed: u64) -> Result<Plan, ScenarioError> {
        let programs = self.vocabulary.programs.iter();
        let plannings = programs.map(|words| words.planning_of(&self.hosts));
        let mut planner = Planner {
            scenario: self,
            random: Random::from_seed(seed).child("plan"),
            queue: BTreeMap::new(),
            queued: 0,
            lives: vec![HostState::Waiting; self.hosts.len()],
            stopped: BTreeSet::new(),
            unpowered: BTreeMap::new(),
            plannings: plannings.collect(),
            active: Vec::new(),
            chaos: Vec::new(),
            trigger: None,
            plan: Plan {
                seed,
                actions: Vec::new(),
                triggers: Vec::new(),
                power_cuts: Vec::new(),
                cuts: Vec::new(),
                link_changes: Vec::new(),
                named: BTreeMap::new(),
                faults_end: self.duration,
                // If the scenario has no recovery, the run ends before the faults are lifted.
                end: self.duration + self.recovery,
            },
        };
        planner.fill()?;
        while let Some(((at, _), work)) = planner.queue.pop_first() {
            let step = work.step();
            planner.work(at, work)?;
            if planner.is_full() {
                return Err(planner.too_many(step));
            }
        }
        Ok(planner.plan)
    }
}

impl Planner<'_> {
    fn fill(&mut self) -> Result<(), ScenarioError> {
        let mut starts = self.random.child("starts");
        for (index, host) in self.scenario.hosts.iter().enumerate() {
            let drawn = starts.duration_below(self.scenario.spread);
            let Some(start) = host.start else { continue };
            let action = ScheduledAction::Start {
                host: index,
                disk: Disk::Keep,
            };
            self.push(
                start + drawn,
                Work::ScheduledAction(action, Origin::default()),
            );
        }
        for (index, step) in self.scenario.steps.iter().enumerate() {
            let first = match &step.when {
                When::At(time) => *time,
                When::Between(first, last) => {
                    let mut random = self.random.nth_child("between", index as u64);
                    *first + random.duration_below(*last - *first)
                }
                When::After(_) => {
                    self.trigger(index)?;
                    continue;
                }
            };
            let (every, times) = step.repeat.unwrap_or((Duration::ZERO, Some(1)));
            let mut time = first;
            for _ in 0..times.unwrap_or(u32::MAX) {
                // A repetition that falls after the fault phase is dropped.
                if time >= self.plan.faults_end {
                    break;
                }
                self.push(
                    time,
                    Work::Step {
                        step: index,
                        only: None,
                    },
                );
                if self.is_full() {
                    return Err(self.too_many(Some(index)));
                }
                time += every;
            }
        }
        if let Some(chaos) = &self.scenario.chaos {
            self.push(chaos.from, Work::Chaos { number: 0 });
        }
        self.push(self.plan.faults_end, Work::Calm);
        Ok(())
    }

    /// Plans the actions that an event triggers, with times relative to the event.
    fn trigger(&mut self, index: usize) -> Result<(), ScenarioError> {
        let scenario = self.scenario;
        let step = &scenario.steps[index];
        let When::After(trigger) = &step.when else {
            return Ok(());
        };
        let fixed = |selector: &Selector, planner: &Self| {
            selector.fixed().ok_or_else(|| {
                let message = "must name fixed nodes: who else runs then is not known".to_owned();
                planner.error(index, "after", message)
            })
        };
        let by = fixed(&trigger.by, self)?;
        let about = trigger
            .about
            .as_ref()
            .map(|about| fixed(about, self))
            .transpose()?;
        self.trigger = Some(self.plan.triggers.len());
        self.plan.triggers.push(Triggered {
            step: index,
            event: trigger.event,
            by,
            program: trigger.by.program(),
            about,
            from: trigger.from,
            nth: trigger.nth,
            actions: Vec::new(),
        });
        let done = self.step(trigger.delay, index, None);
        self.trigger = None;
        if let Some(triggered) = self.plan.triggers.last_mut() {
            triggered.actions.sort_by_key(|planned| planned.at);
        }
        done
    }

    /// Adds a task, unless there are too many.
    fn push(&mut self, at: Duration, work: Work) {
        if !self.is_full() {
            self.queued += 1;
            self.queue.insert((at, self.queued), work);
        }
    }

    /// Returns whether the run has too many tasks.
    const fn is_full(&self) -> bool {
        self.queued >= TASKS_MAX
    }

    /// The error that there are too many tasks, at the step that caused them; `None` stands for chaos.
    fn too_many(&self, step: Option<usize>) -> ScenarioError {
        let message = format!(
            "makes the run exceed {TASKS_MAX} planned tasks; use a longer interval or a shorter duration"
        );
        match (
            step.filter(|step| *step < self.scenario.steps.len()),
            &self.scenario.chaos,
        ) {
            (None, Some(chaos)) => ScenarioError {
                file: self.scenario.file.clone(),
                line: chaos.line,
                key: "every".to_owned(),
                message,
            },
            (Some(step), _) => self.error(step, "every", message),
            (None, None) => ScenarioError {
                file: self.scenario.file.clone(),
                line: 0,
                key: String::new(),
                message,
            },
        }
    }

    /// Adds an action at the current time.
    fn schedule(&mut self, at: Duration, from: Origin, action: ScheduledAction) {
        let Origin {
            step,
            chaos,
            program,
        } = from;
        let planned = Planned {
            at,
            step,
            chaos,
            program,
            action,
        };
        match self.trigger {
            Some(trigger) => self.plan.triggers[trigger].actions.push(planned),
            None => self.plan.actions.push(planned),
        }
    }

    /// Adds an action at a later time.
    fn later(&mut self, at: Duration, from: Origin, action: ScheduledAction) {
        if self.trigger.is_some() {
            self.schedule(at, from, action);
        } else if at < self.plan.faults_end {
            self.push(at, Work::ScheduledAction(action, from));
        }
    }

    fn work(&mut self, at: Duration, work: Work) -> Result<(), ScenarioError> {
        let end = self.plan.faults_end;
        match work {
            Work::ScheduledAction(action, from) => {
                if let ScheduledAction::Start { host, .. } = action {
                    self.lives[host] = HostState::Running;
                }
                self.schedule(at, from, action);
            }
            // Steps and faults whose delay ends after the fault phase are dropped.
            Work::Step { .. } | Work::Chaos { .. } if at >= end => {}
            Work::Own(later) if at >= end && !later.due.late => {}
            Work::Step { step, only } => self.step(at, step, only)?,
            Work::Own(later) => self.own_due(at, later),
            Work::Heal(cut, from) => self.mend(at, from, |which, _| which == cut),
            Work::Revive(host, disk, from) => {
                let stopped = match from.program {
                    Some(program) => self.stopped.contains(&(host, program)),
                    None => matches!(self.lives[host], HostState::Stopped | HostState::Left),
                };
                if stopped && !self.lacks_power(at, from, host, false) {
                    self.boot(at, from, host, disk);
                }
            }
            Work::Chaos { number } => self.strike(at, number),
            Work::Calm => self.calm(at),
        }
        Ok(())
    }

    /// Lifts all faults.
    fn calm(&mut self, at: Duration) {
        let nobody = Origin::default();
        self.mend(at, nobody, |_, kept| !kept);
        self.schedule(at, nobody, ScheduledAction::Loss(None));
        self.schedule(at, nobody, ScheduledAction::Latency(None));
        for host in 0..self.scenario.hosts.len() {
            self.schedule(
                at,
                nobody,
                ScheduledAction::Slow {
                    host,
                    by: Duration::ZERO,
                },
            );
        }
        for host in self.broken_disks() {
            self.schedule(at, nobody, ScheduledAction::Disk { host, fault: None });
        }
        for host in self.bad_certificates() {
            let is = CertificateChange::Rotated;
            self.schedule(at, nobody, ScheduledAction::Certificate { host, is });
        }
        for order in self.open() {
            self.schedule(at, nobody, order);
        }
        self.calm_own(at);
    }

    /// Returns the ends of all conditions of hosts and changes of links that are still in effect.
    fn open(&self) -> Vec<ScheduledAction> {
        let mut troubles = BTreeMap::new();
        let mut changes = BTreeSet::new();
        for order in self.scheduled() {
            if let ScheduledAction::Trouble { host, trouble, on } = *order {
                if on {
                    troubles.insert((host, trouble.word()), trouble);
                } else {
                    troubles.remove(&(host, trouble.word()));
                }
            }
            if let ScheduledAction::Links { change, on } = *order {
                if on {
                    changes.insert(change);
                } else {
                    changes.remove(&change);
                }
            }
        }
        let on = false;
        let troubles = troubles.into_iter();
        let troubles =
            troubles.map(|((host, _), trouble)| ScheduledAction::Trouble { host, trouble, on });
        let changes = changes.into_iter();
        troubles
            .chain(changes.map(|change| ScheduledAction::Links { change, on }))
            .collect()
    }

    /// Iterates over all planned actions, including triggered ones.
    fn scheduled(&self) -> impl Iterator<Item = &ScheduledAction> {
        let triggered = self
            .plan
            .triggers
            .iter()
            .flat_map(|triggered| &triggered.actions);
        let planned = self.plan.actions.iter().map(|planned| &planned.action);
        planned.chain(triggered.map(|planned| &planned.action))
    }

    fn broken_disks(&self) -> BTreeSet<usize> {
        let host = |action: &ScheduledAction| {
            if let ScheduledAction::Disk { host, .. } = action {
                Some(*host)
            } else {
                None
            }
        };
        self.scheduled().filter_map(host).collect()
    }

    fn bad_certificates(&self) -> BTreeSet<usize> {
        let host = |action: &ScheduledAction| {
            if let ScheduledAction::Certificate { host, .. } = action {
                Some(*host)
            } else {
                None
            }
        };
        self.scheduled().filter_map(host).collect()
    }

    fn mend(&mut self, at: Duration, from: Origin, which: impl Fn(usize, bool) -> bool) {
        for (cut, kept) in std::mem::take(&mut self.active) {
            if which(cut, kept) {
                self.schedule(at, from, ScheduledAction::Heal(cut));
            } else {
                self.active.push((cut, kept));
            }
        }
    }

    /// Returns whether a host, or its process of a program, runs.
    fn runs(&self, host: usize, program: Option<&'static str>) -> bool {
        let stopped = program.is_some_and(|program| self.stopped.contains(&(host, program)));
        self.lives[host] == HostState::Running && !stopped
    }

    fn select(&self, selector: &Selector, random: &mut Random) -> Vec<usize> {
        let mut hosts = self.select_as_written(selector, random);
        hosts.sort_unstable();
        hosts
    }

    /// Returns the selected hosts in the order in which the file names them.
    fn select_as_written(&self, selector: &Selector, random: &mut Random) -> Vec<usize> {
        let situation = Situation {
            hosts: self.scenario.hosts.len(),
            named: &self.plan.named,
            running: &|host| self.runs(host, selector.program()),
            stopped: &|host| {
                let own = selector.program().map(|program| (host, program));
                let stopped = own.is_some_and(|own| self.stopped.contains(&own));
                stopped || self.lives[host] == HostState::Stopped
            },
        };
        selector.resolve_as_written(&situation, random)
    }

    fn step(
        &mut self,
        at: Duration,
        index: usize,
        only: Option<usize>,
    ) -> Result<(), ScenarioError> {
        let scenario = self.scenario;
        let step = &scenario.steps[index];
        let mut random = self
            .random
            .nth_child("step", index as u64)
            .nth_child("time", nanos(at));
        let who = match &step.action {
            Action::Network(action) => return self.network(at, index, action, &mut random),
            Action::Clone(host) => return self.start(at, index, *host, Disk::Lose),
            Action::Nodes(who, _) => who,
        };
        let hosts = match only {
            Some(host) => vec![host],
            None if step.stagger.is_some() => self.select_as_written(who, &mut random),
            None => self.select(who, &mut random),
        };
        if only.is_none() {
            if let Some(word) = &step.named {
                self.plan.named.insert(word.clone(), hosts.clone());
            }
            if let Some(stagger) = step.stagger {
                for (position, host) in hosts.into_iter().enumerate() {
                    let later = at + stagger * u32::try_from(position).unwrap_or(u32::MAX);
                    let only = Some(host);
                    self.push(later, Work::Step { step: index, only });
                }
                return Ok(());
            }
        }
        self.act(at, index, &hosts)
    }

    fn error(&self, step: usize, key: &str, message: String) -> ScenarioError {
        let step = &self.scenario.steps[step];
        ScenarioError {
            file: step.file.clone(),
            line: step.line,
            key: key.to_owned(),
            message,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
