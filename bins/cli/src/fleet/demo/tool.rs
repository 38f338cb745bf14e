//! Runs the tool as a user would: as a child process with `--json`.

use crate::failure::CommandError;
use crate::fleet::Fleet;
use crate::mesh::reply::Event;
use crate::programs;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit of each command.
const TIME_MAX: Duration = Duration::from_secs(900);

/// The path of the tool's executable.
pub(super) struct ToolPath {
    program: PathBuf,
}

/// The part of a run's JSON object that the demo reads.
#[derive(Debug, Deserialize)]
pub(super) struct DemoRun {
    pub(super) engine: String,
    pub(super) outcome: String,
    pub(super) trace_hash: String,
    pub(super) virtual_ms: u64,
    pub(super) wall_ms: u64,
    pub(super) events: u64,
    pub(super) messages: u64,
    pub(super) nodes: u64,
    pub(super) failures: Vec<serde_json::Value>,
    pub(super) same_state_as_model: Option<bool>,
}

/// The part of a simulated node's state that the demo reads.
#[derive(Debug, Deserialize)]
pub(super) struct SimulatedView {
    pub(super) hash: Option<String>,
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    status: String,
}

impl SimulatedView {
    /// Returns the number of members with a status.
    pub(super) fn many(&self, status: &str) -> usize {
        self.members
            .iter()
            .filter(|member| member.status == status)
            .count()
    }
}

/// The part of a scenario's JSON object that the demo reads.
#[derive(Deserialize)]
struct Story {
    about: String,
}

impl ToolPath {
    pub(super) fn new() -> Result<Self, CommandError> {
        Ok(Self {
            program: programs::this()?,
        })
    }

    /// Runs a command and reads the JSON objects that it prints, one per line.
    fn run<T: DeserializeOwned>(&self, arguments: &[&OsStr]) -> Result<Vec<T>, CommandError> {
        let ran = programs::run(
            Command::new(&self.program).args(arguments),
            TIME_MAX,
            &|| false,
        )?;
        if ran.status.is_none() {
            let seconds = TIME_MAX.as_secs();
            return Err(CommandError::failed(format!(
                "the tool took longer than {seconds} s"
            )));
        }
        if ran.answer.trim().is_empty() {
            return Err(CommandError::failed(ran.complaint()));
        }
        ran.answer
            .lines()
            .map(|line| serde_json::from_str(line).map_err(CommandError::failed))
            .collect()
    }

    /// Queries one node of a fleet.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        fleet: &Fleet,
        node: usize,
        question: &[&str],
    ) -> Result<T, CommandError> {
        let address = fleet.daemons()[node].address().to_string();
        let mut arguments: Vec<&OsStr> = question.iter().map(OsStr::new).collect();
        arguments.extend(["--json", "--node", &address, "--cert-dir"].map(OsStr::new));
        arguments.push(fleet.cert_dir().as_os_str());
        let answer = self.run(&arguments)?.into_iter().next();
        answer.ok_or_else(|| CommandError::failed("the tool printed no JSON object"))
    }

    /// Returns the story of a scenario.
    pub(super) fn story(&self, file: &Path) -> Result<String, CommandError> {
        let stories: Vec<Story> = self.run(&[
            "sim".as_ref(),
            "list".as_ref(),
            "--json".as_ref(),
            file.as_os_str(),
        ])?;
        let story = stories.into_iter().next();
        story
            .map(|story| story.about)
            .ok_or_else(|| CommandError::failed("the scenario has no story"))
    }

    /// Returns the view of every node at an instant of a run in the model engine.
    pub(super) fn views(
        &self,
        file: &Path,
        until: &str,
    ) -> Result<Vec<SimulatedView>, CommandError> {
        let words = ["sim", "replay", "--json", "--seed", "1", "--until", until].map(OsStr::new);
        let arguments: Vec<&OsStr> = words.into_iter().chain([file.as_os_str()]).collect();
        self.run(&arguments)
    }

    /// Runs a scenario in the model and the wire engine.
    pub(super) fn simulate(&self, file: &Path) -> Result<Vec<DemoRun>, CommandError> {
        let words = ["sim", "run", "--json", "--engine", "both", "--seed", "1"].map(OsStr::new);
        let arguments: Vec<&OsStr> = words.into_iter().chain([file.as_os_str()]).collect();
        self.run(&arguments)
    }

    /// Starts `phalanx watch` on one node of a fleet; the process runs until the returned value is dropped.
    pub(super) fn watch(&self, fleet: &Fleet, node: usize) -> Result<RunningWatch, CommandError> {
        let failed = |error: std::io::Error| {
            CommandError::failed(format!("the watcher cannot be started: {error}"))
        };
        let mut child = Command::new(&self.program)
            .args([
                "watch",
                "--json",
                "--node",
                &fleet.daemons()[node].address().to_string(),
            ])
            .arg("--cert-dir")
            .arg(fleet.cert_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Ok(event) = serde_json::from_str(&line) {
                        heard
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((Instant::now(), event));
                    }
                }
            });
        }
        Ok(RunningWatch { child, heard })
    }
}

/// A running `phalanx watch` and its output so far.
pub(super) struct RunningWatch {
    child: Child,
    heard: Arc<Mutex<Vec<(Instant, Event)>>>,
}

impl RunningWatch {
    /// Returns the events about the status of one member, each with the time of its arrival.
    pub(super) fn about(&self, subject: &str) -> Vec<(Instant, Event)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let told = heard
            .iter()
            .filter(|(_, event)| event.subject == subject && event.kind.starts_with("peer-"));
        told.cloned().collect()
    }

    /// Discards the events so far.
    pub(super) fn forget(&self) {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for RunningWatch {
    fn drop(&mut self) {
        // The process may have ended together with the node that it watched.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
