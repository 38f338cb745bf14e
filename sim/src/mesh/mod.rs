//! The mesh as a simulated system: core's [`Node`] on the engine's links, with its epoch on the host's disk.

mod condition;
mod event;
mod hope;
pub mod invariant;
pub mod life;
pub mod projection;
pub mod trace;

use crate::disk::Write;
use crate::invariant::{Invariant, Seen};
use crate::model::WALL_ZERO;
use crate::outcome::reproduce;
use crate::scenario::plan::Plan;
use crate::scenario::{Condition, Engine, Scenario};
use crate::system::{Effect, Happening, Start, System, Taken, Vocabulary};
use crate::world::Scene;
use core::time::Duration;
use event::EventKind;
use invariant::Shared;
use life::Life;
use phalanx_core::gossip::{self, Address, Event, Gossip, Message, Phase, Sabotage, Switch};
use phalanx_core::identity::NodeId;
use phalanx_core::node::{self, Node};
use phalanx_core::size::Encoded;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Record;
use projection::{Lives, Projection};
use serde_json::{Value, json};
use std::sync::Arc;

/// The file that holds the epoch.
const EPOCH: &str = "epoch";
/// How long the adapter waits before it tries again to store an epoch.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The mesh, for one run.
#[derive(Debug)]
pub struct Mesh {
    sabotage: Sabotage,
    lives: Lives,
    /// The records in the message that is stepped.
    received: Vec<Received>,
    shared: Shared,
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

impl System for Mesh {
    type Machine = Node;
    type Message = Message;
    type Event = Event;
    type View = Gossip;

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            name: "the mesh",
            events: EventKind::ALL.iter().map(|(_, word)| *word).collect(),
            conditions: vec!["sees", "members", "providers", "links", "phase"],
            metrics: vec!["false-deaths", "converge-ms", "converge-p99-ms"],
            commands: Vec::new(),
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
            received: Vec::new(),
            shared: Shared::new(scenario.hosts.len()),
        })
    }

    fn start(&mut self, mut start: Start<'_>) -> Node {
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
        self.shared.starts(start.host);
        Node::new(config, start.random.next_u64(), Instant::ZERO)
    }

    fn happen(&mut self, node: &Node, what: Happening<'_, Message>) -> Option<node::Input> {
        Some(node::Input::Mesh(match what {
            Happening::Start => gossip::Input::Start,
            Happening::Accepted { link, peer } => gossip::Input::Accepted { link, peer },
            Happening::Dialed { dial, link, peer } => gossip::Input::Dialed { dial, link, peer },
            Happening::DialFailed { dial, reason } => gossip::Input::DialFailed { dial, reason },
            Happening::Received { link, message } => gossip::Input::Receive { link, message },
            Happening::Closed { link, reason } => gossip::Input::Closed { link, reason },
            Happening::Written { ticket } => gossip::Input::Stored { ticket },
            Happening::Leave => gossip::Input::Leave,
            Happening::Announce { services, metadata } => {
                let mut content = node.mesh().record().content().clone();
                content.services.clone_from(services);
                content.metadata.clone_from(metadata);
                gossip::Input::Announce(content)
            }
            Happening::Datagram { .. }
            | Happening::WriteFailed { .. }
            | Happening::Certificate(_)
            | Happening::Command { .. } => return None,
        }))
    }

    fn perform(&mut self, output: node::Output) -> Effect<Self> {
        let output = match output {
            node::Output::Mesh(output) => output,
            node::Output::Channel(_) | node::Output::RoutesChanged => return Effect::Nothing,
        };
        match output {
            gossip::Output::Dial { dial, address } => Effect::Dial {
                dial,
                to: match address {
                    Address::Socket(address) => Some(address),
                    Address::Name(_) => None,
                },
            },
            gossip::Output::Send { link, message } => Effect::Send { link, message },
            gossip::Output::Close { link } => Effect::Close { link },
            gossip::Output::Store { ticket, epoch } => Effect::Write {
                ticket,
                write: Write::Replace(EPOCH.into(), epoch.to_le_bytes().to_vec()),
                synced: true,
                retry: Some(STORE_RETRY),
            },
            gossip::Output::Left => Effect::Exit,
            gossip::Output::Report(event) => Effect::Report(event),
        }
    }

    fn before(&mut self, node: &Node, input: &node::Input) {
        self.received.clear();
        if let node::Input::Mesh(gossip::Input::Receive { message, .. }) = input {
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

    fn describe(&mut self, input: &node::Input) -> Taken {
        match input {
            node::Input::Mesh(input) => taken(input),
            node::Input::Channel(_) => Taken::of("channel"),
            node::Input::WatchRoutes(_) => Taken::of("watch-routes"),
            node::Input::Wake => Taken::of("wake"),
        }
    }

    fn size(message: &Message) -> usize {
        message.encoded_len()
    }

    fn view(node: &Node) -> &Gossip {
        node.mesh()
    }

    fn digest(mesh: &Gossip) -> u64 {
        mesh.hash()
    }

    fn state(mesh: &Gossip) -> Value {
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
        })
    }

    fn event(event: &Event) -> (&'static str, Option<&NodeId>) {
        let (kind, about) = EventKind::of(event);
        (kind.word(), about)
    }

    fn again(scenario: &Scenario, seed: u64, engine: Engine) -> String {
        reproduce(scenario, engine, seed)
    }

    fn invariants(scenario: &Scenario) -> Vec<Box<dyn Invariant<Self>>> {
        invariant::all(scenario.hosts.len(), &scenario.tuning.tuning())
    }

    fn note(&mut self, seen: &Seen<'_, Self>) {
        self.shared.note(seen);
        for received in &mut self.received {
            received.held = seen.view().topology().record(&received.id).cloned();
        }
    }

    fn takes_part(mesh: &Gossip) -> bool {
        match mesh.phase() {
            Phase::Joining | Phase::Running | Phase::Isolated => true,
            Phase::Leaving | Phase::Left | Phase::NameTaken => false,
        }
    }

    fn settled(scene: &Scene<'_, Self>) -> Result<(), String> {
        condition::converged(scene)
    }

    fn hopeful(scenario: &Scenario, plan: &Plan, at: Duration) -> Result<(), String> {
        hope::hopeful(scenario, plan, at)
    }

    fn right_views(scene: &Scene<'_, Self>) -> Vec<(usize, bool)> {
        condition::right_views(scene)
    }

    fn holds(scene: &Scene<'_, Self>, condition: &Condition) -> Result<(), String> {
        condition::holds(scene, condition)
    }

    fn is_false_death(scene: &Scene<'_, Self>, event: &Event) -> bool {
        let Event::PeerDown { id } = event else {
            return false;
        };
        scene.nodes().any(|(_, mesh)| mesh.id() == id)
    }

    fn project(&self, scene: &Scene<'_, Self>) -> Option<Projection> {
        Some(Projection::of(scene, &self.lives))
    }
}

/// A word for a message.
const fn word(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "hello",
        Message::Welcome(_) => "welcome",
        Message::Refuse(_) => "refuse",
        Message::Goodbye(_) => "goodbye",
        Message::Frame(_) => "frame",
        Message::Data(_) => "data",
    }
}

/// What an input is.
fn taken(input: &gossip::Input) -> Taken {
    match input {
        gossip::Input::Start => Taken::of("start"),
        gossip::Input::Accepted { .. } => Taken::of("accepted"),
        gossip::Input::Dialed { .. } => Taken::of("dialed"),
        gossip::Input::DialFailed { .. } => Taken::of("dial-failed"),
        gossip::Input::Receive { message, .. } => Taken {
            kind: word(message),
            word: event::content(message),
            size: message.encoded_len(),
        },
        gossip::Input::Closed { .. } => Taken::of("closed"),
        gossip::Input::Stored { .. } => Taken::of("stored"),
        gossip::Input::Announce(_) => Taken::of("announce"),
        gossip::Input::Targets { .. } => Taken::of("targets"),
        gossip::Input::Discover(_) => Taken::of("discover"),
        gossip::Input::Want { .. } => Taken::of("want"),
        gossip::Input::Leave => Taken::of("leave"),
        gossip::Input::Wake => Taken::of("wake"),
    }
}
