//! The mesh as a simulated system: core's [`Node`] on the engine's links, with its epoch on the host's disk, and
//! applications that use its channels.

mod applications;
mod condition;
pub mod daemon;
mod event;
pub mod hearing;
pub mod invariant;
mod ledger;
mod liar;
pub mod life;
pub mod projection;
mod recoverability;
pub mod trace;
mod workload;

pub use applications::{Act, Applications, Asked, payload};
pub use daemon::Daemon;
pub use event::Event;
pub use liar::{Lie, Told};
pub(crate) use workload::LIE;
pub use workload::{Order, Target, Written};

use crate::invariant::{Invariant, Report, Seen};
use crate::model::WALL_ZERO;
use crate::outcome::reproduce;
use crate::scenario::plan::Reporter;
use crate::scenario::{Condition, Scenario};
use crate::system::{
    self, Cast, Definition, InputInfo, Process, ProcessEvent, ProcessView, Program, ReportedEvent,
    Start, Vocabulary,
};
use core::time::Duration;
use invariant::Shared;
use ledger::Ledger;
use life::Life;
use phalanx_core::gossip::{self, Phase, Sabotage, Switch};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Message, Node};
use phalanx_core::random::mix;
use phalanx_core::size::Encoded;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Record;
use projection::{Lives, Projection, text_of};
use serde_json::{Value, json};
use std::sync::Arc;

/// The name of the mesh daemon as a program.
pub const PROGRAM: &str = "mesh";

/// The mesh daemon of a host, as it reports events.
#[must_use]
pub const fn daemon_of(host: usize) -> Reporter {
    let program = PROGRAM;
    Reporter { host, program }
}

/// The metric of a node's memory, in bytes.
const MEMORY: &str = "memory";
/// The file that holds the epoch.
const EPOCH: &str = "epoch";
/// How long the adapter waits before it tries again to store an epoch.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// The stream of a life's randomness from which its applications draw.
pub const APPLICATIONS: &str = "applications";

use crate::world::Scene;

/// The mesh, for one run.
#[derive(Debug)]
pub struct Mesh {
    sabotage: Sabotage,
    lives: Lives,
    ledger: Ledger,
    /// The records in the message that is stepped.
    received: Vec<Received>,
    shared: Shared,
    /// Of all hosts, in their order.
    ids: Arc<[NodeId]>,
}

/// A record in a message, and what the view that received it made of it.
#[derive(Debug)]
struct Received {
    id: NodeId,
    /// What the view held of its owner before the step, and after it.
    before: Option<Arc<Record>>,
    held: Option<Arc<Record>>,
}

/// The set of switches with these words.
///
/// # Errors
/// The word that names none, with the nearest that does.
pub fn sabotage(words: &[String]) -> Result<Sabotage, String> {
    let mut sabotage = Sabotage::NONE;
    for word in words {
        let found = Switch::ALL.iter().find(|(_, name)| name == word);
        let Some((switch, _)) = found else {
            let names = Switch::ALL.iter().map(|(_, name)| *name);
            let near = crate::scenario::suggestion(word, names);
            return Err(format!("there is no switch `{word}`{near}"));
        };
        sabotage = sabotage.with(*switch);
    }
    Ok(sabotage)
}

impl Mesh {
    /// A host's process starts, and opens its channels.
    fn begins(&mut self, scenario: &Scenario, host: usize) {
        self.shared.starts(host);
        self.ledger.starts(host);
        for channel in scenario.hosts[host].channels.keys() {
            self.ledger.opens(host, channel, 0);
        }
    }
}

/// The mesh, by its words.
pub static MESH: Definition = Definition {
    vocabulary,
    build: |scenario, words| Ok(Cast::everywhere(new(scenario, words)?, scenario)),
    recoverable: recoverability::recoverable,
    reproduce_command: |scenario, seed, engine| reproduce(scenario, engine, seed),
};

/// Its words.
#[must_use]
pub fn vocabulary() -> Vocabulary {
    Vocabulary {
        name: "the mesh",
        programs: vec![PROGRAM],
        events: event::words(),
        conditions: ["sees", "members", "providers", "links", "phase"]
            .into_iter()
            .chain(workload::CONDITIONS)
            .collect(),
        metrics: vec![
            "false-deaths",
            "converge-ms",
            "converge-p99-ms",
            "all-right-ms",
            "missed-updates",
            "update-ms",
            "update-p99-ms",
            "update-p50-ms",
            "copies-percent",
            "delivered-percent",
            "send-ms",
            "send-p99-ms",
        ],
        gauges: vec![MEMORY],
        commands: workload::COMMANDS.to_vec(),
        check: Some(workload::check),
        // Who is who is settled before a message reaches the machine; certificates are the transport's.
        certificates: false,
        sabotage: Switch::ALL.iter().map(|(_, word)| *word).collect(),
    }
}

/// The mesh for one run.
///
/// # Errors
/// The word that names nothing.
pub fn new(scenario: &Scenario, words: &[String]) -> Result<Mesh, String> {
    let mut lives = Lives::new(WALL_ZERO);
    for (index, host) in scenario.hosts.iter().enumerate() {
        lives.listens(&host.name, crate::model::address(index));
    }
    Ok(Mesh {
        sabotage: sabotage(words)?,
        lives,
        ledger: Ledger::new(scenario.hosts.len()),
        received: Vec::new(),
        shared: Shared::new(scenario.hosts.len()),
        ids: Applications::ids(scenario),
    })
}

impl Program for Mesh {
    fn name(&self) -> &'static str {
        PROGRAM
    }

    fn start(&mut self, mut start: Start<'_>) -> Box<dyn Process> {
        let stored = start
            .disk
            .read(EPOCH)
            .and_then(|bytes| bytes.try_into().ok());
        let epoch = stored.map_or(0, u64::from_le_bytes) + 1;
        start.disk.put(EPOCH, epoch.to_le_bytes().to_vec());
        let life = Life {
            scenario: start.scenario,
            host: start.host,
            epoch,
            wall: start.wall,
            sabotage: self.sabotage,
        };
        let config = life.config(&mut start.random);
        self.lives.start(&config.id, epoch, config.instance);
        self.begins(start.scenario, start.host);
        let node = Node::new(config, start.random.next_u64(), Instant::ZERO);
        let random = start.random.child(APPLICATIONS);
        let applications = Applications::new(Arc::clone(&self.ids), start.host, start.life, random);
        let opens = &start.spec().channels;
        Box::new(Daemon::starting(node, applications, opens, Instant::ZERO))
    }

    fn before_event(&mut self, host: usize, view: &dyn ProcessView, what: &ProcessEvent) {
        self.received.clear();
        let ProcessEvent::Received { message, .. } = what else {
            return;
        };
        let (Some(node), Some(message)) = (view.of::<Node>(), message.of::<Message>()) else {
            return;
        };
        if let Message::Channel(data) = message {
            self.ledger.comes(host, ledger::updates(data));
        }
        let received = &mut self.received;
        invariant::records(message, &mut |record| {
            received.push(Received {
                id: record.id().clone(),
                before: node.mesh().topology().record(record.id()).cloned(),
                held: None,
            });
        });
    }

    fn after_step(&mut self, seen: &Seen<'_>) {
        let Some(node) = seen.view.of::<Node>() else {
            return;
        };
        self.shared.note(seen, node);
        for received in &mut self.received {
            received.held = node.mesh().topology().record(&received.id).cloned();
        }
    }

    fn on_report(&mut self, report: &Report<'_>) {
        if let Some(event) = report.event.of() {
            self.ledger.event(report.host, report.now, event);
        }
    }

    fn invariants(&self, scenario: &Scenario) -> Vec<Box<dyn Invariant>> {
        invariant::all(scenario)
    }

    fn settled(&self, scene: &Scene<'_>) -> Result<(), String> {
        condition::converged(scene)
    }

    fn correct_views(&self, scene: &Scene<'_>) -> Vec<(usize, bool)> {
        condition::right_views(scene)
    }

    fn holds(&self, scene: &Scene<'_>, condition: &Condition) -> Option<Result<(), String>> {
        Some(condition::holds(self, scene, condition))
    }

    fn metric(
        &self,
        scene: &Scene<'_>,
        word: &str,
        who: &[usize],
        window: (u64, u64),
    ) -> Option<u64> {
        self.ledger.figure(scene, word, who, window)
    }

    fn is_false_death(&self, scene: &Scene<'_>, notice: &dyn ReportedEvent) -> bool {
        let Some(Event::Mesh(gossip::Event::PeerDown { id })) = notice.of() else {
            return false;
        };
        scene.of::<Node>().any(|(_, node)| node.mesh().id() == id)
    }

    fn projection(&self, scene: &Scene<'_>) -> Option<Projection> {
        Some(Projection::of(scene, &self.lives))
    }
}

impl ProcessView for Node {
    fn digest(&self) -> u64 {
        let channels = self.channels();
        let hashes = channels
            .known()
            .filter_map(|(name, ..)| channels.hash(name));
        self.mesh().hash() ^ hashes.fold(0, |sum, hash| mix(sum ^ hash))
    }

    fn state(&self) -> Value {
        let mesh = self.mesh();
        let members = mesh.members().map(|member| {
            let rank = member.record.rank();
            let content = member.record.content();
            let services = content.services.iter();
            let state = json!({
                "status": member.status.word(),
                "epoch": rank.epoch,
                "incarnation": rank.incarnation,
                "version": rank.version,
                "services": services
                    .map(|service| format!("{}/{}", service.name, service.version))
                    .collect::<Vec<_>>(),
                "metadata": content.metadata,
            });
            (member.record.id().to_string(), state)
        });
        let links = mesh.links(Instant::ZERO).map(|link| {
            let state = json!({ "session": link.session, "eager": link.eager, "ring": link.ring });
            (link.peer.to_string(), state)
        });
        json!({
            "phase": mesh.phase().word(),
            "hash": format!("{:016x}", mesh.hash()),
            "members": members.collect::<serde_json::Map<_, _>>(),
            "links": links.collect::<serde_json::Map<_, _>>(),
            "channels": channels(self),
        })
    }

    fn participates(&self) -> bool {
        match self.mesh().phase() {
            Phase::Joining | Phase::Running | Phase::Isolated => true,
            Phase::Leaving | Phase::Left | Phase::NameTaken => false,
        }
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        (name == MEMORY).then(|| self.mesh().memory() as u64)
    }
}

impl system::Message for Message {
    fn encoded_len(&self) -> usize {
        Encoded::encoded_len(self)
    }

    fn kind(&self) -> &'static str {
        word(self)
    }

    fn word(&self) -> &'static str {
        event::content(self)
    }
}

impl ReportedEvent for Event {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        Self::described(self)
    }
}

/// A word for a message.
const fn word(message: &Message) -> &'static str {
    match message {
        Message::Mesh(message) => mesh_word(message),
        Message::Channel(_) => "data",
    }
}

const fn mesh_word(message: &gossip::Message) -> &'static str {
    match message {
        gossip::Message::Hello(_) => "hello",
        gossip::Message::Welcome(_) => "welcome",
        gossip::Message::Refuse(_) => "refuse",
        gossip::Message::Goodbye(_) => "goodbye",
        gossip::Message::Frame(_) => "frame",
    }
}

/// The bytes and the words of a received message.
fn message_info(message: &Message, bytes: usize) -> InputInfo {
    InputInfo {
        kind: word(message),
        word: event::content(message),
        size: bytes,
    }
}

/// What an input of a node is; `bytes` are those of the message in it.
fn node_input_info(input: &node::Input, bytes: usize) -> InputInfo {
    match input {
        node::Input::Mesh(input) => gossip_input_info(input),
        node::Input::Receive { message, .. } => message_info(message, bytes),
        node::Input::Channel(_) => InputInfo::of("channel"),
        node::Input::WatchRoutes(_) => InputInfo::of("watch-routes"),
        node::Input::Wake => InputInfo::of("wake"),
    }
}

/// What an input of the mesh's machine is.
fn gossip_input_info(input: &gossip::Input) -> InputInfo {
    match input {
        gossip::Input::Start => InputInfo::of("start"),
        gossip::Input::Accepted { .. } => InputInfo::of("accepted"),
        gossip::Input::Dialed { .. } => InputInfo::of("dialed"),
        gossip::Input::DialFailed { .. } => InputInfo::of("dial-failed"),
        gossip::Input::Receive { message, .. } => InputInfo::of(mesh_word(message)),
        gossip::Input::Heard { .. } => InputInfo::of("heard"),
        gossip::Input::Closed { .. } => InputInfo::of("closed"),
        gossip::Input::Stored { .. } => InputInfo::of("stored"),
        gossip::Input::Announce(_) => InputInfo::of("announce"),
        gossip::Input::Targets { .. } => InputInfo::of("targets"),
        gossip::Input::Discover(_) => InputInfo::of("discover"),
        gossip::Input::Want { .. } => InputInfo::of("want"),
        gossip::Input::Renew { .. } => InputInfo::of("renew"),
        gossip::Input::Leave => InputInfo::of("leave"),
        gossip::Input::Wake => InputInfo::of("wake"),
    }
}

/// The channels that a node knows.
fn channels(node: &Node) -> serde_json::Map<String, Value> {
    let channels = node.channels();
    let known = channels.known().map(|(name, kind, open)| {
        let values = channels.values(name).filter_map(|(key, held)| {
            let value = text_of(held.value.as_ref()?);
            Some((key.to_string(), value.into()))
        });
        let state = json!({
            "kind": kind.word(),
            "open": open,
            "hash": channels.hash(name).map(|hash| format!("{hash:016x}")),
            "messages": channels.messages(name).count(),
            "values": values.collect::<serde_json::Map<_, _>>(),
        });
        (name.to_string(), state)
    });
    known.collect()
}
