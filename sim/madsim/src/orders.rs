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
use phalanx_sim::mesh::{self, APPLICATIONS, HostApplications};
use phalanx_sim::model::{WALL_ZERO, address};
use phalanx_sim::scenario::plan::executor::{ClockChange, PlanExecutor};
use phalanx_sim::scenario::plan::{Plan, Planned, ScheduledAction};
use phalanx_sim::scenario::{CertificateChange, Disk, DiskFault, Latency, OwnAction, Trouble};
use serde_json::Value;
use std::time::Duration;

/// Returns whether a plan pauses nodes.
pub(crate) fn pauses(plan: &Plan) -> bool {
    let triggered = plan.triggers.iter().flat_map(|waiting| &waiting.actions);
    plan.actions
        .iter()
        .chain(triggered)
        .any(|planned| matches!(planned.action, ScheduledAction::Pause { .. }))
}

/// The name of this engine in errors.
const ENGINE: &str = "madsim";

/// An input that an action gives to the daemon of a host.
type Given = Option<(usize, Input)>;

impl<'p> PlanExecutor<'p> for Engine {
    type Done = Result<Given, String>;

    fn start(&mut self, planned: &'p Planned, host: usize, disk: Disk) -> Self::Done {
        self.fabric.affect(planned.step, 1);
        self.start_host(host, disk);
        Ok(None)
    }

    fn stop(&mut self, planned: &'p Planned, host: usize, power_loss: bool) -> Self::Done {
        if power_loss {
            return Err(planned.unsupported(ENGINE));
        }
        let links = self.fabric.slot(host).links();
        self.fabric.affect(planned.step, links);
        Handle::current().kill(self.nodes[host].id());
        self.fabric.slot(host).clear();
        self.observer.ends(host);
        self.runs[host] = false;
        Ok(None)
    }

    fn no_power(&mut self, _planned: &'p Planned, _host: usize) -> Self::Done {
        Ok(None)
    }

    fn cut(&mut self, planned: &'p Planned, cut: usize) -> Self::Done {
        self.fabric.cut(cut, planned.step);
        self.clog();
        Ok(None)
    }

    fn heal(&mut self, planned: &'p Planned, cut: usize) -> Self::Done {
        self.fabric.affect(planned.step, 1);
        self.fabric.heal(cut);
        self.clog();
        Ok(None)
    }

    fn hold(&mut self, planned: &'p Planned, _cut: usize, _length: Duration) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn pause(&mut self, planned: &'p Planned, host: usize, length: Duration) -> Self::Done {
        if self.runs[host] {
            let until = self.fabric.now() + length;
            Handle::current().pause(self.nodes[host].id());
            self.fabric.pause(host, Some(planned.step));
            self.paused[host] = Some(until);
        }
        Ok(None)
    }

    fn slow(&mut self, planned: &'p Planned, _host: usize, by: Duration) -> Self::Done {
        planned.only_lifts(by.is_zero(), ENGINE).map(|()| None)
    }

    fn change_clock(
        &mut self,
        planned: &'p Planned,
        _host: usize,
        _change: ClockChange,
    ) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn set_trouble(
        &mut self,
        planned: &'p Planned,
        _host: usize,
        _trouble: Trouble,
        _on: bool,
    ) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn move_host(&mut self, planned: &'p Planned, _host: usize) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn change_links(&mut self, planned: &'p Planned, _change: usize, _on: bool) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn reset(&mut self, planned: &'p Planned, _cut: usize) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn set_disk_fault(
        &mut self,
        planned: &'p Planned,
        _host: usize,
        _fault: Option<DiskFault>,
    ) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn change_certificate(
        &mut self,
        planned: &'p Planned,
        _host: usize,
        _is: CertificateChange,
    ) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn leave(&mut self, planned: &'p Planned, host: usize) -> Self::Done {
        let links = self.fabric.slot(host).links();
        self.fabric.affect(planned.step, links);
        Ok(Some((host, mesh_input(gossip::Input::Leave))))
    }

    fn own_step(&mut self, planned: &'p Planned, host: usize, action: &'p OwnAction) -> Self::Done {
        if !self.runs[host] {
            return Ok(None);
        }
        let scenario = &self.run.scenario;
        let arguments = action.arguments.to_json(&scenario.hosts);
        let published = mesh::Published::read(&arguments)?;
        let content = node_start::announced(scenario, host, published);
        self.fabric.affect(planned.step, 1);
        Ok(Some((host, mesh_input(gossip::Input::Announce(content)))))
    }

    fn command(
        &mut self,
        planned: &'p Planned,
        host: usize,
        name: &'p str,
        with: &'p Value,
    ) -> Self::Done {
        let order = mesh::AppCommand::read(name, with)?;
        if !self.runs[host] {
            return Ok(None);
        }
        self.fabric.command(host, planned);
        Ok(Some((host, Input::Command(order))))
    }

    fn set_loss(&mut self, planned: &'p Planned, ppm: Option<u32>) -> Self::Done {
        planned.only_lifts(ppm.is_none(), ENGINE).map(|()| None)
    }

    fn set_latency(&mut self, planned: &'p Planned, latency: Option<Latency>) -> Self::Done {
        planned.only_lifts(latency.is_none(), ENGINE).map(|()| None)
    }
}

const fn mesh_input(input: gossip::Input) -> Input {
    Input::Node(node::Input::Mesh(input))
}

impl Engine {
    /// Performs one action of the plan.
    pub(super) async fn execute(&mut self, planned: &Planned) -> Result<(), String> {
        let now = self.fabric.now();
        self.fabric.trace(|trace| trace.action(now, planned));
        if let Some((host, input)) = planned.execute(self)? {
            self.give(host, input).await;
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

    async fn give(&self, host: usize, input: Input) {
        if let Some(handle) = self.fabric.slot(host).handle() {
            // A node that has ended needs no inputs.
            let _ended = handle.send(input).await.is_err();
        }
    }

    fn start_host(&mut self, host: usize, disk: Disk) {
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
            shared.kept.clear();
        }
        shared.stored += 1;
        let epoch = shared.stored;
        self.lives_of[host] += 1;
        let mut random = node_start::randomness(&self.seeds, host, self.lives_of[host]);
        let life = NodeStart {
            scenario: &run.scenario,
            host,
            epoch,
            kept: &shared.kept,
            address: address(host),
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
            applications: HostApplications::new(
                HostApplications::ids(&run.scenario),
                host,
                life,
                random,
            ),
            opens: mesh::channels(spec),
        });
        self.observer.starts(&run.scenario, host);
        drop(shared);
        slot.clear();
        self.runs[host] = true;
        Handle::current().restart(self.nodes[host].id());
    }
}
