//! An agent: it keeps the nginx of its host on the release that the controller deploys.
//!
//! - [`uplink`]: the link to the controller.
//! - [`read_back`]: the files found on the disk at a start.
//! - [`deployment`]: write, `nginx -t`, rename, sync.
//! - [`loader`]: SIGHUP, and the version that nginx serves.
//!
//! The agent can lose its memory in a crash: after a restart it reads the disk and asks nginx, continues unfinished
//! work, and does not repeat finished work.

mod deployment;
mod loader;
mod read_back;
mod turn;
mod uplink;

use crate::messages::{AgentStatus, ControllerMessage, Reported};
use crate::release::{NginxConfiguration, REJECTED, Release};
use deployment::{Deployment, DeploymentProgress};
use loader::Loader;
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Instant;
use phalanx_sim::disk::DiskChange;
use phalanx_sim::fakes::nginx::HttpResponse;
use phalanx_sim::world::{
    Effect, Effects, LinkId, Process, ProcessEvent, ProcessView, Read, Writing,
};
use read_back::{Found, ReadBack};
use serde_json::{Value, json};
use turn::{RETRY, Turn};
use uplink::Uplink;

/// The port on which nginx answers the agent.
const PORT: u16 = 9_000;

/// The planted bugs of an agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentBugs {
    /// A version is reported as served before nginx has loaded it.
    pub served_early: bool,
    /// A configuration is renamed before its bytes are durable.
    pub unsynced_rename: bool,
    /// `nginx -t` is left out.
    pub untested: bool,
    /// The agent does not read the disk at its start.
    pub no_read_back: bool,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    no_read_back: bool,
    tickets: u64,
    uplink: Uplink,
    read_back: ReadBack,
    deployment: Deployment,
    loader: Loader,
    /// Whether the disk has been read.
    ready: bool,
    /// The configuration in the live file.
    live: Option<NginxConfiguration>,
    /// The configuration to return to: the one that nginx served last.
    good: Option<NginxConfiguration>,
    /// The latest release, until its deployment begins.
    next: Option<NginxConfiguration>,
    /// The latest version that nginx refused.
    rejected: Option<u64>,
}

impl Agent {
    /// Creates the agent of a host; the agent trusts controllers of these identities and finds them by a name.
    pub fn new(host: String, trusted: Vec<NodeId>, name: &'static str, bugs: AgentBugs) -> Self {
        Self {
            no_read_back: bugs.no_read_back,
            tickets: 0,
            uplink: Uplink::new(host, trusted, name),
            read_back: ReadBack::default(),
            deployment: Deployment::new(deployment::DeploymentBugs {
                unsynced_rename: bugs.unsynced_rename,
                untested: bugs.untested,
            }),
            loader: Loader::new(bugs.served_early),
            ready: false,
            live: None,
            good: None,
            next: None,
            rejected: None,
        }
    }

    /// Returns the status that the agent reports.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        AgentStatus {
            served: self.loader.served(),
            rejected: self.rejected,
        }
    }

    /// Returns the controller that the agent is linked to.
    #[must_use]
    pub fn controller(&self) -> Option<&NodeId> {
        self.uplink.controller()
    }

    fn on_start(&mut self, turn: &mut Turn<'_>) {
        turn.out.push(Effect::Listen { port: PORT });
        self.uplink.connect(turn);
        if self.no_read_back {
            self.ready = true;
        } else {
            self.read_back.begin(turn);
        }
    }

    /// Continues from the state found on the disk.
    fn on_found(&mut self, turn: &mut Turn<'_>, found: Found) {
        self.ready = true;
        self.live = found.live;
        self.good = found.previous;
        self.rejected = found.rejected;
        let live = self.live_version();
        if let Some(live) = live {
            self.loader.look(turn.now, live);
        }
        if let Some(candidate) = found
            .candidate
            .filter(|it| Some(it.version) > live.max(self.rejected))
        {
            let kept = self.keep();
            self.deployment.resume(turn, candidate, kept);
        }
        self.advance(turn);
    }

    fn on_deploy(&mut self, turn: &mut Turn<'_>, release: &Release) {
        self.next = Some(release.configuration());
        self.advance(turn);
    }

    /// Begins the deployment of the latest release, if none is under way.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        if !self.ready || self.deployment.version().is_some() {
            return;
        }
        let known = self.live_version().max(self.rejected);
        let next = self.next.take();
        if let Some(next) = next.filter(|next| Some(next.version) > known) {
            let kept = self.keep();
            self.deployment.begin(turn, next, kept);
        }
    }

    fn on_progress(&mut self, turn: &mut Turn<'_>, progress: Option<DeploymentProgress>) {
        match progress {
            None => {}
            Some(DeploymentProgress::Switching) => self.loader.stop(),
            Some(DeploymentProgress::Live(configuration)) => {
                self.loader.load(turn, configuration.version);
                self.live = Some(configuration);
                self.advance(turn);
            }
            Some(DeploymentProgress::Rejected(version)) => {
                self.reject(turn, version);
                self.advance(turn);
            }
        }
    }

    fn reject(&mut self, turn: &mut Turn<'_>, version: u64) {
        self.rejected = Some(version);
        turn.out.report(Reported("rejected"));
        let ticket = turn.ticket();
        let bytes = version.to_string().into_bytes();
        turn.out.push(Effect::Write(Box::new(Writing {
            ticket,
            write: DiskChange::Replace(REJECTED.into(), bytes),
            synced: true,
            retry: Some(RETRY),
        })));
    }

    /// Applies the loader's result: nginx serves the live version, or refuses to load it.
    fn after_loading(&mut self, turn: &mut Turn<'_>) {
        if self.loader.served().is_some() && self.loader.served() == self.live_version() {
            self.good.clone_from(&self.live);
        }
        let refused = self.loader.take_refused();
        let Some(refused) = refused.filter(|_| self.deployment.version().is_none()) else {
            return;
        };
        let good = self.good.clone();
        if let Some(good) = good.filter(|good| good.version < refused) {
            self.reject(turn, refused);
            self.deployment.begin(turn, good, None);
        }
    }

    /// Chooses the configuration to return to if the next one fails: the one served last, or else the live one.
    fn keep(&mut self) -> Option<NginxConfiguration> {
        if self.good.is_none() {
            self.good.clone_from(&self.live);
        }
        self.good.clone()
    }

    fn live_version(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.version)
    }

    fn on_received(&mut self, turn: &mut Turn<'_>, link: LinkId, message: ControllerMessage) {
        if let (true, ControllerMessage::Deploy(release)) =
            (self.uplink.on_message(turn.now, link), message)
        {
            self.on_deploy(turn, &release);
        }
    }

    fn on_read(&mut self, turn: &mut Turn<'_>, read: &Read) {
        match self.read_back.on_read(turn.now, read) {
            Some(found) => self.on_found(turn, found),
            None => self.loader.on_read(turn, read),
        }
    }

    fn on_wake(&mut self, turn: &mut Turn<'_>) {
        self.uplink.on_wake(turn);
        self.read_back.on_wake(turn);
        self.deployment.on_wake(turn);
        self.loader.on_wake(turn);
    }

    fn take(&mut self, turn: &mut Turn<'_>, event: ProcessEvent) {
        match event {
            ProcessEvent::Start => self.on_start(turn),
            ProcessEvent::Wake => self.on_wake(turn),
            ProcessEvent::Resolved(resolved) => self.uplink.on_resolved(turn, &resolved),
            ProcessEvent::Dialed { link, peer, .. } => {
                self.uplink.on_dialed(turn, link, peer.as_ref());
            }
            ProcessEvent::DialFailed { .. } => self.uplink.on_dial_failed(turn),
            ProcessEvent::Closed { link, .. } => self.uplink.on_closed(turn.now, link),
            ProcessEvent::Received { link, message } => {
                if let Some(message) = message.take() {
                    self.on_received(turn, link, message);
                }
            }
            ProcessEvent::Written { ticket } => {
                let progress = self.deployment.on_written(turn, ticket);
                self.on_progress(turn, progress);
            }
            ProcessEvent::WriteFailed { ticket, .. } => {
                self.deployment.on_write_failed(turn.now, ticket);
            }
            ProcessEvent::Read(read) => self.on_read(turn, &read),
            ProcessEvent::Ran(ran) => {
                self.loader.on_ran(turn.now, &ran);
                let progress = self.deployment.on_ran(turn, &ran);
                self.on_progress(turn, progress);
            }
            ProcessEvent::Signalled { ticket, delivered } => {
                self.loader.on_signalled(turn, ticket, delivered);
            }
            ProcessEvent::Datagram { message, .. } => {
                if let Some(HttpResponse(response)) = message.take() {
                    self.loader.on_answer(turn, response.as_ref());
                }
            }
            _ => {}
        }
    }
}

impl ProcessView for Agent {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{self:?}").as_bytes())
    }

    fn state(&self) -> Value {
        json!({
            "controller": self.uplink.controller().map(NodeId::as_str),
            "live": self.live_version(),
            "deploying": self.deployment.version(),
            "served": self.loader.served(),
            "rejected": self.rejected,
        })
    }
}

impl Process for Agent {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Start
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Received { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Wake => true,
            ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Invoked(_)
            | ProcessEvent::Signal { .. }
            | ProcessEvent::Query(_)
            | ProcessEvent::Leave
            | ProcessEvent::Certificate(_)
            | ProcessEvent::Command(_) => false,
        }
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        let tickets = self.tickets;
        let mut turn = Turn { now, out, tickets };
        self.take(&mut turn, event);
        self.after_loading(&mut turn);
        self.uplink.tell(&mut turn, self.status());
        self.tickets = turn.tickets;
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.uplink.next_deadline(),
            self.read_back.next_deadline(),
            self.deployment.next_deadline(),
            self.loader.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}
