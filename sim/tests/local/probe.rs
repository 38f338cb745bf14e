//! A process that executes the scenario's commands, and records the answers that it receives.

use core::net::SocketAddr;
use phalanx_core::time::Instant;
use phalanx_sim::disk::DiskChange;
use phalanx_sim::fakes::nginx::{HttpRequest, HttpResponse, ListenAddress, NginxRequest};
use phalanx_sim::world::{
    Effect, Effects, FileContent, Process, ProcessEvent, ProcessSignal, ProcessView, Program,
    ReadOf, Scene, Signalling, Start, Ticket,
};
use serde_json::{Value, json};

/// The port on which answers to the process's datagrams arrive.
const PORT: u16 = 9;

pub(crate) struct Probes;

impl Program for Probes {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn start(&mut self, _: Start<'_>) -> Box<dyn Process> {
        Box::new(Probe { log: Vec::new() })
    }

    fn settled(&self, _: &Scene<'_>) -> Result<(), String> {
        Ok(())
    }
}

struct Probe {
    log: Vec<String>,
}

impl ProcessView for Probe {
    fn digest(&self) -> u64 {
        self.log.len() as u64
    }

    fn state(&self) -> Value {
        json!({ "log": self.log })
    }
}

fn words(with: &Value) -> Vec<&str> {
    let list = with.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

fn owned(text: &str) -> std::borrow::Cow<'static, str> {
    text.to_owned().into()
}

/// The change of the disk that a command requests.
fn write(name: &str, words: &[&str]) -> Option<DiskChange> {
    Some(match (name, words) {
        ("replace", [path, text]) => DiskChange::Replace(owned(path), text.as_bytes().to_vec()),
        ("remove", [path]) => DiskChange::Remove(owned(path)),
        ("rename", [old, new]) => DiskChange::Rename {
            old: owned(old),
            new: owned(new),
        },
        ("symlink", [target, path]) => DiskChange::Link {
            target: owned(target),
            path: owned(path),
        },
        ("folder", [path]) => DiskChange::Folder(owned(path)),
        ("sync-folder", [path]) => DiskChange::SyncFolder(owned(path)),
        ("sync-file", [path]) => DiskChange::SyncFile(owned(path)),
        _ => return None,
    })
}

fn signal(word: &str) -> ProcessSignal {
    match word {
        "hup" => ProcessSignal::HangUp,
        "quit" => ProcessSignal::Quit,
        "term" => ProcessSignal::Terminate,
        _ => ProcessSignal::Kill,
    }
}

impl Probe {
    fn order(name: &str, words: &[&str], out: &mut Effects) {
        let ticket = Ticket(0);
        match (name, words) {
            ("read", [path]) => out.read(ticket, path, ReadOf::File),
            ("list", [path]) => out.read(ticket, path, ReadOf::Folder),
            ("read-link", [path]) => out.read(ticket, path, ReadOf::Link),
            ("run", ["nginx", arguments @ ..]) => out.run(ticket, "nginx", arguments),
            ("run", [_, arguments @ ..]) => out.run(ticket, "absent", arguments),
            ("signal", [pid, word]) => out.push(Effect::Signal(Signalling {
                ticket,
                program: "nginx",
                pid: pid.parse().expect("a number"),
                signal: signal(word),
            })),
            ("resolve", [name]) => out.push(Effect::Resolve {
                ticket,
                name: (*name).into(),
            }),
            ("get", [at, to, path]) => {
                let to = match to.strip_prefix("unix:") {
                    Some(path) => ListenAddress::Unix(path.to_owned()),
                    None => ListenAddress::Tcp(to.parse().expect("an address")),
                };
                let at: SocketAddr = at.parse().expect("an address");
                let request = NginxRequest::get("host", path);
                out.datagram(at, HttpRequest { to, request });
            }
            ("listen", [port]) => out.push(Effect::Listen {
                port: port.parse().expect("a number"),
            }),
            _ => match write(name, words) {
                Some(write) => out.write(ticket, write, false),
                None => panic!("an unknown command: {name} {words:?}"),
            },
        }
    }

    /// The text of an answer; none if the event is not an answer.
    fn answer(event: ProcessEvent) -> Option<String> {
        Some(if let ProcessEvent::Read(read) = event {
            match read.content {
                Ok(FileContent::File(bytes)) => String::from_utf8(bytes).expect("a text"),
                Ok(FileContent::Folder(names)) => names.join(" "),
                Ok(FileContent::Link(target)) => target,
                Err(error) => error.to_string(),
            }
        } else if let ProcessEvent::Ran(ran) = event {
            let mut lines = vec![ran.code.to_string()];
            lines.extend(ran.stderr);
            lines.join("|")
        } else if let ProcessEvent::Signalled { delivered, .. } = event {
            format!("delivered {delivered}")
        } else if let ProcessEvent::Resolved(resolved) = event {
            match resolved.addresses {
                Ok(mut addresses) => {
                    addresses.sort();
                    let all = addresses.iter().map(ToString::to_string);
                    all.collect::<Vec<_>>().join(" ")
                }
                Err(error) => error.to_string(),
            }
        } else if let ProcessEvent::Written { .. } = event {
            "written".to_owned()
        } else if let ProcessEvent::WriteFailed { reason, .. } = event {
            reason.to_string()
        } else if let ProcessEvent::Datagram { message, .. } = event {
            let answer = message.take::<HttpResponse>()?;
            answer.0.map_or("closed".to_owned(), |response| {
                let body = String::from_utf8(response.body).expect("a text");
                format!("{} {body}", response.status)
            })
        } else {
            return None;
        })
    }
}

impl Process for Probe {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(
            event,
            ProcessEvent::Start
                | ProcessEvent::Command(_)
                | ProcessEvent::Read(_)
                | ProcessEvent::Ran(_)
                | ProcessEvent::Signalled { .. }
                | ProcessEvent::Resolved(_)
                | ProcessEvent::Written { .. }
                | ProcessEvent::WriteFailed { .. }
                | ProcessEvent::Datagram { .. }
        )
    }

    fn on_event(&mut self, _: Instant, event: ProcessEvent, out: &mut Effects) {
        if let ProcessEvent::Start = event {
            out.push(Effect::Listen { port: PORT });
        } else if let ProcessEvent::Command(command) = event {
            Self::order(&command.name, &words(&command.with["of"]), out);
        } else {
            self.log.extend(Self::answer(event));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}
