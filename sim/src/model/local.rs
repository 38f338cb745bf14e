//! Performs the effects within a host: reads, commands, signals; and the resolution of names.

use super::calls::Local;
use super::clock::{WALL_ZERO, ns};
use super::engine::{Engine, Event};
use crate::disk::DiskError;
use crate::world::local::{EXEC, HAND_OVER, NOT_FOUND, RESOLVE_TIME_OUT};
use crate::world::{
    Answered, Content, Finished, Invocation, LocalHost, ProcessEvent, Query, Ran, Read, ReadOf,
    Reading, ResolveError, Resolved, Running, Signalling, Ticket,
};
use core::net::IpAddr;
use phalanx_core::time::Wall;

/// Exit code of a command whose program was killed.
const KILLED: i32 = 137;
/// Time until a process without a resolver gets its answer, in nanoseconds: the time to read its configuration.
const WITHOUT_RESOLVER: u64 = 1_000_000;

impl Engine<'_, '_> {
    fn later(&mut self, delay: u64, slot: usize, local: Local) {
        let life = self.slots[slot].life;
        let local = Box::new(local);
        let event = Event::Local { slot, life, local };
        self.heap.push(self.now + delay, event);
    }

    pub(super) fn on_local(&mut self, slot: usize, life: u32, local: Local) {
        match local {
            Local::Invoke(invocation) => self.invoke(slot, invocation),
            Local::Query(query) => self.on_query(slot, query),
            Local::Answer(number, addresses) => self.answered(number, addresses),
            Local::Read(_) | Local::Deliver(_) if self.slots[slot].life != life => {}
            Local::Read(reading) => {
                let content = self.content(slot, &reading);
                let ticket = reading.ticket;
                let read = Box::new(Read { ticket, content });
                self.notify(slot, ProcessEvent::Read(read));
            }
            Local::Deliver(event) => {
                self.notify(slot, event);
            }
        }
    }

    fn call(&mut self, slot: usize, ticket: Ticket, answers: usize) -> u64 {
        let caller = (slot, self.slots[slot].life);
        self.calls.begin(caller, ticket, answers)
    }

    /// Starts a read. It completes after the writes that were ordered before it.
    pub(super) fn read(&mut self, slot: usize, reading: Reading) {
        let done = self.hosts[self.slots[slot].host].disk.read_done(self.now);
        self.later(done - self.now, slot, Local::Read(reading));
    }

    fn content(&self, slot: usize, reading: &Reading) -> Result<Content, DiskError> {
        let host = &self.hosts[self.slots[slot].host];
        let path = reading.path.as_str();
        if path.starts_with("/proc/") {
            let running = self.slots[host.processes.clone()].iter();
            let mut running = running.filter_map(|slot| slot.process.as_ref());
            let found = running.find_map(|process| process.machine.proc_file(path));
            let absent = DiskError::Path(crate::disk::tree::TreeError::NotFound);
            return found.map(Content::File).ok_or(absent);
        }
        if host.disk.fails_reads() {
            return Err(DiskError::Io);
        }
        let tree = host.disk.tree();
        match reading.of {
            ReadOf::File => tree.read(path).map(|bytes| Content::File(bytes.to_vec())),
            ReadOf::Link => tree
                .read_link(path)
                .map(|target| Content::Link(target.to_owned())),
            ReadOf::Folder => tree
                .list(path)
                .map(|names| Content::Folder(names.into_iter().map(str::to_owned).collect())),
        }
        .map_err(DiskError::Path)
    }

    /// Returns the slot of a program's process on the host of another process.
    fn beside(&self, slot: usize, program: &'static str) -> Option<usize> {
        let host = self.slots[slot].host;
        self.chosen(host, Some(program)).first().copied()
    }

    pub(super) fn run_command(&mut self, slot: usize, running: Running) {
        let Running {
            ticket,
            program,
            arguments,
        } = running;
        let Some(target) = self.beside(slot, program) else {
            let ran = Ran {
                ticket,
                code: NOT_FOUND,
                stderr: vec![format!("{program}: command not found")],
            };
            let ran = ProcessEvent::Ran(Box::new(ran));
            return self.later(ns(EXEC), slot, Local::Deliver(ran));
        };
        let number = self.call(slot, ticket, target);
        let invocation = Invocation { number, arguments };
        self.later(ns(EXEC), target, Local::Invoke(invocation));
    }

    fn invoke(&mut self, slot: usize, invocation: Invocation) {
        let number = invocation.number;
        let host = self.slots[slot].host;
        if !self.hosts[host].powered || !self.calls.is_open(number) {
            return;
        }
        if !self.slots[slot].runs() {
            self.boot_for_command(slot);
        }
        let taken = self.notify(slot, ProcessEvent::Invoked(Box::new(invocation)));
        if !taken {
            let stderr = vec!["the program takes no commands".to_owned()];
            self.finish(Finished {
                number,
                code: NOT_FOUND,
                stderr,
            });
        }
    }

    /// Ends a command.
    pub(super) fn finish(&mut self, finished: Finished) {
        let Some(((slot, life), ticket)) = self.calls.end(finished.number) else {
            return;
        };
        if self.slots[slot].life == life {
            let ran = Ran {
                ticket,
                code: finished.code,
                stderr: finished.stderr,
            };
            let ran = ProcessEvent::Ran(Box::new(ran));
            self.later(ns(HAND_OVER), slot, Local::Deliver(ran));
        }
    }

    /// Ends the calls of a process that ended: the commands that it executes end with it, and the answers to its own
    /// are dropped.
    pub(super) fn end_calls(&mut self, slot: usize) {
        let answered = self.calls.answered_by(slot);
        self.calls.end_ordered_by(slot);
        if !self.programs[self.slots[slot].program].resolves_names() {
            for number in answered {
                self.finish(Finished {
                    number,
                    code: KILLED,
                    stderr: Vec::new(),
                });
            }
        }
    }

    pub(super) fn send_signal(&mut self, slot: usize, order: Signalling) {
        let Signalling {
            ticket,
            program,
            pid,
            signal,
        } = order;
        let event = ProcessEvent::Signal { pid, signal };
        let target = self.beside(slot, program).filter(|target| {
            let target = &self.slots[*target];
            let process = target.process.as_ref().filter(|_| target.runs());
            process.is_some_and(|process| process.machine.concerns(&event))
        });
        if let Some(target) = target {
            self.later(ns(HAND_OVER), target, Local::Deliver(event));
        }
        let delivered = target.is_some();
        let answer = ProcessEvent::Signalled { ticket, delivered };
        self.later(ns(HAND_OVER), slot, Local::Deliver(answer));
    }

    /// Resolves a name for a process. The resolver is the first on its own host, or else on the first host that has
    /// one.
    pub(super) fn resolve(&mut self, slot: usize, ticket: Ticket, name: &str) {
        let host = self.slots[slot].host;
        let resolves = |slot: &usize| self.programs[self.slots[*slot].program].resolves_names();
        let own = self.hosts[host].processes.clone().find(resolves);
        let Some(target) = own.or_else(|| (0..self.slots.len()).find(resolves)) else {
            let addresses = Err(ResolveError::NoResolver);
            let resolved = Box::new(Resolved { ticket, addresses });
            let answer = Local::Deliver(ProcessEvent::Resolved(resolved));
            return self.later(WITHOUT_RESOLVER, slot, answer);
        };
        let number = self.call(slot, ticket, target);
        let timed_out = Local::Answer(number, Err(ResolveError::TimedOut));
        self.later(ns(RESOLVE_TIME_OUT), slot, timed_out);
        let name = name.to_owned();
        if let Some(latency) = self.packet(host, self.slots[target].host) {
            self.later(latency, target, Local::Query(Query { number, name }));
        }
    }

    /// Returns the latency of a packet between two hosts; `None` if it is lost.
    fn packet(&mut self, from: usize, to: usize) -> Option<u64> {
        if from == to {
            return Some(ns(HAND_OVER));
        }
        let settings = self.fabric.settings(from, to);
        let transit = self.fabric.transmit(from, to, 1, &settings);
        (transit.lost == 0 && !self.fabric.is_blocked(from, to)).then_some(transit.latency)
    }

    fn on_query(&mut self, slot: usize, query: Query) {
        if self.hosts[self.slots[slot].host].powered {
            self.notify(slot, ProcessEvent::Query(Box::new(query)));
        }
    }

    /// Delivers the answer of a resolver.
    pub(super) fn answer(&mut self, slot: usize, answered: Answered) {
        let Some(caller) = self.calls.caller(answered.number) else {
            return;
        };
        let (from, to) = (self.slots[slot].host, self.slots[caller].host);
        if let Some(latency) = self.packet(from, to) {
            let answer = Local::Answer(answered.number, answered.addresses);
            self.later(ns(answered.took) + latency, caller, answer);
        }
    }

    fn answered(&mut self, number: u64, addresses: Result<Vec<IpAddr>, ResolveError>) {
        let Some(((slot, life), ticket)) = self.calls.end(number) else {
            return;
        };
        if self.slots[slot].life == life {
            let resolved = Box::new(Resolved { ticket, addresses });
            self.notify(slot, ProcessEvent::Resolved(resolved));
        }
    }

    /// Returns the wall clock of a host.
    pub(super) fn wall(&self, host: usize) -> Wall {
        let seconds = i64::try_from(self.now / 1_000_000_000).unwrap_or(0);
        let offset = self.scenario.hosts[host].clock.offset / 1_000_000_000;
        let zero = i64::try_from(WALL_ZERO).unwrap_or(0);
        Wall(u64::try_from(zero + seconds + offset).unwrap_or(0))
    }

    /// Passes an event to a process that accesses its host directly within the step.
    pub(super) fn act_on_host(
        &mut self,
        slot: usize,
        local: phalanx_core::time::Instant,
        event: ProcessEvent,
    ) {
        let host = self.slots[slot].host;
        let wall = self.wall(host);
        let ports = self.ports.range((host, 0)..=(host, u16::MAX));
        let taken = ports
            .filter(|(_, of)| **of != slot)
            .map(|((_, port), _)| *port);
        let here = LocalHost {
            taken: taken.collect(),
            files: &mut self.hosts[host].disk,
            wall,
        };
        if let Some(process) = &mut self.slots[slot].process {
            process
                .machine
                .on_event_at(local, event, here, &mut self.effects);
        }
    }

    /// Stops listening on a port.
    pub(super) fn unlisten(&mut self, slot: usize, port: u16) {
        let host = self.slots[slot].host;
        if self.ports.get(&(host, port)) == Some(&slot) {
            self.ports.remove(&(host, port));
            self.slots[slot].ports.retain(|own| *own != port);
        }
    }
}
