//! Runs the processes of a mesh, and reads from their output which members each node knows.

use crate::contender::Contender;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Interval at which the output of the processes is read.
const LOOK: Duration = Duration::from_millis(20);
/// Time after the end of a process's input at which the process is killed if it still runs.
const END_GRACE: Duration = Duration::from_secs(20);

/// One process, and its output so far.
#[derive(Debug)]
struct Process {
    child: Child,
    name: String,
    lines: BufReader<File>,
    unfinished: String,
    knows: BTreeSet<String>,
    lost: BTreeSet<String>,
}

/// A mesh. Dropping it ends all processes and removes all files.
#[derive(Debug)]
pub(crate) struct DaemonFleet {
    processes: Vec<Process>,
    folder: tempfile::TempDir,
}

impl DaemonFleet {
    /// Starts all processes.
    ///
    /// # Errors
    /// Returns an error if a process cannot be started.
    pub(crate) fn start(contender: &Contender, nodes: usize) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|why| format!("no folder: {why}"))?;
        contender.prepare(folder.path())?;
        let mut fleet = Self {
            processes: Vec::new(),
            folder,
        };
        for host in 0..nodes {
            let process = fleet.process(contender, host, nodes);
            let name = contender.node(host);
            fleet
                .processes
                .push(process.map_err(|why| format!("{name} cannot be started: {why}"))?);
        }
        Ok(fleet)
    }

    fn process(
        &self,
        contender: &Contender,
        host: usize,
        nodes: usize,
    ) -> std::io::Result<Process> {
        let path = self.folder.path().join(format!("log-{host}"));
        let log = File::create(&path)?;
        let child = contender
            .command(host, nodes, self.folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Process {
            child,
            name: contender.node(host),
            lines: BufReader::new(File::open(path)?),
            unfinished: String::new(),
            knows: BTreeSet::new(),
            lost: BTreeSet::new(),
        })
    }

    pub(crate) const fn folder(&self) -> &tempfile::TempDir {
        &self.folder
    }

    /// Returns the ids of the processes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(|process| process.child.id())
    }

    /// Waits for a condition; returns the time until the condition held, or `None` if it did not hold in time.
    ///
    /// # Errors
    /// Returns an error if a process has ended.
    pub(crate) fn wait(
        &mut self,
        longest: Duration,
        wanted: impl Fn(&Self) -> bool,
    ) -> Result<Option<Duration>, String> {
        let start = Instant::now();
        while start.elapsed() < longest {
            for process in &mut self.processes {
                process.look(self.folder.path())?;
            }
            if wanted(self) {
                return Ok(Some(start.elapsed()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    pub(crate) fn all_see_all(&self) -> bool {
        let others = self.processes.len() - 1;
        self.processes
            .iter()
            .all(|process| process.knows.len() - process.lost.len() == others)
    }

    /// Stops a process with SIGSTOP, so that it does not answer and its peers are not notified. Returns the time until
    /// all other nodes have detected the stop, or `None` if they did not detect it in time.
    ///
    /// # Errors
    /// Returns an error if a process has ended.
    pub(crate) fn stop_one_dead(&mut self, longest: Duration) -> Result<Option<Duration>, String> {
        let at = self.processes.len() / 2;
        let victim = self.processes[at].name.clone();
        self.processes[at].signal(Signal::STOP)?;
        let known = self.wait(longest, |fleet| {
            let others = fleet
                .processes
                .iter()
                .filter(|process| process.name != victim);
            others
                .into_iter()
                .all(|process| process.lost.contains(&victim))
        });
        self.processes[at].signal(Signal::CONT)?;
        known
    }

    /// Ends all processes.
    ///
    /// # Errors
    /// Returns an error if a process had to be killed.
    pub(crate) fn end(mut self) -> Result<(), String> {
        for process in &mut self.processes {
            drop(process.child.stdin.take());
        }
        let deadline = Instant::now() + END_GRACE;
        for process in &mut self.processes {
            while process.has_ended()?.is_none() {
                if Instant::now() >= deadline {
                    return Err(format!("{} did not end and was killed", process.name));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }
}

impl Drop for DaemonFleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Killing a process that has ended gives an error, which is ignored.
            drop(process.child.kill());
            drop(process.child.wait());
        }
    }
}

impl Process {
    fn has_ended(&mut self) -> Result<Option<std::process::ExitStatus>, String> {
        let ended = self.child.try_wait();
        ended.map_err(|why| format!("{} was lost: {why}", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| format!("{} has no number", self.name))?;
        kill_process(pid, signal).map_err(|why| format!("{}: {why}", self.name))
    }

    /// Reads the output since the last call.
    fn look(&mut self, folder: &Path) -> Result<(), String> {
        if let Some(status) = self.has_ended()? {
            let name = &self.name;
            return Err(format!(
                "{name} ended with {status}; see {}",
                folder.display()
            ));
        }
        loop {
            let read = self.lines.read_line(&mut self.unfinished);
            let read = read.map_err(|why| format!("the log of {}: {why}", self.name))?;
            if read == 0 || !self.unfinished.ends_with('\n') {
                return Ok(());
            }
            let line: Value = serde_json::from_str(&self.unfinished).unwrap_or_default();
            self.unfinished.clear();
            let Some(peer) = line["peer"].as_str().map(str::to_owned) else {
                continue;
            };
            match line["event"].as_str() {
                Some("peer-up") => {
                    self.lost.remove(&peer);
                    self.knows.insert(peer);
                }
                Some("peer-down") => {
                    self.lost.insert(peer);
                }
                _ => {}
            }
        }
    }
}
