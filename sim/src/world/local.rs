//! Effects and events within a host: files, commands, signals, names.
//!
//! A process orders them by [`Effect`](super::Effect) and gets one answer for each, with its ticket. Commands, signals
//! and queries reach another process as a [`ProcessEvent`](super::ProcessEvent); the fakes of nginx and of a resolver
//! are such processes.

use crate::disk::{DiskError, Files};
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use phalanx_core::link::Ticket;
use phalanx_core::time::Wall;
use std::collections::BTreeSet;

/// The time from an order to run a command until the program has it.
pub const EXEC: Duration = Duration::from_micros(500);
/// The time that a signal, and the answer of another process of the host, takes.
pub const HAND_OVER: Duration = Duration::from_micros(20);
/// The longest that a process waits for the addresses of a name: one try of glibc's.
pub const RESOLVE_TIME_OUT: Duration = Duration::from_secs(5);
/// The exit code of a command whose program the host does not run.
pub const NOT_FOUND: i32 = 127;

/// The part of an entry that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOf {
    /// The bytes of a file, links followed.
    File,
    /// The names in a folder, sorted.
    Folder,
    /// The target of a symbolic link.
    Link,
}

/// An order to read. Paths below `/proc/` are answered by the host's processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The path.
    pub path: String,
    /// The part of the entry.
    pub of: ReadOf,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
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
    /// The content, or the reason why there is none.
    pub content: Result<Content, DiskError>,
}

/// An order to run a command of a program of the host. A program that does not run is booted for it.
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
    /// The number to answer with ([`Finished`]).
    pub number: u64,
    /// The arguments, without the program's name.
    pub arguments: Vec<String>,
}

/// The end of a command, as its program orders it.
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
    /// The exit code. [`NOT_FOUND`]: the host does not run the program; 137: the program was killed.
    pub code: i32,
    /// The lines on standard error.
    pub stderr: Vec<String>,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// SIGKILL: the process ends at once and cleans up nothing.
    Kill,
    /// SIGTERM: a fast end.
    Terminate,
    /// SIGQUIT: an end after the requests under way.
    Quit,
    /// SIGHUP: a reload.
    HangUp,
}

impl Signal {
    /// The number and the name.
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

/// An order to send a signal to a process of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signalling {
    /// The ticket of the answer.
    pub ticket: Ticket,
    /// The name of the receiver's program.
    pub program: &'static str,
    /// The process number, for programs that have several.
    pub pid: u32,
    /// The signal.
    pub signal: Signal,
}

/// A name that a resolver is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The number to answer with ([`Answered`]).
    pub number: u64,
    /// The name.
    pub name: String,
}

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name does not exist.
    NotFound,
    /// The name exists and has no address.
    NoAddress,
    /// The resolver could not find out.
    Failed,
    /// No answer came in [`RESOLVE_TIME_OUT`].
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

/// A resolver's answer to a [`Query`]. A resolver that gives none lets the process wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The number of the query.
    pub number: u64,
    /// The addresses in the resolver's order.
    pub addresses: Result<Vec<IpAddr>, ResolveError>,
    /// The time that the resolver needs.
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

/// The host of a process that acts on files and ports within one step, as a fake of an operating-system part does.
#[derive(Debug)]
pub struct LocalHost<'a> {
    /// The host's disk.
    pub files: &'a mut Files,
    /// The ports on which other processes of the host listen.
    pub taken: BTreeSet<u16>,
    /// The host's wall clock.
    pub wall: Wall,
}
