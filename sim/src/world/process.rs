//! A process on a simulated host: the events that reach it, its effects on the world, and its view.

use super::local::{
    Answered, Finished, Invocation, LocalHost, Query, Ran, Read, ReadOf, Reading, Resolved,
    Running, Signal, Signalling,
};
use crate::disk::{DiskError, Write};
use crate::scenario::Certificate;
use core::any::Any;
use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::time::Instant;
use serde_json::Value;
use std::rc::Rc;

pub use phalanx_core::gossip::{CloseReason, DialError, DialId, LinkId, Ticket};

/// A message between processes.
pub trait Message: Any + Debug {
    /// The encoded size, in bytes.
    fn encoded_len(&self) -> usize;

    /// The message's kind; the trace hash counts it.
    fn kind(&self) -> &'static str;

    /// The message's name in recordings: its kind, or the kind of its content.
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

/// An event that a process reports. It is for people, and for scenarios that wait for it.
pub trait ReportedEvent: Any + Debug {
    /// The event's word, and the id of the node that it is about.
    fn described(&self) -> (&'static str, Option<&NodeId>);
}

impl dyn ReportedEvent {
    /// The event, if it is of this type.
    #[must_use]
    pub fn of<N: ReportedEvent>(&self) -> Option<&N> {
        (self as &dyn Any).downcast_ref()
    }
}

/// The part of a process that conditions, invariants and reports look at.
pub trait ProcessView: Any {
    /// A hash of the state; two processes agree when their hashes are equal.
    fn digest(&self) -> u64;

    /// The state for people and for the conditions `state` and `agree`.
    fn state(&self) -> Value;

    /// Whether a running process counts for conditions. A process that gave up or is leaving does not.
    fn participates(&self) -> bool {
        true
    }

    /// The value of a gauge, by its word in the vocabulary's `gauges`.
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

    /// Whether the process takes events by [`Self::on_event_at`]. The engine asks once for each life.
    fn acts_on_host(&self) -> bool {
        false
    }

    /// Takes an event, with the host at hand. A fake of a part that reads and writes files within one step has it;
    /// machines whose decisions are in core order effects instead.
    fn on_event_at(
        &mut self,
        now: Instant,
        event: ProcessEvent,
        _host: LocalHost<'_>,
        out: &mut Effects,
    ) {
        self.on_event(now, event, out);
    }

    /// The content of a file below `/proc/`, if the process answers for it.
    fn proc_file(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }

    /// The instant of the next `Wake`; none: no timer is set.
    fn next_deadline(&self) -> Option<Instant>;

    /// The part of the process that conditions, invariants and reports look at.
    fn view(&self) -> &dyn ProcessView;

    /// The identity that the process proves to peers on its links; none: it has no certificate.
    fn identity(&self) -> Option<&NodeId> {
        None
    }
}

/// An event that a process takes, as traces show it.
#[derive(Clone, Copy, Debug)]
pub struct InputInfo {
    /// The event's kind; the trace hash counts it.
    pub kind: &'static str,
    /// The event's name in recordings: its kind, or the kind of a message's content.
    pub word: &'static str,
    /// Encoded bytes of the message; 0 without one.
    pub size: usize,
}

impl InputInfo {
    /// An event without a message.
    #[must_use]
    pub const fn of(kind: &'static str) -> Self {
        Self {
            kind,
            word: kind,
            size: 0,
        }
    }

    /// An event that brings a message.
    #[must_use]
    pub const fn message(kind: &'static str, size: usize) -> Self {
        Self {
            kind,
            word: kind,
            size,
        }
    }
}

/// An event that the engine delivers to a process.
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
        /// The link.
        link: LinkId,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// A link ended without an order of this process.
    Closed {
        /// The link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// A datagram arrived.
    Datagram {
        /// The address that the sender listens at.
        from: SocketAddr,
        /// The message.
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
    /// A read is done.
    Read(Box<Read>),
    /// A command that this process ordered has ended.
    Ran(Box<Ran>),
    /// A command of this process's program runs; answered by `Effect::Finish`.
    Invoked(Box<Invocation>),
    /// A signal of this process was delivered, or had no receiver.
    Signalled {
        /// The order's ticket.
        ticket: Ticket,
        /// Whether there was a receiver.
        delivered: bool,
    },
    /// Another process of the host sent a signal.
    Signal {
        /// The process number that it is for.
        pid: u32,
        /// The signal.
        signal: Signal,
    },
    /// A name that this process asked for was resolved, or not.
    Resolved(Box<Resolved>),
    /// A process asks this resolver for a name; answered by `Effect::Answer`.
    Query(Box<Query>),
    /// The scenario orders a graceful leave.
    Leave,
    /// The certificate expired, was revoked or was rotated. Its meaning is the program's.
    Certificate(Certificate),
    /// An order of the scenario, in the program's own words.
    Command(Box<Command>),
    /// A deadline has arrived.
    Wake,
}

/// An order in a program's own words.
#[derive(Clone, Debug)]
pub struct Command {
    /// The event's kind: the word of a step, and `order` for a command of a workload.
    pub kind: &'static str,
    /// The order's word.
    pub name: String,
    /// The order's arguments.
    pub with: Value,
}

impl ProcessEvent {
    /// The event as traces show it; `bytes` is the size of its message, if it brings one.
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
            Self::Read(_) => "read",
            Self::Ran(_) => "ran",
            Self::Invoked(_) => "invoked",
            Self::Signalled { .. } => "signalled",
            Self::Signal { .. } => "signal",
            Self::Resolved(_) => "resolved",
            Self::Query(_) => "query",
            Self::Leave => "leave",
            Self::Certificate(_) => "certificate",
            Self::Command(command) => command.kind,
            Self::Wake => "wake",
        })
    }
}

/// An effect of a process on the world.
#[derive(Debug)]
pub enum Effect {
    /// Listens on a port of the host until the process ends; answered by `ListenFailed` if another program does.
    Listen {
        /// The port.
        port: u16,
    },
    /// Listens on a port no longer.
    Unlisten {
        /// The port.
        port: u16,
    },
    /// Connects; answered by `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The address; none: a name that does not resolve.
        to: Option<SocketAddr>,
    },
    /// Sends on a link, in order and without loss while the link lives.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// Closes a link after the messages sent on it; this process gets no `Closed`.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Sends a datagram: it may be lost or overtaken.
    Datagram {
        /// The address.
        to: SocketAddr,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// Writes to the host's disk, renames, links, makes folders or syncs; answered by `Written` or `WriteFailed`.
    Write(Box<Writing>),
    /// Reads a file, a folder or a link of the host; answered by `Read`.
    Read(Box<Reading>),
    /// Runs a command of a program of the host; answered by `Ran`.
    Run(Box<Running>),
    /// Ends a command that reached this process as `Invoked`.
    Finish(Box<Finished>),
    /// Sends a signal to a process of the host; answered by `Signalled`.
    Signal(Signalling),
    /// Asks for the addresses of a name; answered by `Resolved`.
    Resolve {
        /// The ticket of the answer.
        ticket: Ticket,
        /// The name.
        name: Box<str>,
    },
    /// Answers a name that reached this process as `Query`.
    Answer(Box<Answered>),
    /// Reports an event.
    Report(Box<dyn ReportedEvent>),
    /// The process ends; the operating system closes its links.
    Exit,
}

/// A write to a host's disk.
#[derive(Debug)]
pub struct Writing {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The write.
    pub write: Write,
    /// Whether the write is durable when it is answered.
    pub synced: bool,
    /// The interval at which a failed write is repeated until it succeeds; none: a failure is answered.
    pub retry: Option<Duration>,
}

/// The effects of one step of a process, in the order in which they are done.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

impl Effects {
    /// No effects.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Appends an effect.
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

    /// Reads a file, a folder or a link.
    pub fn read(&mut self, ticket: Ticket, path: &str, of: ReadOf) {
        let path = path.to_owned();
        self.push(Effect::Read(Box::new(Reading { ticket, path, of })));
    }

    /// Does a change of the disk; `synced`: it is durable when it is answered.
    pub fn write(&mut self, ticket: Ticket, write: Write, synced: bool) {
        self.push(Effect::Write(Box::new(Writing {
            ticket,
            write,
            synced,
            retry: None,
        })));
    }

    /// Runs a command.
    pub fn run(&mut self, ticket: Ticket, program: &'static str, arguments: &[&str]) {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        self.push(Effect::Run(Box::new(Running {
            ticket,
            program,
            arguments: arguments.collect(),
        })));
    }

    /// Reports an event.
    pub fn report(&mut self, notice: impl ReportedEvent) {
        self.push(Effect::Report(Box::new(notice)));
    }

    /// All effects in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.list
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes all effects; the allocation is kept.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }
}
