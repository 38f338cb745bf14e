//! Performs the actions of the plan on the network and on hosts.

use crate::engine::Engine;
use crate::host::Boot;
use madsim::net::NetSim;
use madsim::runtime::Handle;
use phalanx_core::gossip;
use phalanx_core::node;
use phalanx_core::time::Wall;
use phalanx_sim::mesh::daemon::Input;
use phalanx_sim::mesh::node_start::{self, NodeStart};
use phalanx_sim::mesh::{self, APPLICATIONS, Applications};
use phalanx_sim::model::WALL_ZERO;
use phalanx_sim::scenario::Disk;
use phalanx_sim::scenario::plan::{Plan, Planned, ScheduledAction};

/// Returns whether a plan pauses nodes.
pub(crate) fn pauses(plan: &Plan) -> bool {
    let triggered = plan.triggers.iter().flat_map(|waiting| &waiting.orders);
    plan.orders
        .iter()
        .chain(triggered)
        .any(|planned| matches!(planned.order, ScheduledAction::Pause { .. }))
}

impl Engine {
    /// Performs one action of the plan.
    pub(super) async fn order(&mut self, planned: &Planned) -> Result<(), String> {
        let step = planned.step;
        let now = self.fabric.now();
        self.fabric.trace(|trace| trace.order(now, planned));
        match &planned.order {
            ScheduledAction::Start { host, disk } => {
                self.fabric.affect(step, 1);
                self.start(*host, *disk);
            }
            ScheduledAction::Stop {
                host,
                power_loss: false,
            } => {
                self.fabric.affect(step, self.fabric.slot(*host).links());
                Handle::current().kill(self.nodes[*host].id());
                self.fabric.slot(*host).clear();
                self.runs[*host] = false;
            }
            ScheduledAction::Cut(cut) => {
                self.fabric.cut(*cut, step);
                self.clog();
            }
            ScheduledAction::Heal(cut) => {
                self.fabric.affect(step, 1);
                self.fabric.heal(*cut);
                self.clog();
            }
            ScheduledAction::Pause { host, length } => {
                if self.runs[*host] {
                    let until = self.fabric.now() + *length;
                    Handle::current().pause(self.nodes[*host].id());
                    self.fabric.pause(*host, Some(step));
                    self.paused[*host] = Some(until);
                }
            }
            ScheduledAction::Leave(host) => {
                self.fabric.affect(step, self.fabric.slot(*host).links());
                self.notify(*host, gossip::Input::Leave).await;
            }
            ScheduledAction::Own { host, action } => {
                if self.runs[*host] {
                    let scenario = &self.run.scenario;
                    let arguments = action.arguments.to_json(&scenario.hosts);
                    let published = mesh::Published::read(&arguments)?;
                    let content = node_start::announced(scenario, *host, published);
                    self.fabric.affect(step, 1);
                    self.notify(*host, gossip::Input::Announce(content)).await;
                }
            }
            ScheduledAction::Command { host, name, with } => {
                let order = mesh::AppCommand::read(name, with)?;
                if self.runs[*host] {
                    self.fabric.affect(step, 1);
                    self.give(*host, Input::Command(order)).await;
                }
            }
            // Every scenario lifts all faults at its end, also faults that it never makes.
            ScheduledAction::Loss(None) | ScheduledAction::Latency(None) => {}
            ScheduledAction::Slow { by, .. } if by.is_zero() => {}
            ScheduledAction::Stop { .. }
            | ScheduledAction::Loss(_)
            | ScheduledAction::Latency(_)
            | ScheduledAction::Slow { .. }
            | ScheduledAction::Clock { .. }
            | ScheduledAction::Hold { .. }
            | ScheduledAction::Disk { .. }
            | ScheduledAction::Certificate { .. } => {
                return Err(format!(
                    "engine madsim cannot do {:?}; use --engine model",
                    planned.order
                ));
            }
        }
        Ok(())
    }

    /// Resumes the hosts whose pause is over.
    pub(super) fn resume(&mut self) {
        let now = self.fabric.now();
        for host in 0..self.paused.len() {
            if self.paused[host].is_some_and(|until| until <= now) {
                self.paused[host] = None;
                self.fabric.pause(host, None);
                Handle::current().resume(self.nodes[host].id());
            }
        }
    }

    /// Applies the active cuts to madsim's network.
    fn clog(&self) {
        let net = NetSim::current();
        let count = self.nodes.len();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            let (source, target) = (self.nodes[from].id(), self.nodes[to].id());
            if self.fabric.blocks(from, to) {
                net.clog_link(source, target);
            } else {
                net.unclog_link(source, target);
            }
        }
    }

    async fn notify(&self, host: usize, input: gossip::Input) {
        self.give(host, Input::Node(node::Input::Mesh(input))).await;
    }

    async fn give(&self, host: usize, input: Input) {
        if let Some(handle) = self.fabric.slot(host).handle() {
            // A node that has ended needs no inputs.
            let _ended = handle.send(input).await.is_err();
        }
    }

    fn start(&mut self, host: usize, disk: Disk) {
        let run = self.run.clone();
        let spec = &run.scenario.hosts[host];
        // A clone starts with a copy of the other host's disk.
        let copied = spec
            .clone_of
            .filter(|_| self.lives_of[host] == 0)
            .map(|of| self.fabric.slot(of).lock().stored);
        let slot = self.fabric.slot(host).clone();
        let mut shared = slot.lock();
        shared.stored = copied.unwrap_or(shared.stored);
        if disk == Disk::Lose {
            shared.stored = 0;
        }
        shared.stored += 1;
        let epoch = shared.stored;
        self.lives_of[host] += 1;
        let mut random = node_start::randomness(&self.seeds, host, self.lives_of[host]);
        let life = NodeStart {
            scenario: &run.scenario,
            host,
            epoch,
            wall: Wall(WALL_ZERO + self.fabric.now().as_secs()),
            sabotage: run.arguments.sabotage,
        };
        let config = life.config(&mut random);
        self.lives.start(&config.id, epoch, config.instance);
        let seed = random.next_u64();
        let life = u32::try_from(self.lives_of[host]).unwrap_or(u32::MAX);
        let random = random.child(APPLICATIONS);
        shared.boot = Some(Boot {
            config,
            seed,
            applications: Applications::new(Applications::ids(&run.scenario), host, life, random),
            opens: mesh::channels(spec),
        });
        self.observer.starts(&run.scenario, host);
        drop(shared);
        slot.clear();
        self.runs[host] = true;
        Handle::current().restart(self.nodes[host].id());
    }
}
