//! The fake nginx as a program of a simulated host.
//!
//! Commands reach nginx by `Effect::Run`, signals by `Effect::Signal`, and requests as [`HttpRequest`] on links or in
//! datagrams (one request each). nginx reads and writes the host's files within its steps, as the real program does.
//! The program answers reads of `/proc/PID/cmdline` and `/proc/PID/task/PID/children` for its processes.
//!
//! The engine has no Unix sockets, so a request names the socket in [`HttpRequest::to`] and is sent to the port
//! [`SOCKETS`] of the loopback address. Members of upstreams are dialled; a member behind a Unix socket refuses.

use super::configuration::ListenAddress;
use super::host::NginxHost;
use super::machine::{Input, Nginx, Output, UpstreamOutcome};
use super::route::{NginxRequest, Response};
use crate::world::{
    DialId, Effect, Effects, Finished, LinkId, LocalHost, Message, Process, ProcessEvent,
    ProcessView, Program, Start,
};
use core::net::{IpAddr, SocketAddr};
use phalanx_core::random::mix;
use phalanx_core::time::{Instant, Wall};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The name of the program.
pub const NGINX: &str = "nginx";
/// The port on which requests to Unix sockets arrive, over the loopback.
pub const SOCKETS: u16 = 1;
/// The command that makes a name resolve to other addresses when a configuration is read: `{ name, addresses }`.
pub const NAMES: &str = "nginx-names";
/// The number of the command by which the host starts nginx.
const BOOT: u64 = 0;

/// A request to an address of nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// The address that the client connected to.
    pub to: ListenAddress,
    /// The request.
    pub request: NginxRequest,
}

impl Message for HttpRequest {
    fn encoded_len(&self) -> usize {
        let request = &self.request;
        40 + request.method.len() + request.path.len() + request.host.len()
    }

    fn kind(&self) -> &'static str {
        "http-request"
    }
}

/// The answer to an [`HttpRequest`]; none if the connection was refused or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse(pub Option<Response>);

impl Message for HttpResponse {
    fn encoded_len(&self) -> usize {
        let body = self.0.as_ref().map_or(0, |response| response.body.len());
        120 + body
    }

    fn kind(&self) -> &'static str {
        "http-response"
    }
}

/// nginx on the hosts that run it.
#[derive(Clone, Debug, Default)]
pub struct NginxProgram {
    /// The arguments with which a host starts nginx at its boot; none if nginx does not start at boot.
    pub at_boot: Option<Vec<String>>,
    /// The folders that exist durably from the beginning.
    pub folders: Vec<String>,
    /// The files that exist durably from the beginning.
    pub files: Vec<(String, Vec<u8>)>,
    /// The names that resolve while a configuration is read.
    pub names: BTreeMap<String, Vec<IpAddr>>,
}

impl Program for NginxProgram {
    fn name(&self) -> &'static str {
        NGINX
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        if start.life == 1 {
            for folder in &self.folders {
                start.disk.put_folder(folder);
            }
            for (path, bytes) in &self.files {
                start.disk.put(path.clone(), bytes.clone());
            }
        }
        let host = NginxHost {
            addresses: BTreeSet::from([IpAddr::V4(crate::address::ip(start.host))]),
            names: self.names.clone(),
            // Process ids from before a restart are not reused.
            last_pid: start.life.saturating_mul(1_000),
            ..NginxHost::default()
        };
        Box::new(Installed {
            nginx: Nginx::new(start.random.child("workers")),
            host,
            at_boot: self.at_boot.clone(),
            clients: BTreeMap::new(),
            by_link: BTreeMap::new(),
            members: BTreeMap::new(),
            dialling: BTreeMap::new(),
            listening: BTreeSet::new(),
            numbers: 0,
        })
    }
}

/// The path of a response to its client.
#[derive(Clone, Copy, Debug)]
enum Client {
    Link(LinkId),
    Datagram(SocketAddr),
}

/// nginx on one host: all of its processes, and the view of these processes.
#[derive(Debug)]
pub struct Installed {
    nginx: Nginx,
    host: NginxHost,
    at_boot: Option<Vec<String>>,
    /// The clients of nginx's connections.
    clients: BTreeMap<u64, Client>,
    by_link: BTreeMap<LinkId, u64>,
    /// The exchanges with upstream members to which a link is open, by link.
    members: BTreeMap<LinkId, u64>,
    /// The exchanges whose member is being dialled, each with the request for the member.
    dialling: BTreeMap<DialId, (u64, HttpRequest)>,
    listening: BTreeSet<u16>,
    numbers: u64,
}

impl Installed {
    /// Returns, for each worker that accepts connections at an address, its answer to a GET of a path. Answers from
    /// files or upstreams are omitted.
    #[must_use]
    pub fn answers(&self, to: &ListenAddress, path: &str) -> Vec<Response> {
        self.nginx
            .answers(to, &NginxRequest::get("localhost", path))
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The inputs that result from an event.
    fn inputs(&mut self, event: ProcessEvent) -> Vec<Input> {
        match event {
            ProcessEvent::Start => {
                let run = |arguments| Input::Run {
                    invocation: BOOT,
                    arguments,
                };
                self.at_boot.clone().map(run).into_iter().collect()
            }
            ProcessEvent::Invoked(invocation) => vec![Input::Run {
                invocation: invocation.number,
                arguments: invocation.arguments,
            }],
            ProcessEvent::Signal { pid, signal } => vec![Input::Signal {
                pid,
                signal,
                sender: 1,
            }],
            ProcessEvent::Received { link, message } => self.received(link, message),
            ProcessEvent::Datagram { from, message } => match message.take::<HttpRequest>() {
                Some(asked) => self.asked(Client::Datagram(from), asked),
                None => Vec::new(),
            },
            ProcessEvent::Closed { link, .. } => {
                let client = self.by_link.remove(&link);
                let client = client.map(|connection| {
                    self.clients.remove(&connection);
                    Input::Close { connection }
                });
                let member = self.members.remove(&link).map(|exchange| Input::Backend {
                    exchange,
                    outcome: UpstreamOutcome::Closed,
                });
                client.into_iter().chain(member).collect()
            }
            ProcessEvent::DialFailed { dial, .. } => {
                let failed = self.dialling.remove(&dial);
                let failed = failed.map(|(exchange, _)| Input::Backend {
                    exchange,
                    outcome: UpstreamOutcome::Refused,
                });
                failed.into_iter().collect()
            }
            ProcessEvent::Command(command) => {
                if let Some((name, addresses)) = names(&command.with) {
                    self.host.names.insert(name, addresses);
                }
                Vec::new()
            }
            ProcessEvent::Wake => vec![Input::Wake],
            ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Query(_)
            | ProcessEvent::Leave
            | ProcessEvent::Certificate(_) => Vec::new(),
        }
    }

    /// A message on a link: a client's request, or the answer of a member.
    fn received(&mut self, link: LinkId, message: Rc<dyn Message>) -> Vec<Input> {
        if let Some(asked) = message.of::<HttpRequest>() {
            return self.asked(Client::Link(link), asked.clone());
        }
        let member = self.members.remove(&link);
        let response = message.take::<HttpResponse>().and_then(|it| it.0);
        let outcome = response.map_or(UpstreamOutcome::Closed, UpstreamOutcome::Answered);
        let backend = |exchange| Input::Backend { exchange, outcome };
        member.map(backend).into_iter().collect()
    }

    /// A client sends a request: on a new connection, or on the existing connection of its link.
    fn asked(&mut self, client: Client, asked: HttpRequest) -> Vec<Input> {
        let HttpRequest { to, mut request } = asked;
        let known = match client {
            Client::Link(link) => self.by_link.get(&link).copied(),
            Client::Datagram(_) => {
                request.close = true;
                None
            }
        };
        let mut inputs = Vec::new();
        let connection = known.unwrap_or_else(|| {
            let connection = self.number();
            self.clients.insert(connection, client);
            if let Client::Link(link) = client {
                self.by_link.insert(link, connection);
            }
            inputs.push(Input::Connect {
                connection,
                target: to,
            });
            connection
        });
        inputs.push(Input::Request {
            connection,
            request,
        });
        inputs
    }

    /// Performs an output of nginx. Returns the inputs that follow at once.
    fn perform(&mut self, output: Output, out: &mut Effects) -> Option<Input> {
        match output {
            Output::Finished {
                invocation: BOOT, ..
            } => {}
            Output::Finished {
                invocation,
                code,
                stderr,
            } => out.push(Effect::Finish(Box::new(Finished {
                number: invocation,
                code,
                stderr,
            }))),
            Output::Respond {
                connection,
                response,
            } => match self.clients.get(&connection) {
                Some(Client::Link(link)) => out.send(*link, HttpResponse(Some(response))),
                Some(Client::Datagram(from)) => {
                    out.datagram(*from, HttpResponse(Some(response)));
                    self.clients.remove(&connection);
                }
                None => {}
            },
            Output::Refused { connection, .. } | Output::Closed { connection } => {
                match self.clients.remove(&connection) {
                    Some(Client::Link(link)) => {
                        self.by_link.remove(&link);
                        out.push(Effect::Close { link });
                    }
                    Some(Client::Datagram(from)) => out.datagram(from, HttpResponse(None)),
                    None => {}
                }
            }
            Output::Forward {
                exchange,
                to,
                request,
            } => match &to {
                ListenAddress::Tcp(address) => {
                    let (dial, address) = (DialId(self.number()), *address);
                    let asked = HttpRequest { to, request };
                    self.dialling.insert(dial, (exchange, asked));
                    let to = Some(address);
                    out.push(Effect::Dial { dial, to });
                }
                ListenAddress::Unix(_) => {
                    let outcome = UpstreamOutcome::Refused;
                    return Some(Input::Backend { exchange, outcome });
                }
            },
        }
        None
    }

    /// Listens on the addresses on which nginx listens.
    fn listen(&mut self, out: &mut Effects) {
        let ports = self.nginx.targets().into_iter().map(|target| match target {
            ListenAddress::Tcp(address) => address.port(),
            ListenAddress::Unix(_) => SOCKETS,
        });
        let ports: BTreeSet<u16> = ports.collect();
        for &port in self.listening.difference(&ports) {
            out.push(Effect::Unlisten { port });
        }
        for &port in ports.difference(&self.listening) {
            out.push(Effect::Listen { port });
        }
        self.listening = ports;
    }
}

/// The name and addresses in a command.
fn names(with: &Value) -> Option<(String, Vec<IpAddr>)> {
    let addresses = with["addresses"].as_array()?.iter();
    let addresses = addresses.map(|address| address.as_str()?.parse().ok());
    Some((
        with["name"].as_str()?.to_owned(),
        addresses.collect::<Option<_>>()?,
    ))
}

impl ProcessView for Installed {
    fn digest(&self) -> u64 {
        let masters = self.nginx.masters().flat_map(|master| {
            let children = self.nginx.children(master).into_iter();
            let titles = children.map(|child| u64::from(child.pid) << 8 | child.title.len() as u64);
            titles.chain([u64::from(master)])
        });
        masters.fold(self.listening.len() as u64, |sum, part| mix(sum ^ part))
    }

    fn state(&self) -> Value {
        let masters: Vec<u32> = self.nginx.masters().collect();
        let children = masters
            .iter()
            .flat_map(|master| self.nginx.children(*master));
        let titles: Vec<&str> = children.map(|child| child.title).collect();
        let count = |wanted: &str| titles.iter().filter(|title| **title == wanted).count();
        json!({
            "running": !masters.is_empty(),
            "masters": masters.len(),
            "workers": count("nginx: worker process"),
            "leaving": count("nginx: worker process is shutting down"),
            "ports": self.listening,
        })
    }
}

impl Process for Installed {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        match event {
            ProcessEvent::Signal { pid, .. } => self.nginx.runs(*pid),
            ProcessEvent::Received { message, .. } | ProcessEvent::Datagram { message, .. } => {
                message.of::<HttpRequest>().is_some() || message.of::<HttpResponse>().is_some()
            }
            ProcessEvent::Command(command) => {
                command.name == NAMES && names(&command.with).is_some()
            }
            ProcessEvent::Start
            | ProcessEvent::Invoked(_)
            | ProcessEvent::ListenFailed { .. }
            | ProcessEvent::Accepted { .. }
            | ProcessEvent::Dialed { .. }
            | ProcessEvent::DialFailed { .. }
            | ProcessEvent::Closed { .. }
            | ProcessEvent::Wake => true,
            ProcessEvent::Written { .. }
            | ProcessEvent::WriteFailed { .. }
            | ProcessEvent::Read(_)
            | ProcessEvent::Ran(_)
            | ProcessEvent::Signalled { .. }
            | ProcessEvent::Resolved(_)
            | ProcessEvent::Query(_)
            | ProcessEvent::Leave
            | ProcessEvent::Certificate(_) => false,
        }
    }

    fn acts_on_host(&self) -> bool {
        true
    }

    fn on_event(&mut self, _now: Instant, _event: ProcessEvent, _out: &mut Effects) {}

    fn on_event_at(
        &mut self,
        now: Instant,
        event: ProcessEvent,
        here: LocalHost<'_>,
        out: &mut Effects,
    ) {
        if let ProcessEvent::Dialed { dial, link, .. } = &event
            && let Some((exchange, asked)) = self.dialling.remove(dial)
        {
            self.members.insert(*link, exchange);
            out.send(*link, asked);
        }
        self.host.taken = here.taken;
        self.host.started = Wall(here.wall.0.saturating_sub(now.as_millis() / 1_000));
        let mut inputs = self.inputs(event);
        core::mem::swap(&mut self.host.tree, here.files.tree_mut());
        inputs.reverse();
        while let Some(input) = inputs.pop() {
            let mut outputs = Vec::new();
            self.nginx.step(now, input, &mut self.host, &mut outputs);
            for output in outputs {
                inputs.extend(self.perform(output, out));
            }
        }
        core::mem::swap(&mut self.host.tree, here.files.tree_mut());
        self.listen(out);
    }

    fn proc_file(&self, path: &str) -> Option<Vec<u8>> {
        let (pid, rest) = path.strip_prefix("/proc/")?.split_once('/')?;
        let number: u32 = pid.parse().ok()?;
        let is_master = self.nginx.masters().any(|master| master == number);
        if rest == "cmdline" {
            let parents = self.nginx.masters().chain([1]);
            let mut children = parents.flat_map(|parent| self.nginx.children(parent));
            let child = children.find(|child| child.pid == number);
            let title = child.map(|child| child.title);
            let title = title.or(is_master.then_some("nginx: master process"))?;
            return Some(title.as_bytes().to_vec());
        }
        if rest != format!("task/{pid}/children") || !is_master {
            return None;
        }
        let children = self.nginx.children(number).into_iter();
        let list: String = children.map(|child| format!("{} ", child.pid)).collect();
        Some(list.into_bytes())
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.nginx.next_deadline()
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}
