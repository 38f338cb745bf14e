//! Performs the actions of the plan: starts and stops, pauses, clocks, disks, certificates and commands. The transport
//! performs the actions on the network.

use super::Engine;
use crate::disk::Left;
use crate::model::clock::{NodeClock, ns};
use crate::model::event::ScheduledEvent;
use crate::model::host::StartFacts;
use crate::model::slot::RunningProcess;
use crate::model::transport::NetworkChange;
use crate::scenario::plan::executor::{ClockChange, PlanExecutor};
use crate::scenario::plan::{Planned, ScheduledAction};
use crate::scenario::{CertificateChange, Disk, DiskFault, Latency, OwnAction, Trouble};
use crate::world::{CloseReason, Command, ProcessEvent, ProcessStartError};
use core::time::Duration;
use serde_json::Value;
use std::collections::BTreeSet;

impl<'a> PlanExecutor<'a> for Engine<'a, '_> {
    type Done = ();

    fn start(&mut self, planned: &'a Planned, host: usize, disk: Disk) {
        self.context.affect(planned.step, 1);
        match planned.program {
            None => self.start_host(host, disk),
            Some(_) => self.start_processes(host, &self.chosen(host, planned.program)),
        }
    }

    fn stop(&mut self, planned: &'a Planned, host: usize, power_loss: bool) {
        let chosen = self.chosen(host, planned.program);
        self.context
            .affect(planned.step, self.connection_count(&chosen));
        match planned.program {
            None => self.stop_host(host, power_loss),
            Some(_) => chosen.into_iter().for_each(|slot| self.stop_process(slot)),
        }
    }

    fn no_power(&mut self, _planned: &'a Planned, _host: usize) {}

    fn cut(&mut self, planned: &'a Planned, cut: usize) {
        let blocked = &self.context.plan().cuts[cut];
        self.change_network(planned, NetworkChange::Cut(cut, blocked));
    }

    fn heal(&mut self, planned: &'a Planned, cut: usize) {
        self.context.affect(planned.step, 1);
        self.change_network(planned, NetworkChange::Heal(cut));
    }

    fn hold(&mut self, planned: &'a Planned, cut: usize, length: Duration) {
        let until = self.context.now() + ns(length);
        let cut = &self.context.plan().cuts[cut];
        self.change_network(planned, NetworkChange::Hold { until, cut });
    }

    fn pause(&mut self, planned: &'a Planned, host: usize, length: Duration) {
        let until = self.context.now() + ns(length);
        for slot in self.chosen(host, planned.program) {
            self.slots[slot].pause(until, planned.step);
        }
    }

    fn slow(&mut self, planned: &'a Planned, host: usize, by: Duration) {
        for slot in self.chosen(host, planned.program) {
            self.slots[slot].slow_down(ns(by), planned.step);
        }
    }

    fn change_clock(&mut self, planned: &'a Planned, host: usize, change: ClockChange) {
        let drift_ppm = change.drift_ppm;
        let jump = if change.back {
            self.context.affect(planned.step, 1);
            self.context.set_calendar_back(host, ns(change.jump));
            Duration::ZERO
        } else {
            change.jump
        };
        if change.back && drift_ppm.is_none() {
            return;
        }
        for slot in self.hosts[host].processes() {
            self.slots[slot].change_clock(&mut self.context, (jump, drift_ppm), planned.step);
        }
    }

    fn set_disk_fault(&mut self, planned: &'a Planned, host: usize, fault: Option<DiskFault>) {
        self.hosts[host].set_disk_fault(fault, planned.step);
    }

    fn change_certificate(&mut self, planned: &'a Planned, host: usize, is: CertificateChange) {
        self.hosts[host].set_certificate(is);
        let chosen = self.chosen(host, planned.program);
        let taken = self.notify_all(&chosen, || ProcessEvent::Certificate(is));
        self.context.affect(planned.step, u64::from(taken));
    }

    fn leave(&mut self, planned: &'a Planned, host: usize) {
        let chosen = self.chosen(host, planned.program);
        let linked = self.connection_count(&chosen);
        self.context.affect(planned.step, linked);
        self.notify_all(&chosen, || ProcessEvent::Leave);
    }

    fn own_step(&mut self, planned: &'a Planned, host: usize, action: &'a OwnAction) {
        let hosts = &self.context.scenario().hosts;
        let mut chosen = self.chosen(host, planned.program);
        chosen.retain(|slot| self.programs[self.slots[*slot].program()].name() == action.program);
        self.context.command(planned.step, false);
        self.notify_all(&chosen, || {
            ProcessEvent::Command(Box::new(Command {
                kind: action.word,
                name: action.word.to_owned(),
                with: action.arguments.to_json(hosts),
            }))
        });
    }

    fn command(&mut self, planned: &'a Planned, host: usize, name: &'a str, with: &'a Value) {
        let refused = matches!(
            planned.action,
            ScheduledAction::Command { refused: true, .. }
        );
        self.context.command(planned.step, refused);
        self.notify_all(&self.chosen(host, planned.program), || {
            ProcessEvent::Command(Box::new(Command {
                kind: "order",
                name: name.to_owned(),
                with: with.clone(),
            }))
        });
    }

    fn set_trouble(&mut self, planned: &'a Planned, host: usize, trouble: Trouble, on: bool) {
        let step = planned.step.filter(|_| on);
        match trouble {
            Trouble::Refuse => {
                for slot in self.chosen(host, planned.program) {
                    self.transport.set_refusal(slot, on, step);
                }
            }
            Trouble::SlowDisk(by) => {
                let by = if on { by } else { Duration::ZERO };
                self.hosts[host].set_disk_delay(by, step);
            }
            Trouble::NatIdle(idle) => {
                let idle = on.then(|| ns(idle));
                self.transport.set_nat(host, idle, step);
            }
        }
    }

    fn move_host(&mut self, planned: &'a Planned, host: usize) {
        self.moving.insert(host, planned.step);
    }

    fn change_links(&mut self, planned: &'a Planned, change: usize, on: bool) {
        let links = &self.context.plan().link_changes[change];
        let change = if on {
            NetworkChange::Links(change, links)
        } else {
            NetworkChange::Usual(change)
        };
        self.change_network(planned, change);
    }

    fn reset(&mut self, planned: &'a Planned, cut: usize) {
        let pairs = &self.context.plan().cuts[cut];
        let hosts = 0..self.hosts.len();
        let chosen: Option<BTreeSet<usize>> = planned.program.map(|program| {
            let slots = hosts.flat_map(|host| self.chosen(host, Some(program)));
            slots.collect()
        });
        let is_chosen = |slot| chosen.as_ref().is_none_or(|slots| slots.contains(&slot));
        let context = &mut self.context;
        let reset = self.transport.reset_connections(context, pairs, is_chosen);
        self.context.affect(planned.step, reset);
    }

    fn set_loss(&mut self, planned: &'a Planned, ppm: Option<u32>) {
        // A step that sets the loss to zero drops no segments, so the step itself counts as one affected item.
        let affected = u64::from(ppm == Some(0));
        self.context.affect(planned.step, affected);
        self.change_network(planned, NetworkChange::Loss(ppm));
    }

    fn set_latency(&mut self, planned: &'a Planned, latency: Option<Latency>) {
        self.change_network(planned, NetworkChange::Latency(latency));
    }
}

impl<'a> Engine<'a, '_> {
    fn change_network(&mut self, planned: &Planned, change: NetworkChange<'a>) {
        let now = self.context.now();
        self.transport.change_network(now, change, planned.step);
    }

    /// Performs a triggered action, unless the action no longer has an effect.
    pub(super) fn on_triggered(&mut self, trigger: usize, action: usize) {
        let planned = &self.context.plan().triggers[trigger].actions[action];
        let runs = |host: usize, program| {
            let chosen = self.chosen(host, program);
            chosen.iter().any(|slot| self.slots[*slot].is_occupied())
        };
        if planned.is_idle(runs) {
            return;
        }
        let now = Duration::from_nanos(self.context.now());
        if let Some(without_power) = self.context.plan().in_place_of(planned, now) {
            self.context.record_action(&without_power);
        } else {
            self.context.record_action(planned);
            planned.execute(self);
        }
    }

    fn start_host(&mut self, host: usize, disk: Disk) {
        if let Some(step) = self.moving.remove(&host) {
            self.addresses.change(host);
            self.context.affect(step, 1);
        }
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
        self.hosts[host].set_powered(true);
        for slot in slots {
            match self.make_process(host, *slot) {
                Ok(process) => self.boot(*slot, process),
                Err(error) => self.on_start_failed(*slot, error),
            }
        }
    }

    /// Lets the service manager of the host start a process again, if the host has one.
    pub(super) fn schedule_restart(&mut self, slot: usize) {
        let host = self.slots[slot].host();
        if let Some(after) = self.context.scenario().hosts[host].restart_after {
            let life = self.slots[slot].life();
            let event = ScheduledEvent::RestartProcess { slot, life };
            self.context.schedule(self.context.now() + ns(after), event);
        }
    }

    /// Starts a process again that exited at its start, unless another start came first or the host has no power.
    pub(super) fn restart_process(&mut self, slot: usize, life: u32) {
        let host = self.slots[slot].host();
        let is_down = self.slots[slot].life() == life && !self.slots[slot].runs();
        if is_down && self.hosts[host].is_powered() {
            self.start_processes(host, &[slot]);
        }
    }

    /// Starts a process for a command of its program, without the event `Start`.
    ///
    /// # Errors
    /// The process exits at its start.
    pub(super) fn boot_for_command(&mut self, slot: usize) -> Result<(), ProcessStartError> {
        let process = self.make_process(self.slots[slot].host(), slot)?;
        self.install(slot, process);
        Ok(())
    }

    fn make_process(
        &mut self,
        host: usize,
        slot: usize,
    ) -> Result<RunningProcess, ProcessStartError> {
        let place = self.hosts[host].place(slot);
        self.note_end(slot);
        let life = self.slots[slot].begin_life();
        let program = self.slots[slot].program();
        self.hosts[host].prepare(&mut *self.programs[program], host)?;
        self.checks.on_start(program, host);
        let scenario = self.context.scenario();
        let birth = StartFacts {
            scenario,
            host,
            place,
            life,
            wall: self.context.wall(host),
            address: self.addresses.of(host),
            random: self.starts.random(host, place, life),
        };
        let machine = self.hosts[host].start(&mut *self.programs[program], birth);
        let drift = scenario.hosts[host].clock.drift_ppm;
        let clock = NodeClock::started(self.context.now(), drift);
        Ok(RunningProcess::new(machine, clock))
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

    /// Delivers an event to each of these processes that the event concerns; returns whether there is such a process.
    fn notify_all(&mut self, slots: &[usize], event: impl Fn() -> ProcessEvent) -> bool {
        let mut taken = false;
        for slot in slots {
            taken |= self.notify(*slot, event());
        }
        taken
    }

    /// Notes that a process is about to end, if it runs.
    pub(super) fn note_end(&mut self, slot: usize) {
        let state = &self.slots[slot];
        if state.runs() {
            self.checks.on_end(state.program(), state.host());
        }
    }

    /// Stops one process of a running host; the writes of the process that are in progress are dropped.
    fn stop_process(&mut self, slot: usize) {
        self.hosts[self.slots[slot].host()].forget_writes(slot);
        self.kill(slot);
    }

    /// Ends a process; the connections of the process are closed, as by an operating system.
    fn kill(&mut self, slot: usize) {
        self.note_end(slot);
        self.end_calls(slot);
        self.slots[slot].stop();
        self.transport.forget_ports(slot);
        let context = &mut self.context;
        self.transport.close_all(context, slot, CloseReason::Fin);
    }

    fn stop_host(&mut self, host: usize, power_loss: bool) {
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
                self.note_end(slot);
                self.end_calls(slot);
                self.slots[slot].stop();
                self.transport.vanish(slot, host);
            } else {
                self.kill(slot);
            }
        }
    }
}
