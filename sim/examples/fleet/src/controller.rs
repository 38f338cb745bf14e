//! The controller: it pushes the desired version to every agent and records which agents serve it.

use crate::messages::{Control, Reported};
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Instant;
use phalanx_sim::disk::{Files, Write};
use phalanx_sim::world::{
    Effect, Effects, LinkId, Process, ProcessEvent, ProcessView, Ticket, Writing,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The port that the controller listens on.
pub const PORT: u16 = 8_443;

/// The command that sets the desired version.
pub const DEPLOY: &str = "deploy";

/// The file of the desired version.
const DESIRED: &str = "desired";

/// The controller.
#[derive(Debug)]
pub struct Controller {
    id: NodeId,
    /// The agents' links, with the version that each serves.
    links: BTreeMap<LinkId, Option<u64>>,
    version: u64,
}

impl Controller {
    /// The controller of this identity, with what it had on disk.
    pub fn new(id: NodeId, disk: &Files) -> Self {
        Self {
            id,
            links: BTreeMap::new(),
            version: version_in(disk, DESIRED),
        }
    }

    /// The desired version; 0 before the first deployment.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn deploy(&mut self, version: u64, out: &mut Effects) {
        self.version = version;
        out.push(write(DESIRED, version, true));
        for link in self.links.keys() {
            out.send(*link, Control::Push(version));
        }
    }
}

impl ProcessView for Controller {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{self:?}").as_bytes())
    }

    fn state(&self) -> Value {
        let served = self.links.values();
        let served = served.filter(|served| **served == Some(self.version));
        json!({ "desired": self.version, "agents": self.links.len(), "agents-served": served.count() })
    }
}

impl Process for Controller {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Command(command) => command.name == DEPLOY,
            ProcessEvent::Start
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Received { .. } => true,
            _ => false,
        }
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => out.push(Effect::Listen { port: PORT }),
            ProcessEvent::Accepted { link, .. } => {
                self.links.insert(link, None);
                if self.version > 0 {
                    out.send(link, Control::Push(self.version));
                }
            }
            ProcessEvent::Closed { link, .. } => {
                self.links.remove(&link);
            }
            ProcessEvent::Command(command) => {
                let version = command.with["version"].as_u64();
                self.deploy(version.unwrap_or(self.version), out);
            }
            ProcessEvent::Received { link, message } => {
                if let Some(Control::Served(version)) = message.take() {
                    self.links.insert(link, Some(version));
                    out.report(Reported("served"));
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

/// The version that a file holds; 0 without the file.
pub(crate) fn version_in(disk: &Files, file: &str) -> u64 {
    let bytes = disk.read(file).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// The write of a version to a file; its ticket is the version.
pub(crate) fn write(file: &'static str, version: u64, synced: bool) -> Effect {
    Effect::Write(Box::new(Writing {
        ticket: Ticket(version),
        write: Write::Replace(file.into(), version.to_le_bytes().to_vec()),
        synced,
        retry: None,
    }))
}
