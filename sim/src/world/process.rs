//! A process on a simulated host: the events that reach it, its effects on the world, and its view.

use crate::disk::{DiskError, Write};
use crate::scenario::Certificate;
use core::any::Any;
use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use phalanx_core::topology::record::Service;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub use phalanx_core::gossip::{CloseReason, DialError, DialId, LinkId, Ticket};

/// What processes send each other.
pub trait Message: Any + Debug {
    /// The encoded size, in bytes.
    fn encoded_len(&self) -> usize;

    /// What it is, as the hash counts it.
    fn kind(&self) -> &'static str;

    /// What it is, as recordings call it: perhaps what it carries.
    fn word(&self) -> &'static str {
        self.kind()
    }
}

impl dyn Message {
    /// The message, if it is of this type.
    #[must_use]
    pub fn of<M: Message>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }

    /// Takes the message out, if it is of this type.
    #[must_use]
    pub fn take<M: Message + Clone>(self: Rc<Self>) -> Option<M> {
        let any: Rc<dyn Any> = self;
        any.downcast().ok().map(Rc::unwrap_or_clone)
    }
}

/// Something that a process reports.
pub trait ReportedEvent: Any + Debug {
    /// The word for it, and the id of whom it is about.
    fn described(&self) -> (&'static str, Option<&NodeId>);
}

impl dyn ReportedEvent {
    /// The notice, if it is of this type.
    #[must_use]
    pub fn of<N: ReportedEvent>(&self) -> Option<&N> {
        (self as &dyn Any).downcast_ref()
    }
}

/// What of a process conditions, invariants and reports look at.
pub trait ProcessView: Any {
    /// A number for the state; equal numbers mean that two processes agree.
    fn digest(&self) -> u64;

    /// The state for people and for the conditions `state` and `agree`.
    fn state(&self) -> Value;

    /// Whether a running process still counts: one that gave up or is on its way out does not.
    fn participates(&self) -> bool {
        true
    }

    /// A figure: what a metric of the vocabulary's `gauges` bounds.
    fn gauge(&self, _name: &str) -> Option<u64> {
        None
    }
}

impl dyn ProcessView {
    /// The view, if it is of this type.
    #[must_use]
    pub fn of<V: ProcessView>(&self) -> Option<&V> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A process on a host.
pub trait Process: Any {
    /// Whether an event concerns the process. An event that does not is not delivered, and an order of the plan that
    /// concerns no process had no effect.
    fn concerns(&self, event: &ProcessEvent) -> bool;

    /// Takes an event; writes its effects in the order in which they are to be done.
    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects);

    /// The instant of the next `Wake`; none: no timer is set.
    fn next_deadline(&self) -> Option<Instant>;

    /// The part of the process that conditions, invariants and reports look at.
    fn view(&self) -> &dyn ProcessView;

    /// The identity that the process proves to peers on its links; none: it has no certificate.
    fn identity(&self) -> Option<&NodeId> {
        None
    }
}

/// An input that a machine takes, as traces show it.
#[derive(Clone, Copy, Debug)]
pub struct InputInfo {
    /// What it is, as the hash counts it.
    pub kind: &'static str,
    /// What it is, as recordings call it: of a message, perhaps what it carries.
    pub word: &'static str,
    /// Encoded bytes, of a message.
    pub size: usize,
}

impl InputInfo {
    /// An input that is no message.
    #[must_use]
    pub const fn of(kind: &'static str) -> Self {
        Self {
            kind,
            word: kind,
            size: 0,
        }
    }

    /// A message.
    #[must_use]
    pub const fn message(kind: &'static str, size: usize) -> Self {
        Self {
            kind,
            word: kind,
            size,
        }
    }
}

/// What the engine makes happen to a process.
#[derive(Debug)]
pub enum ProcessEvent {
    /// The process runs.
    Start,
    /// An `Effect::Listen` failed: another program of the host listens on the port. A process that this does not
    /// concern fails the run.
    ListenFailed {
        /// The port.
        port: u16,
        /// The name of the program that listens on it.
        holder: &'static str,
    },
    /// A peer connected.
    Accepted {
        /// The new link.
        link: LinkId,
        /// The identity that the peer proved; none: it has no certificate.
        peer: Option<NodeId>,
    },
    /// A dial succeeded.
    Dialed {
        /// The attempt.
        dial: DialId,
        /// The new link.
        link: LinkId,
        /// The identity that the acceptor proved; none: it has no certificate.
        peer: Option<NodeId>,
    },
    /// A dial failed.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// Why.
        reason: DialError,
    },
    /// A message arrived on a link.
    Received {
        /// Which.
        link: LinkId,
        /// What.
        message: Rc<dyn Message>,
    },
    /// A link is gone without an order.
    Closed {
        /// Which.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// A datagram arrived.
    Datagram {
        /// Where its sender listens.
        from: SocketAddr,
        /// What.
        message: Rc<dyn Message>,
    },
    /// A write or sync is done.
    Written {
        /// The order's ticket.
        ticket: Ticket,
    },
    /// A write or sync failed; nothing of it is durable.
    WriteFailed {
        /// The order's ticket.
        ticket: Ticket,
        /// Why.
        reason: DiskError,
    },
    /// The scenario orders a graceful leave.
    Leave,
    /// The certificate expired, was revoked or was rotated. Its meaning is the program's.
    Certificate(Certificate),
    /// The scenario orders the process to publish other content.
    Announce(Box<Published>),
    /// A command of the scenario, in the program's own words.
    Command(Box<Command>),
    /// A deadline has arrived.
    Wake,
}

/// What a scenario has a process publish.
#[derive(Clone, Debug)]
pub struct Published {
    /// All it serves.
    pub services: BTreeSet<Service>,
    /// All metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A word of a workload.
#[derive(Clone, Debug)]
pub struct Command {
    /// The word.
    pub name: String,
    /// What goes with it.
    pub with: Value,
}

impl ProcessEvent {
    /// What it is, as traces show it; `bytes` are those of its message, if it brings one.
    #[must_use]
    pub fn info(&self, bytes: usize) -> InputInfo {
        InputInfo::of(match self {
            Self::Received { message, .. } | Self::Datagram { message, .. } => {
                return InputInfo {
                    kind: message.kind(),
                    word: message.word(),
                    size: bytes,
                };
            }
            Self::Start => "start",
            Self::ListenFailed { .. } => "listen-failed",
            Self::Accepted { .. } => "accepted",
            Self::Dialed { .. } => "dialed",
            Self::DialFailed { .. } => "dial-failed",
            Self::Closed { .. } => "closed",
            Self::Written { .. } => "stored",
            Self::WriteFailed { .. } => "write-failed",
            Self::Leave => "leave",
            Self::Certificate(_) => "certificate",
            Self::Announce(_) => "announce",
            Self::Command(_) => "order",
            Self::Wake => "wake",
        })
    }
}

/// What a process does to the world.
#[derive(Debug)]
pub enum Effect {
    /// Listens on a port of the host until the process ends; answered by `ListenFailed` if another program does.
    Listen {
        /// Which.
        port: u16,
    },
    /// Connects; answered by `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// Where to; none: a name that leads nowhere.
        to: Option<SocketAddr>,
    },
    /// Sends on a link, in order and without loss while the link lives.
    Send {
        /// Which.
        link: LinkId,
        /// What.
        message: Rc<dyn Message>,
    },
    /// Closes a link after what was sent on it; no `Closed` is heard here.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Sends a datagram: it may be lost or overtaken.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// What.
        message: Rc<dyn Message>,
    },
    /// Writes to the host's disk; answered by `Written` or `WriteFailed`.
    Write(Box<Writing>),
    /// Tells people.
    Report(Box<dyn ReportedEvent>),
    /// The process ends; the operating system closes its links.
    Exit,
}

/// A write to a host's disk.
#[derive(Debug)]
pub struct Writing {
    /// To answer with.
    pub ticket: Ticket,
    /// What.
    pub write: Write,
    /// Whether `Written` means durable.
    pub synced: bool,
    /// A failure is not answered; it is tried again after this, until it succeeds.
    pub retry: Option<Duration>,
}

/// What one step of a process does to the world, in the order to be done.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

impl Effects {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Appends one.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Sends on a link.
    pub fn send(&mut self, link: LinkId, message: impl Message) {
        let message = Rc::new(message);
        self.push(Effect::Send { link, message });
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, to: SocketAddr, message: impl Message) {
        let message = Rc::new(message);
        self.push(Effect::Datagram { to, message });
    }

    /// Tells people.
    pub fn report(&mut self, notice: impl ReportedEvent) {
        self.push(Effect::Report(Box::new(notice)));
    }

    /// All, first first.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.list
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes all; the memory is kept.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }
}
