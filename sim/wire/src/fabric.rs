//! The network between the hosts: cuts, the power of each host, and listening processes.
//!
//! Turmoil's own partition makes new connections fail at once and loses bytes of streams permanently, which no real
//! network does. A cut here is a black hole, in one direction or both: written bytes wait, as in a kernel that
//! retransmits them, a connection attempt gets no answer, and the peer does not learn that a connection ended. When the
//! cut heals, the bytes are sent. A host without power is cut off from all others.

use crate::entropy::BYTES_FOLLOW;
use core::task::{Context, Waker};
use core::time::Duration;
use phalanx_core::node;
use phalanx_core::random::{hash_bytes, mix};
use phalanx_sim::mesh::event_observer::{Observation, Observed};
use phalanx_sim::mesh::refusals::Refusals;
use phalanx_sim::mesh::trace::MeshTrace;
use phalanx_sim::scenario::plan::{Cut, Planned};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use turmoil::net::TcpStream;

/// Bytes of TCP and IP headers per segment.
const SEGMENT_OVERHEAD: u64 = 52;

/// The network and the machines' power. Clones share the network and the state.
#[derive(Clone)]
pub(crate) struct Fabric {
    state: Arc<Mutex<State>>,
}

struct State {
    hosts: Vec<HostState>,
    cuts: Vec<Cut>,
    /// The active cuts, each with the step that made it.
    active: Vec<(usize, Option<usize>)>,
    /// The step that changed the latency.
    latency: Option<usize>,
    /// The number of effects of each step.
    affected: Vec<u64>,
    refusals: Refusals,
    /// The wakers of tasks that wait for a change, by number.
    waiting: BTreeMap<u64, Waker>,
    waiters: u64,
    /// The ends of open connections, by the number of their waiter.
    streams: BTreeMap<u64, OpenStream>,
    trace: MeshTrace,
    /// Observations that the engine has not taken.
    observations: Vec<Observation>,
    /// A running hash of written and read bytes.
    bytes: u64,
    /// Bytes on the wire, with TLS, HTTP/2, TCP and IP.
    written: u64,
}

#[derive(Default)]
struct HostState {
    unpowered: bool,
    listens: bool,
    /// Whether the host refuses dials of other hosts, and the step that makes it do so.
    refuses: Option<Option<usize>>,
    /// Closed connections whose FIN cannot reach the peer because of a cut.
    closed: Vec<(usize, TcpStream)>,
}

/// One end of an open connection.
struct OpenStream {
    from: usize,
    to: usize,
    /// Whether a reset has arrived.
    is_reset: bool,
    /// Wakes the reader of the connection.
    reader: Option<Waker>,
}

/// The outcome of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connectivity {
    /// A process listens.
    Open,
    /// The host is reachable and no process listens.
    Refused,
    /// No answer arrives.
    Silent,
}

impl Fabric {
    pub(crate) fn new(hosts: usize, cuts: Vec<Cut>, steps: usize, trace: MeshTrace) -> Self {
        let state = State {
            hosts: (0..hosts).map(|_| HostState::default()).collect(),
            cuts,
            active: Vec::new(),
            latency: None,
            affected: vec![0; steps],
            refusals: Refusals::default(),
            waiting: BTreeMap::new(),
            waiters: 0,
            streams: BTreeMap::new(),
            trace,
            observations: Vec::new(),
            bytes: 0,
            written: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an unused waiter number.
    pub(crate) fn waiter(&self) -> u64 {
        let mut state = self.lock();
        state.waiters += 1;
        state.waiters
    }

    /// Wakes this waiter at the next change.
    pub(crate) fn wait(&self, waiter: u64, context: &Context<'_>) {
        self.lock().waiting.insert(waiter, context.waker().clone());
    }

    /// Removes a waiter.
    pub(crate) fn leave(&self, waiter: u64) {
        drop(self.lock().waiting.remove(&waiter));
    }

    /// Adds one end of a connection; returns the number of its waiter.
    pub(crate) fn open(&self, from: usize, to: usize) -> u64 {
        let waiter = self.waiter();
        let stream = OpenStream {
            from,
            to,
            is_reset: false,
            reader: None,
        };
        self.lock().streams.insert(waiter, stream);
        waiter
    }

    /// Removes one end of a connection; returns whether it was reset.
    pub(crate) fn close(&self, waiter: u64) -> bool {
        self.leave(waiter);
        let closed = self.lock().streams.remove(&waiter);
        closed.is_some_and(|stream| stream.is_reset)
    }

    /// Returns whether one end of a connection was reset.
    pub(crate) fn is_reset(&self, waiter: u64) -> bool {
        let state = self.lock();
        let stream = state.streams.get(&waiter);
        stream.is_some_and(|stream| stream.is_reset)
    }

    /// Wakes the reader of one end of a connection when a reset arrives.
    pub(crate) fn read(&self, waiter: u64, context: &Context<'_>) {
        if let Some(stream) = self.lock().streams.get_mut(&waiter) {
            stream.reader = Some(context.waker().clone());
        }
    }

    /// Resets the connections between the hosts that a cut names. No reset arrives from a host that is unreachable.
    pub(crate) fn reset(&self, cut: usize, step: Option<usize>) {
        let readers = self.change(|state| {
            let State {
                streams,
                cuts,
                hosts,
                active,
                ..
            } = &mut *state;
            let is_chosen = |stream: &OpenStream| {
                let (from, to) = (stream.from, stream.to);
                let cut = &cuts[cut];
                cut.blocks(from, to) || cut.blocks(to, from)
            };
            let arrives =
                |stream: &OpenStream| !is_blocked((hosts, cuts, active), stream.to, stream.from);
            let (mut ends, mut readers) = (0_u64, Vec::new());
            for stream in streams.values_mut() {
                if is_chosen(stream) && !stream.is_reset {
                    ends += 1;
                    stream.is_reset = arrives(stream);
                    readers.extend(stream.reader.take());
                }
            }
            // A connection has two ends.
            state.affect(step, ends.div_ceil(2));
            readers
        });
        readers.into_iter().for_each(Waker::wake);
    }

    /// Changes the state and wakes all waiters.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
        result
    }

    /// Begins a cut.
    pub(crate) fn cut(&self, cut: usize, step: Option<usize>) {
        self.change(|state| state.active.push((cut, step)));
    }

    /// Ends a cut.
    pub(crate) fn heal(&self, cut: usize) {
        self.change(|state| state.active.retain(|(active, _)| *active != cut));
    }

    /// Sets whether a host has power.
    pub(crate) fn power(&self, host: usize, powered: bool) {
        self.change(|state| state.hosts[host].unpowered = !powered);
    }

    /// Sets whether a host's process listens.
    pub(crate) fn listen(&self, host: usize, listens: bool) {
        self.change(|state| state.hosts[host].listens = listens);
    }

    /// Sets whether a host refuses the dials of other hosts.
    pub(crate) fn refuse(&self, host: usize, on: bool, step: Option<usize>) {
        self.change(|state| state.hosts[host].refuses = on.then_some(step));
    }

    /// Records the step that changed the latency.
    pub(crate) fn latency_by(&self, step: Option<usize>) {
        self.lock().latency = step;
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
        self.lock().blocks(from, to)
    }

    /// Counts bytes that cuts between two hosts block, as effects of the steps that made the cuts.
    pub(crate) fn swallow(&self, from: usize, to: usize, bytes: usize) {
        let mut state = self.lock();
        for (cut, step) in state.active.clone() {
            if state.cuts[cut].blocks(from, to) {
                state.affect(step, bytes as u64);
            }
        }
    }

    /// The outcome of a connection attempt.
    pub(crate) fn connectivity(&self, from: usize, to: usize) -> Connectivity {
        let mut state = self.lock();
        if state.blocks(from, to) || state.blocks(to, from) {
            Connectivity::Silent
        } else if let Some(step) = state.hosts[to].refuses
            && from != to
        {
            state.affect(step, 1);
            Connectivity::Refused
        } else if state.hosts[to].listens {
            Connectivity::Open
        } else {
            Connectivity::Refused
        }
    }

    /// Keeps a closed connection whose FIN cannot reach the peer.
    pub(crate) fn retire(&self, from: usize, to: usize, stream: TcpStream) {
        self.lock().hosts[from].closed.push((to, stream));
    }

    /// Removes and returns those closed connections of a host whose FIN can reach the peer again.
    pub(crate) fn drain_closed(&self, host: usize) -> Vec<TcpStream> {
        let mut state = self.lock();
        let closed = std::mem::take(&mut state.hosts[host].closed);
        let (kept, notified): (Vec<_>, Vec<_>) = closed
            .into_iter()
            .partition(|(to, _)| state.blocks(host, *to));
        state.hosts[host].closed = kept;
        notified.into_iter().map(|(_, stream)| stream).collect()
    }

    /// Adds bytes that a host wrote to or read from a connection to the trace.
    pub(crate) fn io(&self, host: usize, wrote: bool, bytes: &[u8]) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        let mut state = self.lock();
        let at = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        let who = (host as u64) << 33 | u64::from(wrote) << 32 | bytes.len() as u64;
        let content = if BYTES_FOLLOW { hash_bytes(bytes) } else { 0 };
        state.bytes = mix(state.bytes ^ mix(at ^ mix(who ^ content)));
        if wrote {
            state.written += bytes.len() as u64 + SEGMENT_OVERHEAD;
            let step = state.latency;
            state.affect(step, 1);
        }
    }

    /// Adds an input of a host's node to the trace.
    pub(crate) fn input(&self, host: usize, input: &node::Input) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        if let Some(observed) = Observed::of(input) {
            self.observe(host, observed);
        }
        self.lock().trace.input(at, host, input);
    }

    /// Adds an observation of a host.
    pub(crate) fn observe(&self, host: usize, what: Observed) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        let mut state = self.lock();
        if let Observed::Reported(event) = &what {
            let State {
                trace,
                refusals,
                affected,
                ..
            } = &mut *state;
            trace.report(host, event);
            refusals.on_report(host, event, affected);
        }
        state.observations.push(Observation { at, host, what });
    }

    /// Takes the observations since the last call, in order.
    pub(crate) fn observations(&self) -> Vec<Observation> {
        std::mem::take(&mut self.lock().observations)
    }

    /// Accesses the trace.
    pub(crate) fn trace<T>(&self, look: impl FnOnce(&mut MeshTrace) -> T) -> T {
        look(&mut self.lock().trace)
    }

    /// Returns the hash of all inputs, and of all bytes written and read.
    pub(crate) fn hash(&self) -> u64 {
        let state = self.lock();
        mix(state.trace.hash() ^ mix(state.bytes))
    }

    /// Bytes on the wire, with TLS, HTTP/2, TCP and IP.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }
}

impl State {
    fn affect(&mut self, step: Option<usize>, by: u64) {
        if let Some(affected) = step.and_then(|step| self.affected.get_mut(step)) {
            *affected += by;
        }
    }

    fn blocks(&self, from: usize, to: usize) -> bool {
        is_blocked((&self.hosts, &self.cuts, &self.active), from, to)
    }
}

/// Active cuts, by their index, each with the step that caused it.
type ActiveCuts = [(usize, Option<usize>)];

/// Returns whether packets from one host to another are blocked by an active cut, or by a lack of power.
fn is_blocked(
    (hosts, cuts, active): (&[HostState], &[Cut], &ActiveCuts),
    from: usize,
    to: usize,
) -> bool {
    let mut active = active.iter();
    from != to
        && (hosts[from].unpowered
            || hosts[to].unpowered
            || active.any(|(cut, _)| cuts[*cut].blocks(from, to)))
}

/// Time until the refusal of a connection attempt arrives.
pub(crate) const REFUSAL: Duration = Duration::from_millis(2);
