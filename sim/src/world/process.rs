//! A process on a simulated host: its events, its effects on the world, and its view.

use super::local::{
    Answered, Finished, Invocation, LocalHost, ProcessSignal, Query, Ran, Read, ReadOf, Reading,
    Resolved, Running, Signalling,
};
use crate::disk::{DiskChange, DiskError};
use crate::scenario::CertificateChange;
use core::any::Any;
use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;
use phalanx_core::identity::NodeId;
use phalanx_core::lane::{Lane, Placement};
use phalanx_core::random::{Random, hash_bytes};
use phalanx_core::time::Instant;
use serde_json::Value;
use std::rc::Rc;

pub use phalanx_core::link::{CloseReason, DialError, DialId, LinkId, Ticket};

/// A message between processes.
pub trait Message: Any + Debug {
    /// Returns the encoded size, in bytes.
    fn encoded_len(&self) -> usize;

    /// Returns the message's kind.
    fn kind(&self) -> &'static str;

    /// Returns the number of the message's kind, below 128, which is part of the trace hash; 0 by default. A renamed
    /// kind keeps its number.
    fn number(&self) -> u8 {
        0
    }

    /// Returns the message's name in recordings: its kind, or the kind of its content.
    fn word(&self) -> &'static str {
        self.kind()
    }

    /// Returns the message as a receiver reads it after damage in transit; `None` if a checksum detects the damage,
    /// which is the default. Only datagrams are damaged, because TCP repairs its segments.
    fn damaged(&self, _random: &mut Random) -> Option<Rc<dyn Message>> {
        None
    }

    /// Returns the lane in which the message waits for the bandwidth of its link, and the lanes that it does not
    /// overtake.
    fn placement(&self) -> Placement {
        Placement::of(Lane::Control)
    }
}

impl dyn Message {
    /// Returns the message, if it is of this type.
    #[must_use]
    pub fn of<M: Message>(&self) -> Option<&M> {
        (self as &dyn Any).downcast_ref()
    }

    /// Returns the owned message, if it is of this type.
    #[must_use]
    pub fn take<M: Message + Clone>(self: Rc<Self>) -> Option<M> {
        let any: Rc<dyn Any> = self;
        any.downcast().ok().map(Rc::unwrap_or_clone)
    }
}

/// An event that a process reports, for users and for steps that wait for the event.
pub trait ReportedEvent: Any + Debug {
    /// Returns the event's name, and the id of the node that the event concerns.
    fn described(&self) -> (&'static str, Option<&NodeId>);

    /// Returns whether the event reports that the process refused a command. A refused command has no effect.
    fn refuses(&self) -> bool {
        false
    }
}

/// An event that has a name only.
impl ReportedEvent for &'static str {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        (self, None)
    }
}

/// An event that has a name and a number, which invariants and metrics read.
impl ReportedEvent for (&'static str, u64) {
    fn described(&self) -> (&'static str, Option<&NodeId>) {
        (self.0, None)
    }
}

impl dyn ReportedEvent {
    /// Returns the event, if it is of this type.
    #[must_use]
    pub fn of<N: ReportedEvent>(&self) -> Option<&N> {
        (self as &dyn Any).downcast_ref()
    }
}

/// The part of a process that conditions, invariants and reports read.
pub trait ProcessView: Any {
    /// Returns a hash of the state; two processes agree if their hashes are equal. By default, the hash of
    /// [`Self::state`]; a view whose state differs between processes that agree, or is large, has its own.
    fn digest(&self) -> u64 {
        hash_bytes(self.state().to_string().as_bytes())
    }

    /// Returns a hash of the membership part of the state: which nodes take part, and the status of each; reports
    /// colour lanes by it. `None` if the process has no membership part. If no process of a host has such a part, the
    /// colours show the whole states.
    fn membership(&self) -> Option<u64> {
        None
    }

    /// Returns the state, for users and for the conditions `state` and `agree`.
    fn state(&self) -> Value;

    /// Returns whether a running process counts for conditions. A process that gave up its id or is leaving does not
    /// count.
    fn participates(&self) -> bool {
        true
    }

    /// Returns, on one line, the process's knowledge of another node for the explanation of failures: the node's state
    /// in this view, and the version of that knowledge. `None` if the process knows nothing about the node, or nothing
    /// about nodes in general.
    fn knows_of(&self, _node: &NodeId) -> Option<String> {
        None
    }

    /// Returns the value of a gauge, by its name in the vocabulary's `gauges`.
    fn gauge(&self, _name: &str) -> Option<u64> {
        None
    }
}

impl dyn ProcessView {
    /// Returns the view, if it is of this type.
    #[must_use]
    pub fn of<V: ProcessView>(&self) -> Option<&V> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A process on a host.
pub trait Process: Any {
    /// Returns whether an event concerns the process. Other events are not delivered, and an action of the plan that
    /// concerns no process has no effect.
    fn concerns(&self, event: &ProcessEvent) -> bool;

    /// Handles an event, and appends its effects in the order in which they are performed.
    fn on_event(&mut self, now: Instant, event: ProcessEvent, out: &mut Effects);

    /// Returns whether the process handles events with [`Self::on_event_at`]. The engine calls this once per life.
    fn acts_on_host(&self) -> bool {
        false
    }

    /// Handles an event with direct access to the host. Fakes of programs that read and write files within one step
    /// implement this method; machines whose decisions are in the core issue effects instead.
    fn on_event_at(
        &mut self,
        now: Instant,
        event: ProcessEvent,
        _host: LocalHost<'_>,
        out: &mut Effects,
    ) {
        self.on_event(now, event, out);
    }

    /// Returns the content of a file below `/proc/`, if the process provides it.
    fn proc_file(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }

    /// Returns the instant of the next `Wake`; `None` if no timer is set.
    fn next_deadline(&self) -> Option<Instant>;

    /// Returns the part of the process that conditions, invariants and reports read.
    fn view(&self) -> &dyn ProcessView;

    /// Returns the identity that the process proves to peers on its links; `None` if the process has no certificate.
    fn identity(&self) -> Option<&NodeId> {
        None
    }
}

/// An event that a process handles, as traces show it.
#[derive(Clone, Copy, Debug)]
pub struct InputInfo {
    /// The number of the event's kind, which is part of the trace hash. A renamed kind keeps its number.
    pub number: u8,
    /// The event's name in recordings: its kind, or the kind of a message's content.
    pub word: &'static str,
    /// Encoded bytes of the message; 0 if the event has no message.
    pub size: usize,
}

impl InputInfo {
    /// Describes an event without a message.
    #[must_use]
    pub const fn of(number: u8, kind: &'static str) -> Self {
        Self {
            number,
            word: kind,
            size: 0,
        }
    }

    /// Describes the receipt of a message whose kind has this number.
    #[must_use]
    pub const fn message(number: u8, word: &'static str, size: usize) -> Self {
        Self {
            number: 0x80 | number,
            word,
            size,
        }
    }
}

/// An event that the engine delivers to a process.
#[derive(Debug)]
pub enum ProcessEvent {
    /// The process has started.
    Start,
    /// `Effect::Listen` failed because another program of the host listens on the port. The run fails if the event does
    /// not concern the process.
    ListenFailed {
        /// The port.
        port: u16,
        /// The name of the program that listens on the port.
        holder: &'static str,
    },
    /// A peer connected.
    Accepted {
        /// The new link.
        link: LinkId,
        /// The identity that the peer proved; `None` if the peer has no certificate.
        peer: Option<NodeId>,
    },
    /// A dial succeeded.
    Dialed {
        /// The attempt.
        dial: DialId,
        /// The new link.
        link: LinkId,
        /// The identity that the acceptor proved; `None` if the acceptor has no certificate.
        peer: Option<NodeId>,
    },
    /// A dial failed.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// The reason.
        reason: DialError,
    },
    /// A message arrived on a link.
    Received {
        /// The link.
        link: LinkId,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// A link ended without a request of this process.
    Closed {
        /// The link.
        link: LinkId,
        /// The reason.
        reason: CloseReason,
    },
    /// A datagram arrived.
    Datagram {
        /// The address on which the sender listens.
        from: SocketAddr,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// A write or sync completed.
    Written {
        /// The ticket of the write.
        ticket: Ticket,
    },
    /// A write or sync failed; no part of the data is durable.
    WriteFailed {
        /// The ticket of the write.
        ticket: Ticket,
        /// The reason.
        reason: DiskError,
    },
    /// A read completed.
    Read(Box<Read>),
    /// A command that this process ran has ended.
    Ran(Box<Ran>),
    /// A command of this process's program was run; answered by `Effect::Finish`.
    Invoked(Box<Invocation>),
    /// A signal from this process was delivered, or had no receiver.
    Signalled {
        /// The ticket of the signal.
        ticket: Ticket,
        /// Whether there was a receiver.
        delivered: bool,
    },
    /// Another process of the host sent a signal.
    Signal {
        /// The process id of the receiver.
        pid: u32,
        /// The signal.
        signal: ProcessSignal,
    },
    /// The resolution of a name succeeded or failed.
    Resolved(Box<Resolved>),
    /// Another process queries this resolver for a name; answered by `Effect::Answer`.
    Query(Box<Query>),
    /// The scenario requests a graceful leave.
    Leave,
    /// The certificate expired, was revoked or was rotated. The program defines the reaction.
    Certificate(CertificateChange),
    /// A step or command of the scenario, in the program's own vocabulary.
    Command(Box<Command>),
    /// A deadline has arrived.
    Wake,
}

/// A step or command in a program's own vocabulary.
#[derive(Clone, Debug)]
pub struct Command {
    /// The event's kind: the name of a step, or `order` for a command of a workload.
    pub kind: &'static str,
    /// The name of the step or command.
    pub name: String,
    /// The arguments.
    pub with: Value,
}

impl ProcessEvent {
    /// Returns the event as traces show it; `bytes` is the size of its message, if it has one.
    #[must_use]
    pub fn info(&self, bytes: usize) -> InputInfo {
        let (number, word) = match self {
            Self::Received { message, .. } | Self::Datagram { message, .. } => {
                return InputInfo::message(message.number(), message.word(), bytes);
            }
            Self::Start => (1, "start"),
            Self::ListenFailed { .. } => (2, "listen-failed"),
            Self::Accepted { .. } => (3, "accepted"),
            Self::Dialed { .. } => (4, "dialed"),
            Self::DialFailed { .. } => (5, "dial-failed"),
            Self::Closed { .. } => (6, "closed"),
            Self::Written { .. } => (7, "stored"),
            Self::WriteFailed { .. } => (8, "write-failed"),
            Self::Read(_) => (9, "read"),
            Self::Ran(_) => (10, "ran"),
            Self::Invoked(_) => (11, "invoked"),
            Self::Signalled { .. } => (12, "signalled"),
            Self::Signal { .. } => (13, "signal"),
            Self::Resolved(_) => (14, "resolved"),
            Self::Query(_) => (15, "query"),
            Self::Leave => (16, "leave"),
            Self::Certificate(_) => (17, "certificate"),
            Self::Command(command) => (19, command.kind),
            Self::Wake => (18, "wake"),
        };
        InputInfo::of(number, word)
    }
}

/// An effect of a process on the world.
#[derive(Debug)]
pub enum Effect {
    /// Listens on a port of the host until the process ends; answered by `ListenFailed` if another program listens on
    /// the port.
    Listen {
        /// The port.
        port: u16,
    },
    /// Stops listening on a port.
    Unlisten {
        /// The port.
        port: u16,
    },
    /// Connects; answered by `Dialed` or `DialFailed`.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The address; `None` if a name does not resolve.
        to: Option<SocketAddr>,
    },
    /// Sends on a link. Delivery is in order and without loss while the link is open.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// Closes a link after the messages sent on it. This process gets no `Closed` for the link.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Sends a datagram, which may be lost or reordered.
    Datagram {
        /// The address.
        to: SocketAddr,
        /// The message.
        message: Rc<dyn Message>,
    },
    /// Writes to the host's disk, renames, links, creates directories or syncs; answered by `Written` or `WriteFailed`.
    Write(Box<Writing>),
    /// Reads a file, directory or link of the host; answered by `Read`.
    Read(Box<Reading>),
    /// Runs a command of a program of the host; answered by `Ran`.
    Run(Box<Running>),
    /// Ends a command that reached this process as `Invoked`.
    Finish(Box<Finished>),
    /// Sends a signal to a process of the host; answered by `Signalled`.
    Signal(Signalling),
    /// Resolves a name; answered by `Resolved`.
    Resolve {
        /// The ticket of the answer.
        ticket: Ticket,
        /// The name.
        name: Box<str>,
    },
    /// Answers a `Query` for a name.
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
    pub write: DiskChange,
    /// Whether the write must be durable when the answer is delivered.
    pub synced: bool,
    /// The interval at which a failed write is retried until it succeeds; `None`: the process is notified of the
    /// failure.
    pub retry: Option<Duration>,
}

/// The effects of one step of a process, in the order in which they are performed.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
}

impl Effects {
    /// Creates an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// Appends an effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Listens on a port.
    pub fn listen(&mut self, port: u16) {
        self.push(Effect::Listen { port });
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

    /// Reads a file, directory or link.
    pub fn read(&mut self, ticket: Ticket, path: &str, of: ReadOf) {
        let path = path.to_owned();
        self.push(Effect::Read(Box::new(Reading { ticket, path, of })));
    }

    /// Writes to the disk; with `synced`, the write is durable when its answer is delivered.
    pub fn write(&mut self, ticket: Ticket, write: DiskChange, synced: bool) {
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

    /// Returns all effects in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect] {
        &self.list
    }

    /// Returns whether there are no effects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Removes all effects and keeps the allocation.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.list.drain(..)
    }
}
