//! The network between the hosts, and the state of the hosts that the engine reads. Clones share the network and the
//! state.

use crate::host::Slot;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::link::ResolutionError;
use phalanx_core::node;
use phalanx_sim::mesh::Event;
use phalanx_sim::mesh::event_observer::{Observation, Observed};
use phalanx_sim::mesh::node_start::resolved;
use phalanx_sim::mesh::refusals::Refusals;
use phalanx_sim::mesh::trace::MeshTrace;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::scenario::plan::{Cut, Planned};
use phalanx_sim::world::HostTraffic;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Size of a connection attempt, in bytes.
const SYN: u64 = 60;

/// The network, and the hosts as the engine sees them.
#[derive(Clone)]
pub(crate) struct Fabric {
    hosts: Arc<Vec<Host>>,
    /// The names, each with the hosts whose addresses the name has.
    names: Arc<BTreeMap<String, Vec<usize>>>,
    state: Arc<Mutex<State>>,
    begun: Instant,
}

struct Host {
    id: NodeId,
    slot: Slot,
}

struct State {
    cuts: Vec<Cut>,
    /// The active cuts, each with the step that made it.
    active: Vec<(usize, Option<usize>)>,
    /// For each paused host, the step that paused it.
    paused: Vec<Option<Option<usize>>>,
    /// The number of effects of each step.
    affected: Vec<u64>,
    refusals: Refusals,
    sent: Vec<HostTraffic>,
    /// Observations that the engine has not taken.
    observations: Vec<Observation>,
    trace: MeshTrace,
}

impl Fabric {
    pub(crate) fn new(scenario: &Scenario, cuts: Vec<Cut>, trace: MeshTrace) -> Self {
        let hosts: Vec<Host> = scenario
            .hosts
            .iter()
            .map(|host| Host {
                id: host.id.clone(),
                slot: Slot::default(),
            })
            .collect();
        let state = State {
            cuts,
            active: Vec::new(),
            paused: vec![None; hosts.len()],
            affected: vec![0; scenario.causes()],
            refusals: Refusals::default(),
            sent: vec![HostTraffic::default(); hosts.len()],
            observations: Vec::new(),
            trace,
        };
        Self {
            hosts: Arc::new(hosts),
            names: Arc::new(scenario.names.clone()),
            state: Arc::new(Mutex::new(state)),
            begun: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Virtual time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.begun)
    }

    /// The number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn slot(&self, host: usize) -> &Slot {
        &self.hosts[host].slot
    }

    /// The id in a host's certificate.
    pub(crate) fn id(&self, host: usize) -> NodeId {
        self.hosts[host].id.clone()
    }

    /// Begins a cut.
    pub(crate) fn cut(&self, cut: usize, step: Option<usize>) {
        self.lock().active.push((cut, step));
    }

    /// Ends a cut.
    pub(crate) fn heal(&self, cut: usize) {
        self.lock().active.retain(|(active, _)| *active != cut);
    }

    /// Pauses a host by order of a step, or resumes it.
    pub(crate) fn pause(&self, host: usize, step: Option<Option<usize>>) {
        self.lock().paused[host] = step;
    }

    /// Counts effects of a step.
    pub(crate) fn affect(&self, step: Option<usize>, by: u64) {
        self.lock().affect(step, by);
    }

    /// Counts a command that a host takes.
    pub(crate) fn command(&self, host: usize, planned: &Planned) {
        let mut state = self.lock();
        let effects = state.refusals.command(host, planned);
        state.affect(planned.step, effects);
    }

    /// The number of effects of each step.
    pub(crate) fn affected(&self) -> Vec<u64> {
        self.lock().affected.clone()
    }

    /// Returns whether packets from one host to another are blocked.
    pub(crate) fn blocks(&self, from: usize, to: usize) -> bool {
        let state = self.lock();
        from != to
            && state
                .active
                .iter()
                .any(|(cut, _)| state.cuts[*cut].blocks(from, to))
    }

    /// Counts a sent message, and the faults that affect it.
    pub(crate) fn carry(&self, from: usize, to: usize, bytes: usize) {
        let mut state = self.lock();
        state.sent[from].bytes += bytes as u64;
        state.sent[from].messages += 1;
        state.meet(from, to, bytes as u64);
    }

    /// Counts a connection attempt that gets no answer.
    pub(crate) fn swallow(&self, from: usize, to: usize) {
        self.lock().meet(from, to, SYN);
    }

    /// Returns the traffic that a host has sent.
    pub(crate) fn sent(&self, host: usize) -> HostTraffic {
        self.lock().sent[host]
    }

    /// Adds a report of a node or of an application on its host.
    pub(crate) fn report(&self, host: usize, event: Event) {
        let mut state = self.lock();
        let State {
            trace,
            refusals,
            affected,
            ..
        } = &mut *state;
        trace.report(host, &event);
        refusals.on_report(host, &event, affected);
        let (at, what) = (self.now(), Observed::Reported(event));
        state.observations.push(Observation { at, host, what });
    }

    /// Notes that a host's process ended by itself.
    pub(crate) fn ended(&self, host: usize) {
        let (at, what) = (self.now(), Observed::Ended);
        let observation = Observation { at, host, what };
        self.lock().observations.push(observation);
    }

    /// Resolves one of the scenario's names.
    pub(crate) fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, ResolutionError> {
        resolved(&self.names, name).map_err(ResolutionError::Failed)
    }

    /// Takes the observations since the last call, in order.
    pub(crate) fn observations(&self) -> Vec<Observation> {
        core::mem::take(&mut self.lock().observations)
    }

    /// Adds an input of a host's node to the trace.
    pub(crate) fn input(&self, host: usize, input: &node::Input) {
        let at = self.now();
        let mut state = self.lock();
        if let Some(what) = Observed::of(input) {
            state.observations.push(Observation { at, host, what });
        }
        state.trace.input(at, host, input);
    }

    /// Adds an order to a host's applications to the trace.
    pub(crate) fn ordered(&self, host: usize) {
        let now = self.now();
        self.lock().trace.ordered(now, host);
    }

    /// Accesses the trace.
    pub(crate) fn trace<T>(&self, look: impl FnOnce(&mut MeshTrace) -> T) -> T {
        look(&mut self.lock().trace)
    }
}

impl State {
    /// Counts sent bytes as effects of the active faults that affect them.
    fn meet(&mut self, from: usize, to: usize, bytes: u64) {
        for (cut, step) in self.active.clone() {
            if self.cuts[cut].blocks(from, to) {
                self.affect(step, bytes);
            }
        }
        if let Some(step) = self.paused[to] {
            self.affect(step, 1);
        }
    }

    fn affect(&mut self, step: Option<usize>, by: u64) {
        if let Some(affected) = step.and_then(|step| self.affected.get_mut(step)) {
            *affected += by;
        }
    }
}
