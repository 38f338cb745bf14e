//! The command line of nginx: a start, `-t` and `-s`, with exit codes and lines on standard error.

use super::configuration::Configuration;
use super::host::NginxHost;
use super::load::{ConfigurationSource, absolute, load};
use super::log::{Level, Note};
use super::machine::{ConfigurationChange, LaterStep, Master, Nginx, Output, Sink};
use crate::disk::tree::TreeError;
use crate::world::ProcessSignal;
use core::time::Duration;
use phalanx_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Duration of a command that does not read the configuration.
const WITHOUT_READING: Duration = Duration::from_millis(1);

/// The options of a command.
#[derive(Clone, Debug)]
pub(super) struct CommandOptions {
    pub(super) source: ConfigurationSource,
    /// The log for messages before the configuration names a log; `stderr` means standard error.
    pub(super) error_log: String,
    test: bool,
    quiet: bool,
    version: bool,
    signal: Option<ProcessSignal>,
}

/// Reads the arguments.
///
/// # Errors
/// The error is the line for standard error.
pub(super) fn options(arguments: &[String]) -> Result<CommandOptions, String> {
    let (mut prefix, mut file) = ("/usr/share/nginx/".to_owned(), None);
    let mut error_log = "/var/log/nginx/error.log".to_owned();
    let (mut test, mut quiet, mut version, mut signal) = (false, false, false, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            let missing = || format!("nginx: option \"{argument}\" requires parameter");
            rest.next().map(String::as_str).ok_or_else(missing)
        };
        match argument.as_str() {
            "-t" => test = true,
            "-q" => quiet = true,
            "-v" => version = true,
            "-p" => {
                value()?.clone_into(&mut prefix);
                if !prefix.ends_with('/') {
                    prefix.push('/');
                }
            }
            "-c" => file = Some(value()?.to_owned()),
            "-e" => value()?.clone_into(&mut error_log),
            "-s" => {
                signal = Some(match value()? {
                    "stop" => ProcessSignal::Terminate,
                    "quit" => ProcessSignal::Quit,
                    "reload" => ProcessSignal::HangUp,
                    other => return Err(format!("nginx: invalid option: \"-s {other}\"")),
                });
            }
            other => {
                let name = other.trim_start_matches('-');
                return Err(format!("nginx: invalid option: \"{name}\""));
            }
        }
    }
    if error_log != "stderr" {
        error_log = absolute(&prefix, &error_log);
    }
    let file = absolute(&prefix, file.as_deref().unwrap_or("/etc/nginx/nginx.conf"));
    Ok(CommandOptions {
        source: ConfigurationSource { prefix, file },
        error_log,
        test,
        quiet,
        version,
        signal,
    })
}

impl CommandOptions {
    /// The destination of messages before the configuration names a log.
    pub(super) fn sink(&self, pid: u32) -> Sink {
        Sink {
            path: self.error_log.clone(),
            threshold: Level::Notice,
            pid,
        }
    }
}

impl Nginx {
    pub(super) fn run(
        &mut self,
        now: Instant,
        invocation: u64,
        arguments: &[String],
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) {
        let pid = host.next_pid();
        let ready = |code, lines| LaterStep::Finish(invocation, code, lines);
        let options = match options(arguments) {
            Ok(options) if options.version => {
                let line = "nginx version: nginx/1.22.1".to_owned();
                return self.after(now, WITHOUT_READING, ready(0, vec![line]));
            }
            Ok(options) => options,
            Err(line) => return self.after(now, WITHOUT_READING, ready(1, vec![line])),
        };
        if options.test {
            let (code, stderr, took) = self.test(now, pid, &options, host);
            return self.after(now, took, ready(code, stderr));
        }
        if let Some(signal) = options.signal {
            let (code, stderr, took) = self.send(now, pid, signal, &options, host, out);
            return self.after(now, took, ready(code, stderr));
        }
        let loaded = load(&options.source, host);
        let took = loaded.blocks().test();
        let change = ConfigurationChange {
            loaded: Some(loaded),
            configuration: None,
            tries: 0,
            opened: BTreeSet::new(),
            start: Some((invocation, Vec::new())),
        };
        let master = Master {
            options,
            cycle: None,
            change: Some(change),
            mixing: false,
            pending: BTreeMap::new(),
            ended: Vec::new(),
            ending: None,
            foreground: None,
        };
        self.masters.insert(pid, master);
        self.after(now, took, LaterStep::Read(pid));
    }

    /// `nginx -t`.
    fn test(
        &self,
        now: Instant,
        pid: u32,
        options: &CommandOptions,
        host: &mut NginxHost,
    ) -> (i32, Vec<String>, Duration) {
        let sink = options.sink(pid);
        let file = &options.source.file;
        let mut stderr = Vec::new();
        let loaded = load(&options.source, host);
        for note in &loaded.notes {
            sink.tell(now, host, &mut stderr, note);
        }
        let took = loaded.blocks().test();
        let passed = loaded.result.map_err(|note| (note, None)).and_then(|read| {
            if !options.quiet {
                stderr.push(format!("nginx: the configuration file {file} syntax is ok"));
            }
            prepare(&read, None, true, host).map_err(|note| (note, None))?;
            let refused = read
                .bound()
                .into_iter()
                .find_map(|target| Some((target, self.refusal(pid, target, host)?)));
            match refused {
                Some((target, why)) if !why.starts_with("98") => {
                    let text = format!("bind() to {target} failed ({why})");
                    Err((Note::emergency(text), Some(Sink::of(&read, pid))))
                }
                Some(_) | None => Ok(()),
            }
        });
        let word = match passed {
            Ok(()) if options.quiet => return (0, stderr, took),
            Ok(()) => "test is successful",
            Err((note, opened)) => {
                opened
                    .as_ref()
                    .unwrap_or(&sink)
                    .tell(now, host, &mut stderr, &note);
                "test failed"
            }
        };
        stderr.push(format!("nginx: configuration file {file} {word}"));
        (i32::from(word == "test failed"), stderr, took)
    }

    /// `nginx -s`.
    fn send(
        &mut self,
        now: Instant,
        pid: u32,
        signal: ProcessSignal,
        options: &CommandOptions,
        host: &mut NginxHost,
        out: &mut Vec<Output>,
    ) -> (i32, Vec<String>, Duration) {
        let sink = options.sink(pid);
        let mut stderr = Vec::new();
        let loaded = load(&options.source, host);
        for note in &loaded.notes {
            sink.tell(now, host, &mut stderr, note);
        }
        let took = loaded.blocks().test();
        let read = match loaded.result {
            Ok(read) => read,
            Err(note) => {
                sink.tell(now, host, &mut stderr, &note);
                return (1, stderr, took);
            }
        };
        let log = Sink::of(&read, pid);
        log.notice(now, host, "signal process started");
        let path = &read.pid;
        let fault = match host.tree.read(path) {
            Err(error) => {
                let text = format!("open() \"{path}\" failed ({}: {error})", error.number());
                Note::new(Level::Error, text)
            }
            Ok(text) => {
                let text = String::from_utf8_lossy(text).trim_end().to_owned();
                match text.parse() {
                    Ok(0) | Err(_) => {
                        let text = format!("invalid PID number \"{text}\" in \"{path}\"");
                        Note::new(Level::Error, text)
                    }
                    Ok(master) if self.masters.contains_key(&master) => {
                        self.signal(now, master, signal, pid, host, out);
                        return (0, stderr, took);
                    }
                    Ok(gone) => {
                        let number = signal.name().0;
                        let text = format!("kill({gone}, {number}) failed (3: No such process)");
                        Note::new(Level::Alert, text)
                    }
                }
            }
        };
        log.tell(now, host, &mut stderr, &fault);
        (1, stderr, took)
    }
}

/// Performs the steps of nginx between reading a configuration and binding: folders, log files, shared memory.
/// `running` is the configuration that a reload replaces; a test creates an empty PID file.
///
/// # Errors
/// The error is the message that nginx logs. Folders and files that were created before the error stay.
pub(super) fn prepare(
    read: &Configuration,
    running: Option<&Configuration>,
    test: bool,
    host: &mut NginxHost,
) -> Result<(), Note> {
    let fault = |call: &str, path: &str, error: TreeError| {
        Note::emergency(format!(
            "{call}() \"{path}\" failed ({}: {error})",
            error.number()
        ))
    };
    if !read.has_events {
        let text = "no \"events\" section in configuration";
        return Err(Note::emergency(text.to_owned()));
    }
    let moved = running.is_some_and(|running| running.pid != read.pid);
    if (test || moved) && !host.tree.exists(&read.pid) {
        let write = host.tree.write(&read.pid, b"");
        write.map_err(|error| fault("open", &read.pid, error))?;
    }
    for path in &read.temporary {
        match host.tree.make_folder(path) {
            Ok(()) | Err(TreeError::Exists) => {}
            Err(error) => return Err(fault("mkdir", path, error)),
        }
    }
    for path in core::iter::once(&read.error_log).chain(&read.access_logs) {
        if path != "stderr" {
            let open = host.tree.append(path, b"");
            open.map_err(|error| fault("open", path, error))?;
        }
    }
    if let Some((name, _)) = read.zones.iter().find(|(_, zone)| zone.size == 0) {
        let text = format!("zero size shared memory zone \"{name}\"");
        return Err(Note::emergency(text));
    }
    for (name, zone) in &read.zones {
        if let Some(old) = running.and_then(|running| running.zones.get(name))
            && let Some(text) = super::configuration::SharedZone::conflict(name, old, zone)
        {
            return Err(Note::emergency(text));
        }
    }
    Ok(())
}
