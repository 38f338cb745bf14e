//! Performs the actions of the plan: starts and stops, pauses, clocks, disks, certificates and commands. The transport
//! performs those on the network.

use super::Engine;
use crate::disk::Left;
use crate::model::clock::{NodeClock, ns};
use crate::model::host::Birth;
use crate::model::slot::Process;
use crate::scenario::Disk;
use crate::scenario::plan::{Planned, ScheduledAction};
use crate::world::{CloseReason, Command, ProcessEvent};
use core::time::Duration;

impl<'a> Engine<'a, '_> {
    /// Performs an action of the plan.
    pub(super) fn apply(&mut self, planned: &'a Planned) {
        let (step, program) = (planned.step, planned.program);
        match &planned.order {
            ScheduledAction::Start { host, disk } => {
                self.context.affect(step, 1);
                match program {
                    None => self.start(*host, *disk),
                    Some(_) => self.start_processes(*host, &self.chosen(*host, program)),
                }
            }
            ScheduledAction::Stop { host, power_loss } => {
                let chosen = self.chosen(*host, program);
                self.context.affect(step, self.connection_count(&chosen));
                match program {
                    None => self.stop(*host, *power_loss),
                    Some(_) => chosen.into_iter().for_each(|slot| self.stop_process(slot)),
                }
            }
            ScheduledAction::Pause { host, length } => {
                let until = self.context.now() + ns(*length);
                for slot in self.chosen(*host, program) {
                    self.slots[slot].pause(until, step);
                }
            }
            ScheduledAction::Slow { host, by } => {
                for slot in self.chosen(*host, program) {
                    self.slots[slot].slow_down(ns(*by), step);
                }
            }
            ScheduledAction::Clock {
                host,
                jump,
                drift_ppm,
            } => self.change_clock(*host, (*jump, *drift_ppm), step),
            ScheduledAction::Disk { host, fault } => self.hosts[*host].set_disk_fault(*fault, step),
            ScheduledAction::Leave(host) => {
                let linked = self.connection_count(&self.chosen(*host, program));
                self.context.affect(step, linked);
                self.notify_of_action(planned);
            }
            ScheduledAction::Certificate { .. }
            | ScheduledAction::Own { .. }
            | ScheduledAction::Command { .. } => {
                let taken = self.notify_of_action(planned);
                self.context.affect(step, u64::from(taken));
            }
            ScheduledAction::Cut(_) | ScheduledAction::Heal(_) | ScheduledAction::Hold { .. } => {
                self.transport.apply(&mut self.context, planned);
            }
            ScheduledAction::Loss(_) | ScheduledAction::Latency(_) => {
                self.transport.apply(&mut self.context, planned)
            }
        }
    }

    /// Delivers the event of an action to the processes that it concerns; returns whether there is one.
    fn notify_of_action(&mut self, planned: &'a Planned) -> bool {
        let program = planned.program;
        match &planned.order {
            ScheduledAction::Leave(host) => {
                self.notify_all(&self.chosen(*host, program), || ProcessEvent::Leave)
            }
            ScheduledAction::Own { host, action } => {
                let hosts = &self.context.scenario().hosts;
                let mut chosen = self.chosen(*host, program);
                chosen.retain(|slot| {
                    self.programs[self.slots[*slot].program()].name() == action.program
                });
                self.notify_all(&chosen, || {
                    ProcessEvent::Command(Box::new(Command {
                        kind: action.word,
                        name: action.word.to_owned(),
                        with: action.arguments.to_json(hosts),
                    }))
                })
            }
            ScheduledAction::Command { host, name, with } => {
                self.notify_all(&self.chosen(*host, program), || {
                    ProcessEvent::Command(Box::new(Command {
                        kind: "order",
                        name: name.clone(),
                        with: with.clone(),
                    }))
                })
            }
            ScheduledAction::Certificate { host, is } => {
                self.hosts[*host].set_certificate(*is);
                let chosen = self.chosen(*host, program);
                self.notify_all(&chosen, || ProcessEvent::Certificate(*is))
            }
            ScheduledAction::Start { .. }
            | ScheduledAction::Stop { .. }
            | ScheduledAction::Pause { .. } => false,
            ScheduledAction::Slow { .. }
            | ScheduledAction::Clock { .. }
            | ScheduledAction::Disk { .. } => false,
            ScheduledAction::Cut(_) | ScheduledAction::Heal(_) | ScheduledAction::Hold { .. } => {
                false
            }
            ScheduledAction::Loss(_) | ScheduledAction::Latency(_) => false,
        }
    }

    /// Performs a triggered action, unless it has no effect any more.
    pub(super) fn on_triggered(&mut self, trigger: usize, action: usize) {
        let planned = &self.context.plan().triggers[trigger].orders[action];
        let runs = |host: usize, program| {
            let chosen = self.chosen(host, program);
            chosen.iter().any(|slot| self.slots[*slot].is_occupied())
        };
        if !planned.is_idle(runs) {
            self.context.record_action(planned);
            self.apply(planned);
        }
    }

    fn change_clock(&mut self, host: usize, change: (Duration, Option<i32>), step: Option<usize>) {
        for slot in self.hosts[host].processes() {
            self.slots[slot].change_clock(&mut self.context, change, step);
        }
    }

    fn start(&mut self, host: usize, disk: Disk) {
        // A clone starts with a copy of the other machine's disk.
        let first = self.hosts[host].processes().start;
        let clone_of = self.context.scenario().hosts[host].clone_of;
        if let Some(of) = clone_of
            && self.slots[first].life() == 0
        {
            let copy = self.hosts[of].disk().clone();
            self.hosts[host].set_disk(copy);
        }
        let left = match disk {
            Disk::Keep => Left::Written,
            Disk::Synced => Left::Synced,
            Disk::Lose => Left::Nothing,
        };
        self.hosts[host].crash(&mut self.context, left);
        self.start_processes(host, &self.chosen(host, None));
    }

    fn start_processes(&mut self, host: usize, slots: &[usize]) {
        for slot in slots {
            let process = self.make_process(host, *slot);
            self.boot(*slot, process);
        }
    }

    /// Starts a process for a command of its program, without the event `Start`.
    pub(super) fn boot_for_command(&mut self, slot: usize) {
        let process = self.make_process(self.slots[slot].host(), slot);
        self.install(slot, process);
    }

    fn make_process(&mut self, host: usize, slot: usize) -> Process {
        let place = self.hosts[host].place(slot);
        let life = self.slots[slot].begin_life();
        let program = self.slots[slot].program();
        self.checks.on_start(program, host);
        let scenario = self.context.scenario();
        let birth = Birth {
            scenario,
            host,
            place,
            life,
            wall: self.context.wall(host),
            random: self.starts.random(host, place, life),
        };
        let machine = self.hosts[host].start(&mut *self.programs[program], birth);
        let drift = scenario.hosts[host].clock.drift_ppm;
        Process::new(machine, NodeClock::started(self.context.now(), drift))
    }

    /// Returns the slots of a host's processes of one program, or of all of its processes.
    pub(super) fn chosen(&self, host: usize, program: Option<&'static str>) -> Vec<usize> {
        let runs = |slot: &usize| self.programs[self.slots[*slot].program()].name();
        let slots = self.hosts[host].processes();
        slots
            .filter(|slot| program.is_none_or(|program| runs(slot) == program))
            .collect()
    }

    /// Returns the number of connections with an end in one of these processes.
    fn connection_count(&self, slots: &[usize]) -> u64 {
        let counts = slots
            .iter()
            .map(|slot| self.transport.connection_count(*slot));
        counts.sum::<usize>() as u64
    }

    /// Delivers an event to each of these processes that it concerns; returns whether there is one.
    fn notify_all(&mut self, slots: &[usize], event: impl Fn() -> ProcessEvent) -> bool {
        let mut taken = false;
        for slot in slots {
            taken |= self.notify(*slot, event());
        }
        taken
    }

    /// Stops one process of a running host; its writes in progress are dropped.
    fn stop_process(&mut self, slot: usize) {
        self.hosts[self.slots[slot].host()].forget_writes(slot);
        self.kill(slot);
    }

    /// Ends a process; its connections are closed, as the operating system does.
    fn kill(&mut self, slot: usize) {
        self.end_calls(slot);
        self.slots[slot].stop();
        self.transport.forget_ports(slot);
        let context = &mut self.context;
        self.transport.close_all(context, slot, CloseReason::Fin);
    }

    fn stop(&mut self, host: usize, power_loss: bool) {
        let left = if power_loss {
            Left::Synced
        } else {
            Left::Written
        };
        let stopped = &mut self.hosts[host];
        let step = stopped.disk().fault_step();
        let lost = stopped.crash(&mut self.context, left);
        self.context.affect(step, lost);
        if power_loss {
            stopped.set_powered(false);
        }
        for slot in stopped.processes() {
            if power_loss {
                self.end_calls(slot);
                self.slots[slot].stop();
                self.transport.vanish(slot, host);
            } else {
                self.kill(slot);
            }
        }
    }
}
