//! The simulator's fake, driven by a virtual clock.

use super::{Address, Answer, NginxUnderTest, Ran, Signal};
use core::time::Duration;
use phalanx_core::random::Random;
use phalanx_core::time::{Instant, Wall};
use phalanx_sim::fakes::nginx::{
    ConnectRefusal, Input, ListenAddress, Nginx, NginxHost, NginxRequest, Output, Response,
    UpstreamOutcome,
};
use phalanx_sim::world::ProcessSignal as FakeSignal;
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "/tmp/fake";

/// An installation of the fake on its own host.
pub(crate) struct Fake {
    nginx: Nginx,
    host: NginxHost,
    now: Instant,
    numbers: u64,
    next_port: u16,
    ended: BTreeMap<u64, Ran>,
    answers: BTreeMap<u64, Response>,
    closed: BTreeSet<u64>,
    refused: BTreeMap<u64, ConnectRefusal>,
    back_ends: BTreeMap<u16, String>,
}

impl Default for Fake {
    fn default() -> Self {
        let mut host = NginxHost {
            started: Wall(1_795_000_000),
            first_unprivileged_port: first_unprivileged_port(),
            ..NginxHost::default()
        };
        host.tree
            .make_folders(PREFIX)
            .expect("the prefix can be made");
        Self {
            nginx: Nginx::new(Random::from_seed(7)),
            host,
            now: Instant::from_millis(1_000),
            numbers: 0,
            next_port: 20_000,
            ended: BTreeMap::new(),
            answers: BTreeMap::new(),
            closed: BTreeSet::new(),
            refused: BTreeMap::new(),
            back_ends: BTreeMap::new(),
        }
    }
}

/// This machine's setting of the lowest unprivileged port. The fake gets this setting as data; the real nginx reads it
/// itself.
pub(super) fn first_unprivileged_port() -> u16 {
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

impl Fake {
    fn path(path: &str) -> String {
        format!("{PREFIX}/{path}")
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.nginx.step(self.now, input, &mut self.host, &mut out);
        for output in out {
            match output {
                Output::Finished {
                    invocation,
                    code,
                    stderr,
                } => {
                    self.ended.insert(invocation, Ran { code, stderr });
                }
                Output::Refused {
                    connection,
                    refusal,
                } => {
                    self.refused.insert(connection, refusal);
                }
                Output::Respond {
                    connection,
                    response,
                } => {
                    self.answers.insert(connection, response);
                }
                Output::Closed { connection } => {
                    self.closed.insert(connection);
                }
                Output::Forward {
                    exchange,
                    to,
                    request,
                } => {
                    let outcome = self.back_end_answer(&to, &request);
                    self.step(Input::Backend { exchange, outcome });
                }
            }
        }
    }

    fn back_end_answer(&self, to: &ListenAddress, request: &NginxRequest) -> UpstreamOutcome {
        let name = match to {
            ListenAddress::Tcp(address) => self.back_ends.get(&address.port()),
            ListenAddress::Unix(_) => None,
        };
        name.map_or(UpstreamOutcome::Refused, |name| {
            UpstreamOutcome::Answered(Response::text(200, &format!("{name} {}", request.path)))
        })
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl NginxUnderTest for Fake {
    fn prefix(&self) -> String {
        PREFIX.to_owned()
    }

    fn free_port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    fn first_unprivileged_port(&self) -> u16 {
        self.host.first_unprivileged_port
    }

    fn write(&mut self, path: &str, text: &str) {
        let path = Self::path(path);
        let folder = path.rfind('/').map_or("/", |at| &path[..at]);
        self.host
            .tree
            .make_folders(folder)
            .expect("the folder can be made");
        self.host
            .tree
            .write(&path, text.as_bytes())
            .expect("the file can be written");
    }

    fn make_folder(&mut self, path: &str) {
        self.host
            .tree
            .make_folders(&Self::path(path))
            .expect("the folder can be made");
    }

    fn link(&mut self, target: &str, path: &str) {
        let (new, path) = (Self::path(".new"), Self::path(path));
        self.host
            .tree
            .make_link(target, &new)
            .expect("the link can be made");
        self.host
            .tree
            .rename(&new, &path)
            .expect("the link can be moved");
    }

    fn remove(&mut self, path: &str) {
        self.host
            .tree
            .remove(&Self::path(path))
            .expect("the file can be removed");
    }

    fn read(&self, path: &str) -> Option<String> {
        let bytes = self.host.tree.read(&Self::path(path)).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn list(&self, path: &str) -> Vec<String> {
        let names = self
            .host
            .tree
            .list(&Self::path(path))
            .expect("the folder can be listed");
        names.into_iter().map(str::to_owned).collect()
    }

    fn spawn(&mut self, arguments: &[String]) -> u64 {
        let invocation = self.number();
        self.step(Input::Run {
            invocation,
            arguments: arguments.to_vec(),
        });
        invocation
    }

    fn ended(&mut self, command: u64) -> Option<Ran> {
        self.ended.get(&command).cloned()
    }

    fn signal(&mut self, pid: u32, signal: Signal) {
        let signal = match signal {
            Signal::Kill => FakeSignal::Kill,
            Signal::Terminate => FakeSignal::Terminate,
            Signal::Quit => FakeSignal::Quit,
            Signal::HangUp => FakeSignal::HangUp,
        };
        self.step(Input::Signal {
            pid,
            signal,
            sender: 7,
        });
    }

    fn children(&self, pid: u32) -> Vec<(u32, String)> {
        let children = self.nginx.children(pid).into_iter();
        children
            .map(|child| (child.pid, child.title.to_owned()))
            .collect()
    }

    fn runs(&self, pid: u32) -> bool {
        self.nginx.runs(pid)
    }

    fn occupy(&mut self, port: u16) {
        self.host.taken.insert(port);
    }

    fn release(&mut self, port: u16) {
        self.host.taken.remove(&port);
        self.back_ends.remove(&port);
    }

    fn back_end(&mut self, port: u16, name: &str) {
        self.host.taken.insert(port);
        self.back_ends.insert(port, name.to_owned());
    }

    fn connect(&mut self, address: &Address) -> Result<u64, String> {
        let connection = self.number();
        let target = match address {
            Address::Port(port) => ListenAddress::Tcp(([127, 0, 0, 1], *port).into()),
            Address::Socket(path) => ListenAddress::Unix(Self::path(path)),
        };
        self.step(Input::Connect { connection, target });
        match self.refused.get(&connection) {
            None => Ok(connection),
            Some(ConnectRefusal::Refused) => Err("connection refused".to_owned()),
            Some(ConnectRefusal::NotFound) => Err("entity not found".to_owned()),
        }
    }

    fn send_half(&mut self, client: u64) {
        self.step(Input::Partial { connection: client });
    }

    fn ask(&mut self, client: u64, host: &str, path: &str, close: bool) -> Option<Answer> {
        self.answers.remove(&client);
        let request = NginxRequest {
            close,
            ..NginxRequest::get(host, path)
        };
        self.step(Input::Request {
            connection: client,
            request,
        });
        let end = self.now + super::PATIENCE;
        loop {
            if let Some(response) = self.answers.remove(&client) {
                return Some(Answer {
                    status: response.status,
                    content_type: response.content_type,
                    location: response.location,
                    body: String::from_utf8_lossy(&response.body).into_owned(),
                });
            }
            if self.closed.contains(&client) {
                return None;
            }
            assert!(self.now < end, "no answer in {:?}", super::PATIENCE);
            self.pause(Duration::from_millis(1));
        }
    }

    fn is_open(&mut self, client: u64) -> bool {
        !self.closed.contains(&client)
    }

    fn close(&mut self, client: u64) {
        self.step(Input::Close { connection: client });
    }

    fn pause(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.nginx.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step(Input::Wake);
        }
        self.now = end;
    }

    fn elapsed(&self) -> Duration {
        self.now.since(Instant::ZERO)
    }
}
