//! Plans the actions of steps on nodes.

use super::{HostState, Origin, Planner, PowerCut, ScheduledAction, Work};
use crate::scenario::{Action, CertificateChange, Disk, NodeAction, ScenarioError, text};
use core::time::Duration;

impl Planner<'_> {
    /// Plans a step's action on these nodes.
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
        for (place, &host) in hosts.iter().enumerate() {
            match action {
                NodeAction::Crash => self.stop(at, from, host, false),
                NodeAction::PowerLoss => self.lose_power(at, from, host, step.length),
                NodeAction::Restart(disk) => {
                    self.stop(at, from, host, false);
                    self.start(at, index, host, *disk)?;
                }
                NodeAction::Pause(length) => {
                    let length = left.min(*length);
                    self.schedule(at, from, ScheduledAction::Pause { host, length });
                }
                NodeAction::Slow { by, length } => {
                    self.slow(at, from, host, *by, *length);
                }
                NodeAction::Clock {
                    jump,
                    back,
                    drift_ppm,
                } => {
                    let clock = ScheduledAction::Clock {
                        host,
                        jump: *jump,
                        back: *back,
                        drift_ppm: *drift_ppm,
                    };
                    self.schedule(at, from, clock);
                }
                NodeAction::Trouble(trouble) => {
                    let (trouble, on) = (*trouble, true);
                    self.schedule(at, from, ScheduledAction::Trouble { host, trouble, on });
                }
                NodeAction::Move => self.schedule(at, from, ScheduledAction::Move(host)),
                NodeAction::Disk(fault) => {
                    let fault = Some(*fault);
                    self.schedule(at, from, ScheduledAction::Disk { host, fault });
                }
                NodeAction::Certificate(is) => {
                    self.schedule(at, from, ScheduledAction::Certificate { host, is: *is });
                }
                NodeAction::Join => self.start(at, index, host, Disk::Keep)?,
                NodeAction::Leave => self.leave(at, from, host),
                NodeAction::Own(_) => self.own_step(at, index, place, hosts),
                NodeAction::Command { .. } => self.command(at, from, host, action),
            }
            if let Some(length) = step.length {
                self.lift(at + length, from, host, action);
            }
        }
        Ok(())
    }

    /// Schedules a command.
    fn command(&mut self, at: Duration, from: Origin, host: usize, action: &NodeAction) {
        if let NodeAction::Command {
            name,
            with,
            refused,
        } = action
        {
            let command = ScheduledAction::Command {
                host,
                name: name.clone(),
                with: with.clone(),
                refused: *refused,
            };
            self.schedule(at, from, command);
        }
    }

    /// Schedules the end of a step's effect on a node.
    fn lift(&mut self, at: Duration, from: Origin, host: usize, action: &NodeAction) {
        match action {
            NodeAction::Crash | NodeAction::PowerLoss if self.trigger.is_some() => {
                let disk = Disk::Keep;
                self.schedule(at, from, ScheduledAction::Start { host, disk });
            }
            NodeAction::Crash | NodeAction::PowerLoss => {
                self.push(at, Work::Revive(host, Disk::Keep, from));
            }
            NodeAction::Disk(_) => {
                self.later(at, from, ScheduledAction::Disk { host, fault: None })
            }
            NodeAction::Trouble(trouble) => {
                let (trouble, on) = (*trouble, false);
                self.later(at, from, ScheduledAction::Trouble { host, trouble, on });
            }
            NodeAction::Certificate(_) => {
                let is = CertificateChange::Rotated;
                self.later(at, from, ScheduledAction::Certificate { host, is });
            }
            NodeAction::Restart(_) | NodeAction::Pause(_) | NodeAction::Slow { .. } => {}
            NodeAction::Move | NodeAction::Clock { .. } | NodeAction::Join | NodeAction::Leave => {}
            // The planning of the program handles the duration of its own steps.
            NodeAction::Own(_) | NodeAction::Command { .. } => {}
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
        self.schedule(at, from, ScheduledAction::Slow { host, by });
        if let Some(length) = length {
            let by = Duration::ZERO;
            self.later(at + length, from, ScheduledAction::Slow { host, by });
        }
    }

    pub(super) fn leave(&mut self, at: Duration, from: Origin, host: usize) {
        if self.trigger.is_none() {
            match from.program {
                Some(program) => {
                    self.stopped.insert((host, program));
                }
                None => self.lives[host] = HostState::Left,
            }
        }
        self.schedule(at, from, ScheduledAction::Leave(host));
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
                None => self.lives[host] = HostState::Stopped,
            }
        }
        self.schedule(at, from, ScheduledAction::Stop { host, power_loss });
    }

    /// Cuts the power of a host for `length` or until its next start, even if the host's processes were already
    /// stopped.
    pub(super) fn lose_power(
        &mut self,
        at: Duration,
        from: Origin,
        host: usize,
        length: Option<Duration>,
    ) {
        self.stop(at, from, host, true);
        if self.trigger.is_none() && self.lives[host] != HostState::Waiting {
            let until = length.map(|length| at + length);
            self.unpowered.insert(host, until);
            let cut = |until| PowerCut {
                host,
                from: at,
                until,
            };
            self.plan.power_cuts.extend(until.map(cut));
        }
    }

    /// Returns whether a host has no power; in this case, a step that would start the host has no effect, which the
    /// plan states. `switches_on` is whether the step also restores power that was lost without a given end.
    pub(super) fn lacks_power(
        &mut self,
        at: Duration,
        from: Origin,
        host: usize,
        switches_on: bool,
    ) -> bool {
        let until = match self.unpowered.get(&host).copied() {
            Some(Some(until)) if until > at => Some(until),
            Some(None) if !switches_on => None,
            Some(_) | None => return false,
        };
        self.schedule(at, from, ScheduledAction::NoPower { host, until });
        true
    }

    pub(super) fn start(
        &mut self,
        at: Duration,
        step: usize,
        host: usize,
        disk: Disk,
    ) -> Result<(), ScenarioError> {
        let from = Origin::step(self.scenario, step);
        if self.trigger.is_none() && self.lacks_power(at, from, host, true) {
            return Ok(());
        }
        if self.trigger.is_none() && self.runs(host, from.program) {
            let name = &self.scenario.hosts[host].name;
            let message = format!("{name} already runs at {}", text::show(at));
            return Err(self.error(step, self.scenario.steps[step].action.word(), message));
        }
        self.boot(at, from, host, disk);
        Ok(())
    }

    /// Starts a host or process that does not run.
    pub(super) fn boot(&mut self, at: Duration, from: Origin, host: usize, disk: Disk) {
        if let Some(program) = from.program {
            // A process of a stopped host starts together with the host.
            if self.lives[host] == HostState::Running || self.trigger.is_some() {
                self.stopped.remove(&(host, program));
                self.schedule(at, from, ScheduledAction::Start { host, disk });
            }
            return;
        }
        // A host that left may still run.
        if self.lives[host] == HostState::Left {
            let power_loss = false;
            self.schedule(at, from, ScheduledAction::Stop { host, power_loss });
        }
        self.schedule(at, from, ScheduledAction::Start { host, disk });
        if self.trigger.is_none() {
            self.lives[host] = HostState::Running;
            self.unpowered.remove(&host);
            self.stopped.retain(|(of, _)| *of != host);
        }
        self.own_start(at, from, host);
    }
}
