//! What is between the hosts, and what the engine sees of them. Cloning shares it.

use crate::host::Slot;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::node;
use phalanx_sim::mesh::Event;
use phalanx_sim::mesh::hearing::{Heard, Said};
use phalanx_sim::mesh::trace::Trace;
use phalanx_sim::scenario::Scenario;
use phalanx_sim::scenario::plan::Cut;
use phalanx_sim::world::Traffic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The bytes of an attempt to connect.
const SYN: u64 = 60;

/// The network, and the hosts as the engine sees them.
#[derive(Clone)]
pub(crate) struct Fabric {
    hosts: Arc<Vec<Host>>,
    state: Arc<Mutex<State>>,
    begun: Instant,
}

struct Host {
    id: NodeId,
    slot: Slot,
}

struct State {
    cuts: Vec<Cut>,
    /// Cuts that hold, each with the step that made it.
    active: Vec<(usize, Option<usize>)>,
    /// The step that made a host stand still.
    paused: Vec<Option<Option<usize>>>,
    /// How much each step bit.
    bites: Vec<u64>,
    sent: Vec<Traffic>,
    /// What the engine has not taken note of.
    heard: Vec<Heard>,
    trace: Trace,
}

impl Fabric {
    pub(crate) fn new(scenario: &Scenario, cuts: Vec<Cut>, trace: Trace) -> Self {
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
            bites: vec![0; scenario.causes()],
            sent: vec![Traffic::default(); hosts.len()],
            heard: Vec::new(),
            trace,
        };
        Self {
            hosts: Arc::new(hosts),
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

    /// A cut begins.
    pub(crate) fn cut(&self, cut: usize, step: Option<usize>) {
        self.lock().active.push((cut, step));
    }

    /// A cut ends.
    pub(crate) fn mend(&self, cut: usize) {
        self.lock().active.retain(|(active, _)| *active != cut);
    }

    /// A host stands still for this step, or goes on.
    pub(crate) fn pause(&self, host: usize, step: Option<Option<usize>>) {
        self.lock().paused[host] = step;
    }

    /// A step did something.
    pub(crate) fn bite(&self, step: Option<usize>, by: u64) {
        self.lock().bite(step, by);
    }

    /// How much each step bit.
    pub(crate) fn bites(&self) -> Vec<u64> {
        self.lock().bites.clone()
    }

    /// Whether what one host sends does not reach another.
    pub(crate) fn blocks(&self, from: usize, to: usize) -> bool {
        let state = self.lock();
        from != to
            && state
                .active
                .iter()
                .any(|(cut, _)| state.cuts[*cut].blocks(from, to))
    }

    /// Counts a message under way, and what it meets.
    pub(crate) fn carry(&self, from: usize, to: usize, bytes: usize) {
        let mut state = self.lock();
        state.sent[from].bytes += bytes as u64;
        state.sent[from].messages += 1;
        state.meet(from, to, bytes as u64);
    }

    /// Counts an attempt to connect that nobody answers.
    pub(crate) fn swallow(&self, from: usize, to: usize) {
        self.lock().meet(from, to, SYN);
    }

    /// What a host has sent.
    pub(crate) fn sent(&self, host: usize) -> Traffic {
        self.lock().sent[host]
    }

    /// A node, or an application on its host, reported something.
    pub(crate) fn report(&self, host: usize, event: Event) {
        let mut state = self.lock();
        state.trace.report(host, &event);
        let (at, what) = (self.now(), Said::Reported(event));
        state.heard.push(Heard { at, host, what });
    }

    /// What was heard since the last look, in order.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        core::mem::take(&mut self.lock().heard)
    }

    /// Adds to the trace what happened to a host's node.
    pub(crate) fn input(&self, host: usize, input: &node::Input) {
        let at = self.now();
        let mut state = self.lock();
        if let Some(what) = Said::of(input)
        {
            state.heard.push(Heard { at, host, what });
        }
        state.trace.input(at, host, input);
    }

    /// Adds to the trace that a host's applications are given an order.
    pub(crate) fn ordered(&self, host: usize) {
        let now = self.now();
        self.lock().trace.ordered(now, host);
    }

    /// Looks at the trace.
    pub(crate) fn trace<T>(&self, look: impl FnOnce(&mut Trace) -> T) -> T {
        look(&mut self.lock().trace)
    }
}

impl State {
    /// What is sent meets the faults that hold.
    fn meet(&mut self, from: usize, to: usize, bytes: u64) {
        for (cut, step) in self.active.clone() {
            if self.cuts[cut].blocks(from, to) {
                self.bite(step, bytes);
            }
        }
        if let Some(step) = self.paused[to] {
            self.bite(step, 1);
        }
    }

    fn bite(&mut self, step: Option<usize>, by: u64) {
        if let Some(bites) = step.and_then(|step| self.bites.get_mut(step)) {
            *bites += by;
        }
    }
}
