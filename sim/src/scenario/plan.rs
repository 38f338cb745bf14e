//! A scenario with every random choice made: the same orders for every engine.
//!
//! The choices are drawn from the seed, one stream a step, so that a new step does not shift another's draws.
//! Which nodes run, stand still or have left is known while planning, so `down` and `running` are resolved here;
//! only what waits for an event waits for the run.

mod chaos;
mod cuts;
mod network;
mod nodes;
mod own;

pub use cuts::Cut;

use super::action::OwnAction;
use super::names::Situation;
use super::planning::{Due, Planning};
use super::{
    Action, Certificate, Disk, DiskFault, Host, Latency, Scenario, ScenarioError, Selector, When,
};
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::Random;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that an engine does, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed it was drawn from.
    pub seed: u64,
    /// What to do, in time order.
    pub orders: Vec<Planned>,
    /// What to do when something is reported.
    pub triggers: Vec<Triggered>,
    /// The cuts that orders refer to.
    pub cuts: Vec<Cut>,
    /// The nodes that steps drew and gave a word.
    pub named: BTreeMap<String, Vec<usize>>,
    /// All faults are lifted here.
    pub faults_end: Duration,
    /// All views must be right by here.
    pub end: Duration,
}

/// One order and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// When.
    pub at: Duration,
    /// The step (index into `Scenario::steps`) it comes from, or behind all steps the kind of chaos
    /// ([`Scenario::causes`]); none for starts and the lifting of faults.
    pub step: Option<usize>,
    /// Whether chaos ordered it.
    pub chaos: bool,
    /// The program whose process on the host the order concerns; none: the whole host.
    pub program: Option<&'static str>,
    /// What.
    pub order: Order,
}

impl Planned {
    /// Whether there is nothing to do: a start of a host or process that runs, a stop of one that does not. `runs`
    /// tells whether a host runs, or its process of a program.
    pub(crate) fn is_idle(&self, runs: impl Fn(usize, Option<&'static str>) -> bool) -> bool {
        let program = self.program;
        matches!(self.order, Order::Start { host, .. } if runs(host, program))
            || matches!(self.order, Order::Stop { host, .. } if !runs(host, program))
    }
}

/// Orders that wait for an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Triggered {
    /// The step (index into `Scenario::steps`) they come from.
    pub step: usize,
    /// Which event.
    pub event: &'static str,
    /// The hosts that report it.
    pub by: Vec<usize>,
    /// The program that reports it; none: any of a host's.
    pub program: Option<&'static str>,
    /// About whom; none: anyone.
    pub about: Option<Vec<usize>>,
    /// What to do, in time order; the times count from the event.
    pub orders: Vec<Planned>,
}

/// The process that reports an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// Its host.
    pub host: usize,
    /// The name of its program.
    pub program: &'static str,
}

impl Triggered {
    /// Whether a report is what is waited for.
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

/// What an engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Starts a host that does not run.
    Start {
        /// Which.
        host: usize,
        /// What it finds on its disk.
        disk: Disk,
    },
    /// Stops a running host.
    Stop {
        /// Which.
        host: usize,
        /// Silently, instead of by kill -9: what was not synced to the disk is lost.
        power_loss: bool,
    },
    /// A cut begins.
    Cut(usize),
    /// A cut ends; connections that lived through it go on.
    Mend(usize),
    /// What the pairs of a cut send from here on arrives when this time has come.
    Hold {
        /// Which pairs.
        cut: usize,
        /// How long, from here on.
        length: Duration,
    },
    /// A process stands still.
    Pause {
        /// Which.
        host: usize,
        /// How long.
        length: Duration,
    },
    /// A process takes this much longer for each input; zero: as before.
    Slow {
        /// Which.
        host: usize,
        /// How much.
        by: Duration,
    },
    /// A clock changes.
    Clock {
        /// Whose.
        host: usize,
        /// It jumps forward.
        jump: Duration,
        /// It drifts from here on, in millionths.
        drift_ppm: Option<i32>,
    },
    /// A disk fails, or works again.
    Disk {
        /// Whose.
        host: usize,
        /// How; none: it works.
        fault: Option<DiskFault>,
    },
    /// A certificate ends or changes.
    Certificate {
        /// Whose.
        host: usize,
        /// What becomes of it.
        is: Certificate,
    },
    /// A node leaves gracefully.
    Leave(usize),
    /// A node's process does something in the words of its program.
    Own {
        /// Which.
        host: usize,
        /// What.
        action: OwnAction,
    },
    /// A node does something in the words of its system.
    Command {
        /// Which.
        host: usize,
        /// The word.
        name: String,
        /// What goes with it.
        with: Value,
    },
    /// Segments are lost everywhere, in parts per million; none: as the scenario's network says.
    Loss(Option<u32>),
    /// Latency everywhere; none: as the scenario's network says.
    Latency(Option<Latency>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Waiting,
    Running,
    Stopped,
    Left,
}

/// Something that a program's planning put off.
#[derive(Clone, Copy, Debug)]
struct Later {
    /// The place of the program in the vocabulary.
    program: usize,
    /// The step that put it off.
    step: Option<usize>,
    due: Due,
    from: Origin,
}

#[derive(Clone, Debug)]
enum Work {
    /// A step, for all nodes it chooses or for one of them.
    Step { step: usize, only: Option<usize> },
    /// What a program's planning put off.
    Own(Later),
    /// An order comes due.
    Order(Order, Origin),
    /// A cut is mended if it still lasts.
    Mend(usize, Origin),
    /// A host that was stopped, or left, starts again.
    Revive(usize, Disk, Origin),
    /// Chaos strikes.
    Chaos { number: u64 },
    /// All faults are lifted.
    Calm,
}

/// Where an order comes from.
#[derive(Clone, Copy, Debug, Default)]
struct Origin {
    step: Option<usize>,
    chaos: bool,
    /// The program that the step names.
    program: Option<&'static str>,
}

impl Origin {
    fn step(scenario: &Scenario, step: usize) -> Self {
        let program = match &scenario.steps[step].action {
            Action::Nodes(who, _) => who.program(),
            Action::Network(_) | Action::Clone(_) => None,
        };
        Self {
            step: Some(step),
            chaos: false,
            program,
        }
    }
}

/// Something that a program's planning put off.
#[derive(Clone, Copy, Debug)]
struct Later {
    /// The place of the program in the vocabulary.
    program: usize,
    /// The step that put it off.
    step: Option<usize>,
    due: Due,
    from: Origin,
}

struct Planner<'a> {
    scenario: &'a Scenario,
    random: Random,
    queue: BTreeMap<(Duration, u64), Work>,
    queued: u64,
    lives: Vec<Life>,
    /// The processes that were stopped by themselves and not started again, on hosts that run.
    stopped: BTreeSet<(usize, &'static str)>,
    /// Of each program of the vocabulary.
    plannings: Vec<Box<dyn Planning>>,
    /// The cuts that last, and whether they stay at the end.
    active: Vec<(usize, bool)>,
    /// The faults of chaos that last: until when, and whom they touch.
    chaos: Vec<(Duration, Vec<usize>)>,
    /// The trigger whose orders are being planned.
    trigger: Option<usize>,
    plan: Plan,
}

impl Scenario {
    /// How many causes an order may have: each step, then each kind of chaos.
    #[must_use]
    pub fn causes(&self) -> usize {
        self.steps.len() + self.chaos_kinds().len()
    }

    /// The scenario with every random choice of `seed` made.
    ///
    /// # Errors
    /// When a step cannot be planned: a share of pairs that leaves no path, a start of a node that runs.
    pub fn plan(&self, seed: u64) -> Result<Plan, ScenarioError> {
        let programs = self.vocabulary.programs.iter();
        let plannings = programs.map(|words| words.planning_of(&self.hosts));
        let mut planner = Planner {
            scenario: self,
            random: Random::from_seed(seed).child("plan"),
            queue: BTreeMap::new(),
            queued: 0,
            lives: vec![Life::Waiting; self.hosts.len()],
            stopped: BTreeSet::new(),
            plannings: plannings.collect(),
            active: Vec::new(),
            chaos: Vec::new(),
            trigger: None,
            plan: Plan {
                seed,
                orders: Vec::new(),
                triggers: Vec::new(),
                cuts: Vec::new(),
                named: BTreeMap::new(),
                faults_end: self.duration,
                end: self.duration + self.recovery,
            },
        };
        planner.fill()?;
        while let Some(((at, _), work)) = planner.queue.pop_first() {
            planner.work(at, work)?;
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
            let order = Order::Start {
                host: index,
                disk: Disk::Keep,
            };
            self.push(start + drawn, Work::Order(order, Origin::default()));
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
                // What a repetition moves behind the fault phase no longer happens.
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
                time += every;
            }
        }
        if let Some(chaos) = &self.scenario.chaos {
            self.push(chaos.from, Work::Chaos { number: 0 });
        }
        self.push(self.plan.faults_end, Work::Calm);
        Ok(())
    }

    /// Plans what waits for an event: its orders count from the event on.
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
            orders: Vec::new(),
        });
        let done = self.step(trigger.delay, index, None);
        self.trigger = None;
        if let Some(triggered) = self.plan.triggers.last_mut() {
            triggered.orders.sort_by_key(|planned| planned.at);
        }
        done
    }

    fn push(&mut self, at: Duration, work: Work) {
        self.queued += 1;
        self.queue.insert((at, self.queued), work);
    }

    /// Gives an order for this very instant.
    fn order(&mut self, at: Duration, from: Origin, order: Order) {
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
            order,
        };
        match self.trigger {
            Some(trigger) => self.plan.triggers[trigger].orders.push(planned),
            None => self.plan.orders.push(planned),
        }
    }

    /// Gives an order for later.
    fn later(&mut self, at: Duration, from: Origin, order: Order) {
        if self.trigger.is_some() {
            self.order(at, from, order);
        } else if at < self.plan.faults_end {
            self.push(at, Work::Order(order, from));
        }
    }

    fn work(&mut self, at: Duration, work: Work) -> Result<(), ScenarioError> {
        let end = self.plan.faults_end;
        match work {
            Work::Order(order, from) => {
                if let Order::Start { host, .. } = order {
                    self.lives[host] = Life::Running;
                }
                self.order(at, from, order);
            }
            // What a delay moved behind the fault phase no longer happens.
            Work::Step { .. } | Work::Chaos { .. } if at >= end => {}
            Work::Own(later) if at >= end && !later.due.late => {}
            Work::Step { step, only } => self.step(at, step, only)?,
            Work::Own(later) => self.own_due(at, later),
            Work::Mend(cut, from) => self.mend(at, from, |which, _| which == cut),
            Work::Revive(host, disk, from) => {
                let stopped = match from.program {
                    Some(program) => self.stopped.contains(&(host, program)),
                    None => matches!(self.lives[host], Life::Stopped | Life::Left),
                };
                if stopped {
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
        self.order(at, nobody, Order::Loss(None));
        self.order(at, nobody, Order::Latency(None));
        for host in 0..self.scenario.hosts.len() {
            self.order(
                at,
                nobody,
                Order::Slow {
                    host,
                    by: Duration::ZERO,
                },
            );
        }
        for host in self.broken_disks() {
            self.order(at, nobody, Order::Disk { host, fault: None });
        }
        for host in self.bad_certificates() {
            let is = Certificate::Rotated;
            self.order(at, nobody, Order::Certificate { host, is });
        }
        self.calm_own(at);
    }

    /// Every order so far, of triggers too.
    fn ordered(&self) -> impl Iterator<Item = &Order> {
        let triggered = self
            .plan
            .triggers
            .iter()
            .flat_map(|triggered| &triggered.orders);
        let planned = self.plan.orders.iter().map(|planned| &planned.order);
        planned.chain(triggered.map(|planned| &planned.order))
    }

    fn broken_disks(&self) -> BTreeSet<usize> {
        let host = |order: &Order| {
            if let Order::Disk { host, .. } = order {
                Some(*host)
            } else {
                None
            }
        };
        self.ordered().filter_map(host).collect()
    }

    fn bad_certificates(&self) -> BTreeSet<usize> {
        let host = |order: &Order| {
            if let Order::Certificate { host, .. } = order {
                Some(*host)
            } else {
                None
            }
        };
        self.ordered().filter_map(host).collect()
    }

    fn mend(&mut self, at: Duration, from: Origin, which: impl Fn(usize, bool) -> bool) {
        for (cut, kept) in std::mem::take(&mut self.active) {
            if which(cut, kept) {
                self.order(at, from, Order::Mend(cut));
            } else {
                self.active.push((cut, kept));
            }
        }
    }

    /// Whether a host runs, or its process of a program.
    fn runs(&self, host: usize, program: Option<&'static str>) -> bool {
        let stopped = program.is_some_and(|program| self.stopped.contains(&(host, program)));
        self.lives[host] == Life::Running && !stopped
    }

    fn select(&self, selector: &Selector, random: &mut Random) -> Vec<usize> {
        let situation = Situation {
            hosts: self.scenario.hosts.len(),
            named: &self.plan.named,
            running: &|host| self.runs(host, selector.program()),
            stopped: &|host| {
                let own = selector.program().map(|program| (host, program));
                let stopped = own.is_some_and(|own| self.stopped.contains(&own));
                stopped || self.lives[host] == Life::Stopped
            },
        };
        selector.resolve(&situation, random)
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
