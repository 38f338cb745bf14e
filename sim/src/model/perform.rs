//! Performs what machines order, and what the plan orders.

use super::address::{address, listener_at};
use super::clock::{NodeClock, ns};
use super::engine::{Engine, Event, Operation, Writing};
use super::host::Process;
use super::stream::{
    Connection, DIAL_GIVES_UP_AFTER, End, EndState, FLIGHTS, Item, Lane, segments,
};
use crate::disk::Left;
use crate::record::Held;
use crate::scenario::Disk;
use crate::scenario::plan::{Order, Planned};
use crate::system::{CloseReason, DialId, Effect, Happening, LinkId, Start, System};
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::time::Wall;

/// How long it takes to learn that an address leads nowhere.
const UNREACHABLE_AFTER: u64 = 1_000_000;

impl<'a, S: System> Engine<'a, '_, S> {
    /// Does what a machine ordered; `bytes` are those of the message, if it sends one.
    pub(super) fn perform(&mut self, host: usize, effect: Effect<S>, bytes: usize) {
        match effect {
            Effect::Dial { dial, to } => self.dial(host, dial, to),
            Effect::Send { link, message } => {
                let (connection, end) = place(link);
                let open = self.state_of(connection, end) == Some(EndState::Open);
                if !open {
                    return;
                }
                self.count(host, bytes);
                self.send(connection, end, Item::Message(message), bytes);
            }
            Effect::Close { link } => {
                let (connection, end) = place(link);
                self.close(connection, end, CloseReason::Farewell);
            }
            Effect::Datagram { to, message } => self.datagram(host, to, message, bytes),
            Effect::Write {
                ticket,
                write,
                synced,
                retry,
            } => self.write(
                host,
                Writing {
                    ticket,
                    write,
                    synced,
                    retry,
                },
            ),
            Effect::Exit => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.exited = true;
                }
                self.close_all(host, CloseReason::Farewell);
            }
            Effect::Report(event) => {
                self.fire(host, &event);
                self.reports.push((host, event));
            }
            Effect::Nothing => {}
        }
    }

    /// Counts a message that a host sends.
    fn count(&mut self, host: usize, bytes: usize) {
        let traffic = &mut self.hosts[host].traffic;
        traffic.bytes += bytes as u64;
        traffic.messages += 1;
        self.segments += u64::from(segments(bytes));
    }

    /// Sends a datagram: whole or not at all, by itself, however it comes.
    fn datagram(&mut self, host: usize, to: SocketAddr, message: S::Message, bytes: usize) {
        self.count(host, bytes);
        let Some(target) = listener_at(to, self.hosts.len()) else {
            return;
        };
        let settings = self.fabric.settings(host, target);
        let transit = self
            .fabric
            .transmit(host, target, segments(bytes), &settings);
        if transit.lost == 0 {
            self.heap.push(
                self.now + transit.latency,
                Event::Datagram {
                    from: host,
                    host: target,
                    message: Box::new(message),
                },
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

    pub(super) fn on_datagram(&mut self, from: usize, host: usize, message: S::Message) {
        let bytes = S::size(&message);
        if self.fabric.is_blocked(from, host) {
            self.fabric.swallowed(from, host, bytes);
            self.trace.held(Held {
                at: self.now,
                from,
                to: host,
                cut: true,
            });
        } else if self.hosts[host].listens() {
            let from = address(from);
            self.arrives(host, Happening::Datagram { from, message }, bytes);
        }
    }

    /// Begins a write.
    pub(super) fn write(&mut self, host: usize, ordered: Writing) {
        let state = &mut self.hosts[host];
        let (number, done) = state.disk.begin(self.now, ordered.write, ordered.synced);
        let event = Event::Disk {
            host,
            life: state.life,
            operation: Box::new(Operation {
                number,
                ticket: ordered.ticket,
                retry: ordered.retry,
            }),
        };
        self.heap.push(done, event);
    }

    pub(super) fn on_disk(&mut self, host: usize, operation: Operation) {
        let Operation {
            number,
            ticket,
            retry,
        } = operation;
        let Some(ended) = self.hosts[host].disk.end(number) else {
            return;
        };
        let Err((reason, write, synced)) = ended else {
            self.happens(host, Happening::Written { ticket });
            return;
        };
        let step = self.hosts[host].disk.fault_step();
        self.fabric.bite(step, 1);
        let Some(after) = retry else {
            self.happens(host, Happening::WriteFailed { ticket, reason });
            return;
        };
        let write = Box::new(Writing {
            ticket,
            write,
            synced,
            retry,
        });
        let life = self.hosts[host].life;
        self.heap
            .push(self.now + ns(after), Event::Again { host, life, write });
    }

    fn dial(&mut self, host: usize, dial: DialId, to: Option<SocketAddr>) {
        let target = to.and_then(|address| listener_at(address, self.hosts.len()));
        let Some(target) = target else {
            let life = self.hosts[host].life;
            self.heap.push(
                self.now + UNREACHABLE_AFTER,
                Event::Unreachable { host, life, dial },
            );
            return;
        };
        let connection = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        let end = |host| End {
            host,
            state: EndState::Opening,
        };
        self.connections.push(Some(Box::new(Connection {
            dial,
            ends: [end(host), end(target)],
            lanes: [Lane::new(), Lane::new()],
        })));
        self.hosts[host].connections.insert(connection);
        self.heap.push(
            self.now + DIAL_GIVES_UP_AFTER,
            Event::DialTimeout { connection },
        );
        self.send(connection, 0, Item::Flight(1), FLIGHTS[0]);
    }

    /// Does what the plan orders.
    pub(super) fn order(&mut self, planned: &'a Planned) {
        let plan = self.plan;
        let step = planned.step;
        match &planned.order {
            Order::Start { host, disk } => {
                self.fabric.bite(step, 1);
                self.start(*host, *disk);
            }
            Order::Stop { host, power_loss } => {
                let linked = self.hosts[*host].connections.len() as u64;
                self.fabric.bite(step, linked);
                self.stop(*host, *power_loss);
            }
            Order::Cut(cut) => self.fabric.cut(*cut, &plan.cuts[*cut], step),
            Order::Mend(cut) => {
                self.fabric.bite(step, 1);
                self.fabric.mend(*cut);
            }
            Order::Pause { host, length } => {
                let state = &mut self.hosts[*host];
                state.paused_until = state.paused_until.max(self.now + ns(*length));
                state.delayed_by = step;
            }
            Order::Slow { host, by } => {
                let state = &mut self.hosts[*host];
                state.slow = ns(*by);
                if step.is_some() {
                    state.delayed_by = step;
                }
            }
            Order::Clock {
                host,
                jump,
                drift_ppm,
            } => self.change_clock(*host, *jump, *drift_ppm, step),
            Order::Leave(host) => {
                let linked = self.hosts[*host].connections.len() as u64;
                self.fabric.bite(step, linked);
                self.happens(*host, Happening::Leave);
            }
            Order::Announce {
                host,
                services,
                metadata,
            } => {
                let heard = self.happens(*host, Happening::Announce { services, metadata });
                self.fabric.bite(step, u64::from(heard));
            }
            Order::Command { host, name, with } => {
                let heard = self.happens(*host, Happening::Command { name, with });
                self.fabric.bite(step, u64::from(heard));
            }
            Order::Disk { host, fault } => self.hosts[*host].disk.set_fault(*fault, step),
            Order::Loss(ppm) => {
                // The end of loss is no fault that could bite.
                self.fabric.bite(step, u64::from(*ppm == Some(0)));
                self.fabric.set_loss(*ppm, step);
            }
            Order::Latency(latency) => self.fabric.set_latency(*latency, step),
            Order::Hold { cut, length } => {
                let until = self.now + ns(*length);
                self.fabric.hold(self.now, until, &plan.cuts[*cut], step);
            }
            Order::Certificate { host, is } => {
                self.hosts[*host].certificate = *is;
                let heard = self.happens(*host, Happening::Certificate(*is));
                self.fabric.bite(step, u64::from(heard));
            }
        }
    }

    /// A process reported something: what waited for it comes due.
    fn fire(&mut self, host: usize, event: &S::Event) {
        let plan = self.plan;
        if plan.triggers.is_empty() || self.now >= ns(plan.faults_end) {
            return;
        }
        let (word, about) = S::event(event);
        for (trigger, waiting) in plan.triggers.iter().enumerate() {
            let fits = waiting.fits(&self.scenario.hosts, host, word, about);
            if !fits || !self.fired.insert(trigger) {
                continue;
            }
            for (order, planned) in waiting.orders.iter().enumerate() {
                // What lifts a fault comes with the lifting of all at the latest.
                let at = (self.now + ns(planned.at)).min(ns(plan.faults_end));
                self.heap.push(at, Event::Triggered { trigger, order });
            }
        }
    }

    /// Does what waited for a report, if it still makes sense.
    pub(super) fn on_triggered(&mut self, trigger: usize, order: usize) {
        let planned = &self.plan.triggers[trigger].orders[order];
        let runs = |host: usize| self.hosts[host].process.is_some();
        if !planned.order.is_idle(runs) {
            self.heap.cause = self.trace.order(self.now, planned);
            self.order(planned);
        }
    }

    fn change_clock(
        &mut self,
        host: usize,
        jump: Duration,
        drift_ppm: Option<i32>,
        step: Option<usize>,
    ) {
        let Some(process) = &mut self.hosts[host].process else {
            return;
        };
        process.clock.change(self.now, jump, drift_ppm);
        self.fabric.bite(step, 1);
        // What was planned by the old course comes too late or too early: plan anew.
        self.hosts[host].wake_at = super::host::NEVER;
        self.replan(host);
    }

    fn start(&mut self, host: usize, disk: Disk) {
        let scenario = self.scenario;
        let spec = &scenario.hosts[host];
        // A clone is a copy of the other machine's disk.
        if let (Some(of), 0) = (spec.clone_of, self.hosts[host].life) {
            self.hosts[host].disk = self.hosts[of].disk.clone();
        }
        let left = match disk {
            Disk::Keep => Left::Written,
            Disk::Synced => Left::Synced,
            Disk::Lose => Left::Nothing,
        };
        let state = &mut self.hosts[host];
        state.disk.crash(left, &mut self.tears);
        state.life += 1;
        let seconds = i64::try_from(self.now / 1_000_000_000).unwrap_or(0);
        let wall = i64::try_from(super::WALL_ZERO).unwrap_or(0)
            + seconds
            + spec.clock.offset / 1_000_000_000;
        self.invariants.on_start(host);
        let machine = self.system.start(Start {
            scenario,
            host,
            life: state.life,
            wall: Wall(u64::try_from(wall).unwrap_or(0)),
            certificate: state.certificate,
            random: self
                .seeds
                .nth_child("host", host as u64)
                .nth_child("life", state.life.into()),
            disk: &mut state.disk,
        });
        let clock = NodeClock::started(self.now, spec.clock.drift_ppm);
        self.boot(
            host,
            Process {
                machine,
                clock,
                exited: false,
            },
        );
    }

    fn stop(&mut self, host: usize, power_loss: bool) {
        let left = if power_loss {
            Left::Synced
        } else {
            Left::Written
        };
        let step = self.hosts[host].disk.fault_step();
        let lost = self.hosts[host].disk.crash(left, &mut self.tears);
        self.fabric.bite(step, lost);
        self.hosts[host].stop();
        if power_loss {
            self.hosts[host].powered = false;
            for connection in std::mem::take(&mut self.hosts[host].connections) {
                self.vanish(connection, host);
            }
        } else {
            self.close_all(host, CloseReason::Fin);
        }
    }

    /// The operating system closes everything that a process had open.
    fn close_all(&mut self, host: usize, reason: CloseReason) {
        let connections: Vec<u32> = self.hosts[host].connections.iter().copied().collect();
        for connection in connections {
            for end in 0..2 {
                if self.host_of(connection, end) == Some(host) {
                    self.close(connection, end, reason);
                }
            }
        }
    }
}

/// The connection and end that a link id means.
pub(super) const fn place(link: LinkId) -> (u32, usize) {
    ((link.0 >> 1) as u32, (link.0 & 1) as usize)
}

/// The link id of a connection's end.
pub(super) const fn link(connection: u32, end: usize) -> LinkId {
    LinkId((connection as u64) << 1 | end as u64)
}
