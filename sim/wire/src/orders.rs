//! Performs the actions of the plan on the network and on hosts.

use crate::applications::ApplicationProgram;
use crate::engine::Engine;
use crate::host::Boot;
use phalanx_core::gossip::{Input, decode_addresses};
use phalanx_core::time::Wall;
use phalanx_net::store::MemoryStore;
use phalanx_net::store::addresses::ADDRESSES;
use phalanx_net::store::epoch::{self, EPOCH};
use phalanx_sim::mesh::node_start::{self, NodeStart};
use phalanx_sim::mesh::{APPLICATIONS, HostApplications, Published, channels};
use phalanx_sim::model::{WALL_ZERO, address, ip};
use phalanx_sim::scenario::plan::Planned;
use phalanx_sim::scenario::plan::executor::{ClockChange, PlanExecutor};
use phalanx_sim::scenario::{
    CertificateChange, Disk, DiskFault, Latency, LinkSetting, OwnAction, Trouble,
};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

/// The name of this engine in errors.
const ENGINE: &str = "wire";

impl<'p> PlanExecutor<'p> for Engine<'_> {
    type Done = Result<(), String>;

    fn start(&mut self, planned: &'p Planned, host: usize, disk: Disk) -> Self::Done {
        self.fabric.affect(planned.step, 1);
        self.start_host(host, disk);
        Ok(())
    }

    fn stop(&mut self, planned: &'p Planned, host: usize, power_loss: bool) -> Self::Done {
        let linked = self.linked(host);
        self.fabric.affect(planned.step, linked);
        self.stop_host(host, power_loss);
        Ok(())
    }

    fn no_power(&mut self, _planned: &'p Planned, _host: usize) -> Self::Done {
        Ok(())
    }

    fn cut(&mut self, planned: &'p Planned, cut: usize) -> Self::Done {
        self.fabric.cut(cut, planned.step);
        Ok(())
    }

    fn heal(&mut self, planned: &'p Planned, cut: usize) -> Self::Done {
        self.fabric.affect(planned.step, 1);
        self.fabric.heal(cut);
        Ok(())
    }

    fn hold(&mut self, planned: &'p Planned, _cut: usize, _length: Duration) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn pause(&mut self, planned: &'p Planned, _host: usize, _length: Duration) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn slow(&mut self, planned: &'p Planned, _host: usize, by: Duration) -> Self::Done {
        planned.only_lifts(by.is_zero(), ENGINE)
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
        host: usize,
        trouble: Trouble,
        on: bool,
    ) -> Self::Done {
        match trouble {
            Trouble::Refuse => {
                self.fabric.refuse(host, on, planned.step.filter(|_| on));
                Ok(())
            }
            Trouble::SlowDisk(_) | Trouble::NatIdle(_) => Err(planned.unsupported(ENGINE)),
        }
    }

    fn move_host(&mut self, planned: &'p Planned, _host: usize) -> Self::Done {
        Err(planned.unsupported(ENGINE))
    }

    fn change_links(&mut self, planned: &'p Planned, change: usize, on: bool) -> Self::Done {
        if on {
            self.link_changes.push(change);
            // Every message on these links is affected, but the engine counts the change as one item.
            self.fabric.affect(planned.step, 1);
        } else {
            self.link_changes.retain(|active| *active != change);
        }
        self.set_link_latencies();
        Ok(())
    }

    fn reset(&mut self, planned: &'p Planned, cut: usize) -> Self::Done {
        self.fabric.reset(cut, planned.step);
        Ok(())
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
        host: usize,
        is: CertificateChange,
    ) -> Self::Done {
        self.certificate(host, is, planned.step)
    }

    fn leave(&mut self, planned: &'p Planned, host: usize) -> Self::Done {
        let linked = self.linked(host);
        self.fabric.affect(planned.step, linked);
        self.hosts[host].notify(Input::Leave);
        Ok(())
    }

    fn own_step(&mut self, planned: &'p Planned, host: usize, action: &'p OwnAction) -> Self::Done {
        if self.hosts[host].runs {
            let arguments = action.arguments.to_json(&self.scenario.hosts);
            let published = Published::read(&arguments)?;
            let content = node_start::announced(self.scenario, host, published);
            self.fabric.affect(planned.step, 1);
            self.hosts[host].notify(Input::Announce(content));
        }
        Ok(())
    }

    fn command(
        &mut self,
        planned: &'p Planned,
        host: usize,
        name: &'p str,
        with: &'p Value,
    ) -> Self::Done {
        let order = phalanx_sim::mesh::AppCommand::read(name, with)?;
        let given = self.hosts[host].order(order);
        if given {
            self.fabric.command(host, planned);
        }
        Ok(())
    }

    fn set_loss(&mut self, planned: &'p Planned, ppm: Option<u32>) -> Self::Done {
        planned.only_lifts(ppm.is_none(), ENGINE)
    }

    fn set_latency(&mut self, planned: &'p Planned, latency: Option<Latency>) -> Self::Done {
        let step = planned.step.filter(|_| latency.is_some());
        self.fabric.latency_by(step);
        self.latency = latency;
        self.set_link_latencies();
        Ok(())
    }
}

impl Engine<'_> {
    /// Performs one action of the plan.
    pub(super) fn execute(&mut self, planned: &Planned) -> Result<(), String> {
        let now = self.sim.elapsed();
        self.fabric.trace(|trace| trace.action(now, planned));
        planned.execute(self)
    }

    /// Performs a change of a host's certificate.
    fn certificate(
        &mut self,
        host: usize,
        is: CertificateChange,
        step: Option<usize>,
    ) -> Result<(), String> {
        match is {
            // The certificate was already issued with this expiry.
            CertificateChange::Expired => Ok(()),
            CertificateChange::Rotated => {
                let linked = self.linked(host).max(1);
                self.fabric.affect(step, linked);
                let identity = self.certificates.rotate(host, self.sim.elapsed())?;
                match self.hosts[host].node() {
                    Some(node) => node
                        .renew(identity.clone())
                        .map_err(|error| error.to_string()),
                    None => Ok(()),
                }
            }
            CertificateChange::Revoked => Err("engine wire cannot revoke certificates".to_owned()),
        }
    }

    fn linked(&self, host: usize) -> u64 {
        self.hosts[host]
            .node()
            .map_or(0, |node| node.links() as u64)
    }

    /// Sets the latency of each link: from a step for chosen links, from a step for all links, or from the scenario.
    pub(super) fn set_link_latencies(&self) {
        let count = self.hosts.len();
        for (from, to) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            let network = self.scenario.network_between(from, to);
            let changes = self.link_changes.iter().rev();
            let mut changes = changes.map(|change| &self.plan.link_changes[*change]);
            let chosen = changes.find_map(|change| match change.setting {
                LinkSetting::Latency(latency) => change.pairs.blocks(from, to).then_some(latency),
                LinkSetting::Loss(_)
                | LinkSetting::Bandwidth(_)
                | LinkSetting::Mtu(_)
                | LinkSetting::Duplicate(_)
                | LinkSetting::Corrupt(_) => None,
            });
            let latency = chosen.or(self.latency).unwrap_or(network.latency);
            // A latency without bounds is refused before the run: `Scenario::check_engine`.
            let (min, max) = latency.bounds().unwrap_or_default();
            let (from, to) = (ip(from).into(), ip(to).into());
            let ends: (IpAddr, IpAddr) = (from, to);
            self.sim.set_link_latency(ends.0, ends.1, min);
            self.sim.set_link_max_message_latency(ends.0, ends.1, max);
        }
    }

    fn start_host(&mut self, host: usize, disk: Disk) {
        let spec = &self.scenario.hosts[host];
        // A clone starts with a copy of the other host's disk.
        if let (Some(of), 0) = (spec.clone_of, self.hosts[host].life) {
            self.hosts[host].store = self.hosts[of].store.copy();
        }
        if disk == Disk::Lose {
            self.hosts[host].store = MemoryStore::default();
        }
        let state = &mut self.hosts[host];
        state.sent_before = state.sent();
        state.life += 1;
        // A process of an earlier life, whose writes may still be in progress, must not share the disk.
        state.store = state.store.copy();
        let epoch = stored_epoch(&state.store) + 1;
        state.store.set(EPOCH, epoch::encode(epoch));
        let kept = kept_addresses(&state.store);
        let mut random = node_start::randomness(&self.seeds, host, u64::from(state.life));
        let life = NodeStart {
            scenario: self.scenario,
            host,
            epoch,
            kept: &kept,
            address: address(host),
            wall: Wall(WALL_ZERO + self.sim.elapsed().as_secs()),
            sabotage: self.sabotage,
        };
        let config = life.config(&mut random);
        self.lives.start(&config.id, epoch, config.instance);
        let (seed, store) = (random.next_u64(), state.store.clone());
        let random = random.child(APPLICATIONS);
        let (given, orders) = mpsc::unbounded_channel();
        let program = ApplicationProgram {
            applications: HostApplications::new(
                HostApplications::ids(self.scenario),
                host,
                state.life,
                random,
            ),
            opens: channels(spec),
            orders,
        };
        state.orders = Some(given);
        self.observer.starts(self.scenario, host);
        let identity = self.certificates.of(host).clone();
        let mut shared = state.slot.lock();
        shared.boot = Some(Boot {
            config,
            seed,
            identity,
            store,
            program,
        });
        (shared.node, shared.left) = (None, None);
        drop(shared);
        state.runs = true;
        (state.seen, state.question) = (None, None);
        self.fabric.power(host, true);
        self.sim.bounce(IpAddr::V4(ip(host)));
    }

    fn stop_host(&mut self, host: usize, power_loss: bool) {
        if power_loss {
            self.fabric.power(host, false);
        }
        self.fabric.listen(host, false);
        self.sim.crash(IpAddr::V4(ip(host)));
        self.observer.ends(host);
        let state = &mut self.hosts[host];
        state.runs = false;
        state.orders = None;
        (state.seen, state.question) = (None, None);
    }
}

/// Returns the epoch that the last life of a host stored; 0 before its first life.
fn stored_epoch(store: &MemoryStore) -> u64 {
    let stored = store.item(EPOCH).map(|bytes| epoch::decode(&bytes));
    stored.map_or(0, |epoch| {
        epoch.expect("the engine stored the epoch itself")
    })
}

/// Returns the addresses of members that an earlier life of a host stored.
fn kept_addresses(store: &MemoryStore) -> Vec<SocketAddr> {
    let stored = store.item(ADDRESSES).map(|bytes| decode_addresses(&bytes));
    stored.map_or(Vec::new(), |kept| {
        kept.expect("the engine stored the addresses itself")
    })
}
