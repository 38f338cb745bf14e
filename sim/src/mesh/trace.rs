//! Traces a run on engines that run machines through their driver: a running hash, and on request a trace file.
//!
//! A driver shows inputs before the machine handles them, so the trace has no digests. The cause of a message is known
//! if the engine states which step of which host sent it.

use super::event::Event;
use super::view::node_input_info;
use crate::record::fault::Bands;
use crate::record::{ExecutedAction, Header, Line, Word};
use crate::scenario::plan::{Plan, Planned};
use crate::scenario::{Engine, Scenario, text};
use crate::world::{InputInfo, LinkId};
use core::time::Duration;
use phalanx_core::gossip::Input;
use phalanx_core::identity::NodeId;
use phalanx_core::node;
use phalanx_core::random::mix;
use phalanx_core::size::Encoded;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The number that stands for orders to applications in trace hashes.
const ORDER: u8 = 0x7f;

/// Maximum number of inputs of all nodes in one instant; an instant is one tick of the engine.
const INSTANT_INPUTS_MAX: u64 = 1_000_000;

/// The trace of one run.
#[derive(Debug)]
pub struct MeshTrace {
    scenario: Scenario,
    plan: Plan,
    bands: Bands,
    /// The number of inputs and orders so far.
    events: u64,
    inputs: u64,
    /// The time of the latest input, and the number of inputs at this time.
    instant: (u64, u64),
    /// The number of inputs of each host and kind since the last report of progress.
    recent: BTreeMap<(usize, &'static str), u64>,
    hash: u64,
    hosts: Vec<TracedHost>,
    sink: Option<BufWriter<File>>,
    /// The latest step, whose reports arrive after the step.
    latest: Option<TracedStep>,
    failed: Option<io::Error>,
}

/// The state of a host's present lifetime.
#[derive(Debug, Default)]
struct TracedHost {
    links: BTreeMap<LinkId, TracedLink>,
    /// The latest step of the host.
    step: u64,
}

#[derive(Debug, Default)]
struct TracedLink {
    peer: Option<usize>,
    /// The steps that sent the messages in flight.
    sent: VecDeque<u64>,
}

#[derive(Debug)]
struct TracedStep {
    event: u64,
    at: u64,
    host: usize,
    kind: &'static str,
    from: Option<usize>,
    size: usize,
    cause: u64,
    says: Vec<(&'static str, Option<NodeId>)>,
}

impl MeshTrace {
    /// An empty trace; with a path, the trace is also written to a file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be created.
    pub fn new(
        scenario: &Scenario,
        plan: &Plan,
        engine: Engine,
        sabotage: &[String],
        path: Option<&Path>,
    ) -> Result<Self, String> {
        let sink = path.map(|path| {
            let file = File::create(path);
            file.map_err(|error| format!("--trace {}: cannot be written: {error}", path.display()))
        });
        let mut trace = Self {
            scenario: scenario.clone(),
            plan: plan.clone(),
            bands: Bands::default(),
            events: 0,
            inputs: 0,
            instant: (0, 0),
            recent: BTreeMap::new(),
            hash: 0,
            hosts: scenario
                .hosts
                .iter()
                .map(|_| TracedHost::default())
                .collect(),
            sink: sink.transpose()?.map(BufWriter::new),
            latest: None,
            failed: None,
        };
        let header = Header::of(scenario, plan.seed, engine, sabotage);
        write(&mut trace.sink, &mut trace.failed, &header);
        Ok(trace)
    }

    /// Records an input that a node is about to handle.
    pub fn input(&mut self, at: Duration, host: usize, input: &node::Input) {
        let bytes = if let node::Input::Receive { message, .. } = input {
            message.encoded_len()
        } else {
            0
        };
        self.taken(at, host, node_input_info(input, bytes), Some(input));
    }

    /// Records that the applications on a host are about to receive an order.
    pub fn ordered(&mut self, at: Duration, host: usize) {
        self.taken(at, host, InputInfo::of(ORDER, "order"), None);
    }

    fn taken(&mut self, at: Duration, host: usize, taken: InputInfo, input: Option<&node::Input>) {
        self.flush();
        let at = nanos(at);
        self.events += 1;
        self.inputs += 1;
        self.count_in_instant(at, host, taken.word);
        *self.recent.entry((host, taken.word)).or_default() += 1;
        let who = (host as u64) << 40 | u64::from(taken.number) << 32 | taken.size as u64;
        self.hash = mix(self.hash ^ mix(at ^ mix(who)));
        if self.sink.is_none() {
            return;
        }
        let (from, cause) = input.map_or((None, 0), |input| {
            self.hosts[host].takes(input, &self.scenario)
        });
        self.hosts[host].step = self.events;
        self.latest = Some(TracedStep {
            event: self.events,
            at,
            host,
            kind: taken.word,
            from,
            size: taken.size,
            cause,
            says: Vec::new(),
        });
    }

    /// Counts the inputs of one instant.
    ///
    /// # Panics
    /// Returns an error if one instant has too many inputs, because the engine cannot end such an instant by itself.
    fn count_in_instant(&mut self, at: u64, host: usize, kind: &str) {
        let (instant, inputs) = &mut self.instant;
        if *instant != at {
            (*instant, *inputs) = (at, 0);
        }
        *inputs += 1;
        assert!(
            *inputs <= INSTANT_INPUTS_MAX,
            "virtual time stands still: {inputs} inputs at {}, the latest is `{kind}` at {}",
            text::show(Duration::from_nanos(at)),
            self.scenario.hosts[host].name
        );
    }

    /// Describes the inputs since the last call: their number, and the most frequent kinds.
    pub fn progress(&mut self) -> String {
        let recent = std::mem::take(&mut self.recent);
        let sum: u64 = recent.values().sum();
        let most = recent.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map(|((host, kind), count)| {
            let host = &self.scenario.hosts[host].name;
            format!(", {count} of them `{kind}` at {host}")
        });
        format!("{sum} inputs{}", most.unwrap_or_default())
    }

    /// Records an event that a host reports in its latest step.
    pub fn report(&mut self, host: usize, event: &Event) {
        if let Some(step) = self.latest.as_mut().filter(|step| step.host == host) {
            let (word, about) = event.described();
            step.says.push((word, about.cloned()));
        }
    }

    /// The latest step of a host, which is the cause of the messages that the host is sending.
    #[must_use]
    pub fn step_of(&self, host: usize) -> u64 {
        self.hosts[host].step
    }

    /// Records that a message of this step waits on a link to be received.
    pub fn arrives(&mut self, host: usize, link: LinkId, sent: u64) {
        if self.sink.is_some() {
            let link = self.hosts[host].links.entry(link).or_default();
            link.sent.push_back(sent);
        }
    }

    /// Records that an order of the plan was performed.
    pub fn action(&mut self, at: Duration, planned: &Planned) {
        self.flush();
        self.events += 1;
        if self.sink.is_none() {
            return;
        }
        let done = ExecutedAction {
            event: self.events,
            at: nanos(at),
            planned,
        };
        let line = Line::of_action(&self.scenario, &self.plan, &mut self.bands, &done);
        write(&mut self.sink, &mut self.failed, &line);
    }

    fn flush(&mut self) {
        let Some(step) = self.latest.take() else {
            return;
        };
        let name = |host: usize| self.scenario.hosts[host].name.as_str().into();
        let says = step.says.iter().map(|(word, about)| Word {
            word: (*word).into(),
            about: about.as_ref().map(|id| id.as_str().into()),
        });
        let line = Line {
            event: step.event,
            at: step.at,
            node: Some(name(step.host)),
            kind: step.kind.into(),
            from: step.from.map(name),
            size: step.size as u64,
            cause: step.cause,
            digest: None,
            says: says.collect(),
            fault: None,
        };
        write(&mut self.sink, &mut self.failed, &line);
    }

    /// The number of inputs and orders so far, which is the number of the latest event.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The number of inputs of all machines so far.
    #[must_use]
    pub const fn inputs(&self) -> u64 {
        self.inputs
    }

    /// The hash of all inputs so far.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Finishes the trace file.
    ///
    /// # Errors
    /// Returns an error if a write to the file failed.
    pub fn finish(&mut self) -> Result<(), String> {
        self.flush();
        let flushed = self.sink.as_mut().map_or(Ok(()), Write::flush);
        match self.failed.take().or(flushed.err()) {
            None => Ok(()),
            Some(error) => Err(format!("the trace cannot be written: {error}")),
        }
    }
}

impl TracedHost {
    /// Returns the sender of an input and the step that sent it; tracks the links of the host.
    fn takes(&mut self, input: &node::Input, scenario: &Scenario) -> (Option<usize>, u64) {
        let place = |id: &NodeId| scenario.hosts.iter().position(|host| host.id == *id);
        let input = match input {
            node::Input::Mesh(input) => input,
            node::Input::Receive { link, .. } => {
                let link = self.links.entry(*link).or_default();
                return (link.peer, link.sent.pop_front().unwrap_or(0));
            }
            node::Input::Channel(_)
            | node::Input::LoadRevocations(_)
            | node::Input::Presented { .. }
            | node::Input::Revoke { .. }
            | node::Input::RevocationsStored { .. }
            | node::Input::RevocationsNotStored { .. }
            | node::Input::Calendar(_)
            | node::Input::WatchRoutes(_)
            | node::Input::Wake => {
                return (None, 0);
            }
        };
        match input {
            // A new lifetime of the process starts without links.
            Input::Start => *self = Self::default(),
            Input::Accepted { link, peer } | Input::Dialed { link, peer, .. } => {
                self.links.entry(*link).or_default().peer = place(peer);
            }
            Input::Receive { .. } | Input::Heard { .. } | Input::Exchanging { .. } => {}
            Input::Closed { link, .. } => drop(self.links.remove(link)),
            Input::DialFailed { .. }
            | Input::Resolved { .. }
            | Input::Stored { .. }
            | Input::StoreFailed { .. }
            | Input::Announce(_) => {}
            Input::Seeds { .. }
            | Input::EditSeeds { .. }
            | Input::Discover(_)
            | Input::RequestLink { .. } => {}
            Input::Forget { .. }
            | Input::Renew { .. }
            | Input::Calendar(_)
            | Input::Leave
            | Input::Wake => {}
        }
        (None, 0)
    }
}

fn write<T: Serialize>(
    sink: &mut Option<BufWriter<File>>,
    failed: &mut Option<io::Error>,
    line: &T,
) {
    let Some(sink) = sink.as_mut().filter(|_| failed.is_none()) else {
        return;
    };
    let written = serde_json::to_writer(&mut *sink, line)
        .map_err(io::Error::from)
        .and_then(|()| sink.write_all(b"\n"));
    *failed = written.err();
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> MeshTrace {
        let text = "scenario = 1\nname = \"x\"\nabout = \"x\"\nengines = [\"wire\"]\nduration = \"9s\"\n\
                    [[nodes]]\ncount = 2\n[[expect]]\neventually = { converged = true }\n";
        let scenario = Scenario::parse("x.toml", text).unwrap();
        let plan = scenario.plan(1).unwrap();
        MeshTrace::new(&scenario, &plan, Engine::Wire, &[], None).unwrap()
    }

    #[test]
    fn progress_names_the_most_frequent_input_since_the_last_call() {
        let mut trace = trace();
        for host in [0, 1, 1] {
            trace.input(Duration::from_secs(1), host, &node::Input::Wake);
        }
        assert_eq!(trace.progress(), "3 inputs, 2 of them `wake` at n2");
        assert_eq!(trace.progress(), "0 inputs");
        assert_eq!((trace.inputs(), trace.events()), (3, 3));
    }

    #[test]
    #[should_panic(
        expected = "virtual time stands still: 1000001 inputs at 2s, the latest is `wake` at n1"
    )]
    fn an_instant_with_too_many_inputs_ends_the_engine() {
        let mut trace = trace();
        // The inputs of an earlier instant do not count towards the limit.
        for (seconds, inputs) in [(1, INSTANT_INPUTS_MAX), (2, INSTANT_INPUTS_MAX + 1)] {
            for _ in 0..inputs {
                trace.input(Duration::from_secs(seconds), 0, &node::Input::Wake);
            }
        }
    }
}
