//! The controller: it stores the desired release, deploys it to every agent and records what each agent serves.
//!
//! The controller listens beside the mesh daemon of its host and has the host's certificate. Agents have no
//! certificates: a link belongs to the agent that names itself in the first message, and a second link of the same
//! agent replaces the first.

use crate::messages::{AgentStatus, ControllerMessage};
use crate::release::Release;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Instant;
use phalanx_sim::disk::{DiskChange, Files};
use phalanx_sim::world::{
    Command, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView, Ticket, Writing,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The port that the controller listens on.
pub const PORT: u16 = 8_443;

/// The command that deploys a release: `{ version, directives }`.
pub const DEPLOY: &str = "deploy";

/// The file of the desired release: its version on the first line, then its directives.
const DESIRED: &str = "/controller/desired";
/// The file of the desired release while it is being written.
const UNFINISHED: &str = "/controller/desired.new";
/// The interval at which a failed write is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// An agent at the other end of a link.
#[derive(Debug)]
struct Peer {
    host: String,
    status: AgentStatus,
}

/// The controller.
#[derive(Debug)]
pub struct Controller {
    id: NodeId,
    /// The links, with the agents that named themselves.
    links: BTreeMap<LinkId, Option<Peer>>,
    desired: Option<Release>,
    /// The release that is being stored, and is deployed once it is durable. None if no release is being stored.
    storing: Option<Release>,
    /// The release to store next.
    waiting: Option<Release>,
}

impl Controller {
    /// Creates the controller of this identity, with the release on its disk.
    pub fn new(id: NodeId, disk: &mut Files) -> Self {
        disk.put_folder("/controller");
        let stored = disk
            .read(DESIRED)
            .and_then(|bytes| core::str::from_utf8(bytes).ok());
        Self {
            id,
            links: BTreeMap::new(),
            desired: stored.and_then(release_in),
            storing: None,
            waiting: None,
        }
    }

    /// Returns the version of the desired release; 0 before the first deployment.
    pub fn version(&self) -> u64 {
        self.desired.as_ref().map_or(0, |desired| desired.version)
    }

    /// Stores a release durably; the release is deployed when the answer to the write arrives.
    fn store(&mut self, release: Release, out: &mut Effects) {
        let text = format!("{}\n{}", release.version, release.directives);
        let order = |number: u64, write: DiskChange| {
            Effect::Write(Box::new(Writing {
                ticket: Ticket(number),
                write,
                synced: true,
                retry: Some(RETRY),
            }))
        };
        out.push(order(
            0,
            DiskChange::Replace(UNFINISHED.into(), text.into_bytes()),
        ));
        let (old, new) = (UNFINISHED.into(), DESIRED.into());
        out.push(order(release.version, DiskChange::Rename { old, new }));
        self.storing = Some(release);
    }

    // guide: command
    fn on_command(&mut self, command: &Command, out: &mut Effects) {
        let directives = command.with["directives"].as_str().unwrap_or_default();
        let release = Release {
            version: command.with["version"].as_u64().unwrap_or_default(),
            directives: directives.to_owned(),
        };
        match self.storing {
            Some(_) => self.waiting = Some(release),
            None => self.store(release, out),
        }
    }
    // guide: end

    fn on_stored(&mut self, ticket: Ticket, out: &mut Effects) {
        let stored = |release: &mut Release| release.version == ticket.0;
        let Some(release) = self.storing.take_if(stored) else {
            return;
        };
        for (link, _) in self.links.iter().filter(|(_, peer)| peer.is_some()) {
            out.send(*link, ControllerMessage::Deploy(release.clone()));
        }
        self.desired = Some(release);
        if let Some(next) = self.waiting.take() {
            self.store(next, out);
        }
    }

    fn on_hello(&mut self, link: LinkId, host: String, out: &mut Effects) {
        let same = |(_, peer): &(&LinkId, &Option<Peer>)| {
            peer.as_ref().is_some_and(|peer| peer.host == host)
        };
        let earlier = self.links.iter().find(same).map(|(link, _)| *link);
        if let Some(link) = earlier {
            self.links.remove(&link);
            out.push(Effect::Close { link });
        }
        let status = AgentStatus::default();
        self.links.insert(link, Some(Peer { host, status }));
        if let Some(desired) = &self.desired {
            out.send(link, ControllerMessage::Deploy(desired.clone()));
        }
    }

    fn on_message(&mut self, link: LinkId, message: ControllerMessage, out: &mut Effects) {
        let Some(peer) = self.links.get_mut(&link) else {
            return;
        };
        match (message, peer) {
            (ControllerMessage::Hello(host), None) => self.on_hello(link, host, out),
            (ControllerMessage::Status(status), Some(peer)) => {
                peer.status = status;
                out.send(link, ControllerMessage::Received);
            }
            // An agent names itself once, in its first message, and never deploys a release.
            _ => {
                self.links.remove(&link);
                out.push(Effect::Close { link });
            }
        }
    }
}

/// Parses the file of the desired release.
fn release_in(text: &str) -> Option<Release> {
    let (version, directives) = text.split_once('\n')?;
    Some(Release {
        version: version.parse().ok()?,
        directives: directives.to_owned(),
    })
}

impl ProcessView for Controller {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{self:?}").as_bytes())
    }

    fn state(&self) -> Value {
        let agents = || self.links.values().flatten();
        let desired = self.version();
        let served = agents().filter(|peer| peer.status.served == Some(desired));
        let rejected = agents().filter(|peer| peer.status.rejected == Some(desired));
        json!({
            "desired": desired,
            "agents": agents().count(),
            "agents-served": served.count(),
            "agents-rejected": rejected.count(),
        })
    }
}

impl Process for Controller {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Command(command) => command.name == DEPLOY,
            ProcessEvent::Start
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Received { .. }
            | ProcessEvent::Written { .. } => true,
            _ => false,
        }
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => out.push(Effect::Listen { port: PORT }),
            ProcessEvent::Accepted { link, .. } => {
                self.links.insert(link, None);
            }
            ProcessEvent::Closed { link, .. } => {
                self.links.remove(&link);
            }
            ProcessEvent::Command(command) => self.on_command(&command, out),
            ProcessEvent::Written { ticket } => self.on_stored(ticket, out),
            ProcessEvent::Received { link, message } => {
                if let Some(message) = message.take() {
                    self.on_message(link, message, out);
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }

    fn identity(&self) -> Option<&NodeId> {
        Some(&self.id)
    }
}
