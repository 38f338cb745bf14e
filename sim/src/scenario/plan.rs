//! A scenario with every random choice made: the same orders for every engine.
//!
//! The choices are drawn from the seed, one stream a step, so that a new step does not shift another's draws.
//! Which nodes run, stand still or have left is known while planning, so `down` and `running` are resolved here.

mod cuts;

pub use cuts::Cut;

use super::names::Situation;
use super::{Action, Disk, Pairs, Scenario, ScenarioError, Selector, Sides};
use core::time::Duration;
use phalanx_core::random::Random;
use phalanx_core::topology::record::Service;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that an engine does, in time order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it was drawn from.
    pub seed: u64,
    /// What to do, in time order.
    pub orders: Vec<Planned>,
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
#[derive(Clone, Debug)]
pub struct Planned {
    /// When.
    pub at: Duration,
    /// The step (index into `Scenario::steps`) it comes from; none for starts and the lifting of faults.
    pub step: Option<usize>,
    /// What.
    pub order: Order,
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
        /// Silently, instead of by kill -9.
        power_loss: bool,
    },
    /// A cut begins.
    Cut(usize),
    /// A cut ends; connections that lived through it go on.
    Mend(usize),
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
    /// A node leaves gracefully.
    Leave(usize),
    /// A node publishes other content.
    Announce {
        /// Which.
        host: usize,
        /// All it serves.
        services: BTreeSet<Service>,
        /// All metadata.
        metadata: BTreeMap<String, String>,
    },
    /// Segments are lost everywhere, in parts per million; none: as the scenario's network says.
    Loss(Option<u32>),
    /// Latency everywhere; none: as the scenario's network says.
    Latency(Option<(Duration, Duration)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Waiting,
    Running,
    Stopped,
    Left,
}

#[derive(Clone, Debug)]
enum Work {
    /// A step, for all nodes it chooses or for one of them.
    Step { step: usize, only: Option<usize> },
    /// Host `host` publishes its `number`th update.
    Update {
        step: usize,
        host: usize,
        number: u64,
    },
    /// An order of a step comes due.
    Order { step: Option<usize>, order: Order },
}

struct Planner<'a> {
    scenario: &'a Scenario,
    random: Random,
    queue: BTreeMap<(Duration, u64), Work>,
    queued: u64,
    lives: Vec<Life>,
    content: Vec<(BTreeSet<Service>, BTreeMap<String, String>)>,
    active: Vec<(usize, bool)>,
    plan: Plan,
}

impl Scenario {
    /// The scenario with every random choice of `seed` made.
    ///
    /// # Errors
    /// When a step cannot be planned: a share of pairs that leaves no path, a start of a node that runs.
    pub fn plan(&self, seed: u64) -> Result<Plan, ScenarioError> {
        let content = self
            .hosts
            .iter()
            .map(|host| (host.services.clone(), host.metadata.clone()));
        let mut planner = Planner {
            scenario: self,
            random: Random::from_seed(seed).child("plan"),
            queue: BTreeMap::new(),
            queued: 0,
            lives: vec![Life::Waiting; self.hosts.len()],
            content: content.collect(),
            active: Vec::new(),
            plan: Plan {
                seed,
                orders: Vec::new(),
                cuts: Vec::new(),
                named: BTreeMap::new(),
                faults_end: self.duration,
                end: self.duration + self.recovery,
            },
        };
        planner.fill();
        while let Some(((at, _), work)) = planner.queue.pop_first() {
            planner.work(at, work)?;
        }
        Ok(planner.plan)
    }
}

impl Planner<'_> {
    fn fill(&mut self) {
        let mut starts = self.random.child("starts");
        for (index, host) in self.scenario.hosts.iter().enumerate() {
            let drawn = starts.duration_below(self.scenario.spread);
            let Some(start) = host.start else { continue };
            let at = start + drawn;
            self.push(
                at,
                Work::Order {
                    step: None,
                    order: Order::Start {
                        host: index,
                        disk: Disk::Keep,
                    },
                },
            );
        }
        for (index, step) in self.scenario.steps.iter().enumerate() {
            let (every, times) = step.repeat.unwrap_or((Duration::ZERO, 1));
            for time in 0..times {
                self.push(
                    step.time + every * time,
                    Work::Step {
                        step: index,
                        only: None,
                    },
                );
            }
        }
        let end = self.scenario.duration;
        let calm = [Order::Loss(None), Order::Latency(None)];
        for order in calm {
            self.push(end, Work::Order { step: None, order });
        }
        for host in 0..self.scenario.hosts.len() {
            self.push(
                end,
                Work::Order {
                    step: None,
                    order: Order::Slow {
                        host,
                        by: Duration::ZERO,
                    },
                },
            );
        }
    }

    fn push(&mut self, at: Duration, work: Work) {
        self.queued += 1;
        self.queue.insert((at, self.queued), work);
    }

    fn order(&mut self, at: Duration, step: Option<usize>, order: Order) {
        self.plan.orders.push(Planned { at, step, order });
    }

    fn work(&mut self, at: Duration, work: Work) -> Result<(), ScenarioError> {
        let end = self.plan.faults_end;
        match work {
            Work::Order { step, order } => {
                if let Order::Start { host, .. } = order {
                    self.lives[host] = Life::Running;
                }
                if order == Order::Loss(None) && step.is_none() {
                    self.mend(at, None, |_, kept| !kept);
                }
                self.order(at, step, order);
            }
            // What a repetition moved behind the fault phase no longer happens.
            Work::Step { .. } | Work::Update { .. } if at >= end => {}
            Work::Step { step, only } => self.step(at, step, only)?,
            Work::Update { step, host, number } => {
                let (services, metadata) = &mut self.content[host];
                metadata.insert("update".to_owned(), number.to_string());
                let order = Order::Announce {
                    host,
                    services: services.clone(),
                    metadata: metadata.clone(),
                };
                self.order(at, Some(step), order);
            }
        }
        Ok(())
    }

    fn mend(&mut self, at: Duration, step: Option<usize>, which: impl Fn(usize, bool) -> bool) {
        for (cut, kept) in std::mem::take(&mut self.active) {
            if which(cut, kept) {
                self.order(at, step, Order::Mend(cut));
            } else {
                self.active.push((cut, kept));
            }
        }
    }

    fn select(&self, selector: &Selector, random: &mut Random) -> Vec<usize> {
        let situation = Situation {
            hosts: &self.scenario.hosts,
            named: &self.plan.named,
            running: &|host| self.lives[host] == Life::Running,
            stopped: &|host| self.lives[host] == Life::Stopped,
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
            Action::Crash(who) | Action::PowerLoss(who) | Action::Restart(who, _) => who,
            Action::Pause { who, .. } | Action::Slow { who, .. } | Action::Clock { who, .. } => who,
            Action::Join(who) | Action::Leave(who) | Action::Announce { who, .. } => who,
            Action::Updates { who, .. } => who,
            Action::Partition(..) | Action::Cut(..) | Action::Heal | Action::Restore => {
                return self.network(at, index, &mut random);
            }
            Action::Loss(_) | Action::Latency(..) => return self.network(at, index, &mut random),
            Action::Clone(host) => return self.start(at, index, *host, Disk::Lose),
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
                    self.push(
                        later,
                        Work::Step {
                            step: index,
                            only: Some(host),
                        },
                    );
                }
                return Ok(());
            }
        }
        self.act(at, index, &hosts)
    }

    /// Does a step's action to the network.
    fn network(
        &mut self,
        at: Duration,
        index: usize,
        random: &mut Random,
    ) -> Result<(), ScenarioError> {
        let scenario = self.scenario;
        let step = &scenario.steps[index];
        match &step.action {
            Action::Partition(sides, direction) => {
                let sides = self.sides(sides, random);
                self.name(step.named.as_deref(), &sides);
                let cut = Cut::partition(scenario.hosts.len(), &sides, *direction);
                self.cut(at, index, cut, false);
            }
            Action::Cut(pairs, direction, kept) => {
                let cut = match pairs {
                    Pairs::Between(from, to) => {
                        let (from, to) = (self.select(from, random), self.select(to, random));
                        Cut::between(&from, &to, *direction)
                    }
                    Pairs::Fraction(ppm) => {
                        Cut::drawn(scenario.hosts.len(), *ppm, *direction, random)
                            .map_err(|why| self.error(index, "fraction", why))?
                    }
                };
                self.cut(at, index, cut, *kept);
            }
            Action::Heal => {
                let partitions: Vec<bool> = self.plan.cuts.iter().map(Cut::is_partition).collect();
                self.mend(at, Some(index), |cut, _| partitions[cut]);
            }
            Action::Restore => {
                let partitions: Vec<bool> = self.plan.cuts.iter().map(Cut::is_partition).collect();
                self.mend(at, Some(index), |cut, _| !partitions[cut]);
            }
            Action::Loss(ppm) => self.order(at, Some(index), Order::Loss(Some(*ppm))),
            Action::Latency(min, max) => {
                self.order(at, Some(index), Order::Latency(Some((*min, *max))));
            }
            Action::Crash(_)
            | Action::PowerLoss(_)
            | Action::Restart(..)
            | Action::Pause { .. } => {}
            Action::Slow { .. } | Action::Clock { .. } | Action::Join(_) | Action::Leave(_) => {}
            Action::Announce { .. } | Action::Updates { .. } | Action::Clone(_) => {}
        }
        Ok(())
    }

    /// Does a step's action to these nodes.
    fn act(&mut self, at: Duration, index: usize, hosts: &[usize]) -> Result<(), ScenarioError> {
        let left = self.plan.faults_end.saturating_sub(at);
        let step = Some(index);
        for (position, &host) in hosts.iter().enumerate() {
            match &self.scenario.steps[index].action {
                Action::Crash(_) => self.stop(at, index, host, false),
                Action::PowerLoss(_) => self.stop(at, index, host, true),
                Action::Restart(_, disk) => {
                    self.stop(at, index, host, false);
                    self.start(at, index, host, *disk)?;
                }
                Action::Pause { length, .. } => {
                    self.order(
                        at,
                        step,
                        Order::Pause {
                            host,
                            length: left.min(*length),
                        },
                    );
                }
                Action::Slow { by, length, .. } => {
                    self.order(at, step, Order::Slow { host, by: *by });
                    if let Some(length) = length.filter(|length| *length < left) {
                        let order = Order::Slow {
                            host,
                            by: Duration::ZERO,
                        };
                        self.push(at + length, Work::Order { step, order });
                    }
                }
                Action::Clock {
                    jump, drift_ppm, ..
                } => {
                    self.order(
                        at,
                        step,
                        Order::Clock {
                            host,
                            jump: *jump,
                            drift_ppm: *drift_ppm,
                        },
                    );
                }
                Action::Join(_) => self.start(at, index, host, Disk::Keep)?,
                Action::Leave(_) => {
                    self.lives[host] = Life::Left;
                    self.order(at, step, Order::Leave(host));
                }
                Action::Announce { .. } | Action::Updates { .. } => {
                    self.publish(at, index, position, hosts);
                }
                Action::Partition(..) | Action::Heal | Action::Cut(..) | Action::Restore => {}
                Action::Loss(_) | Action::Latency(..) | Action::Clone(_) => {}
            }
        }
        Ok(())
    }

    /// Does a step's publishing to the node at `position` of `hosts`.
    fn publish(&mut self, at: Duration, index: usize, position: usize, hosts: &[usize]) {
        let (host, step) = (hosts[position], Some(index));
        match &self.scenario.steps[index].action {
            Action::Announce {
                services, metadata, ..
            } => {
                let content = &mut self.content[host];
                content.0 = services.clone().unwrap_or_else(|| content.0.clone());
                content.1 = metadata.clone().unwrap_or_else(|| content.1.clone());
                let (services, metadata) = content.clone();
                self.order(
                    at,
                    step,
                    Order::Announce {
                        host,
                        services,
                        metadata,
                    },
                );
            }
            Action::Updates { every, length, .. } => {
                let offset = *every * u32::try_from(position).unwrap_or(0)
                    / u32::try_from(hosts.len()).unwrap_or(1);
                let count = length.as_nanos() / every.as_nanos();
                for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
                    let work = Work::Update {
                        step: index,
                        host,
                        number: u64::from(number) + 1,
                    };
                    self.push(at + offset + *every * number, work);
                }
            }
            Action::Partition(..) | Action::Heal | Action::Cut(..) | Action::Restore => {}
            Action::Crash(_) | Action::PowerLoss(_) | Action::Restart(..) => {}
            Action::Pause { .. } | Action::Slow { .. } | Action::Clock { .. } => {}
            Action::Join(_) | Action::Leave(_) | Action::Clone(_) => {}
            Action::Loss(_) | Action::Latency(..) => {}
        }
    }

    fn stop(&mut self, at: Duration, step: usize, host: usize, power_loss: bool) {
        if self.lives[host] == Life::Running {
            self.lives[host] = Life::Stopped;
            self.order(at, Some(step), Order::Stop { host, power_loss });
        }
    }

    fn start(
        &mut self,
        at: Duration,
        step: usize,
        host: usize,
        disk: Disk,
    ) -> Result<(), ScenarioError> {
        if self.lives[host] == Life::Running {
            let name = &self.scenario.hosts[host].name;
            let message = format!("{name} already runs at {}", super::text::show(at));
            return Err(self.error(step, self.scenario.steps[step].action.word(), message));
        }
        self.lives[host] = Life::Running;
        let spec = &self.scenario.hosts[host];
        self.content[host] = (spec.services.clone(), spec.metadata.clone());
        self.order(at, Some(step), Order::Start { host, disk });
        Ok(())
    }

    fn cut(&mut self, at: Duration, step: usize, cut: Cut, kept: bool) {
        let index = self.plan.cuts.len();
        self.plan.cuts.push(cut);
        self.active.push((index, kept));
        self.order(at, Some(step), Order::Cut(index));
    }

    fn sides(&self, sides: &Sides, random: &mut Random) -> Vec<Vec<usize>> {
        let all = 0..self.scenario.hosts.len();
        match sides {
            Sides::Sets(sets) => sets.iter().map(|set| self.select(set, random)).collect(),
            Sides::Halves => {
                let mut hosts: Vec<usize> = all.collect();
                random.shuffle(&mut hosts);
                let second = hosts.split_off(hosts.len() / 2);
                vec![hosts, second]
            }
            Sides::Isolate(who) => {
                let who = self.select(who, random);
                let others = all.filter(|host| !who.contains(host)).collect();
                vec![who, others]
            }
        }
    }

    /// `word.1`, `word.2`, ... name the sides; `word` the first.
    fn name(&mut self, word: Option<&str>, sides: &[Vec<usize>]) {
        let Some(word) = word else { return };
        for (index, side) in sides.iter().enumerate() {
            self.plan
                .named
                .insert(format!("{word}.{}", index + 1), side.clone());
        }
        self.plan
            .named
            .insert(word.to_owned(), sides.first().cloned().unwrap_or_default());
    }

    fn error(&self, step: usize, key: &str, message: String) -> ScenarioError {
        let line = self.scenario.steps[step].line;
        ScenarioError {
            file: self.scenario.file.clone(),
            line,
            key: key.to_owned(),
            message,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
