//! What steps do to nodes.

use super::{Life, Order, Origin, Planner, Work};
use crate::scenario::{Action, Certificate, Disk, NodeAction, ScenarioError, text};
use core::time::Duration;

impl Planner<'_> {
    /// Does a step's action to these nodes.
    pub(super) fn act(
        &mut self,
        at: Duration,
        index: usize,
        hosts: &[usize],
    ) -> Result<(), ScenarioError> {
        let scenario = self.scenario;
        let step = &scenario.steps[index];
        let Action::Nodes(_, action) = &step.action else {
            return Ok(());
        };
        let left = self.plan.faults_end.saturating_sub(at);
        let from = Origin::step(self.scenario, index);
        for (position, &host) in hosts.iter().enumerate() {
            match action {
                NodeAction::Crash => self.stop(at, from, host, false),
                NodeAction::PowerLoss => self.stop(at, from, host, true),
                NodeAction::Restart(disk) => {
                    self.stop(at, from, host, false);
                    self.start(at, index, host, *disk)?;
                }
                NodeAction::Upgrade(version) => {
                    let version = version.clone();
                    self.base[host].1.insert("version".to_owned(), version);
                    self.stop(at, from, host, false);
                    self.start(at, index, host, Disk::Keep)?;
                }
                NodeAction::Pause(length) => {
                    let length = left.min(*length);
                    self.order(at, from, Order::Pause { host, length });
                }
                NodeAction::Slow { by, length } => {
                    self.slow(at, from, host, *by, *length);
                }
                NodeAction::Clock { jump, drift_ppm } => {
                    let (jump, drift_ppm) = (*jump, *drift_ppm);
                    self.order(
                        at,
                        from,
                        Order::Clock {
                            host,
                            jump,
                            drift_ppm,
                        },
                    );
                }
                NodeAction::Disk(fault) => {
                    let fault = Some(*fault);
                    self.order(at, from, Order::Disk { host, fault });
                }
                NodeAction::Certificate(is) => {
                    self.order(at, from, Order::Certificate { host, is: *is });
                }
                NodeAction::Join => self.start(at, index, host, Disk::Keep)?,
                NodeAction::Leave => self.leave(at, from, host),
                NodeAction::Announce { .. } | NodeAction::Updates { .. } => {
                    self.workload(at, index, position, hosts);
                }
                NodeAction::Command { .. } | NodeAction::Flap { .. } => {
                    self.workload(at, index, position, hosts);
                }
            }
            if let Some(length) = step.length {
                self.lift(at + length, from, host, action);
            }
        }
        Ok(())
    }

    /// Has the node at `position` of `hosts` work as a step says.
    fn workload(&mut self, at: Duration, index: usize, position: usize, hosts: &[usize]) {
        let (host, from) = (hosts[position], Origin::step(self.scenario, index));
        let scenario = self.scenario;
        let Action::Nodes(_, action) = &scenario.steps[index].action else {
            return;
        };
        match action {
            NodeAction::Announce { services, metadata } => {
                let content = &mut self.content[host];
                content.0 = services.clone().unwrap_or_else(|| content.0.clone());
                content.1 = metadata.clone().unwrap_or_else(|| content.1.clone());
                self.publish(at, from, host);
            }
            NodeAction::Updates { every, length } => {
                let offset = *every * u32::try_from(position).unwrap_or(0)
                    / u32::try_from(hosts.len()).unwrap_or(1);
                for (number, later) in times(*every, *length) {
                    let work = Work::Update {
                        step: index,
                        host,
                        number: number + 1,
                    };
                    self.push(at + offset + later, work);
                }
            }
            NodeAction::Command { name, with } => {
                let (name, with) = (name.clone(), with.clone());
                self.order(at, from, Order::Command { host, name, with });
            }
            NodeAction::Flap { every, length, .. } => {
                for (number, later) in times(*every, *length) {
                    let on = number % 2 == 0;
                    self.push(
                        at + later,
                        Work::Flap {
                            step: index,
                            host,
                            on,
                        },
                    );
                }
                let end = Work::Flap {
                    step: index,
                    host,
                    on: false,
                };
                self.push(at + *length, end);
            }
            NodeAction::Crash | NodeAction::PowerLoss | NodeAction::Restart(_) => {}
            NodeAction::Upgrade(_) | NodeAction::Pause(_) | NodeAction::Slow { .. } => {}
            NodeAction::Clock { .. } | NodeAction::Disk(_) | NodeAction::Certificate(_) => {}
            NodeAction::Join | NodeAction::Leave => {}
        }
    }

    /// What a step did to a node ends by itself.
    fn lift(&mut self, at: Duration, from: Origin, host: usize, action: &NodeAction) {
        match action {
            NodeAction::Crash | NodeAction::PowerLoss if self.trigger.is_some() => {
                let disk = Disk::Keep;
                self.order(at, from, Order::Start { host, disk });
            }
            NodeAction::Crash | NodeAction::PowerLoss => {
                self.push(at, Work::Revive(host, Disk::Keep, from));
            }
            NodeAction::Disk(_) => self.later(at, from, Order::Disk { host, fault: None }),
            NodeAction::Certificate(_) => {
                let is = Certificate::Rotated;
                self.later(at, from, Order::Certificate { host, is });
            }
            NodeAction::Restart(_) | NodeAction::Upgrade(_) | NodeAction::Pause(_) => {}
            NodeAction::Slow { .. } | NodeAction::Clock { .. } | NodeAction::Join => {}
            NodeAction::Leave | NodeAction::Announce { .. } => {}
            NodeAction::Updates { .. } | NodeAction::Flap { .. } => {}
            NodeAction::Command { .. } => {}
        }
    }

    pub(super) fn slow(
        &mut self,
        at: Duration,
        from: Origin,
        host: usize,
        by: Duration,
        length: Option<Duration>,
    ) {
        self.order(at, from, Order::Slow { host, by });
        if let Some(length) = length {
            let by = Duration::ZERO;
            self.later(at + length, from, Order::Slow { host, by });
        }
    }

    /// A node says what it serves.
    pub(super) fn publish(&mut self, at: Duration, from: Origin, host: usize) {
        let (services, metadata) = self.content[host].clone();
        let order = Order::Announce {
            host,
            services,
            metadata,
        };
        self.order(at, from, order);
    }

    pub(super) fn flap(&mut self, at: Duration, step: usize, host: usize, on: bool) {
        let scenario = self.scenario;
        let Action::Nodes(_, NodeAction::Flap { services, .. }) = &scenario.steps[step].action
        else {
            return;
        };
        let before = self.content[host].0.clone();
        for service in services {
            if on {
                self.content[host].0.insert(service.clone());
            } else {
                self.content[host].0.remove(service);
            }
        }
        if self.content[host].0 != before && self.lives[host] == Life::Running {
            self.publish(at, Origin::step(self.scenario, step), host);
        }
    }

    pub(super) fn leave(&mut self, at: Duration, from: Origin, host: usize) {
        if self.trigger.is_none() {
            match from.program {
                Some(program) => {
                    self.stopped.insert((host, program));
                }
                None => self.lives[host] = Life::Left,
            }
        }
        self.order(at, from, Order::Leave(host));
    }

    pub(super) fn stop(&mut self, at: Duration, from: Origin, host: usize, power_loss: bool) {
        if self.trigger.is_none() {
            if !self.runs(host, from.program) {
                return;
            }
            match from.program {
                Some(program) => {
                    self.stopped.insert((host, program));
                }
                None => self.lives[host] = Life::Stopped,
            }
        }
        self.order(at, from, Order::Stop { host, power_loss });
    }

    pub(super) fn start(
        &mut self,
        at: Duration,
        step: usize,
        host: usize,
        disk: Disk,
    ) -> Result<(), ScenarioError> {
        let from = Origin::step(self.scenario, step);
        if self.trigger.is_none() && self.runs(host, from.program) {
            let name = &self.scenario.hosts[host].name;
            let message = format!("{name} already runs at {}", text::show(at));
            return Err(self.error(step, self.scenario.steps[step].action.word(), message));
        }
        self.boot(at, from, host, disk);
        Ok(())
    }

    /// A host or process that does not run starts.
    pub(super) fn boot(&mut self, at: Duration, from: Origin, host: usize, disk: Disk) {
        if let Some(program) = from.program {
            // Without its host a process cannot start; it does so with the host.
            if self.lives[host] == Life::Running || self.trigger.is_some() {
                self.stopped.remove(&(host, program));
                self.order(at, from, Order::Start { host, disk });
            }
            return;
        }
        // Who leaves may still be about it.
        if self.lives[host] == Life::Left {
            let power_loss = false;
            self.order(at, from, Order::Stop { host, power_loss });
        }
        self.order(at, from, Order::Start { host, disk });
        if self.trigger.is_none() {
            self.lives[host] = Life::Running;
            self.stopped.retain(|(of, _)| *of != host);
        }
        self.content[host] = self.base[host].clone();
        let spec = &self.scenario.hosts[host];
        if self.base[host] != (spec.services.clone(), spec.metadata.clone()) {
            self.publish(at, from, host);
        }
    }
}

/// The times of something that happens every so often for so long, with their numbers.
fn times(every: Duration, length: Duration) -> impl Iterator<Item = (u64, Duration)> {
    let count = u32::try_from(length.as_nanos() / every.as_nanos().max(1)).unwrap_or(u32::MAX);
    (0..count).map(move |number| (u64::from(number), every * number))
}
