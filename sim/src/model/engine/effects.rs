//! Performs the effects of processes: links, datagrams and ports; reads and writes; commands, signals and the
//! resolution of names.

use super::Engine;
use crate::disk::DiskError;
use crate::disk::tree::TreeError;
use crate::model::calls::Local;
use crate::model::clock::ns;
use crate::model::event::{Datagram, Operation, ScheduledEvent};
use crate::model::slot::ProcessSlot;
use crate::scenario::plan::Reporter;
use crate::world::local::{EXEC, HAND_OVER, NOT_FOUND, RESOLVE_TIME_OUT};
use crate::world::{
    Answered, CloseReason, DialId, Effect, FileContent, Finished, Invocation, Message,
    ProcessEvent, Query, Ran, Read, ReadOf, Reading, ResolveError, Resolved, Running, Signalling,
    Ticket, Writing,
};
use core::net::{IpAddr, SocketAddr};
use phalanx_core::random::Random;
use std::rc::Rc;

/// The time until a dial to an unreachable address fails, in nanoseconds.
const UNREACHABLE_AFTER: u64 = 1_000_000;
/// Exit code of a command whose program exits at its start.
const START_FAILED: i32 = 1;
/// Exit code of a command whose program was killed.
const KILLED: i32 = 137;
/// Time until a process without a resolver gets an error, in nanoseconds: the time that reading the resolver's
/// configuration takes.
const WITHOUT_RESOLVER: u64 = 1_000_000;

impl Engine<'_, '_> {
    /// Performs an effect of a process; `bytes` is the encoded size of the message that it sends, if any.
    pub(super) fn perform(&mut self, slot: usize, effect: Effect, bytes: usize) {
        match effect {
            Effect::Listen { port } => self.listen(slot, port),
            Effect::Unlisten { port } => {
                self.transport.unlisten(self.slots[slot].host(), port, slot);
            }
            Effect::Dial { dial, to } => self.dial(slot, dial, to),
            Effect::Send { link, message } => {
                let context = &mut self.context;
                if self.transport.send_message(context, link, message, bytes) {
                    self.count_sent(self.slots[slot].host(), bytes);
                }
            }
            Effect::Close { link } => {
                let context = &mut self.context;
                self.transport.close(context, link, CloseReason::Farewell);
            }
            Effect::Datagram { to, message } => self.datagram(slot, to, message, bytes),
            Effect::Write(writing) => self.write(slot, *writing),
            Effect::Read(reading) => self.read(slot, *reading),
            Effect::Run(running) => self.run_command(slot, *running),
            Effect::Finish(finished) => self.finish_command(*finished),
            Effect::Signal(order) => self.send_signal(slot, order),
            Effect::Resolve { ticket, name } => self.resolve(slot, ticket, &name),
            Effect::Answer(answered) => self.answer(slot, *answered),
            Effect::Exit => {
                self.note_end(slot);
                self.slots[slot].exit();
                self.end_calls(slot);
                let context = &mut self.context;
                self.transport
                    .close_all(context, slot, CloseReason::Farewell);
            }
            Effect::Report(event) => {
                let state = &self.slots[slot];
                let reporter = Reporter {
                    host: state.host(),
                    program: self.programs[state.program()].name(),
                };
                self.checks.report(&mut self.context, reporter, event);
            }
        }
    }

    /// Counts a message that a host sends to another.
    fn count_sent(&mut self, host: usize, bytes: usize) {
        self.hosts[host].count_sent(bytes);
        self.transport.count_segments(bytes);
    }

    /// Listens on a port, unless another process of the host listens on it.
    fn listen(&mut self, slot: usize, port: u16) {
        let state = &self.slots[slot];
        if let Err(holder) = self.transport.listen(state.host(), port, slot) {
            let failed = ScheduledEvent::ListenFailed {
                slot,
                life: state.life(),
                port,
                holder: u32::try_from(holder).unwrap_or(u32::MAX),
            };
            self.context.schedule(self.context.now(), failed);
        }
    }

    /// Notifies a process that another process listens on a port. The run fails if the process does not handle this
    /// event.
    pub(super) fn on_listen_failed(&mut self, (slot, life): (usize, u32), port: u16, by: usize) {
        if self.slots[slot].life() != life {
            return;
        }
        let holder = self.programs[self.slots[by].program()].name();
        if self.slots[slot].is_occupied()
            && !self.notify(slot, ProcessEvent::ListenFailed { port, holder })
        {
            let process = self.process_name(slot);
            let why = format!("{process} cannot listen on port {port}: {holder} does");
            self.checks.fail(self.context.now(), why);
        }
    }

    /// Sends a datagram. The datagram arrives whole or not at all, and may be reordered with other datagrams.
    fn datagram(&mut self, slot: usize, to: SocketAddr, message: Rc<dyn Message>, bytes: usize) {
        let host = self.slots[slot].host();
        let target = self.host_at(host, to);
        // Messages within a host are not traffic.
        if target != Some(host) {
            self.count_sent(host, bytes);
        }
        let Some(target) = target else {
            return;
        };
        let context = &mut self.context;
        let Some(flight) = self.transport.send_datagram(context, host, target, bytes) else {
            return;
        };
        let message = match flight.damage {
            None => Some(message),
            // The damaged message is lost if a checksum detects the damage.
            Some(seed) => message.damaged(&mut Random::from_seed(seed)),
        };
        let Some(message) = message else { return };
        for latency in [Some(flight.latency), flight.again].into_iter().flatten() {
            let datagram = Datagram {
                from: slot,
                host: target,
                port: to.port(),
                message: Rc::clone(&message),
            };
            let event = ScheduledEvent::Datagram(Box::new(datagram));
            context.schedule(context.now() + latency, event);
        }
    }

    pub(super) fn on_datagram(&mut self, datagram: Datagram) {
        let Datagram {
            from: sender,
            host,
            port,
            message,
        } = datagram;
        let from = self.slots[sender].host();
        let bytes = message.encoded_len();
        let context = &mut self.context;
        if !self.transport.passes(context, (from, host), bytes) {
            return;
        }
        if let Some(slot) = self.transport.listener(host, port)
            && self.hosts[host].is_powered()
            && self.slots[slot].runs()
        {
            let mut from = self.addresses.of(from);
            from.set_port(self.transport.source_port(sender));
            self.notify_of_message(slot, ProcessEvent::Datagram { from, message }, bytes);
        }
    }

    /// Returns the host at an address, as seen from a host: a loopback address means the host itself.
    fn host_at(&self, host: usize, to: SocketAddr) -> Option<usize> {
        if to.ip().is_loopback() {
            return Some(host);
        }
        self.addresses.host_at(to, self.hosts.len())
    }

    fn dial(&mut self, slot: usize, dial: DialId, to: Option<SocketAddr>) {
        let state = &self.slots[slot];
        let (host, life) = (state.host(), state.life());
        let target = to.and_then(|to| Some((self.host_at(host, to)?, to.port())));
        let context = &mut self.context;
        match target {
            Some(target) => self.transport.dial(context, dial, (host, slot), target),
            None => {
                let event = ScheduledEvent::Unreachable { slot, life, dial };
                context.schedule(context.now() + UNREACHABLE_AFTER, event);
            }
        }
    }

    /// Starts a write.
    pub(super) fn write(&mut self, slot: usize, ordered: Writing) {
        let state = &self.slots[slot];
        let host = &mut self.hosts[state.host()];
        let now = self.context.now();
        let (number, done) = host.begin_write(now, slot, ordered.write, ordered.synced);
        self.context.affect(host.disk().delay_step(), 1);
        let event = ScheduledEvent::Disk {
            slot,
            life: state.life(),
            operation: Box::new(Operation {
                number,
                ticket: ordered.ticket,
                retry: ordered.retry,
            }),
        };
        self.context.schedule(done, event);
    }

    pub(super) fn on_disk(&mut self, (slot, life): (usize, u32), operation: Operation) {
        if self.slots[slot].life() != life {
            return;
        }
        let host = &mut self.hosts[self.slots[slot].host()];
        let Operation {
            number,
            ticket,
            retry,
        } = operation;
        let Some(ended) = host.end_write(number) else {
            return;
        };
        let Err((reason, write, synced)) = ended else {
            self.notify(slot, ProcessEvent::Written { ticket });
            return;
        };
        self.context.affect(host.disk().fault_step(), 1);
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
        let event = ScheduledEvent::RetryWrite { slot, life, write };
        self.context.schedule(self.context.now() + ns(after), event);
    }

    /// Retries a failed write, unless its process has ended.
    pub(super) fn retry_write(&mut self, (slot, life): (usize, u32), write: Writing) {
        if self.slots[slot].life() == life && self.slots[slot].is_occupied() {
            self.write(slot, write);
        }
    }

    /// Starts a read. The read completes after the writes that were ordered before it.
    fn read(&mut self, slot: usize, reading: Reading) {
        let now = self.context.now();
        let disk = self.hosts[self.slots[slot].host()].disk();
        let done = disk.read_done(now);
        self.context.affect(disk.delay_step(), 1);
        self.later(done - now, slot, Local::Read(reading));
    }

    fn content(&self, slot: usize, reading: &Reading) -> Result<FileContent, DiskError> {
        let host = &self.hosts[self.slots[slot].host()];
        let path = reading.path.as_str();
        if path.starts_with("/proc/") {
            let mut running = self.slots[host.processes()]
                .iter()
                .filter_map(ProcessSlot::machine);
            let found = running.find_map(|machine| machine.proc_file(path));
            let absent = DiskError::Path(TreeError::NotFound);
            return found.map(FileContent::File).ok_or(absent);
        }
        if host.disk().fails_reads() {
            return Err(DiskError::Io);
        }
        let tree = host.disk().tree();
        match reading.of {
            ReadOf::File => tree
                .read(path)
                .map(|bytes| FileContent::File(bytes.to_vec())),
            ReadOf::Link => tree
                .read_link(path)
                .map(|target| FileContent::Link(target.to_owned())),
            ReadOf::Folder => tree
                .list(path)
                .map(|names| FileContent::Folder(names.into_iter().map(str::to_owned).collect())),
        }
        .map_err(DiskError::Path)
    }

    fn later(&mut self, delay: u64, slot: usize, local: Local) {
        let life = self.slots[slot].life();
        let local = Box::new(local);
        let event = ScheduledEvent::Local { slot, life, local };
        self.context.schedule(self.context.now() + delay, event);
    }

    pub(super) fn on_local(&mut self, slot: usize, life: u32, local: Local) {
        match local {
            Local::Invoke(invocation) => self.invoke(slot, invocation),
            Local::Query(query) => self.on_query(slot, query),
            Local::Answer(number, addresses) => self.on_answer(number, addresses),
            Local::Read(_) | Local::Deliver(_) if self.slots[slot].life() != life => {}
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
        let caller = (slot, self.slots[slot].life());
        self.calls.begin(caller, ticket, answers)
    }

    /// Returns the slot of a program's process on the host of another process.
    fn beside(&self, slot: usize, program: &'static str) -> Option<usize> {
        let host = self.slots[slot].host();
        self.chosen(host, Some(program)).first().copied()
    }

    fn run_command(&mut self, slot: usize, running: Running) {
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
        let host = self.slots[slot].host();
        if !self.hosts[host].is_powered() || !self.calls.is_open(number) {
            return;
        }
        if !self.slots[slot].runs()
            && let Err(error) = self.boot_for_command(slot)
        {
            let stderr = vec![error.to_string()];
            return self.finish_command(Finished {
                number,
                code: START_FAILED,
                stderr,
            });
        }
        let taken = self.notify(slot, ProcessEvent::Invoked(Box::new(invocation)));
        if !taken {
            let stderr = vec!["the program takes no commands".to_owned()];
            self.finish_command(Finished {
                number,
                code: NOT_FOUND,
                stderr,
            });
        }
    }

    /// Ends a command.
    fn finish_command(&mut self, finished: Finished) {
        let Some(((slot, life), ticket)) = self.calls.end(finished.number) else {
            return;
        };
        if self.slots[slot].life() == life {
            let ran = Ran {
                ticket,
                code: finished.code,
                stderr: finished.stderr,
            };
            let ran = ProcessEvent::Ran(Box::new(ran));
            self.later(ns(HAND_OVER), slot, Local::Deliver(ran));
        }
    }

    /// Ends the calls of a process that ended: commands that the process executes end with the process, and answers to
    /// the process's own calls are dropped.
    pub(super) fn end_calls(&mut self, slot: usize) {
        let answered = self.calls.answered_by(slot);
        self.calls.end_ordered_by(slot);
        if !self.programs[self.slots[slot].program()].resolves_names() {
            for number in answered {
                self.finish_command(Finished {
                    number,
                    code: KILLED,
                    stderr: Vec::new(),
                });
            }
        }
    }

    fn send_signal(&mut self, slot: usize, order: Signalling) {
        let Signalling {
            ticket,
            program,
            pid,
            signal,
        } = order;
        let event = ProcessEvent::Signal { pid, signal };
        let target = self.beside(slot, program).filter(|target| {
            let target = &self.slots[*target];
            let machine = target.machine().filter(|_| target.runs());
            machine.is_some_and(|machine| machine.concerns(&event))
        });
        if let Some(target) = target {
            self.later(ns(HAND_OVER), target, Local::Deliver(event));
        }
        let delivered = target.is_some();
        let answer = ProcessEvent::Signalled { ticket, delivered };
        self.later(ns(HAND_OVER), slot, Local::Deliver(answer));
    }

    /// Resolves a name for a process. The resolver is the first one on the process's host, or else the one on the first
    /// host that has a resolver.
    fn resolve(&mut self, slot: usize, ticket: Ticket, name: &str) {
        let host = self.slots[slot].host();
        let resolves = |slot: &usize| self.programs[self.slots[*slot].program()].resolves_names();
        let own = self.hosts[host].processes().find(resolves);
        let Some(target) = own.or_else(|| (0..self.slots.len()).find(resolves)) else {
            let hosts = self.context.scenario().names.get(name);
            let addresses = match hosts {
                Some(hosts) if hosts.is_empty() => Err(ResolveError::NoAddress),
                Some(hosts) => {
                    let hosts = hosts.iter();
                    Ok(hosts.map(|host| self.addresses.of(*host).ip()).collect())
                }
                None => Err(ResolveError::NoResolver),
            };
            let resolved = Box::new(Resolved { ticket, addresses });
            let answer = Local::Deliver(ProcessEvent::Resolved(resolved));
            return self.later(WITHOUT_RESOLVER, slot, answer);
        };
        let number = self.call(slot, ticket, target);
        let timed_out = Local::Answer(number, Err(ResolveError::TimedOut));
        self.later(ns(RESOLVE_TIME_OUT), slot, timed_out);
        let name = name.to_owned();
        if let Some(latency) = self.packet(host, self.slots[target].host()) {
            self.later(latency, target, Local::Query(Query { number, name }));
        }
    }

    /// Returns the latency of a packet between two hosts; `None` if the packet is lost.
    fn packet(&mut self, from: usize, to: usize) -> Option<u64> {
        if from == to {
            return Some(ns(HAND_OVER));
        }
        self.transport.packet(&mut self.context, from, to)
    }

    fn on_query(&mut self, slot: usize, query: Query) {
        if self.hosts[self.slots[slot].host()].is_powered() {
            self.notify(slot, ProcessEvent::Query(Box::new(query)));
        }
    }

    /// Delivers the answer of a resolver.
    fn answer(&mut self, slot: usize, answered: Answered) {
        let Some(caller) = self.calls.caller(answered.number) else {
            return;
        };
        let (from, to) = (self.slots[slot].host(), self.slots[caller].host());
        if let Some(latency) = self.packet(from, to) {
            let answer = Local::Answer(answered.number, answered.addresses);
            self.later(ns(answered.took) + latency, caller, answer);
        }
    }

    fn on_answer(&mut self, number: u64, addresses: Result<Vec<IpAddr>, ResolveError>) {
        let Some(((slot, life), ticket)) = self.calls.end(number) else {
            return;
        };
        if self.slots[slot].life() == life {
            let resolved = Box::new(Resolved { ticket, addresses });
            self.notify(slot, ProcessEvent::Resolved(resolved));
        }
    }
}
