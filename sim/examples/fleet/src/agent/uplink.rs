//! The link to the controller.
//!
//! The agent finds the controller by a name, which it resolves before each dial. The agent has no certificate and only
//! states its name; the agent checks the identity of the controller. The agent sends its status after each change and
//! every second, and dials again when no answer has arrived for three seconds, because a host that lost power closes no
//! link.

use super::turn::{RETRY, Turn};
use crate::controller::PORT;
use crate::messages::{AgentStatus, ControllerMessage, Reported};
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_sim::world::{DialId, Effect, LinkId, Resolved, Ticket};

/// The interval between two statuses.
const STATUS: Duration = Duration::from_secs(1);
/// The time without a message after which the link counts as dead.
const SILENCE: Duration = Duration::from_secs(3);

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Resolving(Ticket),
    Dialing,
    Up(LinkId),
}

/// The link to the controller.
#[derive(Debug)]
pub(super) struct Uplink {
    /// The name of the agent's host.
    host: String,
    /// The identities of all controllers.
    trusted: Vec<NodeId>,
    /// The name of the controller.
    name: &'static str,
    link: Link,
    /// The controller that was linked last.
    peer: Option<NodeId>,
    dials: u64,
    retry_at: Option<Instant>,
    status_at: Instant,
    /// The time of the latest message of the controller.
    heard_at: Instant,
    told: AgentStatus,
}

impl Uplink {
    pub(super) fn new(host: String, trusted: Vec<NodeId>, name: &'static str) -> Self {
        Self {
            host,
            trusted,
            name,
            link: Link::Down,
            peer: None,
            dials: 0,
            retry_at: None,
            status_at: Instant::ZERO,
            heard_at: Instant::ZERO,
            told: AgentStatus::default(),
        }
    }

    /// Returns the controller at the other end of the link, if there is one.
    pub(super) fn controller(&self) -> Option<&NodeId> {
        self.peer
            .as_ref()
            .filter(|_| matches!(self.link, Link::Up(_)))
    }

    /// Resolves the name of the controller, in order to dial it.
    pub(super) fn connect(&mut self, turn: &mut Turn<'_>) {
        self.retry_at = None;
        let (ticket, name) = (turn.ticket(), self.name.into());
        self.link = Link::Resolving(ticket);
        turn.out.push(Effect::Resolve { ticket, name });
    }

    /// Dials one of the addresses; the next attempt dials another address.
    pub(super) fn on_resolved(&mut self, turn: &mut Turn<'_>, resolved: &Resolved) {
        if self.link != Link::Resolving(resolved.ticket) {
            return;
        }
        let addresses = resolved.addresses.as_deref().unwrap_or_default();
        self.dials += 1;
        let nth = usize::try_from(self.dials).unwrap_or_default();
        let Some(ip) = addresses.iter().cycle().nth(nth % addresses.len().max(1)) else {
            turn.out.report(Reported("name-unresolved"));
            return self.lost(turn.now);
        };
        self.link = Link::Dialing;
        turn.out.push(Effect::Dial {
            dial: DialId(self.dials),
            to: Some(SocketAddr::new(*ip, PORT)),
        });
    }

    fn lost(&mut self, now: Instant) {
        self.link = Link::Down;
        self.retry_at = Some(now + RETRY);
    }

    pub(super) fn on_dialed(&mut self, turn: &mut Turn<'_>, link: LinkId, peer: Option<&NodeId>) {
        if self.link != Link::Dialing || !peer.is_some_and(|peer| self.trusted.contains(peer)) {
            turn.out.push(Effect::Close { link });
            return self.lost(turn.now);
        }
        self.link = Link::Up(link);
        self.peer = peer.cloned();
        self.heard_at = turn.now;
        turn.out
            .send(link, ControllerMessage::Hello(self.host.clone()));
        self.send_status(turn);
    }

    pub(super) fn on_dial_failed(&mut self, turn: &mut Turn<'_>) {
        turn.out.report(Reported("controller-unreachable"));
        self.lost(turn.now);
    }

    pub(super) fn on_closed(&mut self, now: Instant, link: LinkId) {
        if self.link == Link::Up(link) {
            self.lost(now);
        }
    }

    /// Records that a message arrived; returns whether the message came from the controller.
    pub(super) fn on_message(&mut self, now: Instant, link: LinkId) -> bool {
        self.heard_at = now;
        self.link == Link::Up(link)
    }

    /// Sends the status if it has changed.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_>, status: AgentStatus) {
        if status != self.told {
            self.told = status;
            self.send_status(turn);
        }
    }

    fn send_status(&mut self, turn: &mut Turn<'_>) {
        if let Link::Up(link) = self.link {
            self.status_at = turn.now + STATUS;
            turn.out.send(link, ControllerMessage::Status(self.told));
        }
    }

    pub(super) fn on_wake(&mut self, turn: &mut Turn<'_>) {
        match self.link {
            Link::Down if self.retry_at.is_some_and(|at| at <= turn.now) => self.connect(turn),
            Link::Up(link) if turn.now >= self.heard_at + SILENCE => {
                turn.out.push(Effect::Close { link });
                self.connect(turn);
            }
            Link::Up(_) if turn.now >= self.status_at => self.send_status(turn),
            Link::Down | Link::Resolving(_) | Link::Dialing | Link::Up(_) => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Down => self.retry_at,
            Link::Resolving(_) | Link::Dialing => None,
            Link::Up(_) => Some(self.status_at.min(self.heard_at + SILENCE)),
        }
    }
}
