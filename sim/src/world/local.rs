//! Effects and events within a host: files, commands, signals, name resolution.
//!
//! A process issues each file operation, command, signal or query as an [`Effect`](super::Effect), and gets one answer
//! with the ticket of the effect. Commands, signals and queries reach another process as a
//! [`ProcessEvent`](super::ProcessEvent); the fakes of nginx and of a DNS resolver are such processes.

use crate::disk::{DiskError, Files};
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use phalanx_core::link::Ticket;
use phalanx_core::time::Wall;
use std::collections::BTreeSet;

/// The time from the effect that runs a command until the program receives the command.
pub const EXEC: Duration = Duration::from_micros(500);
/// The latency of a signal, and of an answer of another process of the host.
pub const HAND_OVER: Duration = Duration::from_micros(20);
/// Maximum time that a process waits for the addresses of a name: one attempt of glibc's resolver.
pub const RESOLVE_TIME_OUT: Duration = Duration::from_secs(5);
/// The exit code of a command whose program the host does not run.
pub const NOT_FOUND: i32 = 127;

/// The kind of content to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOf {
    /// The bytes of a file; symbolic links are followed.
    File,
    /// The names in a folder, sorted.
    Folder,
    /// The target of a symbolic link.
    Link,
}

/// A request to read. The host's processes answer paths below `/proc/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The path.
    pub path: String,
    /// The kind of content.
    pub of: ReadOf,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// The bytes of a file.
    File(Vec<u8>),
    /// The names in a folder.
    Folder(Vec<String>),
    /// The target of a symbolic link.
    Link(String),
}

/// The answer to a [`Reading`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The ticket of the order.
    pub ticket: Ticket,
    /// The content, or the reason for its absence.
    pub content: Result<FileContent, DiskError>,
}

/// A request to run a command of a program of the host. If the program does not run, it is booted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The name of the program.
    pub program: &'static str,
    /// The arguments, without the program's name.
    pub arguments: Vec<String>,
}

/// A command that reaches its program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The number that the answer ([`Finished`]) repeats.
    pub number: u64,
    /// The arguments, without the program's name.
    pub arguments: Vec<String>,
}

/// The end of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The number of the [`Invocation`].
    pub number: u64,
    /// The exit code.
    pub code: i32,
    /// The lines on standard error.
    pub stderr: Vec<String>,
}

/// The answer to a [`Running`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The ticket of the order.
    pub ticket: Ticket,
    /// The exit code. [`NOT_FOUND`] if the host does not run the program, and 137 if the program was killed.
    pub code: i32,
    /// The lines on standard error.
    pub stderr: Vec<String>,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessSignal {
    /// SIGKILL: immediate end without cleanup.
    Kill,
    /// SIGTERM: fast shutdown.
    Terminate,
    /// SIGQUIT: shutdown after the requests in progress.
    Quit,
    /// SIGHUP: reload.
    HangUp,
}

impl ProcessSignal {
    /// Returns the number and the name.
    #[must_use]
    pub const fn name(self) -> (u32, &'static str) {
        match self {
            Self::Kill => (9, "SIGKILL"),
            Self::Terminate => (15, "SIGTERM"),
            Self::Quit => (3, "SIGQUIT"),
            Self::HangUp => (1, "SIGHUP"),
        }
    }
}

/// A request to send a signal to a process of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signalling {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The name of the receiving program.
    pub program: &'static str,
    /// The process id of the receiver, for programs that have several processes.
    pub pid: u32,
    /// The signal.
    pub signal: ProcessSignal,
}

/// A query for the addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The number that the answer ([`Answered`]) repeats.
    pub number: u64,
    /// The name.
    pub name: String,
}

/// The reason why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name does not exist.
    NotFound,
    /// The name exists but has no address.
    NoAddress,
    /// The resolver failed to resolve the name.
    Failed,
    /// No answer arrived within [`RESOLVE_TIME_OUT`].
    TimedOut,
    /// No host runs a resolver.
    NoResolver,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "name or service not known",
            Self::NoAddress => "no address associated with the name",
            Self::Failed => "temporary failure in name resolution",
            Self::TimedOut => "name resolution timed out",
            Self::NoResolver => "no resolver is configured",
        })
    }
}

/// A resolver's answer to a [`Query`]. If the resolver does not answer, the querying process waits until its timeout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The number of the query.
    pub number: u64,
    /// The addresses in the resolver's order.
    pub addresses: Result<Vec<IpAddr>, ResolveError>,
    /// The time until the resolver answers.
    pub took: Duration,
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The ticket of the order.
    pub ticket: Ticket,
    /// The addresses in the resolver's order.
    pub addresses: Result<Vec<IpAddr>, ResolveError>,
}

/// Direct access to the host, for a process that changes files and ports within one step, such as a fake of an
/// operating-system part.
#[derive(Debug)]
pub struct LocalHost<'a> {
    /// The host's disk.
    pub files: &'a mut Files,
    /// The ports on which other processes of the host listen.
    pub taken: BTreeSet<u16>,
    /// The host's wall clock.
    pub wall: Wall,
}
