//! An agent: it writes the configuration that the controller pushes, has nginx load it, and reports what is served.
//!
//! ```text
//! Push(v) -> write nginx.conf (synced) -> Reload(v) to nginx -> Reloaded(v) -> Served(v) to the controller
//! ```
//!
//! A dial, a failed write and an unanswered reload are repeated every half second.

use crate::controller::write;
use crate::messages::{Control, Reported, Signal};
use crate::nginx;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::random::hash_bytes;
use phalanx_core::time::Instant;
use phalanx_sim::world::{
    DialId, Effect, Effects, LinkId, Process, ProcessEvent, ProcessView, Ticket,
};
use serde_json::{Value, json};

/// The port that nginx answers to.
const PORT: u16 = 9_000;

/// The interval between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// The state of the link to the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uplink {
    Down,
    Dialing,
    Up(LinkId),
}

/// The step that a version has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is served, or none was pushed.
    Idle,
    /// The configuration is to be written.
    Unwritten,
    /// The write is under way.
    Writing,
    /// nginx was asked to load it.
    Reloading,
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    controller: (NodeId, SocketAddr),
    /// Planted bug: a version is reported as served before nginx has loaded it.
    served_early: bool,
    uplink: Uplink,
    dials: u64,
    /// The latest version that the controller pushed.
    desired: u64,
    stage: Stage,
    /// The latest version reported as served.
    served: u64,
    retry_at: Option<Instant>,
}

impl Agent {
    /// An agent of the controller with this identity and address.
    pub fn new(controller: (NodeId, SocketAddr), served_early: bool) -> Self {
        Self {
            controller,
            served_early,
            uplink: Uplink::Down,
            dials: 0,
            desired: 0,
            stage: Stage::Idle,
            served: 0,
            retry_at: None,
        }
    }

    /// The latest version that the agent reported as served.
    pub fn served(&self) -> u64 {
        self.served
    }

    fn dial(&mut self, out: &mut Effects) {
        self.dials += 1;
        self.uplink = Uplink::Dialing;
        out.push(Effect::Dial {
            dial: DialId(self.dials),
            to: Some(self.controller.1),
        });
    }

    fn write(&mut self, out: &mut Effects) {
        self.stage = Stage::Writing;
        out.push(write(nginx::CONFIGURATION, self.desired, true));
    }

    fn reload(&mut self, now: Instant, out: &mut Effects) {
        self.stage = Stage::Reloading;
        self.retry_at = Some(now + RETRY);
        let nginx = SocketAddr::from((Ipv4Addr::LOCALHOST, nginx::PORT));
        out.datagram(nginx, Signal::Reload(self.desired));
    }

    fn on_served(&mut self, out: &mut Effects) {
        self.served = self.desired;
        if let Uplink::Up(link) = self.uplink {
            out.send(link, Control::Served(self.served));
        }
    }

    fn on_push(&mut self, version: u64, out: &mut Effects) {
        if version == self.served {
            // The controller may have missed the first report.
            return self.on_served(out);
        }
        self.desired = version;
        // A write under way is followed by one of the new version.
        if self.stage != Stage::Writing {
            self.write(out);
        }
    }

    fn on_written(&mut self, now: Instant, ticket: Ticket, out: &mut Effects) {
        if ticket.0 != self.desired {
            return self.write(out);
        }
        if self.served_early {
            self.on_served(out);
        }
        self.reload(now, out);
    }

    fn on_wake(&mut self, now: Instant, out: &mut Effects) {
        self.retry_at = None;
        if self.uplink == Uplink::Down {
            self.dial(out);
        }
        match self.stage {
            Stage::Unwritten => self.write(out),
            Stage::Reloading => self.reload(now, out),
            Stage::Idle | Stage::Writing => {}
        }
    }

    fn on_link_lost(&mut self, now: Instant) {
        self.uplink = Uplink::Down;
        self.retry_at.get_or_insert(now + RETRY);
    }

    fn on_dialed(&mut self, now: Instant, link: LinkId, peer: Option<NodeId>, out: &mut Effects) {
        if peer.as_ref() == Some(&self.controller.0) {
            self.uplink = Uplink::Up(link);
        } else {
            out.push(Effect::Close { link });
            self.on_link_lost(now);
        }
    }
}

impl ProcessView for Agent {
    fn digest(&self) -> u64 {
        hash_bytes(format!("{self:?}").as_bytes())
    }

    fn state(&self) -> Value {
        json!({ "served": self.served, "connected": matches!(self.uplink, Uplink::Up(_)) })
    }
}

impl Process for Agent {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Start
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Received { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Datagram { .. }
            | ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Wake => true,
            ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Invoked(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Signal { .. }
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Query(_)
            | ProcessEvent::Leave
            | ProcessEvent::Certificate(_)
            | ProcessEvent::Command(_) => false,
        }
    }

    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects) {
        match event {
            ProcessEvent::Start => {
                out.push(Effect::Listen { port: PORT });
                self.dial(out);
            }
            ProcessEvent::Wake => self.on_wake(now, out),
            ProcessEvent::Dialed { link, peer, .. } => self.on_dialed(now, link, peer, out),
            ProcessEvent::DialFailed { .. } => {
                out.report(Reported("controller-unreachable"));
                self.on_link_lost(now);
            }
            ProcessEvent::Closed { .. } => self.on_link_lost(now),
            ProcessEvent::Received { message, .. } => {
                if let Some(Control::Push(version)) = message.take() {
                    self.on_push(version, out);
                }
            }
            ProcessEvent::Written { ticket } => self.on_written(now, ticket, out),
            ProcessEvent::WriteFailed { .. } => {
                self.stage = Stage::Unwritten;
                self.retry_at.get_or_insert(now + RETRY);
            }
            ProcessEvent::Datagram { message, .. } => {
                if let Some(Signal::Reloaded(version)) = message.take()
                    && (self.stage, self.desired) == (Stage::Reloading, version)
                {
                    self.stage = Stage::Idle;
                    self.on_served(out);
                }
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}
