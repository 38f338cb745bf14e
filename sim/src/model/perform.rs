//! Performs the effects of machines and the actions of the plan.

use super::clock::{NodeClock, ns};
use super::engine::{Datagram, Engine, Event, Operation};
use super::host::Process;
use super::network::LOOPBACK;
use super::stream::{
    Connection, DIAL_GIVES_UP_AFTER, End, EndState, FLIGHTS, Item, Lane, place, segments,
};
use crate::address::{address, host_at};
use crate::disk::Left;
use crate::record::Held;
use crate::scenario::plan::{PlanExecutor, Planned, Reporter};
use crate::scenario::{Certificate, Disk, DiskFault, Latency, OwnAction};
use crate::world::{
    CloseReason, Command, DialId, Effect, Message, ProcessEvent, ReportedEvent, Start, Writing,
};
use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::rc::Rc;

/// The time until a dial to an unreachable address fails, in nanoseconds.
const UNREACHABLE_AFTER: u64 = 1_000_000;

impl<'a> Engine<'a, '_> {
    /// Performs an effect of a machine; `bytes` is the encoded size of the message that it sends, if any.
    pub(super) fn perform(&mut self, slot: usize, effect: Effect, bytes: usize) {
        match effect {
            Effect::Listen { port } => self.listen(slot, port),
            Effect::Unlisten { port } => self.unlisten(slot, port),
            Effect::Dial { dial, to } => self.dial(slot, dial, to),
            Effect::Send { link, message } => {
                let (connection, end) = place(link);
                let open = self.state_of(connection, end) == Some(EndState::Open);
                if !open {
                    return;
                }
                if self.host_of(connection, 1 - end) != Some(self.slots[slot].host) {
                    self.count(self.slots[slot].host, bytes);
                }
                self.send(connection, end, Item::Message(message), bytes);
            }
            Effect::Close { link } => {
                let (connection, end) = place(link);
                self.close(connection, end, CloseReason::Farewell);
            }
            Effect::Datagram { to, message } => self.datagram(slot, to, message, bytes),
            Effect::Write(writing) => self.write(slot, *writing),
            Effect::Read(reading) => self.read(slot, *reading),
            Effect::Run(running) => self.run_command(slot, *running),
            Effect::Finish(finished) => self.finish(*finished),
            Effect::Signal(order) => self.send_signal(slot, order),
            Effect::Resolve { ticket, name } => self.resolve(slot, ticket, &name),
            Effect::Answer(answered) => self.answer(slot, *answered),
            Effect::Exit => {
                if let Some(process) = &mut self.slots[slot].process {
                    process.exited = true;
                }
                self.end_calls(slot);
                self.close_all(slot, CloseReason::Farewell);
            }
            Effect::Report(event) => {
                let state = &self.slots[slot];
                let reporter = Reporter {
                    host: state.host,
                    program: self.programs[state.program].name(),
                };
                self.fire(reporter, &*event);
                self.reports.push((reporter, event));
            }
        }
    }

    /// Listens on a port, unless another process of the host listens on it.
    fn listen(&mut self, slot: usize, port: u16) {
        let host = self.slots[slot].host;
        match self.ports.entry((host, port)) {
            Entry::Vacant(free) => {
                free.insert(slot);
                self.slots[slot].ports.push(port);
            }
            Entry::Occupied(held) if *held.get() == slot => {}
            Entry::Occupied(held) => {
                let life = self.slots[slot].life;
                let holder = u32::try_from(*held.get()).unwrap_or(u32::MAX);
                let failed = Event::ListenFailed {
                    slot,
                    life,
                    port,
                    holder,
                };
                self.heap.push(self.now, failed);
            }
        }
    }

    /// Notifies a process that another one listens on a port. The run fails if the process does not handle this.
    pub(super) fn on_listen_failed(&mut self, slot: usize, port: u16, holder: usize) {
        let holder = self.programs[self.slots[holder].program].name();
        if self.slots[slot].process.is_some()
            && !self.notify(slot, ProcessEvent::ListenFailed { port, holder })
        {
            let process = self.process_name(slot);
            let why = format!("{process} cannot listen on port {port}: {holder} does");
            self.errors.push((self.now, why));
        }
    }

    /// Counts a message that a host sends to another.
    fn count(&mut self, host: usize, bytes: usize) {
        let traffic = &mut self.hosts[host].traffic;
        traffic.bytes += bytes as u64;
        traffic.messages += 1;
        self.segments += u64::from(segments(bytes));
    }

    /// Sends a datagram. It arrives whole or not at all, in any order with others.
    fn datagram(&mut self, slot: usize, to: SocketAddr, message: Rc<dyn Message>, bytes: usize) {
        let host = self.slots[slot].host;
        let target = self.machine_at(host, to);
        // Messages within a host are not traffic.
        if target != Some(host) {
            self.count(host, bytes);
        }
        let Some(target) = target else {
            return;
        };
        let settings = self.fabric.settings(host, target);
        let transit = if host == target {
            LOOPBACK
        } else {
            self.fabric
                .transmit(host, target, segments(bytes), &settings)
        };
        if transit.lost == 0 {
            self.heap.push(
                self.now + transit.latency,
                Event::Datagram(Box::new(Datagram {
                    from: slot,
                    host: target,
                    port: to.port(),
                    message,
                })),
            );
        } else {
            let cut = self.fabric.is_blocked(host, target);
            self.trace.held(Held {
                at: self.now,
                from: host,
                to: target,
                cut,
            });
        }
    }

    pub(super) fn on_datagram(&mut self, datagram: Datagram) {
        let Datagram {
            from: sender,
            host,
            port,
            message,
        } = datagram;
        let from = self.slots[sender].host;
        let bytes = message.encoded_len();
        if self.fabric.is_blocked(from, host) {
            self.fabric.swallowed(from, host, bytes);
            self.trace.held(Held {
                at: self.now,
                from,
                to: host,
                cut: true,
            });
        } else if let Some(slot) = self.listens(host, port) {
            let mut from = address(from);
            from.set_port(self.slots[sender].ports.first().copied().unwrap_or(0));
            self.notify_of_message(slot, ProcessEvent::Datagram { from, message }, bytes);
        }
    }

    /// Starts a write.
    pub(super) fn write(&mut self, slot: usize, ordered: Writing) {
        let state = &self.slots[slot];
        let disk = &mut self.hosts[state.host].disk;
        let (number, done) = disk.begin(self.now, slot, ordered.write, ordered.synced);
        let event = Event::Disk {
            slot,
            life: state.life,
            operation: Box::new(Operation {
                number,
                ticket: ordered.ticket,
                retry: ordered.retry,
            }),
        };
        self.heap.push(done, event);
    }

    pub(super) fn on_disk(&mut self, slot: usize, operation: Operation) {
        let host = self.slots[slot].host;
        let Operation {
            number,
            ticket,
            retry,
        } = operation;
        let Some(ended) = self.hosts[host].disk.end(number) else {
            return;
        };
        let Err((reason, write, synced)) = ended else {
            self.notify(slot, ProcessEvent::Written { ticket });
            return;
        };
        let step = self.hosts[host].disk.fault_step();
        self.fabric.bite(step, 1);
        let Some(after) = retry else {
            self.notify(slot, ProcessEvent::WriteFailed { ticket, reason });
            return;
        };
        let write = Box::new(Writing {
            ticket,
            write,
            synced,
            retry,
        });
        let life = self.slots[slot].life;
        self.heap
            .push(self.now + ns(after), Event::Again { slot, life, write });
    }

    /// Returns the machine at an address, as seen from a host: a loopback address means the host itself.
    fn machine_at(&self, host: usize, to: SocketAddr) -> Option<usize> {
        if to.ip().is_loopback() {
            return Some(host);
        }
        host_at(to, self.hosts.len())
    }

    fn dial(&mut self, slot: usize, dial: DialId, to: Option<SocketAddr>) {
        let host = self.slots[slot].host;
        let target = to.and_then(|to| Some((self.machine_at(host, to)?, to.port())));
        let Some((target, port)) = target else {
            let life = self.slots[slot].life;
            self.heap.push(
                self.now + UNREACHABLE_AFTER,
                Event::Unreachable { slot, life, dial },
            );
            return;
        };
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let end = |host, slot| End {
            host,
            slot,
            state: EndState::Opening,
        };
        self.connections.push(Some(Box::new(Connection {
            dial,
            port,
            ends: [end(host, Some(slot)), end(target, None)],
            lanes: [Lane::new(), Lane::new()],
        })));
        self.slots[slot].connections.insert(connection);
        self.heap.push(
            self.now + DIAL_GIVES_UP_AFTER,
            Event::DialTimeout { connection },
        );
        self.send(connection, 0, Item::Flight(1), FLIGHTS[0]);
    }

    /// Schedules the actions that a reported event triggers.
    fn fire(&mut self, by: Reporter, event: &dyn ReportedEvent) {
        let plan = self.plan;
        if plan.triggers.is_empty() || self.now >= ns(plan.faults_end) {
            return;
        }
        let (word, about) = event.described();
        for (trigger, waiting) in plan.triggers.iter().enumerate() {
            let fits = waiting.fits(&self.scenario.hosts, by, word, about);
            if !fits || !self.fired.insert(trigger) {
                continue;
            }
            for (order, planned) in waiting.orders.iter().enumerate() {
                // An action that lifts a fault is due at the latest when all faults are lifted.
                let at = (self.now + ns(planned.at)).min(ns(plan.faults_end));
                self.heap.push(at, Event::Triggered { trigger, order });
            }
        }
    }

    /// Performs a triggered action, unless it has no effect any more.
    pub(super) fn on_triggered(&mut self, trigger: usize, order: usize) {
        let planned = &self.plan.triggers[trigger].orders[order];
        let runs = |host: usize, program| {
            let chosen = self.chosen(host, program);
            chosen
                .iter()
                .any(|slot| self.slots[*slot].process.is_some())
        };
        if !planned.is_idle(runs) {
            self.heap.cause = self.trace.order(self.now, planned);
            planned.execute(self);
        }
    }

    fn change_clocks(
        &mut self,
        host: usize,
        jump: Duration,
        drift_ppm: Option<i32>,
        step: Option<usize>,
    ) {
        for slot in self.slots_of(host) {
            let state = &mut self.slots[slot];
            let Some(process) = &mut state.process else {
                continue;
            };
            process.clock.change(self.now, jump, drift_ppm);
            self.fabric.bite(step, 1);
            // The wake scheduled by the old clock would be too late or too early.
            state.wake_at = super::host::NEVER;
            self.replan(slot);
        }
    }

    fn start_host(&mut self, host: usize, disk: Disk) {
        let scenario = self.scenario;
        let spec = &scenario.hosts[host];
        // A clone starts with a copy of the other machine's disk.
        if let (Some(of), 0) = (
            spec.clone_of,
            self.slots[self.hosts[host].processes.start].life,
        ) {
            self.hosts[host].disk = self.hosts[of].disk.clone();
        }
        let left = match disk {
            Disk::Keep => Left::Written,
            Disk::Synced => Left::Synced,
            Disk::Lose => Left::Nothing,
        };
        self.hosts[host].disk.crash(left, &mut self.tears);
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
        let process = self.make_process(self.slots[slot].host, slot);
        self.install(slot, process);
    }

    fn make_process(&mut self, host: usize, slot: usize) -> Process {
        let wall = self.wall(host);
        let place = slot - self.hosts[host].processes.start;
        let (state, machine) = (&mut self.slots[slot], &mut self.hosts[host]);
        state.life += 1;
        let mut seeds = self.seeds.nth_child("host", host as u64);
        if place > 0 {
            seeds = seeds.nth_child("program", place as u64);
        }
        self.invariants[state.program].on_start(host);
        let machine = self.programs[state.program].start(Start {
            scenario: self.scenario,
            host,
            program: place,
            life: state.life,
            wall,
            certificate: machine.certificate,
            random: seeds.nth_child("life", state.life.into()),
            disk: &mut machine.disk,
        });
        let drift = self.scenario.hosts[host].clock.drift_ppm;
        let clock = NodeClock::started(self.now, drift);
        Process {
            acts_on_host: machine.acts_on_host(),
            machine,
            clock,
            exited: false,
        }
    }

    /// Returns the slots of a host's processes.
    fn slots_of(&self, host: usize) -> Range<usize> {
        self.hosts[host].processes.clone()
    }

    /// Returns the slots of a host's processes of one program, or of all of its processes.
    pub(super) fn chosen(&self, host: usize, program: Option<&'static str>) -> Vec<usize> {
        let runs = |slot: &usize| self.programs[self.slots[*slot].program].name();
        let slots = self.slots_of(host);
        slots
            .filter(|slot| program.is_none_or(|program| runs(slot) == program))
            .collect()
    }

    /// Returns the number of connections with an end in one of these processes.
    fn linked(&self, slots: &[usize]) -> u64 {
        let connections = slots.iter().map(|slot| self.slots[*slot].connections.len());
        connections.sum::<usize>() as u64
    }

    /// Delivers an event to each of these processes that it concerns; returns whether there is one.
    fn notify_all(&mut self, slots: &[usize], event: impl Fn() -> ProcessEvent) -> bool {
        let mut heard = false;
        for slot in slots {
            heard |= self.notify(*slot, event());
        }
        heard
    }

    /// Stops one process of a running host; its writes in progress are dropped.
    fn stop_process(&mut self, slot: usize) {
        let host = self.slots[slot].host;
        self.hosts[host].disk.forget(slot);
        self.end_calls(slot);
        self.slots[slot].stop();
        self.close_all(slot, CloseReason::Fin);
    }

    fn stop_host(&mut self, host: usize, power_loss: bool) {
        let left = if power_loss {
            Left::Synced
        } else {
            Left::Written
        };
        let step = self.hosts[host].disk.fault_step();
        let lost = self.hosts[host].disk.crash(left, &mut self.tears);
        self.fabric.bite(step, lost);
        self.hosts[host].powered &= !power_loss;
        for slot in self.slots_of(host) {
            self.end_calls(slot);
            self.slots[slot].stop();
            if power_loss {
                for connection in std::mem::take(&mut self.slots[slot].connections) {
                    self.vanish(connection, host);
                }
            } else {
                self.close_all(slot, CloseReason::Fin);
            }
        }
    }

    /// Closes all ports and connections of a process, as the operating system does.
    fn close_all(&mut self, slot: usize, reason: CloseReason) {
        self.ports.retain(|_, of| *of != slot);
        let connections: Vec<u32> = self.slots[slot].connections.iter().copied().collect();
        for connection in connections {
            for end in 0..2 {
                if self.slot_of(connection, end) == Some(slot) {
                    self.close(connection, end, reason);
                }
            }
        }
    }
}

impl<'a> PlanExecutor<'a> for Engine<'a, '_> {
    type Done = ();

    fn start(&mut self, planned: &'a Planned, host: usize, disk: Disk) {
        self.fabric.bite(planned.step, 1);
        match planned.program {
            None => self.start_host(host, disk),
            Some(_) => self.start_processes(host, &self.chosen(host, planned.program)),
        }
    }

    fn stop(&mut self, planned: &'a Planned, host: usize, power_loss: bool) {
        let chosen = self.chosen(host, planned.program);
        let linked = self.linked(&chosen);
        self.fabric.bite(planned.step, linked);
        match planned.program {
            None => self.stop_host(host, power_loss),
            Some(_) => chosen.into_iter().for_each(|slot| self.stop_process(slot)),
        }
    }

    fn cut(&mut self, planned: &'a Planned, cut: usize) {
        let plan = self.plan;
        self.fabric.cut(cut, &plan.cuts[cut], planned.step);
    }

    fn mend(&mut self, planned: &'a Planned, cut: usize) {
        self.fabric.bite(planned.step, 1);
        self.fabric.mend(cut);
    }

    fn hold(&mut self, planned: &'a Planned, cut: usize, length: Duration) {
        let (plan, until) = (self.plan, self.now + ns(length));
        self.fabric
            .hold(self.now, until, &plan.cuts[cut], planned.step);
    }

    fn pause(&mut self, planned: &'a Planned, host: usize, length: Duration) {
        for slot in self.chosen(host, planned.program) {
            let state = &mut self.slots[slot];
            state.paused_until = state.paused_until.max(self.now + ns(length));
            state.delayed_by = planned.step;
        }
    }

    fn slow(&mut self, planned: &'a Planned, host: usize, by: Duration) {
        for slot in self.chosen(host, planned.program) {
            let state = &mut self.slots[slot];
            state.slow = ns(by);
            if planned.step.is_some() {
                state.delayed_by = planned.step;
            }
        }
    }

    fn change_clock(
        &mut self,
        planned: &'a Planned,
        host: usize,
        jump: Duration,
        drift_ppm: Option<i32>,
    ) {
        self.change_clocks(host, jump, drift_ppm, planned.step);
    }

    fn set_disk_fault(&mut self, planned: &'a Planned, host: usize, fault: Option<DiskFault>) {
        self.hosts[host].disk.set_fault(fault, planned.step);
    }

    fn change_certificate(&mut self, planned: &'a Planned, host: usize, is: Certificate) {
        self.hosts[host].certificate = is;
        let chosen = self.chosen(host, planned.program);
        let heard = self.notify_all(&chosen, || ProcessEvent::Certificate(is));
        self.fabric.bite(planned.step, u64::from(heard));
    }

    fn leave(&mut self, planned: &'a Planned, host: usize) {
        let chosen = self.chosen(host, planned.program);
        let linked = self.linked(&chosen);
        self.fabric.bite(planned.step, linked);
        self.notify_all(&chosen, || ProcessEvent::Leave);
    }

    fn own_step(&mut self, planned: &'a Planned, host: usize, action: &'a OwnAction) {
        let hosts = &self.scenario.hosts;
        let mut chosen = self.chosen(host, planned.program);
        chosen.retain(|slot| self.programs[self.slots[*slot].program].name() == action.program);
        let heard = self.notify_all(&chosen, || {
            ProcessEvent::Command(Box::new(Command {
                kind: action.word,
                name: action.word.to_owned(),
                with: action.arguments.to_json(hosts),
            }))
        });
        self.fabric.bite(planned.step, u64::from(heard));
    }

    fn command(&mut self, planned: &'a Planned, host: usize, name: &'a str, with: &'a Value) {
        let heard = self.notify_all(&self.chosen(host, planned.program), || {
            ProcessEvent::Command(Box::new(Command {
                kind: "order",
                name: name.to_owned(),
                with: with.clone(),
            }))
        });
        self.fabric.bite(planned.step, u64::from(heard));
    }

    fn set_loss(&mut self, planned: &'a Planned, ppm: Option<u32>) {
        // A step that sets the loss to zero drops no segments, so it counts as one affected item.
        self.fabric.bite(planned.step, u64::from(ppm == Some(0)));
        self.fabric.set_loss(ppm, planned.step);
    }

    fn set_latency(&mut self, planned: &'a Planned, latency: Option<Latency>) {
        self.fabric.set_latency(latency, planned.step);
    }
}
