//! The loop of a run: performs the actions of the plan, runs the hosts for one tick, takes their reports, and makes the
//! judge check the conditions.

use crate::daemon_host::{DaemonHost, WireWorld};
use crate::fabric::Fabric;
use crate::host::process;
use crate::network::HostNetwork;
use crate::pki::Certificates;
use core::time::Duration;
use phalanx_core::gossip;
use phalanx_core::random::Random;
use phalanx_core::sabotage::Sabotage;
use phalanx_net::transport::Notice;
use phalanx_sim::arguments::{ProgressLines, RunArguments};
use phalanx_sim::judge::Judge;
use phalanx_sim::judge::ending::Ending;
use phalanx_sim::mesh::event_observer::{EventObserver, Observed};
use phalanx_sim::mesh::projection::{Lives, Projection};
use phalanx_sim::mesh::trace::MeshTrace;
use phalanx_sim::mesh::{Event, MESH, daemon_of};
use phalanx_sim::model::{WALL_ZERO, address, ip};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::plan::Plan;
use phalanx_sim::scenario::{Engine as Kind, Latency, Scenario};
use phalanx_sim::schedule::Schedule;
use phalanx_sim::verdict::Failure;
use phalanx_sim::world::Scene;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Maximum number of connections or segments that wait at one socket for the process.
const TCP_CAPACITY: usize = 4096;

/// A run in progress.
pub(super) struct Engine<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) sabotage: Sabotage,
    pub(super) observer: EventObserver,
    pub(super) sim: turmoil::Sim<'static>,
    pub(super) fabric: Fabric,
    pub(super) hosts: Vec<DaemonHost>,
    pub(super) certificates: Certificates,
    pub(super) lives: Lives,
    pub(super) seeds: Random,
    /// The latency that a step set for all links.
    pub(super) latency: Option<Latency>,
    /// The changes of links in effect.
    pub(super) link_changes: Vec<usize>,
}

/// Runs a plan.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    arguments: &RunArguments,
) -> Result<Outcome, String> {
    let panics = listen_for_panics();
    let clocks = mad_turmoil::time::SimClocksGuard::init();
    let path = arguments.trace.as_deref();
    let trace = MeshTrace::new(scenario, plan, Kind::Wire, &arguments.broken, path)?;
    let mut engine = Engine::new(scenario, plan, arguments, trace)?;
    let mut judge = Judge::new(scenario, plan, check_interval(scenario.hosts.len()));
    engine.drive(&mut judge, ProgressLines::new(arguments))?;
    drop(clocks);
    let said = panics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    engine.finish(judge, arguments, &said)
}

/// Records the messages of panics in all tasks.
fn listen_for_panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let noted = panics.clone();
    std::panic::set_hook(Box::new(move |panic| {
        noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(panic.to_string());
    }));
    panics
}

/// Interval between checks of conditions; a long interval limits the cost of the checks, because each check copies
/// every machine. The interval grows with the number of hosts.
const fn check_interval(hosts: usize) -> Duration {
    Duration::from_millis(match hosts {
        0..=12 => 50,
        _ => 200,
    })
}

/// Length of a tick. Turmoil visits every pair of hosts in each tick, so runs with many hosts use longer ticks.
const fn tick(hosts: usize) -> Duration {
    Duration::from_millis(match hosts {
        0..=10 => 1,
        11..=20 => 2,
        _ => 5,
    })
}

impl<'a> Engine<'a> {
    fn new(
        scenario: &'a Scenario,
        plan: &'a Plan,
        arguments: &RunArguments,
        trace: MeshTrace,
    ) -> Result<Self, String> {
        // A latency without bounds is refused before the run: `Scenario::check_engine`.
        let (least, most) = scenario.network.latency.bounds().unwrap_or_default();
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(WALL_ZERO))
            .tick_duration(tick(scenario.hosts.len()))
            .simulation_duration(Duration::MAX)
            .min_message_latency(least)
            .max_message_latency(most)
            .tcp_capacity(TCP_CAPACITY)
            .enable_random_order()
            .build();
        let (hosts, steps) = (scenario.hosts.len(), scenario.causes());
        let fabric = Fabric::new(hosts, plan.cuts.clone(), steps, trace);
        let mut lives = Lives::new(WALL_ZERO);
        let mut hosts = Vec::new();
        let names = Arc::new(scenario.names.clone());
        for (index, spec) in scenario.hosts.iter().enumerate() {
            lives.listens(&spec.name, address(index));
            let host = DaemonHost::new();
            let slot = host.slot.clone();
            let network = HostNetwork {
                fabric: fabric.clone(),
                host: index,
                hosts: scenario.hosts.len(),
                names: Arc::clone(&names),
            };
            // Nothing runs on a host before its first boot.
            sim.host(std::net::IpAddr::V4(ip(index)), move || {
                process(slot.clone(), network.clone())
            });
            hosts.push(host);
        }
        let engine = Self {
            scenario,
            plan,
            sabotage: arguments.sabotage,
            observer: EventObserver::new(scenario, &arguments.broken)?,
            sim,
            fabric,
            hosts,
            certificates: Certificates::issue(&scenario.hosts, plan)?,
            lives,
            seeds: Random::from_seed(plan.seed).child("nodes"),
            latency: None,
            link_changes: Vec::new(),
        };
        engine.set_link_latencies();
        Ok(engine)
    }

    /// Runs until the judge has decided every expectation.
    fn drive(&mut self, judge: &mut Judge<'_>, mut progress: ProgressLines) -> Result<(), String> {
        let tick = tick(self.hosts.len());
        let mut schedule = Schedule::new(self.scenario, self.plan);
        loop {
            let now = self.sim.elapsed();
            while let Some(planned) = schedule.next(now, |host| self.hosts[host].runs) {
                self.execute(planned)?;
            }
            let due = judge.next_check() <= now + tick;
            if due {
                self.hosts.iter_mut().for_each(DaemonHost::ask);
            }
            self.sim
                .step()
                .map_err(|error| format!("a host failed: {error}"))?;
            let now = self.sim.elapsed();
            progress.at(now, || self.fabric.trace(MeshTrace::progress));
            self.hear(now, judge, &mut schedule);
            if due {
                self.hosts.iter_mut().for_each(DaemonHost::refresh);
                judge.check(now, &WireWorld(&self.hosts, self.observer.mesh()));
            }
            if now >= self.plan.end || judge.is_over(now) {
                return Ok(());
            }
        }
    }

    /// Passes the reports of nodes to the judge and the schedule.
    fn hear(&mut self, now: Duration, judge: &mut Judge<'_>, schedule: &mut Schedule<'_>) {
        for observation in self.fabric.observations() {
            self.observer.take(self.scenario, &observation);
            if let Observed::Reported(event) = &observation.what {
                let seen = WireWorld(&self.hosts, self.observer.mesh());
                judge.event(now, daemon_of(observation.host), event, &seen);
                schedule.on_report(now, daemon_of(observation.host), event);
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let mut shared = host.slot.lock();
            let Some(notices) = &mut shared.notices else {
                continue;
            };
            let mut events = Vec::new();
            while let Ok(notice) = notices.try_recv() {
                match notice {
                    Notice::Mesh(event) => events.push(Event::Mesh(event)),
                    Notice::Channel(event) => events.push(Event::Channel(event)),
                    Notice::Revocation(event) => events.push(Event::Revocation(event)),
                    Notice::RoutesChanged | Notice::Transport(_) => {}
                }
            }
            drop(shared);
            for event in events {
                self.note_expiry(now, index, &event);
                let seen = WireWorld(&self.hosts, self.observer.mesh());
                judge.event(now, daemon_of(index), &event, &seen);
                schedule.on_report(now, daemon_of(index), &event);
            }
        }
    }

    /// Counts a link that ended because of a certificate as an effect of the step that makes the certificate expire.
    fn note_expiry(&self, now: Duration, host: usize, event: &Event) {
        let Event::Mesh(gossip::Event::LinkDown { peer, reason, .. }) = event else {
            return;
        };
        let mut hosts = self.scenario.hosts.iter();
        if *reason == gossip::LinkEnd::Expired
            && let Some(peer) = hosts.position(|known| known.id == *peer)
        {
            let step = self.certificates.ending([host, peer], now);
            self.fabric.affect(step, 1);
        }
    }

    fn finish(
        self,
        judge: Judge<'_>,
        arguments: &RunArguments,
        panics: &[String],
    ) -> Result<Outcome, String> {
        let (scenario, now) = (self.scenario, self.sim.elapsed());
        let world = WireWorld(&self.hosts, self.observer.mesh());
        let scene = Scene {
            world: &world,
            hosts: &scenario.hosts,
            named: &self.plan.named,
            started: &BTreeSet::new(),
        };
        let panicked = |said: &String| Failure::new(&scenario.file, 0, "no task panics", now, said);
        let mut broken: Vec<Failure> = panics.iter().map(panicked).collect();
        broken.extend(self.observer.broken(&scenario.file));
        let bytes: u64 = self.hosts.iter().map(|host| host.sent().bytes).sum();
        let written = self.fabric.written();
        self.fabric.trace(MeshTrace::finish)?;
        let ending = Ending {
            definition: &MESH,
            engine: Kind::Wire,
            strict: arguments.strict,
            sabotage: &arguments.broken,
            now,
            trace_hash: self.fabric.hash(),
            events: self.fabric.trace(|trace| trace.inputs()),
            trace_events: self.fabric.trace(|trace| trace.events()),
            overhead_bytes: written.saturating_sub(bytes),
            affected: &self.fabric.affected(),
            broken,
            metrics: BTreeMap::from([("wire-bytes".to_owned(), written)]),
            projection: scenario
                .confluent
                .then(|| serde_json::to_value(Projection::of(&scene, &self.lives)).ok())
                .flatten(),
            halted: None,
        };
        Ok(ending.judged(judge, &world))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phalanx_sim::arguments::EngineBinary;
    use phalanx_sim::invariant::Invariant;
    use std::cell::RefCell;
    use std::rc::Rc;

    const STORY: &str = r#"
        scenario = 1
        name = "made"
        about = "One process is killed and started again, one is restarted, one leaves."
        engines = ["wire"]
        duration = "12s"
        recovery = "none"
        [[nodes]]
        count = 4
        [[at]]
        time = "4s"
        crash = "n2"
        for = "2s"
        [[at]]
        time = "5s"
        restart = { who = "n3" }
        [[at]]
        time = "7s"
        leave = "n4"
        [[expect]]
        never = { sees = { who = "n1", of = "n2", as = "left" } }
    "#;

    /// Notes the starts and ends of processes.
    struct Lifetimes(Rc<RefCell<Vec<(usize, bool)>>>);

    impl Invariant for Lifetimes {
        fn name(&self) -> &'static str {
            "lifetimes"
        }

        fn on_start(&mut self, host: usize) {
            self.0.borrow_mut().push((host, true));
        }

        fn on_end(&mut self, host: usize) {
            self.0.borrow_mut().push((host, false));
        }
    }

    #[test]
    fn an_invariant_hears_of_each_start_and_end_of_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made.toml");
        std::fs::write(&file, STORY).unwrap();
        let program = EngineBinary {
            name: "test",
            version: "",
            about: "",
        };
        let words = [file.to_str().unwrap().to_owned()];
        let arguments = RunArguments::parse(program, words.into_iter()).unwrap();
        let scenario = arguments.scenario().unwrap();
        let plan = scenario.plan(1).unwrap();
        crate::entropy::seed(1);
        let clocks = mad_turmoil::time::SimClocksGuard::init();
        let trace = MeshTrace::new(&scenario, &plan, Kind::Wire, &[], None).unwrap();
        let mut engine = Engine::new(&scenario, &plan, &arguments, trace).unwrap();
        let heard = Rc::new(RefCell::new(Vec::new()));
        engine.observer.add(Box::new(Lifetimes(Rc::clone(&heard))));
        let mut judge = Judge::new(&scenario, &plan, check_interval(4));
        let progress = ProgressLines::new(&arguments);
        engine.drive(&mut judge, progress).unwrap();
        drop(clocks);
        let heard = heard.borrow();
        let of = |host: usize| -> Vec<bool> {
            let changes = heard.iter().filter(|(changed, _)| *changed == host);
            changes.map(|(_, starts)| *starts).collect()
        };
        assert_eq!(of(0), [true]);
        assert_eq!(of(1), [true, false, true]);
        assert_eq!(of(2), [true, false, true]);
        assert_eq!(of(3), [true, false]);
    }
}
