//! Performs what machines order, and what the plan orders.

use super::clock::{NodeClock, ns};
use super::engine::{Engine, Event};
use super::host::{Process, address, host_at};
use super::stream::{
    Connection, DIAL_GIVES_UP_AFTER, End, EndState, FLIGHTS, Item, Lane, segments,
};
use crate::scenario::Disk;
use crate::scenario::plan::Order;
use phalanx_core::gossip::{self, Address, CloseReason, Config, DialError, DialId, LinkId, Output};
use phalanx_core::node::Node;
use phalanx_core::size::Encoded;
use phalanx_core::time::{Instant, Wall};
use phalanx_core::topology::record::Content;

/// How long an epoch takes to become durable.
const FSYNC: u64 = 2_000_000;
/// How long it takes to learn that an address leads nowhere.
const UNREACHABLE_AFTER: u64 = 1_000_000;

impl Engine<'_, '_> {
    /// Does what a machine ordered.
    pub(super) fn perform(&mut self, host: usize, order: Output) {
        match order {
            Output::Dial { dial, address } => self.dial(host, dial, &address),
            Output::Send { link, message } => {
                let (connection, end) = place(link);
                let open = self.state_of(connection, end) == Some(EndState::Open);
                if !open {
                    return;
                }
                let bytes = message.encoded_len();
                let traffic = &mut self.hosts[host].traffic;
                traffic.bytes += bytes as u64;
                traffic.messages += 1;
                self.segments += u64::from(segments(bytes));
                self.send(connection, end, Item::Message(message), bytes);
            }
            Output::Close { link } => {
                let (connection, end) = place(link);
                self.close(connection, end, CloseReason::Ended);
            }
            Output::Store { ticket, epoch } => {
                let life = self.hosts[host].life;
                self.heap.push(
                    self.now + FSYNC,
                    Event::Stored {
                        host,
                        life,
                        ticket,
                        epoch,
                    },
                );
            }
            Output::Left => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.exited = true;
                }
                self.close_all(host, CloseReason::Ended);
            }
            Output::Report(event) => self.reports.push((host, event)),
        }
    }

    fn dial(&mut self, host: usize, dial: DialId, to: &Address) {
        let target = match to {
            Address::Socket(address) => host_at(*address, self.hosts.len()),
            Address::Name(_) => None,
        };
        let Some(target) = target else {
            let life = self.hosts[host].life;
            let error = DialError::Unreachable;
            self.heap.push(
                self.now + UNREACHABLE_AFTER,
                Event::DialFailed {
                    host,
                    life,
                    dial,
                    error,
                },
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
            lanes: [Lane::default(), Lane::default()],
        })));
        self.hosts[host].connections.insert(connection);
        self.heap.push(
            self.now + DIAL_GIVES_UP_AFTER,
            Event::DialTimeout { connection },
        );
        self.send(connection, 0, Item::Flight(1), FLIGHTS[0]);
    }

    /// Does what the plan orders.
    pub(super) fn order(&mut self, index: usize) {
        let plan = self.plan;
        let planned = &plan.orders[index];
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
                self.input(*host, gossip::Input::Leave);
            }
            Order::Announce {
                host,
                services,
                metadata,
            } => {
                let Some(process) = &self.hosts[*host].process else {
                    return;
                };
                let mut content = process.node.mesh().record().content().clone();
                content.services.clone_from(services);
                content.metadata.clone_from(metadata);
                self.fabric.bite(step, 1);
                self.input(*host, gossip::Input::Announce(content));
            }
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
            // Refused before the run: `Scenario::check_engine`.
            Order::Disk { .. } | Order::Certificate { .. } => {}
        }
    }

    fn change_clock(
        &mut self,
        host: usize,
        jump: core::time::Duration,
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
        let spec = &self.scenario.hosts[host];
        // A clone is a copy of the other machine's disk.
        if let (Some(of), 0) = (spec.clone_of, self.hosts[host].life) {
            self.hosts[host].stored = self.hosts[of].stored;
        }
        if disk == Disk::Lose {
            self.hosts[host].stored = None;
        }
        let state = &mut self.hosts[host];
        state.life += 1;
        let epoch = state.stored.unwrap_or(0) + 1;
        state.stored = Some(epoch);
        let mut seeds = self
            .seeds
            .nth_child("host", host as u64)
            .nth_child("life", state.life.into());
        let instance = u32::try_from(seeds.next_u64() >> 32).unwrap_or(1).max(1);
        let seconds = i64::try_from(self.now / 1_000_000_000).unwrap_or(0);
        let wall = i64::try_from(super::WALL_ZERO).unwrap_or(0)
            + seconds
            + spec.clock.offset / 1_000_000_000;
        let content = Content {
            nickname: String::new(),
            kind: spec.kind.clone(),
            address: spec.dialable.then(|| address(host)),
            joined: Wall(u64::try_from(wall).unwrap_or(0)),
            services: spec.services.clone(),
            metadata: spec.metadata.clone(),
        };
        let others = self.scenario.seeds.iter().filter(|seed| **seed != host);
        let targets = others.map(|seed| Address::Socket(address(*seed))).collect();
        let mut config = Config::new(spec.id.clone(), "sim", epoch, instance, content, targets);
        config.tuning = self.scenario.tuning_of(host);
        config.sabotage = self.sabotage;
        self.lives.start(&spec.id, epoch, instance);
        self.invariants.on_start(host, &spec.id);
        let clock = NodeClock::started(self.now, spec.clock.drift_ppm);
        let node = Node::new(config, seeds.next_u64(), Instant::ZERO);
        self.boot(
            host,
            Process {
                node,
                clock,
                exited: false,
            },
        );
    }

    fn stop(&mut self, host: usize, power_loss: bool) {
        self.hosts[host].stop();
        if power_loss {
            self.hosts[host].powered = false;
            for connection in std::mem::take(&mut self.hosts[host].connections) {
                self.vanish(connection, host);
            }
        } else {
            self.close_all(host, CloseReason::Lost);
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
