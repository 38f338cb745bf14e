//! A process whose step does not end: the command fails its run, keeps the finished ones, and ends. The test starts itself as
//! the tool of a system with such a process.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

use phalanx_core::time::Instant;
use phalanx_sim::scenario::{Vocabulary, Words};
use phalanx_sim::world::{
    Cast, Definition, Effects, Process, ProcessEvent, ProcessView, Program, Start,
};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// The line that announces the endless step.
const ENDLESS: &str = "this step does not end";

/// Never ends its first step on a host with the role `endless`.
struct Spinner {
    is_endless: bool,
}

impl ProcessView for Spinner {
    fn digest(&self) -> u64 {
        0
    }

    fn state(&self) -> Value {
        json!({})
    }
}

impl Process for Spinner {
    fn concerns(&self, event: &ProcessEvent) -> bool {
        matches!(event, ProcessEvent::Start)
    }

    fn on_event(&mut self, _: Instant, _: ProcessEvent, _: &mut Effects) {
        if self.is_endless {
            // The test waits for this line.
            writeln!(std::io::stderr(), "{ENDLESS}").unwrap();
        }
        while self.is_endless {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn view(&self) -> &dyn ProcessView {
        self
    }
}

struct Spinners;

impl Program for Spinners {
    fn name(&self) -> &'static str {
        "spinner"
    }

    fn start(&mut self, start: Start<'_>) -> Box<dyn Process> {
        let is_endless = start.spec().role.as_deref() == Some("endless");
        Box::new(Spinner { is_endless })
    }
}

static SPINNERS: Definition = Definition {
    name: "spinners",
    command: "spinners",
    vocabulary: || {
        let words = Words {
            program: "spinner",
            ..Words::default()
        };
        Vocabulary::of("spinners", [words])
    },
    build: |scenario, _| {
        Ok(Cast {
            programs: vec![Box::new(Spinners)],
            hosts: vec![vec![0]; scenario.hosts.len()],
        })
    },
    recoverable: |_, _, _| Ok(()),
};

/// A scenario in which the node `n1` has this role.
fn written(folder: &std::path::Path, role: &str) -> String {
    let text = format!(
        "scenario = 1\nname = \"{role}\"\nabout = \"A process that may spin.\"\nsystem = \"spinners\"\n\
         engines = [\"model\"]\nduration = \"9s\"\n[[nodes]]\ncount = 1\nrole = \"{role}\"\n\
         [[expect]]\neventually = {{ converged = true }}\n"
    );
    let path = folder.join(format!("{role}.toml"));
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn tool(words: &[&str]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn a_stuck_step_fails_its_run_and_the_other_runs_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let [endless, fine] = ["endless", "fine"].map(|role| written(folder.path(), role));
    let words = [
        "run",
        &endless,
        &fine,
        "--jobs",
        "2",
        "--wall-limit",
        "100ms",
        "--json",
    ];
    let output = tool(&words).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).unwrap();
    let runs: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(runs.len(), 2, "{out}");
    let why = runs[0]["failures"][0]["why"].as_str().unwrap();
    assert!(
        why.starts_with("a step of n1 at 0.") && why.contains("does not end"),
        "{why}"
    );
    assert_eq!(
        (&runs[1]["scenario"], &runs[1]["outcome"]),
        (&json!("fine"), &json!("pass"))
    );
}

fn a_signal_ends_a_command_with_a_stuck_step() {
    let folder = tempfile::tempdir().unwrap();
    let endless = written(folder.path(), "endless");
    let out = folder.path().to_str().unwrap();
    for words in [&["run", &endless][..], &["search", &endless, "--out", out]] {
        let mut child = tool(words);
        let errors = BufReader::new(child.stderr.take().unwrap());
        let mut lines = errors.lines().map(Result::unwrap);
        assert!(
            lines.any(|line| line == ENDLESS),
            "{words:?}: the step begins"
        );
        let pid = child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{words:?}");
    }
}

fn main() -> ExitCode {
    if std::env::args()
        .nth(1)
        .is_some_and(|word| ["run", "search"].contains(&word.as_str()))
    {
        return phalanx_sim_cli::main(&[&SPINNERS]);
    }
    a_stuck_step_fails_its_run_and_the_other_runs_are_reported();
    a_signal_ends_a_command_with_a_stuck_step();
    ExitCode::SUCCESS
}
