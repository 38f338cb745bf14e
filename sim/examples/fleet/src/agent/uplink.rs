//! The link to the controller.
//!
//! The agent has no certificate and names itself; it checks the identity of the controller. It sends its status after
//! each change and every second, and dials again when no answer has arrived for three seconds: a host that lost power
//! closes no link.

use super::turn::{RETRY, Turn};
use crate::messages::{Control, Reported, Status};
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_sim::world::{DialId, Effect, LinkId};

/// The interval between two statuses.
const STATUS: Duration = Duration::from_secs(1);
/// The time without a message after which the link counts as dead.
const SILENCE: Duration = Duration::from_secs(3);

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
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
    address: SocketAddr,
    link: Link,
    dials: u64,
    retry_at: Option<Instant>,
    status_at: Instant,
    /// The time of the latest message of the controller.
    heard_at: Instant,
    told: Status,
}

impl Uplink {
    pub(super) fn new(host: String, trusted: Vec<NodeId>, address: SocketAddr) -> Self {
        Self {
            host,
            trusted,
            address,
            link: Link::Down,
            dials: 0,
            retry_at: None,
            status_at: Instant::ZERO,
            heard_at: Instant::ZERO,
            told: Status::default(),
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub(super) fn dial(&mut self, turn: &mut Turn<'_>) {
        self.retry_at = None;
        self.dials += 1;
        self.link = Link::Dialing;
        turn.out.push(Effect::Dial {
            dial: DialId(self.dials),
            to: Some(self.address),
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
        self.heard_at = turn.now;
        turn.out.send(link, Control::Hello(self.host.clone()));
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

    /// Records that a message arrived; returns whether it came from the controller.
    pub(super) fn on_message(&mut self, now: Instant, link: LinkId) -> bool {
        self.heard_at = now;
        self.link == Link::Up(link)
    }

    /// Sends the status if it has changed.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_>, status: Status) {
        if status != self.told {
            self.told = status;
            self.send_status(turn);
        }
    }

    fn send_status(&mut self, turn: &mut Turn<'_>) {
        if let Link::Up(link) = self.link {
            self.status_at = turn.now + STATUS;
            turn.out.send(link, Control::Status(self.told));
        }
    }

    pub(super) fn on_wake(&mut self, turn: &mut Turn<'_>) {
        match self.link {
            Link::Down if self.retry_at.is_some_and(|at| at <= turn.now) => self.dial(turn),
            Link::Up(link) if turn.now >= self.heard_at + SILENCE => {
                turn.out.push(Effect::Close { link });
                self.dial(turn);
            }
            Link::Up(_) if turn.now >= self.status_at => self.send_status(turn),
            Link::Down | Link::Dialing | Link::Up(_) => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Down => self.retry_at,
            Link::Dialing => None,
            Link::Up(_) => Some(self.status_at.min(self.heard_at + SILENCE)),
        }
    }
}
