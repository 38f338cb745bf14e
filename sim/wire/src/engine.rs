//! The loop: does what the plan orders, lets the hosts run for one tick, hears what they report, lets the judge look.

use crate::arguments::Arguments;
use crate::fabric::{self, Fabric};
use crate::host::{Boot, Slot, process};
use crate::network::HostNetwork;
use crate::pki;
use crate::trace::Trace;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use phalanx_core::gossip::{Address, Config, Gossip, Input, Sabotage};
use phalanx_core::random::Random;
use phalanx_core::time::Wall;
use phalanx_core::topology::record::Content;
use phalanx_net::driver::Stopped;
use phalanx_net::identity::Identity;
use phalanx_net::store::MemoryEpoch;
use phalanx_net::transport::{MeshNode, Notice};
use phalanx_sim::judge::Judge;
use phalanx_sim::model::WALL_ZERO;
use phalanx_sim::outcome::{Failure, Outcome, Vacuous, Verdict};
use phalanx_sim::projection::{Lives, Projection};
use phalanx_sim::scenario::plan::{Order, Plan, Planned};
use phalanx_sim::scenario::{Disk, Engine as Kind, Scenario};
use phalanx_sim::world::{Traffic, World};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Connections and segments that wait at one socket.
const TCP_CAPACITY: usize = 4096;

/// A question to a running node, and its answer when it comes.
type Question = Pin<Box<dyn Future<Output = Result<Gossip, Stopped>>>>;

/// One machine as the engine sees it.
struct Host {
    slot: Slot,
    store: MemoryEpoch,
    /// How often its process was started.
    life: u32,
    /// Its process was started and not stopped.
    runs: bool,
    /// The latest look at its machine.
    seen: Option<Gossip>,
    question: Option<Question>,
    /// What its earlier lives sent.
    sent_before: Traffic,
}

impl Host {
    fn new() -> Self {
        Self {
            slot: Slot::default(),
            store: MemoryEpoch::default(),
            life: 0,
            runs: false,
            seen: None,
            question: None,
            sent_before: Traffic::default(),
        }
    }

    fn node(&self) -> Option<MeshNode> {
        self.slot.lock().node.clone()
    }

    fn sent(&self) -> Traffic {
        let now = self.node().map(|node| node.traffic()).unwrap_or_default();
        Traffic {
            bytes: self.sent_before.bytes + now.bytes_sent,
            messages: self.sent_before.messages + now.messages_sent,
        }
    }

    /// Asks the machine to show itself; the answer comes with the next tick.
    fn ask(&mut self) {
        self.question = self.node().filter(|_| self.runs).map(|node| {
            let question: Question =
                Box::pin(async move { node.driver().inspect(|node, _| node.mesh().clone()).await });
            question
        });
        self.look();
    }

    /// Takes the answer, if it is there.
    fn look(&mut self) {
        let Some(question) = &mut self.question else {
            return;
        };
        match question
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(mesh)) => self.seen = Some(mesh),
            // The node left: it is shown as it was then.
            Poll::Ready(Err(Stopped)) => {
                let left = self.slot.lock().left.clone();
                self.seen = left.or_else(|| self.seen.take());
            }
            Poll::Pending => return,
        }
        self.question = None;
    }

    /// Delivers an input; it is taken with the next tick.
    fn tell(&self, input: Input) {
        if let Some(node) = self.node() {
            let mut sending = Box::pin(async move { node.send(input).await });
            // The inbox is far from full, so that one poll delivers; a node that ended needs no orders.
            let _delivered = sending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// The machines as the judge sees them.
struct Seen<'a>(&'a [Host]);

impl World for Seen<'_> {
    fn mesh(&self, host: usize) -> Option<&Gossip> {
        self.0[host].seen.as_ref()
    }

    fn traffic(&self, host: usize) -> Traffic {
        self.0[host].sent()
    }
}

/// A run in progress.
struct Engine<'a> {
    scenario: &'a Scenario,
    plan: &'a Plan,
    sabotage: Sabotage,
    sim: turmoil::Sim<'static>,
    fabric: Fabric,
    hosts: Vec<Host>,
    identities: Vec<Identity>,
    lives: Lives,
    seeds: Random,
}

/// Runs a plan.
pub(crate) fn run(
    scenario: &Scenario,
    plan: &Plan,
    arguments: &Arguments,
) -> Result<Outcome, String> {
    let panics = listen_for_panics();
    let clocks = mad_turmoil::time::SimClocksGuard::init();
    let trace = Trace::to(arguments.trace.as_deref())?;
    let mut engine = Engine::new(scenario, plan, arguments.sabotage, trace)?;
    let mut judge = Judge::new(scenario, plan, check_interval(scenario.hosts.len()));
    engine.drive(&mut judge)?;
    drop(clocks);
    let said = panics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    engine.finish(judge, arguments.strict, &said)
}

/// Notes what panics say, whichever task they end.
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

/// How often conditions are checked: each check copies every machine.
const fn check_interval(hosts: usize) -> Duration {
    Duration::from_millis(match hosts {
        0..=12 => 50,
        _ => 200,
    })
}

/// Turmoil looks at every pair of hosts in every tick: many hosts get longer ones.
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
        sabotage: Sabotage,
        trace: Trace,
    ) -> Result<Self, String> {
        let network = scenario.network;
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(WALL_ZERO))
            .tick_duration(tick(scenario.hosts.len()))
            .simulation_duration(Duration::MAX)
            .min_message_latency(network.latency_min)
            .max_message_latency(network.latency_max)
            .tcp_capacity(TCP_CAPACITY)
            .enable_random_order()
            .build();
        let names = scenario.hosts.iter().map(|host| host.name.clone());
        let fabric = Fabric::new(names, plan.cuts.clone(), scenario.steps.len(), trace);
        let mut lives = Lives::new(WALL_ZERO);
        let mut hosts = Vec::new();
        for (index, spec) in scenario.hosts.iter().enumerate() {
            lives.listens(&spec.name, fabric::address(index));
            let host = Host::new();
            let slot = host.slot.clone();
            let network = HostNetwork {
                fabric: fabric.clone(),
                host: index,
                hosts: scenario.hosts.len(),
            };
            // Nothing runs on a host before its first boot.
            sim.host(std::net::IpAddr::V4(fabric::ip(index)), move || {
                process(slot.clone(), network.clone())
            });
            hosts.push(host);
        }
        let engine = Self {
            scenario,
            plan,
            sabotage,
            sim,
            fabric,
            hosts,
            identities: pki::issue(&scenario.hosts)?,
            lives,
            seeds: Random::from_seed(plan.seed).child("nodes"),
        };
        engine.set_latency(None);
        Ok(engine)
    }

    /// Runs until everything is decided.
    fn drive(&mut self, judge: &mut Judge<'_>) -> Result<(), String> {
        let tick = tick(self.hosts.len());
        let mut orders = self.plan.orders.iter().peekable();
        loop {
            let now = self.sim.elapsed();
            while let Some(planned) = orders.next_if(|planned| planned.at <= now) {
                self.order(planned)?;
            }
            let due = judge.next_check() <= now + tick;
            if due {
                self.hosts.iter_mut().for_each(Host::ask);
            }
            self.sim
                .step()
                .map_err(|error| format!("a host failed: {error}"))?;
            let now = self.sim.elapsed();
            self.hear(now, judge);
            if due {
                self.hosts.iter_mut().for_each(Host::look);
                judge.check(now, &Seen(&self.hosts));
            }
            if now >= self.plan.end || judge.is_over(now) {
                return Ok(());
            }
        }
    }

    /// Passes on what nodes reported.
    fn hear(&self, now: Duration, judge: &mut Judge<'_>) {
        for (index, host) in self.hosts.iter().enumerate() {
            let mut shared = host.slot.lock();
            let Some(notices) = &mut shared.notices else {
                continue;
            };
            let mut events = Vec::new();
            while let Ok(notice) = notices.try_recv() {
                if let Notice::Mesh(event) = notice {
                    events.push(event);
                }
            }
            drop(shared);
            for event in events {
                judge.event(now, index, &event, &Seen(&self.hosts));
            }
        }
    }

    /// Does what the plan orders.
    fn order(&mut self, planned: &Planned) -> Result<(), String> {
        let step = planned.step;
        match &planned.order {
            Order::Start { host, disk } => {
                self.fabric.bite(step, 1);
                self.start(*host, *disk);
            }
            Order::Stop { host, power_loss } => {
                let linked = self.linked(*host);
                self.fabric.bite(step, linked);
                self.stop(*host, *power_loss);
            }
            Order::Cut(cut) => self.fabric.cut(*cut, step),
            Order::Mend(cut) => {
                self.fabric.bite(step, 1);
                self.fabric.mend(*cut);
            }
            Order::Leave(host) => {
                let linked = self.linked(*host);
                self.fabric.bite(step, linked);
                self.hosts[*host].tell(Input::Leave);
            }
            Order::Announce {
                host,
                services,
                metadata,
            } => {
                if self.hosts[*host].runs {
                    // The machine keeps its address and its time of joining.
                    let (address, joined) = (None, Wall(0));
                    let mut content = Content {
                        address,
                        joined,
                        ..self.content(*host)
                    };
                    content.services.clone_from(services);
                    content.metadata.clone_from(metadata);
                    self.fabric.bite(step, 1);
                    self.hosts[*host].tell(Input::Announce(content));
                }
            }
            Order::Latency(range) => {
                self.fabric.latency_by(step.filter(|_| range.is_some()));
                self.set_latency(*range);
            }
            // Lifted at the end of every scenario.
            Order::Loss(None) => {}
            Order::Slow { by, .. } if by.is_zero() => {}
            Order::Loss(_) | Order::Slow { .. } | Order::Pause { .. } | Order::Clock { .. } => {
                return Err(format!(
                    "engine wire cannot do {:?}; use --engine model",
                    planned.order
                ));
            }
        }
        Ok(())
    }

    fn linked(&self, host: usize) -> u64 {
        self.hosts[host]
            .node()
            .map_or(0, |node| node.links() as u64)
    }

    fn set_latency(&self, range: Option<(Duration, Duration)>) {
        let count = self.hosts.len();
        for (from, to) in (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))) {
            let network = self.scenario.network_between(from, to);
            let (min, max) = range.unwrap_or((network.latency_min, network.latency_max));
            let (from, to) = (fabric::ip(from).into(), fabric::ip(to).into());
            let ends: (std::net::IpAddr, std::net::IpAddr) = (from, to);
            self.sim.set_link_latency(ends.0, ends.1, min);
            self.sim.set_link_max_message_latency(ends.0, ends.1, max);
        }
    }

    /// What a host publishes at its start.
    fn content(&self, host: usize) -> Content {
        let spec = &self.scenario.hosts[host];
        Content {
            nickname: String::new(),
            kind: spec.kind.clone(),
            address: spec.dialable.then(|| fabric::address(host)),
            joined: Wall(WALL_ZERO + self.sim.elapsed().as_secs()),
            services: spec.services.clone(),
            metadata: spec.metadata.clone(),
        }
    }

    fn start(&mut self, host: usize, disk: Disk) {
        let spec = &self.scenario.hosts[host];
        // A clone is a copy of the other machine's disk.
        if let (Some(of), 0) = (spec.clone_of, self.hosts[host].life) {
            self.hosts[host].store = MemoryEpoch::holding(self.hosts[of].store.stored());
        }
        if disk == Disk::Lose {
            self.hosts[host].store = MemoryEpoch::default();
        }
        let content = self.content(host);
        let state = &mut self.hosts[host];
        state.sent_before = state.sent();
        state.life += 1;
        let epoch = state.store.stored() + 1;
        state.store = MemoryEpoch::holding(epoch);
        let life = u64::from(state.life);
        let mut seeds = self
            .seeds
            .nth_child("host", host as u64)
            .nth_child("life", life);
        let instance = u32::try_from(seeds.next_u64() >> 32).unwrap_or(1).max(1);
        let others = self.scenario.seeds.iter().filter(|seed| **seed != host);
        let targets = others
            .map(|seed| Address::Socket(fabric::address(*seed)))
            .collect();
        let mut config = Config::new(
            spec.id.clone(),
            pki::MESH,
            epoch,
            instance,
            content,
            targets,
        );
        config.tuning = self.scenario.tuning.tuning();
        config.sabotage = self.sabotage;
        self.lives.start(&spec.id, epoch, instance);
        let (seed, store) = (seeds.next_u64(), state.store.clone());
        let identity = self.identities[host].clone();
        let mut shared = state.slot.lock();
        shared.boot = Some(Boot {
            config,
            seed,
            identity,
            store,
        });
        (shared.node, shared.left) = (None, None);
        drop(shared);
        state.runs = true;
        (state.seen, state.question) = (None, None);
        self.fabric.power(host, true);
        self.sim.bounce(std::net::IpAddr::V4(fabric::ip(host)));
    }

    fn stop(&mut self, host: usize, power_loss: bool) {
        if power_loss {
            self.fabric.power(host, false);
        }
        self.fabric.listen(host, false);
        self.sim.crash(std::net::IpAddr::V4(fabric::ip(host)));
        let state = &mut self.hosts[host];
        state.runs = false;
        (state.seen, state.question) = (None, None);
    }

    fn finish(self, judge: Judge<'_>, strict: bool, panics: &[String]) -> Result<Outcome, String> {
        let (scenario, now) = (self.scenario, self.sim.elapsed());
        let world = Seen(&self.hosts);
        let (mut failures, mut metrics) = judge.finish(now, &world);
        let fail = |line, expectation: &str, why: &str| {
            Failure::new(&scenario.file, line, expectation, now, why)
        };
        failures.extend(panics.iter().map(|said| fail(0, "no task panics", said)));
        let vacuous = self.vacuous();
        if strict {
            failures.extend(vacuous.iter().map(|fault| {
                let text = format!("the step `{}` does something", fault.step);
                fail(fault.line, &text, &fault.why)
            }));
        }
        let traffic = self.hosts.iter().map(Host::sent);
        let (messages, bytes) = traffic.fold((0, 0), |sum, sent| {
            (sum.0 + sent.messages, sum.1 + sent.bytes)
        });
        let written = self.fabric.written();
        metrics.insert("wire-bytes".to_owned(), written);
        self.fabric.trace(Trace::finish)?;
        Ok(Outcome {
            scenario: scenario.name.clone(),
            engine: Kind::Wire,
            seed: self.plan.seed,
            outcome: if failures.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail
            },
            trace_hash: format!("{:016x}", self.fabric.trace(|trace| trace.hash())),
            virtual_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            wall_ms: 0,
            events: self.fabric.trace(|trace| trace.events()),
            messages,
            bytes,
            overhead_bytes: written.saturating_sub(bytes),
            nodes: scenario.hosts.len(),
            metrics,
            failures: failures
                .into_iter()
                .map(|failure| failure.reproduced_by(Kind::Wire, self.plan.seed))
                .collect(),
            vacuous,
            projection: scenario
                .confluent
                .then(|| Projection::of(&world, &scenario.hosts, &self.lives)),
        })
    }

    /// The steps that were ordered and bit nothing.
    fn vacuous(&self) -> Vec<Vacuous> {
        let bites = self.fabric.bites();
        let mut found = Vec::new();
        for (index, step) in self.scenario.steps.iter().enumerate() {
            if bites[index] > 0 {
                continue;
            }
            let ordered = self
                .plan
                .orders
                .iter()
                .any(|planned| planned.step == Some(index));
            let why = if ordered {
                "it touched nothing: no byte, no link, no input"
            } else {
                "it chose nobody"
            };
            let (line, step, why) = (step.line, step.action.word().to_owned(), why.to_owned());
            found.push(Vacuous { line, step, why });
        }
        found
    }
}
