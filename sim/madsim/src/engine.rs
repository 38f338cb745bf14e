//! The loop of a run: performs the actions of the plan, advances time, takes the reports of hosts, and makes the judge
//! check the conditions.

use crate::Run;
use crate::fabric::Fabric;
use crate::host::process;
use core::time::Duration;
use madsim::Config;
use madsim::runtime::{Handle, NodeHandle};
use phalanx_core::node::Node;
use phalanx_core::random::Random;
use phalanx_sim::arguments::ProgressLines;
use phalanx_sim::judge::Judge;
use phalanx_sim::judge::ending::Ending;
use phalanx_sim::mesh::event_observer::{EventObserver, Observed};
use phalanx_sim::mesh::projection::{Lives, Projection};
use phalanx_sim::mesh::trace::MeshTrace;
use phalanx_sim::mesh::{MESH, daemon_of};
use phalanx_sim::model::{WALL_ZERO, address, ip};
use phalanx_sim::outcome::Outcome;
use phalanx_sim::scenario::{Engine as Kind, Scenario};
use phalanx_sim::schedule::Schedule;
use phalanx_sim::world::{HostTraffic, ProcessView, Program, Scene, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time;

/// An empty set of hosts. Only selectors that draw read the set of started hosts, and the final state contains no such
/// selector.
static NOBODY: BTreeSet<usize> = BTreeSet::new();

/// Granularity of actions, reports and checks.
const TICK: Duration = Duration::from_millis(10);

/// A run in progress.
pub(super) struct Engine {
    pub(super) run: Arc<Run>,
    pub(super) fabric: Fabric,
    pub(super) observer: EventObserver,
    pub(super) nodes: Vec<NodeHandle>,
    /// Whether a host's process was started and not stopped.
    pub(super) runs: Vec<bool>,
    /// The number of times that each host's process was started.
    pub(super) lives_of: Vec<u64>,
    /// The end of each host's pause.
    pub(super) paused: Vec<Option<Duration>>,
    pub(super) lives: Lives,
    pub(super) seeds: Random,
    /// The latest copy of each machine.
    seen: Vec<Option<Node>>,
}

/// The network of a scenario.
pub(crate) fn config(scenario: &Scenario) -> Config {
    let mut config = Config::default();
    // A latency without bounds is refused before the run: `Scenario::check_engine`.
    let (least, most) = scenario.network.latency.bounds().unwrap_or_default();
    config.net.send_latency = least..most.max(least + Duration::from_nanos(1));
    config
}

/// Performs the prepared run.
pub(crate) async fn run(run: Arc<Run>) -> Result<Outcome, String> {
    let Run {
        scenario,
        plan,
        arguments,
    } = &*run;
    let path = arguments.trace.as_deref();
    let trace = MeshTrace::new(scenario, plan, Kind::Madsim, &arguments.broken, path)?;
    let mut engine = Engine::new(&run, trace)?;
    let interval = Duration::from_millis(if run.scenario.hosts.len() <= 12 {
        50
    } else {
        200
    });
    let mut judge = Judge::new(&run.scenario, &run.plan, interval);
    engine.drive(&mut judge).await?;
    engine.finish(judge)
}

impl Engine {
    fn new(run: &Arc<Run>, trace: MeshTrace) -> Result<Self, String> {
        let fabric = Fabric::new(&run.scenario, run.plan.cuts.clone(), trace);
        let mut lives = Lives::new(WALL_ZERO);
        let mut nodes = Vec::new();
        for (index, spec) in run.scenario.hosts.iter().enumerate() {
            lives.listens(&spec.name, address(index));
            let inside = fabric.clone();
            // Nothing runs on a host before its first boot.
            let node = Handle::current()
                .create_node()
                .name(&spec.name)
                .ip(IpAddr::V4(ip(index)))
                .init(move || process(inside.clone(), index))
                .build();
            nodes.push(node);
        }
        let count = nodes.len();
        Ok(Self {
            run: Arc::clone(run),
            fabric,
            observer: EventObserver::new(&run.scenario, &run.arguments.broken)?,
            nodes,
            runs: vec![false; count],
            lives_of: vec![0; count],
            paused: vec![None; count],
            lives,
            seeds: Random::from_seed(run.plan.seed).child("nodes"),
            seen: vec![None; count],
        })
    }

    /// Runs until the judge has decided every expectation.
    async fn drive(&mut self, judge: &mut Judge<'_>) -> Result<(), String> {
        let run = Arc::clone(&self.run);
        let mut schedule = Schedule::new(&run.scenario, &run.plan);
        let mut progress = ProgressLines::new(&run.arguments);
        loop {
            let now = self.fabric.now();
            self.resume();
            while let Some(planned) = schedule.next(now, |host| self.runs[host]) {
                self.execute(planned).await?;
            }
            time::sleep(TICK).await;
            let now = self.fabric.now();
            progress.at(now, || self.fabric.trace(MeshTrace::progress));
            for observation in self.fabric.observations() {
                self.observer.take(&run.scenario, &observation);
                if let Observed::Reported(event) = &observation.what {
                    judge.event(now, daemon_of(observation.host), event, &*self);
                    schedule.on_report(now, daemon_of(observation.host), event);
                }
            }
            if judge.next_check() <= now {
                for host in 0..self.seen.len() {
                    self.seen[host] = self.fabric.slot(host).look();
                }
                judge.check(now, &*self);
            }
            if now >= run.plan.end || judge.is_over(now) {
                return Ok(());
            }
        }
    }

    fn finish(self, judge: Judge<'_>) -> Result<Outcome, String> {
        let run = Arc::clone(&self.run);
        self.fabric.trace(MeshTrace::finish)?;
        let ending = Ending {
            definition: &MESH,
            engine: Kind::Madsim,
            strict: run.arguments.strict,
            sabotage: &run.arguments.broken,
            now: self.fabric.now(),
            trace_hash: self.fabric.trace(|trace| trace.hash()),
            events: self.fabric.trace(|trace| trace.inputs()),
            trace_events: self.fabric.trace(|trace| trace.events()),
            overhead_bytes: 0,
            affected: &self.fabric.affected(),
            broken: self.observer.broken(&run.scenario.file),
            metrics: BTreeMap::new(),
            projection: run
                .scenario
                .confluent
                .then(|| serde_json::to_value(Projection::of(&self.scene(), &self.lives)).ok())
                .flatten(),
            halted: None,
        };
        Ok(ending.judged(judge, &self))
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            world: self,
            hosts: &self.run.scenario.hosts,
            named: &self.run.plan.named,
            started: &NOBODY,
        }
    }
}

/// The machines as the judge sees them.
impl World for Engine {
    fn view(&self, host: usize) -> Option<&dyn ProcessView> {
        let node = self.seen[host].as_ref()?;
        Some(node)
    }

    fn traffic(&self, host: usize) -> HostTraffic {
        self.fabric.sent(host)
    }

    fn program(&self, index: usize) -> Option<&dyn Program> {
        (index == 0).then_some(self.observer.mesh())
    }
}
