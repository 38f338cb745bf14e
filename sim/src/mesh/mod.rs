//! The mesh as a simulated system: core's [`Node`] on the engine's links, with its epoch on the host's disk, and
//! applications that use its channels.

mod applications;
mod condition;
pub mod daemon;
mod event;
pub mod hearing;
mod hope;
pub mod invariant;
mod ledger;
mod liar;
pub mod life;
pub mod projection;
pub mod trace;
mod workload;

pub use applications::{Act, Applications, Asked, payload};
pub use daemon::Daemon;
pub use event::Event;
pub use liar::{Lie, Told};
pub(crate) use workload::LIE;
pub use workload::{Order, Target, Written};

use crate::disk::Write;
use crate::invariant::{Invariant, Report, Seen};
use crate::model::WALL_ZERO;
use crate::outcome::reproduce;
use crate::scenario::plan::Plan;
use crate::scenario::{Condition, Engine, Scenario};
use crate::system::{Effect, Happening, Start, System, Taken, Vocabulary};
use core::time::Duration;
use invariant::Shared;
use ledger::Ledger;
use life::Life;
use phalanx_core::gossip::{self, Address, Phase, Sabotage, Switch};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Message, Node};
use phalanx_core::random::mix;
use phalanx_core::size::Encoded;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Record;
use projection::{Lives, Projection, text_of};
use serde_json::{Value, json};
use std::sync::Arc;

/// The metric of a node's memory, in bytes.
const MEMORY: &str = "memory";
/// The file that holds the epoch.
const EPOCH: &str = "epoch";
/// The stream of a life's randomness from which its applications draw.
pub const APPLICATIONS: &str = "applications";

type Scene<'a> = crate::world::Scene<'a, Mesh>;

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

impl System for Mesh {
    type Machine = Daemon;
    type Message = Message;
    type Event = Event;
    type View = Node;

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            name: "the mesh",
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

    fn new(scenario: &Scenario, words: &[String]) -> Result<Self, String> {
        let mut lives = Lives::new(WALL_ZERO);
        for (index, host) in scenario.hosts.iter().enumerate() {
            lives.listens(&host.name, crate::model::address(index));
        }
        Ok(Self {
            sabotage: sabotage(words)?,
            lives,
            ledger: Ledger::new(scenario.hosts.len()),
            received: Vec::new(),
            shared: Shared::new(scenario.hosts.len()),
            ids: Applications::ids(scenario),
        })
    }

    fn start(&mut self, mut start: Start<'_>) -> Daemon {
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
        Daemon::starting(node, applications, opens, Instant::ZERO)
    }

    fn happen(&mut self, daemon: &Daemon, what: Happening<'_, Message>) -> Option<daemon::Input> {
        Some(daemon::Input::Node(node::Input::Mesh(match what {
            Happening::Start => gossip::Input::Start,
            Happening::Accepted { link, peer } => gossip::Input::Accepted { link, peer },
            Happening::Dialed { dial, link, peer } => gossip::Input::Dialed { dial, link, peer },
            Happening::DialFailed { dial, reason } => gossip::Input::DialFailed { dial, reason },
            Happening::Received { link, message } => {
                let input = node::Input::Receive { link, message };
                return Some(daemon::Input::Node(input));
            }
            Happening::Closed { link, reason } => gossip::Input::Closed { link, reason },
            Happening::Written { ticket } => gossip::Input::Stored { ticket },
            Happening::WriteFailed { ticket, .. } => gossip::Input::StoreFailed { ticket },
            Happening::Leave => gossip::Input::Leave,
            Happening::Announce { services, metadata } => {
                let mut content = daemon.node().mesh().record().content().clone();
                content.services.clone_from(services);
                content.metadata.clone_from(metadata);
                gossip::Input::Announce(content)
            }
            Happening::Command { name, with } => {
                return Order::read(name, with).ok().map(daemon::Input::Order);
            }
            Happening::Datagram { .. } | Happening::Certificate(_) => return None,
        })))
    }

    fn perform(&mut self, output: daemon::Output) -> Effect<Self> {
        match output {
            daemon::Output::Dial { dial, address } => Effect::Dial {
                dial,
                to: match address {
                    Address::Socket(address) => Some(address),
                    Address::Name(_) => None,
                },
            },
            daemon::Output::Send { link, message } => Effect::Send { link, message },
            daemon::Output::Close { link } => Effect::Close { link },
            daemon::Output::Store { ticket, epoch } => Effect::Write {
                ticket,
                write: Write::Replace(EPOCH.into(), epoch.to_le_bytes().to_vec()),
                synced: true,
                retry: None,
            },
            daemon::Output::Left => Effect::Exit,
            daemon::Output::Report(event) => Effect::Report(event),
        }
    }

    fn before(&mut self, daemon: &Daemon, input: &daemon::Input) {
        self.received.clear();
        let node = daemon.node();
        if let daemon::Input::Node(node::Input::Receive { message, .. }) = input {
            if let Message::Channel(data) = message {
                self.ledger.comes(daemon.host(), ledger::updates(data));
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
    }

    fn describe(&mut self, input: &daemon::Input, bytes: usize) -> Taken {
        match input {
            daemon::Input::Node(input) => taken_by_node(input, bytes),
            daemon::Input::Order(_) => Taken::of("order"),
            daemon::Input::Wake => Taken::of("wake"),
        }
    }

    fn size(message: &Message) -> usize {
        message.encoded_len()
    }

    fn view(daemon: &Daemon) -> &Node {
        daemon.node()
    }

    fn digest(node: &Node) -> u64 {
        let channels = node.channels();
        let hashes = channels
            .known()
            .filter_map(|(name, ..)| channels.hash(name));
        node.mesh().hash() ^ hashes.fold(0, |sum, hash| mix(sum ^ hash))
    }

    fn state(node: &Node) -> Value {
        let mesh = node.mesh();
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
            "channels": channels(node),
        })
    }

    fn event(event: &Event) -> (&'static str, Option<&NodeId>) {
        event.described()
    }

    fn gauge(name: &str, node: &Self::View) -> Option<u64> {
        (name == MEMORY).then(|| node.mesh().memory() as u64)
    }

    fn again(scenario: &Scenario, seed: u64, engine: Engine) -> String {
        reproduce(scenario, engine, seed)
    }

    fn invariants(scenario: &Scenario) -> Vec<Box<dyn Invariant<Self>>> {
        invariant::all(scenario)
    }

    fn note(&mut self, seen: &Seen<'_, Self>) {
        self.shared.note(seen);
        for received in &mut self.received {
            received.held = seen.view().mesh().topology().record(&received.id).cloned();
        }
    }

    fn heard(&mut self, report: &Report<'_, Self>) {
        self.ledger.event(report.host, report.now, report.event);
    }

    fn takes_part(node: &Node) -> bool {
        match node.mesh().phase() {
            Phase::Joining | Phase::Running | Phase::Isolated => true,
            Phase::Leaving | Phase::Left | Phase::NameTaken => false,
        }
    }

    fn settled(scene: &Scene<'_>) -> Result<(), String> {
        condition::converged(scene)
    }

    fn hopeful(scenario: &Scenario, plan: &Plan, at: Duration) -> Result<(), String> {
        hope::hopeful(scenario, plan, at)
    }

    fn right_views(scene: &Scene<'_>) -> Vec<(usize, bool)> {
        condition::right_views(scene)
    }

    fn holds(scene: &Scene<'_>, condition: &Condition) -> Result<(), String> {
        condition::holds(scene, condition)
    }

    fn is_false_death(scene: &Scene<'_>, event: &Event) -> bool {
        let Event::Mesh(gossip::Event::PeerDown { id }) = event else {
            return false;
        };
        scene.nodes().any(|(_, node)| node.mesh().id() == id)
    }

    fn figure(
        &self,
        scene: &Scene<'_>,
        word: &str,
        who: &[usize],
        window: (u64, u64),
    ) -> Option<u64> {
        self.ledger.figure(scene, word, who, window)
    }

    fn project(&self, scene: &Scene<'_>) -> Option<Projection> {
        Some(Projection::of(scene, &self.lives))
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
fn taken_message(message: &Message, bytes: usize) -> Taken {
    Taken {
        kind: word(message),
        word: event::content(message),
        size: bytes,
    }
}

/// What an input of a node is; `bytes` are those of the message in it.
fn taken_by_node(input: &node::Input, bytes: usize) -> Taken {
    match input {
        node::Input::Mesh(input) => taken(input),
        node::Input::Receive { message, .. } => taken_message(message, bytes),
        node::Input::Channel(_) => Taken::of("channel"),
        node::Input::WatchRoutes(_) => Taken::of("watch-routes"),
        node::Input::Wake => Taken::of("wake"),
    }
}

/// What an input of the mesh's machine is.
fn taken(input: &gossip::Input) -> Taken {
    match input {
        gossip::Input::Start => Taken::of("start"),
        gossip::Input::Accepted { .. } => Taken::of("accepted"),
        gossip::Input::Dialed { .. } => Taken::of("dialed"),
        gossip::Input::DialFailed { .. } => Taken::of("dial-failed"),
        gossip::Input::Receive { message, .. } => Taken::of(mesh_word(message)),
        gossip::Input::Heard { .. } => Taken::of("heard"),
        gossip::Input::Closed { .. } => Taken::of("closed"),
        gossip::Input::Stored { .. } => Taken::of("stored"),
        gossip::Input::StoreFailed { .. } => Taken::of("store-failed"),
        gossip::Input::Announce(_) => Taken::of("announce"),
        gossip::Input::Targets { .. } => Taken::of("targets"),
        gossip::Input::EditTargets { .. } => Taken::of("edit-targets"),
        gossip::Input::Discover(_) => Taken::of("discover"),
        gossip::Input::Want { .. } => Taken::of("want"),
        gossip::Input::Renew { .. } => Taken::of("renew"),
        gossip::Input::Leave => Taken::of("leave"),
        gossip::Input::Wake => Taken::of("wake"),
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
