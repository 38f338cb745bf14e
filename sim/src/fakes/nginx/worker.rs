//! Workers: their connections, their answers to requests, and how they end.
//!
//! A connection is fresh (no bytes arrived), reading (a part of a header arrived), idle (kept alive after an answer) or
//! busy (a request is at an upstream). A quitting worker closes idle connections at once, and fresh and busy ones after
//! `worker_shutdown_timeout`; a reading one holds it until `client_header_timeout`.

use super::balance::{Balance, Tried};
use super::configuration::{Configuration, ListenAddress};
use super::host::NginxHost;
use super::log::{Level, Note};
use super::machine::{
    ConnectRefusal, Corpse, Ended, LaterStep, Nginx, Output, Sink, UpstreamOutcome, balances,
};
use super::route::{NginxRequest, Response, Routed, route};
use super::timing::{CACHE_LOADER, HEADER_TIMEOUT, PROXY_TIMEOUT};
use crate::disk::tree::FileTree;
use crate::world::ProcessSignal;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::rc::Rc;

/// The kind of a master's child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildKind {
    /// Serves requests.
    Worker,
    /// Keeps the cache within its bounds.
    CacheManager,
    /// Reads the cache once and ends.
    CacheLoader,
}

impl ChildKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::CacheManager => "cache manager",
            Self::CacheLoader => "cache loader",
        }
    }
}

/// A child of a master.
#[derive(Debug)]
pub(super) struct Worker {
    /// The process id of the master; 1 if the master has ended.
    pub(super) parent: u32,
    pub(super) kind: ChildKind,
    pub(super) configuration: Rc<Configuration>,
    /// Whether the worker closed its listeners and ends with its last connection.
    pub(super) leaving: bool,
    /// Whether the master told the worker to quit, in which case the master does not replace the worker.
    told: bool,
    /// Whether the worker has begun to accept connections.
    accepts: bool,
    prefix: String,
    balances: Vec<Balance>,
}

impl Worker {
    pub(super) const fn title(&self) -> &'static str {
        match (self.kind, self.leaving) {
            (ChildKind::Worker, false) => "nginx: worker process",
            (ChildKind::Worker, true) => "nginx: worker process is shutting down",
            (ChildKind::CacheManager, _) => "nginx: cache manager process",
            (ChildKind::CacheLoader, _) => "nginx: cache loader process",
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct HttpConnection {
    target: ListenAddress,
    /// The worker that accepted the connection; none while the connection waits for a worker.
    worker: Option<u32>,
    state: State,
    /// A request that arrived before a worker accepted the connection.
    waiting: Option<NginxRequest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Reading,
    Idle,
    Busy,
}

/// A request that is being passed to a member of an upstream.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: u64,
    worker: u32,
    upstream: usize,
    member: usize,
    tried: Tried,
    timeout: Duration,
    /// The request as the client sent it.
    asked: NginxRequest,
    /// The request as it is sent to the member.
    passed: NginxRequest,
}

impl Nginx {
    /// Starts a child.
    pub(super) fn spawn(
        &mut self,
        now: Instant,
        parent: u32,
        kind: ChildKind,
        accepts_after: Duration,
        prefix: &str,
        host: &mut NginxHost,
    ) {
        let Some(cycle) = self
            .masters
            .get(&parent)
            .and_then(|master| master.cycle.clone())
        else {
            return;
        };
        let pid = host.next_pid();
        let text = format!("start {} process {pid}", kind.name());
        Sink::of(&cycle, parent).notice(now, host, text);
        let worker = Worker {
            parent,
            kind,
            leaving: false,
            told: false,
            accepts: false,
            prefix: prefix.to_owned(),
            balances: balances(&cycle.upstreams),
            configuration: cycle,
        };
        self.workers.insert(pid, worker);
        match kind {
            ChildKind::Worker => self.after(now, accepts_after, LaterStep::Accept(pid)),
            ChildKind::CacheManager => {}
            ChildKind::CacheLoader => self.after(now, CACHE_LOADER, LaterStep::Loaded(pid)),
        }
    }

    /// A client connects: a worker that accepts there takes the connection, or the connection waits for such a worker.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        connection: u64,
        target: ListenAddress,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let serves = |configuration: &Configuration| configuration.servers_at(&target).is_some();
        let open = self.workers.values().any(|worker| {
            worker.kind == ChildKind::Worker && !worker.leaving && serves(&worker.configuration)
        }) || self.masters.values().any(|master| {
            master.ending.is_none() && master.cycle.as_ref().is_some_and(|cycle| serves(cycle))
        });
        let refusal = match &target {
            ListenAddress::Unix(path) if !host.tree.exists(path) => Some(ConnectRefusal::NotFound),
            ListenAddress::Unix(_) | ListenAddress::Tcp(_) if !open => {
                Some(ConnectRefusal::Refused)
            }
            ListenAddress::Unix(_) | ListenAddress::Tcp(_) => None,
        };
        if let Some(refusal) = refusal {
            return out.push(Output::Refused {
                connection,
                refusal,
            });
        }
        let taken = HttpConnection {
            target,
            worker: None,
            state: State::Fresh,
            waiting: None,
        };
        self.connections.insert(connection, taken);
        self.assign(now, connection, host, out);
    }

    /// Returns, for each worker that accepts connections at an address, its answer to a request, in the order of
    /// process ids. Answers from files or upstreams are omitted.
    #[must_use]
    pub fn answers(&self, to: &ListenAddress, request: &NginxRequest) -> Vec<Response> {
        let tree = FileTree::default();
        let workers = self.workers.iter();
        let accepting = workers.filter(|(_, worker)| {
            worker.accepts && !worker.leaving && worker.configuration.servers_at(to).is_some()
        });
        let routed = accepting.map(|(&pid, worker)| {
            let (configuration, prefix) = (&worker.configuration, &worker.prefix);
            route(configuration, prefix, to, request, pid, &tree)
        });
        let answers = routed.filter_map(|routed| match routed {
            Routed::Answer(response) => Some(response),
            Routed::Drop | Routed::Status | Routed::Proxy(..) => None,
        });
        answers.collect()
    }

    /// Gives a connection to one of the workers that accept at its address, drawn at random.
    fn assign(&mut self, now: Instant, number: u64, host: &mut NginxHost, out: &mut Vec<Output>) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let target = connection.target.clone();
        let accepting = self.workers.iter().filter(|(_, worker)| {
            worker.accepts && !worker.leaving && worker.configuration.servers_at(&target).is_some()
        });
        let accepting: Vec<u32> = accepting.map(|(pid, _)| *pid).collect();
        let Some(&pid) = self.random.pick(&accepting) else {
            return;
        };
        connection.worker = Some(pid);
        let waiting = connection.waiting.take();
        self.counters.accepted += 1;
        let timeout = self.workers.get(&pid).and_then(|worker| {
            let default = worker.configuration.servers_at(&target)?.first()?;
            worker.configuration.servers[*default]
                .settings
                .header_timeout
        });
        self.after(
            now,
            timeout.unwrap_or(HEADER_TIMEOUT),
            LaterStep::Header(number),
        );
        if let Some(request) = waiting {
            self.request(now, number, request, host, out);
        }
    }

    /// A worker begins to accept connections.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        if let Some(worker) = self.workers.get_mut(&pid) {
            worker.accepts = true;
            let waiting = self
                .connections
                .iter()
                .filter(|(_, held)| held.worker.is_none());
            for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
                self.assign(now, number, host, out);
            }
        }
    }

    pub(super) fn partial(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.state = State::Reading;
        }
    }

    /// A complete request arrived.
    pub(super) fn request(
        &mut self,
        now: Instant,
        number: u64,
        request: NginxRequest,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let Some(pid) = connection.worker else {
            connection.waiting = Some(request);
            return;
        };
        let target = connection.target.clone();
        let Some(worker) = self.workers.get(&pid) else {
            return;
        };
        let (configuration, prefix) = (Rc::clone(&worker.configuration), worker.prefix.clone());
        self.cancel(&LaterStep::Header(number));
        self.counters.requests += 1;
        match route(&configuration, &prefix, &target, &request, pid, &host.tree) {
            Routed::Answer(response) => {
                self.respond(now, number, response, request.close, host, out);
            }
            Routed::Drop => self.hang_up(now, number, host, out),
            Routed::Status => {
                let response = self.status();
                self.respond(now, number, response, request.close, host, out);
            }
            Routed::Proxy(proxy, settings, path) => {
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.state = State::Busy;
                }
                let members = &configuration.upstreams[proxy.upstream].members;
                self.last_exchange += 1;
                let exchange = Exchange {
                    connection: number,
                    worker: pid,
                    upstream: proxy.upstream,
                    member: 0,
                    tried: Tried::new(members),
                    timeout: settings.read_timeout.unwrap_or(PROXY_TIMEOUT),
                    passed: NginxRequest {
                        path,
                        host: configuration.upstreams[proxy.upstream].name.clone(),
                        close: true,
                        ..request.clone()
                    },
                    asked: request,
                };
                self.exchanges.insert(self.last_exchange, exchange);
                self.forward(now, self.last_exchange, host, out);
            }
        }
    }

    fn status(&self) -> Response {
        let active = self.connections.len();
        let idle = self.connections.values();
        let idle = idle.filter(|held| held.state == State::Idle).count();
        let accepted = self.counters.accepted;
        let requests = self.counters.requests;
        Response::text(
            200,
            &format!(
                "Active connections: {active} \nserver accepts handled requests\n \
                 {accepted} {accepted} {requests} \nReading: 0 Writing: 1 Waiting: {idle} \n"
            ),
        )
    }

    /// Sends an answer; keeps the connection unless the client asked to close it or the worker is quitting.
    fn respond(
        &mut self,
        now: Instant,
        number: u64,
        response: Response,
        close: bool,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Respond {
            connection: number,
            response,
        });
        let pid = self.connections.get(&number).and_then(|held| held.worker);
        let leaving = pid
            .and_then(|pid| self.workers.get(&pid))
            .is_none_or(|it| it.leaving);
        if close || leaving {
            self.hang_up(now, number, host, out);
        } else if let Some(connection) = self.connections.get_mut(&number) {
            connection.state = State::Idle;
        }
    }

    /// The server closes a connection.
    fn hang_up(&mut self, now: Instant, number: u64, host: &mut NginxHost, out: &mut Vec<Output>) {
        out.push(Output::Closed { connection: number });
        self.closed(now, number, host, out);
    }

    /// A connection is closed.
    pub(super) fn closed(
        &mut self,
        now: Instant,
        number: u64,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(connection) = self.connections.remove(&number) else {
            return;
        };
        self.cancel(&LaterStep::Header(number));
        self.exchanges
            .retain(|_, exchange| exchange.connection != number);
        if let Some(pid) = connection.worker {
            self.leave_if_done(now, pid, host, out);
        }
    }

    pub(super) fn header_timeout(
        &mut self,
        now: Instant,
        number: u64,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        self.hang_up(now, number, host, out);
    }

    /// Passes a request to the next member of its upstream.
    fn forward(&mut self, now: Instant, number: u64, host: &mut NginxHost, out: &mut Vec<Output>) {
        let Some(exchange) = self.exchanges.get_mut(&number) else {
            return;
        };
        let Some(worker) = self.workers.get_mut(&exchange.worker) else {
            return;
        };
        let configuration = Rc::clone(&worker.configuration);
        let upstream = &configuration.upstreams[exchange.upstream];
        let balance = &mut worker.balances[exchange.upstream];
        let Some(at) = balance.pick(&upstream.members, &mut exchange.tried, now) else {
            let name = upstream.name.clone();
            let text = "no live upstreams while connecting to upstream";
            self.complain(now, number, Level::Error, text, &name, host);
            return self.give_up(now, number, 502, host, out);
        };
        exchange.member = at;
        let timeout = exchange.timeout;
        out.push(Output::Forward {
            exchange: number,
            to: upstream.members[at].target.clone(),
            request: exchange.passed.clone(),
        });
        self.after(now, timeout, LaterStep::Backend(number));
    }

    /// A member of an upstream answered, refused or closed.
    pub(super) fn backend(
        &mut self,
        now: Instant,
        number: u64,
        outcome: UpstreamOutcome,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        match outcome {
            UpstreamOutcome::Answered(response) => {
                self.settle(now, number, false);
                let Some(exchange) = self.exchanges.remove(&number) else {
                    return;
                };
                let (connection, close) = (exchange.connection, exchange.asked.close);
                self.respond(now, connection, response, close, host, out);
            }
            UpstreamOutcome::Refused => {
                let text =
                    "connect() failed (111: Connection refused) while connecting to upstream";
                self.failed(now, number, text, "connecting to", 502, host, out);
            }
            UpstreamOutcome::Closed => {
                let text = "upstream prematurely closed connection while reading response header \
                            from upstream";
                self.failed(
                    now,
                    number,
                    text,
                    "reading response header from",
                    502,
                    host,
                    out,
                );
            }
        }
    }

    pub(super) fn backend_timeout(
        &mut self,
        now: Instant,
        number: u64,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let text = "upstream timed out (110: Connection timed out) while reading response header \
                    from upstream";
        self.failed(
            now,
            number,
            text,
            "reading response header from",
            504,
            host,
            out,
        );
    }

    /// Records the outcome of a request at a member. Returns whether the member is set aside, and whether to try
    /// another.
    fn settle(&mut self, now: Instant, number: u64, failed: bool) -> Option<(bool, bool)> {
        self.cancel(&LaterStep::Backend(number));
        let exchange = self.exchanges.get_mut(&number)?;
        let worker = self.workers.get_mut(&exchange.worker)?;
        let members = &worker.configuration.upstreams[exchange.upstream].members;
        let balance = &mut worker.balances[exchange.upstream];
        let aside = balance.done(members, &mut exchange.tried, exchange.member, failed, now);
        Some((aside, exchange.tried.may_go_on()))
    }

    #[expect(clippy::too_many_arguments, reason = "the words of one log line")]
    fn failed(
        &mut self,
        now: Instant,
        number: u64,
        text: &str,
        during: &str,
        status: u16,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(exchange) = self.exchanges.get(&number) else {
            return;
        };
        // A request that may have changed state is not repeated once it was sent to a member.
        let sent = during != "connecting to";
        let repeatable =
            !sent || !["POST", "LOCK", "PATCH"].contains(&exchange.asked.method.as_str());
        let member = self.workers.get(&exchange.worker).map(|worker| {
            let upstream = &worker.configuration.upstreams[exchange.upstream];
            upstream.members[exchange.member].target.to_string()
        });
        let member = member.unwrap_or_default();
        self.complain(now, number, Level::Error, text, &member, host);
        let Some((aside, go_on)) = self.settle(now, number, true) else {
            return;
        };
        if aside {
            let text = format!("upstream server temporarily disabled while {during} upstream");
            self.complain(now, number, Level::Warning, &text, &member, host);
        }
        if go_on && repeatable {
            self.forward(now, number, host, out);
        } else {
            self.give_up(now, number, status, host, out);
        }
    }

    fn give_up(
        &mut self,
        now: Instant,
        number: u64,
        status: u16,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        if let Some(exchange) = self.exchanges.remove(&number) {
            let (connection, close) = (exchange.connection, exchange.asked.close);
            self.respond(now, connection, Response::page(status), close, host, out);
        }
    }

    /// Logs a message about a request to a member.
    fn complain(
        &self,
        now: Instant,
        number: u64,
        level: Level,
        text: &str,
        member: &str,
        host: &mut NginxHost,
    ) {
        let Some(exchange) = self.exchanges.get(&number) else {
            return;
        };
        let Some(worker) = self.workers.get(&exchange.worker) else {
            return;
        };
        let (asked, path) = (&exchange.asked, &exchange.passed.path);
        let text = format!(
            "*{} {text}, client: 127.0.0.1, server: , request: \"{} {} HTTP/1.1\", \
             upstream: \"http://{member}{path}\", host: \"{}\"",
            exchange.connection, asked.method, asked.path, asked.host
        );
        let sink = Sink::of(&worker.configuration, exchange.worker);
        sink.write(now, host, &Note::new(level, text));
    }

    pub(super) fn signal_worker(
        &mut self,
        now: Instant,
        pid: u32,
        signal: ProcessSignal,
        sender: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(worker) = self.workers.get(&pid) else {
            return;
        };
        let sink = Sink::of(&worker.configuration, pid);
        let does = match signal {
            ProcessSignal::Kill => return self.bury(now, pid, Ended::Killed(9), host, out),
            ProcessSignal::HangUp => return,
            ProcessSignal::Terminate => "exiting",
            ProcessSignal::Quit => "shutting down",
        };
        let (number, name) = signal.name();
        let text = format!("signal {number} ({name}) received from {sender}, {does}");
        sink.notice(now, host, text);
        if signal == ProcessSignal::Quit && worker.kind == ChildKind::Worker {
            self.quit_worker(now, pid, host, out);
        } else {
            self.exit_worker(now, pid, false, host, out);
        }
    }

    /// A master tells a child to quit.
    pub(super) fn told(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        worker.told = true;
        match worker.kind {
            ChildKind::Worker if worker.leaving => {}
            ChildKind::Worker => self.quit_worker(now, pid, host, out),
            ChildKind::CacheManager | ChildKind::CacheLoader => {
                self.exit_worker(now, pid, true, host, out)
            }
        }
    }

    fn quit_worker(&mut self, now: Instant, pid: u32, host: &mut NginxHost, out: &mut Vec<Output>) {
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        worker.leaving = true;
        let configuration = Rc::clone(&worker.configuration);
        Sink::of(&configuration, pid).notice(now, host, "gracefully shutting down");
        if let Some(timeout) = configuration.shutdown_timeout {
            self.after(now, timeout, LaterStep::Shutdown(pid));
        }
        self.close_all(now, pid, |state| state == State::Idle, host, out);
        self.leave_if_done(now, pid, host, out);
    }

    pub(super) fn shutdown_timeout(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        self.close_all(now, pid, |state| state != State::Reading, host, out);
    }

    /// Closes a worker's connections that are in some states.
    fn close_all(
        &mut self,
        now: Instant,
        pid: u32,
        chosen: fn(State) -> bool,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let closing = self.connections.iter();
        let closing = closing.filter(|(_, held)| held.worker == Some(pid) && chosen(held.state));
        for number in closing.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.hang_up(now, number, host, out);
        }
    }

    fn leave_if_done(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let leaving = self.workers.get(&pid).is_some_and(|worker| worker.leaving);
        let holds = self
            .connections
            .values()
            .any(|held| held.worker == Some(pid));
        if leaving && !holds {
            self.exit_worker(now, pid, false, host, out);
        }
    }

    /// A child exits; `told` means that its master ordered the exit.
    pub(super) fn exit_worker(
        &mut self,
        now: Instant,
        pid: u32,
        told: bool,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(worker) = self.workers.get_mut(&pid) else {
            return;
        };
        worker.told |= told;
        let sink = Sink::of(&worker.configuration, pid);
        let serves = worker.kind == ChildKind::Worker;
        sink.notice(now, host, "exiting");
        if serves {
            sink.notice(now, host, "exit");
        }
        self.bury(now, pid, Ended::Exited, host, out);
    }

    pub(super) fn loader_done(
        &mut self,
        now: Instant,
        pid: u32,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        if let Some(loader) = self.workers.get_mut(&pid) {
            loader.told = true;
            self.bury(now, pid, Ended::Exited, host, out);
        }
    }

    /// A child has ended, and its connections are closed.
    fn bury(
        &mut self,
        now: Instant,
        pid: u32,
        how: Ended,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let Some(worker) = self.workers.remove(&pid) else {
            return;
        };
        self.close_all(now, pid, |_| true, host, out);
        self.cancel(&LaterStep::Shutdown(pid));
        let corpse = Corpse {
            pid,
            kind: worker.kind,
            how,
            respawn: !worker.told,
        };
        self.ended(now, worker.parent, corpse, host, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Input;
    use super::*;
    use phalanx_core::random::Random;
    use std::collections::BTreeSet;

    const FILE: &str = "/p/nginx.conf";

    fn configure(host: &mut NginxHost, version: &str) {
        let text = format!(
            "pid /p/nginx.pid; error_log /p/error.log; events {{}} http {{ client_body_temp_path /p/t; proxy_temp_path \
             /p/t; server {{ listen 8080; return 200 {version}; }} }}"
        );
        host.tree.write(FILE, text.as_bytes()).unwrap();
    }

    #[test]
    fn the_workers_of_both_configurations_answer_during_a_reload() {
        let (mut nginx, mut host) = (Nginx::new(Random::from_seed(1)), NginxHost::default());
        host.tree.make_folders("/p/t").unwrap();
        let mut seen: Vec<BTreeSet<Vec<u8>>> = Vec::new();
        let to = ListenAddress::Tcp(([127, 0, 0, 1], 8_080).into());
        let mut step = |now, input, host: &mut NginxHost| {
            nginx.step(now, input, host, &mut Vec::new());
            let answers = nginx.answers(&to, &NginxRequest::get("localhost", "/"));
            let bodies = answers.into_iter().map(|answer| answer.body).collect();
            if seen.last() != Some(&bodies) {
                seen.push(bodies);
            }
            (nginx.next_deadline(), nginx.masters().next())
        };
        configure(&mut host, "v1");
        let start = Input::Run {
            invocation: 1,
            arguments: ["-p", "/p", "-c", FILE].map(str::to_owned).to_vec(),
        };
        let (mut now, mut input, mut master) = (Instant::ZERO, start, None);
        for version in ["v1", "v2"] {
            if let Some(pid) = master {
                configure(&mut host, version);
                let (signal, sender) = (ProcessSignal::HangUp, 1);
                input = Input::Signal {
                    pid,
                    signal,
                    sender,
                };
            }
            let mut next = step(now, input, &mut host);
            while let (Some(at), _) = next {
                now = at;
                next = step(now, Input::Wake, &mut host);
            }
            (input, master) = (Input::Wake, next.1);
        }
        let bodies = |all: &[&str]| all.iter().map(|body| body.as_bytes().to_vec()).collect();
        let wanted: [BTreeSet<Vec<u8>>; 4] = [
            bodies(&[]),
            bodies(&["v1"]),
            bodies(&["v1", "v2"]),
            bodies(&["v2"]),
        ];
        assert_eq!(seen, wanted);
    }
}
