//! All nginx processes of one host as one state machine.
//!
//! This file holds the inputs and outputs, the processes, and the schedule of later steps. [`super::command`] runs
//! commands, [`super::master`] starts, reloads and ends masters, [`super::worker`] serves connections.

use super::command::CommandOptions;
use super::configuration::{Configuration, ListenAddress, Upstream};
use super::host::NginxHost;
use super::load::Loaded;
use super::log::{Level, Note};
use super::route::{NginxRequest, Response};
use super::worker::{ChildKind, Exchange, HttpConnection, Worker};
use crate::world::ProcessSignal;
use core::time::Duration;
use phalanx_core::random::Random;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The outcome of a request at a member of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// The member answered.
    Answered(Response),
    /// The member refused the connection.
    Refused,
    /// The member closed the connection before it answered.
    Closed,
}

/// The reason why a client cannot connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectRefusal {
    /// No process listens on the address (ECONNREFUSED, 111).
    Refused,
    /// The socket's file does not exist (ENOENT, 2).
    NotFound,
}

/// An event for the host's nginx processes.
#[derive(Clone, Debug)]
pub enum Input {
    /// A command runs, with its arguments without the program's name.
    Run {
        /// The number that the caller gives the command.
        invocation: u64,
        /// The arguments.
        arguments: Vec<String>,
    },
    /// A process receives a signal.
    Signal {
        /// The receiver.
        pid: u32,
        /// The signal.
        signal: ProcessSignal,
        /// The sender's process id.
        sender: u32,
    },
    /// A client connects.
    Connect {
        /// The number that the caller gives the connection.
        connection: u64,
        /// The address.
        target: ListenAddress,
    },
    /// A client sent the beginning of a request's header.
    Partial {
        /// The connection.
        connection: u64,
    },
    /// A client sent a request.
    Request {
        /// The connection.
        connection: u64,
        /// The request.
        request: NginxRequest,
    },
    /// A client closed its connection.
    Close {
        /// The connection.
        connection: u64,
    },
    /// A member of an upstream answered, refused or closed.
    Backend {
        /// The number in [`Output::Forward`].
        exchange: u64,
        /// The outcome.
        outcome: UpstreamOutcome,
    },
    /// Time has passed.
    Wake,
}

/// An effect of the nginx processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A command ended.
    Finished {
        /// The number that the caller gave the command.
        invocation: u64,
        /// The exit code.
        code: i32,
        /// The lines that the command wrote to standard error.
        stderr: Vec<String>,
    },
    /// A connection was not accepted.
    Refused {
        /// The connection.
        connection: u64,
        /// The reason.
        refusal: ConnectRefusal,
    },
    /// A request received its response.
    Respond {
        /// The connection.
        connection: u64,
        /// The response.
        response: Response,
    },
    /// The server closed a connection.
    Closed {
        /// The connection.
        connection: u64,
    },
    /// A request is passed to a member of an upstream.
    Forward {
        /// The number for the outcome in [`Input::Backend`].
        exchange: u64,
        /// The member.
        to: ListenAddress,
        /// The request.
        request: NginxRequest,
    },
}

/// A child of a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child's process id.
    pub pid: u32,
    /// The child's title, as `/proc/PID/cmdline` shows it.
    pub title: &'static str,
}

/// The counters of `stub_status`: of connections and requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StubStatus {
    pub(super) accepted: u64,
    pub(super) requests: u64,
}

/// A master process.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) options: CommandOptions,
    /// The active configuration; none while the first one is read and bound.
    pub(super) cycle: Option<Rc<Configuration>>,
    /// The change under way, during which the master handles no signal.
    pub(super) change: Option<ConfigurationChange>,
    /// Whether the mixed window is open, after which old workers are told to quit; until then the master handles no
    /// signal.
    pub(super) mixing: bool,
    /// Pending signals; several equal signals count once.
    pub(super) pending: BTreeMap<ProcessSignal, u32>,
    /// Children that ended and have not been reaped.
    pub(super) ended: Vec<Corpse>,
    /// The signal by which the master is ending.
    pub(super) ending: Option<ProcessSignal>,
    /// The command that waits for the master to end (`daemon off`).
    pub(super) foreground: Option<u64>,
}

/// A child that ended.
#[derive(Debug)]
pub(super) struct Corpse {
    pub(super) pid: u32,
    pub(super) kind: ChildKind,
    pub(super) how: Ended,
    /// Whether the master replaces the child by a new one.
    pub(super) respawn: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The child exited with code 0.
    Exited,
    /// The child was killed by a signal.
    Killed(u32),
}

/// A start or reload under way.
#[derive(Debug)]
pub(super) struct ConfigurationChange {
    pub(super) loaded: Option<Loaded>,
    pub(super) configuration: Option<Rc<Configuration>>,
    /// The number of attempts to bind.
    pub(super) tries: u32,
    /// The addresses that were bound.
    pub(super) opened: BTreeSet<ListenAddress>,
    /// The command that waits for the start; none for a reload.
    pub(super) start: Option<(u64, Vec<String>)>,
}

/// A step that is due later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaterStep {
    /// A command ends.
    Finish(u64, i32, Vec<String>),
    /// A master has read its configuration.
    Read(u32),
    /// A master retries to bind.
    Bind(u32),
    /// A master tells the workers of older configurations to quit.
    QuitOld(u32),
    /// A worker begins to accept.
    Accept(u32),
    /// The cache loader has finished its work.
    Loaded(u32),
    /// A connection's header did not arrive in time.
    Header(u64),
    /// A member of an upstream did not answer in time.
    Backend(u64),
    /// A worker that is shutting down closes its remaining connections (`worker_shutdown_timeout`).
    Shutdown(u32),
}

/// All nginx processes of one host.
#[derive(Debug)]
pub struct Nginx {
    pub(super) random: Random,
    pub(super) masters: BTreeMap<u32, Master>,
    pub(super) workers: BTreeMap<u32, Worker>,
    pub(super) connections: BTreeMap<u64, HttpConnection>,
    pub(super) exchanges: BTreeMap<u64, Exchange>,
    pub(super) counters: StubStatus,
    pub(super) last_exchange: u64,
    schedule: BTreeMap<(Instant, u64), LaterStep>,
    ordered: u64,
}

impl Nginx {
    /// A host without nginx processes.
    #[must_use]
    pub const fn new(random: Random) -> Self {
        Self {
            random,
            masters: BTreeMap::new(),
            workers: BTreeMap::new(),
            connections: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            counters: StubStatus {
                accepted: 0,
                requests: 0,
            },
            last_exchange: 0,
            schedule: BTreeMap::new(),
            ordered: 0,
        }
    }

    /// Handles one input. The caller sends [`Input::Wake`] at [`Self::next_deadline`].
    pub fn step(
        &mut self,
        now: Instant,
        input: Input,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        match input {
            Input::Run {
                invocation,
                arguments,
            } => self.run(now, invocation, &arguments, host, out),
            Input::Signal {
                pid,
                signal,
                sender,
            } => self.signal(now, pid, signal, sender, host, out),
            Input::Connect { connection, target } => {
                self.connect(now, connection, target, host, out);
            }
            Input::Partial { connection } => self.partial(connection),
            Input::Request {
                connection,
                request,
            } => self.request(now, connection, request, host, out),
            Input::Close { connection } => self.closed(now, connection, host, out),
            Input::Backend { exchange, outcome } => {
                self.backend(now, exchange, outcome, host, out);
            }
            Input::Wake => {}
        }
        while let Some(due) = self.schedule.first_entry().filter(|due| due.key().0 <= now) {
            let task = due.remove();
            self.perform(now, task, host, out);
        }
    }

    /// The time at which [`Input::Wake`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.schedule.keys().next().map(|(at, _)| *at)
    }

    /// The process ids of the running masters.
    pub fn masters(&self) -> impl Iterator<Item = u32> {
        let running = self
            .masters
            .iter()
            .filter(|(_, master)| master.cycle.is_some());
        running.map(|(pid, _)| *pid)
    }

    /// The addresses on which some process listens.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<ListenAddress> {
        let masters = self.masters.values();
        let masters = masters
            .filter(|master| master.ending.is_none())
            .filter_map(|master| master.cycle.as_deref());
        let workers = self.workers.values();
        let workers = workers
            .filter(|worker| !worker.leaving)
            .map(|worker| &*worker.configuration);
        let all = masters.chain(workers);
        all.flat_map(Configuration::bound).cloned().collect()
    }

    /// Whether a process with this id runs, as a master or as a child of a master.
    #[must_use]
    pub fn runs(&self, pid: u32) -> bool {
        self.masters.contains_key(&pid) || self.workers.contains_key(&pid)
    }

    /// The children of a process, in ascending order of ids; the children of process 1 are the orphans.
    #[must_use]
    pub fn children(&self, parent: u32) -> Vec<Child> {
        let children = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.parent == parent);
        children
            .map(|(&pid, worker)| Child {
                pid,
                title: worker.title(),
            })
            .collect()
    }

    fn perform(
        &mut self,
        now: Instant,
        task: LaterStep,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        match task {
            LaterStep::Finish(invocation, code, stderr) => out.push(Output::Finished {
                invocation,
                code,
                stderr,
            }),
            LaterStep::Read(pid) => self.configured(now, pid, host, out),
            LaterStep::Bind(pid) => self.bind(now, pid, host, out),
            LaterStep::QuitOld(pid) => self.quit_old(now, pid, host, out),
            LaterStep::Accept(pid) => self.accept(now, pid, host, out),
            LaterStep::Loaded(pid) => self.loader_done(now, pid, host, out),
            LaterStep::Header(connection) => self.header_timeout(now, connection, host, out),
            LaterStep::Backend(exchange) => self.backend_timeout(now, exchange, host, out),
            LaterStep::Shutdown(pid) => self.shutdown_timeout(now, pid, host, out),
        }
    }

    /// Adds a step to the schedule.
    pub(super) fn after(&mut self, now: Instant, delay: Duration, task: LaterStep) {
        self.ordered += 1;
        self.schedule.insert((now + delay, self.ordered), task);
    }

    /// Removes steps from the schedule.
    pub(super) fn cancel(&mut self, unwanted: &LaterStep) {
        self.schedule.retain(|_, task| task != unwanted);
    }
}

/// The destination of a process's messages.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    pub(super) path: String,
    pub(super) threshold: Level,
    pub(super) pid: u32,
}

impl Sink {
    /// The log of a configuration.
    pub(super) fn of(configuration: &Configuration, pid: u32) -> Self {
        Self {
            path: configuration.error_log.clone(),
            threshold: configuration.error_level,
            pid,
        }
    }

    /// Writes a message to the log file. The message is lost if the file cannot be written.
    pub(super) fn write(&self, now: Instant, host: &mut NginxHost, note: &Note) {
        if note.level <= self.threshold && self.path != "stderr" {
            let line = self.line(now, host, note) + "\n";
            let _lost = host.tree.append(&self.path, line.as_bytes());
        }
    }

    /// Writes a notice.
    pub(super) fn notice(&self, now: Instant, host: &mut NginxHost, text: impl Into<String>) {
        self.write(now, host, &Note::new(Level::Notice, text.into()));
    }

    /// Writes a message of a command: to the log file, and also to standard error if the message is severe.
    pub(super) fn tell(
        &self,
        now: Instant,
        host: &mut NginxHost,
        stderr: &mut Vec<String>,
        note: &Note,
    ) {
        if self.path == "stderr" {
            stderr.push(self.line(now, host, note));
            return;
        }
        self.write(now, host, note);
        if note.level <= Level::Warning {
            stderr.push(format!("nginx: [{}] {note}", note.level.word()));
        }
    }

    fn line(&self, now: Instant, host: &NginxHost, note: &Note) -> String {
        let (stamp, word, pid) = (host.stamp(now), note.level.word(), self.pid);
        format!("{stamp} [{word}] {pid}#{pid}: {note}")
    }
}

/// The round-robin states of a worker that serves a configuration.
pub(super) fn balances(upstreams: &[Upstream]) -> Vec<super::balance::Balance> {
    let balance = |upstream: &Upstream| super::balance::Balance::new(&upstream.members);
    upstreams.iter().map(balance).collect()
}
